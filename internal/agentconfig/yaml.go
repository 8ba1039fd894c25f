package agentconfig

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// readYAML parses the whole text of a file, which must be one document without
// anchors and aliases. It never shows a value in an error.
func readYAML(f *textFile) (*yaml.Node, error) {
	if i := strings.IndexFunc(f.text, notInYAML); i >= 0 {
		r, _ := utf8.DecodeRuneInString(f.text[i:])
		return nil, f.fail(i, "the text holds the character U+%04X, which YAML does not allow there", r)
	}
	for i := 0; i < len(f.text); i++ {
		if f.text[i] == '\r' && !strings.HasPrefix(f.text[i:], "\r\n") {
			return nil, f.fail(i, "a carriage return without a line feed; save the file with line ends of Windows or of Unix")
		}
	}
	d := yaml.NewDecoder(strings.NewReader(strings.ReplaceAll(f.text, "\r\n", "\n")))
	var doc, second yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, f.fail(0, "the file is empty")
	case err != nil:
		return nil, f.yamlError(err)
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, f.yamlError(err)
		}
		return nil, &SyntaxError{f.name, max(second.Line, 1), 1, "a second document begins here; the agent reads one"}
	}
	if err := f.bounded(&doc, 0); err != nil {
		return nil, err
	}
	return &doc, nil
}

// notInYAML holds for characters that YAML refuses, and for the line ends of
// old that it knows and no editor shows.
func notInYAML(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return true
	}
	return false
}

// bounded refuses what may grow beyond measure.
func (f *textFile) bounded(n *yaml.Node, depth int) error {
	switch {
	case depth > maxDepth:
		return &SyntaxError{f.name, n.Line, n.Column, fmt.Sprintf("values are nested more than %d deep", maxDepth)}
	case n.Kind == yaml.AliasNode:
		return &SyntaxError{f.name, n.Line, n.Column, "an alias (a word that begins with *) is refused; write out what it stands for, or quote the text"}
	case n.Anchor != "":
		return &SyntaxError{f.name, n.Line, n.Column, "an anchor (a word that begins with &) is refused; write the value out wherever it is needed, or quote the text"}
	}
	for _, c := range n.Content {
		if err := f.bounded(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// yamlCauses says in plain words what the YAML library means.
var yamlCauses = []struct{ library, cause string }{
	{"violates indentation", tabCause},
	{"indentation space is expected", tabCause},
	{"mapping values are not allowed", "a colon makes no sense here; is this line or the one before it indented wrongly, or does a text with a colon need quotes?"},
	{"mapping keys are not allowed", "a key makes no sense here; is the line indented wrongly?"},
	{"block sequence entries are not allowed", "an item of a list (- ) makes no sense here; it begins on a line of its own, indented like the other items"},
	{"did not find expected key", "a key with a colon is expected in this block; is a line indented wrongly, or text left over behind a quoted text?"},
	{"did not find expected '-' indicator", "an item of the list (- ) is expected in this block; is a line indented wrongly?"},
	{"could not find expected ':'", "a key without a colon; write \"key: value\", with a space behind the colon"},
	{"cannot start any token", "a value cannot begin with this character; put the text in quotes"},
	{"did not find expected ',' or ']'", "a list in square brackets lacks a comma or its closing bracket"},
	{"did not find expected ',' or '}'", "a map in braces lacks a comma or its closing brace"},
	{"unknown escape character", "in double quotes a backslash begins an escape; write a path without quotes, or in single quotes"},
	{"did not find expected hexdecimal number", "in double quotes a backslash begins an escape; write a path without quotes, or in single quotes"},
	{"unexpected end of stream", "a text in quotes has no closing quote"},
	{"unexpected document indicator", "a text in quotes has no closing quote before the end of the document"},
	{"unknown anchor", "a word that begins with * is an alias, and nothing has that name; put the text in quotes"},
	{"alphabetic or numeric character", "a word that begins with * or & is no text; put the text in quotes"},
	{"did not find expected <document start>", "text behind the end of the document; is a line indented wrongly?"},
	{"comment or line break", "behind | or > comes the end of the line; the text begins on the next one"},
	{"exceeded max depth", "values are nested too deep"},
}

const tabCause = "YAML allows only spaces for indentation, not a tab"

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlError gives an error of the library its place and plain words. The
// library's own are not shown: they may hold a part of the file.
func (f *textFile) yamlError(err error) error {
	message := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil && m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	lines := strings.Split(strings.ReplaceAll(f.text, "\r\n", "\n"), "\n")
	line = min(max(line, 1), len(lines))
	// The library names the line where it lost the thread, which may be the
	// one before or behind that with the tab.
	for _, n := range []int{line, line + 1, line - 1} {
		if n >= 1 && n <= len(lines) && tabIndented(lines[n-1]) {
			column := strings.IndexByte(lines[n-1], '\t') + 1
			return &SyntaxError{f.name, n, column, fmt.Sprintf("line %d begins with a tab; YAML allows only spaces for indentation", n)}
		}
	}
	cause := "this is no valid YAML; compare the line and those around it with the agent's own file"
	for _, c := range yamlCauses {
		if strings.Contains(message, c.library) {
			cause = c.cause
			break
		}
	}
	column := len(lines[line-1]) - len(strings.TrimLeft(lines[line-1], " ")) + 1
	return &SyntaxError{f.name, line, column, cause}
}

// tabIndented holds for a line with a tab in the white space that it begins with.
func tabIndented(line string) bool {
	rest := strings.TrimLeft(line, " \t")
	return rest != "" && strings.Contains(line[:len(line)-len(rest)], "\t")
}

// writeYAML is the document as text with the file's line ends. Lists are
// indented as the file has them: AWS's own files come both with "  - " and with
// "- " under a key.
func (f *textFile) writeYAML(doc *yaml.Node) (string, error) {
	var b strings.Builder
	if strings.HasPrefix(strings.ReplaceAll(f.text, "\r\n", "\n"), "---\n") {
		b.WriteString("---\n")
	}
	text, err := encodeYAML(doc, compactLists(doc))
	if err != nil {
		return "", err
	}
	b.WriteString(text)
	return strings.ReplaceAll(b.String(), "\n", f.lineEnd()), nil
}

// encodeYAML is a tree as the YAML library writes it, with LF as line end.
// compact lists begin in the column of their key.
func encodeYAML(n *yaml.Node, compact bool) (string, error) {
	spellNulls(n, false)
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if compact {
		e.CompactSeqIndent()
	}
	if err := e.Encode(n); err != nil {
		return "", fmt.Errorf("writing the YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return "", fmt.Errorf("writing the YAML: %w", err)
	}
	return b.String(), nil
}

// spellNulls writes out what is left empty between braces or brackets, for which
// the library would write an empty text.
func spellNulls(n *yaml.Node, flow bool) {
	flow = flow || n.Style&yaml.FlowStyle != 0
	if flow && n.Kind == yaml.ScalarNode && n.Value == "" && empty(n) {
		n.Value = "null"
	}
	for _, c := range n.Content {
		spellNulls(c, flow)
	}
}

// compactLists holds when the first list under a key begins in the key's own
// column. A list that is new has no place yet.
func compactLists(n *yaml.Node) bool {
	compact, found := false, false
	var look func(n *yaml.Node)
	look = func(n *yaml.Node) {
		for i, c := range n.Content {
			if found {
				return
			}
			if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.SequenceNode && c.Style&yaml.FlowStyle == 0 && c.Line > 0 && n.Content[i-1].Line > 0 && len(c.Content) > 0 {
				compact, found = c.Column == n.Content[i-1].Column, true
				return
			}
			look(c)
		}
	}
	look(n)
	return compact
}
