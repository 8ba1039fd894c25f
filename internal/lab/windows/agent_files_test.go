package windows

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// Each Windows has its agent's files, and its agent understands them.
func TestTheFilesThatAgentsShipAreValid(t *testing.T) {
	for _, one := range Catalogue() {
		if !strings.HasPrefix(one.Name, "server-") {
			continue
		}
		t.Run(one.Name, func(t *testing.T) {
			m := one.Make()
			text := func(path string) []byte {
				file, there := m.Files[path]
				if !there {
					t.Errorf("%s is missing", path)
				}
				return []byte(file.Text)
			}
			var faults error
			switch {
			case m.Files[v2Program].Text != "":
				_, faults = readAgentConfig(text(v2Config))
			case m.Files[v1Sysprep].Text != "":
				_, faults = readLaunchConfig(text(v1Config), false)
				for _, path := range []string{v1Letters, v1EventLog} {
					if !json.Valid(text(path)) {
						t.Errorf("%s is no JSON", path)
					}
				}
				for _, script := range []string{v1Initialize, v1Disks, v1Events, v1Ready, v1Randomize} {
					text(script)
				}
			default:
				_, plugins := readPlugins(text(configSettings))
				_, properties := readBundle(text(configBundle))
				faults = errors.Join(plugins, properties)
				for _, path := range []string{configLetters, configEvents} {
					if !strings.HasPrefix(string(text(path)), `<?xml version="1.0"`) {
						t.Errorf("%s is no XML", path)
					}
				}
				text(configScramble)
			}
			if faults != nil {
				t.Error(faults)
			}
		})
	}
}

func TestEC2LaunchV2Validates(t *testing.T) {
	stage := func(name, tasks string) string {
		return "version: 1.0\nconfig:\n- stage: " + name + "\n  tasks:\n" + tasks
	}
	tests := []struct{ name, text, fault string }{
		{name: "as AWS ships it", text: shippedAgentConfig},
		{name: "with a byte order mark", text: "\ufeff" + shippedAgentConfig},
		{name: "as JSON with tabs", text: "{\n\t\"version\": \"1.1\",\n\t\"config\": [{\"stage\": \"postReady\", \"tasks\": [{\"task\": \"startSsm\"}]}]\n}"},
		{name: "without a version, as in AWS's example", text: strings.TrimPrefix(shippedAgentConfig, "version: 1.0\n")},
		{name: "a task in two stages", text: stage("preReady", "  - task: executeScript\n    inputs:\n    - frequency: once\n      type: batch\n") + "- stage: postReady\n  tasks:\n  - task: executeScript\n    inputs:\n    - frequency: always\n"},
		{name: "a tab in YAML", text: "version: 1.0\nconfig:\n- stage: boot\n\ttasks:\n", fault: "cannot be parsed"},
		{name: "half of it", text: "{\"version\": \"1.0\", \"config\": [", fault: "cannot be parsed"},
		{name: "nothing", text: "", fault: "there are no stages"},
		{name: "another version", text: strings.Replace(shippedAgentConfig, "1.0", "2.0", 1), fault: "unknown version 2"},
		{name: "a stage that is none", text: stage("lateReady", "  - task: startSsm\n"), fault: `unknown stage "lateReady"`},
		{name: "a task that is none", text: stage("postReady", "  - task: startSSM\n"), fault: `unknown task "startSSM"`},
		{name: "a task in another's stage", text: stage("boot", "  - task: startSsm\n"), fault: "task startSsm is not allowed in stage boot"},
		{name: "a task of user data", text: stage("postReady", "  - task: sysprep\n"), fault: `unknown task "sysprep"`},
		{name: "a task twice", text: stage("postReady", "  - task: startSsm\n  - task: startSsm\n"), fault: "task:startSsm should be unique and only invoked once"},
		{name: "a task twice in one stage that stands there twice", text: stage("postReady", "  - task: startSsm\n") + "- stage: postReady\n  tasks:\n  - task: startSsm\n", fault: "should be unique"},
		{name: "a kind of password that is none", text: stage("preReady", "  - task: setAdminAccount\n    inputs:\n      password:\n        type: fixed\n"), fault: "unknown password type"},
		{name: "a script without a frequency", text: stage("postReady", "  - task: executeScript\n    inputs:\n    - type: batch\n"), fault: "frequency must be once or always"},
		{name: "a script without inputs", text: stage("postReady", "  - task: executeScript\n"), fault: "there are no inputs"},
		{name: "a computer's name that is too long", text: stage("postReady", "  - task: setHostName\n    inputs:\n      hostName: a-name-of-sixteen\n"), fault: "hostName"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			m.SetFile(v2Config, test.text)
			bubble(t, m, func(t *testing.T, b *bench) {
				_, stderr, code := b.shell(`"` + v2Program + `" validate`)
				if (code != 0) != (test.fault != "") || !strings.Contains(stderr, test.fault) {
					t.Errorf("it ended with %d and said %q, want %q", code, stderr, test.fault)
				}
			})
		})
	}
	m := Server2022()
	m.RemoveFile(v2Config)
	bubble(t, m, func(t *testing.T, b *bench) {
		if _, _, code := b.shell(`"` + v2Program + `" validate`); code == 0 {
			t.Error("a file that is missing is valid")
		}
	})
}

func TestEC2LaunchV1FallsBackToItsDefaults(t *testing.T) {
	tests := []struct{ name, old, text, fault string }{
		{name: "as AWS ships it"},
		{name: "names in other letters", old: `"setWallpaper"`, text: `"SETWALLPAPER"`},
		{name: "a kind in other letters", old: `"Random"`, text: `"specify"`},
		{name: "a number for true", old: `"setWallpaper": true`, text: `"setWallpaper": 1`},
		{name: "user data is not looked at", old: `"handleUserData": true`, text: `"handleUserData": "yes"`},
		{name: "the monitor is not looked at", old: `  "setMonitorAlwaysOn": true,` + "\n", text: ""},
		{name: "a text for true", old: `"setWallpaper": true`, text: `"setWallpaper": "true"`, fault: "setwallpaper"},
		{name: "null for true", old: `"setWallpaper": true`, text: `"setWallpaper": null`, fault: "setwallpaper"},
		{name: "one is missing", old: `  "setComputerName": false,` + "\n", text: "", fault: "setcomputername"},
		{name: "a kind that is none", old: `"Random"`, text: `"Fixed"`, fault: "adminpasswordtype"},
		{name: "an encrypted password for an agent that is too old", old: `"Random"`, text: `"Encrypted"`, fault: "adminpasswordtype"},
		{name: "a setting twice", old: `"setWallpaper": true`, text: `"setWallpaper": true, "SetWallpaper": true`, fault: "twice"},
		{name: "no JSON", old: "{", text: "", fault: "cannot be parsed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readLaunchConfig([]byte(strings.Replace(shippedLaunchConfig, test.old, test.text, 1)), false)
			if (err != nil) != (test.fault != "") || err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Errorf("the fault is %v, want %q", err, test.fault)
			}
		})
	}
	if _, err := readLaunchConfig(wide(shippedLaunchConfig), false); err != nil {
		t.Errorf("UTF-16: %v", err)
	}
	if _, err := readLaunchConfig([]byte(strings.Replace(shippedLaunchConfig, "Random", "Encrypted", 1)), true); err != nil {
		t.Errorf("an encrypted password: %v", err)
	}
}

func TestEC2LaunchV1SchedulesItsOtherScripts(t *testing.T) {
	for script, want := range map[string]struct{ task, log string }{
		v1Disks:  {v1DisksTask, "DiskInitialization.log"},
		v1Events: {v1EventsTask, "EventlogsToConsole.log"},
		v1Ready:  {v1ReadyTask, "WindowsIsReadyToConsole.log"},
	} {
		t.Run(base(script), func(t *testing.T) {
			bubble(t, Server2019(), func(t *testing.T, b *bench) {
				if _, _, code := b.shell(powerShell + script); code == 0 {
					t.Error("the lab did its work")
				}
				before := b.Service(ssmService).StartMode
				if out, _, code := b.shell(powerShell + script + " -Schedule"); code != 0 || !strings.Contains(out, "is scheduled successfully") {
					t.Errorf("it ended with %d and said %q", code, out)
				}
				if got := b.Snapshot()["task "+strings.ToLower(want.task)]; !strings.Contains(got, `-File "`+script+`"`) || !strings.HasSuffix(got, "disabled=false") {
					t.Errorf("the task is %q", got)
				}
				b.wants(v1Data+`\Log\`+want.log, "is scheduled successfully")
				if b.Service(ssmService).StartMode != before {
					t.Error("the SSM agent's start type has changed")
				}
				for range 2 {
					if first := b.startAgain(); !first.Ran(want.task) || first.Password != PasswordKept {
						t.Errorf("%+v", first)
					}
				}
			})
		})
	}
}

func TestEC2LaunchV2IsStillAtWork(t *testing.T) {
	for _, test := range []struct {
		name   string
		serial bool
		log    []string
	}{
		{"user data runs", false, []string{"Initializing user-data state", "postReadyUserData execution completed", "EC2Launch stopped"}},
		{"the serial port is taken", true, []string{"Serial port is in use. Waiting for Serial Port...", "EC2Launch stopped"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			m.SerialTaken = test.serial
			m.Services[v2Service] = Service{State: "Running", StartMode: "Auto", Process: "EC2LaunchService", StopsAfter: Seconds(60)}
			bubble(t, m, func(t *testing.T, b *bench) {
				if _, _, code := b.shell(`"` + v2Program + `" status`); code != 2 {
					t.Errorf("status is %d", code)
				}
				began := time.Now()
				if out, _, code := b.shell(`"` + v2Program + `" reset --block`); code != 0 || !strings.Contains(out, "service is still running...checking again in '5.000000' seconds") {
					t.Errorf("reset ended with %d and said %q", code, out)
				}
				if took := time.Since(began); took < minute || took > minute+5*time.Second {
					t.Errorf("reset took %s", took)
				}
				b.wants(v2Log, test.log...)
				if _, _, code := b.shell(`"` + v2Program + `" status`); code != 5 {
					t.Errorf("status is %d after reset", code)
				}
				for _, path := range []string{v2RunOnce, v2StateFile, v2Previous} {
					if b.has(path) {
						t.Errorf("%s is there after reset", path)
					}
				}
				b.startAgain()
				if _, _, code := b.shell(`"` + v2Program + `" status`); code != 0 || !b.has(v2RunOnce) {
					t.Errorf("status is %d after a start", code)
				}
			})
		})
	}
}

func TestEC2ConfigTakesOnlyTheWordsThatItKnows(t *testing.T) {
	read, err := readBundle([]byte(strings.Replace(shippedBundleConfig, "<Value>Yes<", "<Value>Enabled<", 1)))
	if err != nil || read.yes("SetPasswordAfterSysprep") || read.switches != "/oobe /generalize /shutdown" {
		t.Errorf("%+v, %v", read, err)
	}
	for _, text := range []string{"", "<BundleConfig/>", "<BundleConfig><Property><Name>AutoSysprep</Name></BundleConfig>"} {
		if _, err := readBundle([]byte(text)); err == nil {
			t.Errorf("%q is a BundleConfig.xml", text)
		}
	}
	for _, text := range []string{"", "<Other/>", strings.Replace(shippedConfig, "Disabled", "False", 1)} {
		if _, err := readPlugins([]byte(text)); err == nil {
			t.Errorf("%.40q is a Config.xml", text)
		}
	}
}

// A plan without Sysprep: an image made by a mere shutdown.
func TestTheSealerShutsDownWithoutSysprep(t *testing.T) {
	for _, test := range []struct {
		name     string
		machine  func() Machine
		commands []guest.Command
		password string
	}{
		{"with nothing to do before", Server2022, nil, PasswordKept},
		{"after EC2Launch v2 was reset", Server2022, []guest.Command{{File: v2Program, Arguments: "reset"}}, PasswordRandom},
		{"after EC2Launch v1 was scheduled", Server2019, []guest.Command{{File: powerShellProgram, Arguments: `-NoProfile -ExecutionPolicy Bypass -File "` + v1Initialize + `" -Schedule`}}, PasswordRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, test.machine(), func(t *testing.T, b *bench) {
				p := plan()
				p.Generalize, p.Commands = false, test.commands
				b.seal(p)
				b.until(5*minute, "the shutdown", func() bool { return !b.On() })
				if b.ImageState() != stateComplete || b.Sealed() || !b.has(tagFile) || !strings.Contains(b.COM1(), "token-1 sealed") {
					t.Errorf("image state %s, sealed %t", b.ImageState(), b.Sealed())
				}
				if got := b.happened(); got != "shells dropped, network off, off" {
					t.Errorf("happened: %s", got)
				}
				if there, _ := b.Folder(testFolder); there {
					t.Error("the working folder is left")
				}
				if first := b.startAgain(); first.SetUp || first.Password != test.password || !first.WinRMListens {
					t.Errorf("%+v", first)
				}
			})
		})
	}
}

func TestAPasswordIsTakenOutOfAgentConfig(t *testing.T) {
	for _, text := range []string{
		strings.Replace(shippedAgentConfig, "type: random", "type: static\n            data: "+secret, 1),
		`{"version": "1.0", "config": [{"stage": "preReady", "tasks": [{"task": "setAdminAccount", "inputs": {"password": {"type": "static", "data": "` + secret + `"}}}]}]}`,
	} {
		got := forgetPassword([]byte(text))
		if strings.Contains(string(got), secret) {
			t.Errorf("it is still there: %s", got)
		}
		if _, err := readAgentConfig(got); err != nil {
			t.Error(err)
		}
	}
	if got := forgetPassword([]byte(shippedAgentConfig)); string(got) != shippedAgentConfig {
		t.Error("a file without a password was changed")
	}
}

func FuzzFilesOfTheAgents(f *testing.F) {
	for _, text := range []string{shippedAgentConfig, shippedLaunchConfig, shippedConfig, shippedBundleConfig, shippedAnswerFile, "<script>x</script><persist>true</persist>", "tasks:\n- task: executeScript\n  inputs: [1]\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if config, err := readAgentConfig(data); err == nil {
			for _, stage := range config.Config {
				for _, task := range stage.Tasks {
					task.items()
				}
			}
			var again yaml.Node
			if err := yaml.Unmarshal(forgetPassword(data), &again); err != nil {
				t.Errorf("a password was taken out, and what is left is no YAML: %v", err)
			}
		}
		_, _ = readLaunchConfig(data, true)
		_, _ = readPlugins(data)
		_, _ = readBundle(data)
		_, _ = readUserData(string(data))
		for _, component := range readAnswers(data).pass("oobeSystem", "amd64") {
			if component.AdministratorPassword != nil {
				component.AdministratorPassword.text("AdministratorPassword")
			}
		}
	})
}
