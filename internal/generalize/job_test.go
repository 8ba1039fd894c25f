package generalize

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

var update = flag.Bool("update", false, "write the golden files anew")

const token = "00112233aabbccdd"

// modelled is a way to a modelled Windows without a network: each exchange has a
// process of its own.
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

// newJob returns a job for a Server 2022 that change makes a different one.
func newJob(t *testing.T, change func(*windows.Machine)) (*Job, *windows.Guest) {
	t.Helper()
	return newJobWith(t, change, windows.Hooks{})
}

// newJobWith is newJob for a guest that tells what happens to it.
func newJobWith(t *testing.T, change func(*windows.Machine), hooks windows.Hooks) (*Job, *windows.Guest) {
	t.Helper()
	m := windows.Server2022()
	if change != nil {
		change(&m)
	}
	g := windows.New(m, clock.Fast(50), hooks)
	t.Cleanup(g.Close)
	asked := guest.New(modelled{g}, 0)
	identity, err := guest.Fetch(t.Context(), asked, guest.Hello())
	if err != nil {
		t.Fatal(err)
	}
	return &Job{
		Guest: asked, Agent: launchagent.EC2LaunchV2{}, Identity: identity, Token: token, Order: launchagent.Order{Action: launchagent.ActionSysprep, Shutdown: launchagent.ShutdownSealed},
		Limits: Limits{Sysprep: time.Hour, Stall: 15 * time.Minute, Shutdown: 10 * time.Minute},
		GiveUp: []string{`\[0x0f0070\]`}, Reconnect: time.Second,
		Say: t.Logf, Log: t.Logf, Note: func(string, string, string) {},
	}, g
}

func TestThePlan(t *testing.T) {
	t.Parallel()
	const data = `C:\ProgramData\Amazon\EC2Launch`
	for _, test := range []struct {
		name, golden string
		change       func(*windows.Machine)
		job          func(*Job)
	}{
		{name: "for a guest as AWS ships it", golden: "plan.json"},
		{
			name: "for a guest that lacks what the agent writes", golden: "plan-missing.json",
			change: func(m *windows.Machine) {
				m.RemoveFile(data + `\state`)
				m.RemoveFile(`C:\Windows\System32\Sysprep\Sysprep_succeeded.tag`)
				m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server!fDenyTSConnections`, guest.Value{})
				m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Control\Power!HibernateEnabled`, windows.Word("0"))
			},
		},
		{
			name: "with files of the user's and a shutdown by the agent", golden: "plan-files.json",
			job: func(j *Job) {
				j.Order.Shutdown = launchagent.ShutdownAgent
				j.Files = []Staged{
					{Name: "answer file", Path: launchagent.EC2LaunchV2{}.AnswerFile(), Data: []byte("<unattend/>")},
					{Name: "BeforeSysprep.cmd", Path: `%ProgramData%\Amazon\EC2Launch\sysprep\BeforeSysprep.cmd`, Data: []byte("@echo off\r\n")},
				}
			},
		},
		{
			name: "for a shutdown without Sysprep", golden: "plan-shutdown.json",
			job: func(j *Job) { j.Order.Action = launchagent.ActionShutdown },
		},
		{
			name: "with files that are there only while the guest is sealed", golden: "plan-temporary.json",
			job: func(j *Job) {
				bundle := func(name string) string { return `%ProgramFiles%\Amazon\Ec2ConfigService\Settings\` + name }
				j.Files = []Staged{
					{Name: "settings", Path: bundle("Own.xml"), Data: []byte("<quit/>"), Temporary: true},
					{Name: "settings", Path: bundle("BundleConfig.xml"), Data: []byte("<quit edited/>"), Temporary: true, Lasting: []byte("<edited/>")},
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j, g := newJob(t, test.change)
			if test.job != nil {
				test.job(j)
			}
			before := g.Fingerprint()
			plan, starts, err := j.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if g.Fingerprint() != before {
				t.Error("planning has changed the guest")
			}
			if starts.Errors == 0 || starts.Actions == 0 {
				t.Errorf("the logs that are there already were not measured: %+v", starts)
			}
			text, err := plan.Encode()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, test.golden, string(text)+"\n")
			checkPlan(t, plan)
		})
	}
}

// checkPlan wants everything that is put back to have been kept before it is
// replaced, and values to be written before the programs that depend on them.
func checkPlan(t *testing.T, plan *guest.SealPlan) {
	t.Helper()
	var kept []string
	replaced := make(map[string]bool)
	for _, act := range plan.Apply {
		switch {
		case strings.Contains(act.Path, `\kept\`):
			if replaced[act.From] {
				t.Errorf("%s is kept after it was replaced", act.From)
			}
			kept = append(kept, act.Path)
		default:
			replaced[act.Path] = true
		}
	}
	back := make(map[string]bool)
	ran := false
	for _, act := range plan.Failed {
		switch act.Act {
		case guest.ActCopy:
			if !slices.Contains(kept, act.From) {
				t.Errorf("%s is put back from %s, which nobody has kept", act.Path, act.From)
			}
			back[act.Path] = true
		case guest.ActDelete:
			back[act.Path] = true
		case guest.ActRun:
			ran = true
		case guest.ActRegistry:
			if ran && act.Name == "HibernateEnabled" {
				t.Error("hibernation is turned on before its value is put back")
			}
		}
	}
	for path := range replaced {
		if !back[path] {
			t.Errorf("%s is replaced and not put back", path)
		}
	}
	for _, act := range plan.Sealed[:len(plan.Sealed)-1] {
		if strings.EqualFold(act.Path, plan.Folder) {
			t.Errorf("the working folder is deleted before the last act: %+v", plan.Sealed)
		}
	}
	if last := plan.Sealed[len(plan.Sealed)-1]; last.Act != guest.ActDeleteFolder || last.Path != plan.Folder {
		t.Errorf("the last act of a sealed guest is %+v", last)
	}
}

func TestStagingChangesNothingButOneFolder(t *testing.T) {
	t.Parallel()
	j, g := newJob(t, nil)
	j.Files = []Staged{{Name: "answer file", Path: launchagent.EC2LaunchV2{}.AnswerFile(), Data: bytes.Repeat([]byte("<!-- long -->"), 40_000)}}
	before := g.Snapshot()
	plan, _, err := j.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := j.Stage(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 || files[2].Size != 13*40_000 {
		t.Errorf("the confirmed files are %+v", files)
	}
	if there, private := g.Folder(j.Folder()); !there || !private {
		t.Errorf("the working folder: there %t, private %t", there, private)
	}
	for _, line := range strings.Split(before.Diff(g.Snapshot()), "\n") {
		if !strings.Contains(line, strings.ToLower(`c:\programdata\ec2-sysprep-`+token)) {
			t.Errorf("staging changed the guest: %s", line)
		}
	}
	if off, err := j.CallOff(t.Context()); !off || err != nil {
		t.Errorf("calling off what was not triggered: %t, %v", off, err)
	}
	if diff := before.Diff(g.Snapshot()); diff != "" {
		t.Errorf("left behind:\n%s", diff)
	}
}

func TestCallingOffIsDecidedByTheExclusiveFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, claim string
		off         bool
	}{
		{name: "nobody was first", off: true},
		{name: "we were first, and ask again", claim: guest.ClaimCalledOff, off: true},
		{name: "the sealer was first", claim: guest.ClaimBySealer},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			j, g := newJob(t, nil)
			plan, _, err := j.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Stage(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			if test.claim != "" {
				g.PutFile(j.Folder()+`\`+guest.ClaimFile, []byte(test.claim))
			}
			off, err := Adopt(*j).CallOff(t.Context())
			if err != nil || off != test.off {
				t.Errorf("called off: %t (%v), wanted %t", off, err, test.off)
			}
			if there, _ := g.Folder(j.Folder()); there == test.off {
				t.Errorf("the working folder is there: %t", there)
			}
		})
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	j, g := newJob(t, nil)
	plan, _, err := j.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.PutFile(j.Folder(), []byte("a file in its place"))
	if _, err := j.Stage(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "making the working folder "+j.Folder()) {
		t.Errorf("the error is %v", err)
	}
}

// golden compares a whole output with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; it is now:\n%s", name, got)
	}
}
