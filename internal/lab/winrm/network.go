package winrm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Break is a way in which an endpoint can be out of order.
type Break int

// The ways in which an endpoint can be out of order.
const (
	// Healthy means that nothing is wrong.
	Healthy Break = iota
	// Refused: nobody listens any more and existing connections are closed,
	// as when the service has stopped.
	Refused
	// Reset: existing connections are reset, new ones too as soon as they
	// are accepted.
	Reset
	// BlackHole: connections are accepted and never answered, as behind a
	// network card that is gone. (A real one would not even accept.)
	BlackHole
	// Unauthorized: every request gets 401.
	Unauthorized
	// Unavailable: every request gets 503 without a SOAP body, as when
	// http.sys is up and WinRM is not.
	Unavailable
	// ResetAfterHeaders: each answer breaks off after its HTTP header.
	ResetAfterHeaders
	// Malformed: each answer is HTTP 200 with a SOAP content type and a body
	// that is no XML.
	Malformed
	// Empty: each answer is HTTP 200 with a SOAP content type and no body.
	Empty
)

// network is the machine's side of the wire.
type network struct {
	server *Server
	tls    *tls.Config

	mu       sync.Mutex
	address  string
	mode     Break
	listener net.Listener
	conns    map[*conn]struct{}
	held     []net.Conn // accepted into a black hole
	closed   bool
}

// listen opens the listener, at the address it had before if there was one.
// The caller holds the lock.
func (n *network) listen() error {
	l, err := net.Listen("tcp", n.address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", n.address, err)
	}
	n.serve(l)
	return nil
}

// serve hands a listener to the HTTP server. The caller holds the lock.
func (n *network) serve(l net.Listener) {
	if n.closed {
		// Nobody has seen the listener yet.
		_ = l.Close()
		return
	}
	n.listener, n.address = l, l.Addr().String()
	var wrapped net.Listener = &listener{Listener: l, network: n}
	if n.tls != nil {
		wrapped = tls.NewListener(wrapped, n.tls)
	}
	n.server.work.Add(1)
	go func() {
		defer n.server.work.Done()
		// It ends when the listener is closed, which is no failure.
		_ = n.server.http.Serve(wrapped)
	}()
}

// set changes the way in which the endpoint is broken.
func (n *network) set(mode Break) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("the endpoint is closed")
	}
	n.mode = mode
	switch mode {
	case Refused:
		n.hangUp(false)
	case Reset:
		n.reset()
	case BlackHole:
	default:
		for _, c := range n.held {
			abort(c)
		}
		n.held = nil
	}
	if mode != Refused && n.listener == nil {
		return n.listen()
	}
	return nil
}

// hangUp closes the listener and all connections. The caller holds the lock.
func (n *network) hangUp(rst bool) {
	if n.listener != nil {
		// There is nothing to do about a listener that does not close.
		_ = n.listener.Close()
		n.listener = nil
	}
	if rst {
		n.reset()
	}
	for c := range n.conns {
		_ = c.Conn.Close()
	}
	for _, c := range n.held {
		_ = c.Close()
	}
	n.held = nil
}

func (n *network) reset() {
	for c := range n.conns {
		abort(c.Conn)
	}
	for _, c := range n.held {
		abort(c)
	}
	n.held = nil
}

func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.hangUp(false)
}

func (n *network) current() Break {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mode
}

// abort closes a connection so that the other side sees a reset.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		// Without it the close is an orderly one, which is the next best.
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// listener accepts connections as the network's mode has it.
type listener struct {
	net.Listener
	network *network
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.network.admit(raw); c != nil {
			return c, nil
		}
	}
}

// admit returns nil for a connection that the server never gets to see.
func (n *network) admit(raw net.Conn) net.Conn {
	n.server.count(func(stats *Stats) { stats.Connections++ })
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed || n.mode == Reset || n.mode == Refused:
		abort(raw)
		return nil
	case n.mode == BlackHole:
		n.held = append(n.held, raw)
		return nil
	}
	c := &conn{Conn: raw, network: n}
	n.conns[c] = struct{}{}
	return c
}

// conn is an accepted connection and what was authenticated on it.
type conn struct {
	net.Conn
	network *network
	logon   logon
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

// connOf finds our connection under TLS, if there is one.
func connOf(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	own, _ := c.(*conn)
	return own
}
