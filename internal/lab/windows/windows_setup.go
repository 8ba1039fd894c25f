package windows

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Files of Windows Setup's.
const (
	cachedAnswerFile = `C:\Windows\Panther\unattend.xml`
	setupComplete    = `C:\Windows\Setup\Scripts\SetupComplete.cmd`
)

// answers is what a first boot reads in an answer file. Source: Microsoft,
// "Unattended Windows Setup Reference".
type answers struct {
	Settings []struct {
		Pass       string            `xml:"pass,attr"`
		Processed  string            `xml:"wasPassProcessed,attr"`
		Components []answerComponent `xml:"component"`
	} `xml:"settings"`
}

type answerComponent struct {
	Name         string `xml:"name,attr"`
	Architecture string `xml:"processorArchitecture,attr"`

	ComputerName string `xml:"ComputerName"`
	TimeZone     string `xml:"TimeZone"`
	Organization string `xml:"RegisteredOrganization"`
	Owner        string `xml:"RegisteredOwner"`

	DenyRDP string `xml:"fDenyTSConnections"`

	Commands []struct {
		Order int    `xml:"Order"`
		Path  string `xml:"Path"`
	} `xml:"RunSynchronous>RunSynchronousCommand"`

	InputLocale string `xml:"InputLocale"`
	UILanguage  string `xml:"UILanguage"`
	UserLocale  string `xml:"UserLocale"`

	AdministratorPassword *answerPassword `xml:"UserAccounts>AdministratorPassword"`
	LocalAccounts         []struct {
		Name     string         `xml:"Name"`
		Group    string         `xml:"Group"`
		Password answerPassword `xml:"Password"`
	} `xml:"UserAccounts>LocalAccounts>LocalAccount"`
	FirstLogon []struct {
		CommandLine string `xml:"CommandLine"`
	} `xml:"FirstLogonCommands>SynchronousCommand"`
}

// answerPassword is a password of an answer file's. Where PlainText is false,
// it is UTF-16LE in base64 with the element's name behind it.
type answerPassword struct {
	Value     string `xml:"Value"`
	PlainText string `xml:"PlainText"`
}

// text returns the password; false means that it cannot be decoded.
func (p answerPassword) text(element string) (password string, ok bool) {
	if !strings.EqualFold(strings.TrimSpace(p.PlainText), "false") {
		return p.Value, true
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(p.Value))
	if err != nil {
		return "", false
	}
	return strings.CutSuffix(narrow(append([]byte{0xff, 0xfe}, data...)), element)
}

// readAnswers reads an answer file. One that cannot be read holds nothing;
// Sysprep would have refused it.
func readAnswers(data []byte) answers {
	var found answers
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	if decoder.Decode(&found) != nil {
		return answers{}
	}
	return found
}

// pass returns the components of a pass that apply to this Windows.
func (a answers) pass(name, architecture string) []answerComponent {
	var found []answerComponent
	for _, settings := range a.Settings {
		if settings.Pass != name || strings.EqualFold(settings.Processed, "true") {
			continue
		}
		for _, component := range settings.Components {
			if strings.EqualFold(component.Architecture, architecture) {
				found = append(found, component)
			}
		}
	}
	return found
}

// setUp is Windows Setup on a sealed guest: specialize, OOBE and
// SetupComplete.cmd. It returns false when the machine went off meanwhile.
func (s *startup) setUp() bool {
	s.do(func(g *Guest) {
		if s.setUpRan = g.hive.text(setupKey, "SetupType") == "2"; !s.setUpRan {
			return
		}
		g.setupRuns++
		g.authGone = true
		g.setImageState(stateUndeployable)
		g.printSetUp(stateUndeployable)
		// Generalize has taken the built-in administrator's password away.
		name, account := g.administrator()
		account.Password, account.Disabled = "", true
		g.accounts[name] = account
		g.origin = PasswordNone
		if ssm, ok := g.services[ssmService]; ok {
			ssm.State = "Stopped"
			g.services[ssmService] = ssm
		}
	})
	if !s.setUpRan {
		return s.ctx.Err() == nil
	}
	var file answers
	s.do(func(g *Guest) {
		if n := g.disk.file(cachedAnswerFile); n != nil {
			file = readAnswers(n.data)
		}
	})
	takes := time.Duration(s.guest.machine.Power.SetupTakes)
	if !s.wait(takes / 2) {
		return false
	}
	s.specialize(file.pass("specialize", s.guest.machine.Architecture))
	s.do(func(g *Guest) { g.setImageState(stateSpecialized) })
	if !s.wait(takes - takes/2) {
		return false
	}
	s.oobe(file.pass("oobeSystem", s.guest.machine.Architecture))
	s.setupComplete()
	return s.do(func(g *Guest) {
		g.setImageState(stateComplete)
		g.setDword(setupKey, "SetupType", 0)
		g.setText(setupKey, "CmdLine", "")
		g.setDword(sysprepKey, "GeneralizationState", 7)
		g.print("Windows sysprep configuration complete.")
		if g.disk.file(configProgram) != nil {
			g.print("Message: Sysprep Start")
			g.print("Message: Sysprep End")
		}
	})
}

// printSetUp prints what an agent says of Windows Setup while it goes on, which
// EC2Config says in its own way. The lock is held.
func (g *Guest) printSetUp(state string) {
	text := "Windows is being configured. SysprepState=" + state
	if g.disk.file(configProgram) != nil && g.disk.file(v2Program) == nil {
		text = "EC2ConfigMonitorState: 0 " + text
	}
	g.print(text)
}

var computerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,15}$`)

// specialize is the pass that makes the instance one of its own.
func (s *startup) specialize(components []answerComponent) {
	type ordered struct {
		order int
		path  string
	}
	var commands []ordered
	s.do(func(g *Guest) {
		name := "*"
		for _, component := range components {
			name = cmp.Or(strings.TrimSpace(component.ComputerName), name)
			g.describe(component)
			for _, command := range component.Commands {
				commands = append(commands, ordered{command.Order, command.Path})
			}
		}
		switch {
		case name == "*":
			g.rename("EC2AMAZ-" + strings.ToUpper(g.madeUp()[:7]))
		case computerName.MatchString(name):
			g.rename(name)
		default:
			g.note("specialize: ComputerName is no name for a computer; Windows Setup would end here")
		}
	})
	slices.SortStableFunc(commands, func(a, b ordered) int { return cmp.Compare(a.order, b.order) })
	for _, command := range commands {
		s.carryOut("specialize", command.path)
	}
}

// describe carries out the settings that both passes have. The lock is held.
func (g *Guest) describe(component answerComponent) {
	if component.TimeZone != "" {
		g.setText(`HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation`, "TimeZoneKeyName", component.TimeZone)
	}
	if component.Organization != "" {
		g.setText(versionKey, "RegisteredOrganization", component.Organization)
	}
	if component.Owner != "" {
		g.setText(versionKey, "RegisteredOwner", component.Owner)
	}
	switch strings.ToLower(strings.TrimSpace(component.DenyRDP)) {
	case "false", "0":
		g.setDword(terminalKey, "fDenyTSConnections", 0)
	case "true", "1":
		g.setDword(terminalKey, "fDenyTSConnections", 1)
	}
}

// oobe is the oobeSystem pass, as far as nobody has to log on for it.
func (s *startup) oobe(components []answerComponent) {
	s.do(func(g *Guest) {
		for _, component := range components {
			g.describe(component)
			if component.UserLocale != "" {
				g.setText(`HKU\.DEFAULT\Control Panel\International`, "LocaleName", component.UserLocale)
			}
			if component.InputLocale != "" {
				g.setText(`HKU\.DEFAULT\Keyboard Layout\Preload`, "1", component.InputLocale)
			}
			if component.UILanguage != "" {
				g.hive.write(`HKLM\SYSTEM\CurrentControlSet\Control\MUI\Settings`, "PreferredUILanguages", Texts(component.UILanguage))
			}
			for _, local := range component.LocalAccounts {
				password, ok := local.Password.text("Password")
				if !ok {
					g.note("oobeSystem: the password of a local account cannot be decoded")
				}
				g.accounts[local.Name] = Account{
					SID: machineSID + "-1001", Password: password,
					Administrator: strings.Contains(strings.ToLower(local.Group), "administrators"),
				}
			}
			if component.AdministratorPassword != nil {
				g.takePassword(*component.AdministratorPassword)
			}
			if len(component.FirstLogon) > 0 {
				g.note("oobeSystem: FirstLogonCommands wait for somebody who logs on")
			}
		}
		// A password that nobody was told is none: the account is disabled until
		// the agent sets one. Source: AWS, EC2Launch v2 settings, DoNothing.
		if g.origin == passwordScrambled || g.origin == PasswordNone {
			name, account := g.administrator()
			account.Password, account.Disabled = "", true
			g.accounts[name] = account
			g.origin = PasswordNone
		}
		if n := g.disk.file(cachedAnswerFile); n != nil {
			g.disk.place(cachedAnswerFile, withoutPasswords(n.data))
		}
	})
}

// takePassword gives the built-in administrator the answer file's password.
// The lock is held.
func (g *Guest) takePassword(given answerPassword) {
	name, _ := g.administrator()
	password, ok := given.text("AdministratorPassword")
	switch {
	case !ok:
		g.note("oobeSystem: AdministratorPassword says PlainText false and cannot be decoded")
	case password == "":
	case !strong(password, name):
		g.note("oobeSystem: AdministratorPassword does not meet the password policy; Windows Setup would end here")
	default:
		g.setPassword(name, password, PasswordSpecified)
	}
}

var passwordElement = regexp.MustCompile(`(?s)(<(?:Administrator)?Password\b[^>]*>)(.*?)(</(?:Administrator)?Password>)`)

// withoutPasswords is an answer file as Windows keeps it after use.
func withoutPasswords(data []byte) []byte {
	return passwordElement.ReplaceAll(data, []byte("${1}*SENSITIVE*DATA*DELETED*${3}"))
}

// setupComplete runs SetupComplete.cmd as SYSTEM, once Windows is installed and
// before anybody may log on.
func (s *startup) setupComplete() {
	there := false
	s.do(func(g *Guest) { there = g.disk.file(setupComplete) != nil })
	if there {
		s.carryOut("SetupComplete.cmd", `"`+setupComplete+`"`)
	}
}
