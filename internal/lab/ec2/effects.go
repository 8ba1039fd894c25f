package ec2

import "time"

// Machine is what an instance runs on. The server calls it without holding any
// lock, so that a machine may call the server. PowerOn and PowerOff are called
// one at a time, in the order of the events that caused the calls; Console may
// be called at any time.
type Machine interface {
	// PowerOn switches the machine on: its instance has become running, or is
	// being rebooted.
	PowerOn()
	// PowerOff switches the machine off: EC2 stops, terminates or reboots its
	// instance. It is not called for a guest that shut itself down.
	PowerOff()
	// Console returns all that the machine has printed to its first serial
	// port so far.
	Console() []byte
}

// effect has a call made to a machine after the lock was released. The lock is
// held.
func (s *Server) effect(call func()) {
	if !s.closed {
		s.effects = append(s.effects, call)
	}
}

// drain makes the calls that are due. A machine may call the server from
// within its own methods: what that causes is done by the drain which runs.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	for len(s.effects) > 0 {
		next := s.effects[0]
		s.effects = s.effects[1:]
		s.mu.Unlock()
		next()
		s.mu.Lock()
	}
	s.draining = false
}

// arm has an instance's state settled at the moment due, so that its machine
// is switched on then and not at the next request. The lock is held.
func (s *Server) arm(i *instance, due time.Time) {
	if s.closed || i.Machine == nil {
		return
	}
	s.inflight.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(s.opts.Clock.Real(due.Sub(s.Now())), func() {
		defer s.inflight.Done()
		s.mu.Lock()
		delete(s.timers, timer)
		// The clock's division may round to a moment just before due.
		now := s.Now()
		if now.Before(due) {
			now = due
		}
		s.advance(i, now)
		s.mu.Unlock()
		s.drain()
	})
	s.timers[timer] = struct{}{}
}

func (s *Server) powerOn(i *instance) {
	if i.Machine != nil && !i.powered {
		i.powered = true
		s.effect(i.Machine.PowerOn)
	}
}

func (s *Server) powerOff(i *instance) {
	if i.Machine != nil && i.powered {
		i.powered = false
		s.effect(i.Machine.PowerOff)
	}
}

// reboot switches a machine off and on; launch time and state stay.
func (s *Server) reboot(i *instance) {
	s.powerOff(i)
	s.powerOn(i)
	s.postConsole(i)
}
