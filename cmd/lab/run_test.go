package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// screen is a stdout that says when a text has appeared on it.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func (s *screen) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(data)
	if s.seen != nil && strings.Contains(s.text.String(), s.want) {
		close(s.seen)
		s.seen = nil
	}
	return len(data), nil
}

// shown runs the program until a text appears, and returns all that it printed.
func shown(t *testing.T, want string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screen{want: want, seen: make(chan struct{})}
	seen := out.seen
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, out, io.Discard) }()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-seen:
	case err := <-ended:
		t.Fatalf("run ended before %q: %v", want, err)
	case <-timer.C:
		t.Fatalf("%q did not appear", want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("run: %v", err)
	}
	return out.text.String()
}

func TestItPrintsWhatATemplateNeeds(t *testing.T) {
	dir := t.TempDir()
	vars := filepath.Join(dir, "lab.pkrvars.hcl")
	text := shown(t, "IMAGE_STATE_COMPLETE", "-https", "-dir", dir, "-vars", vars, "-password", `quo"te${x}1A`)
	got := regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "127.0.0.1:PORT")
	got = regexp.MustCompile(`(winrm_port\s+= )\d+`).ReplaceAllString(got, "${1}PORT")
	got = regexp.MustCompile(`i-[0-9a-f]{17}`).ReplaceAllString(got, "i-INSTANCE")
	got = regexp.MustCompile(`  \d\d:\d\d:\d\d  `).ReplaceAllString(got, "  TIME  ")
	got = strings.ReplaceAll(got, dir, "DIR")
	golden(t, "output.txt", got)

	file, problems := hclparse.NewParser().ParseHCLFile(vars)
	if problems.HasErrors() {
		t.Fatalf("the variables file: %v", problems)
	}
	attributes, problems := file.Body.JustAttributes()
	if problems.HasErrors() {
		t.Fatalf("the variables file: %v", problems)
	}
	password, problems := attributes["winrm_password"].Expr.Value(nil)
	if problems.HasErrors() || password.AsString() != `quo"te${x}1A` {
		t.Errorf("the password came out as %v (%v)", password, problems)
	}
	info, err := os.Stat(vars)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the variables file, which holds a password, has mode %o", info.Mode().Perm())
	}
	if pem, err := os.ReadFile(filepath.Join(dir, "lab-ca.pem")); err != nil || !bytes.Contains(pem, []byte("BEGIN CERTIFICATE")) {
		t.Errorf("the authority's certificate: %v", err)
	}
}

func TestAMachineCanComeFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machine.json")
	if err := os.WriteFile(path, []byte(`{"base": "server-2022", "computer": "EC2AMAZ-OTHER"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	shown(t, "WinRM answers", "-machine", path)
}

func TestASpareMachineWaitsForItsLaunch(t *testing.T) {
	shown(t, "not launched  off", "-spare")
}

func TestTheListNamesEveryGuest(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-list"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, one := range windows.Catalogue() {
		if !strings.Contains(out.String(), one.Name+" ") || one.Summary == "" {
			t.Errorf("%s is not in the list", one.Name)
		}
	}
}

func TestBadArgumentsAreSaid(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"a speed of nothing", []string{"-speed", "0"}, "-speed"},
		{"a stray argument", []string{"fast"}, `"fast"`},
		{"an unknown guest", []string{"-machine", "server-1999"}, "-list"},
		{"a file that is not there", []string{"-machine", "./nowhere.json"}, "nowhere.json"},
		{"a flag that is none", []string{"-fast"}, "-fast"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %s", err, test.want)
			}
		})
	}
}
