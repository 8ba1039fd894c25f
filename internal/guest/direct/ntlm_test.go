package direct_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func ntlm(o *direct.Options) { o.UseNTLM = true }

func TestNTLM(t *testing.T) {
	certs, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a command over HTTP", func(t *testing.T) {
		s, _, c := lab(t, winrm.Config{NoBasic: true}, ntlm)
		if stdout, _, _ := run(t, c, "cat", "hello\n"); stdout != "<hello>\n" {
			t.Errorf("got %q", stdout)
		}
		stats := s.Stats()
		if handshakes := stats.ByAction[winrm.ActionHandshake]; handshakes != stats.Connections || handshakes > 2 {
			t.Errorf("%d handshakes on %d connections, want one on each of at most two", handshakes, stats.Connections)
		}
	})
	t.Run("a command over HTTPS with a domain in the name", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{TLS: winrm.ServerTLS(certs.good)}, ntlm, func(o *direct.Options) {
			o.CACertificates, o.Username = certs.authority.PEM(), `EC2AMAZ-LAB0001\administrator`
		})
		if stdout, _, _ := run(t, c, "echo hello", ""); stdout != "hello\r\n" {
			t.Errorf("got %q", stdout)
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		s, _, c := lab(t, winrm.Config{}, ntlm, func(o *direct.Options) { o.Password = "wrong" })
		err := c.Probe(t.Context())
		if !errors.Is(err, direct.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		if n := s.Stats().Requests; n != 2 {
			t.Errorf("%d requests, want one handshake and no second try", n)
		}
	})
	t.Run("a listener that has forgotten the connection", func(t *testing.T) {
		s, _, c := lab(t, winrm.Config{}, ntlm)
		if err := c.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Break(winrm.Unauthorized); err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
		if err := s.Mend(); err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A handshake belongs to its connection: where that is closed between the two
// steps the client begins anew, once.
func TestAnNTLMHandshakeWhoseConnectionIsClosed(t *testing.T) {
	steps := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		steps++
		w.Header().Set("Connection", "close")
		if token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Negotiate ")); err == nil && token[8] == 1 {
			// A challenge as short as one can be: Unicode, NTLM, no target.
			challenge := append([]byte("NTLMSSP\x00\x02\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00\x01\x02\x00\x00"), make([]byte, 32)...)
			w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString(challenge))
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, func(o *direct.Options) { o.UseNTLM = true; fmt.Sscan(port, &o.Port) })
	if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	if steps != 4 {
		t.Errorf("%d requests, want two handshakes", steps)
	}
}

// A listener that wants Basic must not get it from a client that was told to
// use NTLM, or the password would be anybody's who answers first.
func TestNTLMNeverFallsBackToBasic(t *testing.T) {
	var headers []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header.Get("Authorization"))
		w.Header().Set("WWW-Authenticate", `Basic realm="WSMAN"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, func(o *direct.Options) { o.UseNTLM = true; fmt.Sscan(port, &o.Port) })
	if _, err := c.Start(t.Context(), "echo"); !errors.Is(err, direct.ErrUnauthorized) || !strings.Contains(err.Error(), "Basic") {
		t.Errorf("got %v", err)
	}
	for _, header := range headers {
		token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Negotiate "))
		if err != nil || !strings.HasPrefix(string(token), "NTLMSSP\x00\x01") || strings.Contains(string(token), password) {
			t.Errorf("it sent %q", header)
		}
	}
	if len(headers) != 1 {
		t.Errorf("%d requests", len(headers))
	}
}

func TestAnNTLMChallengeThatIsNonsense(t *testing.T) {
	for name, challenge := range map[string]string{
		"not NTLM":  "aGVsbG8=",
		"cut short": base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x02\x00\x00\x00\xff\xff")),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", "Negotiate "+challenge)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer server.Close()
			_, port, err := net.SplitHostPort(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, func(o *direct.Options) { o.UseNTLM = true; fmt.Sscan(port, &o.Port) })
			err = c.Probe(t.Context())
			discreet(t, err)
			if err == nil {
				t.Error("accepted")
			}
		})
	}
}
