//go:generate go tool packer-sdc struct-markdown

package sysprep

import "github.com/hashicorp/packer-plugin-sdk/template/config"

// AdministratorPasswordConfig says what password the built-in administrator of
// an instance from the image has.
type AdministratorPasswordConfig struct {
	// What becomes of the password:
	//
	// - `random`: the launch agent makes one up at the first boot, and EC2 shows it
	//   encrypted with the instance's key pair (`aws ec2 get-password-data`).
	// - `specify`: every instance gets `value`. It lies readable in the image until an
	//   instance's first boot: in agent-config.yml with EC2Launch v2, in
	//   LaunchConfig.json with EC2Launch v1, and in sysprep2008.xml with EC2Config, whose
	//   `RemoveCredentialsfromSysprepOnStartup` is turned on so that it is removed. Do not
	//   share such an image.
	// - `keep`: every instance has the password of `value`, or else that of the build's
	//   own connection when that is the built-in administrator's. The agent leaves it
	//   alone, the command that scrambles the password in the specialize pass is dropped,
	//   and the password is put into the answer file, because Sysprep takes it away and
	//   AWS says that the account ends disabled without one. With `action = "shutdown"`
	//   the agent leaves the password alone, and nothing else is needed.
	Mode string `mapstructure:"mode" required:"true"`
	// The password for `specify` and `keep`. It is a secret: it is never shown, and
	// goes over the provisioner's own connection only. It has 8 to 127 characters of
	// three kinds at least (capitals, small letters, digits, others), as Windows'
	// default policy asks; with a weaker one EC2Launch would make up another without a
	// word. Default: none.
	Value string `mapstructure:"value"`
}

// AgentConfig changes the settings of the launch agent, by which it sets each
// instance from the image up. The block of the agent that the guest has is
// used; a template for several versions of Windows may have more than one.
type AgentConfig struct {
	// The settings of EC2Launch v2.
	EC2LaunchV2 *EC2LaunchV2Config `mapstructure:"ec2launch_v2"`
	// The settings of EC2Launch v1.
	EC2LaunchV1 *EC2LaunchV1Config `mapstructure:"ec2launch_v1"`
	// The settings of EC2Config.
	EC2Config *EC2ConfigConfig `mapstructure:"ec2config"`
}

// EC2LaunchV2Config changes agent-config.yml, the list of tasks of EC2Launch v2.
type EC2LaunchV2Config struct {
	// A local agent-config.yml, in YAML or JSON, that replaces the one on the guest.
	// `packer validate` checks it against the agent's rules, with line and column.
	// Default: the guest's own is used.
	Path string `mapstructure:"path"`
	// The text of an agent-config.yml, instead of `path`; the template functions of HCL
	// work in it.
	Content string `mapstructure:"content"`
	// Tasks that are taken out: `setWallpaper` in every stage, or `preReady/setWallpaper`
	// in one. A task that is not there is no error. Default: none.
	RemoveTasks []string `mapstructure:"remove_tasks"`
	// A task that is added, or that replaces the task of that name in its stage. The
	// block may be repeated.
	Tasks []TaskConfig `mapstructure:"task"`
}

// TaskConfig is a task of EC2Launch v2.
type TaskConfig struct {
	// The stage: `boot`, `network`, `preReady` or `postReady`. AWS's guide says which
	// task is allowed in which.
	Stage string `mapstructure:"stage" required:"true"`
	// The task, such as `enableJumboFrames`.
	Name string `mapstructure:"name" required:"true"`
	// What the task is given, as YAML or JSON: `jsonencode({ reboot = true })`. The
	// tasks executeScript, executeProgram and writeFile take a list. Default: nothing.
	Inputs string `mapstructure:"inputs"`
}

// EC2LaunchV1Config changes the setting files of EC2Launch v1, and what it
// schedules in the image.
type EC2LaunchV1Config struct {
	// A local LaunchConfig.json that replaces the one on the guest. `packer validate`
	// checks it: the agent falls back to its defaults without a word when it finds any
	// mistake. Default: the guest's own is used.
	Path string `mapstructure:"path"`
	// The text of a LaunchConfig.json, instead of `path`.
	Content string `mapstructure:"content"`
	// Name each instance after its private address, such as `ip-AC1F4E6`, which
	// restarts it once. AWS's own file has `false`.
	SetComputerName config.Trilean `mapstructure:"set_computer_name"`
	// Keep the monitor on. AWS's own file has `true`.
	SetMonitorAlwaysOn config.Trilean `mapstructure:"set_monitor_always_on"`
	// Show the instance's details on the wallpaper. AWS's own file has `true`.
	SetWallpaper config.Trilean `mapstructure:"set_wallpaper"`
	// Add the DNS suffixes of EC2. AWS's own file has `true`.
	AddDNSSuffixList config.Trilean `mapstructure:"add_dns_suffix_list"`
	// Extend the boot volume to the whole disk. AWS's own file has `true`.
	ExtendBootVolumeSize config.Trilean `mapstructure:"extend_boot_volume_size"`
	// Run the user data at the first boot. AWS's own file has `true`.
	HandleUserData config.Trilean `mapstructure:"handle_user_data"`
	// Let the agent run at every boot and not only at the first. From the second boot on
	// it leaves the password alone, and user data too unless it says `persist`.
	// Default: `false`.
	RunOnEveryBoot bool `mapstructure:"run_on_every_boot"`
	// Initialize the disks at every boot (InitializeDisks.ps1 -Schedule); the drive
	// letters need it. Default: `false`.
	InitializeDisks bool `mapstructure:"initialize_disks"`
	// Show events in the console output at every boot (SendEventLogs.ps1 -Schedule).
	// Default: `false`.
	SendEventLogs bool `mapstructure:"send_event_logs"`
	// Say that Windows is ready at every boot (SendWindowsIsReady.ps1 -Schedule) and
	// not only at the first. Default: `false`.
	SendWindowsIsReady bool `mapstructure:"send_windows_is_ready"`
	// A local DriveLetterMappingConfig.json that replaces the one on the guest.
	DriveLetterMappingPath string `mapstructure:"drive_letter_mapping_path"`
	// The letter of a volume. The blocks replace all letters that the file on the guest
	// gives.
	DriveLetters []DriveLetterConfig `mapstructure:"drive_letter"`
	// A local EventLogConfig.json that replaces the one on the guest.
	EventLogPath string `mapstructure:"event_log_path"`
	// Events that the console output shows. The blocks replace all that the file on the
	// guest selects.
	EventLogs []EventLogConfig `mapstructure:"event_log"`
}

// EC2ConfigConfig changes the setting files of EC2Config.
type EC2ConfigConfig struct {
	// A local Config.xml that replaces the one on the guest. `packer validate` checks
	// it. EC2Config itself changes the states of some plug-ins in it when it runs
	// Sysprep. Default: the guest's own is used.
	ConfigPath string `mapstructure:"config_path"`
	// A local BundleConfig.xml that replaces the one on the guest.
	BundleConfigPath string `mapstructure:"bundle_config_path"`
	// A local DriveLetterConfig.xml that replaces the one on the guest.
	DriveLetterConfigPath string `mapstructure:"drive_letter_config_path"`
	// A local EventLogConfig.xml that replaces the one on the guest.
	EventLogConfigPath string `mapstructure:"event_log_config_path"`
	// The states of plug-ins in Config.xml: `{ Ec2SetComputerName = true }` enables one,
	// `false` disables it. Default: they stay as they are.
	Plugins map[string]string `mapstructure:"plugins"`
	// The global settings in Config.xml, `true` or `false` each:
	// `{ SetDnsSuffixList = false }`. Default: they stay as they are.
	GlobalSettings map[string]string `mapstructure:"global_settings"`
	// AutoSysprep in BundleConfig.xml, which nothing in this build needs. AWS's own file
	// has `No`.
	AutoSysprep config.Trilean `mapstructure:"auto_sysprep"`
	// SetRDPCertificate in BundleConfig.xml: give each instance a certificate of its own
	// for remote desktop. Windows Server 2012 and later do so by themselves. AWS's own
	// file has `No`.
	SetRDPCertificate config.Trilean `mapstructure:"set_rdp_certificate"`
	// The letter of a volume. The blocks replace all letters that the file on the guest
	// gives. The plug-in Ec2SetDriveLetter has to be enabled.
	DriveLetters []DriveLetterConfig `mapstructure:"drive_letter"`
	// Events that the console output shows. The blocks replace all that the file on the
	// guest selects. The plug-in Ec2EventLog has to be enabled.
	EventLogs []EventLogConfig `mapstructure:"event_log"`
}

// DriveLetterConfig is the drive letter of a volume.
type DriveLetterConfig struct {
	// The volume's label.
	Volume string `mapstructure:"volume" required:"true"`
	// The letter, from `D` to `Z`, without a colon.
	Letter string `mapstructure:"letter" required:"true"`
}

// EventLogConfig selects events that the instance's console output shows.
type EventLogConfig struct {
	// The event log, such as `System`.
	Log string `mapstructure:"log" required:"true"`
	// The source of the events. Default: every source.
	Source string `mapstructure:"source"`
	// The level: `Error`, `Warning` or `Information`. Default: `Error`.
	Level string `mapstructure:"level"`
	// How many of the newest are shown. Default: `3`.
	Entries int `mapstructure:"entries"`
}
