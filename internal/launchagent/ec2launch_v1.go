package launchagent

import "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"

// EC2LaunchV1 is EC2Launch, the PowerShell module of the AMIs for Windows
// Server 2016 and 2019. It is recognised, so that a guest with it gets a clear
// word; sealing with it is not part of this version.
type EC2LaunchV1 struct{}

const ec2launchV1Data = `%ProgramData%\Amazon\EC2-Windows\Launch`

// ID implements Agent.
func (EC2LaunchV1) ID() string { return "ec2launch-v1" }

// Title implements Agent.
func (EC2LaunchV1) Title() string { return "EC2Launch v1" }

// Program implements Agent.
func (EC2LaunchV1) Program() string { return ec2launchV1Data + `\Module\Ec2Launch.psd1` }

// Supported implements Agent.
func (EC2LaunchV1) Supported() bool { return false }

// AnswerFile implements Agent.
func (EC2LaunchV1) AnswerFile() string { return ec2launchV1Data + `\Sysprep\Unattend.xml` }

// Script implements Agent.
func (EC2LaunchV1) Script(script Script) (string, bool) {
	if script == BeforeSysprep {
		return ec2launchV1Data + `\Sysprep\BeforeSysprep.cmd`, true
	}
	return "", false
}

// Service implements Agent: it has none.
func (EC2LaunchV1) Service() string { return "" }

// Shutdowns implements Agent.
func (EC2LaunchV1) Shutdowns() []Shutdown { return nil }

// Commands implements Agent.
func (EC2LaunchV1) Commands(Shutdown) []guest.Command { return nil }

// Writes implements Agent.
func (a EC2LaunchV1) Writes() []string { return []string{a.AnswerFile()} }

// Settings implements Agent.
func (EC2LaunchV1) Settings() []Setting { return []Setting{denyRDP, hibernation} }

// Restores implements Agent.
func (EC2LaunchV1) Restores() []Restore { return nil }

// Irreversible implements Agent.
func (EC2LaunchV1) Irreversible() []string { return nil }

// Logs implements Agent.
func (EC2LaunchV1) Logs() []string { return []string{ec2launchV1Data + `\Log\Ec2Launch.log`} }
