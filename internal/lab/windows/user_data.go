package windows

import (
	"encoding/base64"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// userDataPath is where the instance metadata service has the user data.
const userDataPath = "user-data"

// userData is an instance's user data, as the launch agents read it. Source:
// AWS, "Run commands on your Windows instance at launch".
type userData struct {
	batch, powerShell string
	persist           bool
	// tasks are those of user data in YAML, which only EC2Launch v2 reads.
	tasks []agentTask
}

var (
	batchTag      = regexp.MustCompile(`(?is)<script>(.*?)</script>`)
	powerShellTag = regexp.MustCompile(`(?s)<powershell>(.*?)</powershell>`)
	persistTag    = regexp.MustCompile(`(?is)<persist>\s*true\s*</persist>`)
)

// instanceUserData returns the user data of the instance; false when it has
// none that an agent could run.
func (s *startup) instanceUserData() (data userData, ok bool) {
	text := ""
	s.do(func(g *Guest) {
		if !g.machine.MetadataOff {
			text = g.machine.Metadata[userDataPath]
		}
	})
	return readUserData(text)
}

func readUserData(text string) (data userData, ok bool) {
	if found := batchTag.FindStringSubmatch(text); found != nil {
		data.batch = found[1]
	}
	if found := powerShellTag.FindStringSubmatch(text); found != nil {
		data.powerShell = found[1]
	}
	data.persist = persistTag.MatchString(text)
	if data.batch != "" || data.powerShell != "" {
		return data, true
	}
	var document struct {
		Tasks []agentTask `yaml:"tasks"`
	}
	if yaml.Unmarshal([]byte(text), &document) != nil {
		return userData{}, false
	}
	data.tasks = document.Tasks
	return data, len(data.tasks) > 0
}

// runUserData runs the scripts of user data: first the batch part, then the
// PowerShell part, which the lab can only note.
func (s *startup) runUserData(data userData) {
	s.userDataRuns++
	if data.batch != "" {
		s.runScript("user data", data.batch)
	}
	if data.powerShell != "" {
		s.do(func(g *Guest) { g.note("not modelled: PowerShell in the user data") })
	}
}

// runScript runs a text as a batch file.
func (s *startup) runScript(what, text string) {
	const path = `C:\Windows\Temp\Amazon\EC2-Windows\UserScript.bat`
	s.do(func(g *Guest) { g.disk.place(path, []byte(strings.TrimSpace(text)+"\r\n")) })
	s.carryOut(what, `"`+path+`"`)
	s.do(func(g *Guest) { _, _ = g.disk.remove(path, false) })
}

// showPassword prints the built-in administrator's name and password on the
// console, the password as if encrypted with the instance's key.
func (s *startup) showPassword() {
	s.shown = true
	s.do(func(g *Guest) {
		name, account := g.administrator()
		g.print("Username: " + name)
		g.print("Password: <Password>\r\n" + base64.StdEncoding.EncodeToString([]byte(hash([]byte(account.Password+g.madeUp())))) + "\r\n</Password>")
	})
}

// adminPassword gives the built-in administrator, or the account named, a
// password: the specified one when it is strong enough, otherwise one that is
// made up. The console shows it.
func (s *startup) adminPassword(user, specified string) {
	s.do(func(g *Guest) {
		name, _ := g.administrator()
		if user != "" && !strings.EqualFold(user, name) {
			if _, _, ok := g.account(user); !ok {
				g.note("the agent names an administrator that is no account; the lab takes the built-in one")
			} else {
				name = user
			}
		}
		if specified != "" && strong(specified, name) {
			g.setPassword(name, specified, PasswordSpecified)
			return
		}
		g.setPassword(name, g.randomPassword(), PasswordRandom)
	})
	s.showPassword()
}

// addressName is a computer's name by its private address, as the agents make
// it: IP-AC1F04E6.
func (g *Guest) addressName() (name string, ok bool) {
	var octets [4]int
	parts := strings.Split(g.machine.Metadata["meta-data/local-ipv4"], ".")
	if len(parts) != len(octets) || g.machine.MetadataOff {
		return "", false
	}
	const digits = "0123456789ABCDEF"
	name = "IP-"
	for i, part := range parts {
		for _, c := range part {
			if c < '0' || c > '9' {
				return "", false
			}
			octets[i] = octets[i]*10 + int(c-'0')
		}
		if part == "" || octets[i] > 255 {
			return "", false
		}
		name += string(digits[octets[i]/16]) + string(digits[octets[i]%16])
	}
	return name, true
}
