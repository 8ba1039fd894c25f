package sysprep

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// runs makes the modelled guest another Windows, which keeps its planted password.
func runs(described func() windows.Machine, changes ...func(*windows.Machine)) func(*windows.Machine) {
	return func(m *windows.Machine) {
		password := m.Accounts["Administrator"].Password
		*m = described()
		m.SetPassword(password)
		for _, change := range changes {
			change(m)
		}
	}
}

const (
	v1Data       = `C:\ProgramData\Amazon\EC2-Windows\Launch`
	configFolder = `C:\Program Files\Amazon\Ec2ConfigService`
	bundleConfig = configFolder + `\Settings\BundleConfig.xml`
	setUpTask    = "task amazon ec2 launch - instance initialization"
)

func TestEachAgentSealsItsGuest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		windows func() windows.Machine
		agent   handoff.Agent
	}{
		{"EC2Launch v2 on Server 2025", windows.Server2025, handoff.Agent{Name: "ec2launch-v2", Version: "2.3.108.0"}},
		{"EC2Launch v1 on Server 2019", windows.Server2019, handoff.Agent{Name: "ec2launch-v1", Version: "1.3.2005119"}},
		{"EC2Launch v1 on Server 2016", windows.Server2016, handoff.Agent{Name: "ec2launch-v1", Version: "1.3.2003498"}},
		{"EC2Config on Server 2012 R2", windows.Server2012R2, handoff.Agent{Name: "ec2config", Version: "4.9.5777.0"}},
		{"EC2Config on Server 2012", windows.Server2012, handoff.Agent{Name: "ec2config", Version: "4.9.5777.0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.windows)))
			b.succeeds()
			b.stopped()
			b.noResidue()
			b.recorded(handoff.StageShutdown, handoff.ProofSeen)
			if got := b.record().Agent; got != test.agent {
				t.Errorf("the record says %+v, wanted %+v", got, test.agent)
			}
		})
	}
}

// An image of EC2Launch v1's is of no use without the task that sets up its instances.
func TestAnImageOfEC2LaunchV1HasItsInstancesSetUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2019)))
	b.succeeds()
	b.stopped()
	after := b.guest().Snapshot()
	if task := after[setUpTask]; !strings.Contains(task, "InitializeInstance.ps1") || !strings.HasSuffix(task, "disabled=false") {
		t.Errorf("the task is %q", task)
	}
	if mode := b.guest().Service("AmazonSSMAgent").StartMode; mode != "Disabled" {
		t.Errorf("the SSM agent's start mode is %s", mode)
	}
	answer, _ := b.guest().File(v1Data + `\Sysprep\Unattend.xml`)
	if !strings.Contains(string(answer), "Randomize-LocalAdminPassword.ps1 Administrator</Path>") {
		t.Error("the first command of the answer file is not filled in")
	}
}

// /quit is in BundleConfig.xml while the guest is being sealed, and no longer.
func TestAnImageOfEC2ConfigsHasItsOwnSwitches(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2012R2)))
	before, _ := b.guest().File(bundleConfig)
	b.succeeds()
	b.stopped()
	b.said(`Replacing the settings for the time of sealing in ` + bundleConfig)
	after, _ := b.guest().File(bundleConfig)
	if string(after) != string(before) {
		t.Errorf("BundleConfig.xml is now:\n%s", after)
	}
	log, _ := b.guest().File(configFolder + `\Logs\Ec2ConfigLog.txt`)
	if !strings.Contains(string(log), "switches /oobe /generalize /quit") {
		t.Errorf("EC2Config's log:\n%s", log)
	}
	config, _ := b.guest().File(configFolder + `\Settings\Config.xml`)
	if !strings.Contains(string(config), "<Name>Ec2SetPassword</Name>\n      <State>Enabled</State>") {
		t.Errorf("Config.xml does not set a password in the clones:\n%s", config)
	}
}

// perBoot is a guest whose EC2Launch v1 runs at each boot, with user data to
// come, an SSM agent that is started by hand, and hibernation off.
func perBoot(m *windows.Machine) {
	task := m.Tasks["Amazon Ec2 Launch - Instance Initialization"]
	task.Arguments, task.Disabled = task.Arguments+" -KeepSchedule", false
	m.Tasks["Amazon Ec2 Launch - Instance Initialization"] = task
	m.Tasks["Amazon Ec2 Launch - Userdata Execution"] = windows.Task{File: "powershell.exe", Arguments: "-File UserdataExecution.ps1", User: "SYSTEM"}
	ssm := m.Services["AmazonSSMAgent"]
	ssm.StartMode = "Manual"
	m.Services["AmazonSSMAgent"] = ssm
	m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Services\AmazonSSMAgent!Start`, windows.Word("3"))
	m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Control\Power!HibernateEnabled`, windows.Word("0"))
}

func withoutTasks(m *windows.Machine) { clear(m.Tasks) }

func refuses(m *windows.Machine) { m.Sysprep.Refuse = windows.RefuseBitLocker() }

func TestARefusalPutsBackWhatEachAgentChanged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		code    string
		phrases []string
	}{
		{"EC2Launch v2", runs(windows.Server2025, refuses), "ES-316", []string{"put back"}},
		{"EC2Launch v1", runs(windows.Server2019, refuses), "ES-316", []string{"could not put back the wallpaper and what the sleep button does"}},
		{"EC2Launch v1 at each boot", runs(windows.Server2016, refuses, perBoot), "ES-316", []string{"put back"}},
		{"EC2Launch v1 without its tasks", runs(windows.Server2019, refuses, withoutTasks), "ES-316", []string{"put back"}},
		{"EC2Config", runs(windows.Server2012R2, refuses), "ES-316", []string{"put back"}},
		{"EC2Launch v1 that never starts Sysprep", runs(windows.Server2019, func(m *windows.Machine) {
			m.Agent.NeverStartsSysprep = true
		}), "ES-242", []string{`EC2-Windows\Launch\Log\Ec2Launch.log`}},
		{"EC2Config that never starts Sysprep", runs(windows.Server2012R2, func(m *windows.Machine) {
			m.Agent.NeverStartsSysprep = true
		}), "ES-242", []string{`Ec2ConfigLog.txt`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine))
			b.fails(test.code, test.phrases...)
			b.asBefore()
			if strings.Contains(b.ui.text(), "but for:") {
				t.Error("not everything was put back")
			}
		})
	}
}

// BeforeSysprep.cmd stops EC2Launch v1 from 1.3.2004052 on, and nothing else.
// The scripts of EC2Launch v1 end with 0 whatever became of their tasks.
func TestAnImageWhoseInstancesWouldNotBeSetUpIsNotSealed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*windows.Machine){
		"where the task of the guest's own first boot is left": nil,
		"where there is no task":                               withoutTasks,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(windows.Server2019, func(m *windows.Machine) {
				m.Agent.RegistersNothing = true
				if change != nil {
					change(m)
				}
			})))
			b.fails("ES-241", "schtasks.exe ended with code 1", "did not register the task", "InitializeInstance.ps1 -Schedule by hand")
			b.recorded(handoff.StageRefused, "")
			b.asBefore()
			b.noResidue()
		})
	}
}

func TestABeforeSysprepThatFailsStopsANewerEC2LaunchV1(t *testing.T) {
	t.Parallel()
	fails := func(m *windows.Machine) {
		m.SetFile(v1Data+`\Sysprep\BeforeSysprep.cmd`, "exit /b 3\r\n")
	}
	b := newBench(t, windowsOf(runs(windows.Server2019, fails)))
	b.fails("ES-242")
	b.asBefore()
	older := newBench(t, windowsOf(runs(windows.Server2016, fails)))
	older.succeeds()
}

func TestAnAgentShutsItsGuestDownByItself(t *testing.T) {
	t.Parallel()
	for name, described := range map[string]func() windows.Machine{
		"EC2Launch v1": windows.Server2019, "EC2Config": windows.Server2012R2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(described))).with(map[string]any{"shutdown": "agent"})
			before, _ := b.guest().File(bundleConfig)
			b.succeeds()
			b.stopped()
			if after, _ := b.guest().File(bundleConfig); string(after) != string(before) {
				t.Error("BundleConfig.xml was changed")
			}
		})
	}
}

func TestAGuestOfEachAgentsStaysUpForTheBuilder(t *testing.T) {
	t.Parallel()
	for name, described := range map[string]func() windows.Machine{
		"EC2Launch v1": windows.Server2019, "EC2Config": windows.Server2012R2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(described))).with(map[string]any{"shutdown": "none"})
			before, _ := b.guest().File(bundleConfig)
			b.succeeds()
			if !b.guest().On() || !b.guest().Sealed() {
				t.Error("the guest is off, or not sealed")
			}
			b.eventually("the working folder is gone", func() bool {
				return !strings.Contains(strings.Join(b.guest().Files(`C:\ProgramData`), "\n"), "ec2-sysprep-")
			}, func() string { return "it is still there" })
			if after, _ := b.guest().File(bundleConfig); string(after) != string(before) {
				t.Error("BundleConfig.xml was changed")
			}
		})
	}
}

// switches gives BundleConfig.xml other switches.
func switches(text string) func(*windows.Machine) {
	return func(m *windows.Machine) {
		m.SetFile(bundleConfig, strings.Replace(m.Files[bundleConfig].Text, "/oobe /generalize /shutdown", text, 1))
	}
}

func TestWaysToShutDownThatAnAgentDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, shutdown string
		machine        func(*windows.Machine)
		phrases        []string
	}{
		{"no switch by which Sysprep ends", "sealed", switches("/oobe /generalize"), []string{"/shutdown 0 times", `use shutdown = "agent"`}},
		{"a restart", "sealed", switches("/oobe /generalize /reboot"), []string{"/reboot 1 times"}},
		{"two of them", "none", switches("/oobe /shutdown /generalize /shutdown"), []string{"/shutdown 2 times"}},
		{"a file that is no XML", "sealed", switches("<"), []string{"cannot be read"}},
		{"no file", "sealed", func(m *windows.Machine) { m.RemoveFile(bundleConfig) }, []string{bundleConfig + " is not there"}},
		{"an agent that was told to stay up", "agent", switches("/oobe /generalize /quit"), []string{"say /quit", `shutdown = "sealed"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(windows.Server2012R2, test.machine))).with(map[string]any{"shutdown": test.shutdown})
			b.fails("ES-213", append(test.phrases, "nothing was changed on the guest")...)
			b.untouched()
		})
	}
}

// Somebody's own /quit does, and stays.
func TestSwitchesThatSayQuitAlready(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2012R2, switches("/generalize /oobe /QUIT"))))
	before, _ := b.guest().File(bundleConfig)
	b.succeeds()
	b.stopped()
	if after, _ := b.guest().File(bundleConfig); string(after) != string(before) {
		t.Error("BundleConfig.xml was changed")
	}
}

// migrated puts the files of EC2Launch v1 and EC2Config beside EC2Launch v2.
func migrated(m *windows.Machine) {
	for _, older := range []windows.Machine{windows.Server2019(), windows.Server2012R2()} {
		for path, file := range older.Files {
			if strings.HasPrefix(path, v1Data) || strings.HasPrefix(path, configFolder) {
				m.Files[path] = file
			}
		}
	}
	m.Services["Ec2Config"] = windows.Service{State: "Running", StartMode: "Auto", Process: "Ec2Config"}
}

func TestAMigratedGuestIsSealedByItsNewestAgentOrTheWantedOne(t *testing.T) {
	t.Parallel()
	for wanted, agent := range map[string]string{
		"auto": "ec2launch-v2", "ec2launch-v2": "ec2launch-v2", "ec2launch-v1": "ec2launch-v1", "ec2config": "ec2config",
	} {
		t.Run(wanted, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(migrated)).with(map[string]any{"agent": wanted})
			b.succeeds()
			b.stopped()
			if got := b.record().Agent.Name; got != agent {
				t.Errorf("it was sealed by %s", got)
			}
		})
	}
}

// EC2Launch v1 reads its answer file with Get-Content, which spoils what is not
// ASCII in a file without a byte order mark.
func TestAnAnswerFileThatEC2LaunchV1WouldSpoil(t *testing.T) {
	t.Parallel()
	foreign := func(mark string) func(*windows.Machine) {
		return func(m *windows.Machine) {
			path := v1Data + `\Sysprep\Unattend.xml`
			text := strings.TrimPrefix(m.Files[path].Text, "\ufeff")
			m.SetFile(path, mark+strings.Replace(text, "<RegisteredOwner>EC2<", "<RegisteredOwner>Zoë<", 1))
		}
	}
	b := newBench(t, windowsOf(runs(windows.Server2019, foreign(""))))
	b.fails("ES-210", "no byte order mark", "ANSI", "UTF-8 with a byte order mark")
	b.untouched()
	marked := newBench(t, windowsOf(runs(windows.Server2019, foreign("\ufeff"))))
	marked.succeeds()
}

// The settings and the script of the user's go where the agent keeps its own,
// and with a refusal they go again.
func TestFilesOfTheUsersGoWhereTheAgentKeepsItsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		windows        func() windows.Machine
		answer, script string
	}{
		{"EC2Launch v1", windows.Server2019, v1Data + `\Sysprep\Unattend.xml`, v1Data + `\Sysprep\BeforeSysprep.cmd`},
		{"EC2Config", windows.Server2012R2, configFolder + `\sysprep2008.xml`, configFolder + `\Scripts\BeforeSysprep.cmd`},
	} {
		options := map[string]any{
			"answer_file":    map[string]any{"registered_owner": "Zoë"},
			"before_sysprep": map[string]any{"commands": []string{`reg add HKLM\SOFTWARE\Golden /v Sealed /t REG_DWORD /d 1 /f`}},
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.windows))).with(options)
			b.succeeds()
			b.stopped()
			answer, _ := b.guest().File(test.answer)
			if text := string(answer); !strings.HasPrefix(text, "\ufeff") || !strings.Contains(text, "<RegisteredOwner>Zo&#235;<") {
				t.Errorf("the answer file in the image:\n%s", text)
			}
			script, _ := b.guest().File(test.script)
			if !strings.Contains(string(script), "Golden") || b.guest().Registry(`HKLM\SOFTWARE\Golden`, "Sealed").Text != "1" {
				t.Errorf("the script in the image, which did not run:\n%s", script)
			}
		})
		t.Run(test.name+" refused", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.windows, refuses))).with(map[string]any{"answer_file": options["answer_file"]})
			b.fails("ES-316")
			b.asBefore()
		})
	}
}

// At its end InitializeInstance.ps1 disables the task that the image needs.
func TestAGuestThatEC2LaunchV1IsStillSettingUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2019, func(m *windows.Machine) { m.MetadataOff = true }))).with(map[string]any{"agent_timeout": "1s"})
	if b.guest().Execute("powershell.exe", "-File "+v1Data+`\Scripts\InitializeInstance.ps1`) == 0 {
		t.Fatal("the script does not start")
	}
	b.fails("ES-109", "InitializeInstance.ps1 runs", "Windows is ready to use")
	b.untouched()
}

func TestAPowerShellOfServer2008R2IsTooOld(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(runs(windows.Server2008R2)))
	b.fails("ES-102", "version 2.0", "3.0 is needed")
	b.untouched()
}

// TestThePlanOfEachAgent holds the sealer's plan, as it lies on the guest.
func TestThePlanOfEachAgent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		machine  func(*windows.Machine)
		shutdown string
	}{
		"ec2launch-v2":          {runs(windows.Server2022, refuses), "sealed"},
		"ec2launch-v1":          {runs(windows.Server2019, refuses), "sealed"},
		"ec2launch-v1-per-boot": {runs(windows.Server2016, refuses, perBoot), "none"},
		"ec2launch-v1-agent":    {runs(windows.Server2019, refuses, withoutTasks), "agent"},
		"ec2config":             {runs(windows.Server2012R2, refuses), "sealed"},
		"ec2config-agent":       {runs(windows.Server2012, refuses), "agent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).with(map[string]any{"shutdown": test.shutdown})
			var encoded []byte
			b.ui.heard = func(line string) {
				if !strings.HasPrefix(line, "Starting Sysprep") {
					return
				}
				for _, path := range b.guest().Files(`C:\ProgramData`) {
					if strings.HasSuffix(path, `\`+guest.PlanFile) {
						encoded, _ = b.guest().File(path)
					}
				}
			}
			if err := b.provision(t.Context()); err == nil {
				t.Fatal("a guest that refuses was sealed")
			}
			var plan guest.SealPlan
			if err := json.Unmarshal(encoded, &plan); err != nil {
				t.Fatalf("the plan on the guest: %s", err)
			}
			// What Sysprep's giving up looks like is the catalogue's matter.
			plan.GiveUp = nil
			golden(t, "plan-"+name+".json", b.scrubbed(indented(t, plan)))
		})
	}
}
