package direct

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Options say where the guest's WinRM listener is and how to talk to it. The
// zero value of everything but Host, Username and Password is its default.
type Options struct {
	// Host is a name or an IP address, IPv6 without brackets. Required.
	Host string
	// Port is 5986 with UseSSL, 5985 without it, unless given.
	Port int
	// UseSSL selects HTTPS, with TLS 1.2 or later.
	UseSSL bool
	// Insecure accepts any certificate at first sight; the Client insists on
	// that same one from then on.
	Insecure bool
	// CAFile names a PEM file of the authorities that may have signed the
	// listener's certificate; the system's own do not count then.
	CAFile string
	// CACertificates is the same as text. Both together add up.
	CACertificates []byte
	// ServerName is the name that the certificate must bear when it differs
	// from Host.
	ServerName string
	// CertificateSHA256 pins the listener's own certificate: 64 hexadecimal
	// digits, with or without colons. A pin replaces the check of chain and
	// name, unless authorities are given too.
	CertificateSHA256 string
	// UseNTLM authenticates with NTLM version 2 and never falls back to
	// Basic. The messages are not encrypted by it: that is TLS's part.
	UseNTLM bool
	// NoProxy ignores the proxies of the environment. Loopback, private and
	// link-local addresses never go through one.
	NoProxy bool

	// Username and Password are the account's. NTLM takes DOMAIN\user too.
	Username, Password string

	// DialTimeout bounds the TCP connection and, again, the TLS handshake;
	// default `10s`.
	DialTimeout time.Duration
	// PollTimeout is how long the guest may hold a request for output back
	// when there is none, default `20s`. The network gets ten seconds more.
	PollTimeout time.Duration
	// ActionTimeout bounds every other request as a whole, default `60s`.
	ActionTimeout time.Duration

	// Dial replaces the TCP dialer; nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`
}

const (
	defaultDialTimeout   = 10 * time.Second
	defaultPollTimeout   = 20 * time.Second
	defaultActionTimeout = 60 * time.Second
	// pollGrace is what a long poll may take beyond the guest's own limit.
	pollGrace = 10 * time.Second
	// idleTimeout is shorter than the 120 s after which http.sys closes an
	// idle connection, so that we never write to a closed one.
	idleTimeout = 60 * time.Second
)

// complete checks the options and fills in the defaults. It returns the
// authorities to trust, nil for the system's.
func (o *Options) complete() (*x509.CertPool, error) {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	switch {
	case o.Host == "":
		problem("the WinRM host is missing")
	case strings.ContainsAny(o.Host, "/@?# \t\r\n[]"):
		problem("the WinRM host %q is no host name or address", o.Host)
	}
	if o.Port == 0 {
		o.Port = 5985
		if o.UseSSL {
			o.Port = 5986
		}
	}
	if o.Port < 1 || o.Port > 65535 {
		problem("the WinRM port %d is out of range", o.Port)
	}
	if o.Username == "" {
		problem("the WinRM user name is missing")
	}
	if o.Password == "" {
		problem("the WinRM password is missing")
	}
	if !o.UseNTLM && strings.Contains(o.Username, ":") {
		problem("the WinRM user name must not contain a colon")
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
		name      string
	}{{&o.DialTimeout, defaultDialTimeout, "dial"}, {&o.PollTimeout, defaultPollTimeout, "poll"}, {&o.ActionTimeout, defaultActionTimeout, "action"}} {
		if *d.value < 0 {
			problem("the WinRM %s timeout is negative", d.name)
		}
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if o.CertificateSHA256 != "" {
		pin := strings.ToLower(strings.ReplaceAll(o.CertificateSHA256, ":", ""))
		if raw, err := hex.DecodeString(pin); err != nil || len(raw) != 32 {
			problem("the pinned certificate fingerprint is not 64 hexadecimal digits of a SHA-256")
		}
		o.CertificateSHA256 = pin
	}
	var pool *x509.CertPool
	authorities := o.CACertificates
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			problem("reading the WinRM CA file: %w", err)
		}
		authorities = append(append(append([]byte(nil), authorities...), '\n'), text...)
	}
	if len(o.CACertificates) > 0 || o.CAFile != "" {
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authorities) {
			problem("the WinRM CA file holds no PEM certificate")
		}
	}
	if !o.UseSSL && (o.Insecure || pool != nil || o.ServerName != "" || o.CertificateSHA256 != "") {
		problem("options about certificates need UseSSL")
	}
	return pool, errors.Join(problems...)
}
