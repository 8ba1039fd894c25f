package guest

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// Identity is who and where the guest's process is: the answer of Hello.
type Identity struct {
	Protocol   int    `json:"protocol"`
	PowerShell string `json:"powershell"`
	// Edition is "Desktop" for Windows PowerShell, "Core" for PowerShell 7.
	Edition string `json:"edition"`
	// Language is the language mode: "FullLanguage" or a restricted one.
	Language string `json:"language"`
	// Windows is false where PowerShell 7 runs on another system.
	Windows   bool `json:"windows"`
	OS64      bool `json:"os64"`
	Process64 bool `json:"process64"`
	// Architecture is PROCESSOR_ARCHITECTURE: AMD64, ARM64 or x86.
	Architecture string `json:"architecture"`
	Computer     string `json:"computer"`
	User         string `json:"user"`
	SID          string `json:"sid"`
	// Administrator says that the token has the Administrators group enabled.
	Administrator bool   `json:"administrator"`
	Culture       string `json:"culture"`
	// Time is the guest's clock; Boot when it last booted, which is also the
	// boot's id. Both UTC, RFC 3339. Boot is empty when CIM did not answer.
	Time string `json:"time"`
	Boot string `json:"boot"`
	// Folders are %ProgramData%, %ProgramFiles%, %windir%, %SystemDrive% and
	// %TEMP% of the guest, by those names.
	Folders map[string]string `json:"folders"`
}

// Hello asks who and where the guest's process is.
func Hello() *Call[Identity] { return newCall[Identity]("hello", struct{}{}) }

// QueryArgs are the arguments of Query.
type QueryArgs struct {
	Namespace string `json:"namespace"`
	Class     string `json:"class"`
	// Filter is a WQL condition; empty means every instance.
	Filter     string   `json:"filter,omitempty"`
	Properties []string `json:"properties"`
	// Seconds is the time that the guest's CIM service is given.
	Seconds int `json:"seconds"`
}

// Object is a CIM instance: its properties as text (numbers in decimal, times
// in RFC 3339, "True" and "False"), null as a missing key. Lists are joined by
// line ends.
type Object map[string]string

// Int returns a numeric property, ok false when it is missing or not a number.
func (o Object) Int(name string) (value int64, ok bool) {
	value, err := strconv.ParseInt(o[name], 10, 64)
	return value, err == nil
}

// True reports whether a boolean property is true.
func (o Object) True(name string) bool { return equalFold(o[name], "true") }

// Objects is the answer of Query.
type Objects struct {
	Objects []Object `json:"objects"`
}

// Query asks CIM for the named properties of the instances of a class in
// root\cimv2, or in the namespace that precedes the class and a colon. A class
// that this Windows lacks is a CallError of KindMissing.
func Query(class, filter string, properties ...string) *Call[Objects] {
	namespace := `root\cimv2`
	if before, after, found := strings.Cut(class, ":"); found {
		namespace, class = before, after
	}
	return newCall[Objects]("cim", QueryArgs{Namespace: namespace, Class: class, Filter: filter, Properties: properties, Seconds: 30})
}

// Services asks for services by name: Name, State, StartMode, ProcessId.
func Services(names ...string) *Call[Objects] {
	conditions := make([]string, 0, len(names))
	for _, name := range names {
		conditions = append(conditions, "Name='"+strings.ReplaceAll(name, "'", `\'`)+"'")
	}
	return Query("Win32_Service", strings.Join(conditions, " OR "), "Name", "State", "StartMode", "ProcessId")
}

// ProcessArgs are the arguments of Processes.
type ProcessArgs struct {
	Names []string `json:"names"`
}

// Running is a process.
type Running struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
}

// RunningProcesses is the answer of Processes.
type RunningProcesses struct {
	Processes []Running `json:"processes"`
}

// Processes asks for running processes by name, without ".exe".
func Processes(names ...string) *Call[RunningProcesses] {
	return newCall[RunningProcesses]("processes", ProcessArgs{Names: names})
}

// RunArgs are the arguments of Run.
type RunArgs struct {
	// File is the program, Arguments its command line as Windows takes it.
	File      string `json:"file"`
	Arguments string `json:"arguments"`
	// Input goes to the program's stdin: the way for secrets.
	Input []byte `json:"input,omitempty"`
	// Milliseconds bound the run; the program is ended then.
	Milliseconds int64 `json:"milliseconds"`
}

// Ran is the answer of Run. Outputs are bytes as the program wrote them, at
// most 64 KiB of each, from the end.
type Ran struct {
	Code     int    `json:"code"`
	TimedOut bool   `json:"timed_out,omitempty"`
	Stdout   []byte `json:"stdout,omitempty"`
	Stderr   []byte `json:"stderr,omitempty"`
}

// Run runs a program inside the session and waits for its end, for at most
// limit. It is not repeated after a lost connection.
func Run(limit time.Duration, file, arguments string) *Call[Ran] {
	call := Look(limit, file, arguments)
	call.once = true
	return call
}

// Look is Run for a program that only tells something, so that it may be
// repeated after a lost connection.
func Look(limit time.Duration, file, arguments string) *Call[Ran] {
	call := newCall[Ran]("run", RunArgs{File: file, Arguments: arguments, Milliseconds: limit.Milliseconds()})
	call.size = 2*base64.StdEncoding.EncodedLen(64<<10) + 256
	return call
}

// Ways to start a program outside the session.
const (
	// ViaTask: a scheduled task with S4U logon of the connecting user.
	ViaTask = "task"
	// ViaCIM: Win32_Process.Create with the breakaway flag.
	ViaCIM = "cim"
)

// StartArgs are the arguments of Start.
type StartArgs struct {
	// Via is ViaTask or ViaCIM.
	Via string `json:"via"`
	// Name is the task's name.
	Name      string `json:"name"`
	File      string `json:"file"`
	Arguments string `json:"arguments"`
	Folder    string `json:"folder"`
}

// Started is the answer of Start. PID is 0 when the guest does not know it.
type Started struct {
	PID int `json:"pid,omitempty"`
}

// Start starts a program outside the session, where it survives the end of
// the connection. It is not repeated after a lost connection.
func Start(args StartArgs) *Call[Started] {
	call := newCall[Started]("start", args)
	call.once = true
	return call
}

// DeleteTask deletes a scheduled task. Its answer's Code is not 0 when there
// is no such task.
func DeleteTask(name string) *Call[Ran] {
	return Look(30*time.Second, "schtasks.exe", `/delete /f /tn "`+name+`"`)
}

// MetadataArgs are the arguments of Metadata.
type MetadataArgs struct {
	// Paths below /latest/, such as "meta-data/instance-id".
	Paths        []string `json:"paths"`
	Milliseconds int64    `json:"milliseconds"`
}

// MetadataItem is one path's answer of the instance metadata service.
type MetadataItem struct {
	Path   string `json:"path"`
	Status int    `json:"status"`
	Body   string `json:"body,omitempty"`
}

// MetadataItems is the answer of Metadata. Reachable is false when no token
// could be had, for whatever reason.
type MetadataItems struct {
	Reachable bool           `json:"reachable"`
	Items     []MetadataItem `json:"items,omitempty"`
}

// Body returns the text at path, empty unless the service answered 200.
func (m MetadataItems) Body(path string) string {
	for _, item := range m.Items {
		if item.Path == path && item.Status == 200 {
			return strings.TrimSpace(item.Body)
		}
	}
	return ""
}

// Metadata asks the instance metadata service (IMDSv2) from inside the guest.
func Metadata(limit time.Duration, paths ...string) *Call[MetadataItems] {
	return newCall[MetadataItems]("metadata", MetadataArgs{Paths: paths, Milliseconds: limit.Milliseconds()})
}

// InstalledArgs are the arguments of Installed.
type InstalledArgs struct {
	AppX     bool `json:"appx,omitempty"`
	Features bool `json:"features,omitempty"`
}

// Package is an AppX package that is installed for some user.
type Package struct {
	Name      string `json:"name"`
	FullName  string `json:"full_name"`
	Framework bool   `json:"framework,omitempty"`
	// Signature is the signature kind; "System" packages are part of Windows.
	Signature    string `json:"signature,omitempty"`
	NonRemovable bool   `json:"non_removable,omitempty"`
	Installed    bool   `json:"installed,omitempty"`
}

// Packages is the answer of Installed. The Known fields are false when this
// Windows has no such cmdlets.
type Packages struct {
	AppXKnown     bool      `json:"appx_known"`
	AppX          []Package `json:"appx,omitempty"`
	Provisioned   []string  `json:"provisioned,omitempty"`
	FeaturesKnown bool      `json:"features_known"`
	Features      []string  `json:"features,omitempty"`
}

// Installed asks for AppX packages or for installed roles and features. Both
// take seconds on a real Windows.
func Installed(appx, features bool) *Call[Packages] {
	return newCall[Packages]("installed", InstalledArgs{AppX: appx, Features: features})
}

// Listener is a WinRM listener.
type Listener struct {
	Transport  string `json:"transport"`
	Port       string `json:"port"`
	Address    string `json:"address"`
	Enabled    bool   `json:"enabled"`
	Thumbprint string `json:"thumbprint,omitempty"`
}

// Certificate is a certificate in LocalMachine\My.
type Certificate struct {
	Thumbprint string `json:"thumbprint"`
	Subject    string `json:"subject"`
	NotAfter   string `json:"not_after"`
	PrivateKey bool   `json:"private_key"`
}

// Exposure is how the guest can be reached by WinRM, and which certificates
// it carries: the answer of WinRM.
type Exposure struct {
	Known        bool          `json:"known"`
	Listeners    []Listener    `json:"listeners,omitempty"`
	Basic        bool          `json:"basic"`
	Unencrypted  bool          `json:"unencrypted"`
	Certificates []Certificate `json:"certificates,omitempty"`
}

// WinRM asks for WinRM's listeners and settings and the machine's certificates.
func WinRM() *Call[Exposure] { return newCall[Exposure]("winrm", struct{}{}) }
