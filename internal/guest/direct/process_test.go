package direct_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func TestACommandSaysWhatItHasToSay(t *testing.T) {
	_, _, c := lab(t, winrm.Config{})
	for _, test := range []struct {
		name, line, stdin string
		stdout, stderr    string
		exitCode          int
	}{
		{"output and exit code 0", "echo hello & <world>", "", "hello & <world>\r\n", "", 0},
		{"a program that is not there", "nonsense", "", "", "'nonsense' is not recognized as an internal or external command,\r\n", 1},
		{"both streams, each in its order", "both", "", "out 0\nout 1\nout 2\nout 3\nout 4\n", "err 0\nerr 1\nerr 2\nerr 3\nerr 4\n", 0},
		{"an exit code above the signed numbers", "exit 3221225786", "", "", "", 3221225786},
		{"an exit code of a killed debuggee", "exit 1073807364", "", "", "", 1073807364},
		{"a negative exit code is its DWORD", "exit -1", "", "", "", 4294967295},
		{"lines of input", "cat", "one\ntwo\n", "<one>\n<two>\n", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := run(t, c, test.line, test.stdin)
			if stdout != test.stdout || stderr != test.stderr || code != test.exitCode {
				t.Errorf("stdout %q, stderr %q, code %d", stdout, stderr, code)
			}
		})
	}
}

func TestASmallJobCostsOneRequestForEachStep(t *testing.T) {
	s, m, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	<-m.started
	if _, err := p.Write([]byte("question\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(p.Stdout()).ReadString('\n')
	if err != nil || answer != "<question>\n" {
		t.Fatalf("answer %q, %v", answer, err)
	}
	// The second Receive waits for more output when Close ends it.
	await(t, func() bool { return s.Stats().ByAction["Receive"] == 2 })
	if err := p.Close(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"Create": 1, "Command": 1, "Send": 1, "Receive": 2, "Signal": 1, "Delete": 1}
	if diff := cmp.Diff(want, c.Stats().ByAction); diff != "" {
		t.Error(diff)
	}
	stats := c.Stats()
	if stats.Requests != 7 || stats.Shells != 1 || stats.Processes != 1 || stats.BytesSent == 0 || stats.BytesReceived == 0 {
		t.Errorf("%+v", stats)
	}
	if server := s.Stats(); server.OpenShells != 0 || server.Unauthorized != 0 || server.Connections > 2 {
		t.Errorf("the server counts %+v", server)
	}
}

func TestInputOf300KBArrivesIntactInThreeSends(t *testing.T) {
	for _, kb := range []int{150, 500} {
		t.Run(fmt.Sprintf("envelopes of %d KB", kb), func(t *testing.T) {
			s, _, c := lab(t, winrm.Config{MaxEnvelopeSizekb: kb})
			input := make([]byte, 300<<10)
			source := rand.NewChaCha8([32]byte{1})
			if _, err := source.Read(input); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(input)
			stdout, _, code := run(t, c, "sum", string(input))
			if want := fmt.Sprintf("%s %d <nil>\n", hex.EncodeToString(sum[:]), len(input)); stdout != want || code != 0 {
				t.Errorf("got %q, code %d, want %q", stdout, code, want)
			}
			if sends := s.Stats().ByAction["Send"]; sends != 4 {
				t.Errorf("%d Sends, want three pieces and the end", sends)
			}
		})
	}
}

func TestALargeAnswerSurvivesSmallPieces(t *testing.T) {
	_, _, c := lab(t, winrm.Config{MaxPiece: 7, OutputBuffer: 4096})
	stdout, _, _ := run(t, c, "spam 100000", "")
	line := strings.Repeat("é", 511) + "\n"
	if want := strings.Repeat(line, (100000+len(line)-1)/len(line)); stdout != want {
		t.Errorf("%d bytes, want %d", len(stdout), len(want))
	}
}

func TestTheOptionsAreThoseForBytesOnStdin(t *testing.T) {
	_, m, c := lab(t, winrm.Config{})
	// The command's own text must not be mistaken for the option.
	const line = `echo Name="WINRS_CONSOLEMODE_STDIN">TRUE</w:Option>`
	run(t, c, line, "")
	command := m.seen()[0]
	if command.Line != line || command.ConsoleModeStdin || !command.NoProfile || command.SkipCmdShell || command.CodePage != 65001 || command.User != user {
		t.Errorf("%+v", command)
	}
}

func TestAConversationGoesOnWhileALongPollWaits(t *testing.T) {
	_, _, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(p.Stdout())
	for i := range 50 {
		if _, err := fmt.Fprintf(p, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
		got, err := lines.ReadString('\n')
		if want := fmt.Sprintf("<line %d>\n", i); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if err := p.CloseStdin(); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
	if _, err := p.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing after the end: %v", err)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error("closing twice:", err)
	}
}

func TestTwoProcessesDoNotWaitForEachOther(t *testing.T) {
	for _, ntlm := range []bool{false, true} {
		t.Run(fmt.Sprintf("NTLM %t", ntlm), func(t *testing.T) {
			_, m, c := lab(t, winrm.Config{}, func(o *direct.Options) { o.UseNTLM = ntlm })
			first, err := c.Start(t.Context(), "forever")
			if err != nil {
				t.Fatal(err)
			}
			stdout, _, _ := run(t, c, "echo second", "")
			if stdout != "second\r\n" {
				t.Errorf("got %q", stdout)
			}
			if err := first.Close(5 * time.Second); err != nil {
				t.Error(err)
			}
			if cause := <-m.ended; !errors.Is(cause, winrm.ErrTerminated) {
				t.Errorf("the first command ended with %v", cause)
			}
		})
	}
}

func TestAPollThatTimesOutOnTheGuestIsRepeated(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	s.Fail(winrm.ActionReceive, 1, winrm.FaultTimedOut())
	s.Fail(winrm.ActionReceive, 2, winrm.FaultTimedOut())
	stdout, _, code := run(t, c, "echo late", "")
	if stdout != "late\r\n" || code != 0 {
		t.Errorf("stdout %q, code %d", stdout, code)
	}
	if n := c.Stats().ByAction["Receive"]; n < 3 {
		t.Errorf("%d Receives", n)
	}
}

func TestASlowSendCountsAsSent(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	s.Fail(winrm.ActionSend, 1, winrm.FaultTimedOut())
	if n, err := p.Write([]byte("x\n")); n != 2 || err != nil {
		t.Errorf("n %d, %v", n, err)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestInputForACommandThatHasEnded(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "deaf")
	if err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); code != 3 || err != nil {
		t.Fatalf("code %d, %v", code, err)
	}
	sends := s.Stats().ByAction["Send"]
	if _, err := p.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, direct.ErrLost) {
		t.Errorf("got %v", err)
	}
	if s.Stats().ByAction["Send"] != sends {
		t.Error("it was sent all the same")
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestABrokenPipeOnTheGuestIsNoLoss(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "forever")
	if err != nil {
		t.Fatal(err)
	}
	s.Fail(winrm.ActionSend, 1, &winrm.Fault{Code: winrm.CodePipeEnded, Subcode: "w:InternalError", Reason: "The pipe has been ended. "})
	if _, err := p.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, direct.ErrLost) {
		t.Errorf("got %v", err)
	}
	if _, err := p.Write([]byte("x")); err != nil {
		t.Errorf("the session should be alive: %v", err)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestCommandLinesThatCanNotBeSent(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	for name, line := range map[string]string{
		"empty":                   "",
		"longer than cmd.exe can": strings.Repeat("x", 8192),
		"the end of CDATA":        "echo ]]>",
		"a line break":            "echo 1\necho 2",
		"broken UTF-8":            "echo \xff",
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := c.Start(t.Context(), line); err == nil {
				t.Error("accepted")
				_ = p.Close(time.Second)
			}
		})
	}
	if n := s.Stats().Requests; n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
}

func TestOutputThatNobodyReadsHoldsTheGuestUp(t *testing.T) {
	_, _, c := lab(t, winrm.Config{})
	const size = 24 << 20
	p, err := c.Start(t.Context(), fmt.Sprintf("spam %d", size))
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	if _, err := io.Copy(&all, p.Stdout()); err != nil {
		t.Fatal(err)
	}
	if all.Len() < size {
		t.Errorf("%d bytes of %d", all.Len(), size)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsOwnContext(t *testing.T) {
	_, _, c := lab(t, winrm.Config{})
	p, err := c.Start(t.Context(), "forever")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) || direct.Classify(err) != direct.LossCancelled {
		t.Errorf("got %v", err)
	}
	if err := p.Close(5 * time.Second); err != nil {
		t.Error(err)
	}
}
