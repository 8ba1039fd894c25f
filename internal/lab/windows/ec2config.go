package windows

import (
	"regexp"
	"strings"
	"time"
)

// Paths of EC2Config (reference/guest.md, 2 and 9).
const (
	configFolder     = `C:\Program Files\Amazon\Ec2ConfigService`
	configProgram    = configFolder + `\Ec2Config.exe`
	configAnswerFile = configFolder + `\sysprep2008.xml`
	configBefore     = configFolder + `\Scripts\BeforeSysprep.cmd`
	configBundle     = configFolder + `\Settings\BundleConfig.xml`
	configSettings   = configFolder + `\Settings\Config.xml`
	configScramble   = configFolder + `\ScramblePassword.exe`
	configLetters    = configFolder + `\Settings\DriveLetterConfig.xml`
	configEvents     = configFolder + `\Settings\EventLogConfig.xml`
	configLog        = configFolder + `\Logs\Ec2ConfigLog.txt`
	configService    = "Ec2Config"
)

// ec2Config is EC2Config.
type ec2Config struct{}

func (ec2Config) program(path string) program {
	switch path {
	case fold(configProgram):
		return runEC2Config
	case fold(configScramble):
		return runScramblePassword
	}
	return nil
}

func (ec2Config) script(string) program { return nil }

// configLog adds a line to Ec2ConfigLog.txt. The lock is held.
func (g *Guest) configLog(source, text string) {
	g.disk.extend(configLog, []byte(g.nowLocked().UTC().Format("2006-01-02T15:04:05.000Z")+": "+source+": "+text+"\r\n"))
}

// setPlugin rewrites the state of a plug-in in Config.xml. The lock is held.
func (g *Guest) setPlugin(name, state string) {
	n := g.disk.file(configSettings)
	if n == nil {
		return
	}
	expression := regexp.MustCompile(`(<Name>` + regexp.QuoteMeta(name) + `</Name>\s*<State>)[^<]*(</State>)`)
	g.disk.place(configSettings, expression.ReplaceAll(n.data, []byte("${1}"+state+"${2}")))
}

var (
	xmlComment     = regexp.MustCompile(`(?s)<!--.*?-->`)
	configSwitches = regexp.MustCompile(`<Switches>([^<]*)</Switches>`)
)

// property returns a property of BundleConfig.xml's.
func bundleProperty(text, name string) string {
	found := regexp.MustCompile(`<Name>` + regexp.QuoteMeta(name) + `</Name>\s*<Value>([^<]*)</Value>`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// runEC2Config is Ec2Config.exe -sysprep. It ends before Sysprep does.
func runEC2Config(p *process) int {
	words := splitLine(p.arguments)
	if len(words) != 1 || !strings.EqualFold(words[0], "-sysprep") {
		return cannotRun(p)
	}
	behaviour := p.guest.machine.Agent
	if behaviour.Hangs {
		<-p.ctx.Done()
		return killedCode
	}
	bundle := ""
	p.do(func(g *Guest) {
		if n := g.disk.file(configBundle); n != nil {
			bundle = xmlComment.ReplaceAllString(strings.TrimPrefix(string(n.data), "\ufeff"), "")
		}
		g.configLog("SysprepUtils", "Sysprep Start")
	})
	switches := configSwitches.FindStringSubmatch(bundle)
	if switches == nil {
		p.do(func(g *Guest) { g.configLog("SysprepUtils", "BundleConfig.xml could not be read") })
		return 1
	}
	p.do(func(g *Guest) {
		if bundleProperty(bundle, "SetPasswordAfterSysprep") == "Yes" {
			g.setPlugin("Ec2SetPassword", "Enabled")
		}
		certificate := "Disabled"
		if bundleProperty(bundle, "SetRDPCertificate") == "Yes" {
			certificate = "Enabled"
		}
		g.setPlugin("Ec2ConfigureRDP", certificate)
		g.setPlugin("Ec2OutputRDPCert", certificate)
	})
	worker := p.behind(func(q *process) int {
		if !q.wait(time.Duration(behaviour.Prepares)) {
			return killedCode
		}
		before := false
		q.do(func(g *Guest) { before = g.disk.file(configBefore) != nil })
		if before {
			_, _ = q.callSilently(configBefore, "")
		}
		if behaviour.NeverStartsSysprep {
			return 0
		}
		q.do(func(g *Guest) { g.configLog("SysprepUtils", "Running Sysprep with switches "+switches[1]) })
		_, _ = q.detach(sysprepFolder+`\sysprep.exe`, `/unattend:"`+configAnswerFile+`" `+switches[1])
		return 0
	})
	if worker == nil {
		return killedCode
	}
	return behaviour.Code
}

// runScramblePassword is ScramblePassword.exe -u with the name of an account.
func runScramblePassword(p *process) int {
	words := splitLine(p.arguments)
	if len(words) != 2 || words[0] != "-u" {
		return cannotRun(p)
	}
	return p.scramble(words[1])
}

// behind goes on with a program in a process that outlives p.
func (p *process) behind(body program) *process {
	var worker *process
	p.do(func(g *Guest) {
		worker = g.spawn(p.boot.ctx, &process{name: p.name, file: p.file, user: p.user, stdin: emptyInput{}}, body)
	})
	return worker
}
