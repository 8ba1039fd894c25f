//go:generate go tool packer-sdc struct-markdown

package sysprep

import "github.com/hashicorp/packer-plugin-sdk/template/config"

// AnswerFileConfig changes single settings of the answer file. A setting that
// is not given is left alone. The names are those of Microsoft's Unattended
// Windows Setup Reference.
type AnswerFileConfig struct {
	// Make the Administrator's profile the default profile of new users. AWS's own files have `true`.
	CopyProfile config.Trilean `mapstructure:"copy_profile"`
	// The time zone, as `tzutil /l` names it, such as `W. Europe Standard Time`.
	// AWS's own files have `UTC`.
	TimeZone *string `mapstructure:"time_zone"`
	// The keyboard, as a language tag such as `de-DE` or as keyboards such as
	// `0407:00000407`, separated by semicolons. EC2Launch v2 writes the locale of
	// `user_locale` into all four settings of this kind when it runs.
	InputLocale *string `mapstructure:"input_locale"`
	// The language for programs that are not Unicode, such as `de-DE`.
	SystemLocale *string `mapstructure:"system_locale"`
	// The language of Windows' own windows, such as `de-DE`. Its language pack must
	// be installed.
	UILanguage *string `mapstructure:"ui_language"`
	// The format of dates, times, numbers and currency, such as `de-DE`. With
	// EC2Launch v2 a locale also sets LocaleName in
	// `HKU\.DEFAULT\Control Panel\International`, from which the agent takes it.
	UserLocale *string `mapstructure:"user_locale"`
	// The organization that `winver` shows.
	RegisteredOrganization *string `mapstructure:"registered_organization"`
	// The owner that `winver` shows.
	RegisteredOwner *string `mapstructure:"registered_owner"`
	// Keep the installed drivers, so that instances of the same type need not install
	// them again. AWS's own files have `true`.
	PersistAllDeviceInstalls config.Trilean `mapstructure:"persist_all_device_installs"`
	// Keep what Plug and Play knows of devices that are not there. AWS's own files
	// have `true`.
	DoNotCleanUpNonPresentDevices config.Trilean `mapstructure:"do_not_clean_up_non_present_devices"`
	// Skip the page with the licence terms, for which somebody would have to click.
	// AWS's own files have `true`.
	HideEULAPage config.Trilean `mapstructure:"hide_eula_page"`
	// Skip the page for wireless networks. AWS's own files have `true`.
	HideWirelessSetupInOOBE config.Trilean `mapstructure:"hide_wireless_setup_in_oobe"`
	// How Windows protects itself: `1` for the recommended protection, `2` for updates
	// only, `3` for none. AWS's own files have `3`.
	ProtectYourPC *int `mapstructure:"protect_your_pc"`
	// The network's kind: `Home`, `Work` or `Other`.
	NetworkLocation *string `mapstructure:"network_location"`
	// Show the Bluetooth icon in the taskbar. AWS's own files have `false`.
	BluetoothTaskbarIconEnabled config.Trilean `mapstructure:"bluetooth_taskbar_icon_enabled"`
	// The computer's name, at most 15 characters. `*` lets Windows make one up for
	// each instance, as AWS's own files have it; any other name is that of every
	// instance until its agent sets another.
	ComputerName *string `mapstructure:"computer_name"`
	// The product key, five groups of five characters. It is a secret: it is never
	// shown, and a file that holds it goes over the provisioner's own connection only.
	ProductKey *string `mapstructure:"product_key"`
	// The password that the built-in Administrator has at the end of Windows Setup.
	// The launch agent may replace it at the first start: as shipped it makes up a
	// random one. It is a secret: it is never shown, and a file that holds it goes over
	// the provisioner's own connection only. Windows keeps it in the answer file
	// encoded, which whoever can read the file can undo.
	AdministratorPassword *string `mapstructure:"administrator_password"`
	// A command that is added to those of the specialize pass. The block may be
	// repeated.
	RunSynchronous []RunSynchronousConfig `mapstructure:"run_synchronous"`
}

// RunSynchronousConfig is a command that each instance from the image runs in
// the specialize pass, as SYSTEM, before anybody can log on.
type RunSynchronousConfig struct {
	// When it runs, a number from 1 to 500 that no other command has. Default: after
	// all others.
	Order int `mapstructure:"order"`
	// What it is for.
	Description string `mapstructure:"description"`
	// The command line, at most 259 characters. It is not given to cmd.exe: write
	// `cmd.exe /c ...` for redirections, variables and the like.
	Path string `mapstructure:"path" required:"true"`
	// Whether Windows restarts after it: `Always`, `Never`, or `OnRequest`, which goes
	// by its exit code. Default: by its exit code, where 1 restarts and goes on, and 2
	// restarts and runs it again.
	WillReboot string `mapstructure:"will_reboot"`
}
