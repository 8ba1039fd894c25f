package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// A report prints what happens as it happens and keeps what the summary needs.
type report struct {
	out     io.Writer
	tests   int // of Go's, whatever their verdict
	passed  int
	failed  []string
	skipped []skipped
}

// skipped is something that was not done.
type skipped struct{ name, reason string }

func (r *report) fail(name, output string) {
	r.failed = append(r.failed, name)
	fmt.Fprintf(r.out, "FAIL\t%s\n%s", name, endLine(output))
}

func (r *report) skip(name, reason string) {
	r.skipped = append(r.skipped, skipped{name, reason})
	fmt.Fprintf(r.out, "skip\t%s: %s\n", name, reason)
}

// check reports the end of a check.
func (r *report) check(name, output string, err error, took time.Duration) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		r.passed++
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\n", name, took.Seconds())
	case errors.As(err, &exit) && exit.ExitCode() == exitSkipped:
		r.skip(name, lastLine(output))
	default:
		r.fail(name, endLine(output)+err.Error()+"\n")
	}
}

// packageDone reports a package of tests whose verdict has come.
func (r *report) packageDone(p *testPackage, verdict, build string, seconds float64) {
	p.settle()
	var passed, failed, skips int
	for _, t := range p.order {
		if t.parent && (t.verdict != "fail" || t.answered) {
			continue
		}
		r.tests++
		switch t.verdict {
		case "pass":
			passed++
		case "skip":
			skips++
			r.skipped = append(r.skipped, skipped{p.path + " " + t.name, skipReason(t.output.String())})
		default:
			failed++
			r.fail(p.path+" "+t.name, t.output.String())
		}
	}
	r.passed += passed
	if verdict == "fail" {
		if failed == 0 {
			r.fail(p.path, build+p.own.output.String())
		} else {
			fmt.Fprint(r.out, endLine(p.own.output.String()))
		}
	}
	if len(p.order) > 0 && verdict != "fail" {
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\t%d passed", p.path, seconds, passed)
		if skips > 0 {
			fmt.Fprintf(r.out, ", %d skipped", skips)
		}
		fmt.Fprintln(r.out)
	}
}

// summary names what was skipped, by reason, and what failed, and closes with the counts alone on a line.
func (r *report) summary() {
	if len(r.skipped) > 0 {
		fmt.Fprintln(r.out, "\nSkipped:")
		byReason := map[string][]string{}
		var reasons []string
		for _, s := range r.skipped {
			if byReason[s.reason] == nil {
				reasons = append(reasons, s.reason)
			}
			byReason[s.reason] = append(byReason[s.reason], s.name)
		}
		for _, reason := range reasons {
			fmt.Fprintf(r.out, "  %s\n", reason)
			for _, name := range byReason[reason] {
				fmt.Fprintf(r.out, "      %s\n", name)
			}
		}
	}
	if len(r.failed) > 0 {
		fmt.Fprintln(r.out, "\nFailed:")
		for _, name := range r.failed {
			fmt.Fprintf(r.out, "  %s\n", name)
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
}

// logLine is a line of t.Skip or t.Log: where it was said, and what.
var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)$`)

// skipReason finds what the test said last, which is what it gave to t.Skip.
func skipReason(output string) string {
	var reason []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimSpace(line)
		switch match := logLine.FindStringSubmatch(line); {
		case match != nil:
			reason = []string{match[1]}
		case strings.HasPrefix(text, "---") || strings.HasPrefix(text, "===") || text == "":
		case strings.HasPrefix(line, "        ") && len(reason) > 0: // a message of several lines
			reason = append(reason, text)
		}
	}
	if len(reason) == 0 {
		return "no reason given"
	}
	return strings.Join(reason, " ")
}

// lastLine is the last line of a check's output that says something.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return "no reason given"
}

// endLine makes sure that text which is there ends its line.
func endLine(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}
