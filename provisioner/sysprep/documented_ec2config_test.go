package sysprep

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

const (
	configExe      = configFolder + `\Ec2Config.exe`
	configAnswer   = configFolder + `\sysprep2008.xml`
	configBefore   = configFolder + `\Scripts\BeforeSysprep.cmd`
	configSettings = configFolder + `\Settings\Config.xml`
	configPhase    = configFolder + `\Scripts\SysprepSpecializePhase.cmd`

	configSysprep = `sysprep.exe /unattend: "C:\Program Files\Amazon\Ec2ConfigService\sysprep2008.xml" /oobe /generalize /shutdown`
	postSysprep   = `call "C:\Program Files\Amazon\Ec2ConfigService\Scripts\PostSysprep.cmd"`
	setupScript   = `C:\Windows\Setup\Scripts\SetupComplete.cmd`
)

func documentedForEC2Config() []documentedGuest {
	only, both := []document{guide}, []document{guide, article}
	troubles := []document{article}
	return []documentedGuest{
		{
			name: "EC2Config", windows: windows.Server2012R2, answer: configAnswer,
			rows: []documented{
				{
					name: "Sysprep is what is run", in: both, quote: "When you choose Shutdown with Sysprep in the EC2 Service Properties dialog box, the system runs the ec2config.exe –sysprep command.",
					deviates: "the documents have a dash where the program wants a hyphen",
					sealed:   allOf(planGeneralizes, sealerRuns(configExe+" -sysprep"), shutdownLeftTo("sealed")),
				},
				{
					name: "the command by hand is the same", in: both, quote: `"%programfiles%\amazon\ec2configservice\"ec2config.exe -sysprep""`,
					deviates: "the quotation marks do not pair; the program is started by its whole path",
					sealed: func(t *testing.T, s *sealing) {
						if _, ok := s.guest().File(`%programfiles%\amazon\ec2configservice\ec2config.exe`); !ok {
							t.Error("there is no such program")
						}
						sealerRuns(configExe+" -sysprep")(t, s)
					},
				},
				{
					name: "BundleConfig.xml has a folder", in: both, quote: `The EC2Config service reads the content of the BundleConfig.xml file. This file is located in the following directory, by default: C:\Program Files\Amazon\Ec2ConfigService\Settings.`,
					sealed: allOf(filesIn(`C:\Program Files\Amazon\Ec2ConfigService\Settings`, "BundleConfig.xml"), fileUnchanged(bundleConfig)),
				},
				{
					name: "AutoSysprep is off", in: both, quote: "You do not need to change this value if you are running Sysprep from the EC2 Service Properties dialog box. The default value is No.",
					sealed: bundleSays("AutoSysprep", "No"),
				},
				{
					name: "SetRDPCertificate is off", in: both, quote: "because these operating systems can generate their own certificates. The default value is No.",
					sealed: allOf(bundleSays("SetRDPCertificate", "No"), pluginIs("Ec2ConfigureRDP", "Disabled"), pluginIs("Ec2OutputRDPCert", "Disabled")),
				},
				{
					name: "SetPasswordAfterSysprep is on", in: both, quote: "Change the value to No if new instances should not be set to a random encrypted password. The default value is Yes.",
					sealed: allOf(bundleSays("SetPasswordAfterSysprep", "Yes"), pluginIs("Ec2SetPassword", "Enabled")),
				},
				{
					name: "PreSysprepRunCmd is BeforeSysprep.cmd", in: both, quote: `The command is located in the following directory, by default: C:\Program Files\Amazon\Ec2ConfigService\Scripts\BeforeSysprep.cmd`,
					sealed: func(t *testing.T, s *sealing) {
						if got, _ := s.bundle(t).inUse(t); got != configBefore {
							t.Errorf("PreSysprepRunCmd is %q", got)
						}
					},
				},
				{
					name: "BeforeSysprep.cmd refuses remote desktop", in: both, quote: closesRDPLine,
					sealed: fileSays(configBefore, closesRDPLine),
				},
				{
					name: "the image refuses remote desktop", in: both, quote: "The registry key disables RDP connections until they are re-enabled.",
					sealed: imageRefusesRDP,
				},
				{
					name: "Sysprep leaves the guest up", in: both, quote: configSysprep,
					deviates: "/quit in the place of /shutdown while the guest is being sealed, so that the sealer looks first; the image has /shutdown again; and no space before the file",
					sealed: func(t *testing.T, s *sealing) {
						sysprepRanAs(quitting(configSysprep))(t, s)
						if _, got := s.bundle(t).inUse(t); got != "/oobe /generalize /shutdown" {
							t.Errorf("the Switches in the image are %q", got)
						}
					},
				},
				{
					name: "the answer file has a place", in: both, quote: `C:\Program Files\Amazon\Ec2ConfigService\sysprep2008.xml`,
					sealed: sysprepWasGiven,
				},
				{
					name: "drivers stay", in: both, quote: "the system prevents drivers from being removed because the PersistAllDeviceInstalls setting is set to true by default.",
					sealed: hasSetting("true", passGeneralize, componentPnP, "PersistAllDeviceInstalls"),
				},
				{
					name: "what Plug and Play knows stays", in: both, quote: "DoNotCleanUpNonPresentDevices: This setting retains Plug and Play information for devices that are not currently present.",
					sealed: hasSetting("true", passGeneralize, componentPnP, "DoNotCleanUpNonPresentDevices"),
				},
				{
					name: "the profile is copied", in: both, quote: "so that any customizations you made to that account are carried over to the new image. The default value is True.",
					sealed: hasSetting("true", passSpecialize, componentShell, "CopyProfile"),
				},
				{
					name: "the profile need not be copied", in: both, quote: "then change this setting to False. Sysprep will remove all user profiles; this saves time and disk space.",
					sealed: dropsProfile,
				},
				{
					name: "the time zone is UTC", in: both, quote: "The time zone is set to Coordinate Universal Time (UTC) by default.",
					sealed: allOf(hasSetting("UTC", passSpecialize, componentShell, "TimeZone"), hasSetting("UTC", passOOBE, componentShell, "TimeZone")),
				},
				{
					name: "command 1 activates the administrator", in: only, quote: activateLine,
					sealed: specializeRunsAt(1, activateLine),
				},
				{
					name: "command 2 scrambles the password", in: both, quote: `C:\Program Files\Amazon\Ec2ConfigService\ScramblePassword.exe" -u Administrator`,
					deviates: "the shipped file has the first quotation mark too",
					sealed:   specializeRunsAt(2, `"C:\Program Files\Amazon\Ec2ConfigService\ScramblePassword.exe" -u Administrator`),
				},
				{
					name: "command 3 runs a script", in: both, quote: `C:\Program Files\Amazon\Ec2ConfigService\Scripts\SysprepSpecializePhase.cmd`,
					deviates: "the shipped file has quotation marks around it",
					sealed:   specializeRunsAt(3, `"`+configPhase+`"`),
				},
				{
					name: "the script of command 3 lets remote desktop in", in: both, quote: opensRDPLine,
					sealed: fileSays(configPhase, opensRDPLine),
				},
				oobeRow(`<InputLocale>en-US</InputLocale>`, componentInternational),
				oobeRow(`<SystemLocale>en-US</SystemLocale>`, componentInternational),
				oobeRow(`<UILanguage>en-US</UILanguage>`, componentInternational),
				oobeRow(`<UserLocale>en-US</UserLocale>`, componentInternational),
				oobeRow(`<HideEULAPage>true</HideEULAPage>`, componentShell, "OOBE"),
				oobeRow(`<HideWirelessSetupInOOBE>true</HideWirelessSetupInOOBE>`, componentShell, "OOBE"),
				oobeRow(`<NetworkLocation>Other</NetworkLocation>`, componentShell, "OOBE"),
				oobeRow(`<ProtectYourPC>3</ProtectYourPC>`, componentShell, "OOBE"),
				oobeRow(`<BluetoothTaskbarIconEnabled>false</BluetoothTaskbarIconEnabled>`, componentShell),
				oobeRow(`<TimeZone>UTC</TimeZone>`, componentShell),
				oobeRow(`<RegisteredOrganization>Amazon.com</RegisteredOrganization>`, componentShell),
				oobeRow(`<RegisteredOwner>Amazon</RegisteredOwner>`, componentShell),
				{
					name: "the computer name is Windows' to choose", in: both, quote: "The system generates OS specific requirements such as a computer name and a SID.",
					deviates: "sysprep2008.xml has ComputerName in a comment only",
					sealed:   hasNoSetting(passSpecialize, componentShell, "ComputerName"),
				},
				{
					name: "no component lets remote desktop in", in: both, quote: opensRDPLine,
					deviates: "unlike the two other agents' answer files, which have a component for it",
					sealed:   hasNoSetting(passSpecialize, componentSessions, "fDenyTSConnections"),
				},
				{
					name: "a first boot that goes on is known", in: both, quote: "EC2ConfigMonitorState: 0 Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE",
					sealed: catalogueExplains("EC2ConfigMonitorState: 0 Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE", "ES-352"),
				},
				{
					name: "a first boot that goes on says so", in: both, quote: "EC2ConfigMonitorState: 0 Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE",
					booted: consoleSays("EC2ConfigMonitorState: 0 Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE"),
				},
				{
					name: "the console says when Sysprep was", in: both, quote: "Windows sysprep configuration complete. Message: Sysprep Start Message: Sysprep End",
					booted: consoleSays("Windows sysprep configuration complete.", "Message: Sysprep Start", "Message: Sysprep End"),
				},
				{
					name: "SetupComplete.cmd calls PostSysprep.cmd", in: both, quote: `In public AMIs dated after April 2015, the file includes the following value: ` + postSysprep,
					sealed: allOf(fileSays(setupScript, postSysprep), filesIn(configFolder+`\Scripts`, "PostSysprep.cmd")),
				},
				{
					name: "the console says when Sysprep is done", in: both, quote: "Windows sysprep configuration complete.",
					booted: consoleSays("SysprepState=IMAGE_STATE_UNDEPLOYABLE", "Windows sysprep configuration complete."),
				},
				{
					name: "the console says when Windows is ready", in: both, quote: "After it is finished, sends a “Windows is ready” message to the instance system logs.",
					deviates: "the message is Windows is Ready to use",
					booted:   consoleSays("Windows sysprep configuration complete.", "Windows is Ready to use"),
				},
				{
					name: "without Sysprep nothing is run", in: both, quote: "select Shutdown with Sysprep or Shutdown without Sysprep. EC2Config edits the settings files based on the password option that you selected.",
					sealed: agentRunsWithoutSysprep(launchagent.EC2Config{}),
				},
				{
					name: "the settings files are correct", in: both, quote: `you must be very careful that the XML file options specified in the Ec2ConfigService\Settings folder are correct`,
					sealed: settingsAreChecked,
				},
				{
					name: "the enabled plug-ins run", in: both, quote: "Reads the content of the config.xml file and lists all enabled plug-ins.",
					booted: func(t *testing.T, s *sealing) {
						if len(s.enabled) == 0 {
							t.Error("no plug-in is enabled")
						}
						agentDoes(s.enabled...)(t, s)
					},
				},
				{
					name: "the instance has a name of its own", in: both, quote: "The tool generates OS requirements like the computer name and SID.",
					booted: isRenamed,
				},
				{
					name: "the instance lets remote desktop in", in: both, quote: "This command adds the following registry key, which re-enables RDP:",
					booted: letsRDPIn,
				},
				{
					name: "the administrator gets a random password", in: both, quote: "Random: EC2Config generates a password, encrypts it with user's key, and displays the encrypted password to the console.",
					booted: allOf(administratorGets(windows.PasswordRandom, true), consoleSays("Password: <Password>")),
				},
				{
					name: "the plug-ins before Windows is ready are there", in: only,
					quote: "Ec2SetPassword + Ec2SetComputerName + Ec2InitializeDrives + Ec2EventLog + Ec2ConfigureRDP + Ec2OutputRDPCert + Ec2SetDriveLetter + Ec2WindowsActivate + Ec2DynamicBootVolumeSize",
					sealed: func(t *testing.T, s *sealing) {
						_, names := s.plugins()
						want := []string{"Ec2SetPassword", "Ec2SetComputerName", "Ec2InitializeDrives", "Ec2EventLog", "Ec2ConfigureRDP", "Ec2OutputRDPCert", "Ec2SetDriveLetter", "Ec2WindowsActivate", "Ec2DynamicBootVolumeSize"}
						if len(names) < len(want) || !slices.Equal(names[:len(want)], want) {
							t.Errorf("Config.xml has the plug-ins %q", names)
						}
					},
				},
				{
					name: "the instance stops", in: both, quote: "the instance state changes from running to stopping, and then finally to stopped. At this point, it's safe to create an AMI from this instance.",
					sealed: instanceStops,
				},
				{
					name: "the log has a place", in: troubles, quote: `"C:\Program Files\Amazon\Ec2ConfigService\Logs\Ec2ConfigLog.txt"`,
					sealed: func(t *testing.T, s *sealing) {
						logs := launchagent.EC2Config{}.Logs()
						if want := []string{`%ProgramFiles%\Amazon\Ec2ConfigService\Logs\Ec2ConfigLog.txt`}; !slices.Equal(logs, want) {
							t.Fatalf("the logs are %q", logs)
						}
						if log, _ := s.guest().File(logs[0]); !strings.Contains(string(log), "Sysprep Start") {
							t.Errorf("the log says %q", log)
						}
					},
				},
				{
					name: "a profile that is not found is explained", in: troubles, quote: "Error [Shell Unattend] _FindLatestProfile failed (0x80070003) [gle=0x00000003]",
					sealed: catalogueExplains("Error [Shell Unattend] _FindLatestProfile failed (0x80070003) [gle=0x00000003]", "ES-301", "ProfileList"),
				},
				{
					name: "a profile that is not copied is explained", in: troubles, quote: "Error [Shell Unattend] CopyProfile failed (0x80070003) [gle=0x00000003]",
					sealed: catalogueExplains("Error [Shell Unattend] CopyProfile failed (0x80070003) [gle=0x00000003]", "ES-301", "ProfileList"),
				},
				{
					name: "the profiles' key is named", in: troubles, quote: `[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion\ProfileList\`,
					sealed: catalogueExplains("Error [Shell Unattend] CopyProfile failed (0x80070003) [gle=0x00000003]", "ES-301", "Delete the entries of ProfileList without a folder"),
				},
				{
					name: "the other way out is copy_profile", in: troubles, quote: "change <CopyProfile>true</CopyProfile> to <CopyProfile>false</CopyProfile>. Run Sysprep again. Note that this configuration change will delete the built-in administrator user profile after Sysprep completes",
					sealed: allOf(dropsProfile, catalogueExplains("Error [Shell Unattend] CopyProfile failed (0x80070003) [gle=0x00000003]", "ES-301", "copy_profile = false, which drops the Administrator's profile")),
				},
				{
					name: "the random password persists", in: both, quote: "We disable this setting after the first launch so that this password persists if the instance is rebooted or stopped and started.",
					booted: allOf(pluginIs("Ec2SetPassword", "Disabled"), passwordPersists),
				},
			},
		},
		{
			name: "EC2Config that shuts the guest down", windows: windows.Server2012, answer: configAnswer,
			options: map[string]any{"shutdown": "agent"},
			change: func(m *windows.Machine) {
				m.Metadata["user-data"] = "<script>" + writes("UserData") + "</script>"
				const off = "<Name>Ec2HandleUserData</Name>\n      <State>Disabled</State>"
				m.SetFile(configSettings, strings.Replace(m.Files[configSettings].Text, off, strings.Replace(off, "Disabled", "Enabled", 1), 1))
			},
			rows: []documented{
				{
					name: "the agent runs as it is", in: both, quote: "You'll notice that EC2Config runs Sysprep. Next, you are logged off the instance, and the instance is shut down.",
					sealed: allOf(sealerRuns(configExe+" -sysprep"), shutdownLeftTo("agent"), fileUnchanged(bundleConfig)),
				},
				{
					name: "Sysprep shuts the guest down", in: both, quote: configSysprep,
					deviates: "no space before the file",
					sealed:   sysprepRanAs(configSysprep),
				},
				{
					name: "user data runs where its plug-in is enabled", in: only, quote: "Runs all “After Windows is ready” plug-ins at the same time. + AWS CloudWatch logs + UserData",
					deviates: "Config.xml calls the plug-in Ec2HandleUserData",
					sealed:   allOf(pluginIs("Ec2HandleUserData", "Enabled"), hasNoValue("UserData")),
					booted:   hasValue("UserData"),
				},
			},
		},
		{
			name: "EC2Config with commands at the end of setup", windows: windows.Server2012R2, answer: configAnswer,
			options: map[string]any{"setup_complete": map[string]any{"commands": []string{writes("SetUp")}}},
			change:  func(m *windows.Machine) { m.SetFile(configFolder+`\Scripts\PostSysprep.cmd`, writes("Post")+"\r\n") },
			rows: []documented{
				{
					name: "SetupComplete.cmd runs after OOBE", in: both, quote: `After the OOBE phase completes, the system executes the SetupComplete.cmd from the following location: C:\Windows\Setup\Scripts\SetupComplete.cmd.`,
					sealed: hasNoValue("SetUp"),
					booted: hasValue("SetUp"),
				},
				{
					name: "SetupComplete.cmd calls PostSysprep.cmd still", in: both, quote: postSysprep,
					sealed: func(t *testing.T, s *sealing) {
						script, _ := s.guest().File(setupScript)
						before, after, found := strings.Cut(string(script), postSysprep)
						if !found || strings.Contains(before, "SetUp") || !strings.Contains(after, writes("SetUp")) {
							t.Errorf("SetupComplete.cmd is now\n%s", script)
						}
					},
				},
				{
					name: "PostSysprep.cmd runs", in: both, quote: "The system executes the PostSysprep.cmd, which performs the following operations:",
					sealed: hasNoValue("Post"),
					booted: hasValue("Post"),
				},
			},
		},
		{
			name: "EC2Config with a password", windows: windows.Server2012R2, answer: configAnswer,
			options: password("specify", instancePassword),
			rows: []documented{
				{
					name: "the password lies in the answer file", in: both, quote: "Specify: The password is stored in the Sysprep answer file in unencrypted form (clear text).",
					sealed: allOf(bundleSays("SetPasswordAfterSysprep", "No"),
						hasSetting("true", passOOBE, componentShell, "UserAccounts", "AdministratorPassword", "PlainText"),
						hasSetting(instancePassword, passOOBE, componentShell, "UserAccounts", "AdministratorPassword", "Value"),
						func(t *testing.T, s *sealing) {
							if strings.Contains(s.ui.text(), instancePassword) {
								t.Error("the user was shown the password")
							}
						}),
				},
				{
					name: "the password is set", in: both, quote: "When Sysprep runs next, it sets the Administrator password.",
					booted: allOf(administratorGets(windows.PasswordSpecified, false), administratorHas(instancePassword)),
				},
				{
					name: "the password is gone from the answer file", in: both, quote: "When the service starts again, the Administrator password is removed.",
					booted: func(t *testing.T, s *sealing) {
						data, _ := s.guest().File(configAnswer)
						file, err := answerfile.Parse(configAnswer, data)
						if err != nil {
							t.Fatal(err)
						}
						was, _ := s.answer.Lookup(passOOBE, componentShell, "UserAccounts", "AdministratorPassword", "Value")
						if was == "" || strings.Contains(file.Text(), was) {
							t.Error("the password is still there")
						}
					},
				},
			},
		},
		{
			name: "EC2Config that keeps the password", windows: windows.Server2012R2, answer: configAnswer,
			options: password("keep", ""),
			rows: []documented{
				{
					name: "the password stays", in: both, quote: "Keep Existing: The existing password for the Administrator account doesn't change when Sysprep is run or EC2Config is restarted.",
					deviates: "command 2 of the shipped answer file scrambles it, whatever the dialog says, and goes; the answer file gives the password again",
					sealed:   allOf(bundleSays("SetPasswordAfterSysprep", "No"), scramblesNothing),
					booted: func(t *testing.T, s *sealing) {
						administratorHas(s.machine.Password())(t, s)
						s.boot()
						administratorHas(s.machine.Password())(t, s)
					},
				},
			},
		},
	}
}

// scramblesNothing wants the answer file to leave the password alone.
func scramblesNothing(t *testing.T, s *sealing) {
	if s.answer.ScramblesPassword() {
		t.Error("a command of the specialize pass scrambles the password")
	}
}

// settingsAreChecked wants nothing to be wrong with EC2Config's two files in the
// image, and a word that it does not know to be found.
func settingsAreChecked(t *testing.T, s *sealing) {
	faults := func(from, to string) (n int) {
		bundle, _ := s.guest().File(bundleConfig)
		plugins, _ := s.guest().File(configSettings)
		b, err := agentconfig.ParseBundleConfig(bundleConfig, bytes.Replace(bundle, []byte(from), []byte(to), 1))
		if err != nil {
			t.Fatal(err)
		}
		p, err := agentconfig.ParseEC2Config(configSettings, bytes.Replace(plugins, []byte(from), []byte(to), 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range slices.Concat(b.Check(), p.Check()) {
			if f.Severity == finding.Error {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		from, to string
		faults   int
	}{
		{"", "", 0},
		{"<Value>Yes</Value>", "<Value>Enabled</Value>", 1},
		{"<State>Enabled</State>", "<State>Yes</State>", 1},
	} {
		if got := faults(test.from, test.to); got != test.faults {
			t.Errorf("with %q for %q the checks find %d faults, wanted %d", test.to, test.from, got, test.faults)
		}
	}
}
