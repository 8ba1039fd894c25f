package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedLink answers exchange after exchange as its script says.
type scriptedLink struct {
	t           *testing.T
	listens     bool
	script      []func(requests []Request, say func(Reply) bool) error
	exchanges   int
	interrupts  int
	drops       int
	interrupted error
}

func (l *scriptedLink) Exchange(_ context.Context, text []byte, each func([]byte) bool) error {
	if l.exchanges == len(l.script) {
		l.t.Error("one exchange too many")
		return errors.New("the script is at its end")
	}
	var requests []Request
	for line := range bytes.Lines(text) {
		var request Request
		if err := json.Unmarshal(line, &request); err != nil {
			l.t.Error(err)
		}
		requests = append(requests, request)
	}
	act := l.script[l.exchanges]
	l.exchanges++
	each([]byte("noise of the profile\r\n"))
	return act(requests, func(reply Reply) bool {
		line, err := EncodeReply(reply)
		if err != nil {
			l.t.Error(err)
		}
		return each(line)
	})
}

func (l *scriptedLink) Listens() bool { return l.listens }
func (l *scriptedLink) Drop()         { l.drops++ }
func (l *scriptedLink) Close() error  { return nil }

func (l *scriptedLink) Interrupt(context.Context) error {
	l.interrupts++
	return l.interrupted
}

var errGone = &LostError{Err: errors.New("connection reset")}

// answer answers every call of every request with {}.
func answer(requests []Request, say func(Reply) bool) error {
	for _, request := range requests {
		say(Reply{ID: request.ID, Answers: blank(len(request.Calls))})
	}
	return nil
}

func blank(n int) []json.RawMessage {
	answers := make([]json.RawMessage, n)
	for i := range answers {
		answers[i] = json.RawMessage(`{}`)
	}
	return answers
}

func lose([]Request, func(Reply) bool) error { return errGone }

func answerFirst(requests []Request, say func(Reply) bool) error {
	say(Reply{ID: requests[0].ID, Answers: blank(len(requests[0].Calls))})
	return errGone
}

func TestAsk(t *testing.T) {
	type script = []func([]Request, func(Reply) bool) error
	big := func() Asker { return FileRead(`C:\a`, 0, MaxPiece) }
	run := func() Asker { return Run(time.Second, "a.exe", "") }
	for name, test := range map[string]struct {
		script    script
		calls     []Asker
		reconnect time.Duration
		fails     string // a part of Ask's error
		unknown   int    // calls that end with ErrUnknown
		open      int    // calls that nobody answered
	}{
		"an answered call is asked once":                        {script{answer}, []Asker{Hello(), Hello()}, 0, "", 0, 0},
		"a lost connection is made again and the call repeated": {script{lose, lose, answer}, []Asker{Hello()}, time.Minute, "", 0, 0},
		"what was answered before the loss is not repeated": {script{answerFirst, func(requests []Request, say func(Reply) bool) error {
			if len(requests) != 1 || len(requests[0].Calls) != 1 {
				return errors.New("more than the rest was asked again")
			}
			return answer(requests, say)
		}}, []Asker{big(), big()}, time.Minute, "", 0, 0},
		"what must not be repeated is unknown after a loss":         {script{lose}, []Asker{run()}, time.Minute, "", 1, 0},
		"beside it the others are repeated":                         {script{lose, answer}, []Asker{Hello(), run()}, time.Minute, "", 1, 0},
		"what must not be repeated but was answered is not unknown": {script{answer}, []Asker{run()}, time.Minute, "", 0, 0},
		"without time to reconnect the loss is returned":            {script{lose}, []Asker{Hello()}, 0, "connection reset", 0, 1},
		"when the time to reconnect is over the loss is returned":   {script{lose, lose, lose}, []Asker{Hello()}, 5 * time.Second, "connection reset", 0, 1},
		"another failure than a loss is not repeated": {script{func([]Request, func(Reply) bool) error {
			return &EndedError{Code: 1, Output: "boom"}
		}}, []Asker{Hello()}, time.Minute, "ended with code 1 before it answered: boom", 0, 1},
		"a request that the guest did not take is a failure": {script{func(requests []Request, say func(Reply) bool) error {
			say(Reply{ID: requests[0].ID, Error: &CallError{Kind: KindFailed, Message: "no JSON"}})
			return nil
		}}, []Asker{Hello()}, time.Minute, "no JSON", 0, 1},
		"too few answers are a failure": {script{func(requests []Request, say func(Reply) bool) error {
			say(Reply{ID: requests[0].ID, Answers: blank(1)})
			return nil
		}}, []Asker{Hello(), Hello()}, time.Minute, "1 answers to 2 calls", 0, 2},
		"an answer to somebody else's request is noise": {script{func(requests []Request, say func(Reply) bool) error {
			say(Reply{ID: requests[0].ID + 100, Answers: blank(9)})
			return answer(requests, say)
		}}, []Asker{Hello()}, 0, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := &scriptedLink{t: t, script: test.script}
				err := New(link, test.reconnect).Ask(t.Context(), test.calls...)
				if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error %v, want %q", err, test.fails)
				}
				if link.exchanges != len(test.script) {
					t.Errorf("%d exchanges, want %d", link.exchanges, len(test.script))
				}
				unknown := 0
				for _, call := range test.calls {
					if c, ok := call.(*Call[Ran]); ok {
						if _, err := c.Answer(); errors.Is(err, ErrUnknown) {
							unknown++
						}
					}
				}
				if open := len(unanswered(test.calls)); unknown != test.unknown || open != test.open {
					t.Errorf("%d unknown and %d open calls, want %d and %d", unknown, open, test.unknown, test.open)
				}
			})
		})
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		link := &scriptedLink{t: t, script: []func([]Request, func(Reply) bool) error{lose, lose, lose}}
		began := time.Now()
		if err := New(link, time.Hour).Ask(ctx, Hello()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestFailedCallIsTheCallsOwnFailure(t *testing.T) {
	link := &scriptedLink{t: t, script: []func([]Request, func(Reply) bool) error{func(requests []Request, say func(Reply) bool) error {
		say(Reply{ID: requests[0].ID, Answers: []json.RawMessage{
			json.RawMessage(`{"error":{"kind":"denied","message":"Zugriff verweigert"}}`), json.RawMessage(`{"exists":true}`),
		}})
		return nil
	}}}
	bad, good := FileStat(`C:\a`), FileStat(`C:\b`)
	if _, err := bad.Answer(); !errors.Is(err, ErrUnanswered) {
		t.Errorf("before it was asked: %v", err)
	}
	if err := New(link, 0).Ask(t.Context(), bad, good); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Answer(); !IsKind(err, KindDenied) || IsKind(err, KindMissing) || !strings.Contains(err.Error(), "Zugriff verweigert") {
		t.Errorf("error %v", err)
	}
	if got := good.Or(Stat{}); !got.Exists {
		t.Errorf("the other call: %+v", got)
	}
	if got := bad.Or(Stat{Size: 9}); got.Size != 9 {
		t.Errorf("the fallback: %+v", got)
	}
}

func TestRefusalIsNoLoss(t *testing.T) {
	for line, want := range map[string]string{
		RefusedPrefix + "ConstrainedLanguage 5.1.1": "ConstrainedLanguage mode",
		RefusedPrefix + "FullLanguage 2.0":          "version 2.0, and 3.0 is needed",
	} {
		refused := readRefusal([]byte(line + "\r\n"))
		if refused == nil || !strings.Contains(refused.Error(), want) {
			t.Errorf("%q: %v", line, refused)
		}
	}
	if readRefusal([]byte("#es1 {} #end")) != nil {
		t.Error("a reply was taken for a refusal")
	}
}

func TestFollow(t *testing.T) {
	event := func(requests []Request, say func(Reply) bool, n int64) bool {
		return say(Reply{ID: requests[0].ID, Event: &Event{N: n}})
	}
	ended := func(requests []Request, say func(Reply) bool, how string) bool {
		return say(Reply{ID: requests[0].ID, Answers: []json.RawMessage{json.RawMessage(`{"ended":"` + how + `"}`)}})
	}
	for name, test := range map[string]struct {
		listens    bool
		interrupt  error
		act        func([]Request, func(Reply) bool) error
		stopAt     int64
		events     int64
		interrupts int
		fails      string
	}{
		"it ends by its limit and sends the listening guest its line": {true, nil, func(r []Request, say func(Reply) bool) error {
			event(r, say, 1)
			ended(r, say, "limit")
			return nil
		}, 0, 1, 1, ""},
		"it ends by its limit where nobody listens": {false, nil, func(r []Request, say func(Reply) bool) error {
			event(r, say, 1)
			ended(r, say, "limit")
			return nil
		}, 0, 1, 0, ""},
		"it is interrupted and the events on the way are not handed over": {true, nil, func(r []Request, say func(Reply) bool) error {
			event(r, say, 1)
			event(r, say, 2)
			event(r, say, 3)
			ended(r, say, "input")
			return nil
		}, 2, 2, 1, ""},
		"where nobody listens it is left": {false, nil, func(r []Request, say func(Reply) bool) error {
			if !event(r, say, 1) {
				return errors.New("was not left")
			}
			return nil
		}, 1, 1, 0, ""},
		"a loss is returned": {true, nil, func(r []Request, say func(Reply) bool) error {
			event(r, say, 1)
			return errGone
		}, 0, 1, 0, "connection reset"},
		"an interrupt that fails is returned": {true, errGone, func(r []Request, say func(Reply) bool) error {
			event(r, say, 1)
			return nil
		}, 1, 1, 1, "connection reset"},
		"a call that the guest cannot carry out is a failure": {false, nil, func(r []Request, say func(Reply) bool) error {
			say(Reply{ID: r[0].ID, Answers: []json.RawMessage{json.RawMessage(`{"error":{"kind":"invalid","message":"no path"}}`)}})
			return nil
		}, 0, 0, 0, "no path"},
	} {
		t.Run(name, func(t *testing.T) {
			link := &scriptedLink{t: t, listens: test.listens, interrupted: test.interrupt, script: []func([]Request, func(Reply) bool) error{test.act}}
			var events int64
			err := New(link, 0).Follow(t.Context(), FollowArgs{}, func(e Event) bool {
				events++
				return e.N != test.stopAt
			})
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want %q", err, test.fails)
			}
			if events != test.events || link.interrupts != test.interrupts {
				t.Errorf("%d events and %d interrupts, want %d and %d", events, link.interrupts, test.events, test.interrupts)
			}
		})
	}
}
