package winrm

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
)

// logon is what has been authenticated on one connection: http.sys keeps the
// result of an NTLM handshake for as long as the connection lasts.
type logon struct {
	mu      sync.Mutex
	session *ntlmSession
	proven  *ntlmLogon
}

// account strips the domain or machine from a user name.
func account(user string) string {
	if at := strings.LastIndexByte(user, '\\'); at >= 0 {
		return user[at+1:]
	}
	return user
}

// verdict is what authentication says about a request.
type verdict struct {
	user      string
	ok        bool
	handshake bool   // the request was a step of a handshake
	token     string // to send back with the 401
}

// authenticate decides who sent the request.
func (s *Server) authenticate(r *http.Request, c *conn) verdict {
	if c == nil {
		return verdict{}
	}
	scheme, parameter, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	c.logon.mu.Lock()
	defer c.logon.mu.Unlock()
	switch strings.ToLower(scheme) {
	case "basic":
		return s.basic(r)
	case "negotiate", "ntlm":
		return s.negotiate(c, strings.TrimSpace(parameter))
	case "":
		if p := c.logon.proven; p != nil {
			_, ok := s.config.Windows.Password(account(p.user))
			return verdict{user: account(p.user), ok: ok}
		}
	}
	return verdict{}
}

// plainAllowed tells whether messages may come without encryption of their
// own.
func (s *Server) plainAllowed() bool { return s.config.TLS != nil || s.config.AllowUnencrypted }

// sealed tells whether the request's body is encrypted by NTLM.
func sealed(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/encrypted")
}

// unseal decrypts a request's body and returns what seals the answer.
func (c *conn) unseal(body []byte) (message []byte, out *sealing, err error) {
	c.logon.mu.Lock()
	defer c.logon.mu.Unlock()
	if c.logon.proven == nil || c.logon.proven.in == nil {
		return nil, nil, errSeal
	}
	message, err = c.logon.proven.in.open(body)
	return message, c.logon.proven.out, err
}

func (s *Server) basic(r *http.Request) verdict {
	user, password, ok := r.BasicAuth()
	if !ok || s.config.NoBasic || !s.plainAllowed() {
		return verdict{}
	}
	want, known := s.config.Windows.Password(account(user))
	same := subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
	return verdict{user: account(user), ok: known && same}
}

// negotiate takes a step of an NTLM handshake. The caller holds the lock.
func (s *Server) negotiate(c *conn, parameter string) verdict {
	token, err := base64.StdEncoding.DecodeString(parameter)
	if err != nil || s.config.NoNegotiate {
		return verdict{handshake: true}
	}
	if session := c.logon.session; session != nil && len(token) > 8 && token[8] == 3 {
		c.logon.session = nil
		proven, err := session.finish(token, func(user string) (string, bool) { return s.config.Windows.Password(account(user)) })
		if err != nil {
			return verdict{handshake: true}
		}
		c.logon.proven = proven
		return verdict{user: account(proven.user), ok: true}
	}
	session := &ntlmSession{machine: s.config.Machine}
	challenge, err := session.begin(token, s.config.Clock.Now())
	c.logon.session, c.logon.proven = nil, nil
	if err != nil {
		return verdict{handshake: true}
	}
	c.logon.session = session
	return verdict{handshake: true, token: base64.StdEncoding.EncodeToString(challenge)}
}

// challenge writes the header of a 401 answer.
func (s *Server) challenge(h http.Header, v verdict) {
	if v.token != "" {
		h.Add("WWW-Authenticate", "Negotiate "+v.token)
		return
	}
	if !s.config.NoNegotiate {
		h.Add("WWW-Authenticate", "Negotiate")
	}
	if !s.config.NoBasic {
		h.Add("WWW-Authenticate", `Basic realm="WSMAN"`)
	}
}
