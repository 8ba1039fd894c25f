package windows

import (
	_ "embed"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

//go:embed shipped/ec2launch-v2.xml
var shippedAnswerFile string

//go:embed shipped/agent-config.yml
var shippedAgentConfig string

//go:embed shipped/BeforeSysprep.cmd
var shippedBeforeSysprep string

// Keys of the registry that the model itself knows.
const (
	setupKey   = `HKLM\SYSTEM\Setup`
	stateKey   = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State`
	sysprepKey = `HKLM\SYSTEM\Setup\Status\SysprepStatus`
	powerKey   = `HKLM\SYSTEM\CurrentControlSet\Control\Power`
	versionKey = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	profileKey = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList`
)

// The image states, reference: Microsoft, "Windows Setup States".
const (
	stateComplete     = "IMAGE_STATE_COMPLETE"
	stateUndeployable = "IMAGE_STATE_UNDEPLOYABLE"
	stateGeneralized  = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
	stateSpecialized  = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
)

// Paths of Sysprep's.
const (
	sysprepFolder = `C:\Windows\System32\Sysprep`
	panther       = sysprepFolder + `\Panther`
	tagFile       = sysprepFolder + `\Sysprep_succeeded.tag`
	actionLog     = panther + `\setupact.log`
	errorLog      = panther + `\setuperr.log`
)

const machineSID = "S-1-5-21-1713042563-2043160183-3206215862"

// Server2022 is a Windows Server 2022 Datacenter as an EC2 instance of the
// Amazon base image has it a while after its first boot: EC2Launch v2 has done
// its work, one Administrator, nothing pending.
func Server2022() Machine {
	return Machine{
		Computer:     "EC2AMAZ-LAB2022",
		Architecture: "AMD64",
		PowerShell:   "5.1.20348.2849",
		Language:     "FullLanguage",
		Culture:      "en-US",
		Accounts: map[string]Account{
			"Administrator":      {SID: machineSID + "-500", Password: "Lab-Password-1!", Administrator: true},
			"Guest":              {SID: machineSID + "-501", Disabled: true},
			"DefaultAccount":     {SID: machineSID + "-503", Disabled: true},
			"WDAGUtilityAccount": {SID: machineSID + "-504", Disabled: true},
		},
		Files: map[string]File{
			`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`:                {Text: "MZ EC2Launch v2", Version: "2.0.2107.0", Age: week},
			`C:\Program Files\Amazon\EC2Launch\service\EC2LaunchService.exe`: {Text: "MZ EC2Launch service", Version: "2.0.2107.0", Age: week},
			`C:\Program Files\Amazon\SSM\amazon-ssm-agent.exe`:               {Text: "MZ SSM agent", Version: "3.3.1611.0", Age: week},
			`C:\ProgramData\Amazon\EC2Launch\config\agent-config.yml`:        {Text: shippedAgentConfig, Age: week},
			`C:\ProgramData\Amazon\EC2Launch\sysprep\unattend.xml`:           {Text: shippedAnswerFile, Age: week},
			`C:\ProgramData\Amazon\EC2Launch\sysprep\BeforeSysprep.cmd`:      {Text: shippedBeforeSysprep, Age: week},
			`C:\ProgramData\Amazon\EC2Launch\state\.run-once`:                {},
			`C:\ProgramData\Amazon\EC2Launch\state\state.json`:               {Text: `{"status":"ok"}`},
			`C:\ProgramData\Amazon\EC2Launch\log\agent.log`:                  {Text: "2026-01-12 08:01:55 Info: EC2Launch is running.\r\n2026-01-12 08:02:31 Info: Stage: postReady completed.\r\n2026-01-12 08:02:31 Info: EC2Launch stopped\r\n"},
			`C:\ProgramData\Amazon\EC2Launch\log\console.log`:                {Text: "2026/01/12 08:02:30Z: Message: Windows is Ready to use\r\n"},
			`C:\ProgramData\Amazon\EC2Launch\log\err.log`:                    {},
			`C:\Windows\explorer.exe`:                                        {Text: "MZ", Version: "10.0.20348.1", Age: week},
			`C:\Windows\System32\cmd.exe`:                                    {Text: "MZ", Version: "10.0.20348.1", Age: week},
			`C:\Windows\System32\shutdown.exe`:                               {Text: "MZ", Version: "10.0.20348.1", Age: week},
			`C:\Windows\System32\schtasks.exe`:                               {Text: "MZ", Version: "10.0.20348.1", Age: week},
			`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`:      {Text: "MZ", Version: "10.0.20348.2849", Age: week},
			`C:\Windows\System32\Sysprep\sysprep.exe`:                        {Text: "MZ", Version: "10.0.20348.2849", Age: week},
			`C:\Windows\System32\Sysprep\ActionFiles\Generalize.xml`:         {Text: "<sysprepInformation/>", Age: week},
			tagFile:                    {Age: week},
			actionLog:                  {Text: "2026-01-05 02:11:40, Info       [0x0f004d] SYSPRP The time is now 2026-01-05 02:11:40\r\n2026-01-05 02:14:02, Info       [0x0f003d] SYSPRP WinMain:Sysprep has finished\r\n", Age: week},
			errorLog:                   {Text: "2026-01-05 02:13:12, Error                 SYSPRP BCD: BiUpdateEfiEntry failed c000000d\r\n", Age: week},
			`C:\Windows\Panther`:       {Folder: true},
			`C:\Windows\Setup\Scripts`: {Folder: true},
			`C:\Windows\Temp`:          {Folder: true},
			`C:\Users\Administrator\AppData\Local\Temp`: {Folder: true},
			`C:\Users\Administrator\ntuser.dat`:         {Text: "hive"},
			`C:\Users\Default\ntuser.dat`:               {Text: "hive"},
			`C:\Users\Public`:                           {Folder: true},
		},
		Registry: map[string]guest.Value{
			versionKey + `!ProductName`:                           Text("Windows Server 2022 Datacenter"),
			versionKey + `!CurrentBuildNumber`:                    Text("20348"),
			versionKey + `!CurrentBuild`:                          Text("20348"),
			versionKey + `!CurrentVersion`:                        Text("6.3"),
			versionKey + `!CurrentMajorVersionNumber`:             Word("10"),
			versionKey + `!CurrentMinorVersionNumber`:             Word("0"),
			versionKey + `!UBR`:                                   Word("2849"),
			versionKey + `!EditionID`:                             Text("ServerDatacenter"),
			versionKey + `!InstallationType`:                      Text("Server"),
			versionKey + `!ReleaseId`:                             Text("2009"),
			stateKey + `!ImageState`:                              Text(stateComplete),
			setupKey + `!SetupType`:                               Word("0"),
			setupKey + `!CmdLine`:                                 Text(""),
			setupKey + `!SystemSetupInProgress`:                   Word("0"),
			setupKey + `!OOBEInProgress`:                          Word("0"),
			sysprepKey + `!GeneralizationState`:                   Word("7"),
			sysprepKey + `!CleanupState`:                          Word("2"),
			powerKey + `!HibernateEnabled`:                        Word("1"),
			`HKU\.DEFAULT\Control Panel\International!LocaleName`: Text("en-US"),
			`HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server!fDenyTSConnections`:                   Word("0"),
			`HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\ComputerName!ComputerName`:               Text("EC2AMAZ-LAB2022"),
			`HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\ActiveComputerName!ComputerName`:         Text("EC2AMAZ-LAB2022"),
			`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager!ProtectionMode`:                       Word("1"),
			`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment!PROCESSOR_ARCHITECTURE`:   Text("AMD64"),
			`HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation!TimeZoneKeyName`:                  Text("UTC"),
			`HKLM\SYSTEM\CurrentControlSet\Services\AmazonSSMAgent!Start`:                                Word("2"),
			`HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon!AutoAdminLogon`:                  Text("0"),
			`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System!EnableLUA`:                   Word("1"),
			profileKey + `!ProfilesDirectory`:                                                            Expandable(`%SystemDrive%\Users`),
			profileKey + `\S-1-5-18!ProfileImagePath`:                                                    Expandable(`%systemroot%\system32\config\systemprofile`),
			profileKey + `\` + machineSID + `-500!ProfileImagePath`:                                      Expandable(`C:\Users\Administrator`),
			`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\Sysprep\Cleanup`:                       {},
			`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing!LastScavengeFlags`: Word("5"),
			`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update!IsOOBEInProgress`:  Word("0"),
			`HKLM\SOFTWARE\Microsoft\MSDTC!SysprepInProgress`:                                            Word("0"),
			`HKLM\SOFTWARE\Amazon\EC2Launch!Version`:                                                     Text("2.0.2107"),
		},
		Services: map[string]Service{
			"Amazon EC2Launch": {State: "Stopped", StartMode: "Auto", Process: "EC2LaunchService"},
			"AmazonSSMAgent":   {State: "Running", StartMode: "Auto", Process: "amazon-ssm-agent"},
			"WinRM":            {State: "Running", StartMode: "Auto"},
			"Schedule":         {State: "Running", StartMode: "Auto"},
			"Winmgmt":          {State: "Running", StartMode: "Auto"},
			"TermService":      {State: "Running", StartMode: "Manual"},
			"wuauserv":         {State: "Stopped", StartMode: "Manual"},
			"TrustedInstaller": {State: "Stopped", StartMode: "Manual"},
			"AppXSvc":          {State: "Stopped", StartMode: "Manual"},
			"MSDTC":            {State: "Running", StartMode: "Auto"},
			"sppsvc":           {State: "Stopped", StartMode: "Auto"},
			"msiserver":        {State: "Stopped", StartMode: "Manual"},
			"WinDefend":        {State: "Running", StartMode: "Auto"},
			"Sense":            {State: "Stopped", StartMode: "Manual"},
		},
		Processes: []string{"smss", "csrss", "wininit", "winlogon", "services", "lsass", "svchost", "svchost", "svchost", "dwm", "LogonUI", "WmiPrvSE", "MsMpEng"},
		CIM: map[string][]guest.Object{
			"Win32_OperatingSystem": {{
				"Caption": "Microsoft Windows Server 2022 Datacenter", "Version": "10.0.20348", "BuildNumber": "20348",
				"ProductType": "3", "OSArchitecture": "64-bit", "OperatingSystemSKU": "8", "SystemDrive": "C:",
				"WindowsDirectory": `C:\Windows`, "SystemDirectory": `C:\Windows\system32`, "Locale": "0409",
				"MUILanguages": "en-US", "OSLanguage": "1033", "FreePhysicalMemory": "5242880", "TotalVisibleMemorySize": "8388148",
			}},
			"Win32_ComputerSystem": {{
				"Domain": "WORKGROUP", "DomainRole": "2", "PartOfDomain": "False", "Workgroup": "WORKGROUP",
				"Manufacturer": "Amazon EC2", "Model": "m5.large", "TotalPhysicalMemory": "8589463552", "NumberOfProcessors": "1",
			}},
			"Win32_UserProfile": {
				{"SID": "S-1-5-18", "LocalPath": `C:\Windows\system32\config\systemprofile`, "Special": "True", "Loaded": "True"},
				{"SID": "S-1-5-19", "LocalPath": `C:\Windows\ServiceProfiles\LocalService`, "Special": "True", "Loaded": "True"},
				{"SID": "S-1-5-20", "LocalPath": `C:\Windows\ServiceProfiles\NetworkService`, "Special": "True", "Loaded": "True"},
				{"SID": machineSID + "-500", "LocalPath": `C:\Users\Administrator`, "Special": "False", "Loaded": "True"},
			},
			"Win32_LogicalDisk": {{
				"DeviceID": "C:", "DriveType": "3", "FileSystem": "NTFS", "Size": "32210153472", "FreeSpace": "14212956160",
			}},
			"SoftwareLicensingService": {{"RemainingWindowsReArmCount": "1001", "Version": "10.0.20348.2849"}},
			`root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`: {{
				"DriveLetter": "C:", "ProtectionStatus": "0", "ConversionStatus": "0",
			}},
			"Win32_IP4PersistedRouteTable": {},
			"Win32_QuickFixEngineering":    {{"HotFixID": "KB5050187", "InstalledOn": "1/14/2025"}},
			"Win32_BIOS":                   {{"Manufacturer": "Amazon EC2", "SMBIOSBIOSVersion": "1.0", "SerialNumber": "ec2lab"}},
		},
		AppX: []guest.Package{
			{Name: "Microsoft.DesktopAppInstaller", FullName: "Microsoft.DesktopAppInstaller_1.0.32912.0_x64__8wekyb3d8bbwe", Signature: "Store", Installed: true},
			{Name: "Microsoft.SecHealthUI", FullName: "Microsoft.SecHealthUI_10.0.20348.1_neutral__cw5n1h2txyewy", Signature: "System", NonRemovable: true, Installed: true},
			{Name: "Microsoft.VCLibs.140.00", FullName: "Microsoft.VCLibs.140.00_14.0.27323.0_x64__8wekyb3d8bbwe", Framework: true, Signature: "Store", Installed: true},
		},
		Provisioned: []string{"Microsoft.DesktopAppInstaller"},
		Features:    []string{"FileAndStorage-Services", "Storage-Services", "NET-Framework-45-Features", "NET-Framework-45-Core", "Windows-Defender", "PowerShellRoot", "PowerShell", "WoW64-Support"},
		WinRM: guest.Exposure{
			Known: true,
			Listeners: []guest.Listener{
				{Transport: "HTTP", Port: "5985", Address: "*", Enabled: true},
			},
		},
		Metadata: map[string]string{
			"meta-data/instance-id":                 "i-0123456789abcdef0",
			"meta-data/ami-id":                      "ami-0123456789abcdef0",
			"meta-data/instance-life-cycle":         "on-demand",
			"meta-data/instance-type":               "m5.large",
			"meta-data/placement/region":            "us-east-1",
			"meta-data/placement/availability-zone": "us-east-1a",
			"meta-data/local-ipv4":                  "10.0.0.10",
			"dynamic/instance-identity/document":    `{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"us-east-1a","imageId":"ami-0123456789abcdef0","instanceId":"i-0123456789abcdef0","instanceType":"m5.large","region":"us-east-1","version":"2017-09-30"}`,
		},
		Agent: AgentBehaviour{Prepares: Seconds(4)},
		Sysprep: SysprepBehaviour{
			MessageBox: true,
			Validate:   Seconds(5),
			Cleanup:    Seconds(20),
			Generalize: Seconds(75),
		},
		Network: NetworkBehaviour{UnauthorizedAfter: Seconds(20)},
		Start:   StartBehaviour{Delay: Duration(400 * time.Millisecond)},
		Power: PowerBehaviour{
			ShutdownTakes: Seconds(6),
			BootTakes:     Seconds(25),
			SetupTakes:    Seconds(150),
		},
	}
}

const week = Duration(7 * 24 * time.Hour)
