package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Link carries request lines to a guest and its reply lines back. There are
// two: over a WinRM connection of our own (OverWinRM), where one process lives
// as long as the link, and over Packer's communicator (OverCommunicator),
// where each exchange starts a process of its own.
type Link interface {
	// Exchange sends requests, one or more lines, and hands every line that
	// the guest prints to each until each returns true. An error says that the
	// guest was lost, or that it never was one; see Lost.
	Exchange(ctx context.Context, requests []byte, each func(line []byte) (done bool)) error
	// Listens says that the guest can be interrupted while it follows.
	Listens() bool
	// Interrupt ends a Follow that listens.
	Interrupt(ctx context.Context) error
	// Drop forgets the guest's process, so that the next Exchange starts a new one.
	Drop()
	// Close ends the link and frees what it holds, within a few seconds.
	Close() error
}

// LostError says that the connection to the guest broke, which says nothing
// about the guest: it may be shutting down, or the network may be gone.
type LostError struct {
	Err error
}

func (e *LostError) Error() string { return "the guest was lost: " + e.Err.Error() }

// Unwrap returns what the transport said.
func (e *LostError) Unwrap() error { return e.Err }

// RefusedError says that the guest's PowerShell cannot run the protocol.
type RefusedError struct {
	// Language is the language mode, Version the PowerShell's version.
	Language, Version string
}

func (e *RefusedError) Error() string {
	if e.Language != "FullLanguage" {
		return "PowerShell on the guest runs in " + e.Language + " mode (AppLocker or WDAC)"
	}
	return "PowerShell on the guest is version " + e.Version + ", and 3.0 is needed"
}

// EndedError says that the guest's process ended without an answer.
type EndedError struct {
	Code   int
	Output string
}

func (e *EndedError) Error() string {
	text := fmt.Sprintf("PowerShell on the guest ended with code %d before it answered", e.Code)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

// Guest is a Windows guest that can be asked. Its methods may be called from
// one goroutine at a time.
type Guest struct {
	link Link
	// reconnect bounds how long Ask tries to reach a lost guest again.
	reconnect time.Duration
	lastID    atomic.Int64
	mu        sync.Mutex
}

// New returns the guest behind a link. reconnect is how long Ask goes on
// trying after the connection was lost; 0 means not at all.
func New(link Link, reconnect time.Duration) *Guest {
	return &Guest{link: link, reconnect: reconnect}
}

// Listens says that a Follow of this guest can be interrupted.
func (g *Guest) Listens() bool { return g.link.Listens() }

// Drop forgets the connection, so that the next request makes a new one.
func (g *Guest) Drop() { g.link.Drop() }

// SetReconnect changes how long Ask goes on trying after the connection was lost.
func (g *Guest) SetReconnect(limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reconnect = limit
}

// Leftovers is a wildcard of files that the link may leave on the guest, empty
// when it leaves none.
func (g *Guest) Leftovers() string {
	if link, ok := g.link.(interface{ Leftovers() string }); ok {
		return link.Leftovers()
	}
	return ""
}

// Abandon lets go of a guest that is going down: nothing is asked of it any
// more, not even by Close.
func (g *Guest) Abandon() {
	if link, ok := g.link.(interface{ Abandon() }); ok {
		link.Abandon()
	}
}

// Close ends the conversation.
func (g *Guest) Close() error { return g.link.Close() }

// requestBudget is how many bytes of calls are put into one line.
const requestBudget = MaxLine - 4096

// reconnectPause is the time between two attempts to reach a lost guest.
const reconnectPause = 2 * time.Second

// Ask puts the calls to the guest and waits for the answers. Calls travel
// together as long as a line can hold them; they are carried out in order.
//
// The error is about the conversation, never about what a call found: that is
// in the call's Answer. After a lost connection what has not been answered is
// asked again, for as long as the guest was given to come back, except for
// calls that must not be repeated: those end with ErrUnknown.
func (g *Guest) Ask(ctx context.Context, calls ...Asker) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var deadline time.Time
	for {
		open := unanswered(calls)
		if len(open) == 0 {
			return nil
		}
		err := g.attempt(ctx, deadline, open)
		if err == nil {
			continue
		}
		var lost *LostError
		if !errors.As(err, &lost) {
			return err
		}
		g.link.Drop()
		repeat := false
		for _, call := range unanswered(calls) {
			if call.repeatable() {
				repeat = true
			} else {
				call.abandon(fmt.Errorf("%w: %w", ErrUnknown, lost.Err))
			}
		}
		if !repeat {
			return nil
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(g.reconnect)
		}
		if !time.Now().Add(reconnectPause).Before(deadline) {
			return err
		}
		if waitErr := Wait(ctx, reconnectPause); waitErr != nil {
			return waitErr
		}
	}
}

// attempt asks once. After a loss an attempt must not outlast the time that the
// guest was given to come back: a black hole would hold it for much longer.
func (g *Guest) attempt(ctx context.Context, deadline time.Time, calls []Asker) error {
	if deadline.IsZero() {
		return g.askOnce(ctx, calls)
	}
	bounded, cancel := context.WithDeadline(ctx, deadline.Add(reconnectPause))
	defer cancel()
	err := g.askOnce(bounded, calls)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return &LostError{Err: errors.New("no answer in time")}
	}
	return err
}

func unanswered(calls []Asker) []Asker {
	var open []Asker
	for _, call := range calls {
		if !call.answered() {
			open = append(open, call)
		}
	}
	return open
}

// askOnce puts calls to the guest over the connection as it is.
func (g *Guest) askOnce(ctx context.Context, calls []Asker) error {
	requests := make(map[int64][]Asker)
	var text []byte
	for _, group := range groups(calls) {
		request := Request{ID: g.lastID.Add(1)}
		for _, call := range group {
			raw, err := call.raw()
			if err != nil {
				return err
			}
			request.Calls = append(request.Calls, raw)
		}
		line, err := EncodeRequest(request)
		if err != nil {
			return err
		}
		requests[request.ID] = group
		text = append(text, line...)
	}
	var failure error
	err := g.link.Exchange(ctx, text, func(line []byte) bool {
		if refused := readRefusal(line); refused != nil {
			failure = refused
			return true
		}
		reply, ok, err := DecodeReply(line)
		if !ok {
			return false
		}
		if err != nil {
			failure = &LostError{Err: err}
			return true
		}
		group, mine := requests[reply.ID]
		if !mine || reply.Event != nil {
			return false
		}
		if reply.Error != nil {
			failure = fmt.Errorf("the guest did not take the request: %w", reply.Error)
			return true
		}
		if len(reply.Answers) != len(group) {
			failure = fmt.Errorf("the guest gave %d answers to %d calls", len(reply.Answers), len(group))
			return true
		}
		for i, call := range group {
			call.accept(reply.Answers[i])
		}
		delete(requests, reply.ID)
		return len(requests) == 0
	})
	if failure != nil {
		return failure
	}
	return err
}

// groups cuts calls into lists that fit into a line each.
func groups(calls []Asker) [][]Asker {
	var all [][]Asker
	var group []Asker
	size := 0
	for _, call := range calls {
		raw, err := call.raw()
		need := 64
		if err == nil {
			need += len(raw.Args)
		}
		// The answers travel in one line, too.
		need = max(need, call.answerSize())
		if len(group) > 0 && size+need > requestBudget {
			all = append(all, group)
			group, size = nil, 0
		}
		group = append(group, call)
		size += need
	}
	return append(all, group)
}

func readRefusal(line []byte) *RefusedError {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), strings.TrimSpace(RefusedPrefix)+" ")
	if !ok {
		return nil
	}
	language, version, _ := strings.Cut(rest, " ")
	return &RefusedError{Language: language, Version: version}
}

// Follow looks at files, values and processes of the guest and hands over an
// event whenever something changed. It returns nil when each returned false or
// the limit was reached, and an error when the guest was lost: the caller
// knows how far it had come and follows again from there.
func (g *Guest) Follow(ctx context.Context, args FollowArgs, each func(Event) (goOn bool)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	args.Listen = g.link.Listens()
	call := follow(args)
	raw, err := call.raw()
	if err != nil {
		return err
	}
	request := Request{ID: g.lastID.Add(1), Calls: []RawCall{raw}}
	line, err := EncodeRequest(request)
	if err != nil {
		return err
	}
	stopped := false
	var failure error
	err = g.link.Exchange(ctx, line, func(line []byte) bool {
		reply, ok, err := DecodeReply(line)
		switch {
		case !ok:
			return false
		case err != nil:
			failure = &LostError{Err: err}
			return true
		case reply.ID != request.ID:
			return false
		case reply.Error != nil:
			failure = fmt.Errorf("the guest did not take the request: %w", reply.Error)
			return true
		case reply.Event != nil:
			if stopped || each(*reply.Event) {
				return false
			}
			stopped = true
			if !args.Listen {
				return true
			}
			if err := g.link.Interrupt(ctx); err != nil {
				failure = err
				return true
			}
			return false
		case len(reply.Answers) == 1:
			call.accept(reply.Answers[0])
			return true
		}
		return false
	})
	switch {
	case failure != nil:
		return failure
	case err != nil:
		return err
	case stopped:
		return nil
	}
	if _, err = call.Answer(); err != nil || !args.Listen {
		return err
	}
	// A Follow that reached its limit leaves the guest listening: what it waits
	// for must not be the first byte of the next request.
	return g.link.Interrupt(ctx)
}

// Fetch asks a single call and returns its answer.
func Fetch[T any](ctx context.Context, g *Guest, call *Call[T]) (T, error) {
	if err := g.Ask(ctx, call); err != nil {
		var none T
		return none, err
	}
	return call.Answer()
}

// Wait blocks for d or until ctx is done, and returns ctx's error then.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
