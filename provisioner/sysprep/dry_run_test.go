package sysprep

import (
	"errors"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

func TestADryRunSaysEverythingAndChangesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, golden string
		machine      func(*windows.Machine)
		options      map[string]any
	}{
		{name: "of a build without options", golden: "dry-run.ui"},
		{
			name: "of a build that changes much", golden: "dry-run-all.ui",
			machine: func(m *windows.Machine) {
				m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Control\Power!HibernateEnabled`, word("1"))
			},
			options: map[string]any{
				"answer_file":    everySetting(),
				"before_sysprep": map[string]any{"commands": []string{"echo hello"}},
				"setup_complete": map[string]any{"commands": []string{"echo hello"}},
				"close_winrm":    true, "shutdown": "none",
			},
		},
		{
			name: "with EC2Launch v1", golden: "dry-run-v1.ui", machine: runs(windows.Server2019),
			options: map[string]any{
				"answer_file":        map[string]any{"time_zone": "W. Europe Standard Time", "user_locale": "de-DE"},
				"sysprep_specialize": map[string]any{"commands": []string{"echo hello"}},
			},
		},
		{
			name: "with EC2Config", golden: "dry-run-ec2config.ui", machine: runs(windows.Server2012R2),
			options: map[string]any{
				"answer_file":  map[string]any{"network_location": "Work"},
				"post_sysprep": map[string]any{"commands": []string{"echo hello"}},
			},
		},
		{
			name: "with EC2Config and settings of the user's", golden: "dry-run-ec2config-settings.ui", machine: runs(windows.Server2012R2),
			options: map[string]any{
				"administrator_password": map[string]any{"mode": "specify", "value": plantedPassword},
				"agent_config":           map[string]any{"ec2config": map[string]any{"set_rdp_certificate": true}},
			},
		},
		{
			name: "of a build with an answer file of its own", golden: "dry-run-own.ui",
			options: map[string]any{"answer_file_content": own, "shutdown": "agent"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				if test.machine != nil {
					test.machine(m)
				}
			})).with(map[string]any{"dry_run": true}).with(test.options)
			b.succeeds()
			b.untouched()
			b.noResidue()
			b.recorded(handoff.StagePlanned, "")
			golden(t, test.golden, b.scrubbed(b.ui.text())+"\n")

			var refused *image.Failure
			if err := image.CheckRecord(b.record(), image.Demand{Proof: true, Generalized: true}); !errors.As(err, &refused) || refused.Code != image.CodeUnproven {
				t.Errorf("the post-processor would take the guest: %v", err)
			}
		})
	}
}

func TestADryRunFindsWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"dry_run": true, "post_sysprep": map[string]any{"commands": []string{"echo hello"}}})
	b.fails("ES-214")
	b.untouched()
}

// A builder that makes the AMI by itself must not get a success.
func TestADryRunEndsTheBuildOfABuilderThatWouldGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"dry_run": true, "packer_builder_type": "amazon-ebs"})
	b.fails("ES-270", "nothing was changed or sealed", "amazon-ebs", "take dry_run = true out of the template")
	b.untouched()
	b.recorded(handoff.StagePlanned, "")
}

// Packer's communicator puts requests into files on the guest: they go, too.
func TestADryRunThroughPackersCommunicatorLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(*testing.T) *bench{
		"over SSH": func(t *testing.T) *bench {
			b, _ := newSSH(t, nil)
			return b
		},
		"over WinRM": func(t *testing.T) *bench {
			b := newBench(t, nil).byTheBuild("winrm").with(map[string]any{"transport": "communicator"})
			b.comm = packers(t, b)
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := connect(t).with(map[string]any{"setup_complete": map[string]any{"commands": []string{"echo hello"}}, "dry_run": true})
			b.succeeds()
			b.asBefore()
			b.noResidue()
			b.recorded(handoff.StagePlanned, "")
			b.said("Dry run: nothing was changed on the guest, and nothing was sealed.")
		})
	}
}
