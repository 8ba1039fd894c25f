package windows

import (
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// Named is a description with a name.
type Named struct {
	Name string
	// Summary says in a line what is special about it.
	Summary string
	// Make returns the description.
	Make func() Machine
}

// Ready returns the description of that name; ok is false when there is none.
func Ready(name string) (m Machine, ok bool) {
	for _, one := range Catalogue() {
		if one.Name == name {
			return one.Make(), true
		}
	}
	return Machine{}, false
}

// Catalogue are the descriptions that are ready: Windows versions that seal
// without a fault, and Server 2022 with one thing wrong.
func Catalogue() []Named {
	return []Named{
		{"server-2022", "Windows Server 2022 with EC2Launch v2: seals", Server2022},
		{"server-2025", "Windows Server 2025 with EC2Launch v2: seals", Server2025},
		{"server-2019", "Windows Server 2019 with EC2Launch v1: seals", Server2019},
		{"server-2016", "Windows Server 2016 with EC2Launch v1: seals", Server2016},
		{"server-2012-r2", "Windows Server 2012 R2 with EC2Config: seals", Server2012R2},
		{"server-2012", "Windows Server 2012 with EC2Config and PowerShell 3.0: seals", Server2012},
		{"server-2008-r2", "Windows Server 2008 R2 with PowerShell 2.0, which is too old", Server2008R2},
		{"refuses-appx", "Sysprep refuses: a package is installed and not provisioned", differs(func(m *Machine) {
			m.AppX = append(m.AppX, guest.Package{Name: "Microsoft.Edge.GameAssist", FullName: "Microsoft.Edge.GameAssist_1.0.3423.0_x64__8wekyb3d8bbwe", Signature: "Store", Installed: true})
		})},
		{"refuses-bitlocker", "Sysprep refuses: BitLocker is on", differs(func(m *Machine) {
			m.SetCIM(`root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`, "ProtectionStatus", "1")
		})},
		{"refuses-unfinished", "Sysprep refuses: an earlier generalize did not end", differs(func(m *Machine) {
			m.SetRegistry(sysprepKey+"!GeneralizationState", Word("3"))
		})},
		{"fails-in-generalize", "a provider fails in the middle of generalize", differs(func(m *Machine) { m.Sysprep.FailsInGeneralize = FailDTC() })},
		{"dies-in-generalize", "sysprep.exe vanishes in the middle of generalize", differs(func(m *Machine) { m.Sysprep.DiesInGeneralize = true })},
		{"hangs-in-generalize", "sysprep.exe never ends", differs(func(m *Machine) { m.Sysprep.HangsInGeneralize = true })},
		{"agent-never-starts", "the launch agent ends without having started Sysprep", differs(func(m *Machine) { m.Agent.NeverStartsSysprep, m.Agent.Code = true, 1 })},
		{"agent-returns-early", "the launch agent ends before Sysprep does", differs(func(m *Machine) { m.Agent.ReturnsBeforeSysprep = true })},
		{"agent-still-running", "the launch agent's service runs for another two minutes", differs(func(m *Machine) {
			m.Services[v2Service] = Service{State: "Running", StartMode: "Auto", Process: "EC2LaunchService", StopsAfter: Seconds(120)}
		})},
		{"before-sysprep-fails", "BeforeSysprep.cmd ends with code 3", differs(func(m *Machine) { m.SetFile(v2Before, shippedBeforeSysprep+"exit /b 3\r\n") })},
		{"answer-file-malformed", "the answer file is no XML", differs(func(m *Machine) { m.SetFile(v2AnswerFile, shippedAnswerFile[:len(shippedAnswerFile)/2]) })},
		{"loses-winrm-at-start", "the network goes away for good when the sealer is started", differs(func(m *Machine) { m.Network.CutOnStart = true })},
		{"loses-winrm-for-a-while", "the network goes away for 40 s during generalize", differs(func(m *Machine) {
			m.Network.CutAfter, m.Network.CutFor = Seconds(30), Seconds(40)
		})},
		{"loses-winrm-in-generalize", "the network goes away for good during generalize", differs(func(m *Machine) { m.Network.CutAfter = Seconds(50) })},
		{"unauthorized-in-generalize", "WinRM answers 401 before generalize has ended", differs(func(m *Machine) { m.Network.UnauthorizedInGeneralize = true })},
		{"winrm-restarts", "the WinRM service restarts during generalize", differs(func(m *Machine) { m.Network.ServiceRestartAfter = Seconds(40) })},
		{"reboots-unexpectedly", "the machine reboots in the middle of generalize", differs(func(m *Machine) { m.Power.RebootAfter = Seconds(40) })},
		{"never-off", "the shutdown after sealing never ends", differs(func(m *Machine) { m.Power.NeverOff = true })},
		{"task-denied", "no scheduled task may be registered", differs(func(m *Machine) { m.Start.TaskDenied = true })},
		{"task-never-runs", "a scheduled task is registered and does not run", differs(func(m *Machine) { m.Start.TaskNeverRuns = true })},
		{"nothing-starts", "neither a task nor CIM starts a program", differs(func(m *Machine) { m.Start.TaskDenied, m.Start.CIMRefused = true, true })},
		{"clock-off", "the guest's clock is three hours ahead", differs(func(m *Machine) { m.ClockOffset = Duration(3 * time.Hour) })},
		{"constrained-language", "PowerShell runs in ConstrainedLanguage mode", differs(func(m *Machine) { m.Language = "ConstrainedLanguage" })},
		{"old-powershell", "PowerShell is version 2.0", differs(func(m *Machine) { m.PowerShell = "2.0" })},
		{"no-metadata", "the instance metadata service does not answer", differs(func(m *Machine) { m.MetadataOff = true })},
	}
}

// differs returns a Server 2022 with one thing changed.
func differs(change func(*Machine)) func() Machine {
	return func() Machine {
		m := Server2022()
		change(&m)
		return m
	}
}
