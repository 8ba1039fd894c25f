package launchagent

import (
	"slices"
	"strings"
	"testing"
)

func TestTheVersionOfAModule(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, manifest, want string }{
		{"as shipped", "@{\r\n    RootModule = 'Ec2Launch.psm1'\r\n    ModuleVersion = '1.3.2005119'\r\n}\r\n", "1.3.2005119"},
		{"in double quotes, without spaces", "@{\nmoduleversion=\"1.4.6\"\n}", "1.4.6"},
		{"in UTF-16", "\xff\xfe" + strings.Join(strings.Split("\nModuleVersion = '1.3.5'\n", ""), "\x00") + "\x00", "1.3.5"},
		{"a comment", "# ModuleVersion = '9.9'\n", ""},
		{"nothing", "", ""},
	} {
		if got := moduleVersion([]byte(test.manifest)); got != test.want {
			t.Errorf("%s: %q, wanted %q", test.name, got, test.want)
		}
	}
}

func TestAnswerFilesThatEC2LaunchV1Spoils(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, want string }{
		{"ASCII", "<a>Amazon</a>", ""},
		{"UTF-8 with a byte order mark", "\ufeff<a>Zoë</a>", ""},
		{"UTF-16", "\xff\xfe<\x00a\x00/\x00>\x00\xeb\x00", ""},
		{"UTF-8 without one", "<a>\r\n<b>Zoë</b></a>", "line 2 has characters that are not ASCII"},
	} {
		got := EC2LaunchV1{}.AnswerFileFault([]byte(test.file))
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, wanted %q", test.name, got, test.want)
		}
		for _, other := range []Agent{EC2LaunchV2{}, EC2Config{}} {
			if got := other.AnswerFileFault([]byte(test.file)); got != "" {
				t.Errorf("%s: %s says %q", test.name, other.Title(), got)
			}
		}
	}
}

// Each document of AWS's gives the command by which its agent runs Sysprep.
func TestTheCommandsOfEachAgent(t *testing.T) {
	t.Parallel()
	const powershell = `%windir%\System32\WindowsPowerShell\v1.0\powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File `
	for _, test := range []struct {
		agent    Agent
		shutdown Shutdown
		want     []string
	}{
		{EC2LaunchV2{}, ShutdownSealed, []string{`%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe validate`, `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe sysprep`}},
		{EC2LaunchV2{}, ShutdownAgent, []string{`%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe validate`, `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe sysprep --shutdown`}},
		{EC2LaunchV1{}, ShutdownNone, []string{
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -Schedule`,
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SysprepInstance.ps1" -NoShutdown`,
		}},
		{EC2LaunchV1{}, ShutdownAgent, []string{
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -Schedule`,
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SysprepInstance.ps1"`,
		}},
		{EC2Config{}, ShutdownSealed, []string{`%ProgramFiles%\Amazon\Ec2ConfigService\Ec2Config.exe -sysprep`}},
		{EC2Config{}, ShutdownAgent, []string{`%ProgramFiles%\Amazon\Ec2ConfigService\Ec2Config.exe -sysprep`}},
	} {
		var got []string
		for _, command := range test.agent.Commands(test.shutdown) {
			got = append(got, command.File+" "+command.Arguments)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s with shutdown = %q runs %q, wanted %q", test.agent.Title(), test.shutdown, got, test.want)
		}
	}
}

func TestAWayToShutDownThatThereIsNot(t *testing.T) {
	t.Parallel()
	for _, agent := range All() {
		for _, way := range agent.Shutdowns() {
			if err := Allow(agent, way); err != nil {
				t.Errorf("%s: %s", agent.Title(), err)
			}
		}
		if err := Allow(agent, "hibernate"); err == nil || !strings.Contains(err.Error(), agent.Title()+` has no shutdown = "hibernate", only "sealed"`) {
			t.Errorf("%s: %v", agent.Title(), err)
		}
	}
}

func TestTheAgentToUse(t *testing.T) {
	t.Parallel()
	var all []Found
	for _, agent := range All() {
		all = append(all, Found{Agent: agent})
	}
	for _, test := range []struct {
		name, wanted string
		found        []Found
		want, phrase string
	}{
		{"the newest of a migrated guest", "auto", all, "ec2launch-v2", ""},
		{"the next where the newest is not", "", all[1:], "ec2launch-v1", ""},
		{"the wanted one", "ec2config", all, "ec2config", ""},
		{"one that is not there", "ec2config", all[:2], "", `agent "ec2config" is not installed; the guest has EC2Launch v2 and EC2Launch v1`},
		{"none", "auto", nil, "", "no launch agent is installed"},
	} {
		got, err := Choose(test.wanted, test.found)
		switch {
		case test.phrase != "":
			if err == nil || !strings.Contains(err.Error(), test.phrase) {
				t.Errorf("%s: the error is %v", test.name, err)
			}
		case err != nil || got.ID() != test.want:
			t.Errorf("%s: %v, %v", test.name, got.Agent, err)
		}
	}
}
