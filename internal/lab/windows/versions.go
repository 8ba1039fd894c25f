package windows

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// release is what differs between versions of Windows Server.
type release struct {
	name, build, revision, version string
	powershell                     string
	// major is the version as cmd.exe shows it, "10.0" or "6.3".
	major, minor string
	noAppX       bool
}

// become turns a description into one of another Windows Server.
func (m *Machine) become(r release) {
	m.PowerShell = r.powershell
	m.SetRegistry(versionKey+`!ProductName`, Text(r.name))
	m.SetRegistry(versionKey+`!CurrentBuildNumber`, Text(r.build))
	m.SetRegistry(versionKey+`!CurrentBuild`, Text(r.build))
	m.SetRegistry(versionKey+`!DisplayVersion`, guest.Value{})
	if r.version != "" {
		m.SetRegistry(versionKey+`!DisplayVersion`, Text(r.version))
	}
	m.SetRegistry(versionKey+`!UBR`, guest.Value{})
	if r.revision != "" {
		m.SetRegistry(versionKey+`!UBR`, Word(r.revision))
	}
	if r.major != "10" {
		m.SetRegistry(versionKey+`!CurrentMajorVersionNumber`, guest.Value{})
		m.SetRegistry(versionKey+`!CurrentMinorVersionNumber`, guest.Value{})
	}
	dotted := r.major + "." + r.minor + "." + r.build
	m.SetCIM("Win32_OperatingSystem", "Caption", "Microsoft "+r.name)
	m.SetCIM("Win32_OperatingSystem", "Version", dotted)
	m.SetCIM("Win32_OperatingSystem", "BuildNumber", r.build)
	m.NoAppX = r.noAppX
	if r.noAppX {
		m.AppX, m.Provisioned = nil, nil
	}
	for path, file := range m.Files {
		if strings.HasPrefix(file.Version, "10.0.20348") {
			file.Version = dotted + "." + r.revision
			m.Files[path] = file
		}
	}
}

// Server2025 is a Windows Server 2025 with EC2Launch v2.
func Server2025() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2025 Datacenter", build: "26100", revision: "2894", version: "24H2", powershell: "5.1.26100.2161", major: "10", minor: "0"})
	m.Computer = "EC2AMAZ-LAB2025"
	program := m.Files[v2Program]
	program.Version = "2.3.108.0"
	m.Files[v2Program] = program
	return m
}

// withoutV2 takes EC2Launch v2 away.
func (m *Machine) withoutV2() {
	m.RemoveFile(`C:\Program Files\Amazon\EC2Launch`)
	m.RemoveFile(v2Data)
	m.SetRegistry(`HKLM\SOFTWARE\Amazon\EC2Launch!Version`, guest.Value{})
	delete(m.Services, v2Service)
}

// Server2019 is a Windows Server 2019 with EC2Launch v1.
func Server2019() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2019 Datacenter", build: "17763", revision: "6775", powershell: "5.1.17763.6640", major: "10", minor: "0"})
	m.Computer = "EC2AMAZ-LAB2019"
	m.withoutV2()
	m.withV1("1.3.2005119")
	return m
}

// Server2016 is a Windows Server 2016 with EC2Launch v1.
func Server2016() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2016 Datacenter", build: "14393", revision: "7699", powershell: "5.1.14393.7604", major: "10", minor: "0"})
	m.Computer = "EC2AMAZ-LAB2016"
	m.withoutV2()
	m.withV1("1.3.2003498")
	return m
}

// withV1 puts EC2Launch v1 onto the machine as it is after the first boot: the
// task that sets an instance up is there and disabled.
func (m *Machine) withV1(version string) {
	for path, text := range map[string]string{
		v1Module:     "@{\r\n    ModuleVersion = '" + version + "'\r\n}\r\n",
		v1Initialize: "# EC2Launch\r\n",
		v1Sysprep:    "# EC2Launch\r\n",
		v1Config:     shippedLaunchConfig,
		v1Letters:    shippedDriveLetterMapping,
		v1EventLog:   shippedEventLog,
		v1AnswerFile: "\ufeff" + shippedV1AnswerFile(),
		v1Before:     shippedBeforeSysprep,
		v1Randomize:  "# EC2Launch\r\n",
		v1Disks:      "# EC2Launch\r\n",
		v1Events:     "# EC2Launch\r\n",
		v1Ready:      "# EC2Launch\r\n",
		v1Data + `\Sysprep\SysprepSpecialize.cmd`: letsRDPIn,
	} {
		m.Files[path] = File{Text: text, Age: week}
	}
	m.Files[v1Log] = File{Data: wide("2026/01/12 08:02:30Z: Message: Windows is Ready to use\r\n")}
	if m.Tasks == nil {
		m.Tasks = map[string]Task{}
	}
	m.Tasks[v1InitializeTask] = Task{File: cmdProgram, Arguments: v1Action(v1Initialize, ""), User: systemUser, Disabled: true}
}

// letsRDPIn is the script that undoes what BeforeSysprep.cmd did.
var letsRDPIn = strings.Replace(shippedBeforeSysprep, "/d 1", "/d 0", 1)

var (
	filledLocale = regexp.MustCompile(`<(InputLocale|SystemLocale|UILanguage|UserLocale)>en-US<`)
	netUser      = regexp.MustCompile(`<Path>net user Administrator [^<]*</Path>`)
	v2Randomize  = regexp.MustCompile(`<Path>[^<]*randomize-password[^<]*</Path>`)
)

// shippedV1AnswerFile is EC2Launch v1's answer file: the locales and the first
// command are empty until SysprepInstance.ps1 fills them in.
func shippedV1AnswerFile() string {
	text := filledLocale.ReplaceAllString(shippedAnswerFile, "<$1><")
	text = netUser.ReplaceAllString(text, "<Path></Path>")
	return v2Randomize.ReplaceAllLiteralString(text, `<Path>"`+v1Data+`\Sysprep\SysprepSpecialize.cmd"</Path>`)
}

// shippedConfigAnswerFile is EC2Config's sysprep2008.xml: a script lets Remote
// Desktop in again, not a component.
//
//go:embed shipped/sysprep2008.xml
var shippedConfigAnswerFile string

//go:embed shipped/Config.xml
var shippedConfig string

//go:embed shipped/BundleConfig.xml
var shippedBundleConfig string

//go:embed shipped/DriveLetterConfig.xml
var shippedDriveLetterConfig string

//go:embed shipped/EventLogConfig.xml
var shippedEventLogConfig string

//go:embed shipped/LaunchConfig.json
var shippedLaunchConfig string

//go:embed shipped/DriveLetterMappingConfig.json
var shippedDriveLetterMapping string

//go:embed shipped/EventLogConfig.json
var shippedEventLog string

// Server2012R2 is a Windows Server 2012 R2 with EC2Config.
func Server2012R2() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2012 R2 Standard", build: "9600", revision: "20778", powershell: "4.0", major: "6", minor: "3"})
	m.Computer = "EC2AMAZ-LAB2012"
	m.withoutV2()
	m.withEC2Config()
	return m
}

// Server2012 is a Windows Server 2012 with EC2Config and PowerShell 3.0.
func Server2012() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2012 Standard", build: "9200", revision: "24768", powershell: "3.0", major: "6", minor: "2", noAppX: true})
	m.Computer = "EC2AMAZ-LAB2K12"
	m.SetRegistry(versionKey+`!CurrentVersion`, Text("6.2"))
	m.withoutV2()
	m.withEC2Config()
	return m
}

// Server2008R2 is a Windows Server 2008 R2 with EC2Config and the PowerShell
// 2.0 that it came with, which the plugin refuses.
func Server2008R2() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2008 R2 Standard", build: "7601", powershell: "2.0", major: "6", minor: "1", noAppX: true})
	m.Computer = "EC2AMAZ-LAB2008"
	m.SetRegistry(versionKey+`!CurrentVersion`, Text("6.1"))
	m.withoutV2()
	m.withEC2Config()
	return m
}

// withEC2Config puts EC2Config onto the machine.
func (m *Machine) withEC2Config() {
	for path, file := range map[string]File{
		configProgram:    {Text: "MZ EC2Config", Version: "4.9.5777.0"},
		configAnswerFile: {Text: "\ufeff" + shippedConfigAnswerFile},
		configBundle:     {Text: shippedBundleConfig},
		configSettings:   {Text: shippedConfig},
		configBefore:     {Text: shippedBeforeSysprep},
		configLog:        {Text: "2026-01-12T08:02:30.114Z: Ec2ConfigService: Windows is Ready to use\r\n"},
		configFolder + `\Scripts\SysprepSpecializePhase.cmd`: {Text: letsRDPIn},
		// The AMIs have it since April 2015.
		setupComplete:  {Text: `call "` + configPost + `"` + "\r\n"},
		configPost:     {Text: "net start wuauserv\r\n"},
		configScramble: {Text: "MZ ScramblePassword", Version: "4.9.5777.0"},
		configLetters:  {Text: shippedDriveLetterConfig},
		configEvents:   {Text: shippedEventLogConfig},
	} {
		file.Age = week
		m.Files[path] = file
	}
	m.Services[configService] = Service{State: "Running", StartMode: "Auto", Process: "Ec2Config"}
	m.SetRegistry(servicesKey+configService+`!Start`, Word("2"))
}
