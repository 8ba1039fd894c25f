package windows

import (
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

// Paths by which EC2Launch v1 and EC2Config are known.
const (
	v1Data       = `C:\ProgramData\Amazon\EC2-Windows\Launch`
	configFolder = `C:\Program Files\Amazon\Ec2ConfigService`
)

// withoutV2 takes EC2Launch v2 away.
func (m *Machine) withoutV2() {
	m.RemoveFile(`C:\Program Files\Amazon\EC2Launch`)
	m.RemoveFile(v2Data)
	m.SetRegistry(`HKLM\SOFTWARE\Amazon\EC2Launch!Version`, guest.Value{})
	delete(m.Services, v2Service)
}

// Server2019 is a Windows Server 2019 with EC2Launch v1. The model has the
// agent's files and not its scripts' work.
func Server2019() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2019 Datacenter", build: "17763", revision: "6775", powershell: "5.1.17763.6640", major: "10", minor: "0"})
	m.Computer = "EC2AMAZ-LAB2019"
	m.withoutV2()
	for path, text := range map[string]string{
		`\Module\Ec2Launch.psd1`:          "@{ ModuleVersion = '1.3.2005119' }\r\n",
		`\Scripts\InitializeInstance.ps1`: "# EC2Launch\r\n",
		`\Scripts\SysprepInstance.ps1`:    "# EC2Launch\r\n",
		`\Config\LaunchConfig.json`:       `{"setComputerName":false,"setMonitorAlwaysOn":true,"setWallpaper":true,"addDnsSuffixList":true,"extendBootVolumeSize":true,"handleUserData":true,"adminPasswordType":"Random","adminPassword":""}`,
		`\Sysprep\Unattend.xml`:           "\ufeff" + shippedAnswerFile,
		`\Sysprep\BeforeSysprep.cmd`:      shippedBeforeSysprep,
		`\Sysprep\SysprepSpecialize.cmd`:  strings.Replace(shippedBeforeSysprep, "/d 1", "/d 0", 1),
	} {
		m.Files[v1Data+path] = File{Text: text, Age: week}
	}
	return m
}

// Server2012R2 is a Windows Server 2012 R2 with EC2Config. The model has the
// agent's files and not its work.
func Server2012R2() Machine {
	m := Server2022()
	m.become(release{name: "Windows Server 2012 R2 Standard", build: "9600", revision: "20778", powershell: "4.0", major: "6", minor: "3"})
	m.Computer = "EC2AMAZ-LAB2012"
	m.withoutV2()
	for path, file := range map[string]File{
		`\Ec2Config.exe`:                      {Text: "MZ EC2Config", Version: "4.9.5777.0"},
		`\sysprep2008.xml`:                    {Text: "\ufeff" + shippedAnswerFile},
		`\Scripts\BeforeSysprep.cmd`:          {Text: shippedBeforeSysprep},
		`\Scripts\SysprepSpecializePhase.cmd`: {Text: strings.Replace(shippedBeforeSysprep, "/d 1", "/d 0", 1)},
	} {
		file.Age = week
		m.Files[configFolder+path] = file
	}
	m.Services["Ec2Config"] = Service{State: "Running", StartMode: "Auto", Process: "Ec2Config"}
	return m
}
