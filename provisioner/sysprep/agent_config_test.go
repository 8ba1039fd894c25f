package sysprep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

const (
	v2Config         = `C:\ProgramData\Amazon\EC2Launch\config\agent-config.yml`
	launchConfigPath = v1Data + `\Config\LaunchConfig.json`
	ec2Settings      = configFolder + `\Settings`
)

// goodV2, goodV1 and goodBundle are whole files of a user's.
const (
	goodV2 = `version: 1.1
config:
  - stage: preReady
    tasks:
      - task: setAdminAccount
        inputs:
          password:
            type: random
`
	goodV1 = `{"setComputerName": false, "setWallpaper": false, "addDnsSuffixList": true, "extendBootVolumeSize": true, "handleUserData": true, "adminPasswordType": "Random"}`
)

func TestMistakesInTheAgentsSettingsAreSaidByValidate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tabbed := file("tabbed.yml", "version: 1.0\nconfig:\n  - stage: boot\n\ttasks:\n")
	for _, test := range []struct {
		name    string
		options map[string]any
		// want are the beginnings of the errors, and what has to be in each.
		want [][]string
	}{
		{"an empty block", map[string]any{"agent_config": map[string]any{}}, [][]string{{"agent_config: it says nothing"}}},
		{
			"settings of another agent than the wanted one",
			map[string]any{"agent": "ec2launch-v1", "agent_config": map[string]any{"ec2launch_v2": map[string]any{"remove_tasks": []string{"setWallpaper"}}}},
			[][]string{{`agent_config: it has no block for the agent "ec2launch-v1"`}},
		},
		{
			"two whole files for one",
			map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"path": tabbed, "content": goodV2}}},
			[][]string{{"agent_config.ec2launch_v2.content: path is given too"}},
		},
		{
			"a file that is not there",
			map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{"path": filepath.Join(folder, "none.json")}}},
			[][]string{{"agent_config.ec2launch_v1.path: ", "none.json"}},
		},
		{
			"a tab in the YAML",
			map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"path": tabbed}}},
			[][]string{{"agent_config.ec2launch_v2.path: ", "tabbed.yml:4", "tab"}},
		},
		{
			"a value for which EC2Launch v1 would take all its defaults",
			map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{"content": strings.Replace(goodV1, `"Random"`, `"Randomly"`, 1)}}},
			[][]string{{"agent_config.ec2launch_v1.content: ", "agent_config.ec2launch_v1.content:1:", "adminPasswordType"}},
		},
		{
			"a value that EC2Config does not know",
			map[string]any{"agent_config": map[string]any{"ec2config": map[string]any{
				"config_path": file("Config.xml", "<Ec2ConfigurationSettings>\n<Plugins>\n<Plugin><Name>Ec2SetPassword</Name>\n<State>False</State></Plugin></Plugins>\n<GlobalSettings/></Ec2ConfigurationSettings>"),
			}}},
			[][]string{{"agent_config.ec2config.config_path: ", "Config.xml:4:"}},
		},
		{
			"everything wrong with single settings at once",
			map[string]any{"agent_config": map[string]any{
				"ec2launch_v2": map[string]any{"task": []map[string]any{
					{"stage": "posReady", "name": "startSsm"},
					{"stage": "postReady", "name": "setHostName", "inputs": "{"},
				}},
				"ec2launch_v1": map[string]any{
					"initialize_disks": true,
					"drive_letter":     []map[string]any{{"volume": "Data", "letter": "C"}},
					"event_log":        []map[string]any{{"log": "System", "level": "Fatal"}},
				},
				"ec2config": map[string]any{"drive_letter": []map[string]any{{"volume": "", "letter": "M"}}},
			}},
			[][]string{
				{"agent_config.ec2launch_v2.task[0].stage: ", "posReady"},
				{"agent_config.ec2launch_v2.task[1].inputs: "},
				{"agent_config.ec2launch_v1.drive_letter[0].letter: "},
				{"agent_config.ec2launch_v1.event_log[0].level: ", "Fatal"},
				{"agent_config.ec2config.drive_letter[0].volume: "},
			},
		},
		{
			"switches of EC2Config that are none, and one that nobody knows",
			map[string]any{"agent_config": map[string]any{"ec2config": map[string]any{
				"plugins":         map[string]any{"Ec2SetPasword": true, "Ec2EventLog": "on"},
				"global_settings": map[string]any{"ManageShutdown": "Yes"},
			}}},
			[][]string{
				{`agent_config.ec2config.plugins["Ec2SetPasword"]: `, "Ec2SetPassword"},
				{`agent_config.ec2config.plugins["Ec2EventLog"]: "on" is neither true nor false`},
				{`agent_config.ec2config.global_settings["ManageShutdown"]: "Yes" is neither`},
			},
		},
		{
			"a whole file beside blocks for the same",
			map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{
				"initialize_disks": true, "drive_letter_mapping_path": file("letters.json", `{"driveLetterMapping":[]}`),
				"drive_letter": []map[string]any{{"volume": "Data", "letter": "M"}},
			}}},
			[][]string{{"agent_config.ec2launch_v1.drive_letter_mapping_path: blocks for the same file are given too"}},
		},
		{
			"settings that undo what administrator_password sets",
			map[string]any{
				"administrator_password": map[string]any{"mode": "specify", "value": plantedPassword},
				"agent_config": map[string]any{
					"ec2launch_v2": map[string]any{"task": []map[string]any{
						{"stage": "preReady", "name": "setAdminAccount", "inputs": `{"password": {"type": "random"}}`},
					}},
					"ec2config": map[string]any{
						"plugins":         map[string]any{"ec2SetPassword": true},
						"global_settings": map[string]any{"RemoveCredentialsfromSysprepOnStartup": false, "SetDnsSuffixList": false},
					},
				},
			},
			[][]string{
				{"agent_config.ec2launch_v2.task[0].task: setAdminAccount is what administrator_password sets"},
				{`agent_config.ec2config.plugins["ec2SetPassword"]: it is what administrator_password sets`},
				{`agent_config.ec2config.global_settings["RemoveCredentialsfromSysprepOnStartup"]: it is what administrator_password sets`},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := map[string]any{"winrm_host": "192.0.2.1", "winrm_username": "a", "winrm_password": "b"}
			for name, value := range test.options {
				options[name] = value
			}
			got := messages(new(Provisioner).Prepare(options))
			if len(got) != len(test.want) {
				t.Errorf("%d errors, wanted %d:\n%s", len(got), len(test.want), strings.Join(got, "\n"))
				return
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want[0]) {
					t.Errorf("the error does not begin with %q:\n%s", want[0], got[i])
				}
				for _, phrase := range want[1:] {
					if !strings.Contains(got[i], phrase) {
						t.Errorf("%q is not in the error:\n%s", phrase, got[i])
					}
				}
			}
		})
	}
}

// every setting of each agent that the options know.
var agentSettings = []struct {
	name    string
	machine func() windows.Machine
	options map[string]any
	files   map[string]string
}{
	{
		"EC2Launch v2", windows.Server2022,
		map[string]any{"ec2launch_v2": map[string]any{
			"remove_tasks": []string{"setWallpaper", "postReady/noSuchTask"},
			"task": []map[string]any{
				{"stage": "postReady", "name": "enableJumboFrames"},
				{"stage": "postReady", "name": "setHostName", "inputs": `{"reboot": true}`},
				{"stage": "postReady", "name": "executeScript", "inputs": "- frequency: once\n  type: batch\n  content: echo hello\n  runAs: localSystem\n"},
			},
		}},
		map[string]string{"agent-config.yml": v2Config},
	},
	{
		"EC2Launch v1", windows.Server2019,
		map[string]any{"ec2launch_v1": map[string]any{
			"set_computer_name": true, "set_monitor_always_on": false, "set_wallpaper": false, "add_dns_suffix_list": false,
			"extend_boot_volume_size": false, "handle_user_data": false,
			"run_on_every_boot": true, "initialize_disks": true, "send_event_logs": true, "send_windows_is_ready": true,
			"drive_letter": []map[string]any{{"volume": "Data", "letter": "M"}, {"volume": "Logs", "letter": "L"}},
			"event_log":    []map[string]any{{"log": "System"}, {"log": "Application", "source": "MSSQLSERVER", "level": "Warning", "entries": 7}},
		}},
		map[string]string{
			"LaunchConfig.json":             launchConfigPath,
			"DriveLetterMappingConfig.json": v1Data + `\Config\DriveLetterMappingConfig.json`,
			"EventLogConfig.json":           v1Data + `\Config\EventLogConfig.json`,
		},
	},
	{
		"EC2Config", windows.Server2012R2,
		map[string]any{"ec2config": map[string]any{
			"plugins":         map[string]any{"Ec2SetComputerName": true, "Ec2HandleUserData": false, "Ec2SetDriveLetter": true, "Ec2EventLog": true},
			"global_settings": map[string]any{"SetDnsSuffixList": false},
			"auto_sysprep":    false, "set_rdp_certificate": true,
			"drive_letter": []map[string]any{{"volume": "Data", "letter": "M"}},
			"event_log":    []map[string]any{{"log": "System", "level": "Warning", "entries": 4}},
		}},
		map[string]string{
			"Config.xml":            ec2Settings + `\Config.xml`,
			"BundleConfig.xml":      ec2Settings + `\BundleConfig.xml`,
			"DriveLetterConfig.xml": ec2Settings + `\DriveLetterConfig.xml`,
			"EventLogConfig.xml":    ec2Settings + `\EventLogConfig.xml`,
		},
	},
}

func TestEverySettingOfAnAgentIsMadeInTheImage(t *testing.T) {
	t.Parallel()
	for _, test := range agentSettings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.machine))).with(map[string]any{"agent_config": test.options, "show_changes": true})
			b.succeeds()
			b.stopped()
			b.noResidue()
			folder := strings.ReplaceAll(strings.ToLower(test.name), " ", "-")
			for name, path := range test.files {
				data, there := b.guest().File(path)
				if !there {
					t.Errorf("the image has no %s", path)
				}
				golden(t, filepath.Join("settings", folder+"-"+name), string(data))
			}
			golden(t, filepath.Join("settings", folder+".ui"), b.scrubbed(b.ui.text())+"\n")
		})
	}
}

func TestTheAgentsSettingsArePutBackWhenSysprepRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range agentSettings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.machine, refuses))).with(map[string]any{
				"agent_config":           test.options,
				"administrator_password": map[string]any{"mode": "specify", "value": plantedPassword},
			})
			if err := b.provision(t.Context()); err == nil {
				t.Fatal("a guest that refuses was sealed")
			}
			b.recorded(handoff.StageRefused, "")
			b.asBefore()
			b.noResidue()
		})
	}
}

func TestAWholeSettingFileTakesThePlaceOfTheGuests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path, content string
		machine             func() windows.Machine
		options             map[string]any
	}{
		{"EC2Launch v2", v2Config, goodV2, windows.Server2025, map[string]any{"ec2launch_v2": map[string]any{"content": goodV2}}},
		{"EC2Launch v1", launchConfigPath, goodV1, windows.Server2016, map[string]any{"ec2launch_v1": map[string]any{"content": goodV1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.machine))).with(map[string]any{"agent_config": test.options})
			b.succeeds()
			b.stopped()
			data, _ := b.guest().File(test.path)
			if diff := cmp.Diff(test.content, string(data)); diff != "" {
				t.Errorf("the image's file differs from the user's (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAgentSettingsThatDoNotFitTheGuestEndTheBuild(t *testing.T) {
	t.Parallel()
	some := map[string]any{"ec2launch_v1": map[string]any{"set_wallpaper": false}}
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		options map[string]any
		want    []string
	}{
		{
			"settings for another agent",
			runs(windows.Server2022),
			map[string]any{"agent_config": some},
			[]string{"agent_config is for EC2Launch v1, and the guest has EC2Launch v2", "would get lost"},
		},
		{
			"a LaunchConfig.json that the agent would put aside without a word, though no option is about it",
			runs(windows.Server2019, func(m *windows.Machine) {
				m.Files[launchConfigPath] = windows.File{Text: `{"setComputerName": "maybe"}`}
			}), nil,
			[]string{"LaunchConfig.json:1:"},
		},
		{
			"an agent-config.yml that cannot be edited",
			runs(windows.Server2022, func(m *windows.Machine) {
				m.Files[v2Config] = windows.File{Text: "version: 1.0\nconfig:\n\t- stage: boot\n"}
			}),
			map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"remove_tasks": []string{"setWallpaper"}}}},
			[]string{"the agent's settings are broken", "agent-config.yml:3"},
		},
		{
			"a Config.xml that is missing",
			runs(windows.Server2012R2, func(m *windows.Machine) { m.Files[ec2Settings+`\Config.xml`] = windows.File{Absent: true} }),
			map[string]any{"agent_config": map[string]any{"ec2config": map[string]any{"plugins": map[string]any{"Ec2EventLog": true}}}},
			[]string{`Config.xml is not there`, "config_path"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).with(test.options)
			b.fails("ES-215", test.want...)
			b.untouched()
			b.noResidue()
		})
	}
}

func TestAnotherPasswordIsADifferenceThatMatters(t *testing.T) {
	t.Parallel()
	const old = "Planted-Old-1"
	for _, test := range []struct {
		name, path, text string
		machine          func() windows.Machine
	}{
		{
			"EC2Launch v2", v2Config,
			"version: 1.0\nconfig:\n  - stage: preReady\n    tasks:\n      - task: setAdminAccount\n        inputs:\n          password:\n            type: static\n            data: " + old + "\n",
			windows.Server2022,
		},
		{
			"EC2Launch v1", launchConfigPath,
			strings.Replace(goodV1, `"Random"`, `"Specify", "adminPassword": "`+old+`"`, 1),
			windows.Server2019,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.machine, func(m *windows.Machine) { m.Files[test.path] = windows.File{Text: test.text} }))).with(map[string]any{
				"show_changes": true, "dry_run": true, "administrator_password": map[string]any{"mode": "specify", "value": plantedPassword},
			})
			b.succeeds()
			b.said("the password differs, which is not shown")
			for _, secret := range []string{old, plantedPassword} {
				if strings.Contains(b.ui.text(), secret) || logged.contains(secret) {
					t.Error("a password is in an output")
				}
			}
		})
	}
}

func TestAMissingSettingFileIsMadeFromTheAgentsDefaults(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2019, func(m *windows.Machine) { m.Files[launchConfigPath] = windows.File{Absent: true} }))).
		with(map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{"set_wallpaper": false}}})
	b.succeeds()
	b.stopped()
	data, _ := b.guest().File(launchConfigPath)
	if text := string(data); !strings.Contains(text, `"setWallpaper": false`) || !strings.Contains(text, `"adminPasswordType": "Random"`) {
		t.Errorf("the image's LaunchConfig.json is\n%s", text)
	}
	b.said("Adding the agent's settings " + launchConfigPath)
}

func TestAgentSettingsThatPackerDoesNotKnowYetAreRefusedLater(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{
		"administrator_password": map[string]any{"mode": "specify", "value": aws.Unknown},
		"agent_config": map[string]any{
			"ec2launch_v2": map[string]any{"content": aws.Unknown, "remove_tasks": []string{aws.Unknown}},
			"ec2launch_v1": map[string]any{
				"initialize_disks": true, "drive_letter": []map[string]any{{"volume": aws.Unknown, "letter": "M"}},
				"event_log": []map[string]any{{"log": "System", "level": aws.Unknown}},
			},
			"ec2config": map[string]any{
				"plugins": map[string]any{"Ec2EventLog": aws.Unknown}, "global_settings": map[string]any{"SetDnsSuffixList": aws.Unknown},
				"drive_letter": []map[string]any{{"volume": "Data", "letter": aws.Unknown}},
				"event_log":    []map[string]any{{"log": aws.Unknown}},
			},
		},
	})
	err := b.provision(t.Context())
	for _, option := range []string{
		"administrator_password.value", "agent_config.ec2launch_v2.content", "agent_config.ec2launch_v2.remove_tasks",
		"agent_config.ec2launch_v1.drive_letter[0]", "agent_config.ec2launch_v1.event_log[0]",
		`agent_config.ec2config.plugins["Ec2EventLog"]`, `agent_config.ec2config.global_settings["SetDnsSuffixList"]`,
		"agent_config.ec2config.drive_letter[0]", "agent_config.ec2config.event_log[0]",
	} {
		if err == nil || !strings.Contains(err.Error(), option+": its value is still") {
			t.Errorf("%s is not named: %v", option, err)
		}
	}
	b.untouched()
}
