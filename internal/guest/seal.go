package guest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Names of the files in the working folder. The sealer and its watch agree on
// them; everything else that lies there is the plan's own.
const (
	// PlanFile holds the SealPlan.
	PlanFile = "plan.json"
	// ScriptFile holds the text of seal.ps1.
	ScriptFile = "seal.ps1"
	// ClaimFile is the exclusive file: who creates it decides whether the
	// sealer may act. The sealer creates it before its first change with the
	// word "sealer" in it, whoever wants to call it off creates it before that.
	ClaimFile = "claim"
	// StateFile holds the SealState.
	StateFile = "state.json"
	// SeenFile is created by the watch when it has read the verdict.
	SeenFile = "seen"
	// OutputFile takes what the agent's command prints.
	OutputFile = "agent.txt"
)

// ClaimBySealer is the content of ClaimFile when the sealer made it.
const ClaimBySealer = "sealer"

// ClaimCalledOff is the content of ClaimFile when the sealer has been called off.
const ClaimCalledOff = "called off"

// SealPlan is everything that the sealer does, as data. The sealer
//
//  1. creates ClaimFile, or ends without touching anything when it exists;
//  2. deletes its own scheduled task and carries out Apply;
//  3. removes a stale Tag, notes how long ErrorLog is, and runs Command;
//  4. waits until Sysprep has ended and decides: sealed only when Process was
//     seen and is gone (or was never there once the command had ended), the
//     image state is ImageState and Tag is there, for a second at least; a
//     command that has not ended is given Limits.Grace to do so;
//  5. sealed: writes the verdict, says it on COM1, waits for SeenFile or
//     Limits.Seen, carries out Sealed and shuts the guest down, if Shutdown
//     says so; not sealed: carries out Failed and stays up.
type SealPlan struct {
	Version int    `json:"version"`
	Token   string `json:"token"`
	// Folder is the working folder, without a backslash at its end.
	Folder string `json:"folder"`
	// Task is the name of the scheduled task that started the sealer, empty
	// when there is none.
	Task string `json:"task"`

	Apply  []Act `json:"apply"`
	Sealed []Act `json:"sealed"`
	Failed []Act `json:"failed"`

	// Commands run one after the other; the last one is the command that
	// makes Sysprep run. All but the last must end with code 0.
	Commands []Command `json:"commands"`
	// Generalize says that the command starts Sysprep and that its seal must
	// be seen. Without it the guest is shut down when the commands ended well.
	Generalize bool `json:"generalize"`
	// Process is the name of Sysprep's process, without ".exe".
	Process string `json:"process"`
	// ImageState is the state that means sealed, Tag the file that Sysprep
	// leaves when it succeeded, ErrorLog and ActionLog Sysprep's logs.
	ImageState string `json:"image_state"`
	Tag        string `json:"tag"`
	ErrorLog   string `json:"error_log"`
	ActionLog  string `json:"action_log"`
	// GiveUp are regular expressions (of .NET and RE2 alike); a line of
	// ErrorLog or ActionLog, written during this run, that one of them
	// matches means that Sysprep has given up.
	GiveUp []string `json:"give_up"`

	Limits SealLimits `json:"limits"`
	// ConsoleSealed and ConsoleFailed are the lines for COM1.
	ConsoleSealed string `json:"console_sealed"`
	ConsoleFailed string `json:"console_failed"`
	// Shutdown is "sealed" (the sealer shuts the guest down), "agent" (the
	// command does) or "none" (nobody does).
	Shutdown string `json:"shutdown"`
}

// Command is a program that the sealer runs.
type Command struct {
	File      string `json:"file"`
	Arguments string `json:"arguments"`
}

// SealLimits are the sealer's limits, in seconds on a clock that nobody sets.
type SealLimits struct {
	// Appear is how long Sysprep may take to appear after the command ended.
	Appear int `json:"appear"`
	// Grace is how long the image state may be wrong after Sysprep has gone or
	// given up.
	Grace int `json:"grace"`
	// Stall is how long Sysprep may go on without any sign of life: a change of
	// its process, its logs' lengths, the image state or the tag.
	Stall int `json:"stall"`
	// Total is how long everything from the start to the verdict may take.
	Total int `json:"total"`
	// Seen is how long the sealer waits for SeenFile.
	Seen int `json:"seen"`
}

// Act is one single act of the sealer.
type Act struct {
	// Act is one of the Act constants.
	Act string `json:"act"`
	// Path is the file, folder, registry key or program.
	Path string `json:"path"`
	// From is the file that is copied to Path.
	From string `json:"from,omitempty"`
	// Name and Set are the registry value; Set.Exists false deletes it.
	Name string `json:"name,omitempty"`
	Set  *Value `json:"set,omitempty"`
	// Arguments are the program's.
	Arguments string `json:"arguments,omitempty"`
	// Seconds bound a program's run.
	Seconds int `json:"seconds,omitempty"`
	// Optional says that a failure of the act is noted and otherwise ignored.
	Optional bool `json:"optional,omitempty"`
}

// The single acts.
const (
	// ActCopy copies From to Path and replaces what is there. A missing From
	// with Optional set is no failure.
	ActCopy = "copy"
	// ActDelete deletes the file Path; a missing one is fine.
	ActDelete = "delete"
	// ActDeleteFolder deletes the folder Path with all that is in it.
	ActDeleteFolder = "delete-folder"
	// ActRegistry writes or deletes a registry value.
	ActRegistry = "registry"
	// ActRun runs the program Path; a code other than 0 is a failure.
	ActRun = "run"
)

// Phases of the sealer, in order.
const (
	PhaseStarted    = "started"
	PhaseApplying   = "applying"
	PhaseCommand    = "command"
	PhaseSealed     = "sealed"
	PhaseShutdown   = "shutdown"
	PhaseFailed     = "failed"
	PhasePutBack    = "put-back"
	PhaseStayingUp  = "staying-up"
	PhaseNotAllowed = "called-off"
)

// SealState is what the sealer writes into StateFile whenever something changes.
type SealState struct {
	Token string `json:"token"`
	// Seq counts the writes from 1.
	Seq   int64  `json:"seq"`
	Phase string `json:"phase"`
	PID   int    `json:"pid"`
	// Elapsed is in milliseconds since the sealer began, on a clock that
	// nobody sets; Time is the guest's clock, UTC, RFC 3339.
	Elapsed int64  `json:"elapsed"`
	Time    string `json:"time"`

	ImageState string `json:"image_state"`
	// Tag says that the tag is there, made during this run.
	Tag bool `json:"tag"`
	// SysprepSeen and SysprepRuns are about Sysprep's process.
	SysprepSeen bool `json:"sysprep_seen"`
	SysprepRuns bool `json:"sysprep_runs"`
	// CommandEnded and CommandCode are about the last command.
	CommandEnded bool `json:"command_ended"`
	CommandCode  int  `json:"command_code"`
	// Reason says, for PhaseFailed and later, why: one of the Reason constants.
	Reason string `json:"reason,omitempty"`
	// Detail is the guest's own text for it.
	Detail string `json:"detail,omitempty"`
	// Troubles are the acts that failed, with the guest's text: the optional
	// ones, and those of putting back.
	Troubles []string `json:"troubles,omitempty"`
}

// Why the sealer did not seal.
const (
	// ReasonApply: an act of Apply failed; Sysprep was not started.
	ReasonApply = "apply"
	// ReasonCommand: a command could not be started, or a preparing one failed.
	ReasonCommand = "command"
	// ReasonNeverSeen: the command ended and Sysprep never appeared.
	ReasonNeverSeen = "sysprep-never-seen"
	// ReasonGaveUp: Sysprep wrote that it gives up.
	ReasonGaveUp = "sysprep-gave-up"
	// ReasonState: Sysprep has gone and the image state or the tag is not what it must be.
	ReasonState = "image-state"
	// ReasonStalled: nothing has moved for Limits.Stall.
	ReasonStalled = "stalled"
	// ReasonTimeout: the total limit was reached.
	ReasonTimeout = "timeout"
	// ReasonError: the sealer itself failed.
	ReasonError = "error"
)

// ParseSealState reads StateFile.
func ParseSealState(data []byte) (SealState, error) {
	var state SealState
	if err := json.Unmarshal(data, &state); err != nil {
		return SealState{}, fmt.Errorf("reading the sealer's state: %w", err)
	}
	return state, nil
}

// Encode returns the plan as the sealer reads it, in ASCII.
func (p SealPlan) Encode() ([]byte, error) {
	// PowerShell takes null for a list of one.
	if p.Apply == nil {
		p.Apply = []Act{}
	}
	if p.Sealed == nil {
		p.Sealed = []Act{}
	}
	if p.Failed == nil {
		p.Failed = []Act{}
	}
	if p.Commands == nil {
		p.Commands = []Command{}
	}
	if p.GiveUp == nil {
		p.GiveUp = []string{}
	}
	data, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the sealer's plan: %w", err)
	}
	return toASCII(data), nil
}

// Starter returns how Start starts the sealer whose files lie in folder:
// program and arguments. The text is read from its file and run as a script
// block, because a group policy may forbid script files that are not signed.
func Starter(folder, windir string) (file, arguments string) {
	script := starterText(folder)
	return windir + `\System32\WindowsPowerShell\v1.0\powershell.exe`,
		"-NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand " + encodeCommand(script)
}

func starterText(folder string) string {
	quoted := "'" + strings.ReplaceAll(folder, "'", "''") + "'"
	return "$ProgressPreference='SilentlyContinue';" +
		"$f=" + quoted + ";" +
		"& ([scriptblock]::Create([IO.File]::ReadAllText($f+'\\" + ScriptFile + "'))) $f"
}
