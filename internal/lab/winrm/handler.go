package winrm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

const (
	contentType = "application/soap+xml;charset=UTF-8"
	product     = "Microsoft-HTTPAPI/2.0"
	path        = "/wsman"
	// readLimit bounds what is read of a request before anybody looks at it.
	readLimit = 16 << 20
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.end()
	ctx := r.Context()
	body, err := io.ReadAll(io.LimitReader(r.Body, readLimit+1))
	if err != nil {
		return // the client is gone
	}
	s.count(func(stats *Stats) { stats.Requests++; stats.BytesIn += int64(len(body)) })
	if err := s.config.Clock.Wait(ctx, s.delays().RoundTrip); err != nil {
		s.vanish(w, false)
		return
	}
	reply := s.handle(w, r, body)
	if reply == nil {
		return // answered by the interceptor, or nobody is left to answer
	}
	s.write(ctx, w, reply)
}

// reply is the answer to one HTTP request.
type reply struct {
	status int
	kind   string // content type, often none
	body   []byte
	header http.Header // what else stands in the header
}

func plainReply(status int) *reply { return &reply{status: status, header: http.Header{}} }

func soapReply(status int, body []byte) *reply {
	return &reply{status: status, kind: contentType, body: body, header: http.Header{}}
}

// handle decides on the answer to one HTTP request, nil when there is none to
// send.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, body []byte) *reply {
	switch {
	case r.URL.Path != path:
		return plainReply(http.StatusNotFound)
	case r.Method != http.MethodPost:
		return plainReply(http.StatusMethodNotAllowed)
	case len(body) > readLimit:
		return plainReply(http.StatusRequestEntityTooLarge)
	}
	soap := strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/soap+xml")
	if strings.EqualFold(r.Header.Get("WSMANIDENTIFY"), "unauthenticated") && soap {
		if request, err := parseRequest(body); err == nil && request.identify {
			s.countAction(ActionIdentify)
			return soapReply(http.StatusOK, answerIdentify(false))
		}
	}
	own, _ := r.Context().Value(connKey{}).(*conn)
	v := s.authenticate(r, own)
	if v.handshake {
		s.countAction(ActionHandshake)
	}
	var out *sealing
	if v.ok && sealed(r) {
		var err error
		if body, out, err = own.unseal(body); err != nil {
			v = verdict{}
		}
	}
	// The last step of a handshake may come without a message; anything else
	// that is not sealed begins a new handshake where it has to be.
	plain := out == nil && (len(body) > 0 || r.Header.Get("Authorization") == "")
	if !v.ok || plain && !s.plainAllowed() || s.network.current() == Unauthorized {
		s.count(func(stats *Stats) { stats.Unauthorized++ })
		refusal := plainReply(http.StatusUnauthorized)
		s.challenge(refusal.header, v)
		return refusal
	}
	switch {
	case len(body) == 0:
		// The client has only authenticated its connection.
		s.countAction(ActionHandshake)
		return plainReply(http.StatusOK)
	case len(body) > s.config.MaxEnvelopeSizekb<<10:
		return plainReply(http.StatusRequestEntityTooLarge)
	case !soap && out == nil:
		return plainReply(http.StatusUnsupportedMediaType)
	}
	answer := s.message(w, r, body, v.user)
	if answer != nil && out != nil {
		own.logon.mu.Lock()
		defer own.logon.mu.Unlock()
		answer.kind, answer.body = sealedType, out.seal(answer.body)
	}
	return answer
}

// message answers an authenticated SOAP message.
func (s *Server) message(w http.ResponseWriter, r *http.Request, body []byte, user string) *reply {
	request, err := parseRequest(body)
	name := ActionOther
	if request != nil {
		name = request.name()
	}
	s.countAction(name)
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		if intercept(w, r, name) {
			return nil
		}
	}
	if err == nil && request.identify {
		return soapReply(http.StatusOK, answerIdentify(true))
	}
	var a *answer
	if fault := s.failureFor(name); fault != nil {
		err = fault
	}
	if err == nil {
		clientIP, _, splitErr := net.SplitHostPort(r.RemoteAddr)
		if splitErr != nil {
			clientIP = r.RemoteAddr
		}
		a, err = s.carryOut(r.Context(), request, user, "http://"+r.Host+path, clientIP)
	}
	if err != nil {
		var fault *Fault
		if !errors.As(err, &fault) {
			s.vanish(w, false) // the client went away, or the endpoint does
			return nil
		}
		s.count(func(stats *Stats) { stats.Faults++ })
		a = answerFault(fault, s.config.Machine)
	}
	messageID := ""
	if request != nil {
		messageID = request.messageID
	}
	return soapReply(a.status, a.envelope(messageID))
}

func (s *Server) countAction(name string) {
	s.count(func(stats *Stats) { stats.ByAction[name]++ })
}

// write sends an answer, or what is left of it when the endpoint is out of
// order.
func (s *Server) write(ctx context.Context, w http.ResponseWriter, a *reply) {
	status, kind, body := a.status, a.kind, a.body
	switch s.network.current() {
	case BlackHole:
		<-ctx.Done()
		s.vanish(w, false)
		return
	case Reset:
		s.vanish(w, true)
		return
	case Unavailable:
		status, kind, body = http.StatusServiceUnavailable, "text/html; charset=us-ascii", []byte("<h2>Service Unavailable</h2>\r\n<hr><p>HTTP Error 503. The service is unavailable.</p>\r\n")
	case Malformed:
		status, kind, body = http.StatusOK, contentType, []byte("<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body>\x00\xff<<<")
	case Empty:
		status, kind, body = http.StatusOK, contentType, nil
	case ResetAfterHeaders:
		s.breakOff(w, status, kind, body)
		return
	}
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	h.Set("Server", product)
	if kind != "" {
		h.Set("Content-Type", kind)
	} else {
		h["Content-Type"] = nil // none, not a guess
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	// A client that does not listen any more is its own affair.
	n, _ := w.Write(body)
	s.count(func(stats *Stats) { stats.BytesOut += int64(n) })
}

// breakOff sends the header and the beginning of an answer and resets the
// connection.
func (s *Server) breakOff(w http.ResponseWriter, status int, kind string, body []byte) {
	c, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(buffer, "HTTP/1.1 %d %s\r\nServer: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", status, http.StatusText(status), product, kind, len(body)+1)
	// The connection is about to end; what did not get out is lost with it.
	_, _ = buffer.Write(body[:len(body)/2])
	_ = buffer.Flush()
	s.drop(c, true)
}

// vanish ends the request's connection without an answer.
func (s *Server) vanish(w http.ResponseWriter, rst bool) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	s.drop(c, rst)
}

func (s *Server) drop(c net.Conn, rst bool) {
	own := connOf(c)
	if own == nil || !rst {
		_ = c.Close()
		return
	}
	s.network.mu.Lock()
	delete(s.network.conns, own)
	s.network.mu.Unlock()
	abort(own.Conn)
}
