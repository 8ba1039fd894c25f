package sysprep

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

const (
	v1Answer   = v1Data + `\Sysprep\Unattend.xml`
	v1Settings = v1Data + `\Config\LaunchConfig.json`
	v1Task     = "Amazon Ec2 Launch - Instance Initialization"
	// v1Script is how the sealer starts a script of EC2Launch v1's.
	v1Script = `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "` + v1Data + `\Scripts\`

	v1Scrambles = `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe ` + v1Data + `\Sysprep\Randomize-LocalAdminPassword.ps1 Administrator`
	v1OpensRDP  = `"` + v1Data + `\Sysprep\SysprepSpecialize.cmd"`
)

func documentedForV1() []documentedGuest {
	only := []document{guide}
	return []documentedGuest{
		{
			name: "EC2Launch v1", windows: windows.Server2019, answer: v1Answer,
			rows: []documented{
				{
					name: "the answer file and the scripts have a folder", in: only, quote: `These files are located in the following directory by default: C:\ProgramData\Amazon\EC2-Windows\Launch\Sysprep.`,
					sealed: filesIn(`C:\ProgramData\Amazon\EC2-Windows\Launch\Sysprep`, "Unattend.xml", "BeforeSysprep.cmd", "SysprepSpecialize.cmd"),
				},
				{
					name: "the settings have a folder", in: only, quote: `Specify settings in the LaunchConfig.json file. This file is located in the C:\ProgramData\Amazon\EC2-Windows\Launch\Config directory by default.`,
					sealed: allOf(filesIn(`C:\ProgramData\Amazon\EC2-Windows\Launch\Config`, "LaunchConfig.json"), fileUnchanged(v1Settings)),
				},
				{
					name: "the scripts to run have a folder", in: only, quote: `In Windows PowerShell, run ./SysprepInstance.ps1. The script is located in the following directory by default: C:\ProgramData\Amazon\EC2-Windows\Launch\Scripts.`,
					sealed: filesIn(`C:\ProgramData\Amazon\EC2-Windows\Launch\Scripts`, "InitializeInstance.ps1", "SysprepInstance.ps1"),
				},
				{
					name: "the initialization is scheduled first", in: only, quote: "You must run this script before you run the SysprepInstance.ps1 script in the next step.",
					deviates: "SysprepInstance.ps1 is told to leave the guest up until its seal has been seen",
					sealed:   allOf(planGeneralizes, sealerRuns(v1Script+`InitializeInstance.ps1" -Schedule`, v1Script+`SysprepInstance.ps1" -NoShutdown`), shutdownLeftTo("sealed")),
				},
				{
					name: "the initialization waits in the image", in: only, quote: "This script schedules the instance to initialize during the next boot.",
					sealed: func(t *testing.T, s *sealing) {
						if was := s.before[setUpTask]; !strings.HasSuffix(was, "disabled=true") {
							t.Errorf("the task was %q before", was)
						}
						if is := s.guest().Snapshot()[setUpTask]; !strings.Contains(is, v1Data+`\Scripts\InitializeInstance.ps1`) || !strings.HasSuffix(is, "disabled=false") {
							t.Errorf("the task is %q in the image", is)
						}
					},
					booted: agentDoes(v1Task),
				},
				{
					name: "the answer file is the default one", in: only, quote: "If you run SysprepInstance.ps1 or choose ShutdownWithSysprep in the user interface, the system reads the setting from this file.",
					sealed: sysprepWasGiven,
				},
				{
					name: "Sysprep leaves the guest up", in: only, quote: "You are logged off the instance and the instance shuts down.",
					deviates: "the sealer shuts the guest down, once it has seen the seal; the guide does not show the command line",
					sealed:   sysprepRanAs(`sysprep.exe /oobe /quit /generalize "/unattend:` + v1Answer + `"`),
				},
				{
					name: "BeforeSysprep.cmd runs before Sysprep", in: only, quote: "Customize this batch file to run commands before EC2Launch runs Sysprep.",
					sealed: allOf(fileSays(v1Data+`\Sysprep\BeforeSysprep.cmd`, closesRDPLine), imageRefusesRDP),
				},
				{
					name: "SysprepSpecialize.cmd runs in specialize", in: only, quote: "Customize this batch file to run commands during the Sysprep specialize phase.",
					sealed: allOf(fileSays(v1Data+`\Sysprep\SysprepSpecialize.cmd`, opensRDPLine), specializeRuns(v1Scrambles, v1OpensRDP)),
				},
				{
					name: "the default answer file is complete", in: only, quote: "EC2Launch offers a default answer file and batch files for Sysprep that automate and secure the image-preparation process on your AMI.",
					deviates: "the guide shows no settings of this file; those of the shipped one, as EC2Launch v2 has them, are wanted",
					sealed: allOf(
						hasSetting("true", passGeneralize, componentPnP, "PersistAllDeviceInstalls"), hasSetting("true", passGeneralize, componentPnP, "DoNotCleanUpNonPresentDevices"),
						hasSetting("*", passSpecialize, componentShell, "ComputerName"), hasSetting("true", passSpecialize, componentShell, "CopyProfile"),
						hasSetting("Amazon", passSpecialize, componentShell, "RegisteredOrganization"), hasSetting("UTC", passSpecialize, componentShell, "TimeZone"),
						hasSetting("false", passSpecialize, componentSessions, "fDenyTSConnections"),
						hasSetting("true", passOOBE, componentShell, "OOBE", "HideEULAPage"), hasSetting("true", passOOBE, componentShell, "OOBE", "HideWirelessSetupInOOBE"),
						hasSetting("3", passOOBE, componentShell, "OOBE", "ProtectYourPC"), hasSetting("false", passOOBE, componentShell, "BluetoothTaskbarIconEnabled"),
						hasSetting("UTC", passOOBE, componentShell, "TimeZone"), hasSetting("Amazon.com", passOOBE, componentShell, "RegisteredOrganization"),
						hasSetting("EC2", passOOBE, componentShell, "RegisteredOwner"), hasNoSetting(passOOBE, componentShell, "OOBE", "NetworkLocation"),
					),
				},
				{
					name: "the instance stops", in: only, quote: "the instance state changes from running to stopping, and then to stopped. At this point, it is safe to create an AMI from this instance.",
					sealed: instanceStops,
				},
				{
					name: "the instance lets remote desktop in", in: only, quote: "automate and secure the image-preparation process on your AMI",
					booted: letsRDPIn,
				},
				{
					name: "the administrator gets a random password", in: only, quote: "Choose Random. EC2Launch generates a password and encrypts it using the user's key.",
					booted: allOf(administratorGets(windows.PasswordRandom, true), consoleSays("Password: <Password>")),
				},
				{
					name: "the random password persists", in: only, quote: "The system disables this setting after the instance is launched so that this password persists if the instance is rebooted or stopped and started.",
					deviates: "what EC2Launch v1 disables is its task, and LaunchConfig.json keeps saying Random",
					booted: func(t *testing.T, s *sealing) {
						if is := s.guest().Snapshot()[setUpTask]; !strings.HasSuffix(is, "disabled=true") {
							t.Errorf("after the first boot the task is %q", is)
						}
						fileUnchanged(v1Settings)(t, s)
						passwordPersists(t, s)
					},
				},
			},
		},
		{
			name: "EC2Launch v1 that shuts the guest down", windows: windows.Server2016, answer: v1Answer,
			options: map[string]any{"shutdown": "agent"},
			change: func(m *windows.Machine) {
				m.Culture = "de-DE"
				m.SetFile(v1Data+`\Sysprep\SysprepSpecialize.cmd`, opensRDPLine+"\r\n"+writes("Specialized")+"\r\n")
			},
			rows: []documented{
				{
					name: "the scripts run as by hand", in: only, quote: "In Windows PowerShell, run ./InitializeInstance.ps1 -Schedule.",
					sealed: allOf(sealerRuns(v1Script+`InitializeInstance.ps1" -Schedule`, v1Script+`SysprepInstance.ps1"`), shutdownLeftTo("agent")),
				},
				{
					name: "Sysprep shuts the guest down", in: only, quote: "You are logged off the instance and the instance shuts down.",
					sealed: sysprepRanAs(`sysprep.exe /oobe /shutdown /generalize "/unattend:` + v1Answer + `"`),
				},
				{
					name: "an empty locale is filled in", in: only, quote: "the system reads the setting from this file",
					deviates: "SysprepInstance.ps1 fills in what is empty in the shipped file: the locales, by the guest's culture, and the first command",
					sealed: allOf(
						hasSetting("de-DE", passOOBE, componentInternational, "InputLocale"), hasSetting("de-DE", passOOBE, componentInternational, "SystemLocale"),
						hasSetting("de-DE", passOOBE, componentInternational, "UILanguage"), hasSetting("de-DE", passOOBE, componentInternational, "UserLocale"),
						specializeRunsAt(1, v1Scrambles),
					),
				},
				{
					name: "SysprepSpecialize.cmd runs at the first boot", in: only, quote: "Customize this batch file to run commands during the Sysprep specialize phase.",
					sealed: hasNoValue("Specialized"),
					booted: hasValue("Specialized"),
				},
			},
		},
		{
			name: "EC2Launch v1 without Sysprep", windows: windows.Server2019, answer: v1Answer,
			options: map[string]any{"action": "shutdown"},
			rows: []documented{
				{
					name: "the initialization is scheduled", in: only, quote: "Run EC2LaunchSettings and shut down without Sysprep before creating the AMI. This sets the EC2 Launch Initialize tasks to run at the next boot, which will set routes based on the subnet for the instance.",
					sealed: allOf(sealerRuns(v1Script+`InitializeInstance.ps1" -Schedule`), instanceStops),
					booted: func(t *testing.T, s *sealing) {
						agentDoes(v1Task)(t, s)
						if s.first.SetUp {
							t.Error("Windows Setup ran")
						}
					},
				},
				{
					name: "the password is reset", in: only, quote: "Take note of the default password reset behavior before rescheduling tasks.",
					booted: administratorGets(windows.PasswordRandom, true),
				},
			},
		},
		{
			name: "EC2Launch v1 with a password", windows: windows.Server2019, answer: v1Answer,
			options: password("specify", instancePassword),
			rows: []documented{
				{
					name: "the password has to meet the requirements", in: only, quote: "Choose Specify and type a password that meets the system requirements.",
					sealed: func(t *testing.T, s *sealing) {
						s.with(password("specify", "weak"))
						if err := new(Provisioner).Prepare(s.options); err == nil || !strings.Contains(err.Error(), "administrator_password.value") {
							t.Errorf("a weak password: %v", err)
						}
					},
				},
				{
					name: "the password is set and then gone", in: only, quote: "The password is stored in LaunchConfig.json as clear text and is deleted after Sysprep sets the administrator password.",
					sealed: func(t *testing.T, s *sealing) {
						data, _ := s.guest().File(v1Settings)
						for _, phrase := range []string{`"Specify"`, instancePassword} {
							if !strings.Contains(string(data), phrase) {
								t.Errorf("%s is not in the image's LaunchConfig.json", phrase)
							}
						}
					},
					booted: func(t *testing.T, s *sealing) {
						administratorHas(instancePassword)(t, s)
						if data, ok := s.guest().File(v1Settings); !ok || strings.Contains(string(data), instancePassword) {
							t.Errorf("the password is still in LaunchConfig.json, there: %t", ok)
						}
					},
				},
				{
					name: "the password is shown too", in: only, quote: "If you shut down now, the password is set immediately. EC2Launch encrypts the password using the user's key.",
					booted: administratorGets(windows.PasswordSpecified, true),
				},
			},
		},
		{
			name: "EC2Launch v1 with a weak password", windows: windows.Server2019, answer: v1Answer,
			change: launchConfig("Specify", "weak"), refused: "ES-215",
			rows: []documented{
				{
					name: "a random one is made up instead", in: only, quote: "If the password does not meet the system requirements, EC2Lauch generates a random password instead.",
					booted: administratorGets(windows.PasswordRandom, true),
				},
			},
		},
		{
			name: "EC2Launch v1 that does nothing about the password", windows: windows.Server2019, answer: v1Answer,
			change: launchConfig("DoNothing", ""),
			rows: []documented{
				{
					name: "the account is disabled", in: only, quote: "If you don't specify a password in unattend.xml, the administrator account is disabled.",
					sealed: allOf(hasNoSetting(passOOBE, componentShell, "UserAccounts", "AdministratorPassword", "Value"), userIsTold("the administrator's account ends DISABLED")),
					booted: administratorGets(windows.PasswordNone, false),
				},
			},
		},
		{
			name: "EC2Launch v1 that leaves the password to the answer file", windows: windows.Server2019, answer: v1Answer,
			options: password("keep", instancePassword),
			rows: []documented{
				{
					name: "the answer file's password is set", in: only, quote: "EC2Launch uses the password you specify in the unattend.xml file.",
					deviates: "Windows Setup sets it, in OOBE; the agent does nothing",
					sealed: func(t *testing.T, s *sealing) {
						if data, _ := s.guest().File(v1Settings); !strings.Contains(string(data), `"DoNothing"`) {
							t.Errorf("LaunchConfig.json says\n%s", data)
						}
					},
					booted: allOf(administratorGets(windows.PasswordSpecified, false), administratorHas(instancePassword)),
				},
			},
		},
	}
}

// instancePassword is the password that the agents' settings or answer files give.
const instancePassword = "Golden-Image-4711"

// password are the options for the administrator's password.
func password(mode, value string) map[string]any {
	block := map[string]any{"mode": mode}
	if value != "" {
		block["value"] = value
	}
	return map[string]any{"administrator_password": block}
}

// launchConfig gives EC2Launch v1 a way with the administrator's password.
func launchConfig(kind, password string) func(*windows.Machine) {
	return func(m *windows.Machine) {
		m.SetFile(v1Settings, `{"setComputerName":false,"setMonitorAlwaysOn":true,"setWallpaper":true,"addDnsSuffixList":true,`+
			`"extendBootVolumeSize":true,"handleUserData":true,"adminPasswordType":"`+kind+`","adminPassword":"`+password+`"}`)
	}
}
