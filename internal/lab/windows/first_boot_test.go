package windows

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// secret is the password that tests plant.
const secret = "Planted-Secret-7"

// imaged has the guest's own agent seal it, starts it again and returns what
// that came to.
func (b *bench) imaged() FirstBoot {
	b.t.Helper()
	switch {
	case b.has(v2Program):
		b.Execute(v2Program, "sysprep --shutdown")
	case b.has(v1Sysprep):
		b.shell(powerShell + v1Initialize + " -Schedule")
		b.Execute(powerShellProgram, "-File "+v1Sysprep)
	default:
		b.Execute(configProgram, "-sysprep")
	}
	b.until(20*minute, "the seal", func() bool { return !b.On() && b.Sealed() })
	return b.startAgain()
}

func (b *bench) has(path string) bool {
	_, there := b.File(path)
	return there
}

// startAgain starts the guest, which is switched off first, and returns what
// the start came to.
func (b *bench) startAgain() FirstBoot {
	b.t.Helper()
	b.PowerOff()
	b.PowerOn()
	var first FirstBoot
	b.until(20*minute, "the start", func() bool {
		var done bool
		first, done = b.FirstBoot()
		return done
	})
	return first
}

// answering puts text in place of another one in an answer file.
func answering(m *Machine, path, old, text string) {
	file := m.Files[path]
	file.Text = strings.Replace(file.Text, old, text, 1)
	m.Files[path] = file
}

const shellSetup = "<RegisteredOwner>EC2</RegisteredOwner>"

func administratorPassword(value, plain string) string {
	return shellSetup + "<UserAccounts><AdministratorPassword><Value>" + value + "</Value><PlainText>" + plain + "</PlainText></AdministratorPassword></UserAccounts>"
}

func TestTheFirstBootOfAnInstance(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString(wideWords(secret + "AdministratorPassword"))
	tests := []struct {
		name    string
		machine func() Machine
		change  func(m *Machine)
		want    FirstBoot
		is      string
	}{
		{
			name: "Server 2022 as AWS ships it shows a random password and lets Remote Desktop in", machine: Server2022,
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true},
		},
		{
			name: "Server 2025 as AWS ships it", machine: Server2025,
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true},
		},
		{
			name: "Server 2019 as AWS ships it", machine: Server2019,
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true},
		},
		{
			name: "Server 2012 R2 as AWS ships it", machine: Server2012R2,
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true},
		},
		{
			name: "EC2Launch v2 that does nothing leaves the account disabled", machine: Server2022,
			change: func(m *Machine) { answering(m, v2Config, "type: random", "type: doNothing") },
			want:   FirstBoot{Password: PasswordNone},
		},
		{
			name: "EC2Launch v2 that does nothing leaves the answer file's password", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "type: random", "type: doNothing")
				answering(m, v2AnswerFile, shellSetup, administratorPassword(secret, "true"))
			},
			want: FirstBoot{Password: PasswordSpecified}, is: secret,
		},
		{
			name: "an encoded password of the answer file", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "type: random", "type: doNothing")
				answering(m, v2AnswerFile, shellSetup, administratorPassword(encoded, "false"))
			},
			want: FirstBoot{Password: PasswordSpecified}, is: secret,
		},
		{
			name: "a password that says it is encoded and is not", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "type: random", "type: doNothing")
				answering(m, v2AnswerFile, shellSetup, administratorPassword(secret, "false"))
			},
			want: FirstBoot{Password: PasswordNone},
		},
		{
			name: "an account that is only made active has no password and ends up disabled", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "type: random", "type: doNothing")
				answering(m, v2AnswerFile, v2Randomize.FindString(m.Files[v2AnswerFile].Text), "<Path>cmd.exe /c echo nothing</Path>")
			},
			want: FirstBoot{Password: PasswordNone},
		},
		{
			name: "EC2Launch v2 with a static password", machine: Server2022,
			change: func(m *Machine) { answering(m, v2Config, "type: random", "type: static\n            data: "+secret) },
			want:   FirstBoot{Password: PasswordSpecified, PasswordShown: true}, is: secret,
		},
		{
			name: "EC2Launch v2 with a weak static password makes one up", machine: Server2022,
			change: func(m *Machine) { answering(m, v2Config, "type: random", "type: static\n            data: weak") },
			want:   FirstBoot{Password: PasswordRandom, PasswordShown: true},
		},
		{
			name: "EC2Launch v2 without the task leaves the account disabled", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "      - task: setAdminAccount\n        inputs:\n          password:\n            type: random\n", "")
			},
			want: FirstBoot{Password: PasswordNone},
		},
		{
			name: "EC2Launch v2 with a file that is not valid does nothing", machine: Server2022,
			change: func(m *Machine) { answering(m, v2Config, "stage: preReady", "stage: prereddy") },
			want:   FirstBoot{Password: PasswordNone, AgentFault: `agent-config.yml: unknown stage "prereddy"`},
		},
		{
			name: "EC2Launch v2 gives the computer a name", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "      - task: startSsm\n", "      - task: startSsm\n      - task: setHostName\n        inputs:\n          hostName: WEB-1\n")
			},
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true, ComputerName: "WEB-1"},
		},
		{
			name: "EC2Launch v2 names the computer after its address", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "      - task: startSsm\n", "      - task: startSsm\n      - task: setHostName\n")
			},
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true, ComputerName: "IP-0A00000A"},
		},
		{
			name: "the answer file gives the computer a name", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2AnswerFile, "<ComputerName>*<", "<ComputerName>GOLDEN-7<")
			},
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true, ComputerName: "GOLDEN-7"},
		},
		{
			name: "EC2Launch v1 with a specified password", machine: Server2019,
			change: func(m *Machine) {
				answering(m, v1Config, `"Random"`, `"Specify"`)
				answering(m, v1Config, `"adminPassword": ""`, `"adminPassword": "`+secret+`"`)
			},
			want: FirstBoot{Password: PasswordSpecified, PasswordShown: true}, is: secret,
		},
		{
			name: "EC2Launch v1 that does nothing leaves the account disabled", machine: Server2016,
			change: func(m *Machine) { answering(m, v1Config, `"Random"`, `"donothing"`) },
			want:   FirstBoot{Password: PasswordNone},
		},
		{
			name: "EC2Launch v1 takes all defaults when a setting is missing", machine: Server2019,
			change: func(m *Machine) {
				answering(m, v1Config, `"Random"`, `"DoNothing"`)
				answering(m, v1Config, `  "setWallpaper": true,`+"\n", "")
			},
			want: FirstBoot{
				Password: PasswordRandom, PasswordShown: true,
				AgentFault: "LaunchConfig.json: setwallpaper is neither true nor false; all defaults are taken",
			},
		},
		{
			name: "EC2Launch v1 names the computer after its address", machine: Server2019,
			change: func(m *Machine) {
				answering(m, v1Config, `"setComputerName": false`, `"setComputerName": true`)
			},
			want: FirstBoot{Password: PasswordRandom, PasswordShown: true, ComputerName: "IP-0A00000A"},
		},
		{
			name: "EC2Config without SetPasswordAfterSysprep leaves the account disabled", machine: Server2012R2,
			change: func(m *Machine) { answering(m, configBundle, "<Value>Yes<", "<Value>No<") },
			want:   FirstBoot{Password: PasswordNone},
		},
		{
			name: "EC2Config does not take True for Enabled", machine: Server2012,
			change: func(m *Machine) {
				answering(m, configSettings, "<Name>Ec2EventLog</Name>\n      <State>Disabled", "<Name>Ec2EventLog</Name>\n      <State>True")
			},
			want: FirstBoot{Password: PasswordNone, AgentFault: "reading Config.xml: the state of Ec2EventLog is neither Enabled nor Disabled"},
		},
		{
			name: "a command of the specialize pass sets a password", machine: Server2022,
			change: func(m *Machine) {
				answering(m, v2Config, "type: random", "type: doNothing")
				answering(m, v2AnswerFile, v2Randomize.FindString(m.Files[v2AnswerFile].Text), "<Path>cmd.exe /c net user Administrator "+secret+" /ACTIVE:YES</Path>")
			},
			want: FirstBoot{Password: PasswordSpecified}, is: secret,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.machine()
			if test.change != nil {
				test.change(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				got := b.imaged()
				if got.Password != test.want.Password || got.PasswordShown != test.want.PasswordShown || got.AgentFault != test.want.AgentFault {
					t.Errorf("the password is %s, shown %t, fault %q; want %s, %t, %q (notes %q)",
						got.Password, got.PasswordShown, got.AgentFault, test.want.Password, test.want.PasswordShown, test.want.AgentFault, b.Notes())
				}
				if !got.SetUp || !got.RDPAllowed || !got.WinRMListens || !b.Reachable() {
					t.Errorf("set up %t, Remote Desktop %t, WinRM %t", got.SetUp, got.RDPAllowed, got.WinRMListens)
				}
				switch want := test.want.ComputerName; {
				case want != "" && got.ComputerName != want, want == "" && (got.ComputerName == m.Computer || !strings.HasPrefix(got.ComputerName, "EC2AMAZ-")):
					t.Errorf("the computer is called %s, it was %s", got.ComputerName, m.Computer)
				}
				if test.is != "" && !got.PasswordIs(test.is) {
					t.Error("the password is another one than was specified")
				}
				if got.PasswordIs(m.Accounts["Administrator"].Password) {
					t.Error("the instance has the image's password")
				}
				if _, known := b.Password("Administrator"); known != (test.want.Password != PasswordNone) {
					t.Errorf("somebody can log on: %t", known)
				}
				if strings.Contains(b.COM1(), "<Password>") != test.want.PasswordShown || strings.Contains(b.COM1(), secret) {
					t.Errorf("COM1 says %q", b.COM1())
				}
				for _, path := range []string{cachedAnswerFile, v2Config, v1Config} {
					data, _ := b.File(path)
					if commands := strings.Count(string(data), "net user Administrator "+secret); strings.Count(string(data), secret) > commands {
						t.Errorf("%s still holds the password", path)
					}
				}
			})
		})
	}
}

// The scripts of an image and what they leave of it.
func TestScriptsRunAtTheFirstBoot(t *testing.T) {
	closes := strings.Join([]string{
		"@echo off", "sc.exe stop WinRM >nul 2>&1", "sc.exe config WinRM start= disabled >nul 2>&1",
		`reg.exe delete "` + listenerKey + `\*+HTTP" /f >nul 2>&1`, "exit /b 0", "",
	}, "\r\n")
	marks := func(name string) string {
		return "reg add HKLM\\SOFTWARE\\Lab /v " + name + " /d %COMPUTERNAME% /f\r\n"
	}
	for name, test := range map[string]struct {
		machine func() Machine
		script  string
	}{
		"EC2Launch v2":                   {Server2022, v2AnswerFile},
		"EC2Launch v1's own script":      {Server2019, v1Data + `\Sysprep\SysprepSpecialize.cmd`},
		"EC2Config's script":             {Server2012, configFolder + `\Scripts\SysprepSpecializePhase.cmd`},
		"EC2Config's script, 2012 R2":    {Server2012R2, configFolder + `\Scripts\SysprepSpecializePhase.cmd`},
		"EC2Launch v1's script, on 2016": {Server2016, v1Data + `\Sysprep\SysprepSpecialize.cmd`},
	} {
		t.Run(name, func(t *testing.T) {
			m := test.machine()
			m.SetFile(setupComplete, marks("Completed")+closes)
			if test.script == v2AnswerFile {
				m.SetFile(`C:\Scripts\mine.cmd`, marks("Specialized"))
				answering(&m, v2AnswerFile, "</RunSynchronous>", "<RunSynchronousCommand><Order>3</Order><Path>cmd.exe /d /c C:\\Scripts\\mine.cmd</Path></RunSynchronousCommand></RunSynchronous>")
			} else {
				file := m.Files[test.script]
				m.SetFile(test.script, file.Text+marks("Specialized"))
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				first := b.imaged()
				if !first.SetUp || !first.RDPAllowed {
					t.Errorf("set up %t, Remote Desktop %t; notes %q", first.SetUp, first.RDPAllowed, b.Notes())
				}
				for _, mark := range []string{"Specialized", "Completed"} {
					if got := b.Registry(`HKLM\SOFTWARE\Lab`, mark).Text; got != first.ComputerName {
						t.Errorf("%s left %q", mark, got)
					}
				}
				if first.WinRMListens || b.Reachable() || b.Service("WinRM").State != "Stopped" || b.Service("WinRM").StartMode != "Disabled" {
					t.Errorf("WinRM is still open: %+v", b.Service("WinRM"))
				}
				if first.SSMStart != "Auto" || !first.SSMRuns {
					t.Errorf("the SSM agent: %s, runs %t", first.SSMStart, first.SSMRuns)
				}
			})
		})
	}
}

func TestRemoteDesktopStaysShutWithoutTheSettingThatLetsItIn(t *testing.T) {
	m := Server2022()
	m.SetFile(v2AnswerFile, v2Components.ReplaceAllString(shippedAnswerFile, ""))
	bubble(t, m, func(t *testing.T, b *bench) {
		if first := b.imaged(); first.RDPAllowed {
			t.Error("Remote Desktop lets people in")
		}
	})
}

func TestLocalesAndTimeZoneOfTheAnswerFile(t *testing.T) {
	m := Server2019()
	answering(&m, v1AnswerFile, "<UserLocale></UserLocale>", "<UserLocale>de-AT</UserLocale>")
	answering(&m, v1AnswerFile, "<TimeZone>UTC</TimeZone>\n      <RegisteredOrganization>Amazon.com", "<TimeZone>W. Europe Standard Time</TimeZone>\n      <RegisteredOrganization>Amazon.com")
	bubble(t, m, func(t *testing.T, b *bench) {
		b.imaged()
		if got := b.Registry(`HKU\.DEFAULT\Control Panel\International`, "LocaleName").Text; got != "de-AT" {
			t.Errorf("the locale is %s", got)
		}
		if got := b.Registry(`HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation`, "TimeZoneKeyName").Text; got != "W. Europe Standard Time" {
			t.Errorf("the time zone is %s", got)
		}
		if got := b.Registry(versionKey, "RegisteredOwner").Text; got != "EC2" {
			t.Errorf("the owner is %s", got)
		}
	})
}

func TestUserDataIsRunAsOftenAsTheAgentSays(t *testing.T) {
	const script = "<script>reg add HKLM\\SOFTWARE\\Lab /v UserData /d ran /f</script>"
	const persist = "<persist>true</persist>"
	noHandling := func(m *Machine) { answering(m, v1Config, `"handleUserData": true`, `"handleUserData": false`) }
	for _, test := range []struct {
		name, text    string
		machine       func() Machine
		change        func(m *Machine)
		first, second int
	}{
		{name: "v2: once", text: script, machine: Server2022, first: 1},
		{name: "v2: always", text: script + persist, machine: Server2022, first: 1, second: 1},
		{name: "v2: a task of YAML's that runs always", text: "version: 1.1\ntasks:\n- task: executeScript\n  inputs:\n  - frequency: always\n    type: batch\n    runAs: localSystem\n    content: |-\n      reg add HKLM\\SOFTWARE\\Lab /v UserData /d ran /f\n", machine: Server2022, first: 1, second: 1},
		{name: "v2: none", machine: Server2022},
		{name: "v1: once", text: script, machine: Server2019, first: 1},
		{name: "v1: always, by a task", text: script + persist, machine: Server2019, first: 1, second: 1},
		{name: "v1: never", text: script, machine: Server2019, change: noHandling},
		{name: "EC2Config: not after the first boot", text: script, machine: Server2012R2},
		{
			name: "EC2Config: enabled", text: script, machine: Server2012R2, first: 1,
			change: func(m *Machine) {
				answering(m, configSettings, "<Name>Ec2HandleUserData</Name>\n      <State>Disabled", "<Name>Ec2HandleUserData</Name>\n      <State>Enabled")
			},
		},
		{
			name: "EC2Config: enabled, always", text: script + persist, machine: Server2012R2, first: 1, second: 1,
			change: func(m *Machine) {
				answering(m, configSettings, "<Name>Ec2HandleUserData</Name>\n      <State>Disabled", "<Name>Ec2HandleUserData</Name>\n      <State>Enabled")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := test.machine()
			if test.change != nil {
				test.change(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				b.SetMetadata(userDataPath, test.text)
				if first := b.imaged(); first.UserDataRuns != test.first {
					t.Errorf("it ran %d times at the first boot, want %d; notes %q", first.UserDataRuns, test.first, b.Notes())
				}
				if got := b.Registry(`HKLM\SOFTWARE\Lab`, "UserData").Text == "ran"; got != (test.first > 0) {
					t.Errorf("its script ran: %t", got)
				}
				if again := b.startAgain(); again.UserDataRuns != test.second || again.SetUp || again.Password != PasswordKept {
					t.Errorf("the second start: it ran %d times, want %d; set up %t, password %s", again.UserDataRuns, test.second, again.SetUp, again.Password)
				}
			})
		})
	}
}

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
		answering(&m, configAnswerFile, shellSetup, administratorPassword(secret, "true"))
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
