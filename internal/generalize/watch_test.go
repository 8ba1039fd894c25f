package generalize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

const (
	folder   = `C:\ProgramData\ec2-sysprep-` + token
	actions  = `C:\Windows\System32\Sysprep\Panther\setupact.log`
	problems = `C:\Windows\System32\Sysprep\Panther\setuperr.log`
	booted   = "2026-01-01T08:00:00Z"
)

// step is one thing that a scripted guest does while it is followed.
type step struct {
	after time.Duration
	event guest.Event
	// fail ends the connection, limit ends the Follow.
	fail  error
	limit bool
}

// scripted is a link to a guest that plays one list of steps for each Follow.
// When the last list is at its end it sends heartbeats for ever, unless silent.
type scripted struct {
	follows [][]step
	silent  bool
	// hellos are the errors of the hellos, in order; later ones succeed.
	hellos []error
	boot   string

	mu          sync.Mutex
	args        []guest.FollowArgs
	created     []string
	interrupted chan struct{}
}

func (s *scripted) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	var request struct {
		ID    int64 `json:"id"`
		Calls []struct {
			Op   string `json:"op"`
			Path string `json:"path"`
			guest.FollowArgs
		} `json:"calls"`
	}
	if err := json.Unmarshal(requests, &request); err != nil {
		return err
	}
	send := func(reply guest.Reply) bool {
		reply.ID = request.ID
		line, err := guest.EncodeReply(reply)
		if err != nil {
			panic(err)
		}
		return each(line)
	}
	answer := func(value any) error {
		data, err := json.Marshal(value)
		if err == nil {
			send(guest.Reply{Answers: []json.RawMessage{data}})
		}
		return err
	}
	call := request.Calls[0]
	switch call.Op {
	case "hello":
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.hellos) > 0 {
			err := s.hellos[0]
			s.hellos = s.hellos[1:]
			if err != nil {
				return &guest.LostError{Err: err}
			}
		}
		return answer(guest.Identity{Boot: s.boot, Windows: true})
	case "file.write":
		s.mu.Lock()
		s.created = append(s.created, call.Path)
		s.mu.Unlock()
		return answer(guest.Written{Changed: true})
	case "follow":
	default:
		return fmt.Errorf("nobody expected %s", call.Op)
	}
	s.mu.Lock()
	s.args = append(s.args, call.FollowArgs)
	var steps []step
	if len(s.follows) > 0 {
		steps, s.follows = s.follows[0], s.follows[1:]
	}
	s.interrupted = make(chan struct{}, 1)
	interrupted := s.interrupted
	s.mu.Unlock()
	n := int64(0)
	for {
		next := step{after: heartbeat}
		if len(steps) > 0 {
			next, steps = steps[0], steps[1:]
		} else if s.silent {
			next.after = 1000 * time.Hour
		}
		select {
		case <-time.After(next.after):
		case <-interrupted:
			return answer(guest.Followed{Ended: "input"})
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case next.fail != nil:
			return &guest.LostError{Err: next.fail}
		case next.limit:
			return answer(guest.Followed{Ended: "limit"})
		}
		n++
		next.event.N = n
		if send(guest.Reply{Event: &next.event}) {
			return nil
		}
	}
}

func (s *scripted) Listens() bool { return true }

func (s *scripted) Interrupt(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.interrupted != nil {
		select {
		case s.interrupted <- struct{}{}:
		default:
		}
	}
	return nil
}

func (s *scripted) Drop()        {}
func (s *scripted) Close() error { return nil }

// Events.

func state(phase string, change ...func(*guest.SealState)) guest.Event {
	s := guest.SealState{Token: token, Phase: phase, ImageState: "IMAGE_STATE_COMPLETE"}
	for _, c := range change {
		c(&s)
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return guest.Event{Documents: []guest.Document{{Path: folder + `\state.json`, Data: data}}}
}

func imageState(text string) guest.Event {
	return guest.Event{Values: []guest.SeenValue{{Path: setupState, Name: "ImageState", Value: guest.Value{Exists: true, Text: text}}}}
}

func logged(path string, offset int64, text string) guest.Event {
	return guest.Event{Logs: []guest.LogPiece{{Path: path, Offset: offset, Data: []byte(text)}}}
}

// watching is what a watch of a scripted guest came to.
type watching struct {
	verdict Verdict
	err     error
	lines   []string
	told    []time.Duration
	notes   []string
	took    time.Duration
}

// watch watches a scripted guest inside a bubble.
func watch(t *testing.T, s *scripted, limits Limits, starts LogStarts, check func(*testing.T, watching)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if s.boot == "" {
			s.boot = booted
		}
		began := time.Now()
		var w watching
		j := Adopt(Job{
			Guest: guest.New(s, time.Minute), Agent: launchagent.EC2LaunchV2{}, Token: token, Order: launchagent.Order{Action: launchagent.ActionSysprep, Shutdown: launchagent.ShutdownSealed},
			Identity: guest.Identity{Boot: booted, Folders: map[string]string{"ProgramData": `C:\ProgramData`, "windir": `C:\Windows`}},
			Limits:   limits, Reconnect: time.Minute,
			Say: func(format string, args ...any) {
				w.lines = append(w.lines, fmt.Sprintf(format, args...))
				w.told = append(w.told, time.Since(began))
			},
			Log:  func(string, ...any) {},
			Note: func(phase, image, note string) { w.notes = append(w.notes, strings.TrimSpace(phase+" "+image)) },
		})
		w.verdict, w.err = j.Watch(t.Context(), true, starts)
		w.took = time.Since(began)
		check(t, w)
	})
}

var hour = Limits{Sysprep: time.Hour, Stall: 15 * time.Minute, Shutdown: 10 * time.Minute}

func TestAVerdictIsSeenAndAcknowledged(t *testing.T) {
	s := &scripted{follows: [][]step{{
		{event: state(guest.PhaseCommand)},
		{after: 50 * time.Second, event: imageState("IMAGE_STATE_UNDEPLOYABLE")},
		{after: 50 * time.Second, event: imageState(SealedState)},
		{after: time.Second, event: state(guest.PhaseSealed, func(s *guest.SealState) { s.ImageState, s.Tag = SealedState, true })},
	}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.err != nil || w.verdict.Outcome != Sealed || !w.verdict.State.Tag || !w.verdict.Confirmed || w.verdict.ImageState != SealedState {
			t.Errorf("the verdict is %+v (%v)", w.verdict, w.err)
		}
		if want := []string{folder + `\seen`}; !slices.Equal(s.created, want) {
			t.Errorf("created on the guest: %q, wanted %q", s.created, want)
		}
		if want := []string{"command IMAGE_STATE_COMPLETE", "image state IMAGE_STATE_UNDEPLOYABLE", "image state " + SealedState, "sealed " + SealedState}; !slices.Equal(w.notes, want) {
			t.Errorf("the timeline is %q", w.notes)
		}
	})
}

func TestARefusalIsNotAcknowledged(t *testing.T) {
	s := &scripted{follows: [][]step{{
		{event: state(guest.PhaseCommand)},
		{after: time.Second, event: logged(problems, 0, "Error one\r\n")},
		{after: time.Second, event: state(guest.PhaseFailed, func(s *guest.SealState) { s.Reason = guest.ReasonGaveUp })},
		{after: time.Second, event: state(guest.PhasePutBack, func(s *guest.SealState) { s.Reason = guest.ReasonGaveUp })},
	}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.err != nil || w.verdict.Outcome != Refused || w.verdict.State.Reason != guest.ReasonGaveUp || string(w.verdict.Errors) != "Error one\r\n" {
			t.Errorf("the verdict is %+v (%v)", w.verdict, w.err)
		}
		if len(s.created) != 0 {
			t.Errorf("created on the guest: %q", s.created)
		}
	})
}

func TestAnotherBuildsStateIsNoVerdict(t *testing.T) {
	s := &scripted{follows: [][]step{{
		{event: state(guest.PhaseSealed, func(s *guest.SealState) { s.Token = "another" })},
		{after: time.Second, event: guest.Event{Documents: []guest.Document{{Path: folder + `\state.json`, Data: []byte(`{"token":"0011`)}}}},
		{after: 50 * time.Second, event: state(guest.PhasePutBack)},
	}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.verdict.Outcome != Refused {
			t.Errorf("the verdict is %+v", w.verdict)
		}
	})
}

func TestTheUserHearsSomethingEveryMinute(t *testing.T) {
	s := &scripted{follows: [][]step{{
		{event: state(guest.PhaseCommand)},
		{after: 20 * time.Second, event: logged(actions, 0, "Info one\r\nInfo two\r\n")},
		{after: heartbeat, limit: true},
	}, nil}}
	limits := Limits{Sysprep: 20 * time.Minute, Stall: 15 * time.Minute}
	watch(t, s, limits, LogStarts{}, func(t *testing.T, w watching) {
		if w.verdict.Outcome != Lost || w.verdict.Reason == nil || !strings.Contains(w.verdict.Reason.Error(), "no verdict within 22m0s") {
			t.Errorf("the verdict is %+v", w.verdict)
		}
		last := time.Duration(0)
		for i, at := range append(w.told, w.took) {
			if at-last > time.Minute+heartbeat {
				t.Errorf("silence from %s to %s, before line %d", last, at, i)
			}
			last = at
		}
		if w.took > limits.Sysprep+2*watchMargin {
			t.Errorf("the watch took %s", w.took)
		}
		if !slices.ContainsFunc(w.lines, func(line string) bool {
			return strings.HasPrefix(line, "Sysprep has been at work for ") && strings.HasSuffix(line, ": Info two")
		}) {
			t.Errorf("no line says how far Sysprep is: %q", w.lines)
		}
	})
}

func TestADeadConnectionIsGivenUpAndTakenUpAgain(t *testing.T) {
	s := &scripted{
		silent: true,
		follows: [][]step{
			{{event: state(guest.PhaseCommand)}, {after: 20 * time.Second, event: logged(actions, 0, "12345")}, {after: 5 * time.Hour, event: guest.Event{}}},
			{{event: state(guest.PhaseSealed)}},
		},
	}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.err != nil || w.verdict.Outcome != Sealed {
			t.Fatalf("the verdict is %+v (%v)", w.verdict, w.err)
		}
		if w.took < 6*heartbeat || w.took > 6*heartbeat+time.Minute {
			t.Errorf("the dead connection was noticed after %s", w.took)
		}
		if len(s.args) != 2 || s.args[1].Logs[1].Offset != 5 {
			t.Errorf("followed again from %+v", s.args)
		}
		if len(w.lines) < 2 || w.lines[len(w.lines)-1] != "The guest is back" {
			t.Errorf("the user heard %q", w.lines)
		}
	})
}

func TestALogIsReadOnAfterALoss(t *testing.T) {
	s := &scripted{follows: [][]step{
		{
			{event: logged(actions, 100, "first ")},
			{after: time.Second, fail: errors.New("reset")},
		},
		{
			// A piece that is known already, as a guest sends it that did not
			// take the offset, and then the rest.
			{event: logged(actions, 100, "first ")},
			{after: time.Second, event: logged(actions, 106, "second ")},
			{after: time.Second, event: logged(actions, 106, "second ")},
			{after: time.Second, event: logged(strings.ToUpper(actions), 113, "third")},
			{after: time.Second, event: state(guest.PhasePutBack)},
		},
	}}
	watch(t, s, hour, LogStarts{Errors: 7, Actions: 100}, func(t *testing.T, w watching) {
		if got := string(w.verdict.Actions); got != "first second third" {
			t.Errorf("the log is %q", got)
		}
		if first := s.args[0].Logs; first[0].Offset != 7 || first[1].Offset != 100 || first[2].Offset != 0 {
			t.Errorf("followed at first from %+v", first)
		}
		if second := s.args[1].Logs; second[1].Offset != 106 {
			t.Errorf("followed again from %+v", second)
		}
	})
}

func TestALogThatWasBegunAnewIsReadFromItsStart(t *testing.T) {
	s := &scripted{follows: [][]step{{
		{event: logged(actions, 0, "anew")},
		{after: time.Second, event: state(guest.PhasePutBack)},
	}}}
	watch(t, s, hour, LogStarts{Actions: 5000}, func(t *testing.T, w watching) {
		if got := string(w.verdict.Actions); got != "anew" {
			t.Errorf("the log is %q", got)
		}
	})
}

func TestAHugeLogIsKeptFromItsEnd(t *testing.T) {
	var steps []step
	piece := strings.Repeat("x", 32<<10)
	for i := range 40 {
		steps = append(steps, step{after: time.Second, event: logged(actions, int64(i*len(piece)), piece)})
	}
	end := int64(40 * len(piece))
	steps = append(steps, step{event: logged(actions, end, "the end")}, step{event: state(guest.PhasePutBack)})
	watch(t, &scripted{follows: [][]step{steps}}, hour, LogStarts{}, func(t *testing.T, w watching) {
		if len(w.verdict.Actions) != keepLog || !strings.HasSuffix(string(w.verdict.Actions), "xthe end") {
			t.Errorf("%d bytes were kept", len(w.verdict.Actions))
		}
	})
}

func TestARestartedGuestEndsTheWatch(t *testing.T) {
	s := &scripted{boot: "2026-01-01T09:30:00Z", follows: [][]step{{{event: state(guest.PhaseCommand)}, {after: time.Second, fail: errors.New("reset")}}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.err != nil || w.verdict.Outcome != Restarted {
			t.Errorf("the verdict is %+v (%v)", w.verdict, w.err)
		}
	})
}

func TestABootTimeThatMovesWithTheClockIsNoRestart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		before, after string
		want          bool
	}{
		{booted, booted, false},
		{booted, "2026-01-01T08:00:45Z", false},
		{booted, "2026-01-01T08:01:01Z", true},
		{booted, "2026-01-01T07:00:00Z", false},
		{booted, "", false},
		{"", booted, false},
	} {
		if got := restarted(test.before, test.after); got != test.want {
			t.Errorf("from %q to %q: restarted %t", test.before, test.after, got)
		}
	}
}

func TestAGuestThatIsLostForGood(t *testing.T) {
	gone := make([]error, 100)
	for i := range gone {
		gone[i] = errors.New("no route to host")
	}
	s := &scripted{hellos: gone, follows: [][]step{{{event: state(guest.PhaseCommand)}, {after: time.Second, fail: errors.New("reset")}}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.err != nil || w.verdict.Outcome != Lost || !w.verdict.Confirmed || w.verdict.Reason == nil || !strings.Contains(w.verdict.Reason.Error(), "no route") {
			t.Errorf("the verdict is %+v (%v)", w.verdict, w.err)
		}
		if w.took < 50*time.Second || w.took > 70*time.Second {
			t.Errorf("the guest was looked for during %s", w.took)
		}
	})
}

func TestAGuestThatAnswers401IsNotLookedForLong(t *testing.T) {
	refused := make([]error, 100)
	for i := range refused {
		refused[i] = direct.ErrUnauthorized
	}
	s := &scripted{hellos: refused, follows: [][]step{{{event: state(guest.PhaseCommand)}, {after: time.Second, fail: direct.ErrUnauthorized}}}}
	watch(t, s, hour, LogStarts{}, func(t *testing.T, w watching) {
		if w.verdict.Outcome != Lost || !errors.Is(w.verdict.Reason, direct.ErrUnauthorized) {
			t.Errorf("the verdict is %+v", w.verdict)
		}
		if w.took > 10*time.Second {
			t.Errorf("the guest was looked for during %s", w.took)
		}
	})
}

func TestACancelledWatchEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Second)
		defer cancel()
		j := Adopt(Job{
			Guest: guest.New(&scripted{boot: booted}, time.Minute), Agent: launchagent.EC2LaunchV2{}, Token: token, Limits: hour, Reconnect: time.Minute,
			Say: t.Logf, Log: t.Logf, Note: func(string, string, string) {},
		})
		began := time.Now()
		_, err := j.Watch(ctx, true, LogStarts{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 96*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestAwaitingTheEndOfASealedGuest(t *testing.T) {
	t.Parallel()
	silent := errors.New("no answer")
	for _, test := range []struct {
		name string
		// answers are those of the probes; the last one goes on.
		answers []error
		down    bool
		least   time.Duration
		most    time.Duration
	}{
		{name: "gone at once", answers: []error{silent}, down: true, least: 6 * time.Second, most: 10 * time.Second},
		{name: "certainly down", answers: []error{nil, ErrDown}, down: true, most: 3 * time.Second},
		{name: "one silence is none", answers: []error{silent, nil, silent, silent, nil, silent}, down: true, least: 14 * time.Second, most: 25 * time.Second},
		{name: "still up", answers: []error{nil}, least: 10 * time.Minute, most: 11 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines := 0
				j := Job{Limits: hour, Say: func(string, ...any) { lines++ }}
				began := time.Now()
				n := 0
				err := j.AwaitDown(t.Context(), func(context.Context) error {
					n++
					return test.answers[min(n, len(test.answers))-1]
				})
				took := time.Since(began)
				if (err == nil) != test.down || took < test.least || took > test.most {
					t.Errorf("%v after %s", err, took)
				}
				if lines < int(took/time.Minute) {
					t.Errorf("the user heard %d lines in %s", lines, took)
				}
			})
		})
	}
}

func TestATriggerThatReachesItsLimitGoesOn(t *testing.T) {
	t.Parallel()
	// After a Follow that nobody interrupted the guest still listens: the link
	// has to send its line before the next request.
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{follows: [][]step{{{after: confirmLimit, limit: true}}}}
		j := Adopt(Job{Guest: guest.New(s, 0), Agent: launchagent.EC2LaunchV2{}, Token: token, Limits: hour, Say: t.Logf, Log: t.Logf})
		started, err := j.confirm(t.Context())
		if started || err != nil {
			t.Errorf("started %t (%v)", started, err)
		}
		if len(s.interrupted) != 1 {
			t.Error("the guest goes on listening")
		}
	})
}
