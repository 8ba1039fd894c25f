package windows

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, m Machine, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, m)
		test(t, b)
		b.Close()
	})
}

func TestTheSealerSealsAndShutsDown(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		p := plan()
		p.Sealed = []guest.Act{}
		b.stage(p)
		s := b.open()
		s.trigger(guest.ViaTask)
		s.close()
		b.until(time.Minute, "the sealer's start", func() bool { return b.state().Phase == guest.PhaseCommand })
		if tasks := b.Tasks(); len(tasks) != 0 {
			t.Errorf("tasks %q are left", tasks)
		}
		b.until(5*time.Minute, "the verdict", func() bool { return b.state().Phase == guest.PhaseSealed })
		if !b.Sealed() {
			t.Errorf("sealed without a seal: %+v", b.state())
		}
		if !strings.Contains(b.COM1(), "packer-plugin-ec2-sysprep token-1 sealed") {
			t.Errorf("COM1 says %q", b.COM1())
		}
		b.until(time.Minute, "the end of the password", func() bool {
			_, ok := b.Password("Administrator")
			return !ok
		})
		b.until(time.Minute, "the shutdown", func() bool { return !b.On() })
		if got := b.happened(); got != "shells dropped, network off, off" {
			t.Errorf("happened: %s", got)
		}
		if state := b.state(); state.Phase != guest.PhaseShutdown || state.Reason != "" {
			t.Errorf("last state %+v", state)
		}
	})
}

func TestTheAcknowledgementSavesTheWait(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.stage(plan())
		s := b.open()
		s.trigger(guest.ViaCIM)
		s.close()
		b.until(5*time.Minute, "the verdict", func() bool { return b.state().Phase == guest.PhaseSealed })
		b.PutFile(testFolder+`\`+guest.SeenFile, nil)
		at := time.Now()
		b.until(time.Minute, "the end", func() bool { return !b.On() })
		if took := time.Since(at); took > 9*time.Second {
			t.Errorf("the shutdown took %s after the acknowledgement", took)
		}
		if there, _ := b.Folder(testFolder); there {
			t.Error("the working folder is left")
		}
	})
}

func TestWhySealingFails(t *testing.T) {
	tests := []struct {
		name       string
		machine    func(m *Machine)
		plan       func(p *guest.SealPlan)
		reason     string
		detail     string
		imageState string
	}{
		{
			"Sysprep refuses because of a package and stays behind a box",
			func(m *Machine) {
				m.AppX = append(m.AppX, guest.Package{Name: "Notepad", FullName: "Notepad_1_x64", Signature: "Store", Installed: true})
			}, nil, guest.ReasonGaveUp, "[0x0f0070]", stateComplete,
		},
		{
			"Sysprep refuses because of BitLocker and exits",
			func(m *Machine) {
				m.SetCIM(`root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`, "ProtectionStatus", "1")
				m.Sysprep.MessageBox = false
			}, nil, guest.ReasonGaveUp, "0x80310039", stateComplete,
		},
		{
			"an earlier generalize did not end",
			func(m *Machine) { m.SetRegistry(sysprepKey+"!GeneralizationState", Word("3")) },
			nil, guest.ReasonGaveUp, "Hit failure", stateComplete,
		},
		{
			"no rearm is left",
			func(m *Machine) { m.SetCIM("SoftwareLicensingService", "RemainingWindowsReArmCount", "0") },
			nil, guest.ReasonGaveUp, "0xc004d307", stateUndeployable,
		},
		{
			"a provider fails in generalize",
			func(m *Machine) { m.Sysprep.FailsInGeneralize = FailDTC() },
			nil, guest.ReasonGaveUp, "0x80070005", stateUndeployable,
		},
		{
			"the answer file is malformed",
			func(m *Machine) {
				m.SetFile(v2AnswerFile, "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\"><settings>")
			},
			nil, guest.ReasonGaveUp, "0x80220001", stateComplete,
		},
		{
			"Sysprep dies in generalize",
			func(m *Machine) { m.Sysprep.DiesInGeneralize = true },
			nil, guest.ReasonState, "", stateUndeployable,
		},
		{
			"Sysprep hangs in generalize",
			func(m *Machine) { m.Sysprep.HangsInGeneralize = true },
			nil, guest.ReasonStalled, "", stateUndeployable,
		},
		{
			"the total limit is reached",
			func(m *Machine) { m.Sysprep.HangsInGeneralize = true },
			func(p *guest.SealPlan) { p.Limits.Total = 100 }, guest.ReasonTimeout, "", stateUndeployable,
		},
		{
			"the agent never starts Sysprep",
			func(m *Machine) { m.Agent.NeverStartsSysprep, m.Agent.Code = true, 7 },
			nil, guest.ReasonNeverSeen, "code 7", stateComplete,
		},
		{
			"the agent hangs",
			func(m *Machine) { m.Agent.Hangs = true },
			nil, guest.ReasonStalled, "", stateComplete,
		},
		{
			"BeforeSysprep ends with an error",
			func(m *Machine) { m.SetFile(v2Before, "reg add HKLM\\SOFTWARE\\X /v Y /d Z /f\r\nexit /b 3\r\n") },
			nil, guest.ReasonNeverSeen, "code 1", stateComplete,
		},
		{
			"the tag is missing",
			func(m *Machine) { m.Sysprep.NoTag = true },
			nil, guest.ReasonState, "", stateGeneralized,
		},
		{
			"an act of the plan fails",
			nil, func(p *guest.SealPlan) {
				p.Apply = []guest.Act{{Act: guest.ActCopy, From: `C:\nowhere`, Path: `C:\there`}}
			}, guest.ReasonApply, `C:\nowhere does not exist`, stateComplete,
		},
		{
			"a preparing command fails",
			nil, func(p *guest.SealPlan) {
				p.Commands = append([]guest.Command{{File: v2Program, Arguments: "status"}}, p.Commands...)
				p.Commands[0].File = `C:\Windows\System32\reg.exe`
				p.Commands[0].Arguments = `query HKLM\SOFTWARE\Nothing`
			}, guest.ReasonCommand, "reg.exe ended with code 1", stateComplete,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			if test.machine != nil {
				test.machine(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				p := plan()
				if test.plan != nil {
					test.plan(&p)
				}
				b.stage(p)
				s := b.open()
				s.trigger(guest.ViaTask)
				s.close()
				b.until(40*time.Minute, "putting back", func() bool { return b.state().Phase == guest.PhasePutBack })
				state := b.state()
				if state.Reason != test.reason || !strings.Contains(state.Detail, test.detail) {
					t.Errorf("reason %q detail %q, want %q %q", state.Reason, state.Detail, test.reason, test.detail)
				}
				if b.ImageState() != test.imageState || state.ImageState != test.imageState {
					t.Errorf("image state %s, told %s, want %s", b.ImageState(), state.ImageState, test.imageState)
				}
				if b.Runs("sysprep") {
					t.Error("sysprep.exe was left")
				}
				if b.Runs("EC2Launch") {
					t.Error("the agent was left, and would start Sysprep later")
				}
				if !b.On() || b.happened() != "" {
					t.Errorf("the guest did not stay up: %s", b.happened())
				}
				if got := b.Registry(`HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`, "fDenyTSConnections").Text; got != "0" {
					t.Errorf("RDP stays locked: %s", got)
				}
				if !strings.Contains(b.COM1(), "token-1 failed") {
					t.Errorf("COM1 says %q", b.COM1())
				}
			})
		})
	}
}
