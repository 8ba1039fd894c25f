package windows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// Machine describes a Windows guest: what it is, what lies on it, and how it
// behaves. It is a value: take one of the ready ones ([Server2022]), change the
// field in which the wanted Windows differs, and give it to [New].
//
// In JSON a description says only how it differs, see [Machine.Overlay].
type Machine struct {
	// Computer is the computer's name.
	Computer string `json:"computer"`
	// Architecture is PROCESSOR_ARCHITECTURE.
	Architecture string `json:"architecture"`
	// PowerShell is the version of Windows PowerShell, such as "5.1.20348.2849".
	PowerShell string `json:"powershell"`
	// Language is PowerShell's language mode. Anything but FullLanguage makes
	// the bootstrap refuse.
	Language string `json:"language"`
	// Culture is the culture of the accounts.
	Culture string `json:"culture"`
	// ClockOffset is how far the guest's clock is ahead of the lab's.
	ClockOffset Duration `json:"clock_offset"`

	// Accounts are the local accounts by name.
	Accounts map[string]Account `json:"accounts"`
	// Files are files and folders by path. The folders above a file come
	// by themselves.
	Files map[string]File `json:"files"`
	// Registry holds values by key and name, `HKLM\SYSTEM\Setup!SetupType`.
	// An entry without "!" is a key that exists with or without values.
	Registry map[string]guest.Value `json:"registry"`
	// DeniedKeys are registry keys that nobody may open.
	DeniedKeys []string `json:"denied_keys"`
	// Services are the services by name.
	Services map[string]Service `json:"services"`
	// Tasks are the scheduled tasks by name.
	Tasks map[string]Task `json:"tasks"`
	// Processes are programs that run from boot on, by name without ".exe".
	Processes []string `json:"processes"`
	// CIM holds the instances of CIM classes, by class, with the namespace
	// and a colon before it unless it is root\cimv2. The classes that follow
	// from the rest of the description (Win32_Service, Win32_Process,
	// Win32_UserAccount, Win32_OperatingSystem's LastBootUpTime …) are made
	// by themselves. A class that is neither here nor made is missing.
	CIM map[string][]guest.Object `json:"cim"`
	// AppX are the AppX packages of all users, Provisioned the names of the
	// provisioned ones. A package that is installed for a user and not
	// provisioned makes Sysprep refuse. NoAppX says that this Windows has no
	// AppX cmdlets.
	AppX        []guest.Package `json:"appx"`
	Provisioned []string        `json:"provisioned"`
	NoAppX      bool            `json:"no_appx"`
	// Features are the installed roles and features; nil means that this
	// Windows has no ServerManager module.
	Features []string `json:"features"`
	// WinRM is how WinRM is set up.
	WinRM guest.Exposure `json:"winrm"`
	// Metadata holds the answers of the instance metadata service by path
	// below /latest/. MetadataOff takes the service away.
	Metadata    map[string]string `json:"metadata"`
	MetadataOff bool              `json:"metadata_off"`

	// Agent says how the launch agents that lie on the guest behave.
	Agent AgentBehaviour `json:"agent"`
	// Sysprep says how Sysprep behaves.
	Sysprep SysprepBehaviour `json:"sysprep"`
	// Start says what becomes of attempts to start a program outside the session.
	Start StartBehaviour `json:"start"`
	// Network says what becomes of WinRM while Sysprep works.
	Network NetworkBehaviour `json:"network"`
	// Power says how the machine shuts down and boots.
	Power PowerBehaviour `json:"power"`
	// SerialTaken says that something holds COM1 (SAC, the agent's service).
	SerialTaken bool `json:"serial_taken"`
	// SlowWhileGeneralizing is how long a request with registry or CIM calls takes
	// while generalize works, on top of what it takes otherwise.
	SlowWhileGeneralizing Duration `json:"slow_while_generalizing"`
}

// Account is a local account.
type Account struct {
	// SID is the security identifier.
	SID string `json:"sid"`
	// Password is empty where the account cannot log on over the network.
	Password string `json:"password"`
	// Administrator says that the account is one and that its token over the
	// network is not filtered.
	Administrator bool `json:"administrator"`
	Disabled      bool `json:"disabled"`
}

// File is a file or folder of the description. The zero value is an empty file.
type File struct {
	// Text is the content; Data, when not nil, is taken instead.
	Text string `json:"text,omitempty"`
	Data []byte `json:"data,omitempty"`
	// Version is the file version of a program or library.
	Version string `json:"version,omitempty"`
	// Folder says that it is a folder.
	Folder bool `json:"folder,omitempty"`
	// Absent takes away what the description had.
	Absent bool `json:"absent,omitempty"`
	// Age is how long before the first boot the file was written.
	Age Duration `json:"age,omitempty"`
}

// Service is a service. State and StartMode are in CIM's words: "Running",
// "Stopped"; "Auto", "Manual", "Disabled".
type Service struct {
	State     string `json:"state"`
	StartMode string `json:"start_mode"`
	// Process is the name of its process, empty for svchost.
	Process string `json:"process,omitempty"`
	// Absent takes away what the description had.
	Absent bool `json:"absent,omitempty"`
	// StopsAfter is how long after boot a running service ends by itself, 0 never.
	StopsAfter Duration `json:"stops_after,omitempty"`
}

// StartBehaviour says what becomes of programs that are started outside the session.
type StartBehaviour struct {
	// TaskDenied refuses to register a scheduled task.
	TaskDenied bool `json:"task_denied"`
	// TaskNeverRuns registers a task that then does not run, as where the
	// account lacks the right to log on as a batch job.
	TaskNeverRuns bool `json:"task_never_runs"`
	// CIMRefused makes Win32_Process.Create fail.
	CIMRefused bool `json:"cim_refused"`
	// CIMNeverRuns makes Win32_Process.Create say yes and start nothing.
	CIMNeverRuns bool `json:"cim_never_runs"`
	// Delay is how long a started program takes to begin.
	Delay Duration `json:"delay"`
}

// NetworkBehaviour says what becomes of WinRM while Sysprep works. Times count
// from the start of sysprep.exe; 0 means that the thing does not happen.
type NetworkBehaviour struct {
	// CutAfter is when the network goes away, CutFor for how long (0: for good).
	CutAfter Duration `json:"cut_after"`
	CutFor   Duration `json:"cut_for"`
	// CutOnStart takes the network away at the moment at which a program is
	// started outside the session, for CutFor.
	CutOnStart bool `json:"cut_on_start"`
	// ServiceRestartAfter is when the WinRM service restarts and drops its shells.
	ServiceRestartAfter Duration `json:"service_restart_after"`
	// UnauthorizedAfter is how long after generalize WinRM goes on taking the
	// password. Windows answers 401 from some moment on (hashicorp/packer
	// issues 9189, 10129, 12320): what was running then had still ended
	// orderly, so the moment is a while after the end of sysprep.exe.
	UnauthorizedAfter Duration `json:"unauthorized_after"`
	// UnauthorizedInGeneralize has WinRM answer 401 before generalize has
	// ended, so that nobody sees its end.
	UnauthorizedInGeneralize bool `json:"unauthorized_in_generalize"`
	// KeepPassword leaves the password valid.
	KeepPassword bool `json:"keep_password"`
}

// PowerBehaviour says how the machine shuts down and boots.
type PowerBehaviour struct {
	// ShutdownTakes is how long a shutdown takes.
	ShutdownTakes Duration `json:"shutdown_takes"`
	// ShutdownDenied makes shutdown.exe fail with code 5.
	ShutdownDenied bool `json:"shutdown_denied"`
	// NeverOff makes a shutdown hang for ever once it has ended the processes.
	NeverOff bool `json:"never_off"`
	// BootTakes is how long it takes from power on until WinRM answers.
	BootTakes Duration `json:"boot_takes"`
	// SetupTakes is how long specialize and OOBE take when a sealed guest boots.
	SetupTakes Duration `json:"setup_takes"`
	// RebootAfter is when the machine reboots by itself, counted from the
	// start of sysprep.exe; 0 means never.
	RebootAfter Duration `json:"reboot_after"`
}

// Duration is a time.Duration that is written "90s" in JSON.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// Seconds returns n seconds as a Duration.
func Seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }

// Overlay changes the description by a JSON text that says only how the wanted
// Windows differs. Objects are merged entry by entry, lists are replaced, and a
// field that does not exist is an error.
func (m *Machine) Overlay(text []byte) error {
	// Entries of maps are replaced by the decoder as a whole, which is what a
	// reader expects of a file, a service or an account.
	registry := m.Registry
	m.Registry = nil
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		m.Registry = registry
		return fmt.Errorf("reading the description of a machine: %w", err)
	}
	changes := m.Registry
	m.Registry = registry
	for name, value := range changes {
		m.SetRegistry(name, value)
	}
	return nil
}

// LoadMachine reads a description from a JSON file. The file says how the
// machine differs from the one of [Catalogue] that its entry "base" names,
// "server-2022" when there is none.
func LoadMachine(path string) (Machine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Machine{}, fmt.Errorf("reading the description of a machine: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return Machine{}, fmt.Errorf("reading the description of a machine in %s: %w", path, err)
	}
	base := "server-2022"
	if named, ok := fields["base"]; ok {
		if err := json.Unmarshal(named, &base); err != nil {
			return Machine{}, fmt.Errorf("reading the description of a machine in %s: base: %w", path, err)
		}
		delete(fields, "base")
		if text, err = json.Marshal(fields); err != nil {
			return Machine{}, fmt.Errorf("reading the description of a machine in %s: %w", path, err)
		}
	}
	m, ok := Ready(base)
	if !ok {
		return Machine{}, fmt.Errorf("reading the description of a machine in %s: there is no machine %q to differ from", path, base)
	}
	if err := m.Overlay(text); err != nil {
		return Machine{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// SetPassword gives the built-in administrator a password.
func (m *Machine) SetPassword(password string) {
	for name, account := range m.Accounts {
		if strings.HasSuffix(account.SID, "-500") {
			account.Password = password
			m.Accounts[name] = account
		}
	}
}

// Clone returns a description that shares nothing with m that could be changed
// through a map.
func (m Machine) Clone() Machine {
	m.Accounts = maps.Clone(m.Accounts)
	m.Files = maps.Clone(m.Files)
	m.Registry = maps.Clone(m.Registry)
	m.Services = maps.Clone(m.Services)
	m.Tasks = maps.Clone(m.Tasks)
	m.Metadata = maps.Clone(m.Metadata)
	cim := make(map[string][]guest.Object, len(m.CIM))
	for class, objects := range m.CIM {
		for _, object := range objects {
			cim[class] = append(cim[class], maps.Clone(object))
		}
		if objects == nil {
			cim[class] = nil
		}
	}
	m.CIM = cim
	m.AppX = slices.Clone(m.AppX)
	m.Features = slices.Clone(m.Features)
	m.Provisioned = slices.Clone(m.Provisioned)
	m.Processes = slices.Clone(m.Processes)
	m.DeniedKeys = slices.Clone(m.DeniedKeys)
	return m
}

// SetFile puts a file into the description, or replaces it.
func (m *Machine) SetFile(path, text string) {
	m.dropFile(path)
	m.Files[path] = File{Text: text}
}

// RemoveFile takes a file, or a folder with all that is in it, out of the description.
func (m *Machine) RemoveFile(path string) { m.dropFile(path) }

func (m *Machine) dropFile(path string) {
	if m.Files == nil {
		m.Files = map[string]File{}
	}
	for existing := range m.Files {
		if fold(existing) == fold(path) || strings.HasPrefix(fold(existing), fold(path)+`\`) {
			delete(m.Files, existing)
		}
	}
}

// SetRegistry puts a value into the description, by key and name as in the
// Registry field. A value that does not exist takes the entry away.
func (m *Machine) SetRegistry(name string, value guest.Value) {
	if m.Registry == nil {
		m.Registry = map[string]guest.Value{}
	}
	for existing := range m.Registry {
		if strings.EqualFold(existing, name) {
			delete(m.Registry, existing)
		}
	}
	value.Exists = value.Kind != ""
	if value.Exists || !strings.Contains(name, "!") {
		m.Registry[name] = value
	}
}

// SetCIM changes one property of every instance of a class.
func (m *Machine) SetCIM(class, property, value string) {
	if m.CIM == nil {
		m.CIM = map[string][]guest.Object{}
	}
	if len(m.CIM[class]) == 0 {
		m.CIM[class] = []guest.Object{{}}
	}
	for _, object := range m.CIM[class] {
		object[property] = value
	}
}
