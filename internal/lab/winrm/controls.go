package winrm

import "net/http"

// Interceptor sees each authenticated request before the endpoint does. It
// returns true when it has answered itself. action is one of the Action
// constants; the request's body can be read.
type Interceptor func(w http.ResponseWriter, r *http.Request, action string) (handled bool)

// failure is a fault that waits for its request.
type failure struct {
	action string
	left   int
	fault  *Fault
}

func (s *Server) delays() Delays {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delaysNow
}

// SetDelays changes the times that things take from here on.
func (s *Server) SetDelays(d Delays) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delaysNow = d
}

// Break puts the endpoint out of order until [Server.Mend] or another Break.
// Its error says that it could not listen on its port again.
func (s *Server) Break(b Break) error { return s.network.set(b) }

// Mend puts the endpoint in order again, on the port that it had.
func (s *Server) Mend() error { return s.network.set(Healthy) }

// Fail answers the nth request of that action from now on (1 is the next)
// with the fault.
func (s *Server) Fail(action string, nth int, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, failure{action, nth, fault})
}

// Intercept sets the hook that sees requests first; nil removes it.
func (s *Server) Intercept(hook Interceptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = hook
}

// DropShells ends all shells, as a restart of the service does: pending
// operations are aborted (995) and later ones do not find their shell.
func (s *Server) DropShells() { s.dropShells(ErrServiceStopped) }

func (s *Server) dropShells(cause error) {
	s.mu.Lock()
	shells := s.shells
	s.shells = map[string]*shell{}
	s.mu.Unlock()
	for _, sh := range shells {
		s.forget(sh, cause)
	}
}

// PowerOff ends all shells and takes the machine off the network: how is
// Refused, Reset or BlackHole.
func (s *Server) PowerOff(how Break) error {
	err := s.network.set(how)
	s.dropShells(ErrPowerOff)
	return err
}

// PowerOn brings the machine back on the same port, with no shells.
func (s *Server) PowerOn() error { return s.network.set(Healthy) }

// failureFor takes the fault that waits for this request, if any.
func (s *Server) failureFor(action string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fault *Fault
	kept := s.failures[:0]
	for _, f := range s.failures {
		if f.action == action {
			f.left--
		}
		if f.left <= 0 && fault == nil {
			fault = f.fault
			continue
		}
		kept = append(kept, f)
	}
	s.failures = kept
	return fault
}
