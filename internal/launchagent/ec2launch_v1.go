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

// ConfigFile implements Agent.
func (EC2LaunchV1) ConfigFile(file ConfigFile) (string, bool) {
	const folder = ec2launchV1Data + `\Config`
	switch file {
	case MainConfig:
		return folder + `\LaunchConfig.json`, true
	case DriveLetters:
		return folder + `\DriveLetterMappingConfig.json`, true
	case EventLog:
		return folder + `\EventLogConfig.json`, true
	}
	return "", false
}

// Service implements Agent: it has none.
func (EC2LaunchV1) Service() string { return "" }

// schedule is a script that registers a task of its own, to run at each boot.
type schedule struct{ script, arguments, task string }

const (
	initializeTask = "Amazon Ec2 Launch - Instance Initialization"
	userDataTask   = "Amazon Ec2 Launch - Userdata Execution"
)

// schedules are what the agent schedules in the image, the initialization
// first. -Schedule and -SchedulePerBoot register the same task.
func schedules(wanted Schedules) []schedule {
	initialize := schedule{"InitializeInstance.ps1", " -Schedule", initializeTask}
	if wanted.PerBoot {
		initialize.arguments = " -SchedulePerBoot"
	}
	list := []schedule{initialize}
	for _, one := range []struct {
		wanted bool
		schedule
	}{
		{wanted.Disks, schedule{"InitializeDisks.ps1", " -Schedule", "Amazon Ec2 Launch - Disk Initialization"}},
		{wanted.EventLogs, schedule{"SendEventLogs.ps1", " -Schedule", "Amazon Ec2 Launch - Event logs to Console"}},
		{wanted.Ready, schedule{"SendWindowsIsReady.ps1", " -Schedule", "Amazon Ec2 Launch - Windows is Ready to Console"}},
	} {
		if one.wanted {
			list = append(list, one.schedule)
		}
	}
	return list
}

// Commands implements Agent. The scripts are signed; Bypass lets them run where
// the machine's execution policy would not. For "Shutdown without Sysprep" AWS
// says that the initialization is scheduled for the next boot, which also sets
// the routes to the metadata and to KMS anew.
//
// The scripts end with 0 also when they could not register their task, and an
// instance without it would never be set up. So a task that is there goes first,
// and has to be there again afterwards.
func (EC2LaunchV1) Commands(order Order) []guest.Command {
	script := func(name, arguments string) guest.Command {
		return guest.Command{
			File:      `%windir%\System32\WindowsPowerShell\v1.0\powershell.exe`,
			Arguments: `-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "` + ec2launchV1Data + `\Scripts\` + name + `"` + arguments,
		}
	}
	var commands []guest.Command
	for _, one := range schedules(order.Schedules) {
		commands = append(commands,
			guest.Command{
				File:      `%windir%\System32\cmd.exe`,
				Arguments: `/d /c if exist "%windir%\System32\Tasks\` + one.task + `" schtasks.exe /delete /f /tn "` + one.task + `"`,
			},
			script(one.script, one.arguments),
			guest.Command{File: `%windir%\System32\schtasks.exe`, Arguments: `/query /tn "` + one.task + `"`},
		)
	}
	switch {
	case order.Action == ActionShutdown:
	case order.Shutdown == ShutdownAgent:
		commands = append(commands, script("SysprepInstance.ps1", ""))
	default:
		commands = append(commands, script("SysprepInstance.ps1", " -NoShutdown"))
	}
	return commands
}

// Writes implements Agent.
func (a EC2LaunchV1) Writes(action Action) []string {
	if action == ActionShutdown {
		return nil
	}
	return []string{a.AnswerFile()}
}

// Settings implements Agent.
func (EC2LaunchV1) Settings(action Action) []Setting {
	if action == ActionShutdown {
		return nil
	}
	return []Setting{DenyRDP, hibernation}
}

// Tasks implements Agent. Each script registers its own anew.
// SysprepInstance.ps1 removes the one for user data, and so does
// InitializeInstance.ps1 -SchedulePerBoot.
func (EC2LaunchV1) Tasks(order Order) []string {
	tasks := []string{initializeTask}
	if order.Action != ActionShutdown || order.Schedules.PerBoot {
		tasks = append(tasks, userDataTask)
	}
	for _, one := range schedules(order.Schedules)[1:] {
		tasks = append(tasks, one.task)
	}
	return tasks
}

// StartTypes implements Agent.
func (EC2LaunchV1) StartTypes() []string { return []string{"AmazonSSMAgent"} }

// Restores implements Agent.
func (EC2LaunchV1) Restores() []Restore { return []Restore{hibernate} }

// Irreversible implements Agent.
func (EC2LaunchV1) Irreversible(action Action) []string {
	if action == ActionShutdown {
		return nil
	}
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
