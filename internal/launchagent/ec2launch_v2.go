package launchagent

import "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"

// EC2LaunchV2 is EC2Launch v2, the agent of the AMIs for Windows Server 2022
// and 2025 and of the EC2LaunchV2 AMIs for older ones.
//
// Its sysprep command waits for its service, resets its run-once state,
// rewrites the locales in its answer file, turns hibernation off, runs
// BeforeSysprep.cmd and starts Sysprep; without --shutdown it leaves the
// machine up. Source: the AWS user guide on EC2Launch v2.
type EC2LaunchV2 struct{ plain }

const ec2launchV2Data = `%ProgramData%\Amazon\EC2Launch`

// ID implements Agent.
func (EC2LaunchV2) ID() string { return "ec2launch-v2" }

// Title implements Agent.
func (EC2LaunchV2) Title() string { return "EC2Launch v2" }

// Program implements Agent.
func (EC2LaunchV2) Program() string { return `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe` }

// AnswerFile implements Agent.
func (EC2LaunchV2) AnswerFile() string { return ec2launchV2Data + `\sysprep\unattend.xml` }

// Script implements Agent.
func (EC2LaunchV2) Script(script Script) (string, bool) {
	if script == BeforeSysprep {
		return ec2launchV2Data + `\sysprep\BeforeSysprep.cmd`, true
	}
	return "", false
}

// ConfigFile implements Agent.
func (EC2LaunchV2) ConfigFile(file ConfigFile) (string, bool) {
	if file == MainConfig {
		return ec2launchV2Data + `\config\agent-config.yml`, true
	}
	return "", false
}

// Service implements Agent.
func (EC2LaunchV2) Service() string { return "Amazon EC2Launch" }

// Commands implements Agent. The flag --block, which older versions wanted,
// is deprecated since 2.0.1521 and not given: the sealer waits by itself.
//
// What the dialog's "Shutdown without Sysprep" runs AWS does not say. The
// command that it documents for having the agent run its once-tasks again, so
// that instances from the image get a password and run their user data, is
// reset; it is also the one that sysprep runs before anything else.
func (a EC2LaunchV2) Commands(order Order) []guest.Command {
	arguments := "sysprep"
	switch {
	case order.Action == ActionShutdown:
		arguments = "reset"
	case order.Shutdown == ShutdownAgent:
		arguments += " --shutdown"
	}
	return []guest.Command{
		{File: a.Program(), Arguments: "validate"},
		{File: a.Program(), Arguments: arguments},
	}
}

// Writes implements Agent.
func (a EC2LaunchV2) Writes(action Action) []string {
	state := []string{
		ec2launchV2Data + `\state\.run-once`,
		ec2launchV2Data + `\state\state.json`,
		ec2launchV2Data + `\state\previous-state.json`,
	}
	if action == ActionShutdown {
		return state
	}
	return append([]string{a.AnswerFile()}, state...)
}

// Settings implements Agent.
func (EC2LaunchV2) Settings(action Action) []Setting {
	if action == ActionShutdown {
		return nil
	}
	return []Setting{DenyRDP, hibernation}
}

// Restores implements Agent.
func (EC2LaunchV2) Restores() []Restore {
	return []Restore{hibernate}
}

// Irreversible implements Agent.
func (EC2LaunchV2) Irreversible(action Action) []string {
	if action == ActionShutdown {
		return nil
	}
	return []string{"the EC2 shortcuts and the wallpaper on desktops, which EC2Launch v2 removes before Sysprep"}
}

// Logs implements Agent.
func (EC2LaunchV2) Logs() []string {
	return []string{
		ec2launchV2Data + `\log\agent.log`,
		ec2launchV2Data + `\log\console.log`,
		ec2launchV2Data + `\log\error.log`,
		ec2launchV2Data + `\log\err.log`,
	}
}

// What every agent's way to Sysprep changes.
var (
	// DenyRDP is 1 where remote desktop connections are denied, as
	// BeforeSysprep.cmd leaves it; a guest that was not sealed must not be left
	// without them. Source: the AWS user guide on Sysprep.
	DenyRDP = Setting{`HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`, "fDenyTSConnections"}
	// Hibernation is turned off.
	hibernation = Setting{`HKLM\SYSTEM\CurrentControlSet\Control\Power`, "HibernateEnabled"}
)

// hibernate turns hibernation on again where it was.
var hibernate = Restore{When: hibernation, Was: "1", Program: `%windir%\System32\powercfg.exe`, Arguments: "/hibernate on"}
