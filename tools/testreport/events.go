package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	ImportPath  string // of a build's events
	FailedBuild string // the ImportPath of the build that made this package fail
}

// A test is what the events told of one test or, with an empty name, of its package.
type test struct {
	name     string
	output   strings.Builder
	verdict  string // pass, fail, skip, or nothing while it runs
	parent   bool   // has subtests
	answered bool   // has a subtest that failed
}

// A testPackage collects the events of one package until its verdict.
type testPackage struct {
	path  string
	own   test // what belongs to no test
	tests map[string]*test
	order []*test
}

// test returns the named test, made when first heard of, and tells its ancestors that they are no leaves.
func (p *testPackage) test(name string) *test {
	if t, known := p.tests[name]; known {
		return t
	}
	t := &test{name: name}
	p.tests[name] = t
	p.order = append(p.order, t)
	for {
		cut := strings.LastIndexByte(name, '/')
		if cut < 0 {
			return t
		}
		name = name[:cut]
		// A subtest's name may hold slashes of its own, so not every prefix is a test.
		if ancestor, known := p.tests[name]; known {
			ancestor.parent = true
		}
	}
}

// settle ends what never ended (a panic or a time limit took the process away) and finds the failures that stand for others.
func (p *testPackage) settle() {
	for _, t := range p.order {
		if t.verdict == "" {
			t.verdict = "fail"
		}
		if t.verdict != "fail" {
			continue
		}
		for name := t.name; ; {
			cut := strings.LastIndexByte(name, '/')
			if cut < 0 {
				break
			}
			name = name[:cut]
			if ancestor, known := p.tests[name]; known {
				ancestor.answered = true
			}
		}
	}
}

// events reads the output of "go test -json" to its end, reporting each package when it has its verdict.
func (r *report) events(in io.Reader) error {
	packages := map[string]*testPackage{}
	builds := map[string]*strings.Builder{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprint(r.out, line) // not an event: the go command itself speaks
			} else {
				r.event(packages, builds, e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the events of go test: %w", err)
		}
	}
	for _, p := range packages { // cut short: no verdict of theirs came
		r.packageDone(p, "fail", "", 0)
	}
	return nil
}

func (r *report) event(packages map[string]*testPackage, builds map[string]*strings.Builder, e event) {
	switch e.Action {
	case "build-output":
		if builds[e.ImportPath] == nil {
			builds[e.ImportPath] = new(strings.Builder)
		}
		builds[e.ImportPath].WriteString(e.Output)
		return
	case "build-fail":
		return // the packages that needed it name it
	}
	p := packages[e.Package]
	if p == nil {
		p = &testPackage{path: e.Package, tests: map[string]*test{}}
		packages[e.Package] = p
	}
	t := &p.own
	if e.Test != "" {
		t = p.test(e.Test)
	}
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.verdict = e.Action
		if e.Test == "" {
			build := ""
			if b := builds[e.FailedBuild]; b != nil {
				build = b.String()
			}
			r.packageDone(p, e.Action, build, e.Elapsed)
			delete(packages, e.Package)
		}
	}
}
