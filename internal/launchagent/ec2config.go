package launchagent

import (
	"fmt"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// EC2Config is the service of the AMIs for Windows Server 2012 R2 and older.
//
// Its -sysprep reads the switches for Sysprep from BundleConfig.xml, sets the
// plug-ins' states in Config.xml, runs BeforeSysprep.cmd and starts Sysprep; it
// ends before Sysprep does. The switches say /shutdown as shipped. For a guest
// that stays up until its seal has been seen they have to say /quit while the
// guest is being sealed. Source: the AWS user guide on Sysprep with EC2Config.
type EC2Config struct{ plain }

const (
	ec2configFolder = `%ProgramFiles%\Amazon\Ec2ConfigService`
	bundleConfig    = ec2configFolder + `\Settings\BundleConfig.xml`
	ec2configConfig = ec2configFolder + `\Settings\Config.xml`
)

// ID implements Agent.
func (EC2Config) ID() string { return "ec2config" }

// Title implements Agent.
func (EC2Config) Title() string { return "EC2Config" }

// Program implements Agent.
func (EC2Config) Program() string { return ec2configFolder + `\Ec2Config.exe` }

// AnswerFile implements Agent.
func (EC2Config) AnswerFile() string { return ec2configFolder + `\sysprep2008.xml` }

// Script implements Agent.
func (EC2Config) Script(script Script) (string, bool) {
	switch script {
	case BeforeSysprep:
		return ec2configFolder + `\Scripts\BeforeSysprep.cmd`, true
	case Specialize:
		return ec2configFolder + `\Scripts\SysprepSpecializePhase.cmd`, true
	case PostSysprep:
		return ec2configFolder + `\Scripts\PostSysprep.cmd`, true
	}
	return "", false
}

// ConfigFile implements Agent.
func (EC2Config) ConfigFile(file ConfigFile) (string, bool) {
	const settings = ec2configFolder + `\Settings`
	switch file {
	case MainConfig:
		return ec2configConfig, true
	case BundleConfig:
		return bundleConfig, true
	case DriveLetters:
		return settings + `\DriveLetterConfig.xml`, true
	case EventLog:
		return settings + `\EventLogConfig.xml`, true
	}
	return "", false
}

// Service implements Agent.
func (EC2Config) Service() string { return "Ec2Config" }

// Reads implements Agent.
func (EC2Config) Reads() []string { return []string{bundleConfig} }

// Edits implements Agent: /quit in the place of the one /shutdown among the
// switches. The file's real form varies with the agent's version, so that
// nothing is guessed: switches in any other form are left alone, and then
// EC2Config itself has to shut the guest down. Without Sysprep nobody reads them.
func (EC2Config) Edits(order Order, files map[string][]byte) ([]Edit, error) {
	if order.Action == ActionShutdown {
		return nil, nil
	}
	data, ok := files[bundleConfig]
	if !ok {
		return nil, fmt.Errorf("EC2Config's %s is not there", bundleConfig)
	}
	found, err := readSwitches(data)
	if order.Shutdown == ShutdownAgent {
		if err == nil && len(found.quit) > 0 {
			return nil, fmt.Errorf(`EC2Config would not shut the guest down: the Switches in %s say /quit; use shutdown = "sealed"`, bundleConfig)
		}
		return nil, nil
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf(`EC2Config can be kept from shutting the guest down only by the Switches in %s: %w; use shutdown = "agent"`, bundleConfig, err)
	case len(found.quit) == 1 && len(found.shutdown) == 0 && len(found.reboot) == 0:
		return nil, nil
	case len(found.shutdown) != 1 || len(found.quit) > 0 || len(found.reboot) > 0:
		return nil, fmt.Errorf(`EC2Config can be kept from shutting the guest down only where the Switches in %s say /shutdown exactly once, and they say %s; use shutdown = "agent"`, bundleConfig, found)
	}
	return []Edit{{Path: bundleConfig, Data: found.replaceShutdown(data)}}, nil
}

// Commands implements Agent. There are none for a shutdown without Sysprep: what
// EC2Config does on the instances from the image stands in its Config.xml, and
// its dialog only edits that file.
func (a EC2Config) Commands(order Order) []guest.Command {
	if order.Action == ActionShutdown {
		return nil
	}
	return []guest.Command{{File: a.Program(), Arguments: "-sysprep"}}
}

// Writes implements Agent.
func (a EC2Config) Writes(action Action) []string {
	if action == ActionShutdown {
		return nil
	}
	return []string{a.AnswerFile(), ec2configConfig}
}

// Settings implements Agent.
func (EC2Config) Settings(action Action) []Setting {
	if action == ActionShutdown {
		return nil
	}
	return []Setting{DenyRDP}
}

// Logs implements Agent.
func (EC2Config) Logs() []string { return []string{ec2configFolder + `\Logs\Ec2ConfigLog.txt`} }
