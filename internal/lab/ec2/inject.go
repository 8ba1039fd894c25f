package ec2

import (
	"net/http"
	"time"
)

// Fault is something that goes wrong with calls of an action.
type Fault struct {
	// Action is the action it happens to; empty means any.
	Action string
	// Skip is the number of matching calls that pass before it begins.
	Skip int
	// Times is the number of calls it happens to. Zero means one, a negative
	// number means all.
	Times int
	// Code, if set, is answered instead of doing anything.
	Code string
	// Message belongs to Code.
	Message string
	// Status is the HTTP status of Code. Zero means EC2's own.
	Status int
	// Delay is how long the call waits first, on the lab's clock.
	Delay time.Duration
	// Drop closes the connection before anything is done.
	Drop bool
	// Lose does what was asked and then closes the connection without an
	// answer.
	Lose bool
}

func (f Fault) message() string {
	if f.Message != "" {
		return f.Message
	}
	switch f.Code {
	case "RequestLimitExceeded":
		return "Request limit exceeded."
	case "InternalError":
		return "An internal error has occurred"
	case "Unavailable":
		return "The service is unavailable. Please try again shortly."
	}
	return "Injected by the test"
}

// imageFailure is the end of an image that is still to be created.
type imageFailure struct{ code, message string }

// idempotent is what a client token stands for.
type idempotent struct {
	params string
	id     string
}

// Inject makes faults happen. Faults apply in the order of their injection,
// one to a call.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Throttle answers the next n calls of an action with RequestLimitExceeded.
func (s *Server) Throttle(action string, n int) {
	s.Inject(Fault{Action: action, Times: n, Code: "RequestLimitExceeded"})
}

// FailNext answers the next n calls of an action with an error code.
func (s *Server) FailNext(action string, n int, code, message string) {
	s.Inject(Fault{Action: action, Times: n, Code: code, Message: message})
}

// LoseAnswer carries the next call of an action out and then closes the
// connection without an answer.
func (s *Server) LoseAnswer(action string) {
	s.Inject(Fault{Action: action, Lose: true})
}

// Delay lets the next n calls of an action wait for d, on the lab's clock.
func (s *Server) Delay(action string, n int, d time.Duration) {
	s.Inject(Fault{Action: action, Times: n, Delay: d})
}

// HideNew makes every resource that the API creates from now on invisible to
// the first n requests that would meet it: those that name it end with NotFound,
// lists leave it out. It is EC2's eventual consistency.
func (s *Server) HideNew(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hideNew = n
}

// FailNextImage lets the next image that CreateImage or CopyImage makes end
// as failed, with this reason.
func (s *Server) FailNextImage(code, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, imageFailure{code, message})
}

// ClearFaults forgets all faults that have not happened yet.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.failures, s.hideNew = nil, nil, 0
}

// takeFault returns the fault that happens to a call of action, if any.
func (s *Server) takeFault(action string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Action != "" && f.Action != action {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return *f
	}
	return Fault{}
}

// hangUp closes a request's connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be closed: "+err.Error(), http.StatusBadGateway)
		return
	}
	_ = conn.Close() // there is nobody left to tell
}
