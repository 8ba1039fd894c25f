package winrm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// python returns an interpreter that has the module: the one of the virtual
// environment that EC2_SYSPREP_PEERS names, or python3.
func python(t *testing.T, module string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("Python clients are slow to start")
	}
	candidates := []string{"python3"}
	if peers := os.Getenv("EC2_SYSPREP_PEERS"); peers != "" {
		candidates = []string{filepath.Join(peers, "bin", "python"), "python3"}
	}
	for _, candidate := range candidates {
		if path, err := exec.LookPath(candidate); err == nil && exec.CommandContext(t.Context(), path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	t.Skipf("no Python with the module %s: install pywinrm and pypsrp, or let EC2_SYSPREP_PEERS name a virtual environment that has them", module)
	return ""
}

// authority makes a CA file and the configuration of a listener under it.
func authority(t *testing.T) (caFile string, config winrm.Config) {
	t.Helper()
	ca, err := winrm.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, winrm.Config{TLS: winrm.ServerTLS(certificate)}
}

func peer(t *testing.T, interpreter, script string, args ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), interpreter, append([]string{"-W", "ignore", filepath.Join("testdata", script)}, args...)...)
	command.Env = append(os.Environ(), "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1")
	command.Env = append(command.Env, "REQUESTS_CA_BUNDLE=", "CURL_CA_BUNDLE=")
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, complaints.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestPywinrm(t *testing.T) {
	interpreter := python(t, "winrm")
	caFile, secure := authority(t)
	for name, test := range map[string]struct {
		config        winrm.Config
		transport, ca string
	}{
		"Basic over HTTP":                    {winrm.Config{AllowUnencrypted: true}, "basic", "-"},
		"Basic over HTTPS":                   {secure, "basic", caFile},
		"NTLM over HTTPS":                    {secure, "ntlm", caFile},
		"NTLM over HTTP, sealed, as shipped": {winrm.Config{NoBasic: true}, "ntlm", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.config)
			want := []string{
				"shell True",
				`show b'one two & three|C:\\Work|blue & green' b'Administrator true 65001' 0`,
				"exit (b'', b'', 3221225786)",
				`reverse (b'dlrow\xff\x00 olleh', b'', 0)`,
				"large 300000 5000 0",
				"poll timed out",
				"wait (b'got go on', b'', 0)",
				"fault 2150858843 s:Sender w:InvalidSelectors True",
				"wrong password rejected",
			}
			if diff := cmp.Diff(want, peer(t, interpreter, "pywinrm_peer.py", s.URL(), test.transport, test.ca, user, password)); diff != "" {
				t.Error(diff)
			}
			if stats := s.Stats(); stats.OpenShells != 0 || stats.Running != 0 {
				t.Errorf("left behind: %+v", stats)
			}
		})
	}
}

func TestPypsrp(t *testing.T) {
	interpreter := python(t, "pypsrp")
	caFile, secure := authority(t)
	for name, test := range map[string]struct {
		config               winrm.Config
		tls, auth, ca, crypt string
	}{
		"Basic over HTTP":                    {winrm.Config{AllowUnencrypted: true}, "no", "basic", "-", "never"},
		"Basic over HTTPS":                   {secure, "yes", "basic", caFile, "auto"},
		"NTLM over HTTPS":                    {secure, "yes", "ntlm", caFile, "auto"},
		"NTLM over HTTP, not encrypted":      {winrm.Config{AllowUnencrypted: true}, "no", "ntlm", "-", "never"},
		"NTLM over HTTP, sealed, as shipped": {winrm.Config{NoBasic: true}, "no", "ntlm", "-", "auto"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.config)
			want := []string{
				"payload True",
				"shell True Administrator PT7200.000S",
				`show b'one two & three|C:\\Work|blue & green' b'Administrator true 65001' 0`,
				"reverse 102400 True 0",
				"poll True",
				"ctrl-c 3221225786",
				"large 300000 0",
				"fault 2150858843 True",
				"wrong password rejected",
			}
			got := peer(t, interpreter, "pypsrp_peer.py", "127.0.0.1", strconv.Itoa(s.Addr().Port), test.tls, test.auth, test.ca, test.crypt, user, password)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if stats := s.Stats(); stats.OpenShells != 0 || stats.Running != 0 {
				t.Errorf("left behind: %+v", stats)
			}
		})
	}
}
