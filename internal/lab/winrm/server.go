// Package winrm is the lab's Windows Remote Management: a WS-Management
// endpoint over HTTP or HTTPS with remote shells, as a Windows server has it
// on ports 5985 and 5986. What stands behind it, accounts and programs, is
// somebody else's: the [Windows] interface.
//
// It speaks the part of the protocol that shell clients use, the way Windows
// does: Create, Command, Send, Receive as a long poll, Signal, Delete, Get of
// winrm/config and Identify; Basic authentication and NTLM version 2 per
// connection, with sealed messages where the listener wants them; faults with the codes and shapes that a real server sends;
// quotas, the envelope limit and the 8191 characters of cmd.exe. Clients that
// were not written for it work with it: pywinrm, pypsrp and Packer's own
// communicator (see the tests).
//
// A rehearsal can put it out of order in one line ([Server.Break],
// [Server.Fail], [Server.DropShells], [Server.PowerOff], [Server.Intercept])
// and see what it cost ([Server.Stats]).
//
// Not modelled: Kerberos, CredSSP, client certificates, Negotiate wrapped in
// SPNEGO, channel binding, PowerShell remoting (PSRP), disconnected shells,
// and the compression of output.
//
// The protocol: [MS-WSMV], [MS-NLMP] and DMTF DSP0226.
package winrm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Server is one endpoint of one machine. It is safe for concurrent use.
type Server struct {
	config  Config
	ctx     context.Context
	stop    context.CancelCauseFunc
	http    *http.Server
	network *network
	work    sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	handlers  int           // requests being handled
	drained   chan struct{} // closed when closed is set and no handler is left
	shells    map[string]*shell
	delaysNow Delays
	failures  []failure
	intercept Interceptor

	statsMu sync.Mutex
	stats   Stats
}

type connKey struct{}

// closeLimit is how long Close waits for commands that ignore their context.
const closeLimit = 10 * time.Second

// Start opens an endpoint on a loopback address. It lives until Close or the
// end of ctx.
func Start(ctx context.Context, config Config) (*Server, error) {
	s, err := prepare(ctx, config)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(s.config.Address)
	if err != nil {
		return nil, fmt.Errorf("address of the WinRM endpoint: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("the lab's WinRM endpoint listens on loopback only, not on %q", host)
	}
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.network.address = s.config.Address
	if err := s.network.listen(); err != nil {
		s.stop(err)
		return nil, err
	}
	return s, nil
}

// Serve opens an endpoint on a listener that the caller has made, such as one
// in memory. Breaks that close the listener can not be mended then.
func Serve(ctx context.Context, config Config, l net.Listener) (*Server, error) {
	s, err := prepare(ctx, config)
	if err != nil {
		return nil, err
	}
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.network.serve(l)
	return s, nil
}

func prepare(ctx context.Context, config Config) (*Server, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		config: config, delaysNow: config.Delays, shells: map[string]*shell{}, drained: make(chan struct{}),
		stats: Stats{ByAction: map[string]int{}},
	}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	context.AfterFunc(s.ctx, s.shutDown)
	s.network = &network{server: s, conns: map[*conn]struct{}{}}
	if config.TLS != nil {
		s.network.tls = config.TLS.Clone()
		s.network.tls.NextProtos = []string{"http/1.1"}
	}
	s.http = &http.Server{
		Handler:           s,
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(c))
		},
	}
	return s, nil
}

// Addr returns the address that the endpoint listens on, also while it is out
// of order.
func (s *Server) Addr() *net.TCPAddr {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	// An address that is not TCP's gives the zero address.
	addr, err := net.ResolveTCPAddr("tcp", s.network.address)
	if err != nil {
		return &net.TCPAddr{}
	}
	return addr
}

// URL returns the endpoint's address as clients write it.
func (s *Server) URL() string {
	scheme := "http"
	if s.config.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + s.Addr().String() + "/wsman"
}

// Close ends everything that the endpoint has started and waits for it. Its
// error says that a command did not come back although its context had ended.
func (s *Server) Close() error {
	s.shutDown()
	done := make(chan struct{})
	go func() {
		<-s.drained
		s.work.Wait()
		close(done)
	}()
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("closing the WinRM endpoint: %d commands still run %s after their context has ended", s.Stats().Running, closeLimit)
	}
}

// shutDown ends everything and waits for nothing. It may be called again.
func (s *Server) shutDown() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.handlers == 0 {
			close(s.drained)
		}
	}
	s.mu.Unlock()
	s.stop(ErrPowerOff)
	s.dropShells(ErrPowerOff)
	s.network.close()
	// The listener is closed already; what remains are idle connections.
	_ = s.http.Close()
}

// begin admits a request; it is false once the endpoint is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.handlers++
	return true
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers--
	if s.closed && s.handlers == 0 {
		close(s.drained)
	}
}

// forget closes a shell that is no longer in the map.
func (s *Server) forget(sh *shell, cause error) {
	sh.close(cause)
	s.count(func(stats *Stats) { stats.OpenShells-- })
}

// create opens a shell. The error is a *Fault.
func (s *Server) create(ctx context.Context, r *request, user string) (*shell, error) {
	if err := s.config.Clock.Wait(ctx, s.delays().ShellStart); err != nil {
		return nil, FaultAborted()
	}
	sh := &shell{
		server: s, id: r.shell.id, user: user, processes: map[string]*process{},
		inputStreams: r.shell.inputStreams, outputStreams: r.shell.outputStreams, environment: r.shell.environment,
		directory: r.shell.workingDirectory, noProfile: strings.EqualFold(r.options["WINRS_NOPROFILE"], "TRUE"),
		idleTimeout: s.config.IdleTimeout,
	}
	if sh.id == "" {
		sh.id = newID()
	}
	// A code page that is no number is Windows' default.
	_, _ = fmt.Sscanf(r.options["WINRS_CODEPAGE"], "%d", &sh.codePage)
	if r.shell.idleTimeout > 0 {
		sh.idleTimeout = min(sh.idleTimeout, r.shell.idleTimeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, FaultShutdown()
	}
	open := 0
	for _, other := range s.shells {
		if strings.EqualFold(other.user, user) {
			open++
		}
	}
	if limit := s.config.MaxShellsPerUser; limit > 0 && open >= limit {
		return nil, faultShellQuota(limit)
	}
	if s.shells[sh.id] != nil {
		return nil, faultSchema("a shell with this id exists already")
	}
	s.shells[sh.id] = sh
	sh.idle = time.AfterFunc(s.config.Clock.Real(sh.idleTimeout), func() {
		// Losing the race against a request that deletes it is no harm.
		_ = s.remove(sh.id, ErrTerminated)
	})
	s.count(func(stats *Stats) { stats.Shells++; stats.OpenShells++ })
	return sh, nil
}

// shell finds a shell that belongs to the user. The error is a *Fault.
func (s *Server) shell(id, user string) (*shell, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shells[id]
	if sh == nil || !strings.EqualFold(sh.user, user) {
		return nil, FaultShellNotFound(id)
	}
	return sh, nil
}

// remove closes a shell. The error is a *Fault.
func (s *Server) remove(id string, cause error) error {
	s.mu.Lock()
	sh := s.shells[id]
	delete(s.shells, id)
	s.mu.Unlock()
	if sh == nil {
		return FaultShellNotFound(id)
	}
	s.forget(sh, cause)
	return nil
}

// operationTimeout is how long a request may take.
func (s *Server) operationTimeout(r *request) time.Duration {
	if r.timeout <= 0 || r.timeout > s.config.MaxTimeout {
		return s.config.MaxTimeout
	}
	return r.timeout
}

// carryOut does what a request asks. The error is a *Fault, or ctx's.
func (s *Server) carryOut(ctx context.Context, r *request, user, to, clientIP string) (*answer, error) {
	switch {
	case r.notUnderst != "":
		return nil, faultMustUnderstand(r.notUnderst)
	case r.action == actionGet && r.resource == resourceConfig:
		return answerConfig(&s.config), nil
	case r.resource != resourceShell:
		return nil, faultResource(r.resource)
	case r.action == actionCreate:
		sh, err := s.create(ctx, r, user)
		if err != nil {
			return nil, err
		}
		return answerCreate(sh, to, clientIP), nil
	case r.name() == ActionOther || r.action == actionGet:
		return nil, faultUnsupported(r.action)
	}
	sh, err := s.shell(r.shellID, user)
	if err != nil {
		return nil, err
	}
	sh.enter()
	defer sh.leave()
	switch r.action {
	case actionDelete:
		if err := s.remove(sh.id, ErrTerminated); err != nil {
			return nil, err
		}
		return answerDelete(), nil
	case actionCommand:
		p, err := sh.start(r)
		if err != nil {
			return nil, err
		}
		return answerCommand(p.id), nil
	case actionSignal:
		if err := sh.signal(r.commandID, r.signal); err != nil {
			return nil, err
		}
		return answerSignal(), nil
	case actionSend:
		return s.send(ctx, sh, r)
	default:
		return s.receive(ctx, sh, r)
	}
}

func (s *Server) send(ctx context.Context, sh *shell, r *request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Clock.Real(s.operationTimeout(r)))
	defer cancel()
	for _, stream := range r.input {
		p, err := sh.process(stream.commandID)
		if err != nil {
			return nil, err
		}
		if stream.name != "stdin" {
			return nil, faultSchema("there is no input stream of that name")
		}
		if err := p.stdin.send(ctx, stream.data, stream.end); err != nil {
			return nil, timedOut(err)
		}
	}
	return answerSend(), nil
}

func (s *Server) receive(ctx context.Context, sh *shell, r *request) (*answer, error) {
	p, err := sh.process(r.commandID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Clock.Real(s.operationTimeout(r)))
	defer cancel()
	envelope := s.config.MaxEnvelopeSizekb << 10
	if r.maxEnvelope > 0 {
		envelope = min(envelope, r.maxEnvelope)
	}
	// Base64 makes four bytes of three, and each piece has its element.
	o, err := p.out.receive(ctx, r.streams, max(512, (envelope-4096)/4*3))
	if err != nil {
		return nil, timedOut(err)
	}
	return answerReceive(p.id, o), nil
}

// timedOut turns the end of an operation's time into its fault.
func timedOut(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return FaultTimedOut()
	}
	return err
}
