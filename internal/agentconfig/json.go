package agentconfig

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonKind is what a JSON value is.
type jsonKind string

const (
	jsonObject jsonKind = "an object"
	jsonArray  jsonKind = "a list"
	jsonString jsonKind = "a text"
	jsonNumber jsonKind = "a number"
	jsonBool   jsonKind = "true or false"
	jsonNull   jsonKind = "null"
)

// jsonValue is a JSON value with its place in the text.
type jsonValue struct {
	kind jsonKind
	// text is what a string means, or how another scalar is written.
	text string
	// start and end are offsets in the file's text.
	start, end   int
	line, column int
	members      []jsonMember
	items        []*jsonValue
}

// jsonMember is a key of an object with its value.
type jsonMember struct {
	key, value *jsonValue
}

// jsonReader reads RFC 8259 and nothing more, as Windows PowerShell's
// ConvertFrom-Json has to understand the file too. It never shows a value in an
// error.
type jsonReader struct {
	*textFile
	at    int
	depth int
	// The offset of the value that began last, and its place, so that every
	// character is counted once.
	placed, line, column int
}

func newJSONReader(f *textFile) *jsonReader {
	return &jsonReader{textFile: f, line: 1, column: 1}
}

// readJSON parses the whole text of a file.
func readJSON(f *textFile) (*jsonValue, error) {
	r := newJSONReader(f)
	r.space()
	if r.at == len(r.text) {
		return nil, f.fail(0, "the file is empty")
	}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	r.space()
	if r.at < len(r.text) {
		return nil, r.unexpected("the end of the file")
	}
	return v, nil
}

func (r *jsonReader) space() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *jsonReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// begin is a value of a kind that begins here.
func (r *jsonReader) begin(kind jsonKind) *jsonValue {
	for ; r.placed < r.at; r.placed++ {
		switch c := r.text[r.placed]; {
		case c == '\n':
			r.line++
			r.column = 1
		case utf8.RuneStart(c):
			r.column++
		}
	}
	return &jsonValue{kind: kind, start: r.at, line: r.line, column: r.column}
}

// unexpected says what stands where something else is wanted.
func (r *jsonReader) unexpected(wanted string) error {
	rest := r.text[r.at:]
	switch {
	case rest == "":
		return r.fail(r.at, "the file ends where %s is expected", wanted)
	case strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, "/*"), rest[0] == '#':
		return r.fail(r.at, "JSON has no comments; remove it")
	case rest[0] == '\'':
		return r.fail(r.at, "JSON wants double quotes, not single ones")
	case strings.HasPrefix(rest, "“"), strings.HasPrefix(rest, "”"):
		return r.fail(r.at, "a typographic quote; JSON wants the straight one (\")")
	case rest[0] == '\t' || rest[0] >= ' ' && rest[0] < 0x7f && strings.IndexByte("{}[]:,\"", rest[0]) >= 0:
		return r.fail(r.at, "%s is expected here, not %q", wanted, rest[:1])
	}
	return r.fail(r.at, "%s is expected here", wanted)
}

func (r *jsonReader) value() (*jsonValue, error) {
	switch c := r.peek(); {
	case c == '{':
		return r.nested(r.begin(jsonObject), '}')
	case c == '[':
		return r.nested(r.begin(jsonArray), ']')
	case c == '"':
		return r.string()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return r.word()
	}
	return nil, r.unexpected("a value")
}

// nested reads an object or a list.
func (r *jsonReader) nested(v *jsonValue, closing byte) (*jsonValue, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, r.fail(r.at, "values are nested more than %d deep", maxDepth)
	}
	defer func() { r.depth-- }()
	r.at++
	r.space()
	for first := true; ; first = false {
		if r.peek() == closing {
			break
		}
		if !first {
			comma := r.at
			if r.peek() != ',' {
				return nil, r.unexpected(fmt.Sprintf("a comma or %q", closing))
			}
			r.at++
			r.space()
			if r.peek() == closing {
				return nil, r.fail(comma, "a comma before %q is not allowed; remove it", closing)
			}
		}
		if err := r.element(v); err != nil {
			return nil, err
		}
		r.space()
	}
	r.at++
	v.end = r.at
	return v, nil
}

// element reads a member of an object or an item of a list.
func (r *jsonReader) element(v *jsonValue) error {
	var key *jsonValue
	if v.kind == jsonObject {
		if r.peek() != '"' {
			return r.unexpected("a key in double quotes")
		}
		var err error
		if key, err = r.string(); err != nil {
			return err
		}
		r.space()
		if r.peek() != ':' {
			return r.unexpected("a colon behind the key")
		}
		r.at++
		r.space()
	}
	value, err := r.value()
	if err != nil {
		return err
	}
	if key != nil {
		v.members = append(v.members, jsonMember{key, value})
	} else {
		v.items = append(v.items, value)
	}
	return nil
}

func (r *jsonReader) string() (*jsonValue, error) {
	v := r.begin(jsonString)
	var b strings.Builder
	for r.at++; ; {
		switch c := r.peek(); {
		case r.at >= len(r.text):
			return nil, r.fail(v.start, "the text that begins here has no closing quote")
		case c == '"':
			r.at++
			v.text, v.end = b.String(), r.at
			return v, nil
		case c == '\\':
			u, err := r.escape()
			if err != nil {
				return nil, err
			}
			b.WriteRune(u)
		case c == '\n' || c == '\r':
			return nil, r.fail(v.start, "the text that begins here has no closing quote on its line")
		case c < ' ':
			return nil, r.fail(r.at, "the control character U+%04X must be written as \\u%04x", c, c)
		default:
			b.WriteByte(c)
			r.at++
		}
	}
}

// escape reads a backslash and what belongs to it.
func (r *jsonReader) escape() (rune, error) {
	start := r.at
	r.at++
	c := r.peek()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
		r.at++
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c == 'u' {
		if u, ok := r.hex(start); ok {
			r.at = start + 6
			if !utf16.IsSurrogate(u) {
				return u, nil
			}
			if low, ok := r.hex(r.at); ok && strings.HasPrefix(r.text[r.at:], `\u`) {
				if u = utf16.DecodeRune(u, low); u != utf8.RuneError {
					r.at += 6
					return u, nil
				}
			}
			return 0, r.fail(start, "half a character; both \\u escapes of it are needed")
		}
	}
	return 0, r.fail(start, `a backslash begins an escape such as \n or \u00fc; write \\ for the backslash of a path`)
}

// hex is the value of the four digits behind the two characters at an offset.
func (r *jsonReader) hex(at int) (rune, bool) {
	if at+6 > len(r.text) {
		return 0, false
	}
	u, err := strconv.ParseUint(r.text[at+2:at+6], 16, 16)
	return rune(u), err == nil
}

func (r *jsonReader) number() (*jsonValue, error) {
	v := r.begin(jsonNumber)
	digits := func() bool {
		n := r.at
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.at++
		}
		return r.at > n
	}
	if r.peek() == '-' {
		r.at++
	}
	zero := r.peek() == '0'
	first := r.at
	ok := digits() && (!zero || r.at == first+1)
	if ok && r.peek() == '.' {
		r.at++
		ok = digits()
	}
	if c := r.peek(); ok && (c == 'e' || c == 'E') {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		ok = digits()
	}
	if !ok {
		return nil, r.fail(v.start, "this is no number as JSON writes it")
	}
	v.text, v.end = r.text[v.start:r.at], r.at
	return v, nil
}

func (r *jsonReader) word() (*jsonValue, error) {
	v := r.begin(jsonNull)
	for c := r.peek(); c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; c = r.peek() {
		r.at++
	}
	v.text, v.end = r.text[v.start:r.at], r.at
	switch v.text {
	case "true", "false":
		v.kind = jsonBool
		return v, nil
	case "null":
		return v, nil
	}
	switch strings.ToLower(v.text) {
	case "true", "false", "null":
		return nil, r.fail(v.start, "JSON writes true, false and null in small letters")
	}
	return nil, r.fail(v.start, "a text must stand in double quotes")
}

// quoteJSON writes a text as JSON in ASCII, so that a reader that takes the file
// for ANSI, as EC2Launch v1 does, cannot mangle it.
func quoteJSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r > 0x7e && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
