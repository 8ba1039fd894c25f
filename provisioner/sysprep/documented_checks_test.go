package sysprep

import (
	"bytes"
	"encoding/xml"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// The passes and components that the agents' answer files have.
const (
	passGeneralize = "generalize"
	passSpecialize = "specialize"
	passOOBE       = "oobeSystem"

	componentPnP           = "Microsoft-Windows-PnpSysprep"
	componentShell         = "Microsoft-Windows-Shell-Setup"
	componentInternational = "Microsoft-Windows-International-Core"
	componentSessions      = "Microsoft-Windows-TerminalServices-LocalSessionManager"
)

// hasSetting wants a setting of the answer file in the image to have a value.
func hasSetting(value, pass, component string, path ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if got, ok := s.answer.Lookup(pass, component, path...); !ok || got != value {
			t.Errorf("%s of %s in the pass %s is %q, there: %t; wanted %q", strings.Join(path, "/"), component, pass, got, ok, value)
		}
	}
}

// hasNoSetting wants the answer file not to have a setting.
func hasNoSetting(pass, component string, path ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if got, ok := s.answer.Lookup(pass, component, path...); ok {
			t.Errorf("%s of %s in the pass %s is %q", strings.Join(path, "/"), component, pass, got)
		}
	}
}

// allOf wants several things.
func allOf(checks ...func(*testing.T, *sealing)) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		for _, check := range checks {
			check(t, s)
		}
	}
}

var oneElement = regexp.MustCompile(`^<(\w+)>(.*)</(\w+)>$`)

// oobeRow is a row for a setting of the oobeSystem pass that a document shows as
// an element.
func oobeRow(quote, component string, group ...string) documented {
	found := oneElement.FindStringSubmatch(quote)
	return documented{
		name: "OOBE has " + found[1] + " " + found[2], in: []document{guide}, quote: quote,
		sealed: hasSetting(found[2], passOOBE, component, append(group, found[1])...),
	}
}

// specializeRuns wants the specialize pass to run exactly these.
func specializeRuns(lines ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		var got []string
		for i, command := range s.answer.RunSynchronous() {
			if command.Order != i+1 {
				t.Errorf("the order of %s is %d", command.Path, command.Order)
			}
			got = append(got, command.Path)
		}
		if !slices.Equal(got, lines) {
			t.Errorf("the specialize pass runs %q, wanted %q", got, lines)
		}
	}
}

// specializeRunsAt wants the specialize pass to have a command with this order.
func specializeRunsAt(order int, line string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		at := slices.IndexFunc(s.answer.RunSynchronous(), func(c answerfile.Command) bool { return c.Order == order })
		if at < 0 {
			t.Fatalf("the specialize pass has no command with order %d", order)
		}
		if got := s.answer.RunSynchronous()[at].Path; got != line {
			t.Errorf("the command with order %d is %q, wanted %q", order, got, line)
		}
	}
}

// ours says that a command is one that the plugin adds to the documented ones: it
// removes a task before the script that registers it, and looks for it afterwards.
func ours(command guest.Command) bool {
	return strings.Contains(command.File+" "+command.Arguments, `schtasks.exe`)
}

// sealerRuns wants the sealer to have been told to run these, in this order.
func sealerRuns(lines ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		var got []string
		for _, one := range s.plan.Commands {
			if !ours(one) {
				got = append(got, one.File+" "+one.Arguments)
			}
		}
		if !slices.Equal(got, lines) {
			t.Errorf("the sealer was told to run\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
		}
	}
}

// agentRunsWithoutSysprep wants an agent to run these arguments for a shutdown
// without Sysprep.
func agentRunsWithoutSysprep(agent launchagent.Agent, arguments ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, _ *sealing) {
		var got []string
		for _, one := range agent.Commands(launchagent.Order{Action: launchagent.ActionShutdown}) {
			if !ours(one) {
				got = append(got, one.Arguments)
			}
		}
		if !slices.Equal(got, arguments) {
			t.Errorf("%s runs %q, wanted %q", agent.Title(), got, arguments)
		}
	}
}

// sysprepRanAs wants sysprep.exe to have run by this command line. The documents have a
// space between /unattend: and the file, with which sysprep.exe would not find it.
func sysprepRanAs(line string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if want := strings.Replace(line, `/unattend: `, `/unattend:`, 1); s.line != want {
			t.Errorf("Sysprep ran as %q, wanted %q", s.line, want)
		}
	}
}

// quitting is a command line of Sysprep's that leaves the guest up.
func quitting(line string) string { return strings.Replace(line, "/shutdown", "/quit", 1) }

// fileSays wants a file in the image to hold exactly one line.
func fileSays(path, line string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if data, ok := s.guest().File(path); !ok || strings.TrimSpace(string(data)) != line {
			t.Errorf("%s, there: %t, says %q, wanted %q", path, ok, data, line)
		}
	}
}

// fileTells wants a file to hold these phrases, in this order.
func fileTells(path string, phrases ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		data, _ := s.guest().File(path)
		inOrder(t, path, string(data), phrases)
	}
}

// inOrder wants phrases in a text, one after the other.
func inOrder(t *testing.T, what, text string, phrases []string) {
	t.Helper()
	rest := text
	for _, phrase := range phrases {
		_, after, found := strings.Cut(rest, phrase)
		if !found {
			t.Fatalf("%q is not in its place in %s:\n%s", phrase, what, text)
		}
		rest = after
	}
}

// filesIn wants files to lie in a folder.
func filesIn(folder string, names ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		for _, name := range names {
			if _, ok := s.guest().File(folder + `\` + name); !ok {
				t.Errorf("there is no %s in %s", name, folder)
			}
		}
	}
}

// fileUnchanged wants a file in the image to be the one that was there before.
func fileUnchanged(path string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		name := "file " + strings.ToLower(path)
		if was, is := s.before[name], s.guest().Snapshot()[name]; was == "" || was != is {
			t.Errorf("%s was changed", path)
		}
	}
}

// imageRefusesRDP wants the image to refuse remote desktop, as BeforeSysprep.cmd
// has it; the guest let it in before.
func imageRefusesRDP(t *testing.T, s *sealing) {
	if was := s.before[strings.ToLower("value "+denyKey+"!fDenyTSConnections")]; !strings.Contains(was, `0`) {
		t.Errorf("fDenyTSConnections was %s before", was)
	}
	if got := s.guest().Registry(denyKey, "fDenyTSConnections"); got.Kind != guest.KindDWord || got.Text != "1" {
		t.Errorf("fDenyTSConnections in the image is %q of the kind %q", got.Text, got.Kind)
	}
}

// sysprepWasGiven wants Sysprep to have been given the agent's answer file: it keeps a
// copy for the first boot.
func sysprepWasGiven(t *testing.T, s *sealing) {
	if cached, ok := s.guest().File(`C:\Windows\Panther\unattend.xml`); !ok || !bytes.Equal(cached, s.answer.Bytes()) {
		t.Errorf("Windows Setup will not go by %s", s.answer.Name())
	}
	if !strings.Contains(s.line, s.answer.Name()) {
		t.Errorf("Sysprep ran as %q, without %s", s.line, s.answer.Name())
	}
}

// planGeneralizes wants Sysprep to be what the plugin runs unless it is told otherwise.
func planGeneralizes(t *testing.T, s *sealing) {
	if !s.plan.Generalize || s.options["action"] != nil {
		t.Errorf("generalize is %t with action %v", s.plan.Generalize, s.options["action"])
	}
}

// instanceStops wants the instance to have gone from running to stopped, by itself.
func instanceStops(t *testing.T, s *sealing) {
	if want := []string{ec2.StateRunning, ec2.StateStopping, ec2.StateStopped}; !slices.Equal(s.states, want) {
		t.Errorf("the instance was %q, wanted %q", s.states, want)
	}
	if instance, _ := s.lab.EC2.Instance(s.machine.InstanceID()); instance.StateReasonCode != ec2.ReasonGuest {
		t.Errorf("the instance was stopped by %s", instance.StateReasonCode)
	}
}

// shutdownLeftTo wants the plugin to have left the shutdown to someone: "sealed" for
// the sealer, "agent" for Sysprep itself.
func shutdownLeftTo(by string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if s.plan.Shutdown != by {
			t.Errorf("the shutdown is left to %q, wanted %q", s.plan.Shutdown, by)
		}
		instanceStops(t, s)
	}
}

// dropsProfile wants one word of the answer file to decide on CopyProfile.
func dropsProfile(t *testing.T, s *sealing) {
	file, err := answerfile.Parse(s.answer.Name(), s.answer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	no := false
	if err := file.Apply(answerfile.Settings{CopyProfile: &no}); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(s.answer.Text(), "<CopyProfile>true</CopyProfile>", "<CopyProfile>false</CopyProfile>", 1)
	if want == s.answer.Text() || file.Text() != want {
		t.Errorf("with copy_profile = false the answer file is\n%s", file.Text())
	}
}

// catalogueExplains wants the catalogue to know a documented line by its code, and its
// remedy to name things.
func catalogueExplains(line, code string, names ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, _ *sealing) {
		found := diagnosis.Explain(diagnosis.Text{Name: "setuperr.log", Data: []byte("2026-03-02 10:15:01, " + line + "\r\n")})
		if found.Code != code {
			t.Errorf("the line is taken for %s", found)
		}
		for _, name := range names {
			if !strings.Contains(found.Remedy, name) {
				t.Errorf("%q is not in the remedy %q", name, found.Remedy)
			}
		}
	}
}

// userIsTold wants a phrase among what the user saw.
func userIsTold(phrase string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if !strings.Contains(s.ui.text(), phrase) {
			t.Errorf("the user was not told %q", phrase)
		}
	}
}

// bundled is EC2Config's BundleConfig.xml.
type bundled struct {
	Properties []struct {
		Name  string `xml:"Name"`
		Value string `xml:"Value"`
	} `xml:"Property"`
	Sysprep []struct {
		AnswerFile string `xml:"AnswerFilePath"`
		Before     string `xml:"PreSysprepRunCmd"`
		Switches   string `xml:"Switches"`
	} `xml:"GeneralSettings>Sysprep"`
}

// inUse is what the file says of the answer file that Sysprep gets.
func (b bundled) inUse(t *testing.T) (before, switches string) {
	t.Helper()
	for _, one := range b.Sysprep {
		if one.AnswerFile == "sysprep2008.xml" {
			return one.Before, one.Switches
		}
	}
	t.Fatal("BundleConfig.xml has nothing for sysprep2008.xml")
	return "", ""
}

func (s *sealing) bundle(t *testing.T) (bundle bundled) {
	t.Helper()
	data, _ := s.guest().File(bundleConfig)
	if err := xml.Unmarshal(data, &bundle); err != nil {
		t.Fatalf("BundleConfig.xml: %s", err)
	}
	return bundle
}

// bundleSays wants a property of BundleConfig.xml's to have a value.
func bundleSays(name, value string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		for _, property := range s.bundle(t).Properties {
			if property.Name == name {
				if property.Value != value {
					t.Errorf("%s is %q, wanted %q", name, property.Value, value)
				}
				return
			}
		}
		t.Errorf("BundleConfig.xml has no %s", name)
	}
}

var onePlugin = regexp.MustCompile(`<Name>([^<]*)</Name>\s*<State>([^<]*)</State>`)

// plugins returns the states of EC2Config's plug-ins, and their names in order.
func (s *sealing) plugins() (states map[string]string, names []string) {
	states = map[string]string{}
	data, _ := s.guest().File(configFolder + `\Settings\Config.xml`)
	for _, found := range onePlugin.FindAllStringSubmatch(string(data), -1) {
		states[found[1]] = found[2]
		names = append(names, found[1])
	}
	return states, names
}

// pluginIs wants a plug-in of EC2Config's to have a state in the image.
func pluginIs(name, state string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if states, _ := s.plugins(); states[name] != state {
			t.Errorf("the plug-in %s is %q in the image, wanted %q", name, states[name], state)
		}
	}
}
