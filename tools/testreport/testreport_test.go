package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArguments(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want plan
		err  string
	}{
		{
			name: "checks come first, then the runs of go test",
			args: []string{"-check", "a: b  c", "-check", "d e: f", "--", "./...", "--", "-C", "x", "./..."},
			want: plan{
				checks: []check{{"a", []string{"b", "c"}}, {"d e", []string{"f"}}},
				runs:   [][]string{{"./..."}, {"-C", "x", "./..."}},
			},
		},
		{name: "nothing to do is an error", err: "nothing to do"},
		{name: "a run without arguments is an error", args: []string{"--"}, err: "no arguments"},
		{name: "an empty run between two is an error", args: []string{"--", "--", "./..."}, err: "no arguments"},
		{name: "a check without a command is an error", args: []string{"-check", "name: "}, err: "'name: command'"},
		{name: "a check without a name is an error", args: []string{"-check", "go vet"}, err: "'name: command'"},
		{name: "an unknown flag is an error", args: []string{"-verbose", "--", "./..."}, err: `found "-verbose"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseArguments(tt.args)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(plan{}, check{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// The texts are whole modules, so that what go test really prints is what the report reads.
func TestReportOfARealRun(t *testing.T) {
	const module = "module example.test\n\ngo 1.25\n"
	tests := []struct {
		name   string
		files  map[string]string
		code   int
		last   string
		wanted []string
	}{
		{
			name: "passing tests are counted without their parents",
			files: map[string]string{"a_test.go": `package a
import "testing"
func TestOne(t *testing.T) {}
func TestTwo(t *testing.T) { t.Run("x", func(*testing.T) {}); t.Run("y/z", func(*testing.T) {}) }`},
			last:   "3 passed, 0 failed, 0 skipped",
			wanted: []string{"ok  \texample.test", "3 passed\n"},
		},
		{
			name: "a failure is printed in full and fails the run",
			files: map[string]string{"a_test.go": `package a
import "testing"
func TestGood(t *testing.T) {}
func TestBad(t *testing.T) { t.Run("inner", func(t *testing.T) { t.Error("the thing broke\nin two lines") }) }`},
			code:   1,
			last:   "1 passed, 1 failed, 0 skipped",
			wanted: []string{"FAIL\texample.test TestBad/inner\n", "the thing broke\n", "in two lines\n", "Failed:\n  example.test TestBad/inner\n"},
		},
		{
			name: "a parent that fails by itself counts",
			files: map[string]string{"a_test.go": `package a
import "testing"
func TestBad(t *testing.T) { t.Run("inner", func(*testing.T) {}); t.Error("afterwards") }`},
			code:   1,
			last:   "1 passed, 1 failed, 0 skipped",
			wanted: []string{"FAIL\texample.test TestBad\n", "afterwards"},
		},
		{
			name: "skipped tests are listed by reason",
			files: map[string]string{"a_test.go": `package a
import "testing"
func TestA(t *testing.T) { t.Log("first"); t.Skip("needs a moon") }
func TestB(t *testing.T) { t.Run("b", func(t *testing.T) { t.Skipf("needs a %s", "moon") }) }
func TestC(t *testing.T) { t.Skip("needs a sun\nand a sky") }
func TestD(t *testing.T) { t.SkipNow() }
func TestE(t *testing.T) {}`},
			last: "1 passed, 0 failed, 4 skipped",
			wanted: []string{
				"  needs a moon\n      example.test TestA\n      example.test TestB/b\n",
				"  needs a sun and a sky\n      example.test TestC\n",
				"  no reason given\n      example.test TestD\n",
			},
		},
		{
			name: "a panic is the failure of the test that ran",
			files: map[string]string{"a_test.go": `package a
import "testing"
func TestGood(t *testing.T) {}
func TestPanics(t *testing.T) { panic("at the disco") }
func TestNever(t *testing.T) {}`},
			code:   1,
			last:   "1 passed, 1 failed, 0 skipped",
			wanted: []string{"FAIL\texample.test TestPanics\n", "panic: at the disco"},
		},
		{
			name: "a process that ends too soon fails its package",
			files: map[string]string{"a_test.go": `package a
import ("os"; "testing")
func TestMain(m *testing.M) { m.Run(); println("so long"); os.Exit(3) }
func TestGood(t *testing.T) {}`},
			code:   1,
			last:   "1 passed, 1 failed, 0 skipped",
			wanted: []string{"FAIL\texample.test\n", "so long"},
		},
		{
			name: "a package that does not compile fails with the compiler's words",
			files: map[string]string{
				"a_test.go":   "package a\nimport \"testing\"\nfunc TestGood(t *testing.T) {}",
				"b/b_test.go": "package b\nvar x int = \"text\"\n",
			},
			code:   1,
			last:   "1 passed, 1 failed, 0 skipped",
			wanted: []string{"FAIL\texample.test/b\n", "cannot use \"text\""},
		},
		{
			name:   "a run without a test fails",
			files:  map[string]string{"a.go": "package a\n"},
			code:   1,
			last:   "0 passed, 1 failed, 0 skipped",
			wanted: []string{"ran no test"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "go.mod", module)
			for name, text := range tt.files {
				write(t, folder, name, text)
			}
			var out, diagnostics bytes.Buffer
			code := run(context.Background(), []string{"--", "-C", folder, "-count=1", "./..."}, &out, &diagnostics)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, text := range tt.wanted {
				if !strings.Contains(out.String(), text) {
					t.Errorf("the report does not hold %q", text)
				}
			}
			if !strings.HasSuffix(out.String(), "\n\n"+tt.last+"\n") {
				t.Errorf("the report does not close with %q", tt.last)
			}
			if t.Failed() {
				t.Logf("report:\n%s\ndiagnostics:\n%s", &out, &diagnostics)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	folder := t.TempDir()
	// Commands that exist wherever Go does: programs of our own.
	program := func(name, body string) string {
		write(t, folder, name+".go", "package main\nimport (\"fmt\"; \"os\")\nfunc main() { "+body+" }\n")
		return "go run " + filepath.ToSlash(filepath.Join(folder, name+".go"))
	}
	passes := program("passes", `fmt.Println("quiet please"); os.Exit(0)`)
	fails := program("fails", `fmt.Println("loud and clear"); os.Exit(1)`)

	var out bytes.Buffer
	code := run(context.Background(), []string{"-check", "good: " + passes, "-check", "bad: " + fails, "-check", "gone: no-such-program-here"}, &out, &out)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, text := range []string{"ok  \tgood\t", "FAIL\tbad\nloud and clear\n", "FAIL\tgone\n", "\n1 passed, 2 failed, 0 skipped\n"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the report does not hold %q", text)
		}
	}
	if strings.Contains(out.String(), "quiet please") {
		t.Error("the report repeats what a passing check printed")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestCheckThatSkipsItself(t *testing.T) {
	script := filepath.Join(t.TempDir(), "check")
	// #nosec G306 -- it is to be run
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho looking\necho there is no moon\nexit 77\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := command(context.Background(), []string{script}).Run(); err == nil || !strings.Contains(err.Error(), "77") {
		t.Skipf("this system does not run shell scripts: %v", err)
	}
	var out bytes.Buffer
	if code := run(context.Background(), []string{"-check", "moon: " + script}, &out, &out); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	want := "skip\tmoon: there is no moon\n\nSkipped:\n  there is no moon\n      moon\n\n0 passed, 0 failed, 1 skipped\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestEventsThatAreCutShort(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out}
	err := r.events(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestLong"}
not an event
{"Action":"output","Package":"p","Test":"TestLong","Output":"half a word"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.summary()
	want := "not an event\nFAIL\tp TestLong\nhalf a word\n\nFailed:\n  p TestLong\n\n0 passed, 1 failed, 0 skipped\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	path := filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
