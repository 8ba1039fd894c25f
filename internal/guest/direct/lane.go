package direct

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/go-ntlmssp"
)

// lane is one connection to the listener and what was authenticated on it. A
// request has a lane of its own while it is under way: a long poll does not
// hold up anything else, and an NTLM handshake stays on one connection.
type lane struct {
	transport     *http.Transport
	authenticated bool // NTLM: the listener knows us on this connection
}

// reply is an HTTP answer with a SOAP body.
type reply struct {
	status int
	server string
	body   []byte
}

// takeLane returns a lane that nobody uses.
func (c *Client) takeLane() *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.lanes) - 1; last >= 0 {
		l := c.lanes[last]
		c.lanes = c.lanes[:last]
		return l
	}
	dial := c.opts.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: c.opts.DialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	return &lane{transport: &http.Transport{
		Proxy: c.opts.proxy(), DialContext: dial, TLSClientConfig: c.trust.config, TLSHandshakeTimeout: c.opts.DialTimeout,
		MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, IdleConnTimeout: idleTimeout, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}}
}

// giveBack returns a lane, or ends it when its connection is not good for
// another request.
func (c *Client) giveBack(l *lane, good bool) {
	c.mu.Lock()
	if good && !c.closed {
		c.lanes = append(c.lanes, l)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	l.transport.CloseIdleConnections()
}

// post sends one message and returns the SOAP answer, whatever its status.
// The error is an *ExchangeError.
func (c *Client) post(ctx context.Context, action, message string, limit time.Duration) (*reply, error) {
	fail := func(loss Loss, status int, err error) error {
		return &ExchangeError{Action: action, Loss: loss, HTTPStatus: status, Err: err}
	}
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errNoAnswer):
		return nil, fail(LossTimeout, 0, errNoAnswer)
	case ctx.Err() != nil:
		return nil, fail(LossCancelled, 0, context.Cause(ctx))
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	l := c.takeLane()
	good := false
	defer func() { c.giveBack(l, good) }()

	response, err := c.roundTrip(limited, l, action, []byte(message))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
		// The answer has been read or is of no use; either way the
		// connection's fate does not depend on this error.
		_ = response.Body.Close()
	}
	if err != nil {
		switch err = explain(plain(err)); {
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errNoAnswer):
			return nil, fail(LossCancelled, 0, context.Cause(ctx))
		case limited.Err() != nil:
			return nil, fail(LossTimeout, 0, fmt.Errorf("%w (%s)", errNoAnswer, limit))
		}
		loss := networkLoss(err)
		if loss == LossOther {
			loss = strangeLoss(err)
		}
		return nil, fail(loss, 0, err)
	}
	c.count(func(s *Stats) { s.BytesReceived += int64(len(body)) })
	if len(body) > answerLimit {
		return nil, fail(LossNotWinRM, response.StatusCode, errors.New("the answer is larger than any listener's"))
	}
	good = response.StatusCode != http.StatusUnauthorized
	server := response.Header.Get("Server")
	if !strings.Contains(strings.ToLower(response.Header.Get("Content-Type")), "application/soap+xml") {
		loss := statusLoss(response.StatusCode, server)
		if response.StatusCode == http.StatusUnauthorized {
			return nil, &ExchangeError{Action: action, Loss: loss, HTTPStatus: response.StatusCode, Offered: offered(response.Header)}
		}
		if loss == LossNotWinRM {
			return nil, fail(loss, response.StatusCode, errors.New("the answer is not SOAP"))
		}
		return nil, fail(loss, response.StatusCode, nil)
	}
	return &reply{status: response.StatusCode, server: server, body: body}, nil
}

// roundTrip sends the message with the account's credentials.
func (c *Client) roundTrip(ctx context.Context, l *lane, action string, message []byte) (*http.Response, error) {
	switch {
	case action == actionAlive:
		return c.send(ctx, l, action, message, func(r *http.Request) { r.Header.Set("WSMANIDENTIFY", "unauthenticated") })
	case !c.opts.UseNTLM:
		return c.send(ctx, l, action, message, func(r *http.Request) { r.SetBasicAuth(c.opts.Username, c.opts.Password) })
	case l.authenticated:
		response, err := c.send(ctx, l, action, message, nil)
		if err != nil || response.StatusCode != http.StatusUnauthorized {
			return response, err
		}
		// The connection was another one than the lane thought.
		drain(response)
	}
	return c.handshake(ctx, l, action, message)
}

// handshake authenticates the lane's connection with NTLM. The first step
// carries no message, so that nothing is sent twice.
func (c *Client) handshake(ctx context.Context, l *lane, action string, message []byte) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		l.authenticated = false
		var first, second net.Conn
		negotiate, err := ntlmssp.NewNegotiateMessage("", "")
		if err != nil {
			return nil, fmt.Errorf("starting NTLM: %w", err)
		}
		response, err := c.send(httptrace.WithClientTrace(ctx, traceConn(&first)), l, "Handshake", nil, authorization(negotiate))
		if err != nil || response.StatusCode != http.StatusUnauthorized {
			return response, err
		}
		challenge := negotiateToken(response.Header)
		if challenge == nil {
			return response, nil // Negotiate is not offered, or the listener accepts nobody
		}
		drain(response)
		proof, err := ntlmssp.NewAuthenticateMessage(challenge, c.opts.Username, c.opts.Password, nil)
		if err != nil {
			return nil, fmt.Errorf("answering the guest's NTLM challenge: %w", err)
		}
		response, err = c.send(httptrace.WithClientTrace(ctx, traceConn(&second)), l, action, message, authorization(proof))
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusUnauthorized {
			l.authenticated = true
			return response, nil
		}
		if first == second || attempt == 2 {
			return response, nil
		}
		drain(response) // the connection was replaced between the two steps
	}
}

// send is one HTTP request.
func (c *Client) send(ctx context.Context, l *lane, action string, message []byte, authorize func(*http.Request)) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	request.Header.Set("User-Agent", "packer-plugin-ec2-sysprep")
	if authorize != nil {
		authorize(request)
	}
	c.count(func(s *Stats) {
		s.Requests++
		s.ByAction[action]++
		s.BytesSent += int64(len(message))
	})
	return l.transport.RoundTrip(request)
}

func authorization(token []byte) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
	}
}

func traceConn(conn *net.Conn) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { *conn = info.Conn }}
}

// drain reads what is left of an answer so that its connection can be used
// again.
func drain(response *http.Response) {
	// A connection that fails here fails at the next request as well.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close()
}

// negotiateToken returns the token of a Negotiate challenge, nil without one.
func negotiateToken(h http.Header) []byte {
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, parameter, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Negotiate") || strings.EqualFold(scheme, "NTLM") {
			if token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(parameter)); err == nil && len(token) > 0 {
				return token
			}
		}
	}
	return nil
}

// offered lists the authentication schemes that a 401 names.
func offered(h http.Header) []string {
	var schemes []string
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(value, " ")
		if scheme = oneLine(scheme); scheme != "" && !slices.Contains(schemes, scheme) {
			schemes = append(schemes, scheme)
		}
	}
	return schemes
}

// plain takes the wrapping off that repeats the address.
func plain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// strangeLoss tells apart what remains when the network itself was well.
func strangeLoss(err error) Loss {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch text := err.Error(); {
	case errors.As(err, &record), strings.Contains(text, "HTTP response to HTTPS client"),
		strings.Contains(text, "malformed HTTP"), strings.Contains(text, "malformed MIME header"), strings.Contains(text, "server sent"):
		return LossNotWinRM
	case errors.As(err, &alert), strings.HasPrefix(text, "tls: "), strings.HasPrefix(text, "remote error: tls"):
		return LossCertificate
	case strings.Contains(text, "server closed idle connection"), strings.Contains(text, "connection broken"),
		strings.Contains(text, "use of closed network connection"):
		return LossReset
	}
	return LossOther
}
