package launchagent

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// EC2LaunchV1 is EC2Launch, the PowerShell module of the AMIs for Windows
// Server 2016 and 2019.
//
// InitializeInstance.ps1 -Schedule makes the task that sets up each instance
// from the image (password, user data, routes to the metadata, KMS) and
// disables the SSM agent until then. SysprepInstance.ps1 fills in the answer
// file, turns hibernation off, removes the user data task, runs
// BeforeSysprep.cmd and then Sysprep, and ends with 0 whatever came of it.
// Without the first script an instance from the image is never set up. Source:
// the AWS user guide on EC2Launch, and the scripts of version 1.3.2003498.
type EC2LaunchV1 struct{ plain }

const ec2launchV1Data = `%ProgramData%\Amazon\EC2-Windows\Launch`

// ID implements Agent.
func (EC2LaunchV1) ID() string { return "ec2launch-v1" }

// Title implements Agent.
func (EC2LaunchV1) Title() string { return "EC2Launch v1" }

// Program implements Agent.
func (EC2LaunchV1) Program() string { return ec2launchV1Data + `\Module\Ec2Launch.psd1` }

// Manifest implements Agent: a module's manifest has no file version.
func (a EC2LaunchV1) Manifest() string { return a.Program() }

// AnswerFile implements Agent.
func (EC2LaunchV1) AnswerFile() string { return ec2launchV1Data + `\Sysprep\Unattend.xml` }

// AnswerFileFault implements Agent. SysprepInstance.ps1 reads the file with
// Get-Content, which takes a file without a byte order mark for ANSI, and
// writes it back.
func (EC2LaunchV1) AnswerFileFault(data []byte) string {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return ""
		}
	}
	for i, b := range data {
		if b >= 0x80 {
			return fmt.Sprintf("line %d has characters that are not ASCII and the file has no byte order mark: EC2Launch v1 would take it for ANSI and spoil them", 1+bytes.Count(data[:i], []byte("\n")))
		}
	}
	return ""
}

// Script implements Agent.
func (EC2LaunchV1) Script(script Script) (string, bool) {
	switch script {
	case BeforeSysprep:
		return ec2launchV1Data + `\Sysprep\BeforeSysprep.cmd`, true
	case Specialize:
		return ec2launchV1Data + `\Sysprep\SysprepSpecialize.cmd`, true
	}
	return "", false
}

// Service implements Agent: it has none.
func (EC2LaunchV1) Service() string { return "" }

// Shutdowns implements Agent.
func (EC2LaunchV1) Shutdowns() []Shutdown {
	return []Shutdown{ShutdownSealed, ShutdownAgent, ShutdownNone}
}

// Commands implements Agent. The scripts are signed; Bypass lets them run where
// the machine's execution policy would not.
func (EC2LaunchV1) Commands(shutdown Shutdown) []guest.Command {
	script := func(name, arguments string) guest.Command {
		return guest.Command{
			File:      `%windir%\System32\WindowsPowerShell\v1.0\powershell.exe`,
			Arguments: `-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "` + ec2launchV1Data + `\Scripts\` + name + `"` + arguments,
		}
	}
	sysprep := " -NoShutdown"
	if shutdown == ShutdownAgent {
		sysprep = ""
	}
	return []guest.Command{
		script("InitializeInstance.ps1", " -Schedule"),
		script("SysprepInstance.ps1", sysprep),
	}
}

// Writes implements Agent.
func (a EC2LaunchV1) Writes() []string { return []string{a.AnswerFile()} }

// Settings implements Agent.
func (EC2LaunchV1) Settings() []Setting { return []Setting{denyRDP, hibernation} }

// Tasks implements Agent. InitializeInstance.ps1 registers the first anew,
// SysprepInstance.ps1 removes the second.
func (EC2LaunchV1) Tasks() []string {
	return []string{"Amazon Ec2 Launch - Instance Initialization", "Amazon Ec2 Launch - Userdata Execution"}
}

// StartTypes implements Agent.
func (EC2LaunchV1) StartTypes() []string { return []string{"AmazonSSMAgent"} }

// Restores implements Agent.
func (EC2LaunchV1) Restores() []Restore { return []Restore{hibernate} }

// Irreversible implements Agent.
func (EC2LaunchV1) Irreversible() []string {
	return []string{"the wallpaper and what the sleep button does, which EC2Launch v1 resets before Sysprep"}
}

// Logs implements Agent.
func (EC2LaunchV1) Logs() []string { return []string{ec2launchV1Data + `\Log\Ec2Launch.log`} }

var moduleVersionLine = regexp.MustCompile(`(?mi)^\s*ModuleVersion\s*=\s*['"]([0-9.]+)['"]`)

// moduleVersion reads the version out of a module's manifest, in an 8-bit
// encoding or UTF-16.
func moduleVersion(manifest []byte) string {
	manifest = bytes.ReplaceAll(manifest, []byte{0}, nil)
	if found := moduleVersionLine.FindSubmatch(manifest); found != nil {
		return string(found[1])
	}
	return ""
}
