package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

// The test binary stands in for the plugin when this variable is set: to "plugin", or to a secret that it is to log.
const (
	beThePlugin = "EC2_SYSPREP_TEST_BE_THE_PLUGIN"
	logSecret   = "EC2_SYSPREP_TEST_LOG_SECRET" // #nosec G101 -- the name of a variable
)

func TestMain(m *testing.M) {
	if os.Getenv(beThePlugin) == "" {
		os.Exit(m.Run())
	}
	secret := os.Getenv(logSecret)
	if secret != "" {
		packersdk.LogSecretFilter.Set(secret)
	}
	main()
	if secret != "" {
		log.Printf("the password is %s", secret) // as a component would, after main has set up the log
	}
}

// runPlugin runs the plugin as Packer would and returns both of its outputs.
func runPlugin(t *testing.T, environment []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), beThePlugin+"=1"), environment...)
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	err = cmd.Run()
	return out.String(), diagnostics.String(), err
}

func TestPackerIsToldVersionAndComponents(t *testing.T) {
	stdout, stderr, err := runPlugin(t, nil, "describe")
	if err != nil {
		t.Fatalf("describe: %v\n%s", err, stderr)
	}
	var got struct {
		Version        string
		Builders       []string
		Provisioners   []string
		PostProcessors []string `json:"post_processors"`
		Datasources    []string
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("describe printed no JSON: %v\n%s", err, stdout)
	}
	if got.Version != version.PluginVersion.String() {
		t.Errorf("version %q, want %q", got.Version, version.PluginVersion)
	}
	if len(got.Builders)+len(got.Datasources) != 0 {
		t.Errorf("builders %q and data sources %q, want none", got.Builders, got.Datasources)
	}
	want := [][]string{{plugin.DEFAULT_NAME}, {"ami"}}
	if diff := cmp.Diff(want, [][]string{got.Provisioners, got.PostProcessors}); diff != "" {
		t.Errorf("provisioners and post-processors (-want +got):\n%s", diff)
	}
}

func TestSecretsDoNotReachTheLog(t *testing.T) {
	const secret = "correct-horse-battery"
	_, stderr, err := runPlugin(t, []string{logSecret + "=" + secret}, "describe")
	if err != nil {
		t.Fatalf("describe: %v\n%s", err, stderr)
	}
	if strings.Contains(stderr, secret) {
		t.Errorf("the log holds the secret:\n%s", stderr)
	}
	if !strings.Contains(stderr, "the password is <sensitive>") {
		t.Errorf("the log lost the line itself:\n%s", stderr)
	}
}

func TestWrongUseIsAnErrorOnStandardError(t *testing.T) {
	stdout, stderr, err := runPlugin(t, nil, "no-such-command")
	if err == nil {
		t.Fatal("exit code 0")
	}
	if stdout != "" {
		t.Errorf("standard output belongs to the handshake, but holds %q", stdout)
	}
	if stderr == "" {
		t.Error("no error was printed")
	}
}

func TestTheLabAndTheBuildersStepsAreNotLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("the go command cannot list the packages: %v", err)
	}
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		if strings.Contains(path, "/internal/lab") || strings.HasSuffix(path, "/multistep/commonsteps") {
			t.Errorf("the plugin links %s", path)
		}
	}
}
