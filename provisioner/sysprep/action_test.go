package sysprep

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

const v2RunOnce = `C:\ProgramData\Amazon\EC2Launch\state\.run-once`

// withoutSysprep is a bench whose build shuts its guest down without Sysprep. Its
// clock is slow: such a build takes no time, and its verdict has to be seen on a
// machine that is busy with other tests.
func withoutSysprep(t *testing.T, machine func(*windows.Machine)) *bench {
	t.Helper()
	return newBenchAt(t, 10, windowsOf(machine)).with(map[string]any{"action": "shutdown"})
}

// off wants the instance to have been stopped by its guest, not sealed.
func (b *bench) off() {
	b.t.Helper()
	b.eventually("the instance is stopped", func() bool { return b.state() == ec2.StateStopped }, b.state)
	if state := b.guest().ImageState(); state != "IMAGE_STATE_COMPLETE" {
		b.t.Errorf("the image state is %s", state)
	}
}

// Each agent does what its own dialog does for "Shutdown without Sysprep".
func TestEachAgentIsShutDownWithoutSysprep(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		// changed are what differs on the guest afterwards.
		changed []string
	}{
		{"EC2Launch v2", runs(windows.Server2022), []string{"file " + strings.ToLower(v2RunOnce)}},
		{"EC2Launch v1", runs(windows.Server2019), []string{setUpTask, "amazonssmagent"}},
		{"EC2Config", runs(windows.Server2012R2), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := withoutSysprep(t, test.machine)
			b.succeeds()
			b.off()
			b.noResidue()
			b.recorded(handoff.StageShutdown, handoff.ProofNotGeneralized)
			if record := b.record(); record.Action != "shutdown" {
				t.Errorf("the record's action is %q", record.Action)
			}
			b.said(
				"Starting the shutdown without Sysprep through "+test.name, `Warning: with action = "shutdown" the image is not generalized`,
				"every instance has this machine's SID and name",
			)
			if !strings.Contains(b.guest().COM1(), handoff.ConsoleLine(b.record().Token, "not-generalized")) {
				t.Errorf("the console says %q", b.guest().COM1())
			}
			diff := b.before.Diff(b.guest().Snapshot())
			for _, change := range test.changed {
				if !strings.Contains(diff, change) {
					t.Errorf("%s has not changed:\n%s", change, diff)
				}
			}
			for _, line := range strings.Split(diff, "\n") {
				for _, foreign := range []string{"sysprep", "unattend", "settings", "fdenytsconnections", "hibernate"} {
					if strings.Contains(strings.ToLower(line), foreign) {
						t.Errorf("the shutdown without Sysprep has changed %s", line)
					}
				}
			}
			b.notTakenForGeneralized()
		})
	}
}

// notTakenForGeneralized wants the post-processor to take the guest only when
// it is told that it need not be generalized.
func (b *bench) notTakenForGeneralized() {
	b.t.Helper()
	var failure *image.Failure
	if err := image.CheckRecord(b.record(), image.Demand{Proof: true, Generalized: true}); !errors.As(err, &failure) || failure.Code != image.CodeNotGeneralized {
		b.t.Errorf("the post-processor would take the guest: %v", err)
	}
	if err := image.CheckRecord(b.record(), image.Demand{Proof: true}); err != nil {
		b.t.Errorf("the post-processor would not take the guest: %s", err)
	}
}

func TestASecondAttemptOfAShutdownWithoutSysprep(t *testing.T) {
	t.Parallel()
	b := withoutSysprep(t, runs(windows.Server2022))
	b.succeeds()
	b.off()
	b.succeeds()
	b.said("This build has made the guest ready already; nothing is left to do")
	if strings.Contains(b.ui.text(), "sealed the guest") {
		t.Error("the user is told that the guest is sealed")
	}
	b.recorded(handoff.StageShutdown, handoff.ProofNotGeneralized)
}

func TestAFailedShutdownWithoutSysprepPutsEverythingBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		code    string
		phrases []string
	}{
		{
			"an agent-config.yml that EC2Launch v2 does not take", func(m *windows.Machine) { m.Agent.InvalidConfig = "stage nowhere" }, "ES-241",
			[]string{"the launch agent's command failed", "the guest was not shut down", "put back"},
		},
		{
			"a script of EC2Launch v1's that fails", runs(windows.Server2019, func(m *windows.Machine) { m.RemoveFile(v1Data + `\Scripts\InitializeInstance.ps1`) }), "ES-241",
			[]string{"the launch agent's command failed", "put back"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := withoutSysprep(t, test.machine)
			b.fails(test.code, test.phrases...)
			b.asBefore()
			b.recorded(handoff.StageRefused, "")
			var failure *image.Failure
			if err := image.CheckRecord(b.record(), image.Demand{}); !errors.As(err, &failure) || failure.Code != image.CodeRefused || strings.Contains(err.Error(), "Sysprep did not seal") {
				t.Errorf("the post-processor says %v", err)
			}
			if strings.Contains(b.ui.text(), "Sysprep did not seal") {
				t.Error("the failure is called one of Sysprep's")
			}
		})
	}
}

// What keeps Sysprep from running does not keep a shutdown.
func TestAGuestThatSysprepWouldRefuseIsShutDown(t *testing.T) {
	t.Parallel()
	b := withoutSysprep(t, func(m *windows.Machine) {
		m.SetRegistry(`HKLM\SYSTEM\Setup!Upgrade`, windows.Word("1"))
		m.SetCIM("SoftwareLicensingService", "RemainingWindowsReArmCount", "0")
		m.Sysprep.Refuse = windows.RefuseBitLocker()
	})
	b.succeeds()
	b.off()
}

func TestAGuestThatIsPreparedStaysUpForTheBuilder(t *testing.T) {
	t.Parallel()
	b := withoutSysprep(t, func(*windows.Machine) {}).with(map[string]any{"shutdown": "none"})
	b.succeeds()
	if !b.guest().On() {
		t.Error("the guest is off")
	}
	b.said("The guest stays up: stop it without restarting it")
	b.recorded(handoff.StageSealed, handoff.ProofNotGeneralized)
	b.eventually("the agent's run is forgotten", func() bool {
		_, there := b.guest().File(v2RunOnce)
		return !there
	}, func() string { return "it is still noted" })
}

// A verdict that nobody saw is worth no more than one that was seen.
func TestALostShutdownWithoutSysprepIsNotTakenForASeal(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(m *lab.MachineOptions) { m.Windows.Start.Delay = windows.Seconds(8) }).with(map[string]any{"action": "shutdown"})
	b.ui.heard = func(line string) {
		if strings.Contains(line, "Starting the shutdown") {
			go func() {
				for b.guest().ProgramsStarted() == 0 && t.Context().Err() == nil {
					_ = b.lab.Clock.Wait(t.Context(), 100*time.Millisecond)
				}
				_ = b.machine.Break(winrm.Refused)
			}()
		}
	}
	b.succeeds()
	b.said("Nobody saw the sealer at work. The post-processor makes no AMI unless EC2's console output shows its verdict.")
	b.recorded(handoff.StageTriggered, "")
	b.notTakenForGeneralized()
	b.off()
}

func TestALostShutdownWithoutSysprepIsProvenByTheGuestsOwnShutdown(t *testing.T) {
	t.Parallel()
	b := withoutSysprep(t, func(*windows.Machine) {}).withEC2("").with(map[string]any{"ami_name": nil})
	b.succeeds()
	b.off()
	// The same build, had it seen no more than the sealer at work.
	p := new(Provisioner)
	if err := p.Prepare(b.options); err != nil {
		t.Fatal(err)
	}
	r, err := p.begin(b.ui, nil, b.data)
	if err != nil {
		t.Fatal(err)
	}
	if r.session, err = aws.Connect(t.Context(), p.config.AccessConfig); err != nil {
		t.Fatal(err)
	}
	r.confirmed, r.verdict.Reason = true, errors.New("the cable was cut")
	r.record.InstanceID, r.record.SealerDeadline = b.machine.InstanceID(), time.Now().Add(time.Minute)
	if err := r.awaitStopped(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.recorded(handoff.StageShutdown, handoff.ProofNotGeneralized)
	b.notTakenForGeneralized()
	b.said("The guest has shut itself down without Sysprep, as asked")
}

func TestADryRunOfAShutdownWithoutSysprep(t *testing.T) {
	t.Parallel()
	for name, machine := range map[string]func(*windows.Machine){
		"ec2launch-v2": runs(windows.Server2022), "ec2launch-v1": runs(windows.Server2019), "ec2config": runs(windows.Server2012R2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := withoutSysprep(t, machine).with(map[string]any{"dry_run": true})
			b.succeeds()
			b.untouched()
			b.noResidue()
			b.recorded(handoff.StagePlanned, "")
			golden(t, "dry-run-shutdown-"+name+".ui", b.scrubbed(b.ui.text())+"\n")
		})
	}
}

func TestWhatHasNoMeaningWithoutSysprepIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	script := map[string]any{"commands": []string{"echo hello"}}
	p := new(Provisioner)
	err := p.Prepare(map[string]any{
		"action": "shutdown", "shutdown": "agent", "answer_file_content": own, "answer_file": map[string]any{"time_zone": "UTC"},
		"before_sysprep": script, "sysprep_specialize": script, "setup_complete": script, "post_sysprep": script, "close_winrm": true,
	})
	if err == nil {
		t.Fatal("the options are accepted")
	}
	for _, option := range []string{
		"answer_file_content", "answer_file", "before_sysprep", "sysprep_specialize", "setup_complete", "post_sysprep", "close_winrm",
	} {
		if want := option + `: it is about Sysprep, and action is "shutdown"`; !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%s", want, err)
		}
	}
	if want := `shutdown: "agent" is the agent's own shutdown at the end of Sysprep`; !strings.Contains(err.Error(), want) {
		t.Errorf("%q is not in the error:\n%s", want, err)
	}
	if err := new(Provisioner).Prepare(map[string]any{"action": "reboot"}); err == nil || !strings.Contains(err.Error(), `action: "reboot" is none of "sysprep", "shutdown"`) {
		t.Errorf("another action: %v", err)
	}
}
