package windows

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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
	configPost       = configFolder + `\Scripts\PostSysprep.cmd`
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

// bundle is EC2Config's BundleConfig.xml: its properties, and the switches that
// Sysprep is started with.
type bundle struct {
	properties map[string]string
	switches   string
}

// readBundle reads BundleConfig.xml. Where the element with the switches stands
// does not matter, but that those beside the name of the answer file in use are
// the ones that count; without any there is nothing to start Sysprep with.
func readBundle(data []byte) (bundle, error) {
	read := bundle{properties: map[string]string{}}
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	found, decided, answerFile := false, false, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bundle{}, fmt.Errorf("reading BundleConfig.xml: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "Property":
			var property struct{ Name, Value string }
			if err := decoder.DecodeElement(&property, &start); err != nil {
				return bundle{}, fmt.Errorf("reading BundleConfig.xml: %w", err)
			}
			read.properties[strings.TrimSpace(property.Name)] = property.Value
		case "Sysprep":
			answerFile = ""
		case "AnswerFilePath":
			if err := decoder.DecodeElement(&answerFile, &start); err != nil {
				return bundle{}, fmt.Errorf("reading BundleConfig.xml: %w", err)
			}
		case "Switches":
			var switches string
			if err := decoder.DecodeElement(&switches, &start); err != nil {
				return bundle{}, fmt.Errorf("reading BundleConfig.xml: %w", err)
			}
			if mine := answerFile == "sysprep2008.xml"; mine || !decided {
				read.switches, decided = switches, mine
			}
			found = true
		}
	}
	if !found {
		return bundle{}, errors.New("reading BundleConfig.xml: there are no switches")
	}
	return read, nil
}

// yes says whether a property is Yes. Any other word means no.
func (b bundle) yes(name string) bool { return b.properties[name] == "Yes" }

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
	var settings bundle
	var fault error
	p.do(func(g *Guest) {
		g.configLog("SysprepUtils", "Sysprep Start")
		var text []byte
		if n := g.disk.file(configBundle); n != nil {
			text = n.data
		}
		if settings, fault = readBundle(text); fault != nil {
			g.configLog("SysprepUtils", fault.Error())
			return
		}
		if settings.yes("SetPasswordAfterSysprep") {
			g.setPlugin("Ec2SetPassword", "Enabled")
		}
		certificate := "Disabled"
		if settings.yes("SetRDPCertificate") {
			certificate = "Enabled"
		}
		g.setPlugin("Ec2ConfigureRDP", certificate)
		g.setPlugin("Ec2OutputRDPCert", certificate)
	})
	if fault != nil {
		return 1
	}
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
		q.do(func(g *Guest) { g.configLog("SysprepUtils", "Running Sysprep with switches "+settings.switches) })
		_, _ = q.detach(sysprepFolder+`\sysprep.exe`, `/unattend:"`+configAnswerFile+`" `+settings.switches)
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
