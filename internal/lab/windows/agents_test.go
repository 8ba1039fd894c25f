package windows

import (
	"bytes"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

const powerShell = `powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File `

// wants looks for phrases in a file of the guest's.
func (b *bench) wants(path string, phrases ...string) {
	b.t.Helper()
	data, _ := b.File(path)
	for _, phrase := range phrases {
		if !strings.Contains(narrow(data), phrase) {
			b.t.Errorf("%q is not in %s:\n%s", phrase, path, narrow(data))
		}
	}
}

// The task that sets up an instance is there and disabled after the first
// boot; -Schedule makes it anew, and the SSM agent waits for it.
func TestEC2LaunchV1SchedulesTheNextBoot(t *testing.T) {
	bubble(t, Server2019(), func(t *testing.T, b *bench) {
		const task = "task amazon ec2 launch - instance initialization"
		if before := b.Snapshot()[task]; !strings.HasSuffix(before, "disabled=true") {
			t.Errorf("the task is %q before", before)
		}
		if out, _, code := b.shell(powerShell + v1Initialize + " -Schedule"); code != 0 || !strings.Contains(out, "scheduled successfully") {
			t.Errorf("-Schedule ended with %d and said %q", code, out)
		}
		if after := b.Snapshot()[task]; !strings.HasSuffix(after, `InitializeInstance.ps1" disabled=false`) {
			t.Errorf("the task is %q after -Schedule", after)
		}
		if mode := b.Service(ssmService).StartMode; mode != "Disabled" || b.Registry(servicesKey+ssmService, "Start").Text != "4" {
			t.Errorf("the SSM agent's start mode is %s", mode)
		}
		if data, _ := b.File(v1Log); !bytes.HasPrefix(data, []byte{0xff, 0xfe}) {
			t.Errorf("the log begins with % x, not as UTF-16", data[:min(4, len(data))])
		}
		b.wants(v1Log, "Instance initialization is scheduled successfully\r\n")
		if _, _, code := b.shell(powerShell + v1Initialize + " -SchedulePerBoot"); code != 0 {
			t.Errorf("-SchedulePerBoot ended with %d", code)
		}
		if after := b.Snapshot()[task]; !strings.Contains(after, "-KeepSchedule") {
			t.Errorf("the task is %q after -SchedulePerBoot", after)
		}
	})
}

func TestSysprepInstanceSaysNothingOfARefusal(t *testing.T) {
	m := Server2019()
	m.Sysprep.Refuse, m.Sysprep.MessageBox = RefuseBitLocker(), false
	m.Tasks[v1UserDataTask] = Task{File: "powershell.exe", User: "SYSTEM"}
	bubble(t, m, func(t *testing.T, b *bench) {
		if _, _, code := b.shell(powerShell + v1Sysprep + " -NoShutdown"); code != 0 {
			t.Errorf("it ended with %d", code)
		}
		if b.Sealed() || !b.On() {
			t.Error("the guest is sealed or off")
		}
		b.wants(v1AnswerFile, "<UserLocale>en-US</UserLocale>", `Randomize-LocalAdminPassword.ps1 Administrator</Path>`)
		if strings.Contains(strings.Join(b.Tasks(), ","), v1UserDataTask) {
			t.Error("the user data task is still there")
		}
		if b.Registry(powerKey, "HibernateEnabled").Text != "0" {
			t.Error("hibernation is still on")
		}
		b.RemoveFile(v1AnswerFile)
		if _, stderr, code := b.shell(powerShell + v1Sysprep); code != 1 || !strings.Contains(stderr, "Unattend.xml") {
			t.Errorf("without an answer file it ended with %d and said %q", code, stderr)
		}
	})
}

func TestEC2LaunchV1SpoilsAnAnswerFileWithoutAMark(t *testing.T) {
	m := Server2019()
	m.SetFile(v1AnswerFile, strings.Replace(shippedV1AnswerFile(), "<RegisteredOwner>EC2<", "<RegisteredOwner>Zoë<", 1))
	m.Agent.NeverStartsSysprep = true
	bubble(t, m, func(_ *testing.T, b *bench) {
		b.shell(powerShell + v1Sysprep + " -NoShutdown")
		b.wants(v1AnswerFile, "<RegisteredOwner>ZoÃ«<")
	})
}

// A clone is set up by the task, and only by it.
func TestTheFirstBootOfACloneOfEC2LaunchV1s(t *testing.T) {
	for _, scheduled := range []bool{true, false} {
		bubble(t, Server2016(), func(t *testing.T, b *bench) {
			if scheduled {
				b.shell(powerShell + v1Initialize + " -Schedule")
			}
			b.Execute(`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "-File "+v1Sysprep)
			b.until(10*minute, "the shutdown", func() bool { return !b.On() })
			b.PowerOn()
			b.until(10*minute, "the set-up", b.hasStarted)
			log, _ := b.File(v1Log)
			if got := strings.Count(narrow(log), "Windows is Ready to use") == 2; got != scheduled {
				t.Errorf("scheduled is %t, set up is %t", scheduled, got)
			}
			if scheduled && b.Service(ssmService).StartMode != "Auto" {
				t.Error("the SSM agent does not start")
			}
		})
	}
}

func TestEC2ConfigEndsBeforeSysprepDoes(t *testing.T) {
	for _, test := range []struct {
		switches string
		on       bool
	}{{"/oobe /generalize /quit", true}, {"/oobe /generalize /shutdown", false}} {
		m := Server2012R2()
		m.SetFile(configBundle, strings.Replace(shippedBundleConfig, "/oobe /generalize /shutdown", test.switches, 1))
		bubble(t, m, func(t *testing.T, b *bench) {
			if _, _, code := b.shell(`"` + configProgram + `" -sysprep`); code != 0 {
				t.Errorf("it ended with %d", code)
			}
			if b.Runs("sysprep") || b.ImageState() != stateComplete {
				t.Error("Sysprep ran before EC2Config had ended")
			}
			b.wants(configSettings, "<Name>Ec2SetPassword</Name>\n      <State>Enabled<", "<Name>Ec2OutputRDPCert</Name>\n      <State>Disabled<")
			b.until(10*minute, "the seal", b.Sealed)
			b.until(10*minute, "the end of Sysprep", func() bool { return !b.Runs("sysprep") })
			b.wants(configLog, "Running Sysprep with switches "+test.switches)
			if test.on {
				return
			}
			b.until(10*minute, "the shutdown", func() bool { return !b.On() })
			b.PowerOn()
			b.until(10*minute, "the set-up", b.hasStarted)
			b.wants(configSettings, "<Name>Ec2SetPassword</Name>\n      <State>Disabled<")
		})
	}
}

func TestEC2ConfigWithoutSwitchesStartsNothing(t *testing.T) {
	m := Server2012()
	m.RemoveFile(configBundle)
	bubble(t, m, func(t *testing.T, b *bench) {
		if _, _, code := b.shell(`"` + configProgram + `" -sysprep`); code != 1 {
			t.Errorf("it ended with %d", code)
		}
		if _, stderr, code := b.shell(`"` + configProgram + `" -other`); code != 1 || !strings.Contains(stderr, "the lab cannot run this command") {
			t.Errorf("another option ended with %d and %q", code, stderr)
		}
	})
}

func TestTasksAndServicesAreKeptAndPutBack(t *testing.T) {
	m := Server2019()
	m.Tasks["By hand & <odd>"] = Task{File: `C:\Tools\a b.exe`, Arguments: `"x" & y`, User: "SYSTEM"}
	bubble(t, m, func(t *testing.T, b *bench) {
		before := b.Snapshot()
		for _, name := range []string{v1InitializeTask, "By hand & <odd>"} {
			definition, ok := b.File(tasksFolder + `\` + name)
			if !ok || !bytes.HasPrefix(definition, []byte{0xff, 0xfe}) {
				t.Fatalf("the definition of %s is % x", name, definition[:min(4, len(definition))])
			}
			b.PutFile(`C:\Windows\Temp\task.xml`, definition)
			for _, line := range []string{
				`schtasks.exe /change /tn "` + name + `" /enable`,
				`schtasks.exe /query /tn "` + name + `"`,
				`cmd.exe /d /c if exist "` + tasksFolder + `\` + name + `" schtasks.exe /delete /f /tn "` + name + `"`,
				`cmd.exe /d /c if exist "` + tasksFolder + `\` + name + `" schtasks.exe /delete /f /tn "` + name + `"`,
				`schtasks.exe /create /f /tn "` + name + `" /xml C:\Windows\Temp\task.xml`,
			} {
				if _, stderr, code := b.shell(line); code != 0 {
					t.Errorf("%s: %d %s", line, code, stderr)
				}
			}
			b.RemoveFile(`C:\Windows\Temp\task.xml`)
		}
		for _, start := range []string{"demand", "disabled", "delayed-auto", "auto"} {
			if _, _, code := b.shell("sc.exe config AmazonSSMAgent start= " + start); code != 0 {
				t.Errorf("start= %s: %d", start, code)
			}
		}
		if diff := before.Diff(b.Snapshot()); diff != "" {
			t.Errorf("the guest is not as it was:\n%s", diff)
		}
		for _, line := range []string{
			"schtasks.exe /delete /f /tn nothing", "schtasks.exe /create /f /tn new /xml C:\\nothing.xml", "schtasks.exe /run /tn new",
			"sc.exe config nothing start= auto", "sc.exe config AmazonSSMAgent start= never",
		} {
			if _, _, code := b.shell(line); code == 0 {
				t.Errorf("%s succeeded", line)
			}
		}
	})
}

// What each Windows says of itself.
func TestVersionsOfWindows(t *testing.T) {
	for _, test := range []struct {
		machine         Machine
		ver, powerShell string
	}{
		{Server2025(), "10.0.26100.2894", "5.1"},
		{Server2022(), "10.0.20348.2849", "5.1"},
		{Server2019(), "10.0.17763.6775", "5.1"},
		{Server2016(), "10.0.14393.7699", "5.1"},
		{Server2012R2(), "6.3.9600.20778", "4.0"},
		{Server2012(), "6.2.9200.24768", "3.0"},
		{Server2008R2(), "6.1.7601", "2.0"},
	} {
		bubble(t, test.machine, func(t *testing.T, b *bench) {
			if out, _, _ := b.shell("ver"); !strings.Contains(out, "[Version "+test.ver+"]") {
				t.Errorf("ver says %q, wanted %s", out, test.ver)
			}
			if !strings.HasPrefix(test.machine.PowerShell, test.powerShell) {
				t.Errorf("PowerShell is %s, wanted %s", test.machine.PowerShell, test.powerShell)
			}
			if state := b.Registry(stateKey, "ImageState"); state.Kind != guest.KindString {
				t.Errorf("the image state is %+v", state)
			}
		})
	}
}
