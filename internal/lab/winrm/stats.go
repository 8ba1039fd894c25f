package winrm

import "maps"

// Stats are the endpoint's counters since it started.
type Stats struct {
	// Requests is the number of HTTP requests, whatever became of them.
	Requests int
	// ByAction counts the requests that reached their action, and the steps
	// of NTLM handshakes.
	ByAction map[string]int
	// Unauthorized counts the 401 answers, those of handshakes included.
	Unauthorized int
	// Faults counts the SOAP faults answered.
	Faults int
	// Connections is the number of TCP connections accepted.
	Connections int
	// Shells and Commands are how many were opened; Running is how many
	// commands run now, OpenShells how many shells are open now.
	Shells, Commands, Running, OpenShells int
	// BytesIn and BytesOut are the bytes of HTTP bodies.
	BytesIn, BytesOut int64
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	s.statsMu.Lock()
	defer s.statsMu.Unlock()
	stats := s.stats
	stats.ByAction = maps.Clone(s.stats.ByAction)
	return stats
}

func (s *Server) count(change func(*Stats)) {
	s.statsMu.Lock()
	defer s.statsMu.Unlock()
	change(&s.stats)
}
