// Package launchagent knows the launch agents that AWS puts into its Windows
// AMIs, as far as sealing an image is concerned: how to recognise one, where
// it keeps its answer file and scripts, which command makes it run Sysprep,
// what it writes while it does, and where it logs.
//
// An agent is a value behind a small interface, one file each. The package
// leaves the judgement of what was found to preflight and the sealing itself
// to generalize. The facts come from the AWS documents on Sysprep with the
// agents and from the agents' own files.
package launchagent

import (
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// Shutdown says who shuts the guest down once it is sealed.
type Shutdown string

// The ways to shut down.
const (
	// ShutdownSealed: the plugin's sealer, after it has seen the seal.
	ShutdownSealed Shutdown = "sealed"
	// ShutdownAgent: the agent's own command, whatever it has seen.
	ShutdownAgent Shutdown = "agent"
	// ShutdownNone: nobody; the guest stays up for the builder to stop.
	ShutdownNone Shutdown = "none"
)

// Action says what is done to the guest.
type Action string

// The actions. They are the two buttons of the agents' own dialogs.
const (
	// ActionSysprep: the guest is generalized by Sysprep.
	ActionSysprep Action = "sysprep"
	// ActionShutdown: "Shutdown without Sysprep"; the guest is not generalized,
	// and the agent sets up the instances from the image once more.
	ActionShutdown Action = "shutdown"
)

// Schedules is what EC2Launch v1 does on the instances from the image besides
// setting each up once: by a task of the agent's for each, run at every boot.
// The other agents have no such tasks; for them it says nothing. Source: the AWS
// user guide on EC2Launch, and the scripts of version 1.3.2003498.
type Schedules struct {
	// PerBoot sets the instance up at every boot, not at the first one alone.
	PerBoot bool
	// Disks initializes the disks that are attached and have no partition.
	Disks bool
	// EventLogs sends the event logs to the console.
	EventLogs bool
	// Ready sends the message "Windows is Ready" to the console.
	Ready bool
}

// Order is what an agent is told to do. Its zero value is no order.
type Order struct {
	Action    Action
	Shutdown  Shutdown
	Schedules Schedules
}

// Script names a batch script of an agent's.
type Script string

// The scripts.
const (
	// BeforeSysprep runs on the build machine just before sysprep.exe.
	BeforeSysprep Script = "BeforeSysprep.cmd"
	// Specialize runs on each instance from the image in the specialize pass. Its
	// file has another name with each agent that has one.
	Specialize Script = "specialize"
	// PostSysprep runs on each instance at the end of Windows Setup, where
	// SetupComplete.cmd calls it.
	PostSysprep Script = "PostSysprep.cmd"
)

// ConfigFile names a file of an agent's settings.
type ConfigFile string

// The files of settings.
const (
	// MainConfig holds the agent's own settings: agent-config.yml,
	// LaunchConfig.json or Config.xml.
	MainConfig ConfigFile = "main"
	// BundleConfig is EC2Config's BundleConfig.xml, with the settings for Sysprep.
	BundleConfig ConfigFile = "BundleConfig.xml"
	// DriveLetters maps the names of volumes to drive letters.
	DriveLetters ConfigFile = "drive letters"
	// EventLog says which events the agent sends to the console.
	EventLog ConfigFile = "event log"
)

// Agent is a launch agent. Paths hold environment variables of the guest, such
// as %ProgramData%; see Expand.
type Agent interface {
	// ID is the agent's name in options and records: "ec2launch-v2".
	ID() string
	// Title is its name for people: "EC2Launch v2".
	Title() string
	// Program is the file whose presence shows that the agent is installed.
	// A folder is no sign: migrations leave them behind.
	Program() string
	// Manifest is the text file that states the agent's version; empty when
	// the file version of its program does.
	Manifest() string
	// AnswerFile is the answer file that the agent hands to Sysprep.
	AnswerFile() string
	// AnswerFileFault says what the agent would do wrong with an answer file
	// that is fine for Sysprep; empty when nothing.
	AnswerFileFault(data []byte) string
	// Script returns where the agent looks for a batch script, and false when
	// it knows no such script.
	Script(Script) (path string, ok bool)
	// ConfigFile returns where the agent keeps a file of settings, and false when
	// it knows no such file.
	ConfigFile(ConfigFile) (path string, ok bool)
	// Service is the agent's service, which must have ended its work.
	Service() string
	// Shutdowns are the ways to shut down that the agent allows with an action,
	// its default first.
	Shutdowns(Action) []Shutdown
	// Reads are the files that Edits has to know.
	Reads() []string
	// Edits returns what has to be changed in the agent's files so that it
	// shuts down as wanted, from the content of the files of Reads; a file that
	// is not there has none. The edits are undone once the guest is sealed, so
	// that the image has the agent's own files, as well as after a failure. An
	// error says why the agent cannot shut down like that.
	Edits(Order, map[string][]byte) ([]Edit, error)
	// Commands are what makes the agent carry out the order; with ActionSysprep
	// the last of them is the one that runs Sysprep, with ActionShutdown there may
	// be none. Arguments hold variables of the guest as paths do.
	Commands(Order) []guest.Command
	// Writes are the files that the agent changes or deletes while it carries out
	// an action, and that have to be put back after a failure.
	Writes(Action) []string
	// Settings are the registry values that the agent, or the script that it
	// runs, changes on that way.
	Settings(Action) []Setting
	// Tasks are the names of the scheduled tasks that the agent makes, replaces
	// or removes on that way.
	Tasks(Order) []string
	// StartTypes are the services whose start type the agent changes on that way.
	StartTypes() []string
	// Restores are programs to run after a failure, for what is none of those.
	Restores() []Restore
	// Irreversible says, in words, what the agent changes and nobody can put back.
	Irreversible(Action) []string
	// Logs are the agent's logs.
	Logs() []string
}

// Setting is a registry value that an agent changes.
type Setting struct {
	Path, Name string
}

// Restore is a program that undoes something. It runs only when the registry
// value had the given text before.
type Restore struct {
	When      Setting
	Was       string
	Program   string
	Arguments string
}

// Edit is a file of the agent's with other content.
type Edit struct {
	Path string
	Data []byte
}

// plain is what an agent without peculiarities says.
type plain struct{}

func (plain) Manifest() string                               { return "" }
func (plain) AnswerFileFault([]byte) string                  { return "" }
func (plain) Reads() []string                                { return nil }
func (plain) Edits(Order, map[string][]byte) ([]Edit, error) { return nil, nil }
func (plain) Tasks(Order) []string                           { return nil }
func (plain) StartTypes() []string                           { return nil }
func (plain) Restores() []Restore                            { return nil }
func (plain) Irreversible(Action) []string                   { return nil }

// Shutdowns implements Agent: an agent shuts the guest down by itself only at
// the end of Sysprep.
func (plain) Shutdowns(action Action) []Shutdown {
	if action == ActionShutdown {
		return []Shutdown{ShutdownSealed, ShutdownNone}
	}
	return []Shutdown{ShutdownSealed, ShutdownAgent, ShutdownNone}
}

// Allow says whether an agent can shut down as ordered; the error names the
// ways that it has.
func Allow(agent Agent, order Order) error {
	var ways []string
	for _, way := range agent.Shutdowns(order.Action) {
		if way == order.Shutdown {
			return nil
		}
		ways = append(ways, fmt.Sprintf("%q", way))
	}
	with := ""
	if order.Action == ActionShutdown {
		with = fmt.Sprintf(" with action = %q", order.Action)
	}
	return fmt.Errorf("%s has no shutdown = %q%s, only %s", agent.Title(), order.Shutdown, with, strings.Join(ways, ", "))
}

// All returns the agents in the order in which they are looked for: a migrated
// machine has the newer one beside the older.
func All() []Agent { return []Agent{EC2LaunchV2{}, EC2LaunchV1{}, EC2Config{}} }

// ByID returns the agent of that name.
func ByID(id string) (Agent, bool) {
	for _, agent := range All() {
		if agent.ID() == id {
			return agent, true
		}
	}
	return nil, false
}

// IDs returns the agents' names, for messages.
func IDs() []string {
	var ids []string
	for _, agent := range All() {
		ids = append(ids, agent.ID())
	}
	return ids
}

// Expand replaces the environment variables of a guest in a path. folders are
// those of the guest's Identity.
func Expand(path string, folders map[string]string) string {
	for name, value := range folders {
		if value != "" {
			path = strings.ReplaceAll(path, "%"+name+"%", value)
		}
	}
	return path
}

// Found is an agent on a guest.
type Found struct {
	Agent
	// Version is what its manifest states, or the file version of its program;
	// empty when nobody could tell.
	Version string
}

// Search asks a guest which agents it has.
type Search struct {
	programs  map[string]*guest.Call[guest.Stat]
	manifests map[string]*guest.Call[guest.Piece]
}

// maxManifest bounds what is read of a manifest, in bytes.
const maxManifest = 64 << 10

// NewSearch returns the calls that a survey has to ask.
func NewSearch() *Search {
	s := &Search{programs: make(map[string]*guest.Call[guest.Stat]), manifests: make(map[string]*guest.Call[guest.Piece])}
	for _, agent := range All() {
		s.programs[agent.ID()] = guest.FileStat(agent.Program())
		if path := agent.Manifest(); path != "" {
			s.manifests[agent.ID()] = guest.FileRead(path, 0, maxManifest)
		}
	}
	return s
}

// Calls are the search's calls.
func (s *Search) Calls() []guest.Asker {
	var calls []guest.Asker
	for _, agent := range All() {
		calls = append(calls, s.programs[agent.ID()])
		if manifest := s.manifests[agent.ID()]; manifest != nil {
			calls = append(calls, manifest)
		}
	}
	return calls
}

// Found returns the agents that are installed, in order.
func (s *Search) Found() []Found {
	var found []Found
	for _, agent := range All() {
		if stat, err := s.programs[agent.ID()].Answer(); err == nil && stat.Exists && !stat.Folder {
			version := stat.Version
			if manifest := s.manifests[agent.ID()]; manifest != nil {
				version = moduleVersion(manifest.Or(guest.Piece{}).Data)
			}
			found = append(found, Found{Agent: agent, Version: version})
		}
	}
	return found
}

// Choose returns the agent to use: the wanted one, or with "auto" the first
// that is installed.
func Choose(wanted string, found []Found) (Found, error) {
	if len(found) == 0 {
		return Found{}, fmt.Errorf("no launch agent is installed: neither %s", strings.Join(programs(), " nor "))
	}
	if wanted == "" || wanted == "auto" {
		return found[0], nil
	}
	var names []string
	for _, f := range found {
		if f.ID() == wanted {
			return f, nil
		}
		names = append(names, f.Title())
	}
	return Found{}, fmt.Errorf("agent %q is not installed; the guest has %s", wanted, strings.Join(names, " and "))
}

func programs() []string {
	var paths []string
	for _, agent := range All() {
		paths = append(paths, agent.Program())
	}
	return paths
}
