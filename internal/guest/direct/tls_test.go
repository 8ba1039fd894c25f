package direct_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// certificates are those of the tests: an authority, and servers by name.
type certificates struct {
	authority            *winrm.Authority
	good, other, selfish tls.Certificate
}

var makeCertificates = sync.OnceValues(func() (certificates, error) {
	var c certificates
	authority, err := winrm.NewAuthority(time.Now())
	if err != nil {
		return c, err
	}
	c.authority = authority
	var failed error
	keep := func(certificate tls.Certificate, err error) tls.Certificate {
		failed = errors.Join(failed, err)
		return certificate
	}
	c.good = keep(authority.Issue("127.0.0.1", "guest.example"))
	c.other = keep(authority.Issue("other.example"))
	c.selfish = keep(winrm.SelfSigned(time.Now(), "EC2AMAZ-LAB0001"))
	return c, failed
})

func TestTheCertificateDecides(t *testing.T) {
	certs, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, certs.authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := func(o *direct.Options) { o.CACertificates = certs.authority.PEM() }
	pin := func(c tls.Certificate) func(*direct.Options) {
		return func(o *direct.Options) { o.CertificateSHA256 = winrm.Fingerprint(c) }
	}
	for _, test := range []struct {
		name   string
		server tls.Certificate
		opts   []func(*direct.Options)
		reason string // of the refusal; empty means accepted
	}{
		{"signed by the given authority", certs.good, []func(*direct.Options){trusted}, ""},
		{"signed by the authority of the CA file", certs.good, []func(*direct.Options){func(o *direct.Options) { o.CAFile = caFile }}, ""},
		{"signed by nobody that the system knows", certs.good, nil, "unknown authority"},
		{"for another host", certs.other, []func(*direct.Options){trusted}, "cannot validate certificate for 127.0.0.1"},
		{"for another host whose name is expected", certs.other, []func(*direct.Options){trusted, func(o *direct.Options) { o.ServerName = "other.example" }}, ""},
		{"not for the expected name", certs.good, []func(*direct.Options){trusted, func(o *direct.Options) { o.ServerName = "elsewhere.example" }}, "not elsewhere.example"},
		{"self-signed", certs.selfish, []func(*direct.Options){func(o *direct.Options) { o.ServerName = "EC2AMAZ-LAB0001" }}, "unknown authority"},
		{"self-signed with an authority given", certs.selfish, []func(*direct.Options){trusted}, "127.0.0.1"},
		{"self-signed and pinned", certs.selfish, []func(*direct.Options){pin(certs.selfish)}, ""},
		{"self-signed and pinned as Windows shows it", certs.selfish, []func(*direct.Options){func(o *direct.Options) {
			var b strings.Builder
			for i, r := range strings.ToUpper(winrm.Fingerprint(certs.selfish)) {
				if i > 0 && i%2 == 0 {
					b.WriteByte(':')
				}
				b.WriteRune(r)
			}
			o.CertificateSHA256 = b.String()
		}}, ""},
		{"another one than the pinned one", certs.good, []func(*direct.Options){pin(certs.selfish)}, "not the pinned one"},
		{"another one than the pinned one, although insecure", certs.good, []func(*direct.Options){pin(certs.selfish), func(o *direct.Options) { o.Insecure = true }}, "not the pinned one"},
		{"pinned, but not signed by the given authority", certs.selfish, []func(*direct.Options){trusted, pin(certs.selfish)}, "127.0.0.1"},
		{"pinned and signed", certs.good, []func(*direct.Options){trusted, pin(certs.good)}, ""},
		{"anything, insecurely", certs.selfish, []func(*direct.Options){func(o *direct.Options) { o.Insecure = true }}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _, c := lab(t, winrm.Config{TLS: winrm.ServerTLS(test.server)}, test.opts...)
			err := c.Probe(t.Context())
			discreet(t, err)
			if c.Certificate() != winrm.Fingerprint(test.server) && test.reason == "" {
				t.Errorf("the client says it saw %q", c.Certificate())
			}
			if test.reason == "" {
				if err != nil {
					t.Error(err)
				}
				if stdout, _, _ := run(t, c, "echo sealed line", ""); stdout != "sealed line\r\n" {
					t.Errorf("got %q", stdout)
				}
				return
			}
			var refused *direct.CertificateError
			if !errors.Is(err, direct.ErrCertificate) || direct.Classify(err) != direct.LossCertificate || !errors.As(err, &refused) {
				t.Fatalf("got %v", err)
			}
			if refused.SHA256 != winrm.Fingerprint(test.server) || !strings.Contains(refused.Error(), test.reason) {
				t.Errorf("got %v, want the reason %q and the fingerprint", refused, test.reason)
			}
			if n := s.Stats().Requests; n != 0 {
				t.Errorf("%d requests went to a server that is not trusted", n)
			}
		})
	}
}

func TestAnInsecureClientInsistsOnTheFirstCertificate(t *testing.T) {
	certs, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	shown := certs.selfish
	config := winrm.ServerTLS(certs.selfish)
	config.Certificates = nil
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		return &shown, nil
	}
	s, _, c := lab(t, winrm.Config{TLS: config}, func(o *direct.Options) { o.Insecure = true })
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	shown = certs.good
	mu.Unlock()
	// New connections, as after a blip.
	if err := s.Break(winrm.Refused); err != nil {
		t.Fatal(err)
	}
	if err := s.Mend(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		return c.Probe(t.Context()) != nil && direct.Classify(c.Probe(t.Context())) == direct.LossCertificate
	})
	err = c.Probe(t.Context())
	if !errors.Is(err, direct.ErrCertificate) || !strings.Contains(err.Error(), winrm.Fingerprint(certs.selfish)) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotTLS(t *testing.T) {
	certs, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("HTTPS to an HTTP listener", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{}, func(o *direct.Options) { o.UseSSL = true })
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrNotWinRM) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("HTTP to an HTTPS listener", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{TLS: winrm.ServerTLS(certs.good)}, func(o *direct.Options) { o.UseSSL = false })
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrNotWinRM) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a listener that only knows TLS 1.1", func(t *testing.T) {
		config := winrm.ServerTLS(certs.good)
		config.MinVersion, config.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
		_, _, c := lab(t, winrm.Config{TLS: config}, func(o *direct.Options) { o.Insecure = true })
		if err := c.Probe(t.Context()); direct.Classify(err) != direct.LossCertificate {
			t.Errorf("got %v", err)
		}
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, test := range map[string]struct {
		opts direct.Options
		want string
	}{
		"nothing at all":             {direct.Options{}, "host is missing\nthe WinRM user name is missing\nthe WinRM password is missing"},
		"a URL for a host":           {direct.Options{Host: "https://guest", Username: user, Password: password}, "is no host name"},
		"brackets around IPv6":       {direct.Options{Host: "[::1]", Username: user, Password: password}, "is no host name"},
		"a port beyond all ports":    {direct.Options{Host: "h", Port: 65536, Username: user, Password: password}, "out of range"},
		"a pin that is SHA-1":        {direct.Options{Host: "h", UseSSL: true, CertificateSHA256: strings.Repeat("ab", 20), Username: user, Password: password}, "64 hexadecimal digits"},
		"a CA without TLS":           {direct.Options{Host: "h", Insecure: true, Username: user, Password: password}, "need UseSSL"},
		"a CA that is no PEM":        {direct.Options{Host: "h", UseSSL: true, CACertificates: []byte("x"), Username: user, Password: password}, "no PEM"},
		"a CA file that is not here": {direct.Options{Host: "h", UseSSL: true, CAFile: "/does/not/exist", Username: user, Password: password}, "CA file"},
		"a user name with a colon":   {direct.Options{Host: "h", Username: "a:b", Password: password}, "colon"},
		"a negative timeout":         {direct.Options{Host: "h", Username: user, Password: password, PollTimeout: -1}, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := direct.Dial(test.opts)
			discreet(t, err)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestTheAddressOfTheListener(t *testing.T) {
	for name, test := range map[string]struct {
		opts direct.Options
		want string
	}{
		"HTTP by default":     {direct.Options{Host: "guest"}, "http://guest:5985/wsman"},
		"HTTPS has its port":  {direct.Options{Host: "guest", UseSSL: true}, "https://guest:5986/wsman"},
		"IPv6":                {direct.Options{Host: "2001:db8::1", Port: 1}, "http://[2001:db8::1]:1/wsman"},
		"IPv6 with its scope": {direct.Options{Host: "fe80::1%eth0", Port: 1}, "http://[fe80::1%25eth0]:1/wsman"},
	} {
		t.Run(name, func(t *testing.T) {
			test.opts.Username, test.opts.Password = user, password
			c, err := direct.Dial(test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if c.URL() != test.want {
				t.Errorf("got %s", c.URL())
			}
		})
	}
}
