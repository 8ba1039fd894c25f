package winrm_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	communicator "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/winrm"
	masterzen "github.com/masterzen/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// uploads is a Windows that understands what Packer's communicator says when
// it uploads: base64 by echo, and two PowerShell scripts.
type uploads struct {
	mu    sync.Mutex
	files map[string]string
}

var (
	echoLine    = regexp.MustCompile(`^echo (\S+) >> "%TEMP%\\(winrmcp-[^"]+)"$`)
	encodedLine = regexp.MustCompile(`^powershell\.exe -EncodedCommand (\S+)$`)
	restoreFrom = regexp.MustCompile(`\$tmp_file_path = \[System\.IO\.Path\]::GetFullPath\("\$env:TEMP\\([^"]+)"\)`)
	restoreTo   = regexp.MustCompile(`\$dest_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]+)"`)
)

func (u *uploads) Run(_ context.Context, c *winrm.Command) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := echoLine.FindStringSubmatch(c.Line); m != nil {
		u.files[m[2]] += m[1] + " \r\n"
		return 0
	}
	m := encodedLine.FindStringSubmatch(c.Line)
	if m == nil {
		fmt.Fprintf(c.Stdout, "you said: %s", c.Line)
		fmt.Fprint(c.Stderr, "nothing is wrong")
		return 42
	}
	script := decodeScript(m[1])
	from := restoreFrom.FindStringSubmatch(script)
	if from == nil {
		return 1
	}
	if to := restoreTo.FindStringSubmatch(script); to != nil {
		var content []byte
		for line := range strings.Lines(u.files[from[1]]) {
			piece, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
			if err != nil {
				return 1
			}
			content = append(content, piece...)
		}
		u.files[to[1]] = string(content)
		return 0
	}
	delete(u.files, from[1])
	return 0
}

func decodeScript(encoded string) string {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

func TestPackersCommunicator(t *testing.T) {
	certificate, err := winrm.SelfSigned(time.Now(), "EC2AMAZ-LAB0001")
	if err != nil {
		t.Fatal(err)
	}
	negotiate := func() masterzen.Transporter { return &masterzen.ClientNTLM{} }
	for name, test := range map[string]struct {
		config    winrm.Config
		transport func() masterzen.Transporter
	}{
		"Basic over HTTP":  {winrm.Config{AllowUnencrypted: true}, nil},
		"Basic over HTTPS": {winrm.Config{TLS: winrm.ServerTLS(certificate)}, nil},
		"NTLM over HTTPS":  {winrm.Config{TLS: winrm.ServerTLS(certificate), NoBasic: true}, negotiate},
		"NTLM over HTTP":   {winrm.Config{AllowUnencrypted: true, NoBasic: true}, negotiate},
		// What a client sends with 15 commands a shell must fit such a server.
		"a server with the quotas of 2008 R2": {winrm.Config{AllowUnencrypted: true, MaxOperationsPerShell: 15, MaxShellsPerUser: 5, MaxEnvelopeSizekb: 150}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			guest := &uploads{files: map[string]string{}}
			test.config.Windows = machine{run: guest.Run}
			s := start(t, test.config)
			comm, err := communicator.New(&communicator.Config{
				Host: "127.0.0.1", Port: s.Addr().Port, Username: user, Password: password, Timeout: 30 * time.Second,
				Https: test.config.TLS != nil, Insecure: true, TransportDecorator: test.transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			command := &packersdk.RemoteCmd{Command: "echo hello & more", Stdout: &stdout, Stderr: &stderr}
			if err := comm.Start(t.Context(), command); err != nil {
				t.Fatal(err)
			}
			if command.ExitStatus() != 42 || stdout.String() != "you said: echo hello & more" || stderr.String() != "nothing is wrong" {
				t.Errorf("exit %d, stdout %q, stderr %q", command.ExitStatus(), stdout.String(), stderr.String())
			}

			content := make([]byte, 100_000)
			if _, err := io.ReadFull(rand.NewChaCha8([32]byte{2}), content); err != nil {
				t.Fatal(err)
			}
			if err := comm.Upload(`C:\Windows\Temp\answers.xml`, bytes.NewReader(content), nil); err != nil {
				t.Fatal(err)
			}
			guest.mu.Lock()
			defer guest.mu.Unlock()
			if got := guest.files[`C:\Windows\Temp\answers.xml`]; got != string(content) {
				t.Errorf("%d bytes arrived, or others", len(got))
			}
			if len(guest.files) != 1 {
				t.Errorf("%d files are on the guest", len(guest.files))
			}
			if stats := s.Stats(); stats.OpenShells != 0 {
				t.Errorf("%d shells are open", stats.OpenShells)
			}
		})
	}
}

func TestPackersCommunicatorIsTurnedAway(t *testing.T) {
	for name, test := range map[string]struct {
		config   winrm.Config
		password string
	}{
		"with a wrong password":                                 {winrm.Config{AllowUnencrypted: true}, "wrong"},
		"by a listener without Basic":                           {winrm.Config{AllowUnencrypted: true, NoBasic: true}, password},
		"by an HTTP listener that wants encryption, as shipped": {winrm.Config{}, password},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.config)
			_, err := communicator.New(&communicator.Config{
				Host: "127.0.0.1", Port: s.Addr().Port, Username: user, Password: test.password, Timeout: 30 * time.Second,
			})
			if err == nil || !strings.Contains(err.Error(), "401") {
				t.Errorf("got %v", err)
			}
		})
	}
}
