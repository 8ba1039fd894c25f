package winrm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	masterzen "github.com/masterzen/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// The library that Packer uses, with its own transports: what works here works
// for Packer's connect step, its provisioners and its uploads.
func TestPackersLibrary(t *testing.T) {
	certificate, err := winrm.SelfSigned(time.Now(), "EC2AMAZ-LAB0001")
	if err != nil {
		t.Fatal(err)
	}
	negotiate := func() masterzen.Transporter { return &masterzen.ClientNTLM{} }
	sealed := func() masterzen.Transporter {
		e, err := masterzen.NewEncryption("ntlm")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const sealedName = "NTLM with sealed messages over HTTP, as shipped"
	for name, test := range map[string]struct {
		config    winrm.Config
		transport func() masterzen.Transporter
	}{
		"Basic over HTTP":  {winrm.Config{AllowUnencrypted: true}, nil},
		"Basic over HTTPS": {winrm.Config{TLS: winrm.ServerTLS(certificate)}, nil},
		"NTLM over HTTP":   {winrm.Config{AllowUnencrypted: true, NoBasic: true}, negotiate},
		"NTLM over HTTPS":  {winrm.Config{TLS: winrm.ServerTLS(certificate), NoBasic: true}, negotiate},
		sealedName:         {winrm.Config{NoBasic: true}, sealed},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.config)
			parameters := *masterzen.DefaultParameters
			parameters.TransportDecorator = test.transport
			endpoint := masterzen.NewEndpoint("127.0.0.1", s.Addr().Port, test.config.TLS != nil, true, nil, nil, nil, 0)
			client, err := masterzen.NewClientWithParameters(endpoint, user, password, &parameters)
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			// The library's transports for NTLM are not fit for a Send while a
			// Receive is under way: the steps of one handshake may take
			// different connections then, which ends in 401 now and then.
			if test.transport == nil {
				code, err := client.RunWithContextWithInput(t.Context(), "reverse", &stdout, &stderr, strings.NewReader("stressed"))
				if err != nil || code != 0 || stdout.String() != "desserts" || stderr.String() != "" {
					t.Errorf("code %d, stdout %q, stderr %q, %v", code, stdout.String(), stderr.String(), err)
				}
			}
			stdout.Reset()
			code, err := client.RunWithContext(t.Context(), "large", &stdout, &stderr)
			if err != nil || code != 0 || stdout.Len() != 300000 || stderr.Len() != 5000 {
				t.Errorf("code %d, %d and %d bytes, %v", code, stdout.Len(), stderr.Len(), err)
			}
			shell, err := client.CreateShell()
			if err != nil {
				t.Fatal(err)
			}
			for i := range 15 {
				command, err := shell.ExecuteWithContext(t.Context(), fmt.Sprintf("exit %d", i))
				if err != nil {
					t.Fatal(err)
				}
				command.Wait()
				if command.ExitCode() != i {
					t.Errorf("exit code %d, want %d", command.ExitCode(), i)
				}
				if err := command.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := shell.Close(); err != nil {
				t.Error(err)
			}
			if stats := s.Stats(); stats.OpenShells != 0 {
				t.Errorf("%d shells are open", stats.OpenShells)
			}
		})
	}
}
