package launchagent

import "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"

// EC2Config is the service of the AMIs for Windows Server 2012 R2 and older.
// It is recognised, so that a guest with it gets a clear word; sealing with it
// is not part of this version.
type EC2Config struct{}

const ec2configFolder = `%ProgramFiles%\Amazon\Ec2ConfigService`

// ID implements Agent.
func (EC2Config) ID() string { return "ec2config" }

// Title implements Agent.
func (EC2Config) Title() string { return "EC2Config" }

// Program implements Agent.
func (EC2Config) Program() string { return ec2configFolder + `\Ec2Config.exe` }

// Supported implements Agent.
func (EC2Config) Supported() bool { return false }

// AnswerFile implements Agent.
func (EC2Config) AnswerFile() string { return ec2configFolder + `\sysprep2008.xml` }

// Script implements Agent.
func (EC2Config) Script(script Script) (string, bool) {
	if script == BeforeSysprep {
		return ec2configFolder + `\Scripts\BeforeSysprep.cmd`, true
	}
	return "", false
}

// Service implements Agent.
func (EC2Config) Service() string { return "Ec2Config" }

// Shutdowns implements Agent.
func (EC2Config) Shutdowns() []Shutdown { return nil }

// Commands implements Agent.
func (EC2Config) Commands(Shutdown) []guest.Command { return nil }

// Writes implements Agent.
func (a EC2Config) Writes() []string { return []string{a.AnswerFile()} }

// Settings implements Agent.
func (EC2Config) Settings() []Setting { return []Setting{denyRDP, hibernation} }

// Restores implements Agent.
func (EC2Config) Restores() []Restore { return nil }

// Irreversible implements Agent.
func (EC2Config) Irreversible() []string { return nil }

// Logs implements Agent.
func (EC2Config) Logs() []string { return []string{ec2configFolder + `\Logs\Ec2ConfigLog.txt`} }
