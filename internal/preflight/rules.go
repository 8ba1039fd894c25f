package preflight

import (
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// rules is the table. IDs are never used again for something else.
//
// ES-101 not Windows, ES-102 PowerShell, ES-103 agent: these are found before
// the rules are asked.
var rules = []rule{
	{"ES-104", identity, ofEveryAction},
	{"ES-105", imageState, ofEveryAction},
	{"ES-106", earlierGeneralize, ofSysprep},
	{"ES-107", setupRunning, ofEveryAction},
	{"ES-108", sysprepRunning, ofEveryAction},
	{"ES-109", agentService, ofEveryAction},
	{"ES-110", pendingReboot, ofEveryAction},
	{"ES-111", pendingFileOperations, ofEveryAction},
	{"ES-112", servicing, ofEveryAction},
	{"ES-113", pendingRename, ofEveryAction},
	{"ES-114", spot, ofEveryAction},
	{"ES-115", autoScaling, ofEveryAction},
	{"ES-116", domainRole, ofEveryAction},
	{"ES-117", diskSpace, ofSysprep},
	{"ES-118", rearm, ofSysprep},
	{"ES-119", bitLocker, ofSysprep},
	{"ES-120", autoLogon, ofEveryAction},
	{"ES-121", upgraded, ofSysprep},
	{"ES-122", administrator, ofSysprep},
	{"ES-123", sixtyFourBit, ofEveryAction},
}

// What a rule is about. A rule that is about Sysprep alone is not asked for a
// shutdown without it.
const (
	ofEveryAction concern = iota
	ofSysprep
)

// busy is the obstacle that goes away by itself: an agent that is still at work.
func busy(what, do string) []Finding {
	return []Finding{{Severity: Stop, Busy: true, What: what, Do: do}}
}

func stop(what, do string) []Finding { return []Finding{{Severity: Stop, What: what, Do: do}} }
func warn(what, do string) []Finding { return []Finding{{Severity: Warning, What: what, Do: do}} }

// Sysprep needs an administrator, and under SYSTEM it is not supported: on
// Server 2025 it leaves a broken shell (Microsoft's article on Sysprep as SYSTEM).
func identity() ([]guest.Asker, judge) {
	return nil, func(f *Facts) []Finding {
		id := f.Identity
		switch {
		case id.Administrator && !f.sysprep():
			return nil
		case id.SID == "S-1-5-18" && f.sysprep():
			return stop("the connection's user is SYSTEM, under which Sysprep is not supported",
				"Connect as a local administrator, best the built-in one.")
		case !id.Administrator:
			return stop(fmt.Sprintf("the connection's user %s is not an administrator, or its token is filtered by UAC", id.User),
				`Connect as the built-in Administrator, or set LocalAccountTokenFilterPolicy to 1 under HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System.`)
		case !strings.HasSuffix(id.SID, "-500"):
			return warn(fmt.Sprintf("the connection's user %s is not the built-in Administrator", id.User),
				"With CopyProfile the built-in Administrator's profile is copied, not this user's.")
		}
		return nil
	}
}

func imageState() ([]guest.Asker, judge) {
	return nil, func(f *Facts) []Finding {
		switch f.ImageState {
		case "IMAGE_STATE_COMPLETE":
			return nil
		case "":
			return stop("Windows Setup's ImageState cannot be read", "The image's state must be IMAGE_STATE_COMPLETE before Sysprep; look into "+setupState+".")
		case "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE":
			return stop("the guest is sealed already (ImageState is "+f.ImageState+")",
				"Stop the instance and make the AMI with the post-processor alone, or start it once so that Windows sets itself up, and build again.")
		}
		return stop("ImageState is "+f.ImageState+": Windows Setup has not finished, or an earlier Sysprep died half-way",
			"Wait until Windows has set itself up; after a Sysprep that died begin again with a fresh instance.")
	}
}

// GeneralizationState is 7 on a machine that may be generalized.
func earlierGeneralize() ([]guest.Asker, judge) {
	const key = `HKLM\SYSTEM\Setup\Status\SysprepStatus`
	state := guest.RegistryValue(key, "GeneralizationState")
	return []guest.Asker{state}, func(*Facts) []Finding {
		value := state.Or(guest.Value{})
		if !value.Exists || value.Text == "7" {
			return nil
		}
		return stop("an earlier generalize did not finish (GeneralizationState is "+value.Text+", not 7), and Sysprep would refuse with code 31",
			"Begin again with a fresh instance.")
	}
}

func setupRunning() ([]guest.Asker, judge) {
	setup := guest.RegistryKey(`HKLM\SYSTEM\Setup`)
	return []guest.Asker{setup}, func(*Facts) []Finding {
		key := setup.Or(guest.Key{})
		for _, name := range []string{"SystemSetupInProgress", "OOBEInProgress"} {
			if key.Value(name).Text == "1" {
				return stop("Windows Setup is running ("+name+" is 1)", "Wait until it has finished.")
			}
		}
		return nil
	}
}

func sysprepRunning() ([]guest.Asker, judge) {
	processes := guest.Processes("sysprep")
	return []guest.Asker{processes}, func(*Facts) []Finding {
		if running := processes.Or(guest.RunningProcesses{}).Processes; len(running) > 0 {
			return stop(fmt.Sprintf("sysprep.exe is running already (process %d)", running[0].PID),
				"It may stand behind a message box of an earlier attempt: end it, or begin again with a fresh instance.")
		}
		return nil
	}
}

// EC2Launch v2's sysprep waits for its service to stop; user data that runs
// for ever and a serial port that is taken keep it running. EC2Config's service
// always runs. EC2Launch v1 has a script instead, which disables its own task
// when it ends: the one that the sealing schedules for the clones.
func agentService() ([]guest.Asker, judge) {
	services := guest.Services("Amazon EC2Launch", "Ec2Config")
	script := guest.Query("Win32_Process", "CommandLine LIKE '%InitializeInstance.ps1%'", "ProcessId")
	return []guest.Asker{services, script}, func(f *Facts) []Finding {
		switch {
		case f.Agent.Agent == nil:
			return nil
		case f.Agent.ID() == "ec2launch-v1" && len(script.Or(guest.Objects{}).Objects) > 0:
			return busy("EC2Launch v1 is still setting the instance up (InitializeInstance.ps1 runs), and would disable the task that has to set up the instances from the image",
				"Wait until its log says that Windows is ready to use.")
		case f.Agent.Service() == "":
			return nil
		}
		answer, err := services.Answer()
		if err != nil {
			return warn("the services cannot be listed: "+err.Error(), "")
		}
		for _, service := range answer.Objects {
			if !strings.EqualFold(service["Name"], f.Agent.Service()) {
				continue
			}
			if strings.EqualFold(service["StartMode"], "Disabled") {
				return stop("the service "+f.Agent.Service()+" is disabled: no instance from this image would be set up",
					`Set its start mode to automatic: sc.exe config "`+f.Agent.Service()+`" start= auto`)
			}
			if f.Agent.ID() == "ec2launch-v2" && !strings.EqualFold(service["State"], "Stopped") {
				why := "its sysprep command would wait for it"
				if !f.sysprep() {
					why = "it notes at its end that it has run, so that the instances from the image would not be set up"
				}
				return busy("the service "+f.Agent.Service()+" is still at work ("+service["State"]+"), and "+why,
					"It runs while user data runs, and while the serial port is taken by the Special Administration Console: let user data end before the build, or turn EMS off.")
			}
			return nil
		}
		return stop("the service "+f.Agent.Service()+" is not there although the agent's program is", "Repair "+f.Agent.Title()+".")
	}
}

func pendingReboot() ([]guest.Asker, judge) {
	servicing := guest.RegistryKey(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing`)
	update := guest.RegistryKey(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update`)
	return []guest.Asker{servicing, update}, func(f *Facts) []Finding {
		var reasons []string
		for _, name := range servicing.Or(guest.Key{}).Keys {
			for _, bad := range []string{"RebootPending", "RebootInProgress", "PackagesPending"} {
				if strings.EqualFold(name, bad) {
					reasons = append(reasons, "servicing says "+bad)
				}
			}
		}
		for _, name := range update.Or(guest.Key{}).Keys {
			if strings.EqualFold(name, "RebootRequired") {
				reasons = append(reasons, "Windows Update says RebootRequired")
			}
		}
		if len(reasons) == 0 {
			return nil
		}
		if !f.sysprep() {
			return warn("a reboot is pending ("+strings.Join(reasons, ", ")+")",
				"Each instance from the image ends it at its first start: a restart before this provisioner is better.")
		}
		return stop("a reboot is pending ("+strings.Join(reasons, ", ")+"), and Sysprep would refuse",
			`Restart the guest before this provisioner, with provisioner "windows-restart".`)
	}
}

func pendingFileOperations() ([]guest.Asker, judge) {
	renames := guest.RegistryValue(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager`, "PendingFileRenameOperations")
	return []guest.Asker{renames}, func(f *Facts) []Finding {
		count := 0
		for _, text := range renames.Or(guest.Value{}).Texts {
			if text != "" {
				count++
			}
		}
		if count == 0 {
			return nil
		}
		goesOn := "Sysprep goes on, but a restart before it is better."
		if !f.sysprep() {
			goesOn = "A restart before this provisioner is better."
		}
		return warn(fmt.Sprintf("%d file operations wait for a restart", count), goesOn)
	}
}

func servicing() ([]guest.Asker, judge) {
	processes := guest.Processes("TiWorker", "wusa", "setuphost", "dism")
	scenario := guest.RegistryValue(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager`, "ActiveScenario")
	return []guest.Asker{processes, scenario}, func(f *Facts) []Finding {
		if value := scenario.Or(guest.Value{}); f.sysprep() && value.Exists && value.Text != "0" && value.Text != "" {
			return stop("servicing uses reserved storage (ActiveScenario is "+value.Text+"), and Sysprep would refuse",
				"Let the updates finish, restart, and build again.")
		}
		if running := processes.Or(guest.RunningProcesses{}).Processes; len(running) > 0 {
			return stop("Windows is being serviced ("+running[0].Name+" is running)",
				"Let the updates finish before this provisioner, and restart.")
		}
		return nil
	}
}

func pendingRename() ([]guest.Asker, judge) {
	const key = `HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\`
	active := guest.RegistryValue(key+"ActiveComputerName", "ComputerName")
	next := guest.RegistryValue(key+"ComputerName", "ComputerName")
	return []guest.Asker{active, next}, func(*Facts) []Finding {
		a, n := active.Or(guest.Value{}), next.Or(guest.Value{})
		if !a.Exists || !n.Exists || strings.EqualFold(a.Text, n.Text) {
			return nil
		}
		return warn("a rename of the computer to "+n.Text+" waits for a restart", "Restart the guest before this provisioner.")
	}
}

func spot() ([]guest.Asker, judge) {
	return nil, func(f *Facts) []Finding {
		if f.Lifecycle != "spot" {
			return nil
		}
		return stop("the instance is a spot instance, which EC2 may end in the middle, and which may not be stopped by itself",
			"Build on an on-demand instance.")
	}
}

func autoScaling() ([]guest.Asker, judge) {
	return nil, func(f *Facts) []Finding {
		if !f.AutoScaling {
			return nil
		}
		return stop("the instance belongs to an Auto Scaling group, which replaces it as soon as it stops",
			"Build on an instance of its own, or detach it from the group.")
	}
}

func domainRole() ([]guest.Asker, judge) {
	system := guest.Query("Win32_ComputerSystem", "", "DomainRole", "Domain")
	return []guest.Asker{system}, func(f *Facts) []Finding {
		for _, object := range system.Or(guest.Objects{}).Objects {
			role, _ := object.Int("DomainRole")
			// 0 and 2 are a computer of no domain's.
			if !f.sysprep() && role != 0 && role != 2 {
				return warn("the guest belongs to the domain "+object["Domain"]+", and without Sysprep every instance from the image would be the same computer in it",
					"Take the guest out of the domain before this provisioner.")
			}
			switch role {
			case 4, 5:
				return stop("the guest is a domain controller, which Sysprep does not support", "Build on a member-less server.")
			case 1, 3:
				return warn("the guest is a member of the domain "+object["Domain"], "Sysprep takes it out of the domain.")
			}
		}
		return nil
	}
}

func diskSpace() ([]guest.Asker, judge) {
	disks := guest.Query("Win32_LogicalDisk", "DriveType=3", "DeviceID", "FreeSpace")
	return []guest.Asker{disks}, func(f *Facts) []Finding {
		for _, disk := range disks.Or(guest.Objects{}).Objects {
			free, ok := disk.Int("FreeSpace")
			if !ok || !strings.EqualFold(disk["DeviceID"], f.Identity.Folders["SystemDrive"]) {
				continue
			}
			switch {
			case free < 500<<20:
				return stop(fmt.Sprintf("the system drive has only %d MB left", free>>20), "Free 2 GB at least.")
			case free < 2<<30:
				return warn(fmt.Sprintf("the system drive has only %d MB left", free>>20), "Sysprep may need more.")
			}
		}
		return nil
	}
}

func rearm() ([]guest.Asker, judge) {
	licensing := guest.Query("SoftwareLicensingService", "", "RemainingWindowsReArmCount")
	return []guest.Asker{licensing}, func(*Facts) []Finding {
		for _, object := range licensing.Or(guest.Objects{}).Objects {
			count, ok := object.Int("RemainingWindowsReArmCount")
			switch {
			case ok && count == 0:
				return stop("no licence rearm is left, and Sysprep would refuse with 0xc004d307",
					"Begin with a base AMI that has rearms left, or set SkipRearm to 1 in the answer file's generalize pass and ignore this rule.")
			case ok && count == 1:
				return warn("this is the last licence rearm", "No image can be made from this image again, unless SkipRearm is 1.")
			}
		}
		return nil
	}
}

func bitLocker() ([]guest.Asker, judge) {
	volumes := guest.Query(`root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`, "", "DriveLetter", "ProtectionStatus")
	return []guest.Asker{volumes}, func(f *Facts) []Finding {
		for _, volume := range volumes.Or(guest.Objects{}).Objects {
			if strings.EqualFold(volume["DriveLetter"], f.Identity.Folders["SystemDrive"]) && volume["ProtectionStatus"] == "1" {
				return stop("BitLocker protects the system drive, and Sysprep would refuse with 0x80310039",
					"Turn it off with manage-bde -off and wait until the volume is decrypted.")
			}
		}
		return nil
	}
}

func autoLogon() ([]guest.Asker, judge) {
	const key = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon`
	logon := guest.RegistryValue(key, "AutoAdminLogon")
	password := guest.RegistryValue(key, "DefaultPassword")
	return []guest.Asker{logon, password}, func(*Facts) []Finding {
		if !password.Or(guest.Value{}).Exists {
			return nil
		}
		if logon.Or(guest.Value{}).Text == "1" {
			return stop("Windows logs on by itself, and the password lies in clear text in the registry (Winlogon!DefaultPassword): it would be in every image",
				"Delete the value before the build.")
		}
		return warn("a password lies in clear text in the registry (Winlogon!DefaultPassword): it will be in the image", "Delete the value before the build.")
	}
}

func upgraded() ([]guest.Asker, judge) {
	upgrade := guest.RegistryValue(`HKLM\SYSTEM\Setup`, "Upgrade")
	return []guest.Asker{upgrade}, func(*Facts) []Finding {
		if upgrade.Or(guest.Value{}).Text != "1" {
			return nil
		}
		return stop("this Windows was upgraded in place, and Sysprep does not run on such a one", "Build from a clean AMI.")
	}
}

// The answer files of EC2Launch v2 and EC2Config name the account in a command;
// EC2Launch v1 looks the name up.
func administrator() ([]guest.Asker, judge) {
	accounts := guest.Query("Win32_UserAccount", "LocalAccount=True", "Name", "SID", "Disabled")
	return []guest.Asker{accounts}, func(f *Facts) []Finding {
		for _, account := range accounts.Or(guest.Objects{}).Objects {
			if !strings.HasSuffix(account["SID"], "-500") {
				continue
			}
			f.Administrator, f.AdministratorSID = account["Name"], account["SID"]
			looksUp := f.Agent.Agent != nil && f.Agent.ID() == "ec2launch-v1"
			if !looksUp && !strings.EqualFold(account["Name"], "Administrator") {
				return warn("the built-in administrator is called "+account["Name"]+", and the agent's answer file has commands for Administrator",
					"Give an answer file of your own, or call the account Administrator again.")
			}
		}
		return nil
	}
}

func sixtyFourBit() ([]guest.Asker, judge) {
	return nil, func(f *Facts) []Finding {
		if f.Identity.OS64 && !f.Identity.Process64 {
			return stop("PowerShell on the guest runs in 32 bits on a 64-bit Windows, where it cannot see the real System32",
				"Let the connection start the 64-bit powershell.exe.")
		}
		return nil
	}
}
