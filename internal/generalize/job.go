// Package generalize seals a guest: it composes the sealer's plan, puts the
// files on the guest, triggers the sealer, watches it and says what came of it.
//
// The order is what makes it safe. Staging changes nothing but one new folder.
// The sealer, which runs on the guest outside the connection, makes the first
// change only after it has claimed the work, and whoever wants to give up
// before that claims it first. From then on the guest decides by itself: it
// shuts down when it has been sealed and puts everything back when it has not,
// also when nobody can reach it any more. The watch only looks on.
//
// The package knows the sealer and the launch agents' lists; what is said about
// a failure is worked out by diagnosis, and what a verdict means for the image
// by the provisioner and the post-processor.
package generalize

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// Where Sysprep leaves its traces. Source: Microsoft's documentation of
// Sysprep's log files and of the image states.
const (
	sysprepFolder = `%windir%\System32\Sysprep`
	tagFile       = sysprepFolder + `\Sysprep_succeeded.tag`
	errorLog      = sysprepFolder + `\Panther\setuperr.log`
	actionLog     = sysprepFolder + `\Panther\setupact.log`
	setupState    = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State`

	// SealedState is the image state that means: generalized, and Windows
	// Setup will run at the next start.
	SealedState = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
)

// Staged is a file that replaces one on the guest.
type Staged struct {
	// Name is the file's name for people: "answer file".
	Name string
	// Path is where it belongs on the guest.
	Path string
	Data []byte
	// Temporary says that it is there only while the guest is being sealed: the
	// file that it replaces comes back in the sealed image too.
	Temporary bool
	// Lasting is what the sealed image has in the place of a temporary file, when
	// that is not what the guest had before: a user's own settings, which only
	// while the guest is being sealed differ. After a failure the guest always gets
	// back what it had. nil: there is none.
	Lasting []byte
}

// Setting is a registry value that is set on the guest for good, once the
// sealer has begun. After a refusal the sealer puts back what was found.
type Setting struct {
	launchagent.Setting
	Value guest.Value
}

// Limits bound the sealing.
type Limits struct {
	// Sysprep bounds everything from the trigger to the verdict.
	Sysprep time.Duration
	// Stall bounds the time without any sign of life of Sysprep's.
	Stall time.Duration
	// Shutdown bounds the time from the verdict to the end of the guest.
	Shutdown time.Duration
}

// Job is one sealing of one guest. All fields must be set, but for Files and Settings.
type Job struct {
	Guest    *guest.Guest
	Agent    launchagent.Agent
	Identity guest.Identity
	Token    string
	Order    launchagent.Order
	Files    []Staged
	Settings []Setting
	Limits   Limits
	// Reconnect is how long a guest that was lost is looked for.
	Reconnect time.Duration
	// GiveUp are the expressions of log lines by which Sysprep gives up.
	GiveUp []string
	// Say tells the user something, one line; Log is for details.
	Say, Log func(format string, args ...any)
	// Note is called at each moment of the timeline.
	Note func(phase, imageState, note string)

	triggered bool
	lastPhase string
}

// Adopt returns the job of a sealing that was triggered before, by an earlier
// attempt: it can be watched and called off.
func Adopt(j Job) *Job {
	j.triggered = true
	return &j
}

// generalizes says that the order is to run Sysprep. Without it there is
// nothing of Sysprep's to be watched, and the sealer shuts the guest down when
// the agent's commands have ended well.
func (j *Job) generalizes() bool { return j.Order.Action != launchagent.ActionShutdown }

// SeenLimit is how long the sealer waits for the watch to say that it has read
// the verdict. After generalize nobody may be able to say so any more; a guest
// that is not generalized answers as before, and its verdict comes at once.
func (j *Job) SeenLimit() time.Duration {
	if j.generalizes() {
		return 15 * time.Second
	}
	return time.Minute
}

// Triggered says that the sealer may have been started.
func (j *Job) Triggered() bool { return j.triggered }

// Folder is the working folder on the guest.
func (j *Job) Folder() string {
	return j.expand(`%ProgramData%\ec2-sysprep-` + j.Token)
}

// Task is the name of the scheduled task that starts the sealer.
func (j *Job) Task() string { return "ec2-sysprep-" + j.Token }

func (j *Job) expand(path string) string { return launchagent.Expand(path, j.Identity.Folders) }

func (j *Job) inFolder(name string) string { return j.Folder() + `\` + name }

// Plan looks at what the sealing will change and returns the sealer's plan:
// what to do, and what to put back when Sysprep refuses, together with
// the lengths of Sysprep's logs now. It changes nothing.
func (j *Job) Plan(ctx context.Context) (*guest.SealPlan, LogStarts, error) {
	var paths []string
	seen := make(map[string]bool)
	for _, p := range j.Agent.Writes(j.Order.Action) {
		paths = appendNew(paths, seen, j.expand(p))
	}
	for _, f := range j.Files {
		paths = appendNew(paths, seen, j.expand(f.Path))
	}
	if j.generalizes() {
		// The sealer removes the tag of an earlier Sysprep.
		paths = appendNew(paths, seen, j.expand(tagFile))
	}
	var calls []guest.Asker
	stats := make([]*guest.Call[guest.Stat], len(paths))
	for i, p := range paths {
		stats[i] = guest.FileStat(p)
		calls = append(calls, stats[i])
	}
	folders, parents := j.parents()
	calls = append(calls, parents...)
	settings := j.Agent.Settings(j.Order.Action)
	for _, s := range j.Settings {
		if !slices.Contains(settings, s.Setting) {
			settings = append(slices.Clone(settings), s.Setting)
		}
	}
	values := make([]*guest.Call[guest.Value], len(settings))
	for i, s := range settings {
		values[i] = guest.RegistryValue(s.Path, s.Name)
		calls = append(calls, values[i])
	}
	state, asks := j.agentState()
	calls = append(calls, asks...)
	measure, starts := j.measureLogs()
	calls = append(calls, measure...)
	if err := j.Guest.Ask(ctx, calls...); err != nil {
		return nil, LogStarts{}, err
	}

	plan := &guest.SealPlan{
		Version: guest.ProtocolVersion, Token: j.Token, Folder: j.Folder(), Task: j.Task(),
		Shutdown: string(j.Order.Shutdown),
		Limits: guest.SealLimits{
			Appear: 120, Grace: 20, Seen: seconds(j.SeenLimit()),
			Stall: seconds(j.Limits.Stall), Total: seconds(j.Limits.Sysprep),
		},
		ConsoleSealed: handoff.ConsoleLine(j.Token, "not-generalized"),
		ConsoleFailed: handoff.ConsoleLine(j.Token, "failed"),
	}
	if j.generalizes() {
		plan.Generalize, plan.Process, plan.ImageState = true, "sysprep", SealedState
		plan.Tag, plan.ErrorLog, plan.ActionLog = j.expand(tagFile), j.expand(errorLog), j.expand(actionLog)
		plan.GiveUp = j.GiveUp
		plan.ConsoleSealed = handoff.ConsoleLine(j.Token, "sealed")
	}
	for i, stat := range stats {
		found, err := stat.Answer()
		if err != nil {
			return nil, LogStarts{}, fmt.Errorf("looking at %s on the guest: %w", paths[i], err)
		}
		kept := j.inFolder(fmt.Sprintf(`kept\%d`, i+1))
		if found.Exists {
			plan.Apply = append(plan.Apply, guest.Act{Act: guest.ActCopy, From: paths[i], Path: kept})
			plan.Failed = append(plan.Failed, guest.Act{Act: guest.ActCopy, From: kept, Path: paths[i]})
		} else {
			plan.Failed = append(plan.Failed, guest.Act{Act: guest.ActDelete, Path: paths[i]})
		}
	}
	if err := state.putBack(plan); err != nil {
		return nil, LogStarts{}, err
	}
	for i, f := range j.Files {
		plan.Apply = append(plan.Apply, guest.Act{Act: guest.ActCopy, From: j.stagedPath(i), Path: j.expand(f.Path)})
	}
	j.removeTemporary(plan)
	missing, err := folders()
	if err != nil {
		return nil, LogStarts{}, err
	}
	for _, folder := range missing {
		plan.Failed = append(plan.Failed, guest.Act{Act: guest.ActDeleteFolder, Path: folder})
	}
	for _, s := range j.Settings {
		plan.Apply = append(plan.Apply, guest.Act{Act: guest.ActRegistry, Path: s.Path, Name: s.Name, Set: &s.Value})
	}
	for i, s := range settings {
		value, err := values[i].Answer()
		if err != nil {
			return nil, LogStarts{}, fmt.Errorf("reading %s!%s on the guest: %w", s.Path, s.Name, err)
		}
		plan.Failed = append(plan.Failed, guest.Act{Act: guest.ActRegistry, Path: s.Path, Name: s.Name, Set: &value})
		for _, restore := range j.Agent.Restores() {
			if restore.When == s && value.Exists && value.Text == restore.Was {
				plan.Failed = append(plan.Failed, guest.Act{
					Act: guest.ActRun, Path: j.expand(restore.Program), Arguments: restore.Arguments, Seconds: actLimit,
				})
			}
		}
	}
	for _, command := range j.Agent.Commands(j.Order) {
		plan.Commands = append(plan.Commands, guest.Command{File: j.expand(command.File), Arguments: j.expand(command.Arguments)})
	}
	if leftovers := j.Guest.Leftovers(); leftovers != "" {
		// They may hold a secret, and nobody may come back to delete them.
		remove := guest.Act{
			Act: guest.ActRun, Path: j.expand(`%windir%\System32\cmd.exe`), Arguments: `/d /c del /q "` + leftovers + `"`, Seconds: 30,
		}
		plan.Failed, plan.Sealed = append(plan.Failed, remove), append(plan.Sealed, remove)
	}
	plan.Sealed = append(plan.Sealed, guest.Act{Act: guest.ActDeleteFolder, Path: j.Folder()})
	return plan, starts(), nil
}

// parents asks for the folders that the files lie in. missing returns those
// that are not there and would be made, of nested ones the outermost.
func (j *Job) parents() (missing func() ([]string, error), calls []guest.Asker) {
	seen := make(map[string]bool)
	var folders []string
	for _, f := range j.Files {
		var above []string
		for at := parent(j.expand(f.Path)); parent(at) != ""; at = parent(at) {
			above = append(above, at)
		}
		slices.Reverse(above)
		for _, folder := range above {
			folders = appendNew(folders, seen, folder)
		}
	}
	stats := make([]*guest.Call[guest.Stat], len(folders))
	for i, folder := range folders {
		stats[i] = guest.FileStat(folder)
		calls = append(calls, stats[i])
	}
	return func() ([]string, error) {
		var outermost []string
		for i, stat := range stats {
			found, err := stat.Answer()
			if err != nil {
				return nil, fmt.Errorf("looking at %s on the guest: %w", folders[i], err)
			}
			inside := slices.ContainsFunc(outermost, func(outer string) bool {
				return strings.HasPrefix(strings.ToLower(folders[i]), strings.ToLower(outer)+`\`)
			})
			if !found.Exists && !inside {
				outermost = append(outermost, folders[i])
			}
		}
		return outermost, nil
	}, calls
}

// parent is the folder that a file or folder lies in, "" for a drive.
func parent(path string) string {
	at := strings.LastIndexByte(path, '\\')
	if at < 0 {
		return ""
	}
	return path[:at]
}

func appendNew(paths []string, seen map[string]bool, path string) []string {
	key := strings.ToLower(path)
	if seen[key] {
		return paths
	}
	seen[key] = true
	return append(paths, path)
}

func seconds(d time.Duration) int { return max(1, int(d/time.Second)) }

// stagedPath is where the i-th file waits for the sealer.
func (j *Job) stagedPath(i int) string { return j.stagedAs(i, "") }

// lastingPath is where the i-th file's lasting content waits.
func (j *Job) lastingPath(i int) string { return j.stagedAs(i, "-lasting") }

func (j *Job) stagedAs(i int, suffix string) string {
	extension := path.Ext(strings.ReplaceAll(j.Files[i].Path, `\`, "/"))
	return j.inFolder(fmt.Sprintf(`staged\%d%s%s`, i+1, suffix, extension))
}

// Stage puts the sealer, its plan and all files into the working folder, in
// one push, and has the guest confirm the hash of each. Nothing else on the
// guest changes.
func (j *Job) Stage(ctx context.Context, plan *guest.SealPlan) ([]handoff.File, error) {
	encoded, err := plan.Encode()
	if err != nil {
		return nil, err
	}
	type upload struct {
		path string
		data []byte
	}
	uploads := []upload{{j.inFolder(guest.ScriptFile), []byte(guest.SealScript)}, {j.inFolder(guest.PlanFile), encoded}}
	for i, f := range j.Files {
		uploads = append(uploads, upload{j.stagedPath(i), f.Data})
		if f.Temporary && f.Lasting != nil {
			uploads = append(uploads, upload{j.lastingPath(i), f.Lasting})
		}
	}
	calls := []guest.Asker{guest.PrivateFolder(j.Folder()), guest.PrivateFolder(j.inFolder("staged")), guest.PrivateFolder(j.inFolder("kept"))}
	type confirmation struct {
		upload
		last *guest.Call[guest.Written]
	}
	var confirmations []confirmation
	for _, u := range uploads {
		pieces := guest.FileWrite(u.path, u.data)
		for _, piece := range pieces {
			calls = append(calls, piece)
		}
		confirmations = append(confirmations, confirmation{u, pieces[len(pieces)-1]})
	}
	if err := j.Guest.Ask(ctx, calls...); err != nil {
		return nil, err
	}
	for _, call := range calls[:3] {
		if _, err := call.(*guest.Call[guest.Changed]).Answer(); err != nil {
			return nil, fmt.Errorf("making the working folder %s on the guest: %w", j.Folder(), err)
		}
	}
	var files []handoff.File
	for _, c := range confirmations {
		written, err := c.last.Answer()
		if err != nil {
			return nil, fmt.Errorf("writing %s on the guest: %w", c.path, err)
		}
		files = append(files, handoff.File{Path: c.path, SHA256: written.SHA256, Size: written.Size})
	}
	return files, nil
}

// CallOff gives the sealing up before the sealer has begun. It returns false
// when the sealer was faster: then the guest goes on by itself.
func (j *Job) CallOff(ctx context.Context) (bool, error) {
	if j.triggered {
		claim := guest.FileCreate(j.inFolder(guest.ClaimFile), []byte(guest.ClaimCalledOff))
		if err := j.Guest.Ask(ctx, claim); err != nil {
			return false, err
		}
		if _, err := claim.Answer(); err != nil {
			if guest.IsKind(err, guest.KindConflict) {
				return false, nil
			}
			return false, err
		}
	}
	return true, j.Clean(ctx)
}

// Clean deletes the working folder and the task.
func (j *Job) Clean(ctx context.Context) error {
	remove := guest.FileDelete(j.Folder(), true)
	calls := []guest.Asker{remove}
	if j.triggered {
		calls = append(calls, guest.DeleteTask(j.Task()))
	}
	if err := j.Guest.Ask(ctx, calls...); err != nil {
		return err
	}
	_, err := remove.Answer()
	if err != nil {
		return fmt.Errorf("deleting the working folder %s on the guest: %w", j.Folder(), err)
	}
	return nil
}

// confirmLimit is how long the sealer may take to show that it runs.
const confirmLimit = 30 * time.Second

// ErrNotStarted says that the sealer could not be started, or did not show
// that it runs, and that it has been called off: nothing was changed.
var ErrNotStarted = errors.New("the sealer did not start")

// Trigger starts the sealer outside the connection, by a scheduled task of the
// connecting user's, or where that is refused by WMI, and waits until it shows
// that it runs. confirmed is false when the guest was lost in between: the
// sealer may run. An error that is ErrNotStarted means that nothing was changed.
func (j *Job) Trigger(ctx context.Context) (confirmed bool, err error) {
	file, arguments := guest.Starter(j.Folder(), j.expand("%windir%"))
	var refusals []string
	for _, via := range []string{guest.ViaTask, guest.ViaCIM} {
		start := guest.Start(guest.StartArgs{
			Via: via, Name: j.Task(), File: file, Arguments: arguments, Folder: j.expand(`%windir%`),
		})
		j.triggered = true
		if err := j.Guest.Ask(ctx, start); err != nil {
			return false, err
		}
		if _, err := start.Answer(); err != nil && !errors.Is(err, guest.ErrUnknown) {
			refusals = append(refusals, via+": "+err.Error())
			j.Log("starting the sealer by %s: %s", via, err)
			continue
		}
		started, err := j.confirm(ctx)
		if err != nil {
			return false, err
		}
		if started {
			return true, nil
		}
		refusals = append(refusals, fmt.Sprintf("%s: it was started and showed nothing within %s", via, confirmLimit))
	}
	off, err := j.CallOff(ctx)
	if err != nil {
		return false, err
	}
	if !off {
		return true, nil
	}
	return false, fmt.Errorf("%w: %s", ErrNotStarted, strings.Join(refusals, "; "))
}

// confirm waits for the sealer's state file.
func (j *Job) confirm(ctx context.Context) (bool, error) {
	found := false
	err := j.Guest.Follow(ctx, guest.FollowArgs{
		Milliseconds: 500, Heartbeat: 10_000, Limit: confirmLimit.Milliseconds(),
		Documents: []string{j.inFolder(guest.StateFile)},
	}, func(e guest.Event) bool {
		for _, document := range e.Documents {
			if state, err := guest.ParseSealState(document.Data); err == nil && state.Token == j.Token {
				found = true
			}
		}
		return !found
	})
	if found {
		return true, nil
	}
	return false, err
}
