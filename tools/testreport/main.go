// The program testreport runs checks and Go tests and tells the whole truth about them: failures with their full output,
// what was skipped and why, and a closing line that a reader or a machine can count on.
//
//	testreport -check 'go vet: go vet ./...' -- -race=auto ./... -- -C tools/pscheck ./...
//
// Each -check is a name and a command without shell syntax; a command that exits with 77 was skipped, and its last line is
// the reason. After the first "--" come the arguments of one or more runs of "go test", separated by "--". In them
// "-race=auto" stands for -race where a C compiler is at hand, and for nothing, counted as skipped, elsewhere.
//
// A test with subtests is not counted itself, unless it failed and none of them did. A failing run goes on to the end. The exit code
// is 0 only if nothing failed and every run of "go test" ran a test.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// exitSkipped is the exit code by which a check says that it could not be made, as in Automake's test protocol.
const exitSkipped = 77

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does the whole work and returns the exit code: 0, 1 for a failure, 2 for wrong arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	plan, err := parseArguments(args)
	if err != nil {
		fmt.Fprintln(stderr, "testreport:", err)
		return 2
	}
	r := &report{out: stdout}
	for _, c := range plan.checks {
		runCheck(ctx, r, c)
	}
	for _, arguments := range plan.runs {
		runTests(ctx, r, stderr, arguments)
	}
	r.summary()
	if len(r.failed) > 0 {
		return 1
	}
	return 0
}

// A check is a command that passes, fails or is skipped as a whole.
type check struct {
	name    string
	command []string
}

// A plan is what the arguments ask for.
type plan struct {
	checks []check
	runs   [][]string
}

func parseArguments(args []string) (plan, error) {
	var p plan
	for len(args) > 0 && args[0] != "--" {
		if args[0] != "-check" || len(args) < 2 {
			return plan{}, fmt.Errorf("wanted -check 'name: command' or --, found %q", args[0])
		}
		name, command, found := strings.Cut(args[1], ": ")
		words := strings.Fields(command)
		if !found || len(words) == 0 {
			return plan{}, fmt.Errorf("wanted 'name: command', found %q", args[1])
		}
		p.checks = append(p.checks, check{name, words})
		args = args[2:]
	}
	for len(args) > 0 {
		args = args[1:]
		end := slices.Index(args, "--")
		if end < 0 {
			end = len(args)
		}
		if end == 0 {
			return plan{}, errors.New("-- is followed by no arguments for go test")
		}
		p.runs = append(p.runs, args[:end])
		args = args[end:]
	}
	if len(p.checks)+len(p.runs) == 0 {
		return plan{}, errors.New("nothing to do")
	}
	return p, nil
}

func runCheck(ctx context.Context, r *report, c check) {
	start := time.Now()
	cmd := command(ctx, c.command)
	output, err := cmd.CombinedOutput()
	r.check(c.name, string(output), err, time.Since(start))
}

func runTests(ctx context.Context, r *report, stderr io.Writer, arguments []string) {
	arguments = slices.Clone(arguments)
	if i := slices.Index(arguments, "-race=auto"); i >= 0 {
		if reason := raceUnavailable(ctx); reason == "" {
			arguments[i] = "-race"
		} else {
			arguments = slices.Delete(arguments, i, i+1)
			r.skip("race detector", reason)
		}
	}
	line := []string{"go", "test"}
	if len(arguments) >= 2 && arguments[0] == "-C" { // go insists on having it first
		line = append(line, arguments[:2]...)
		arguments = arguments[2:]
	}
	line = append(append(line, "-json"), arguments...)

	cmd := command(ctx, line)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.fail(strings.Join(line, " "), err.Error()+"\n")
		return
	}
	failures, tests := len(r.failed), r.tests
	readErr := r.events(pipe)
	if readErr != nil {
		_, _ = io.Copy(io.Discard, pipe) // or go test never ends
	}
	err = errors.Join(readErr, cmd.Wait())
	switch {
	case err != nil && len(r.failed) == failures:
		r.fail(strings.Join(line, " "), err.Error()+"\n")
	case err == nil && r.tests == tests:
		r.fail(strings.Join(line, " "), "ran no test\n")
	}
}

// raceUnavailable says why the race detector cannot be used, or nothing.
func raceUnavailable(ctx context.Context) string {
	output, err := command(ctx, []string{"go", "env", "CGO_ENABLED", "CC"}).Output()
	if err != nil {
		return fmt.Sprintf("go env failed: %v", err)
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	words := strings.Fields(compiler)
	if enabled != "1" || len(words) == 0 {
		return "cgo is off: the race detector needs a C compiler and CGO_ENABLED=1"
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return fmt.Sprintf("no C compiler (%s) on PATH: the race detector needs one", words[0])
	}
	return ""
}

// command makes a command that an interrupt ends gently.
func command(ctx context.Context, words []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
