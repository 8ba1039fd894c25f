package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// fakeCommunicator runs nothing: it says what its script says.
type fakeCommunicator struct {
	uploadFails error
	startFails  error
	output      string
	errors      string
	code        int
	hang        chan struct{} // a command waits for it to be closed

	mu       sync.Mutex
	uploads  map[string]string
	commands []string
}

func (c *fakeCommunicator) Start(_ context.Context, command *packersdk.RemoteCmd) error {
	c.mu.Lock()
	c.commands = append(c.commands, command.Command)
	c.mu.Unlock()
	if strings.HasPrefix(command.Command, "cmd.exe") {
		command.SetExited(0)
		return nil
	}
	if c.startFails != nil {
		return c.startFails
	}
	_, _ = io.WriteString(command.Stdout, c.output)
	_, _ = io.WriteString(command.Stderr, c.errors)
	if c.hang != nil {
		<-c.hang
	}
	command.SetExited(c.code)
	return nil
}

func (c *fakeCommunicator) Upload(path string, content io.Reader, _ *os.FileInfo) error {
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uploads == nil {
		c.uploads = map[string]string{}
	}
	c.uploads[path] = string(data)
	return c.uploadFails
}

func (c *fakeCommunicator) UploadDir(string, string, []string) error   { return errors.New("not used") }
func (c *fakeCommunicator) Download(string, io.Writer) error           { return errors.New("not used") }
func (c *fakeCommunicator) DownloadDir(string, string, []string) error { return errors.New("not used") }

func TestOverCommunicator(t *testing.T) {
	answer := "noise\r\n#es1 {\"id\":1,\"answers\":[{\"exists\":true}]} #end\r\n"
	for name, test := range map[string]struct {
		comm  *fakeCommunicator
		fails string
		lost  bool
	}{
		"an answer":                           {&fakeCommunicator{output: answer}, "", false},
		"the upload fails":                    {&fakeCommunicator{uploadFails: errors.New("disk full")}, "uploading the requests: disk full", true},
		"the command cannot be started":       {&fakeCommunicator{startFails: errors.New("no route")}, "no route", true},
		"the output is cut":                   {&fakeCommunicator{output: answer[:len(answer)-8], code: 1}, "ended with code 1 before it answered", false},
		"the answer's end is cut":             {&fakeCommunicator{output: strings.Replace(answer, " #end", "", 1)}, "cut before its end", true},
		"PowerShell's error is told":          {&fakeCommunicator{code: 1, errors: "#< CLIXML\r\n<Objs Version=\"1.1.0.1\"><S S=\"Error\">access denied_x000D__x000A_</S></Objs>"}, "code 1 before it answered: access denied", false},
		"a restricted language mode is told":  {&fakeCommunicator{output: RefusedPrefix + "ConstrainedLanguage 5.1\r\n", code: 3}, "ConstrainedLanguage mode", false},
		"the guest's process ends in silence": {&fakeCommunicator{code: 0}, "ended with code 0 before it answered", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := New(OverCommunicator(test.comm, `C:\Windows\Temp`), 0)
			call := FileStat(`C:\a`)
			err := g.Ask(t.Context(), call)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Fatalf("error %v, want %q", err, test.fails)
			}
			var lost *LostError
			if errors.As(err, &lost) != test.lost {
				t.Errorf("a loss: %v, want %v", !test.lost, test.lost)
			}
			if err == nil && !call.Or(Stat{}).Exists {
				t.Error("no answer")
			}
			if len(test.comm.uploads) != 1 {
				t.Fatalf("%d uploads", len(test.comm.uploads))
			}
			for path, text := range test.comm.uploads {
				if !strings.HasPrefix(path, `C:\Windows\Temp\ec2-sysprep-`) || !strings.HasPrefix(text, string(Preamble())) || !strings.Contains(text, `"op":"file.stat"`) {
					t.Errorf("uploaded %s with %d bytes", path, len(text))
				}
				if len(test.comm.commands) > 0 {
					if kind, from := ReadCommand(test.comm.commands[0]); kind != CommandBootstrapFile || from != path {
						t.Errorf("the command reads %q", from)
					}
				}
			}
			if g.Listens() {
				t.Error("a guest without stdin listens")
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCommandThatNeverReturnsIsLeftBehind(t *testing.T) {
	comm := &fakeCommunicator{hang: make(chan struct{})}
	defer close(comm.hang)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	g := New(OverCommunicator(comm, `C:\Windows\Temp`), time.Minute)
	if err := g.Ask(ctx, Hello()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestAnswerCountsAlthoughTheCommandDoesNotEnd(t *testing.T) {
	comm := &fakeCommunicator{output: "#es1 {\"id\":1,\"answers\":[{}]} #end\r\n", hang: make(chan struct{})}
	defer close(comm.hang)
	if err := New(OverCommunicator(comm, `C:\Windows\Temp`), 0).Ask(t.Context(), Hello()); err != nil {
		t.Error(err)
	}
}
