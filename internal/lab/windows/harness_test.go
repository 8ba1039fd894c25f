package windows

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// bench is a guest with a record of what happened outside because of it. It
// lives inside a synctest bubble.
type bench struct {
	t *testing.T
	*Guest

	mu     sync.Mutex
	events []string
}

func newBench(t *testing.T, m Machine) *bench {
	t.Helper()
	b := &bench{t: t}
	b.Guest = New(m, nil, Hooks{
		PowerOff: func() { b.note("off") },
		Network: func(n Network) {
			b.note(map[Network]string{NetworkUp: "network up", NetworkCut: "network cut", NetworkOff: "network off"}[n])
		},
		DropShells: func() { b.note("shells dropped") },
	})
	t.Cleanup(b.Close)
	return b
}

func (b *bench) note(event string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, event)
}

func (b *bench) happened() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.events, ", ")
}

// session is a protocol conversation.
type session struct {
	t      *testing.T
	stdin  *io.PipeWriter
	lines  *bufio.Scanner
	cancel context.CancelCauseFunc
	ended  chan int
	id     int64
}

func (b *bench) open() *session {
	b.t.Helper()
	ctx, cancel := context.WithCancelCause(b.t.Context())
	inReader, inWriter := io.Pipe()
	outReader, outWriter := io.Pipe()
	s := &session{t: b.t, stdin: inWriter, cancel: cancel, ended: make(chan int, 1), lines: bufio.NewScanner(outReader)}
	s.lines.Buffer(nil, 1<<20)
	context.AfterFunc(ctx, func() {
		_ = inReader.CloseWithError(io.EOF)
		_ = outWriter.CloseWithError(io.ErrClosedPipe)
	})
	go func() {
		code := b.Run(ctx, &winrm.Command{Line: guest.Bootstrap(), User: "Administrator", Stdin: inReader, Stdout: outWriter, Stderr: io.Discard})
		_ = outWriter.Close()
		cancel(nil)
		s.ended <- code
	}()
	if _, err := inWriter.Write(guest.Preamble()); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (s *session) close() {
	_ = s.stdin.Close()
	s.cancel(winrm.ErrTerminated)
}

func (s *session) send(calls ...string) int64 {
	s.t.Helper()
	s.id++
	request := guest.Request{ID: s.id}
	for _, call := range calls {
		var raw guest.RawCall
		if err := json.Unmarshal([]byte(call), &raw); err != nil {
			s.t.Fatalf("%s: %v", call, err)
		}
		request.Calls = append(request.Calls, guest.RawCall{Op: raw.Op, Args: withoutOp(s.t, raw.Args)})
	}
	line, err := guest.EncodeRequest(request)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.stdin.Write(line); err != nil {
		s.t.Fatal(err)
	}
	return s.id
}

func withoutOp(t *testing.T, args json.RawMessage) json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(args, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "op")
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *session) reply() guest.Reply {
	s.t.Helper()
	for s.lines.Scan() {
		reply, ok, err := guest.DecodeReply(s.lines.Bytes())
		if err != nil {
			s.t.Fatal(err)
		}
		if ok {
			return reply
		}
	}
	s.t.Fatal("the guest's output ended")
	return guest.Reply{}
}

// ask sends calls in one request and returns the answers.
func (s *session) ask(calls ...string) []json.RawMessage {
	s.t.Helper()
	id := s.send(calls...)
	reply := s.reply()
	if reply.ID != id || reply.Error != nil || len(reply.Answers) != len(calls) {
		s.t.Fatalf("reply %+v to request %d with %d calls", reply, id, len(calls))
	}
	return reply.Answers
}

func answerAs[T any](t *testing.T, data json.RawMessage) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return value
}

// shell runs one command line and returns what it printed and its code.
func (b *bench) shell(line string) (stdout, stderr string, code int) {
	b.t.Helper()
	var out, errors bytes.Buffer
	code = b.Run(b.t.Context(), &winrm.Command{Line: line, User: "Administrator", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errors})
	return out.String(), errors.String(), code
}

const testFolder = `C:\ProgramData\packer-ec2-sysprep`

// plan is what the provisioner would let the sealer do.
func plan() guest.SealPlan {
	return guest.SealPlan{
		Version: 1, Token: "token-1", Folder: testFolder, Task: "ec2-sysprep-token-1",
		Apply:    []guest.Act{},
		Sealed:   []guest.Act{{Act: guest.ActDeleteFolder, Path: testFolder}},
		Failed:   []guest.Act{{Act: guest.ActRegistry, Path: `HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`, Name: "fDenyTSConnections", Set: &guest.Value{Exists: true, Kind: guest.KindDWord, Text: "0"}}},
		Commands: []guest.Command{{File: v2Program, Arguments: "sysprep"}}, Generalize: true, Process: "sysprep",
		ImageState: stateGeneralized, Tag: tagFile, ErrorLog: errorLog, ActionLog: actionLog,
		GiveUp:        []string{`\[0x0f0070\][^\r\n]*`, `WinMain: ?Hit failure while[^\r\n]*`},
		Limits:        guest.SealLimits{Appear: 30, Grace: 10, Stall: 300, Total: 1800, Seen: 15},
		ConsoleSealed: "packer-plugin-ec2-sysprep token-1 sealed", ConsoleFailed: "packer-plugin-ec2-sysprep token-1 failed",
		Shutdown: "sealed",
	}
}

// stage puts the sealer's files into place.
func (b *bench) stage(p guest.SealPlan) {
	b.t.Helper()
	text, err := p.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	b.PutFile(testFolder+`\`+guest.ScriptFile, []byte(guest.SealScript))
	b.PutFile(testFolder+`\`+guest.PlanFile, text)
}

// trigger starts the sealer as the provisioner does.
func (s *session) trigger(via string) json.RawMessage {
	s.t.Helper()
	file, arguments := guest.Starter(testFolder, `C:\Windows`)
	call, err := json.Marshal(map[string]string{
		"op": "start", "via": via, "name": "ec2-sysprep-token-1", "file": file, "arguments": arguments, "folder": testFolder,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ask(string(call))[0]
}

// state returns what the sealer last wrote.
func (b *bench) state() guest.SealState {
	b.t.Helper()
	data, ok := b.File(testFolder + `\` + guest.StateFile)
	if !ok {
		return guest.SealState{}
	}
	state, err := guest.ParseSealState(data)
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

// until waits for a condition, looking twice a second, for at most limit.
func (b *bench) until(limit time.Duration, what string, condition func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(limit); !condition(); {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s did not happen within %s; state %+v, notes %q, image state %s", what, limit, b.state(), b.Notes(), b.ImageState())
		}
		timer := time.NewTimer(500 * time.Millisecond)
		<-timer.C
	}
}
