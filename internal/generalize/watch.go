package generalize

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
)

// Outcome is how a sealing ended, as far as it was seen.
type Outcome int

// The outcomes.
const (
	// Sealed: the seal was seen.
	Sealed Outcome = iota
	// Refused: the sealer said that the guest is not sealed, and has put back
	// what was changed or is doing so.
	Refused
	// Lost: nobody saw the verdict. The guest goes on by itself.
	Lost
	// Restarted: the guest was restarted in the middle, which ended the sealer.
	Restarted
)

// Verdict is what the watch saw.
type Verdict struct {
	Outcome Outcome
	// Confirmed says that the sealer was seen running.
	Confirmed bool
	// State is the last that the sealer wrote and the watch read.
	State guest.SealState
	// ImageState is the last that was read.
	ImageState string
	// SeenAt is when the verdict was read.
	SeenAt time.Time
	// Errors, Actions and Agent are what was added to Sysprep's two logs and
	// to the output of the agent's command.
	Errors, Actions, Agent []byte
	// Reason is why the guest was lost.
	Reason error
}

// What the watch asks for.
const (
	lookPause = time.Second
	heartbeat = 10 * time.Second
	// tellEvery is the longest silence towards the user.
	tellEvery = 55 * time.Second
	// watchMargin is what the watch gives the sealer beyond its own limit.
	watchMargin = 2 * time.Minute
	// seenLimit bounds telling the sealer that its verdict has been read.
	seenLimit = 5 * time.Second
	// unauthorizedPatience is how long a guest is looked for that answers 401.
	unauthorizedPatience = 5 * time.Second
	// shortFollow is the length of a Follow that cannot be interrupted.
	shortFollow = 20 * time.Second
	// keepLog bounds what is kept of a log, from its end.
	keepLog = 1 << 20
)

// watcher is the state of a watch, which outlives its connections.
type watcher struct {
	*Job
	verdict Verdict
	logs    []*followed
	started time.Time
	told    time.Time
	// lastLine is the last line of Sysprep's action log.
	lastLine string
	decided  bool
}

type followed struct {
	path   string
	offset int64
	keep   *[]byte
}

// Watch looks on until the sealer's verdict is known, or cannot be known any
// more. starts are the lengths of Sysprep's logs before the trigger. A guest
// that is lost is looked for again, as long as the Guest was told to; what was
// written meanwhile is read then. Progress is told once a minute at least.
//
// The error is the context's; everything that happens to the guest is in the
// Verdict.
func (j *Job) Watch(ctx context.Context, confirmed bool, starts LogStarts) (Verdict, error) {
	w := &watcher{Job: j, started: time.Now(), told: time.Now()}
	w.verdict.Confirmed = confirmed
	w.logs = []*followed{{path: j.inFolder(guest.OutputFile), keep: &w.verdict.Agent}}
	if j.generalizes() {
		w.logs = append([]*followed{
			{path: j.expand(errorLog), offset: starts.Errors, keep: &w.verdict.Errors},
			{path: j.expand(actionLog), offset: starts.Actions, keep: &w.verdict.Actions},
		}, w.logs...)
	}
	deadline := w.started.Add(j.Limits.Sysprep + watchMargin)
	for !w.decided {
		if err := ctx.Err(); err != nil {
			return w.verdict, err
		}
		if time.Now().After(deadline) {
			w.verdict.Outcome = Lost
			w.verdict.Reason = fmt.Errorf("the sealer gave no verdict within %s", j.Limits.Sysprep+watchMargin)
			return w.verdict, nil
		}
		err := w.follow(ctx)
		switch {
		case w.decided:
		case err == nil:
		case ctx.Err() != nil:
			return w.verdict, ctx.Err()
		default:
			j.Log("the watch was interrupted: %s", err)
			if err := w.find(ctx, err); err != nil {
				if ctx.Err() != nil {
					return w.verdict, ctx.Err()
				}
				w.verdict.Outcome = Lost
				w.verdict.Reason = err
				return w.verdict, nil
			}
		}
	}
	return w.verdict, nil
}

// LogStarts are the lengths of Sysprep's logs.
type LogStarts struct {
	Errors, Actions int64
}

// measureLogs asks for the lengths of Sysprep's logs. A log that is not there
// has none.
func (j *Job) measureLogs() (calls []guest.Asker, starts func() LogStarts) {
	errs, acts := guest.FileStat(j.expand(errorLog)), guest.FileStat(j.expand(actionLog))
	return []guest.Asker{errs, acts}, func() LogStarts {
		return LogStarts{Errors: errs.Or(guest.Stat{}).Size, Actions: acts.Or(guest.Stat{}).Size}
	}
}

// follow looks on over one connection. Once the verdict has been read, telling
// the sealer so is bounded: after generalize nobody may answer any more.
func (w *watcher) follow(ctx context.Context) error {
	limit := w.Limits.Sysprep + watchMargin
	// The guest ends a Follow by its own clock; a guest that does not must not
	// hold the watch either.
	ctx, cancel := context.WithDeadline(ctx, w.started.Add(limit+heartbeat))
	defer cancel()
	if !w.Guest.Listens() {
		limit = shortFollow
	}
	args := guest.FollowArgs{
		Milliseconds: lookPause.Milliseconds(), Heartbeat: heartbeat.Milliseconds(), Limit: limit.Milliseconds(),
		Documents: []string{w.inFolder(guest.StateFile)},
		Values:    []guest.RegistryArgs{{Path: setupState, Name: "ImageState"}},
	}
	if w.generalizes() {
		args.Processes = []string{"sysprep"}
	}
	for _, log := range w.logs {
		args.Logs = append(args.Logs, guest.FollowedLog{Path: log.path, Offset: log.offset})
	}
	// Without any sign of life for several heartbeats the connection is dead,
	// whatever the network says.
	silence := time.AfterFunc(6*heartbeat, cancel)
	defer silence.Stop()
	err := w.Guest.Follow(ctx, args, func(e guest.Event) bool {
		silence.Reset(6 * heartbeat)
		w.take(e)
		if w.decided {
			silence.Reset(seenLimit)
		}
		return !w.decided
	})
	if !w.decided {
		return err
	}
	if err == nil && w.verdict.Outcome == Sealed && (w.Guest.Listens() || !w.generalizes()) {
		seen := guest.FileCreate(w.inFolder(guest.SeenFile), []byte("seen"))
		if err := w.Guest.Ask(ctx, seen); err != nil {
			w.Log("telling the sealer that its verdict was read: %s", err)
		}
	}
	return nil
}

// take takes one event in.
func (w *watcher) take(e guest.Event) {
	for _, piece := range e.Logs {
		for _, log := range w.logs {
			if strings.EqualFold(log.path, piece.Path) {
				log.take(piece)
			}
		}
	}
	w.lastLine = lastLine(w.verdict.Actions, w.lastLine)
	for _, value := range e.Values {
		if value.Value.Text != w.verdict.ImageState {
			first := w.verdict.ImageState == ""
			w.verdict.ImageState = value.Value.Text
			w.Note("image state", value.Value.Text, "")
			if !first {
				w.tell("Image state is now %s", value.Value.Text)
			}
		}
	}
	for _, document := range e.Documents {
		state, err := guest.ParseSealState(document.Data)
		if err != nil || state.Token != w.Token {
			continue
		}
		w.takeState(state)
	}
	if time.Since(w.told) >= tellEvery {
		who, at := "Sysprep", ""
		if !w.generalizes() {
			who = w.Agent.Title()
		}
		if w.lastLine != "" {
			at = ": " + w.lastLine
		}
		w.tell("%s has been at work for %s%s", who, time.Since(w.started).Round(time.Second), at)
	}
}

func (l *followed) take(piece guest.LogPiece) {
	// A piece that was sent again after a reconnection is not taken twice.
	if piece.Offset < l.offset && piece.Offset+int64(len(piece.Data)) <= l.offset && piece.Offset != 0 {
		return
	}
	l.offset = piece.Offset + int64(len(piece.Data))
	*l.keep = append(*l.keep, piece.Data...)
	if extra := len(*l.keep) - keepLog; extra > 0 {
		*l.keep = append([]byte(nil), (*l.keep)[extra:]...)
	}
}

func lastLine(log []byte, fallback string) string {
	if len(log) == 0 {
		return fallback
	}
	text := strings.TrimRight(diagnosis.Decode(log[max(0, len(log)-1024):]), "\r\n \t")
	if at := strings.LastIndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	if line := strings.TrimSpace(text); line != "" {
		return line
	}
	return fallback
}

func (w *watcher) takeState(state guest.SealState) {
	w.verdict.State = state
	w.verdict.Confirmed = true
	if state.Phase != w.lastPhase {
		w.lastPhase = state.Phase
		w.Note(state.Phase, state.ImageState, state.Detail)
	}
	switch state.Phase {
	case guest.PhaseSealed, guest.PhaseShutdown, guest.PhaseStayingUp:
		w.decide(Sealed)
	case guest.PhasePutBack:
		w.decide(Refused)
	case guest.PhaseFailed:
		// What was changed is being put back: its end is worth waiting for.
		what := "Sysprep did not seal the guest"
		if !w.generalizes() {
			what = "The guest is not shut down"
		}
		w.tell("%s (%s); the guest puts back what was changed", what, state.Reason)
	}
}

func (w *watcher) decide(outcome Outcome) {
	if !w.decided {
		w.decided = true
		w.verdict.Outcome = outcome
		w.verdict.SeenAt = time.Now()
	}
}

func (w *watcher) tell(format string, args ...any) {
	w.told = time.Now()
	w.Say(format, args...)
}

// find looks for a lost guest, and whether it is still the same boot.
func (w *watcher) find(ctx context.Context, reason error) error {
	w.Guest.Drop()
	if unauthorized(reason) && w.generalizes() {
		// Nobody gets in again before the next boot: a few seconds are enough to
		// know that it was no hiccup.
		w.tell("WinRM does not let us in any more, as usual once generalize has reset the accounts")
		w.Guest.SetReconnect(unauthorizedPatience)
		defer w.Guest.SetReconnect(w.Reconnect)
	} else {
		w.tell("The connection was lost (%s); looking for the guest again", reason)
	}
	hello := guest.Hello()
	if err := w.Guest.Ask(ctx, hello); err != nil {
		return err
	}
	identity, err := hello.Answer()
	if err != nil {
		return err
	}
	w.tell("The guest is back")
	if restarted(w.Identity.Boot, identity.Boot) {
		w.Note("restarted", w.verdict.ImageState, "booted at "+identity.Boot)
		w.decide(Restarted)
	}
	return nil
}

func unauthorized(err error) bool { return errors.Is(err, direct.ErrUnauthorized) }

// restarted compares two boot times. Windows works them out from the clock, so
// that they may differ by what the clock was set.
func restarted(before, after string) bool {
	b, err1 := time.Parse(time.RFC3339Nano, before)
	a, err2 := time.Parse(time.RFC3339Nano, after)
	if err1 != nil || err2 != nil {
		return false
	}
	return a.Sub(b) > time.Minute
}

// ErrDown says that a guest is certainly going down.
var ErrDown = errors.New("the guest is going down")

// AwaitDown waits until a sealed guest does not answer any more. alive asks it
// once: nil while it answers in any way, ErrDown when it is certainly down. The
// error is the context's, or says that the guest is still up after the limit.
func (j *Job) AwaitDown(ctx context.Context, alive func(context.Context) error) error {
	const (
		pause    = 2 * time.Second
		silences = 3
		quiet    = 6 * time.Second
	)
	deadline := time.Now().Add(j.Limits.Shutdown)
	told := time.Now()
	misses := 0
	var missing time.Time
	for {
		probe, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := alive(probe)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			misses = 0
		case errors.Is(err, ErrDown):
			return nil
		default:
			if misses == 0 {
				missing = time.Now()
			}
			misses++
			if misses >= silences && time.Since(missing) >= quiet {
				return nil
			}
		}
		if time.Now().After(deadline) {
			what := "the guest was sealed and"
			if !j.generalizes() {
				what = "the guest was told to shut down and"
			}
			return fmt.Errorf("%s still answers %s later", what, j.Limits.Shutdown)
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			j.Say("Waiting for the guest to shut down")
		}
		if err := guest.Wait(ctx, pause); err != nil {
			return err
		}
	}
}
