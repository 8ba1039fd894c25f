package sysprep

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// working makes EC2Launch v2's service run for a while after the boot, 0 for ever.
func working(seconds int) func(*windows.Machine) {
	return func(m *windows.Machine) {
		m.Services["Amazon EC2Launch"] = windows.Service{State: "Running", StartMode: "Auto", Process: "EC2LaunchService", StopsAfter: windows.Seconds(seconds)}
	}
}

func TestAnAgentThatEndsItsWorkIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(working(240)))
	b.succeeds()
	b.stopped()
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
	b.said("Waiting for EC2Launch v2, for 10m0s at most: the service Amazon EC2Launch is still at work (Running)", "user data is still running", "EC2Launch v2 has ended its work")
}

func TestAnAgentThatNeverEndsItsWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		options map[string]any
		phrases []string
	}{
		{
			name: "because user data never ends", machine: working(0),
			phrases: []string{"it has not ended within 1s (agent_timeout); user data is still running; its log ends with: ", "a script that waits for something of this build's never does"},
		},
		{
			name: "because the serial port is taken", machine: func(m *windows.Machine) {
				m.SerialTaken = true
				working(0)(m)
			},
			phrases: []string{"something else holds the serial port; its log ends with: ", "Serial port is in use", "bcdedit /ems off"},
		},
		{
			name: "in a dry run", machine: working(0), options: map[string]any{"dry_run": true},
			phrases: []string{"it has not ended within 1s"},
		},
		{
			name: "before a shutdown without Sysprep", machine: working(0), options: map[string]any{"action": "shutdown"},
			phrases: []string{"it notes at its end that it has run", "it has not ended within 1s"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).with(map[string]any{"agent_timeout": "1s"}).with(test.options)
			b.fails("ES-109", test.phrases...)
			b.untouched()
			b.noResidue()
		})
	}
}

// What waiting does not help is reported at once, together with the agent.
func TestAnAgentIsNotWaitedForWhenSomethingElseIsInTheWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		working(0)(m)
		m.SetRegistry(`HKLM\SYSTEM\Setup!Upgrade`, windows.Word("1"))
	}))
	b.fails("ES-100", "ES-109", "ES-121")
	b.untouched()
	if strings.Contains(b.ui.text(), "Waiting for") {
		t.Error("the agent was waited for")
	}
}

// modelled is a way to a modelled Windows without a network, for a clock of the
// test's own.
type modelled struct{ guest *windows.Guest }

func (l modelled) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	output, input := io.Pipe()
	defer func() { _ = output.Close() }()
	go func() {
		l.guest.Run(ctx, &winrm.Command{
			Line: guest.Bootstrap(), User: "Administrator", Stdin: bytes.NewReader(append(guest.Preamble(), requests...)), Stdout: input, Stderr: io.Discard,
		})
		_ = input.Close()
	}()
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if each(lines.Bytes()) {
			return nil
		}
	}
	return &guest.LostError{Err: errors.New("the process ended")}
}

func (modelled) Listens() bool                   { return false }
func (modelled) Interrupt(context.Context) error { return errors.ErrUnsupported }
func (modelled) Drop()                           {}
func (modelled) Close() error                    { return nil }

func TestTheUserIsToldOfAWaitEveryMinute(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		works  int
		limit  time.Duration
		took   time.Duration
		lines  int
		limits bool
	}{
		{name: "until the agent has ended", works: 250, limit: 10 * time.Minute, took: 250 * time.Second, lines: 6},
		{name: "until the limit", limit: 3 * time.Minute, took: 3 * time.Minute, lines: 4, limits: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := windows.Server2022()
				working(test.works)(&m)
				g := windows.New(m, clock.Fast(1), windows.Hooks{})
				defer g.Close()
				ui := &recordingUI{}
				r := &run{
					config: &Config{Agent: "auto", AgentTimeout: test.limit, Preflight: &PreflightConfig{}},
					ui:     ui, secrets: hiding(nil), guest: guest.New(modelled{g}, 0), began: time.Now(),
				}
				if err := r.contact(t.Context()); err != nil {
					t.Fatal(err)
				}
				began, before := time.Now(), g.Fingerprint()
				if err := r.awaitAgent(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); (took - test.took).Abs() > 10*time.Second {
					t.Errorf("it took %s, wanted about %s", took, test.took)
				}
				if len(ui.lines) != test.lines {
					t.Errorf("the user was told %d lines, wanted %d:\n%s", len(ui.lines), test.lines, ui.text())
				}
				stops := len(busyStops(r)) > 0
				if stops != test.limits {
					t.Errorf("the agent stops the build: %t, wanted %t", stops, test.limits)
				}
				if test.limits && g.Fingerprint() != before {
					t.Error("waiting has changed the guest")
				}
			})
		})
	}
}

func busyStops(r *run) []string {
	var texts []string
	if finding := busyAlone(r.findings); finding != nil {
		texts = append(texts, finding.String())
	}
	return texts
}

func TestAWaitEndsWhenTheBuildIsCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(working(0)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.ui.heard = func(line string) {
		if strings.HasPrefix(line, "Waiting for EC2Launch v2") {
			cancel()
		}
	}
	if err := b.provision(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	b.untouched()
}

func TestTheCauseInAnAgentsLog(t *testing.T) {
	t.Parallel()
	const (
		starting = "2022-02-24 08:08:58 Info: EC2Launch Service starting\n"
		serial   = "2022-02-24 08:08:58 Info: Serial port is in use. Waiting for Serial Port...\n"
		spcr     = "2022-02-24 08:09:00 Info: ACPI SPCR table not supported. Bailing Out\n"
		userData = "2022-02-24 08:09:00 Info: Initializing user-data state\n"
		other    = "2022-02-24 08:09:00 Info: Frequency is: once\n"
		stage    = "2022-02-24 08:09:00 Info: Stage: postReady completed.\n"
	)
	wide := func(text string) string {
		var b strings.Builder
		for _, c := range []byte(text) {
			b.WriteByte(c)
			b.WriteByte(0)
		}
		return b.String()
	}
	for _, test := range []struct{ name, log, why, last string }{
		{"nothing", "", "", ""},
		{"the serial port", starting + serial + spcr + spcr, "something else holds the serial port", "ACPI SPCR table not supported. Bailing Out"},
		{"a serial port that is free again", starting + serial + spcr + other, "", "Frequency is: once"},
		{"user data", starting + userData + other, "user data is still running", "Frequency is: once"},
		{"user data that has ended", starting + userData + other + stage, "", "postReady completed."},
		{"user data of an earlier start", userData + starting, "", "Service starting"},
		{"in UTF-16 without a mark", wide("2022/06/11 18:24:43Z: Initializing instance is started\r\n2022/06/11 18:24:43Z: Userdata execution begins\r\n"), "user data is still running", "Userdata execution begins"},
	} {
		got := causeIn([]byte(test.log))
		if got.why != test.why || (got.do == "") != (test.why == "") || !strings.HasSuffix(got.last, test.last) || (test.last == "") != (got.last == "") {
			t.Errorf("%s: %+v, wanted %q and a last line %q", test.name, got, test.why, test.last)
		}
	}
	if got := causeIn([]byte(strings.Repeat("é", 1000))); len([]rune(got.last)) != agentLineLimit+1 {
		t.Errorf("a long line is shown with %d characters", len([]rune(got.last)))
	}
}
