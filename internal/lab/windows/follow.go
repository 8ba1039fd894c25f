package windows

import (
	"bytes"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// maxLogPiece and maxDocument are guest.ps1's.
const (
	maxLogPiece = 32 << 10
	maxDocument = 64 << 10
)

// follower is one Follow that is going on.
type follower struct {
	args      guest.FollowArgs
	offsets   []int64
	documents []*[]byte
	values    []*guest.Value
	processes *[]guest.Running
}

// follow sends an event whenever something changed, until its limit or until
// something arrives on stdin.
func (p *process) follow(in *input, id int64, args guest.FollowArgs) (any, error) {
	if args.Milliseconds == 0 {
		args.Milliseconds = 1000
	}
	if args.Heartbeat == 0 {
		args.Heartbeat = 30000
	}
	f := &follower{
		args:      args,
		offsets:   make([]int64, len(args.Logs)),
		documents: make([]*[]byte, len(args.Documents)),
		values:    make([]*guest.Value, len(args.Values)),
	}
	for i, log := range args.Logs {
		if log.Path == "" {
			return nil, invalid("no path")
		}
		f.offsets[i] = log.Offset
	}
	if args.Listen {
		in.listen()
	}
	began := p.guest.clock.Now()
	elapsed := func() int64 { return p.guest.clock.Now().Sub(began).Milliseconds() }
	var number, sentAt int64
	for {
		event := &guest.Event{}
		changed := false
		if !p.do(func(g *Guest) { changed = f.look(g, event) }) {
			return nil, failed("the process was ended")
		}
		now := elapsed()
		if changed || number == 0 || now-sentAt >= args.Heartbeat {
			number++
			sentAt = now
			event.N, event.Elapsed = number, now
			if err := p.send(guest.Reply{ID: id, Event: event}); err != nil {
				return nil, failed(err.Error())
			}
		}
		if args.Listen && in.heard() {
			return guest.Followed{Ended: "input"}, nil
		}
		if elapsed() >= args.Limit {
			return guest.Followed{Ended: "limit"}, nil
		}
		if len(event.Logs) == 0 && !p.wait(time.Duration(args.Milliseconds)*time.Millisecond) {
			return nil, failed("the process was ended")
		}
	}
}

// look fills an event with what has changed since the last look and says
// whether anything has. The lock is held.
func (f *follower) look(g *Guest, event *guest.Event) (changed bool) {
	for i, log := range f.args.Logs {
		n := g.disk.file(g.expand(log.Path))
		if n == nil {
			continue
		}
		if int64(len(n.data)) < f.offsets[i] {
			f.offsets[i] = 0
		}
		piece := g.piece(n.path, f.offsets[i], maxLogPiece)
		if len(piece.Data) > 0 {
			event.Logs = append(event.Logs, guest.LogPiece{Path: log.Path, Offset: piece.Offset, Data: piece.Data})
			f.offsets[i] = piece.Offset + int64(len(piece.Data))
			changed = true
		}
	}
	for i, path := range f.args.Documents {
		data := g.piece(g.expand(path), 0, maxDocument).Data
		if f.documents[i] == nil || !bytes.Equal(*f.documents[i], data) {
			f.documents[i] = &data
			event.Documents = append(event.Documents, guest.Document{Path: path, Data: data})
			changed = true
		}
	}
	for i, args := range f.args.Values {
		if g.checkKey(args.Path) != nil {
			continue
		}
		value := g.hive.read(args.Path, args.Name)
		if value.Exists {
			value.Name = args.Name
		}
		if f.values[i] == nil || !identical(*f.values[i], value) {
			f.values[i] = &value
			event.Values = append(event.Values, guest.SeenValue{Path: args.Path, Name: args.Name, Value: value})
			changed = true
		}
	}
	running := g.list(f.args.Processes)
	if f.processes == nil || !sameProcesses(*f.processes, running) {
		f.processes = &running
		changed = true
	}
	event.Time = stamp(g.nowLocked())
	event.Processes = running
	return changed
}

func sameProcesses(a, b []guest.Running) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
