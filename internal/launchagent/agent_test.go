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

// Where each agent keeps its settings, and which of them it has at all.
func TestTheFilesOfSettingsOfEachAgent(t *testing.T) {
	t.Parallel()
	files := []ConfigFile{MainConfig, BundleConfig, DriveLetters, EventLog, "wallpaper"}
	const config = `%ProgramFiles%\Amazon\Ec2ConfigService\Settings\`
	const v1 = `%ProgramData%\Amazon\EC2-Windows\Launch\Config\`
	for _, test := range []struct {
		agent Agent
		want  []string
	}{
		{EC2LaunchV2{}, []string{`%ProgramData%\Amazon\EC2Launch\config\agent-config.yml`, "", "", "", ""}},
		{EC2LaunchV1{}, []string{v1 + "LaunchConfig.json", "", v1 + "DriveLetterMappingConfig.json", v1 + "EventLogConfig.json", ""}},
		{EC2Config{}, []string{config + "Config.xml", config + "BundleConfig.xml", config + "DriveLetterConfig.xml", config + "EventLogConfig.xml", ""}},
	} {
		for i, file := range files {
			path, ok := test.agent.ConfigFile(file)
			if path != test.want[i] || ok != (path != "") {
				t.Errorf("%s keeps %s in %q (%t), wanted %q", test.agent.Title(), file, path, ok, test.want[i])
			}
		}
	}
}

// What a failure has to put back is what the order makes the agent change.
func TestWhatEachOrderChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                    string
		agent                   Agent
		order                   Order
		writes, settings, tasks int
	}{
		{"Sysprep by EC2Launch v2", EC2LaunchV2{}, Order{Action: ActionSysprep}, 4, 2, 0},
		{"a shutdown by EC2Launch v2", EC2LaunchV2{}, Order{Action: ActionShutdown}, 3, 0, 0},
		{"Sysprep by EC2Launch v1", EC2LaunchV1{}, Order{Action: ActionSysprep}, 1, 2, 2},
		{"Sysprep by EC2Launch v1 with all its schedules", EC2LaunchV1{}, Order{Action: ActionSysprep, Schedules: Schedules{true, true, true, true}}, 1, 2, 5},
		{"a shutdown by EC2Launch v1", EC2LaunchV1{}, Order{Action: ActionShutdown}, 0, 0, 1},
		{"a shutdown by EC2Launch v1 at each boot", EC2LaunchV1{}, Order{Action: ActionShutdown, Schedules: Schedules{PerBoot: true}}, 0, 0, 2},
		{"Sysprep by EC2Config", EC2Config{}, Order{Action: ActionSysprep}, 2, 1, 0},
		{"a shutdown by EC2Config", EC2Config{}, Order{Action: ActionShutdown}, 0, 0, 0},
	} {
		writes, settings, tasks := test.agent.Writes(test.order.Action), test.agent.Settings(test.order.Action), test.agent.Tasks(test.order)
		if len(writes) != test.writes || len(settings) != test.settings || len(tasks) != test.tasks {
			t.Errorf("%s changes the files %q, the settings %q and the tasks %q", test.name, writes, settings, tasks)
		}
		if irreversible := test.agent.Irreversible(test.order.Action); test.order.Action == ActionShutdown && len(irreversible) > 0 {
			t.Errorf("%s: nobody could put back %q", test.name, irreversible)
		}
	}
}

// Each document of AWS's gives the command by which its agent runs Sysprep.
func TestTheCommandsOfEachAgent(t *testing.T) {
	t.Parallel()
	const powershell = `%windir%\System32\WindowsPowerShell\v1.0\powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File `
	// A task that is there goes before its script, and has to be there after it.
	removes := func(task string) string {
		task = "Amazon Ec2 Launch - " + task
		return `%windir%\System32\cmd.exe /d /c if exist "%windir%\System32\Tasks\` + task + `" schtasks.exe /delete /f /tn "` + task + `"`
	}
	finds := func(task string) string {
		return `%windir%\System32\schtasks.exe /query /tn "Amazon Ec2 Launch - ` + task + `"`
	}
	for _, test := range []struct {
		agent Agent
		order Order
		want  []string
	}{
		{EC2LaunchV2{}, Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, []string{`%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe validate`, `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe sysprep`}},
		{EC2LaunchV2{}, Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, []string{`%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe validate`, `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe sysprep --shutdown`}},
		{EC2LaunchV1{}, Order{Action: ActionSysprep, Shutdown: ShutdownNone}, []string{
			removes("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -Schedule`,
			finds("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SysprepInstance.ps1" -NoShutdown`,
		}},
		{EC2LaunchV1{}, Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, []string{
			removes("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -Schedule`,
			finds("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SysprepInstance.ps1"`,
		}},
		{EC2Config{}, Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, []string{`%ProgramFiles%\Amazon\Ec2ConfigService\Ec2Config.exe -sysprep`}},
		{EC2Config{}, Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, []string{`%ProgramFiles%\Amazon\Ec2ConfigService\Ec2Config.exe -sysprep`}},
		{EC2LaunchV1{}, Order{Action: ActionSysprep, Shutdown: ShutdownSealed, Schedules: Schedules{PerBoot: true, Disks: true, EventLogs: true, Ready: true}}, []string{
			removes("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -SchedulePerBoot`,
			finds("Instance Initialization"),
			removes("Disk Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeDisks.ps1" -Schedule`,
			finds("Disk Initialization"),
			removes("Event logs to Console"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SendEventLogs.ps1" -Schedule`,
			finds("Event logs to Console"),
			removes("Windows is Ready to Console"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SendWindowsIsReady.ps1" -Schedule`,
			finds("Windows is Ready to Console"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SysprepInstance.ps1" -NoShutdown`,
		}},
		{EC2LaunchV2{}, Order{Action: ActionShutdown, Shutdown: ShutdownSealed}, []string{`%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe validate`, `%ProgramFiles%\Amazon\EC2Launch\EC2Launch.exe reset`}},
		{EC2LaunchV1{}, Order{Action: ActionShutdown, Shutdown: ShutdownNone}, []string{
			removes("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -Schedule`,
			finds("Instance Initialization"),
		}},
		{EC2LaunchV1{}, Order{Action: ActionShutdown, Shutdown: ShutdownSealed, Schedules: Schedules{PerBoot: true, Ready: true}}, []string{
			removes("Instance Initialization"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\InitializeInstance.ps1" -SchedulePerBoot`,
			finds("Instance Initialization"),
			removes("Windows is Ready to Console"),
			powershell + `"%ProgramData%\Amazon\EC2-Windows\Launch\Scripts\SendWindowsIsReady.ps1" -Schedule`,
			finds("Windows is Ready to Console"),
		}},
		{EC2Config{}, Order{Action: ActionShutdown, Shutdown: ShutdownSealed}, nil},
	} {
		var got []string
		for _, command := range test.agent.Commands(test.order) {
			got = append(got, command.File+" "+command.Arguments)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s told %+v runs %q, wanted %q", test.agent.Title(), test.order, got, test.want)
		}
	}
}

func TestAWayToShutDownThatThereIsNot(t *testing.T) {
	t.Parallel()
	for _, agent := range All() {
		for _, action := range []Action{ActionSysprep, ActionShutdown} {
			for _, way := range agent.Shutdowns(action) {
				if err := Allow(agent, Order{Action: action, Shutdown: way}); err != nil {
					t.Errorf("%s: %s", agent.Title(), err)
				}
			}
		}
		for _, test := range []struct {
			order Order
			want  string
		}{
			{Order{Action: ActionSysprep, Shutdown: "hibernate"}, `has no shutdown = "hibernate", only "sealed", "agent", "none"`},
			{Order{Action: ActionShutdown, Shutdown: ShutdownAgent}, `has no shutdown = "agent" with action = "shutdown", only "sealed", "none"`},
		} {
			if err := Allow(agent, test.order); err == nil || err.Error() != agent.Title()+" "+test.want {
				t.Errorf("%s: %v", agent.Title(), err)
			}
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
