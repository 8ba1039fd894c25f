package ec2

import (
	"encoding/base64"
	"strings"
	"time"
)

// consoleLimit is how much of the console GetConsoleOutput returns: the last
// 64 KB (API Reference, GetConsoleOutput).
const consoleLimit = 64 << 10

// consolePost is a console text that EC2 has taken over from a machine at a
// moment and shows, without Latest, from ConsoleLag later on.
type consolePost struct {
	taken time.Time
	text  []byte
}

// postConsole takes over an instance's console text after an event of its
// life. The lock is held.
func (s *Server) postConsole(i *instance) {
	machine := i.Machine
	if machine == nil {
		return
	}
	s.effect(func() {
		text := machine.Console()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keepPost(i, text, s.Now())
	})
}

// readConsole takes over the console text of the instance that a request
// names. The machine is asked without the lock.
func (s *Server) readConsole(r *request) {
	s.mu.Lock()
	i, ok := s.region(r.signer.region).instances.find(r.params.get("InstanceId"))
	var machine Machine
	if ok {
		machine = i.Machine
	}
	s.mu.Unlock()
	if machine == nil {
		return
	}
	text := machine.Console()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepPost(i, text, r.now)
}

// keepPost stores a console text and drops what can never be shown again.
func (s *Server) keepPost(i *instance, text []byte, now time.Time) {
	if len(text) > consoleLimit {
		text = text[len(text)-consoleLimit:]
	}
	i.posts = append(i.posts, consolePost{taken: now, text: append([]byte(nil), text...)})
	first := 0
	for n, post := range i.posts {
		if !post.taken.Add(s.timing.ConsoleLag).After(now) {
			first = n
		}
	}
	i.posts = i.posts[first:]
}

type consoleAnswer struct {
	answer
	InstanceID string `xml:"instanceId"`
	Timestamp  string `xml:"timestamp"`
	Output     string `xml:"output,omitempty"`
}

func getConsoleOutput(r *request) (reply, *Error) {
	i, err := r.region.instances.one(r.params.get("InstanceId"))
	if err != nil {
		return nil, err
	}
	latest, err := r.params.boolean("Latest")
	if err != nil {
		return nil, err
	}
	if latest && !nitro(i.Type) {
		return nil, errorf("UnsupportedOperation", "The latest console output is not supported for instance type '%s'", i.Type)
	}
	out := &consoleAnswer{InstanceID: i.ID, Timestamp: formatTime(r.now)}
	for _, post := range i.posts {
		if latest || !post.taken.Add(r.server.timing.ConsoleLag).After(r.now) {
			out.Timestamp, out.Output = formatTime(post.taken), base64.StdEncoding.EncodeToString(post.text)
		}
	}
	return out, nil
}

// nitro says whether an instance type runs on the Nitro system, which the
// latest console output needs. The families listed here are the older ones
// that run on Xen (EC2 User Guide, "Instance types").
func nitro(instanceType string) bool {
	family, size, _ := strings.Cut(instanceType, ".")
	switch family {
	case "a1":
		return true
	case "c1", "c3", "c4", "d2", "f1", "g2", "g3", "h1", "i2", "i3", "m1", "m2", "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e":
		return strings.HasPrefix(size, "metal")
	}
	return true
}
