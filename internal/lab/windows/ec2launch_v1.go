package windows

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Paths and names of EC2Launch v1 (reference/guest.md, 4).
const (
	v1Data       = `C:\ProgramData\Amazon\EC2-Windows\Launch`
	v1Module     = v1Data + `\Module\Ec2Launch.psd1`
	v1Initialize = v1Data + `\Scripts\InitializeInstance.ps1`
	v1Sysprep    = v1Data + `\Scripts\SysprepInstance.ps1`
	v1Config     = v1Data + `\Config\LaunchConfig.json`
	v1Letters    = v1Data + `\Config\DriveLetterMappingConfig.json`
	v1EventLog   = v1Data + `\Config\EventLogConfig.json`
	v1AnswerFile = v1Data + `\Sysprep\Unattend.xml`
	v1Before     = v1Data + `\Sysprep\BeforeSysprep.cmd`
	v1Log        = v1Data + `\Log\Ec2Launch.log`

	v1Randomize = v1Data + `\Sysprep\Randomize-LocalAdminPassword.ps1`
	v1Disks     = v1Data + `\Scripts\InitializeDisks.ps1`
	v1Events    = v1Data + `\Scripts\SendEventLogs.ps1`
	v1Ready     = v1Data + `\Scripts\SendWindowsIsReady.ps1`

	v1InitializeTask = "Amazon Ec2 Launch - Instance Initialization"
	v1UserDataTask   = "Amazon Ec2 Launch - Userdata Execution"
	v1DisksTask      = "Amazon Ec2 Launch - Disk Initialization"
	v1EventsTask     = "Amazon Ec2 Launch - Event logs to Console"
	v1ReadyTask      = "Amazon Ec2 Launch - Windows is Ready to Console"
	ssmService       = "AmazonSSMAgent"

	cmdProgram        = `C:\Windows\System32\cmd.exe`
	powerShellProgram = `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`
)

// ec2LaunchV1 is EC2Launch v1: two scripts and a task.
type ec2LaunchV1 struct{}

func (ec2LaunchV1) program(string) program { return nil }

func (ec2LaunchV1) script(path string) program {
	switch path {
	case fold(v1Initialize):
		return func(p *process) int { return v1{p}.initialize() }
	case fold(v1Sysprep):
		return func(p *process) int { return v1{p}.sysprep() }
	case fold(v1Randomize):
		return func(p *process) int { return v1{p}.randomize() }
	case fold(v1Disks):
		return func(p *process) int {
			return v1{p}.schedule(v1DisksTask, v1Disks, "DiskInitialization.log", "Disk initialization")
		}
	case fold(v1Events):
		return func(p *process) int {
			return v1{p}.schedule(v1EventsTask, v1Events, "EventlogsToConsole.log", "Sending eventlogs to console")
		}
	case fold(v1Ready):
		return func(p *process) int {
			return v1{p}.schedule(v1ReadyTask, v1Ready, "WindowsIsReadyToConsole.log", `Sending "Windows is Ready" message to console`)
		}
	}
	return nil
}

// v1Log adds a line to Ec2Launch.log. The lock is held.
func (g *Guest) v1Log(text string) { g.v1LogTo(v1Log, text) }

// v1LogTo adds a line to one of the agent's logs, which are in UTF-16. The lock
// is held.
func (g *Guest) v1LogTo(path, text string) {
	line := wideWords(g.nowLocked().UTC().Format("2006/01/02 15:04:05Z") + ": " + text + "\r\n")
	if g.disk.file(path) == nil {
		g.disk.place(path, []byte{0xff, 0xfe})
	}
	g.disk.extend(path, line)
}

// v1Action is what a task of the agent's starts: a script, as SYSTEM.
func v1Action(script, flags string) string {
	return "/C " + powerShellProgram + ` -NoProfile -NonInteractive -NoLogo -ExecutionPolicy Unrestricted -File "` + script + `"` + flags
}

// v1UserDataAction is what the task that runs the user data at every start does.
const v1UserDataAction = "/C " + powerShellProgram + ` -NoProfile -NonInteractive -NoLogo -ExecutionPolicy Unrestricted "Import-Module "` +
	v1Module + `"; Invoke-Userdata -FromPersist"`

// v1 is a running script of EC2Launch v1.
type v1 struct{ *process }

// log writes a line to the log and to stdout.
func (a v1) log(text string) {
	a.do(func(g *Guest) { g.v1Log(text) })
	a.say(text)
}

// has says whether the command line has a parameter.
func (a v1) has(parameter string) bool {
	return slices.ContainsFunc(splitLine(a.arguments), func(word string) bool { return strings.EqualFold(word, parameter) })
}

// initialize is InitializeInstance.ps1 with -Schedule or -SchedulePerBoot. Run
// without them it would set the instance up, which the model does at boot only,
// or wait for ever for the instance metadata.
func (a v1) initialize() int {
	flag := ""
	switch {
	case a.has("-SchedulePerBoot"):
		flag = " -KeepSchedule"
	case !a.has("-Schedule") && a.guest.machine.MetadataOff:
		<-a.ctx.Done()
		return killedCode
	case !a.has("-Schedule"):
		return cannotRun(a.process)
	}
	a.do(func(g *Guest) {
		g.register(&task{name: v1InitializeTask, file: cmdProgram, arguments: v1Action(v1Initialize, flag), user: systemUser})
		if flag != "" {
			g.dropTask(v1UserDataTask)
		}
		g.setStart(ssmService, "disabled")
	})
	a.log("Instance initialization is scheduled successfully")
	return 0
}

// register registers a task of the agent's, or fails to without a word. The
// lock is held.
func (g *Guest) register(t *task) {
	if !g.machine.Agent.RegistersNothing {
		g.addTask(t)
	}
}

// schedule is one of the agent's other scripts with -Schedule, which registers a
// task that runs it at every start. Without it, it would do its work at once,
// which the model does not have.
func (a v1) schedule(name, script, log, work string) int {
	if !a.has("-Schedule") {
		return cannotRun(a.process)
	}
	flags := ""
	if a.has("-EnableTrim") {
		flags = " -EnableTrim"
	}
	text := work + " is scheduled successfully"
	a.do(func(g *Guest) {
		g.register(&task{name: name, file: cmdProgram, arguments: v1Action(script, flags), user: systemUser})
		g.v1LogTo(v1Data+`\Log\`+log, text)
	})
	a.say(text)
	return 0
}

// randomize is Randomize-LocalAdminPassword.ps1 with the name of an account.
func (a v1) randomize() int {
	words := splitLine(a.arguments)
	return a.scramble(words[len(words)-1])
}

var (
	v1EmptyLocale   = regexp.MustCompile(`<(InputLocale|SystemLocale|UILanguage|UserLocale)>\s*</(?:InputLocale|SystemLocale|UILanguage|UserLocale)>|<(InputLocale|SystemLocale|UILanguage|UserLocale)\s*/>`)
	v1EmptyCommand  = regexp.MustCompile(`(<Order>1</Order>\s*)(?:<Path>\s*</Path>|<Path\s*/>)`)
	v1HandlesData   = regexp.MustCompile(`(?i)"handleUserData"\s*:\s*true`)
	v1ModuleVersion = regexp.MustCompile(`ModuleVersion\s*=\s*'([0-9.]+)'`)
)

// version returns the third part of 1.3.NNNNNNN, by which the agent's versions
// differ; a later series counts as the latest.
func (a v1) version() (number int) {
	a.do(func(g *Guest) {
		n := g.disk.file(v1Module)
		if n == nil {
			return
		}
		found := v1ModuleVersion.FindSubmatch(n.data)
		if found == nil {
			return
		}
		parts := strings.Split(string(found[1])+"..", ".")
		number, _ = strconv.Atoi(parts[2])
		if parts[1] != "3" {
			number = 1 << 30
		}
	})
	return number
}

// sysprep is SysprepInstance.ps1.
func (a v1) sysprep() int {
	ready := false
	a.do(func(g *Guest) {
		ready = g.disk.file(v1AnswerFile) != nil && g.disk.file(sysprepFolder+`\sysprep.exe`) != nil
	})
	if !ready {
		a.complain("Could not find Unattend.xml or sysprep.exe.")
		return 1
	}
	behaviour := a.guest.machine.Agent
	if behaviour.Hangs {
		<-a.ctx.Done()
		return killedCode
	}
	a.fillAnswerFile()
	a.do(func(g *Guest) {
		g.setDword(powerKey, "HibernateEnabled", 0)
		if n := g.disk.file(v1Config); n != nil && v1HandlesData.Match(n.data) {
			g.dropTask(v1UserDataTask)
		}
	})
	if !a.wait(time.Duration(behaviour.Prepares)) {
		return killedCode
	}
	before := false
	a.do(func(g *Guest) { before = g.disk.file(v1Before) != nil })
	if before {
		code, err := a.callSilently(v1Before, "")
		// Versions before 1.3.2004052 do not look at the code.
		if (err != nil || code != 0) && a.version() >= 2004052 {
			a.log("BeforeSysprep.cmd failed with exit code " + strconv.Itoa(code))
			return 1
		}
	}
	if behaviour.NeverStartsSysprep {
		return behaviour.Code
	}
	mode := "/shutdown"
	if a.has("-NoShutdown") {
		mode = "/quit"
	}
	child, err := a.detach(sysprepFolder+`\sysprep.exe`, `/oobe `+mode+` /generalize "/unattend:`+v1AnswerFile+`"`)
	if err != nil {
		a.complain(asCallError(err).Message)
		return 1
	}
	if behaviour.ReturnsBeforeSysprep {
		return 0
	}
	// The script does not ask for the code, nor for anything that shows the seal.
	if _, ok := a.await(child); !ok {
		return killedCode
	}
	return 0
}

// fillAnswerFile fills in what is empty in the answer file, and writes it with
// a byte order mark. A file without one is taken for ANSI. One that is no XML
// stays as it is.
func (a v1) fillAnswerFile() {
	warned := false
	a.do(func(g *Guest) {
		n := g.disk.file(v1AnswerFile)
		if _, _, ok := wellFormed(n.data); !ok {
			warned = true
			return
		}
		text, marked := strings.CutPrefix(string(n.data), "\ufeff")
		if !marked {
			var ansi strings.Builder
			for i := range len(text) {
				ansi.WriteRune(rune(text[i]))
			}
			text = ansi.String()
		}
		text = v1EmptyLocale.ReplaceAllString(text, "<$1$2>"+g.machine.Culture+"</$1$2>")
		administrator, _ := g.administrator()
		command := powerShellProgram + " " + v1Randomize + " " + administrator
		text = v1EmptyCommand.ReplaceAllString(text, "$1<Path>"+command+"</Path>")
		g.disk.place(v1AnswerFile, []byte("\ufeff"+text))
	})
	if warned {
		a.log("Warning: Failed to update the custom answer file. Ignore this message if you modified the file.")
	}
}
