package windows

import (
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

const minute = time.Minute

// seal lets the sealer work without anybody connected.
func (b *bench) seal(p guest.SealPlan) {
	b.t.Helper()
	b.stage(p)
	s := b.open()
	s.trigger(guest.ViaTask)
	s.close()
}

func TestASealedGuestThatBootsIsSealedNoMore(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.seal(plan())
		b.until(10*minute, "the end", func() bool { return !b.On() })
		if !b.Sealed() {
			t.Fatal("it went off without a seal")
		}
		b.PowerOn()
		b.PowerOn()
		b.until(minute, "the setup", func() bool { return b.ImageState() == stateUndeployable })
		if _, ok := b.Password("Administrator"); ok {
			t.Error("somebody may log on while Windows sets itself up")
		}
		b.until(10*minute, "WinRM", b.Reachable)
		if b.Sealed() || b.ImageState() != stateComplete || b.SetupRuns() != 1 || b.Boots() != 2 {
			t.Errorf("sealed %t, image state %s, set up %d times, %d boots", b.Sealed(), b.ImageState(), b.SetupRuns(), b.Boots())
		}
		if password, ok := b.Password("administrator"); !ok || password == Server2022().Accounts["Administrator"].Password {
			t.Error("the account has its old password, or none")
		}
		if !strings.Contains(b.COM1(), "Windows is Ready to use") {
			t.Errorf("COM1 says %q", b.COM1())
		}
	})
}

func TestAnotherBootHasAnotherID(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		s := b.open()
		before := answerAs[guest.Identity](t, s.ask(`{"op":"hello"}`)[0]).Boot
		b.Reboot()
		b.until(minute, "going down", func() bool { return !b.On() || b.Boots() == 2 })
		if code := <-s.ended; code == 0 {
			t.Error("the session ended as if nothing had happened")
		}
		b.until(5*minute, "coming up", b.Reachable)
		s = b.open()
		defer s.close()
		if after := answerAs[guest.Identity](t, s.ask(`{"op":"hello"}`)[0]).Boot; after == before {
			t.Errorf("the boot's id is still %s", after)
		}
		if got := b.happened(); got != "shells dropped, network off, network up" {
			t.Errorf("happened: %s", got)
		}
	})
}

func TestPowerIsCutInTheMiddle(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.seal(plan())
		b.until(2*minute, "generalize", func() bool { return b.Registry(sysprepKey, "GeneralizationState").Text == "3" })
		b.PowerOff()
		before := b.Fingerprint()
		timer := time.NewTimer(10 * minute)
		<-timer.C
		if b.Fingerprint() != before || len(b.Processes()) != 0 {
			t.Error("something happened after the machine went off")
		}
		if b.ImageState() != stateUndeployable || strings.Contains(b.happened(), ", off") {
			t.Errorf("image state %s, happened: %s", b.ImageState(), b.happened())
		}
	})
}

func TestHowBadDaysLook(t *testing.T) {
	tests := []struct {
		name    string
		machine func(m *Machine)
		want    string
	}{
		{"the network is cut for good when the sealer starts", func(m *Machine) { m.Network.CutOnStart = true }, "network cut, off"},
		{"the network is cut for a while", func(m *Machine) { m.Network.CutAfter, m.Network.CutFor = Seconds(10), Seconds(30) }, "network cut, network up, shells dropped, network off, off"},
		{"the WinRM service restarts", func(m *Machine) { m.Network.ServiceRestartAfter = Seconds(20) }, "shells dropped, shells dropped, network off, off"},
		{"the shutdown hangs", func(m *Machine) { m.Power.NeverOff = true }, "shells dropped, network off"},
		{"shutting down is denied", func(m *Machine) { m.Power.ShutdownDenied = true }, ""},
		{"the agent returns before Sysprep has ended", func(m *Machine) { m.Agent.ReturnsBeforeSysprep = true }, "shells dropped, network off, off"},
		{"the machine reboots in the middle", func(m *Machine) { m.Power.RebootAfter = Seconds(40) }, "shells dropped, network off, network up"},
		{"sysprep.exe hangs after it has sealed", func(m *Machine) { m.Sysprep.HangsAtEnd = true }, ""},
		{"the agent's service still runs for two minutes", func(m *Machine) {
			m.Services[v2Service] = Service{State: "Running", StartMode: "Auto", Process: "EC2LaunchService", StopsAfter: Seconds(120)}
		}, "shells dropped, network off, off"},
		{"a task does not run", func(m *Machine) { m.Start.TaskNeverRuns = true }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			test.machine(&m)
			bubble(t, m, func(t *testing.T, b *bench) {
				b.seal(plan())
				timer := time.NewTimer(30 * minute)
				<-timer.C
				if got := b.happened(); got != test.want {
					t.Errorf("happened: %s\nwant: %s\nstate %+v", got, test.want, b.state())
				}
			})
		})
	}
}

func TestThePasswordBeforeTheEndOfGeneralize(t *testing.T) {
	m := Server2022()
	m.Network.UnauthorizedInGeneralize = true
	bubble(t, m, func(t *testing.T, b *bench) {
		b.seal(plan())
		b.until(5*minute, "the end of the password", func() bool { _, ok := b.Password("Administrator"); return !ok })
		if b.ImageState() != stateUndeployable {
			t.Errorf("image state %s", b.ImageState())
		}
	})
}

func TestARefusedGuestIsAsItWas(t *testing.T) {
	m := Server2022()
	m.Sysprep.Refuse = RefuseBitLocker()
	bubble(t, m, func(t *testing.T, b *bench) {
		before := b.Snapshot()
		p := plan()
		p.Folder = testFolder
		keep := func(path string) {
			kept := testFolder + `\kept-` + base(path)
			p.Apply = append(p.Apply, guest.Act{Act: guest.ActCopy, From: path, Path: kept})
			p.Failed = append(p.Failed, guest.Act{Act: guest.ActCopy, From: kept, Path: path})
		}
		keep(v2AnswerFile)
		keep(v2RunOnce)
		keep(v2StateFile)
		keep(tagFile)
		hibernate := Word("1")
		p.Failed = append(p.Failed, guest.Act{Act: guest.ActRegistry, Path: powerKey, Name: "HibernateEnabled", Set: &hibernate})
		b.seal(p)
		b.until(5*minute, "putting back", func() bool { return b.state().Phase == guest.PhasePutBack })
		b.RemoveFile(testFolder)
		if diff := before.Diff(b.Snapshot()); diff != "" {
			t.Errorf("the guest is not as it was:\n%s", diff)
		}
	})
}

func TestTheSealerThatWasCalledOffTouchesNothing(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.stage(plan())
		b.PutFile(testFolder+`\`+guest.ClaimFile, []byte(guest.ClaimCalledOff))
		before := b.Snapshot()
		s := b.open()
		s.trigger(guest.ViaCIM)
		s.close()
		timer := time.NewTimer(minute)
		<-timer.C
		if diff := before.Diff(b.Snapshot()); diff != "" {
			t.Errorf("it changed:\n%s", diff)
		}
	})
}

func TestASealerOfAnotherTextIsRefused(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.stage(plan())
		b.PutFile(testFolder+`\`+guest.ScriptFile, []byte("Write-Output 1"))
		s := b.open()
		s.trigger(guest.ViaCIM)
		s.close()
		b.until(minute, "a note", func() bool { return len(b.Notes()) > 0 })
		if _, claimed := b.File(testFolder + `\` + guest.ClaimFile); claimed {
			t.Error("it claimed the work")
		}
	})
}
