package sysprep

import (
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// What the guide says of EC2Launch v2, and where the files are.
const (
	v2Exe = `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`

	closesRDPLine = `reg add "HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 1 /f`
	opensRDPLine  = `reg add "HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 0 /f`
	activateLine  = `net user Administrator /ACTIVE:YES /LOGONPASSWORDCHG:NO /EXPIRES:NEVER /PASSWORDREQ:YES`

	v2Sysprep = `sysprep.exe /oobe /generalize /shutdown /unattend: "C:\ProgramData\Amazon\EC2Launch\sysprep\unattend.xml"`
)

func documentedForV2() []documentedGuest {
	only := []document{guide}
	return []documentedGuest{
		{
			name: "EC2Launch v2", windows: windows.Server2022, answer: answerPath,
			rows: []documented{
				{
					name: "Sysprep is what is run", in: only, quote: "When you choose Shutdown with Sysprep in the EC2Launch settings dialog box, the system runs the ec2launch sysprep command.",
					deviates: "EC2Launch.exe checks its settings before, and is told to leave the guest up until its seal has been seen",
					sealed:   allOf(planGeneralizes, sealerRuns(v2Exe+" validate", v2Exe+" sysprep"), shutdownLeftTo("sealed")),
				},
				{
					name: "the command by hand is the same", in: only, quote: `"%programfiles%\amazon\ec2launch\ec2launch.exe" sysprep`,
					sealed: func(t *testing.T, s *sealing) {
						if _, ok := s.guest().File(`%programfiles%\amazon\ec2launch\ec2launch.exe`); !ok {
							t.Error("there is no such program")
						}
						sealerRuns(v2Exe+" validate", v2Exe+" sysprep")(t, s)
					},
				},
				{
					name: "the answer file and the script have a folder", in: only, quote: `This file is located in the following directory: C:\ProgramData\Amazon\EC2Launch\sysprep`,
					sealed: filesIn(`C:\ProgramData\Amazon\EC2Launch\sysprep`, "unattend.xml", "BeforeSysprep.cmd"),
				},
				{
					name: "the answer file automates OOBE", in: only, quote: "When you run Sysprep with EC2Launch v2, the answer file automates this phase.",
					sealed: sysprepWasGiven,
				},
				{
					name: "BeforeSysprep.cmd refuses remote desktop", in: only, quote: closesRDPLine,
					sealed: fileSays(scriptPath, closesRDPLine),
				},
				{
					name: "the image refuses remote desktop", in: only, quote: "The registry key disables RDP connections until they are re-enabled.",
					sealed: imageRefusesRDP,
				},
				{
					name: "Sysprep leaves the guest up", in: only, quote: v2Sysprep,
					deviates: "/quit in the place of /shutdown: stopped is to mean sealed, so the sealer looks first and shuts the guest down then; and no space before the file",
					sealed:   sysprepRanAs(quitting(v2Sysprep)),
				},
				{
					name: "drivers stay", in: only, quote: "the system prevents drivers from being removed because the PersistAllDeviceInstalls setting is set to true by default",
					sealed: hasSetting("true", passGeneralize, componentPnP, "PersistAllDeviceInstalls"),
				},
				{
					name: "what Plug and Play knows stays", in: only, quote: "DoNotCleanUpNonPresentDevices: This setting retains Plug and Play information for devices that are not currently present.",
					sealed: hasSetting("true", passGeneralize, componentPnP, "DoNotCleanUpNonPresentDevices"),
				},
				{
					name: "the profile is copied", in: only, quote: "are carried over to the new image. The default value is True.",
					sealed: hasSetting("true", passSpecialize, componentShell, "CopyProfile"),
				},
				{
					name: "the profile need not be copied", in: only, quote: "then change this setting to False. Sysprep will remove all user profiles (this saves time and disk space).",
					sealed: dropsProfile,
				},
				{
					name: "the time zone is UTC", in: only, quote: "The time zone is set to Coordinate Universal Time (UTC) by default.",
					sealed: allOf(hasSetting("UTC", passSpecialize, componentShell, "TimeZone"), hasSetting("UTC", passOOBE, componentShell, "TimeZone")),
				},
				{
					name: "command 1 activates the administrator", in: only, quote: activateLine,
					sealed: specializeRunsAt(1, activateLine),
				},
				{
					name: "command 2 scrambles the password", in: only, quote: `C:\Program Files\Amazon\Ec2ConfigService\ScramblePassword.exe" -u Administrator`,
					deviates: "the program is EC2Config's, which such a guest does not have; the shipped file lets EC2Launch.exe do it",
					sealed:   specializeRunsAt(2, `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe internal randomize-password --username Administrator`),
				},
				{
					name: "there is no command 3", in: only, quote: `C:\Program Files\Amazon\Ec2ConfigService\Scripts\SysprepSpecializePhase.cmd`,
					deviates: "the script is EC2Config's; the shipped file has two commands",
					sealed: specializeRuns(activateLine,
						`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe internal randomize-password --username Administrator`),
				},
				{
					name: "specialize lets remote desktop in", in: only, quote: opensRDPLine,
					deviates: "a component of the shipped file does it, not a script",
					sealed:   hasSetting("false", passSpecialize, componentSessions, "fDenyTSConnections"),
				},
				oobeRow(`<InputLocale>en-US</InputLocale>`, componentInternational),
				oobeRow(`<SystemLocale>en-US</SystemLocale>`, componentInternational),
				oobeRow(`<UILanguage>en-US</UILanguage>`, componentInternational),
				oobeRow(`<UserLocale>en-US</UserLocale>`, componentInternational),
				oobeRow(`<HideEULAPage>true</HideEULAPage>`, componentShell, "OOBE"),
				oobeRow(`<HideWirelessSetupInOOBE>true</HideWirelessSetupInOOBE>`, componentShell, "OOBE"),
				oobeRow(`<ProtectYourPC>3</ProtectYourPC>`, componentShell, "OOBE"),
				oobeRow(`<BluetoothTaskbarIconEnabled>false</BluetoothTaskbarIconEnabled>`, componentShell),
				oobeRow(`<TimeZone>UTC</TimeZone>`, componentShell),
				oobeRow(`<RegisteredOrganization>Amazon.com</RegisteredOrganization>`, componentShell),
				oobeRow(`<RegisteredOwner>EC2</RegisteredOwner>`, componentShell),
				{
					name: "specialize has another organization and no owner", in: only, quote: `<RegisteredOrganization>Amazon.com</RegisteredOrganization>`,
					deviates: "the guide does not say that the shipped file sets Amazon first; OOBE comes later and decides",
					sealed: allOf(hasSetting("Amazon", passSpecialize, componentShell, "RegisteredOrganization"),
						hasNoSetting(passSpecialize, componentShell, "RegisteredOwner")),
				},
				{
					name: "the instance stops", in: only, quote: "the instance state changes from running to stopping to stopped. At this point, it's safe to create an AMI from this instance.",
					sealed: instanceStops,
				},
				{
					name: "a first boot that goes on says so", in: only, quote: "Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE",
					sealed: catalogueExplains("Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE", "ES-352"),
					booted: consoleSays("Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE"),
				},
				{
					name: "the instance has a name of its own", in: only, quote: "The system generates OS-specific requirements, such as a computer name and an SID.",
					sealed: hasSetting("*", passSpecialize, componentShell, "ComputerName"),
					booted: isRenamed,
				},
				{
					name: "the instance lets remote desktop in", in: only, quote: "This command adds the following registry key, which re-enables RDP:",
					deviates: "the component of the shipped file does it",
					booted:   letsRDPIn,
				},
				{
					name: "the build's password is gone", in: only, quote: "This security measure is designed to prevent the instance from being accessible after Sysprep completes if you did not enable the ec2setpassword setting.",
					deviates: "the setting of EC2Launch v2 is the task setAdminAccount, and the shipped one asks for a random password that EC2 shows",
					booted:   administratorGets(windows.PasswordRandom, true),
				},
				{
					name: "the console says when Sysprep is done", in: only, quote: "Windows sysprep configuration complete.",
					booted: consoleSays("SysprepState=IMAGE_STATE_UNDEPLOYABLE", "Windows sysprep configuration complete."),
				},
				{
					name: "the tasks of agent-config.yml run", in: only, quote: "Reads the content of the agent-config.yml file and runs configured tasks.",
					sealed: allOf(filesIn(agentFolder+`\config`, "agent-config.yml"), fileUnchanged(agentFolder+`\config\agent-config.yml`)),
					booted: agentDoes("boot/extendRootPartition", "preReady/activateWindows", "preReady/setDnsSuffix", "preReady/setAdminAccount", "preReady/setWallpaper", "postReady/startSsm"),
				},
				{
					name: "the stage preReady comes first", in: only, quote: "Executes all tasks in the preReady stage.",
					booted: fileTells(agentFolder+`\log\agent.log`, "Stage: preReady completed.", "Stage: postReady completed."),
				},
				{
					name: "the console says when Windows is ready", in: only, quote: "After it is finished, sends a Windows is ready message to the instance system logs.",
					deviates: "the message is Windows is Ready to use",
					booted:   consoleSays("Windows sysprep configuration complete.", "Windows is Ready to use"),
				},
				{
					name: "the stage postReady comes last", in: only, quote: "Executes all tasks in the PostReady stage.",
					deviates: "the stage is called postReady",
					booted:   fileTells(agentFolder+`\log\agent.log`, "Stage: postReady completed.", "EC2Launch stopped"),
				},
				{
					name: "without Sysprep the agent begins anew", in: only, quote: "Select Shutdown with Sysprep or Shutdown without Sysprep.",
					deviates: "the guide does not say what the second one runs; reset is what lets an instance have its password and its user data",
					sealed:   agentRunsWithoutSysprep(launchagent.EC2LaunchV2{}, "validate", "reset"),
				},
			},
		},
		{
			name: "EC2Launch v2 that shuts the guest down", windows: windows.Server2025, answer: answerPath,
			options: map[string]any{"shutdown": "agent"},
			change: func(m *windows.Machine) {
				m.SetRegistry(`HKU\.DEFAULT\Control Panel\International!LocaleName`, windows.Text("de-DE"))
			},
			rows: []documented{
				{
					name: "the agent runs with a shutdown", in: only, quote: "EC2Launch v2 runs Sysprep. Next, you are logged off the instance, and the instance shuts down.",
					deviates: "EC2Launch.exe sysprep leaves the guest up unless it is told --shutdown",
					sealed:   allOf(sealerRuns(v2Exe+" validate", v2Exe+" sysprep --shutdown"), shutdownLeftTo("agent")),
				},
				{
					name: "Sysprep shuts the guest down", in: only, quote: v2Sysprep,
					deviates: "no space before the file",
					sealed:   sysprepRanAs(v2Sysprep),
				},
				{
					name: "the locales come from the registry", in: only, quote: `EC2Launch v2 edits the content of the unattend.xml file by reading the registry value at HKEY_USERS\.DEFAULT\Control Panel\International\LocaleName.`,
					sealed: allOf(
						hasSetting("de-DE", passOOBE, componentInternational, "InputLocale"), hasSetting("de-DE", passOOBE, componentInternational, "SystemLocale"),
						hasSetting("de-DE", passOOBE, componentInternational, "UILanguage"), hasSetting("de-DE", passOOBE, componentInternational, "UserLocale"),
					),
				},
			},
		},
		{
			name: "EC2Launch v2 in a domain", windows: windows.Server2022, dryRun: true,
			change: func(m *windows.Machine) {
				m.SetCIM("Win32_ComputerSystem", "DomainRole", "3")
				m.SetCIM("Win32_ComputerSystem", "Domain", "corp.example")
			},
			rows: []documented{
				{
					name: "the guest leaves its domain", in: only, quote: "If the instance is a member of a domain, it is removed from the domain.",
					sealed: allOf(userIsTold("the guest is a member of the domain corp.example"), userIsTold("Sysprep takes it out of the domain.")),
				},
			},
		},
	}
}
