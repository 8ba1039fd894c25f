package generalize

import (
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// What EC2Launch v1 schedules is in the sealed image, and gone after a refusal.
func TestTheSchedulesOfEC2LaunchV1(t *testing.T) {
	t.Parallel()
	tasks := []string{
		"Amazon Ec2 Launch - Disk Initialization", "Amazon Ec2 Launch - Event logs to Console",
		"Amazon Ec2 Launch - Instance Initialization", "Amazon Ec2 Launch - Windows is Ready to Console",
	}
	for _, test := range []struct {
		name    string
		refuses bool
		outcome Outcome
	}{{"in a sealed image", false, Sealed}, {"after a refusal", true, Refused}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			off := make(chan struct{})
			j, g := newJobWith(t, func(m *windows.Machine) {
				*m = windows.Server2019()
				if test.refuses {
					m.Sysprep.Refuse = windows.RefuseBitLocker()
				}
			}, windows.Hooks{PowerOff: func() { close(off) }})
			j.Agent = launchagent.EC2LaunchV1{}
			j.Order.Schedules = launchagent.Schedules{PerBoot: true, Disks: true, EventLogs: true, Ready: true}
			before := g.Snapshot()
			plan, starts, err := j.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Stage(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			confirmed, err := j.Trigger(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			verdict, err := j.Watch(t.Context(), confirmed, starts)
			if err != nil || verdict.Outcome != test.outcome {
				t.Fatalf("the outcome is %d (%v), %+v", verdict.Outcome, err, verdict.State)
			}
			if test.refuses {
				if err := j.Clean(t.Context()); err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(before.Diff(g.Snapshot())) {
					if strings.Contains(line, "task ") || strings.Contains(line, `\tasks\`) || strings.Contains(line, "ssm") {
						t.Errorf("not put back: %s", line)
					}
				}
				return
			}
			<-off
			got := g.Tasks()
			slices.Sort(got)
			if !slices.Equal(got, tasks) {
				t.Errorf("the image has the tasks %q", got)
			}
			if definition, _ := g.File(`C:\Windows\System32\Tasks\` + tasks[2]); !(launchagent.EC2LaunchV1{}).LosesPerBoot(launchagent.Order{}, definition) {
				t.Errorf("the instances are not set up at each boot: %q", definition)
			}
		})
	}
}
