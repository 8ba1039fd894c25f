package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// errNoCgo says that this program was built without its grammar.
var errNoCgo = errors.New("built without cgo: the PowerShell grammar needs a C compiler")

// A text is a PowerShell source with its syntax tree.
type text struct {
	source []byte
	root   *node
}

// A node is a part of the syntax tree. Its bytes are source[start:end].
type node struct {
	kind       string
	start, end int
	line       int // from 1
	column     int // in bytes, from 1
	failed     bool
	missing    bool
	parent     *node
	children   []*node
}

// A finding is something to mend, with its place.
type finding struct {
	line, column int
	rule         string
	message      string
}

func (f finding) String() string {
	return fmt.Sprintf("%d:%d: %s: %s", f.line, f.column, f.rule, f.message)
}

func sorted(findings []finding) []finding {
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	return findings
}

const keyword = `(?:begin|break|catch|class|continue|data|do|dynamicparam|else|elseif|end|exit|filter|finally|for|foreach|` +
	`function|if|in|param|process|return|switch|throw|trap|try|until|using|while)`

// keywordName is a name whose first letters are a keyword: the grammar takes the command Format-Table for "for" and a rest, and
// a member called Process for the block of that name.
var keywordName = regexp.MustCompile(`(?i)(?:(?:^|[^\w$.:\\-])(` + keyword + `\w*-[a-z])|(?:\.|::)(` + keyword + `))`)

// masked is the source with such names respelt, byte for byte of the same length.
func masked(source []byte) []byte {
	out := bytes.Clone(source)
	for _, match := range keywordName.FindAllSubmatchIndex(source, -1) {
		out[max(match[2], match[4])] = 'Q' // one of the two groups took part; the other's place is -1
	}
	return out
}

func (t *text) of(n *node) string { return string(t.source[n.start:n.end]) }

// walk visits the tree from the top; visit tells whether to go down.
func (n *node) walk(visit func(*node) bool) {
	if !visit(n) {
		return
	}
	for _, child := range n.children {
		child.walk(visit)
	}
}

// child is the first child of a kind, or nil.
func (n *node) child(kind string) *node {
	for _, c := range n.children {
		if c.kind == kind {
			return c
		}
	}
	return nil
}

func (n *node) finding(rule, format string, args ...any) finding {
	return finding{n.line, n.column, rule, fmt.Sprintf(format, args...)}
}

// syntax finds what the grammar could make no sense of: the innermost places only.
func (t *text) syntax() []finding {
	var found []finding
	var visit func(*node) bool
	visit = func(n *node) (deeper bool) {
		for _, c := range n.children {
			deeper = visit(c) || deeper
		}
		switch {
		case n.missing:
			found = append(found, n.finding("syntax", "%s is missing", n.kind))
		case n.failed && !deeper:
			found = append(found, n.finding("syntax", "cannot be parsed from here: %.40q", t.of(n)))
		default:
			return deeper
		}
		return true
	}
	visit(t.root)
	return found
}
