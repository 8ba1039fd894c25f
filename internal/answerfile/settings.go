package answerfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The components that the settings live in.
const (
	shellSetup    = "Microsoft-Windows-Shell-Setup"
	deployment    = "Microsoft-Windows-Deployment"
	pnpSysprep    = "Microsoft-Windows-PnpSysprep"
	international = "Microsoft-Windows-International-Core"
	localSession  = "Microsoft-Windows-TerminalServices-LocalSessionManager"
)

// Settings are the changes that a user asks for. A nil field leaves the file
// alone. The comments name the element and its place, by Microsoft's
// Unattended Windows Setup Reference.
type Settings struct {
	// CopyProfile: the Administrator's profile becomes the default profile of new users (specialize).
	CopyProfile *bool
	// TimeZone is the name that tzutil /l shows, for instance "UTC" (oobeSystem or specialize).
	TimeZone *string
	// InputLocale, SystemLocale, UILanguage and UserLocale are language tags such as "en-US" (oobeSystem).
	InputLocale, SystemLocale, UILanguage, UserLocale *string
	// RegisteredOrganization and RegisteredOwner are shown by winver (oobeSystem or specialize).
	RegisteredOrganization, RegisteredOwner *string
	// PersistAllDeviceInstalls keeps the installed drivers; AWS's files have true (generalize).
	PersistAllDeviceInstalls *bool
	// DoNotCleanUpNonPresentDevices keeps what Plug and Play knows of absent devices; AWS's files have true (generalize).
	DoNotCleanUpNonPresentDevices *bool
	// HideEULAPage and HideWirelessSetupInOOBE skip these pages (oobeSystem).
	HideEULAPage, HideWirelessSetupInOOBE *bool
	// ProtectYourPC is 1 for the recommended protection, 2 for updates only, 3 for none; AWS's files have 3 (oobeSystem).
	ProtectYourPC *int
	// NetworkLocation is Home, Work or Other (oobeSystem).
	NetworkLocation *string
	// BluetoothTaskbarIconEnabled shows the icon; AWS's files have false (oobeSystem).
	BluetoothTaskbarIconEnabled *bool
	// ComputerName is at most 15 characters, or "*" for a random one (specialize).
	ComputerName *string
	// ProductKey has five groups of five characters (specialize). It is a secret.
	ProductKey *string
	// AdministratorPassword is the built-in Administrator's password in clear
	// text; it is written encoded, which hides it from a glance and from nobody
	// else (oobeSystem). It is a secret.
	AdministratorPassword *string
	// PlainTextPassword writes AdministratorPassword as it is, with PlainText=true,
	// as EC2Config does, which removes it again when its service starts.
	PlainTextPassword bool
	// RunSynchronous are commands to add to specialize.
	RunSynchronous []Command
}

// place is where a setting lives.
type place struct {
	pass, component string
	path            []string
}

// setting is a row of the table of settings.
type setting struct {
	// option is the name in the plugin's configuration.
	option string
	// places are where it may stand: it is changed wherever the file has it,
	// and added to the first one when the file has it nowhere. The first one
	// decides.
	places []place
	// get reads the wanted value, as it is written into the file.
	get   func(*Settings) (string, bool)
	check func(string) error
	// secret values never appear in an error or a difference.
	secret bool
}

// settings is every setting that is a single value, in the order in which they
// are applied and so inserted.
var settings = []setting{
	{option: "persist_all_device_installs", places: at("generalize", pnpSysprep, "PersistAllDeviceInstalls"), get: boolean(func(s *Settings) *bool { return s.PersistAllDeviceInstalls }), check: checkBool},
	{option: "do_not_clean_up_non_present_devices", places: at("generalize", pnpSysprep, "DoNotCleanUpNonPresentDevices"), get: boolean(func(s *Settings) *bool { return s.DoNotCleanUpNonPresentDevices }), check: checkBool},
	{option: "computer_name", places: at("specialize", shellSetup, "ComputerName"), get: word(func(s *Settings) *string { return s.ComputerName }), check: checkComputerName},
	{option: "copy_profile", places: at("specialize", shellSetup, "CopyProfile"), get: boolean(func(s *Settings) *bool { return s.CopyProfile }), check: checkBool},
	{option: "product_key", places: at("specialize", shellSetup, "ProductKey"), get: word(func(s *Settings) *string { return s.ProductKey }), check: checkProductKey, secret: true},
	{option: "input_locale", places: at("oobeSystem", international, "InputLocale"), get: word(func(s *Settings) *string { return s.InputLocale }), check: checkInputLocale},
	{option: "system_locale", places: at("oobeSystem", international, "SystemLocale"), get: word(func(s *Settings) *string { return s.SystemLocale }), check: checkLocale},
	{option: "ui_language", places: at("oobeSystem", international, "UILanguage"), get: word(func(s *Settings) *string { return s.UILanguage }), check: checkLocale},
	{option: "user_locale", places: at("oobeSystem", international, "UserLocale"), get: word(func(s *Settings) *string { return s.UserLocale }), check: checkLocale},
	{option: "hide_eula_page", places: at("oobeSystem", shellSetup, "OOBE", "HideEULAPage"), get: boolean(func(s *Settings) *bool { return s.HideEULAPage }), check: checkBool},
	{option: "hide_wireless_setup_in_oobe", places: at("oobeSystem", shellSetup, "OOBE", "HideWirelessSetupInOOBE"), get: boolean(func(s *Settings) *bool { return s.HideWirelessSetupInOOBE }), check: checkBool},
	{option: "network_location", places: at("oobeSystem", shellSetup, "OOBE", "NetworkLocation"), get: word(func(s *Settings) *string { return s.NetworkLocation }), check: oneOf("Home", "Work", "Other")},
	{option: "protect_your_pc", places: at("oobeSystem", shellSetup, "OOBE", "ProtectYourPC"), get: number(func(s *Settings) *int { return s.ProtectYourPC }), check: oneOf("1", "2", "3")},
	{option: "bluetooth_taskbar_icon_enabled", places: at("oobeSystem", shellSetup, "BluetoothTaskbarIconEnabled"), get: boolean(func(s *Settings) *bool { return s.BluetoothTaskbarIconEnabled }), check: checkBool},
	{option: "time_zone", places: both("TimeZone"), get: word(func(s *Settings) *string { return s.TimeZone }), check: checkText(256)},
	{option: "registered_organization", places: both("RegisteredOrganization"), get: word(func(s *Settings) *string { return s.RegisteredOrganization }), check: checkText(256)},
	{option: "registered_owner", places: both("RegisteredOwner"), get: word(func(s *Settings) *string { return s.RegisteredOwner }), check: checkText(256)},
}

func at(pass, component string, path ...string) []place {
	return []place{{pass: pass, component: component, path: path}}
}

// both is a setting of Shell-Setup that may stand in oobeSystem, which runs
// last, and in specialize.
func both(local string) []place {
	return append(at("oobeSystem", shellSetup, local), at("specialize", shellSetup, local)...)
}

func boolean(field func(*Settings) *bool) func(*Settings) (string, bool) {
	return func(s *Settings) (string, bool) {
		if p := field(s); p != nil {
			return strconv.FormatBool(*p), true
		}
		return "", false
	}
}

func number(field func(*Settings) *int) func(*Settings) (string, bool) {
	return func(s *Settings) (string, bool) {
		if p := field(s); p != nil {
			return strconv.Itoa(*p), true
		}
		return "", false
	}
}

func word(field func(*Settings) *string) func(*Settings) (string, bool) {
	return func(s *Settings) (string, bool) {
		if p := field(s); p != nil {
			return *p, true
		}
		return "", false
	}
}

// Value reads a setting by the name of its option, for instance
// "copy_profile"; where it lives in two passes, the one that decides.
func (f *File) Value(option string) (string, bool) {
	for _, s := range settings {
		if s.option == option {
			for _, p := range s.places {
				if v, ok := f.Lookup(p.pass, p.component, p.path...); ok {
					return v, true
				}
			}
		}
	}
	return "", false
}

// Options are the names that Value knows.
func Options() []string {
	out := make([]string, 0, len(settings))
	for _, s := range settings {
		out = append(out, s.option)
	}
	return out
}

// Validate checks the values alone, without a file. Every error names its
// option, and none holds a secret.
func (s Settings) Validate() []error {
	var errs []error
	for _, row := range settings {
		v, ok := row.get(&s)
		if !ok {
			continue
		}
		if err := row.check(v); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", row.option, err))
		}
	}
	if p := s.AdministratorPassword; p != nil {
		if err := checkPasswordText(*p); err != nil {
			errs = append(errs, fmt.Errorf("administrator_password: %w", err))
		}
	}
	for i, c := range s.RunSynchronous {
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("run_synchronous %d: %w", i+1, err))
		}
	}
	return errs
}

var (
	languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)
	keyboard    = regexp.MustCompile(`^[0-9A-Fa-f]{4}:([0-9A-Fa-f]{8}|\{[0-9A-Fa-f-]{36}\}\{[0-9A-Fa-f-]{36}\})$`)
	productKey  = regexp.MustCompile(`^([A-Za-z0-9]{5}-){4}[A-Za-z0-9]{5}$`)
)

func checkBool(v string) error {
	if isTrue(v) || isFalse(v) {
		return nil
	}
	return fmt.Errorf("%q is neither true nor false", v)
}

func oneOf(allowed ...string) func(string) error {
	return func(v string) error {
		for _, a := range allowed {
			if v == a {
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", v, strings.Join(allowed, ", "))
	}
}

func checkLocale(v string) error {
	if languageTag.MatchString(v) {
		return nil
	}
	return fmt.Errorf("%q is no language tag such as en-US", v)
}

// checkInputLocale accepts a tag or a list of keyboards such as 0409:00000409.
func checkInputLocale(v string) error {
	for one := range strings.SplitSeq(v, ";") {
		one = strings.TrimSpace(one)
		if !languageTag.MatchString(one) && !keyboard.MatchString(one) {
			return fmt.Errorf("%q is neither a language tag such as en-US nor a keyboard such as 0409:00000409", one)
		}
	}
	return nil
}

// checkComputerName keeps Microsoft's rules for NetBIOS names.
func checkComputerName(v string) error {
	switch {
	case v == "*":
		return nil
	case v == "" || units(v) > 15:
		return fmt.Errorf("%q must have 1 to 15 characters, or be \"*\" for a random name", v)
	case strings.ContainsAny(v, "{|}~[\\]^':;<=>?@!\"#$%`()+/.,*& \t"):
		return fmt.Errorf("%q holds a character that a computer name must not have", v)
	case strings.Trim(v, "0123456789") == "":
		return fmt.Errorf("%q must not be digits only", v)
	}
	return nil
}

func checkProductKey(v string) error {
	if productKey.MatchString(v) {
		return nil
	}
	return fmt.Errorf("the value does not have the form XXXXX-XXXXX-XXXXX-XXXXX-XXXXX")
}

func checkText(limit int) func(string) error {
	return func(v string) error {
		if strings.TrimSpace(v) != v || v == "" {
			return fmt.Errorf("%q must not be empty or have white space around it", v)
		}
		if units(v) > limit {
			return fmt.Errorf("the value has %d characters, and %d are allowed", units(v), limit)
		}
		return checkCharacters(v)
	}
}

// checkCharacters refuses what XML cannot hold and what breaks a line.
func checkCharacters(v string) error {
	for _, r := range v {
		if r < 0x20 || r == 0xfffe || r == 0xffff || r == 0xfffd {
			return fmt.Errorf("the value holds the character %U, which an answer file cannot keep", r)
		}
	}
	return nil
}
