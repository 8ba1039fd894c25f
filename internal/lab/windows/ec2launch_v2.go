package windows

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Paths of EC2Launch v2 (reference/guest.md, 5).
const (
	v2Program    = `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`
	v2Data       = `C:\ProgramData\Amazon\EC2Launch`
	v2AnswerFile = v2Data + `\sysprep\unattend.xml`
	v2Before     = v2Data + `\sysprep\BeforeSysprep.cmd`
	v2Config     = v2Data + `\config\agent-config.yml`
	v2RunOnce    = v2Data + `\state\.run-once`
	v2StateFile  = v2Data + `\state\state.json`
	v2Previous   = v2Data + `\state\previous-state.json`
	v2Log        = v2Data + `\log\agent.log`
	v2Service    = "Amazon EC2Launch"
)

// ec2LaunchV2 is EC2Launch v2.
type ec2LaunchV2 struct{}

func (ec2LaunchV2) program(path string) program {
	if path == fold(v2Program) {
		return runEC2LaunchV2
	}
	return nil
}

func (ec2LaunchV2) script(string) program { return nil }

// v2 is a running EC2Launch.exe.
type v2 struct{ *process }

func runEC2LaunchV2(p *process) int {
	a := v2{p}
	words := splitLine(p.arguments)
	if len(words) == 0 {
		p.say("Usage: EC2Launch [command]")
		return 0
	}
	flags := map[string]bool{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(strings.ToLower(word), "=")
		flags[strings.TrimLeft(name, "-")] = value != "false"
	}
	switch strings.ToLower(words[0]) {
	case "version":
		p.say(a.version())
		return 0
	case "status":
		return a.status()
	case "validate":
		return a.validate()
	case "reset":
		if (flags["block"] || flags["b"]) && !a.untilStopped("reset") {
			return killedCode
		}
		a.reset(flags["clean"] || flags["c"])
		return 0
	case "internal":
		if len(words) == 4 && words[1] == "randomize-password" && words[2] == "--username" {
			return p.scramble(words[3])
		}
		return cannotRun(p)
	case "sysprep":
		return a.sysprep(flags["shutdown"] || flags["s"], flags["clean"] || flags["c"], flags["block"] || flags["b"])
	}
	return cannotRun(p)
}

func (a v2) version() (version string) {
	a.do(func(g *Guest) {
		if n := g.disk.file(v2Program); n != nil {
			version = strings.TrimSuffix(n.version, ".0")
		}
	})
	return version
}

// atLeast says whether the agent is of this version or a later one.
func (a v2) atLeast(major, minor, build int) bool {
	wanted := []int{major, minor, build}
	parts := strings.Split(a.version()+".0.0.0", ".")
	for i, want := range wanted {
		have, err := strconv.Atoi(parts[i])
		if err != nil || have < want {
			return false
		}
		if have > want {
			return true
		}
	}
	return true
}

func (a v2) status() (code int) {
	a.do(func(g *Guest) {
		switch {
		case g.services[v2Service].State == "Running":
			code = 2
		case g.disk.file(v2RunOnce) == nil || g.disk.file(v2StateFile) == nil && g.disk.file(v2Previous) == nil:
			code = 5
		default:
			code = g.machine.Agent.StatusCode
		}
	})
	return code
}

// validate is EC2Launch.exe validate.
func (a v2) validate() int {
	fault := a.guest.machine.Agent.InvalidConfig
	a.do(func(g *Guest) {
		n := g.disk.file(v2Config)
		switch {
		case fault != "":
		case n == nil:
			fault = "agent-config.yml is not there"
		default:
			if _, err := readAgentConfig(n.data); err != nil {
				fault = err.Error()
			}
		}
	})
	if fault != "" {
		a.complain("Error: " + fault)
		return 1
	}
	return 0
}

// untilStopped waits for the end of the agent's service; false means that the
// command was ended before. Source: AWS, EC2Launch v2 troubleshooting.
func (a v2) untilStopped(command string) bool {
	for told := false; ; told = true {
		running := false
		a.do(func(g *Guest) { running = g.services[v2Service].State == "Running" })
		if !running {
			return true
		}
		if !told {
			a.say("'" + command + "' command running in blocking mode.")
		}
		a.log("Info: service is still running...checking again in '5.000000' seconds")
		if !a.wait(5 * time.Second) {
			return false
		}
	}
}

// v2Busy leaves in agent.log why the service goes on running after a start: the
// serial port is taken, or user data still runs. The lock is held.
func (g *Guest) v2Busy() {
	g.v2Log("Info: EC2Launch Service starting")
	if g.machine.SerialTaken {
		g.v2Log("Info: ACPI SPCR table not supported. Bailing Out")
		g.v2Log("Info: Serial port is in use. Waiting for Serial Port...")
		return
	}
	g.v2Log("Info: Stage: postReady completed.")
	g.v2Log("Info: Initializing user-data state")
	g.v2Log("Info: Frequency is: once")
}

// log writes a line to agent.log and stdout.
func (a v2) log(text string) {
	line := ""
	a.do(func(g *Guest) {
		line = g.nowLocked().UTC().Format("2006-01-02 15:04:05") + " " + text
		g.v2Log(text)
	})
	a.say(line)
}

func (a v2) reset(clean bool) {
	a.do(func(g *Guest) {
		for _, path := range []string{v2RunOnce, v2StateFile, v2Previous} {
			_, _ = g.disk.remove(path, false)
		}
		if clean {
			for _, n := range g.disk.children(v2Data + `\log`) {
				_, _ = g.disk.remove(n.path, false)
			}
			_, _ = g.disk.remove(actionLog, false)
			_, _ = g.disk.remove(errorLog, false)
		}
	})
}

var localeElement = regexp.MustCompile(`<(InputLocale|SystemLocale|UILanguage|UserLocale)\s*(?:/>|>[^<]*</(?:InputLocale|SystemLocale|UILanguage|UserLocale)>)`)

// sysprep is the command that seals.
func (a v2) sysprep(shutdown, clean, block bool) int {
	a.say("Sysprep sub-command: shutdown: " + strconv.FormatBool(shutdown) + " clean: " + strconv.FormatBool(clean))
	if block && a.atLeast(2, 0, 1521) {
		a.say("Flag --block has been deprecated, sysprep is blocking by default")
	}
	if !a.untilStopped("sysprep") {
		return killedCode
	}
	behaviour := a.guest.machine.Agent
	if behaviour.Hangs {
		<-a.ctx.Done()
		return killedCode
	}
	a.reset(clean)
	a.log("Info: Preparing items to run Sysprep.")
	a.do(func(g *Guest) {
		locale := g.hive.text(`HKU\.DEFAULT\Control Panel\International`, "LocaleName")
		if n := g.disk.file(v2AnswerFile); n != nil && locale != "" {
			g.disk.place(v2AnswerFile, localeElement.ReplaceAll(n.data, []byte("<$1>"+locale+"</$1>")))
		}
		g.setDword(powerKey, "HibernateEnabled", 0)
	})
	a.log("Console: Message: Successfully disabled hibernation")
	if !a.wait(time.Duration(behaviour.Prepares)) {
		return killedCode
	}
	if code, ran := a.beforeSysprep(); ran && code != 0 {
		a.log("Error: BeforeSysprep.cmd ended with code " + strconv.Itoa(code))
		if a.atLeast(2, 0, 1815) {
			return 1
		}
	}
	if behaviour.NeverStartsSysprep {
		return behaviour.Code
	}
	mode := "/quit"
	if shutdown {
		mode = "/shutdown"
	}
	a.log("Info: Starting Sysprep.")
	child, err := a.detach(sysprepFolder+`\sysprep.exe`, "/oobe /generalize "+mode+` /unattend:"`+v2AnswerFile+`"`)
	if err != nil {
		a.log("Error: Sysprep could not be started: " + asCallError(err).Message)
		return 1
	}
	if behaviour.ReturnsBeforeSysprep || !block && !a.atLeast(2, 0, 1521) {
		return 0
	}
	code, ok := a.await(child)
	if !ok {
		return killedCode
	}
	if code != 0 {
		a.log("Error: Sysprep ended with code " + strconv.Itoa(code))
		return 1
	}
	a.log("Info: Sysprep ended.")
	return 0
}

func (a v2) beforeSysprep() (code int, ran bool) {
	a.do(func(g *Guest) { ran = g.disk.file(v2Before) != nil })
	if !ran {
		return 0, false
	}
	code, err := a.callSilently(v2Before, "")
	if err != nil {
		return 1, true
	}
	return code, true
}

// callSilently runs a program without a place for its output.
func (p *process) callSilently(file, arguments string) (code int, err error) {
	child, err := p.start(p.job, &process{file: file, arguments: arguments, stdin: emptyInput{}})
	if err != nil {
		return 1, err
	}
	code, _ = p.await(child)
	return code, nil
}
