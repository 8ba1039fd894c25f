package direct

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"sync"
)

// trust decides which certificate is the guest's.
type trust struct {
	config *tls.Config // nil without TLS
	pool   *x509.CertPool
	name   string
	pin    string // given by the user
	sticky bool   // without a pin the first certificate becomes it

	mu   sync.Mutex
	seen string // fingerprint of the last certificate
	kept string // fingerprint of the first one, with sticky
}

func newTrust(o *Options, pool *x509.CertPool) *trust {
	t := &trust{pool: pool, name: o.ServerName, pin: o.CertificateSHA256, sticky: o.Insecure && o.CertificateSHA256 == ""}
	if t.name == "" {
		t.name = o.Host
	}
	if !o.UseSSL {
		return t
	}
	t.config = &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: t.name, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: o.Insecure || t.pin != "", //nolint:gosec // verify insists on the pin instead
		VerifyConnection:   t.verify,
	}
	return t
}

// verify is called for every connection, after the chain was checked where it
// is to be checked.
func (t *trust) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &CertificateError{Err: errors.New("none was presented")}
	}
	leaf := state.PeerCertificates[0]
	shown := fingerprint(leaf)
	refuse := func(err error) error {
		return &CertificateError{SHA256: shown, Subject: leaf.Subject.String(), Err: err}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = shown
	switch {
	case t.pin != "" && shown != t.pin:
		return refuse(errors.New("it is not the pinned one"))
	case t.pin != "" && t.pool != nil:
		options := x509.VerifyOptions{Roots: t.pool, DNSName: t.name, Intermediates: x509.NewCertPool()}
		for _, certificate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(certificate)
		}
		if _, err := leaf.Verify(options); err != nil {
			return refuse(err)
		}
	case t.sticky && t.kept == "":
		t.kept = shown
	case t.sticky && t.kept != shown:
		return refuse(errors.New("it is not the one that this guest showed first, SHA-256 " + t.kept))
	}
	return nil
}

func (t *trust) shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// explain turns Go's verdict on a chain into ours, with the fingerprint that
// a user may want to pin.
func explain(err error) error {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) == 0 {
		return err
	}
	leaf := verification.UnverifiedCertificates[0]
	return &CertificateError{SHA256: fingerprint(leaf), Subject: leaf.Subject.String(), Err: verification.Err}
}

func fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}
