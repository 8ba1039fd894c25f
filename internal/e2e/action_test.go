package e2e

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// script is the example's block before_sysprep, which has no meaning without Sysprep.
const script = `before_sysprep {
      commands = ["del /q \"%windir%\\Temp\\*.log\""]
    }`

// A guest that is shut down without Sysprep becomes an AMI only when the
// post-processor is told that it need not be generalized.
func TestABuildWithoutSysprep(t *testing.T) {
	for name, described := range map[string]windows.Machine{
		"EC2Launch v2": windows.Server2022(),
		"EC2Launch v1": windows.Server2019(),
		"EC2Config":    windows.Server2012R2(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) {
				o.Machines[0].Windows = &described
				second := described
				o.Machines = append(o.Machines, lab.MachineOptions{Windows: &second})
			})
			r := b.build(b.edited("full-job.pkr.hcl", script, `action = "shutdown"`), nil)
			b.wantFailure(r, "Starting the shutdown without Sysprep through "+name, "ES-507", "generalized = false")

			b.use(1, "golden-windows")
			r = b.build(b.edited("full-job.pkr.hcl", script, `action = "shutdown"`,
				`post-processor "ec2-sysprep-ami" {`, "post-processor \"ec2-sysprep-ami\" {\n generalized = false"), nil)
			images := b.images()
			if r.code != 0 || len(images) != 1 {
				t.Fatalf("packer ended with %d, and the lab has %d images:\n%s", r.code, len(images), r.output)
			}
			if proof := images[0].Tags["ec2-sysprep:proof"]; proof != "not-generalized" {
				t.Errorf("the image's proof is %q", proof)
			}
			if state := b.lab.Machines()[1].Guest().ImageState(); state != "IMAGE_STATE_COMPLETE" {
				t.Errorf("the guest's image state is %s", state)
			}
			if !strings.Contains(r.output, "every instance has this machine's SID and name") {
				t.Errorf("the consequence was not said:\n%s", r.output)
			}
		})
	}
}

// An agent that is still setting the instance up is waited for, with a limit.
func TestABuildWaitsForTheAgent(t *testing.T) {
	busy := func(seconds int) func(*lab.Options) {
		return func(o *lab.Options) {
			o.Machines[0].Windows.Network.KeepPassword = true
			o.Machines[0].Windows.Services["Amazon EC2Launch"] = windows.Service{
				State: "Running", StartMode: "Auto", Process: "EC2LaunchService", StopsAfter: windows.Seconds(seconds),
			}
		}
	}
	t.Run("until it has ended", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, busy(900))
		r := b.build(example(t, "full-job.pkr.hcl"), nil)
		b.wantOneAMI(r, "seen")
		if !strings.Contains(r.output, "Waiting for EC2Launch v2, for 10m0s at most") || !strings.Contains(r.output, "EC2Launch v2 has ended its work") {
			t.Errorf("the wait was not told:\n%s", r.output)
		}
	})
	t.Run("until the limit", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, busy(0))
		before := b.guest().Fingerprint()
		r := b.build(b.edited("full-job.pkr.hcl", script, `agent_timeout = "2s"`), nil)
		b.wantFailure(r, "ES-109", "it has not ended within 2s (agent_timeout)", "user data is still running")
		b.wantUnchanged(before, r)
	})
}
