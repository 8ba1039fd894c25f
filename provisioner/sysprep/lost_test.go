package sysprep

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// Ways to lose the guest for good before anybody has seen its verdict.
var losses = []struct {
	name    string
	machine func(*windows.Machine)
	broken  winrm.Break
}{
	{name: "WinRM answers 401 during generalize", machine: func(m *windows.Machine) { m.Network.UnauthorizedInGeneralize = true }},
	{name: "the listener is closed for good", broken: winrm.Refused},
	{name: "connections are reset for good", broken: winrm.Reset},
}

func TestALostVerdictIsLeftToThePostProcessor(t *testing.T) {
	t.Parallel()
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				slowly(m)
				if loss.machine != nil {
					loss.machine(m)
				}
			}))
			if loss.broken != winrm.Healthy {
				b.breaks(loss.broken)
			}
			b.succeeds()
			b.recorded(handoff.StageSealerConfirmed, "")
			b.said("The guest was lost before its verdict was seen", "The sealer was seen at work and goes on by itself")
			b.stopped()
			b.noResidue()
		})
	}
}

func TestALostVerdictIsNoSuccessForAnotherBuilder(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(slowly)).with(map[string]any{"packer_builder_type": "amazon-ebs"})
	b.breaks(winrm.Refused)
	b.fails("ES-250", "the builder must not stop it in the middle", "give the options for AWS")
	b.recorded(handoff.StageSealerConfirmed, "")
}

func TestALostVerdictIsProvenByTheGuestsOwnShutdown(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(slowly)).withEC2("").with(map[string]any{"ami_name": nil, "packer_builder_type": "amazon-ebs"})
	b.breaks(winrm.Refused)
	b.succeeds()
	b.recorded(handoff.StageShutdown, handoff.ProofByShutdown)
	b.said("Waiting for EC2 to say that "+b.machine.InstanceID()+" has shut itself down", "Sealed: the guest has shut itself down")
	b.stopped()
}

func TestALostGuestThatSomebodyStopsIsNotSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) { m.Sysprep.Generalize = windows.Seconds(3000) })).
		withEC2("").with(map[string]any{"ami_name": nil, "packer_builder_type": "amazon-ebs"})
	b.breaks(winrm.Refused)
	b.ui.heard = func(line string) {
		if strings.Contains(line, "Waiting for EC2 to say") {
			b.stopFromOutside()
		}
	}
	b.fails("ES-250", "was stopped from outside (Client.UserInitiatedShutdown)", "begin again with a fresh instance")
	b.recorded(handoff.StageSealerConfirmed, "")
	if b.guest().Sealed() {
		t.Error("the guest is sealed")
	}
}

func TestAGuestThatIsLostAtTheTrigger(t *testing.T) {
	t.Parallel()
	// Nobody saw the sealer run: with the null builder EC2's console output has
	// to show the seal, any other builder fails.
	for _, builder := range []string{"null", "amazon-ebs"} {
		t.Run(builder, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(m *lab.MachineOptions) { m.Windows.Start.Delay = windows.Seconds(8) }).
				withEC2("").with(map[string]any{"ami_name": nil, "packer_builder_type": builder})
			b.ui.heard = func(line string) {
				if strings.Contains(line, "Starting Sysprep") {
					go func() {
						for b.guest().ProgramsStarted() == 0 && t.Context().Err() == nil {
							_ = b.lab.Clock.Wait(t.Context(), 100*time.Millisecond)
						}
						_ = b.machine.Break(winrm.Refused)
					}()
				}
			}
			if builder == "null" {
				b.succeeds()
				b.said("Nobody saw the sealer at work")
			} else {
				b.fails("ES-250", "the guest was lost before its verdict was seen")
			}
			b.recorded(handoff.StageTriggered, "")
			if n := b.guest().ProgramsStarted(); n != 1 {
				t.Errorf("%d sealers were started", n)
			}
			b.stopped()
		})
	}
}

// stopFromOutside stops the instance as somebody with the console would.
func (b *bench) stopFromOutside() {
	b.t.Helper()
	client := ec2.New(ec2.Options{
		Region: b.lab.Region(), BaseEndpoint: aws.String(b.lab.Endpoint()),
		Credentials: credentials.NewStaticCredentialsProvider(lab.AccessKey, lab.SecretKey, ""),
	})
	if _, err := client.StopInstances(b.t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{b.machine.InstanceID()}}); err != nil {
		b.t.Error(err)
	}
}

func TestASecondAttemptNeverStartsASecondSealer(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Sysprep.Generalize, m.Network.KeepPassword = windows.Seconds(300), true
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.generalizing(cancel)
	if err := b.provision(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first attempt ended with %v", err)
	}
	token := b.record().Token
	b.succeeds()
	b.said("An earlier attempt of this build started Sysprep on the guest; watching it, not starting it again")
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
	if got := b.record().Token; got != token {
		t.Errorf("the token is %s, and was %s", got, token)
	}
	if n := b.guest().ProgramsStarted(); n != 1 {
		t.Errorf("%d sealers were started", n)
	}
	b.stopped()

	// A third one finds the work done.
	b.succeeds()
	b.said("This build has sealed the guest already; nothing is left to do")
	if n := b.guest().ProgramsStarted(); n != 1 {
		t.Errorf("%d sealers were started", n)
	}
}

func TestASecondAttemptThatFindsNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(slowly))
	b.breaks(winrm.Refused)
	b.succeeds()
	b.succeeds()
	b.recorded(handoff.StageSealerConfirmed, "")
	if n := b.guest().ProgramsStarted(); n != 1 {
		t.Errorf("%d sealers were started", n)
	}
}

// The second attempt has asked EC2 nothing yet when it finds the guest gone.
func TestASecondAttemptThatFindsNobodyAsksEC2(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(slowly)).withEC2("golden").with(map[string]any{"packer_builder_type": "amazon-ebs"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.generalizing(func() {
		_ = b.machine.Break(winrm.Refused)
		cancel()
	})
	if err := b.provision(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first attempt ended with %v", err)
	}
	b.succeeds()
	b.recorded(handoff.StageShutdown, handoff.ProofByShutdown)
	b.stopped()
}
