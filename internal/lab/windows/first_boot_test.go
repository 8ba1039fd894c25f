package windows

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
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

// hasStarted says that the latest start has come to its end, the agents' part of
// it too: Windows is complete before they begin.
func (b *bench) hasStarted() bool {
	_, done := b.FirstBoot()
	return done
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
	lettingIn := regexp.MustCompile(`(?s)\s*<component name="(?:Microsoft-Windows-TerminalServices-LocalSessionManager|Networking-MPSSVC-Svc)".*?</component>`)
	m := Server2022()
	m.SetFile(v2AnswerFile, lettingIn.ReplaceAllString(shippedAnswerFile, ""))
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
