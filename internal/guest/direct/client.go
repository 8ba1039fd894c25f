// Package direct talks to a guest's WinRM listener without Packer's
// communicator: one shell, one command, its standard input, output and error.
//
// The messages are those of the library that all of Packer uses,
// github.com/masterzen/winrm. Its transports and its loop for the output are
// not used, because they lose SOAP faults, spin, ignore contexts and can
// panic: what goes over the wire, how long it may take and what a failure
// means is decided here. Every request carries a context and a limit, every
// failure has a type ([Fault], [ExchangeError], [CertificateError]) and a kind
// ([Classify]), and a session that is lost stays lost: the caller opens
// another one.
//
// The package knows nothing about PowerShell, the guest protocol or Sysprep.
package direct

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Client is one guest with one account. It holds connections, no sessions,
// and is safe for concurrent use.
type Client struct {
	opts  Options
	url   string
	trust *trust

	mu        sync.Mutex
	lanes     []*lane // not in use
	closed    bool
	abandoned []string // shells of lost sessions, to be deleted
	stats     Stats
}

// Stats are what a Client has cost so far.
type Stats struct {
	// Requests is the number of HTTP requests.
	Requests int
	// ByAction counts them by what was asked: Identify, Alive, Create, Command,
	// Send, Receive, Signal, Delete; Handshake are the requests that NTLM
	// adds.
	ByAction map[string]int
	// Shells and Processes are how many were opened.
	Shells, Processes int
	// BytesSent and BytesReceived are the bytes of HTTP bodies.
	BytesSent, BytesReceived int64
}

// Dial checks the options and returns a client. It does not touch the
// network; its error names every option that is wrong.
func Dial(opts Options) (*Client, error) {
	pool, err := opts.complete()
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if opts.UseSSL {
		scheme = "https"
	}
	address := url.URL{Scheme: scheme, Host: net.JoinHostPort(opts.Host, strconv.Itoa(opts.Port)), Path: "/wsman"}
	return &Client{
		opts: opts, url: address.String(), trust: newTrust(&opts, pool),
		stats: Stats{ByAction: map[string]int{}},
	}, nil
}

// URL is the address of the listener, without credentials.
func (c *Client) URL() string { return c.url }

// Close ends the idle connections. Processes are to be closed before.
func (c *Client) Close() {
	c.mu.Lock()
	lanes := c.lanes
	c.lanes, c.closed = nil, true
	c.mu.Unlock()
	for _, l := range lanes {
		l.transport.CloseIdleConnections()
	}
}

// Stats returns the counters as they are now.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.ByAction = maps.Clone(c.stats.ByAction)
	return stats
}

func (c *Client) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// Probe asks the listener who it is, with the credentials: one request (two
// with NTLM) that tries TCP, TLS and authentication and starts nothing on the
// guest. Its error is, for errors.Is, one of ErrUnauthorized, ErrRefused,
// ErrCertificate, ErrUnreachable and ErrNotWinRM; others, such as a reset
// connection, have only their kind ([Classify]).
func (c *Client) Probe(ctx context.Context) error {
	return c.identify(ctx, "Identify")
}

// Alive asks the listener who it is without showing credentials, as Windows
// allows unless it was told otherwise. It tells whether WinRM runs on a guest
// that may have reset its accounts: nil and ErrUnauthorized both mean that it
// does. One request, with the errors of [Client.Probe].
func (c *Client) Alive(ctx context.Context) error { return c.identify(ctx, actionAlive) }

const actionAlive = "Alive"

func (c *Client) identify(ctx context.Context, action string) error {
	a, err := c.ask(ctx, action, identifyMessage, c.opts.ActionTimeout)
	if err != nil {
		return err
	}
	if a.Body.Identify == nil {
		return &ExchangeError{Action: action, Loss: LossNotWinRM, HTTPStatus: http.StatusOK, Err: errors.New("the answer is not one to Identify")}
	}
	return nil
}

// Certificate returns the SHA-256 of the certificate that the listener showed
// last, in lower case hexadecimal; it is empty before the first connection and
// without TLS.
func (c *Client) Certificate() string { return c.trust.shown() }

// proxy decides about a proxy: never for addresses that are near.
func (o *Options) proxy() func(*http.Request) (*url.URL, error) {
	if o.NoProxy || o.Dial != nil || o.Host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(o.Host); err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
		return nil
	}
	return http.ProxyFromEnvironment
}

// operationTimeout is what the guest is told for everything but a long poll:
// a little less than we wait ourselves.
func (c *Client) operationTimeout() time.Duration { return c.opts.ActionTimeout * 9 / 10 }

// ask exchanges one message and reads the answer. The error is an
// *ExchangeError or a *Fault.
func (c *Client) ask(ctx context.Context, action, message string, limit time.Duration) (*answer, error) {
	reply, err := c.post(ctx, action, message, limit)
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(reply.body)
	if err != nil {
		return nil, &ExchangeError{Action: action, Loss: LossNotWinRM, HTTPStatus: reply.status, Err: err}
	}
	if err := a.fault(action, reply.status); err != nil {
		return nil, err
	}
	if reply.status != http.StatusOK {
		return nil, &ExchangeError{Action: action, Loss: statusLoss(reply.status, reply.server), HTTPStatus: reply.status}
	}
	return a, nil
}

// abandon remembers a shell that could not be deleted.
func (c *Client) abandon(shell string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.abandoned) < 16 {
		c.abandoned = append(c.abandoned, shell)
	}
}

// reap deletes the shells of sessions that were lost, so that their commands
// do not go on for the two hours of a shell's idle timeout. It is called when
// the guest has just answered; a shell that is gone is what we want.
func (c *Client) reap(ctx context.Context) {
	c.mu.Lock()
	shells := c.abandoned
	c.abandoned = nil
	c.mu.Unlock()
	for _, shell := range shells {
		// What can not be deleted ends by its idle timeout.
		_, _ = c.ask(ctx, "Delete", deleteMessage(c.url, shell, c.operationTimeout()), reapLimit)
	}
}

const reapLimit = 5 * time.Second

func describe(action string, err error) error { return fmt.Errorf("winrm %s: %w", action, err) }
