package windows

import (
	"strings"
	"testing"
	"time"
)

// An image that was made without Sysprep: the agent does what it has been told
// to begin anew, and nothing else changes.
func TestAStartWithoutSysprep(t *testing.T) {
	for _, test := range []struct {
		name    string
		machine func() Machine
		line    string
		want    string
		shown   bool
	}{
		{"EC2Launch v2 has done its work", Server2022, "", PasswordKept, false},
		{"EC2Launch v2 was reset", Server2022, `"` + v2Program + `" reset`, PasswordRandom, true},
		{"EC2Launch v1 has done its work", Server2019, "", PasswordKept, false},
		{"EC2Launch v1 was scheduled", Server2019, powerShell + v1Initialize + " -Schedule", PasswordRandom, true},
		{"EC2Launch v1 was scheduled for every boot", Server2019, powerShell + v1Initialize + " -SchedulePerBoot", PasswordRandom, true},
		{"EC2Config has done its work", Server2012R2, "", PasswordKept, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := test.machine()
			bubble(t, m, func(t *testing.T, b *bench) {
				if _, done := b.FirstBoot(); done {
					t.Error("there is a first boot before the guest was started again")
				}
				if test.line != "" {
					if _, stderr, code := b.shell(test.line); code != 0 {
						t.Fatalf("%s: %d %s", test.line, code, stderr)
					}
				}
				first := b.startAgain()
				if first.SetUp || first.Password != test.want || first.PasswordShown != test.shown || first.ComputerName != m.Computer {
					t.Errorf("%+v", first)
				}
				if kept := first.PasswordIs(m.Accounts["Administrator"].Password); kept != (test.want == PasswordKept) {
					t.Errorf("the password is the old one: %t", kept)
				}
				if again := b.startAgain(); again.Password != PasswordKept || again.PasswordShown {
					t.Errorf("the start after it: %+v", again)
				}
				if first.SSMStart != "Auto" || !first.SSMRuns {
					t.Errorf("the SSM agent: %s, runs %t", first.SSMStart, first.SSMRuns)
				}
			})
		})
	}
}

func TestEC2LaunchV1ScheduledForEveryBootForgetsWhatMayHappenOnlyOnce(t *testing.T) {
	bubble(t, Server2019(), func(t *testing.T, b *bench) {
		b.SetMetadata(userDataPath, "<script>echo hello</script>")
		b.shell(powerShell + v1Initialize + " -SchedulePerBoot")
		if first := b.startAgain(); first.UserDataRuns != 1 || !first.Ran(v1InitializeTask) {
			t.Errorf("%+v", first)
		}
		b.wants(v1Config, `"AdminPasswordType": "DoNothing"`, `"SetMonitorAlwaysOn": false`, `"HandleUserData": false`)
		if again := b.startAgain(); again.UserDataRuns != 0 || !again.Ran(v1InitializeTask) {
			t.Errorf("%+v", again)
		}
	})
}

func TestEC2LaunchV1WithoutMetadataSetsNothing(t *testing.T) {
	m := Server2019()
	m.MetadataOff = true
	bubble(t, m, func(t *testing.T, b *bench) {
		first := b.imaged()
		if first.Password != PasswordNone || first.AgentFault == "" || first.SSMStart != "Disabled" || first.SSMRuns {
			t.Errorf("%+v", first)
		}
	})
}

func TestEC2ConfigForgetsThePasswordOfItsAnswerFile(t *testing.T) {
	for _, forget := range []string{"true", "false"} {
		m := Server2012R2()
		const owner = "<RegisteredOwner>Amazon</RegisteredOwner>"
		answering(&m, configAnswerFile, owner, strings.Replace(administratorPassword(secret, "true"), shellSetup, owner, 1))
		answering(&m, configBundle, "<Value>Yes<", "<Value>No<")
		answering(&m, configSettings, "OnStartup>true<", "OnStartup>"+forget+"<")
		bubble(t, m, func(t *testing.T, b *bench) {
			if first := b.imaged(); first.Password != PasswordSpecified || !first.PasswordIs(secret) {
				t.Errorf("%+v", first)
			}
			data, _ := b.File(configAnswerFile)
			if kept := strings.Contains(string(data), secret); kept != (forget == "false") {
				t.Errorf("RemoveCredentialsfromSysprepOnStartup is %s, the password is still there: %t", forget, kept)
			}
		})
	}
}

func TestNobodyWorksAfterARestartInTheMiddleOfGeneralize(t *testing.T) {
	for _, machine := range []func() Machine{Server2022, Server2019, Server2012} {
		m := machine()
		m.Sysprep.HangsInGeneralize = true
		bubble(t, m, func(t *testing.T, b *bench) {
			switch {
			case b.has(v2Program):
				b.Execute(v2Program, "sysprep")
			case b.has(v1Sysprep):
				b.Execute(powerShellProgram, "-File "+v1Sysprep)
			default:
				b.Execute(configProgram, "-sysprep")
			}
			b.until(5*minute, "generalize", func() bool { return b.Registry(sysprepKey, "GeneralizationState").Text == "3" })
			first := b.startAgain()
			if len(first.Tasks) > 0 || first.Password != PasswordKept || !strings.Contains(first.AgentFault, stateUndeployable) {
				t.Errorf("%+v", first)
			}
		})
	}
}

func TestPowerGoesInTheMiddleOfTheFirstBoot(t *testing.T) {
	m := Server2022()
	m.SetFile(setupComplete, "ping -n 600 127.0.0.1 >nul\r\n")
	bubble(t, m, func(t *testing.T, b *bench) {
		b.Execute(v2Program, "sysprep --shutdown")
		b.until(10*minute, "the seal", func() bool { return !b.On() && b.Sealed() })
		b.PowerOn()
		b.until(10*minute, "SetupComplete.cmd", func() bool { return b.Runs("ping") })
		b.PowerOff()
		timer := time.NewTimer(30 * minute)
		<-timer.C
		if _, done := b.FirstBoot(); done || b.ImageState() == stateComplete || len(b.Processes()) > 0 {
			t.Errorf("it went on: image state %s, processes %q", b.ImageState(), b.Processes())
		}
	})
}

func TestWinRMIsStoppedAndStarted(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.shell("sc.exe stop WinRM")
		if b.Reachable() || b.Service("WinRM").State != "Stopped" {
			t.Error("WinRM still answers")
		}
		b.MendNetwork()
		if b.Reachable() {
			t.Error("the network brought a stopped service back")
		}
		if _, _, code := b.shell("net start WinRM"); code != 0 || !b.Reachable() {
			t.Errorf("starting it ended with %d", code)
		}
		b.shell("sc.exe config WinRM start= disabled")
		b.shell("net stop WinRM")
		if _, _, code := b.shell("net start WinRM"); code != 1058 {
			t.Errorf("starting a disabled service ended with %d", code)
		}
		if got := b.happened(); got != "shells dropped, network off, network up, shells dropped, network off" {
			t.Errorf("happened: %s", got)
		}
		if first := b.startAgain(); first.WinRMListens || b.Reachable() {
			t.Error("a disabled service answers after a start")
		}
	})
}

func TestAccountsAreChangedByNetUser(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		for _, step := range []struct {
			line string
			code int
		}{
			{"net user Administrator weak", 2},
			{"net user Administrator " + secret, 0},
			{"net user nobody " + secret, 2},
			{"net user builder " + secret + " /add", 0},
			{"net user builder " + secret + " /add", 2},
			{"net user builder /active:no", 0},
			{"net localgroup Administrators builder /add", 0},
		} {
			if _, _, code := b.shell(step.line); code != step.code {
				t.Errorf("%s ended with %d, want %d", step.line, code, step.code)
			}
		}
		if got, _ := b.Password("Administrator"); got != secret {
			t.Error("the password was not set")
		}
		if _, ok := b.Password("builder"); ok {
			t.Error("a disabled account may log on")
		}
		b.shell("net user builder /active:yes")
		if got, _ := b.Password("builder"); got != secret {
			t.Error("an enabled account may not log on")
		}
		b.shell("net user builder /delete")
		if _, ok := b.Password("builder"); ok {
			t.Error("a deleted account may log on")
		}
		if strings.Contains(strings.Join(b.Notes(), " "), secret) {
			t.Error("a note holds a password")
		}
	})
}
