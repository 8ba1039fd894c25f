package sysprep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// What ends a build after the trigger: Sysprep, or what leads to it, says no.
// The guest is put back exactly, unless Windows itself was left half-way.
func TestARefusalIsExplainedAndPutBack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		machine func(*windows.Machine)
		options map[string]any
		code    string
		phrases []string
		// ruined says that generalize has changed what nobody can put back.
		ruined bool
	}{
		{
			name: "a package that is not provisioned, behind a message box",
			machine: func(m *windows.Machine) {
				m.Sysprep.Refuse = windows.RefuseAppX("Contoso.App_1.0.0.0_x64__abcdefgh12345")
			},
			code: "ES-303", phrases: []string{"Contoso.App_1.0.0.0_x64__abcdefgh12345", "First fatal line: ", "Next: "},
		},
		{
			name: "a package that is not provisioned, without a message box",
			machine: func(m *windows.Machine) {
				m.Sysprep.Refuse, m.Sysprep.MessageBox = windows.RefuseAppX("Contoso.App_1.0.0.0_x64__abcdefgh12345"), false
			},
			code: "ES-303", phrases: []string{"Contoso.App_1.0.0.0_x64__abcdefgh12345"},
		},
		{
			name: "BitLocker", machine: func(m *windows.Machine) { m.Sysprep.Refuse = windows.RefuseBitLocker() },
			code: "ES-316", phrases: []string{"BitLocker", "manage-bde"},
		},
		{
			name: "reserved storage, with a guest whose WinRM restarts", machine: func(m *windows.Machine) {
				m.Sysprep.Refuse = windows.RefuseReservedStorage()
				m.Network.ServiceRestartAfter = windows.Seconds(2)
			},
			code: "ES-307", phrases: []string{"reserved storage"},
		},
		{
			name: "a provider that fails in the middle", machine: func(m *windows.Machine) { m.Sysprep.FailsInGeneralize = windows.FailDTC() },
			code: "ES-343", phrases: []string{"SysPrepDtcGeneralize", "Windows itself was left half-way"}, ruined: true,
		},
		{
			name: "a Sysprep that dies half-way", machine: func(m *windows.Machine) { m.Sysprep.DiesInGeneralize = true },
			code: "ES-300", phrases: []string{"ImageState is IMAGE_STATE_UNDEPLOYABLE", "throw this instance away"}, ruined: true,
		},
		{
			name: "a Sysprep that hangs", machine: func(m *windows.Machine) { m.Sysprep.HangsInGeneralize = true },
			options: map[string]any{"stall_timeout": "60s"},
			code:    "ES-243", phrases: []string{"Nothing had moved for 1m0s.", "stall_timeout", "throw this instance away"}, ruined: true,
		},
		{
			name: "a Sysprep that takes too long", machine: func(m *windows.Machine) { m.Sysprep.Generalize = windows.Seconds(600) },
			options: map[string]any{"sysprep_timeout": "60s"},
			code:    "ES-244", phrases: []string{"It had not ended after 1m0s.", "sysprep_timeout"}, ruined: true,
		},
		{
			name: "a Sysprep that hangs after its work", machine: func(m *windows.Machine) { m.Sysprep.HangsAtEnd, m.Network.KeepPassword = true, true },
			options: map[string]any{"stall_timeout": "60s"},
			code:    "ES-243", phrases: []string{"IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE", "Nothing had moved for 1m0s.", "throw this instance away"}, ruined: true,
		},
		{
			name: "a Sysprep that leaves no tag", machine: func(m *windows.Machine) { m.Sysprep.NoTag, m.Network.KeepPassword = true, true },
			code: "ES-300", phrases: []string{"IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE, but Sysprep_succeeded.tag is not there", "throw this instance away"}, ruined: true,
		},
		{
			name: "an agent that never starts Sysprep", machine: func(m *windows.Machine) { m.Agent.NeverStartsSysprep, m.Agent.Code = true, 1 },
			code: "ES-242", phrases: []string{"the launch agent ended and Sysprep never appeared", `look at the launch agent's log: C:\ProgramData\Amazon\EC2Launch\log\agent.log`},
		},
		{
			name: "an agent that hangs", machine: func(m *windows.Machine) { m.Agent.Hangs = true },
			options: map[string]any{"stall_timeout": "60s"},
			code:    "ES-243", phrases: []string{"Nothing had moved for 1m0s."},
		},
		{
			name: "a configuration of the agent that is not valid", machine: func(m *windows.Machine) { m.Agent.InvalidConfig = "stage preReady: unknown task" },
			code: "ES-241", phrases: []string{"the launch agent's command failed", "stage preReady: unknown task", "Sysprep was not started"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).withEC2("golden").with(test.options)
			b.fails(test.code, test.phrases...)
			b.recorded(handoff.StageRefused, "")
			b.noResidue()
			b.noImage()
			b.keepsLogs()
			b.said("Fetching the guest's logs", "What was changed on the guest has been put back.")
			if !test.ruined {
				b.asBefore()
			}
			if !b.guest().On() {
				t.Error("the guest was shut down")
			}
			if got := b.guest().Registry(denyKey, "fDenyTSConnections").Text; got != "0" {
				t.Errorf("remote desktop stays closed: fDenyTSConnections is %s", got)
			}
		})
	}
}

// keepsLogs wants log_dir to hold logs that nobody else may read.
func (b *bench) keepsLogs() {
	b.t.Helper()
	record := b.record()
	folder := filepath.Join(b.folder, "logs", record.InstanceID+"-"+record.Token)
	entries, err := os.ReadDir(folder)
	if err != nil {
		b.t.Errorf("log_dir: %s", err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
		info, err := entry.Info()
		if err != nil {
			b.t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			b.t.Errorf("%s can be read by others: %v", entry.Name(), info.Mode())
		}
	}
	for _, want := range []string{"windir_System32_Sysprep_Panther_setupact.log", "agent.txt", "state.json", "ProgramData_Amazon_EC2Launch_log_agent.log"} {
		found := false
		for _, name := range names {
			found = found || name == want
		}
		if !found {
			b.t.Errorf("%s is not among the logs %q", want, names)
		}
	}
}

func TestTheWholeTextOfARefusal(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Sysprep.Refuse = windows.RefuseAppX("Contoso.App_1.0.0.0_x64__abcdefgh12345")
	}))
	if err := b.provision(t.Context()); err == nil {
		t.Fatal("the provisioner succeeded")
	}
	var lines []string
	for line := range strings.Lines(b.scrubbed(b.ui.text()) + "\n") {
		// A look may come in the moment before all has been put back.
		if !strings.Contains(line, "the guest puts back what was changed") {
			lines = append(lines, line)
		}
	}
	golden(t, "refused.ui", strings.Join(lines, ""))
}

func TestASecretInTheGuestsLogsIsTakenOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Sysprep.Refuse = windows.RefuseBitLocker()
		password := m.Accounts["Administrator"].Password
		m.SetFile(agentFolder+`\log\agent.log`, "the password is "+password+"\r\n")
		m.Files[agentFolder+`\log\error.log`] = windows.File{Data: append([]byte{0xff, 0xfe}, inUTF16("the password is "+password+"\r\n")...)}
	}))
	if err := b.provision(t.Context()); err == nil {
		t.Fatal("the provisioner succeeded")
	}
	b.keepsLogs()
	record := b.record()
	data, err := os.ReadFile(filepath.Join(b.folder, "logs", record.InstanceID+"-"+record.Token, "ProgramData_Amazon_EC2Launch_log_agent.log"))
	if err != nil || !strings.Contains(string(data), "the password is <sensitive>") {
		t.Errorf("the log says %q (%v)", data, err)
	}
	// The logs on the guest are not ours to change: take them away before the
	// bench looks for its password.
	b.guest().RemoveFile(agentFolder + `\log`)
}

func TestAFileThatCannotBePutIntoPlaceEndsTheBuild(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"before_sysprep": map[string]any{"commands": []string{"echo hello"}}})
	b.ui.heard = func(line string) {
		if strings.HasPrefix(line, "Starting Sysprep") {
			b.guest().Hold(scriptPath, true)
		}
	}
	b.fails("ES-240", "the files could not be put into place", "Sysprep was not started")
	b.guest().Hold(scriptPath, false)
	b.recorded(handoff.StageRefused, "")
	b.asBefore()
	b.noResidue()
}

func TestARestartInTheMiddleEndsTheBuild(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Power.RebootAfter, m.Network.KeepPassword = windows.Seconds(12), true
		m.Power.BootTakes = windows.Seconds(20)
	})).with(map[string]any{"reconnect_timeout": "20s"})
	b.fails("ES-251", "the guest was restarted while Sysprep was at work", "begin again with a fresh instance")
	b.recorded(handoff.StageRefused, "")
	b.noImage()
	if b.guest().Boots() != 2 {
		t.Errorf("the guest booted %d times", b.guest().Boots())
	}
}

func TestAFailureOfTheGuestsOwnToPutBackIsSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Sysprep.Refuse = windows.RefuseBitLocker()
		m.Agent.Prepares = windows.Seconds(40)
	}))
	b.ui.heard = func(line string) {
		if strings.Contains(line, "Starting Sysprep") {
			go func() {
				for !b.guest().Runs("sysprep") {
					if b.lab.Clock.Wait(t.Context(), 1e9) != nil {
						return
					}
				}
				b.guest().Hold(answerPath, true)
			}()
		}
	}
	if err := b.provision(t.Context()); err == nil || !strings.Contains(err.Error(), "has been put back, but for: ") || !strings.Contains(err.Error(), "unattend.xml") {
		t.Errorf("the error is %v", err)
	}
	b.guest().Hold(answerPath, false)
}
