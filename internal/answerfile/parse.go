package answerfile

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is how deep elements may be nested. Answer files need about eight.
const maxDepth = 100

// Parse reads an answer file. The name is for messages. It fails with a
// *SyntaxError when the bytes are no text or no well-formed XML; everything
// else that may be wrong with the file is told by Check.
func Parse(name string, data []byte) (*File, error) {
	text, enc, err := decode(data)
	if err != nil {
		return nil, decodeError(name, err)
	}
	f := &File{name: name, enc: enc, original: append([]byte(nil), data...)}
	if err := f.read(text); err != nil {
		return nil, err
	}
	return f, nil
}

// read builds the tree of a text and makes both the file's own.
func (f *File) read(text string) error {
	p := parser{file: f.name, text: text, doctype: -1}
	if err := p.run(); err != nil {
		return err
	}
	p.root.resolve(map[string]string{"xml": xmlNamespace})
	f.text, f.root, f.doctype, f.declared = text, p.root, p.doctype, ""
	if m := declaredEncoding.FindStringSubmatch(text); m != nil {
		f.declared = m[1]
	}
	return nil
}

type parser struct {
	file    string
	text    string
	root    *element
	open    []*element
	doctype int
}

func (p *parser) fail(offset int, format string, args ...any) error {
	line, column := position(p.text, offset)
	return &SyntaxError{p.file, line, column, fmt.Sprintf(format, args...)}
}

func (p *parser) run() error {
	if strings.TrimSpace(p.text) == "" {
		return p.fail(0, "the file is empty")
	}
	d := xml.NewDecoder(strings.NewReader(p.text))
	// The text is decoded already, whatever its declaration says.
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		start := int(d.InputOffset())
		token, err := d.RawToken()
		end := int(d.InputOffset())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return p.syntax(start, end, err)
		}
		if err := p.take(token, start, end); err != nil {
			return err
		}
	}
	if n := len(p.open); n > 0 {
		e := p.open[n-1]
		return p.fail(e.start, "<%s> is never closed", e.name())
	}
	if p.root == nil {
		return p.fail(0, "the file holds no element")
	}
	return nil
}

func (p *parser) take(token xml.Token, start, end int) error {
	var inside *element
	if n := len(p.open); n > 0 {
		inside = p.open[n-1]
	}
	switch t := token.(type) {
	case xml.StartElement:
		return p.startElement(t, inside, start, end)
	case xml.EndElement:
		return p.endElement(t, inside, start, end)
	case xml.CharData:
		if inside == nil {
			if s := strings.TrimSpace(string(t)); s != "" {
				return p.fail(start+strings.Index(p.text[start:end], s[:1]), "text outside the root element")
			}
			return nil
		}
		inside.pieces = append(inside.pieces, piece{text: string(t), start: start, end: end})
	case xml.Comment:
		if inside != nil {
			inside.pieces = append(inside.pieces, piece{comment: true, start: start, end: end})
		}
	case xml.ProcInst:
		if strings.EqualFold(t.Target, "xml") && start != 0 {
			return p.fail(start, "the XML declaration must be the very first thing in the file")
		}
	case xml.Directive:
		if p.doctype < 0 {
			p.doctype = start
		}
	}
	return nil
}

func (p *parser) startElement(t xml.StartElement, inside *element, start, end int) error {
	if inside == nil && p.root != nil {
		return p.fail(start, "a second root element <%s> after <%s>", rawName(t.Name), p.root.name())
	}
	if len(p.open) >= maxDepth {
		return p.fail(start, "elements are nested more than %d deep", maxDepth)
	}
	e := &element{prefix: t.Name.Space, local: t.Name.Local, start: start, startEnd: end, endStart: end, end: end, parent: inside}
	if err := p.attributes(e, t.Attr); err != nil {
		return err
	}
	if inside == nil {
		p.root = e
	} else {
		inside.children = append(inside.children, e)
	}
	p.open = append(p.open, e)
	return nil
}

// endElement closes the innermost element. For <a/> the tokenizer makes up an
// end tag of no length.
func (p *parser) endElement(t xml.EndElement, inside *element, start, end int) error {
	if inside == nil {
		return p.fail(start, "</%s> closes nothing", rawName(t.Name))
	}
	if t.Name.Space != inside.prefix || t.Name.Local != inside.local {
		line, _ := position(p.text, inside.start)
		return p.fail(start, "</%s> cannot close <%s> of line %d", rawName(t.Name), inside.name(), line)
	}
	inside.endStart, inside.end = start, end
	p.open = p.open[:len(p.open)-1]
	return nil
}

// attributes gives the element its attributes with their places. The tokenizer
// has accepted the tag, so every attribute is name, equals sign, quoted value.
func (p *parser) attributes(e *element, attrs []xml.Attr) error {
	at := e.start + 1 + len(e.name())
	for _, x := range attrs {
		at += space(p.text[at:])
		a := attr{prefix: x.Name.Space, local: x.Name.Local, value: x.Value, start: at}
		at += len(a.name())
		at += space(p.text[at:])
		at++ // the equals sign
		at += space(p.text[at:])
		if at >= e.startEnd || (p.text[at] != '"' && p.text[at] != '\'') {
			return p.fail(a.start, "the attribute %s has no quoted value", a.name())
		}
		a.valueStart = at + 1
		n := strings.IndexByte(p.text[a.valueStart:e.startEnd], p.text[at])
		if n < 0 {
			return p.fail(a.start, "the value of %s has no closing quote", a.name())
		}
		a.valueEnd = a.valueStart + n
		at = a.valueEnd + 1
		a.end = at
		for _, b := range e.attrs {
			if a.prefix == b.prefix && a.local == b.local {
				return p.fail(a.start, "the attribute %s stands twice in <%s>", a.name(), e.name())
			}
		}
		e.attrs = append(e.attrs, a)
	}
	return nil
}

// space is the length of the white space at the beginning of s.
func space(s string) int { return len(s) - len(strings.TrimLeft(s, " \t\r\n")) }

func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// resolve gives every element and attribute its namespace.
func (e *element) resolve(outer map[string]string) {
	scope := outer
	for _, a := range e.attrs {
		if a.prefix == "xmlns" || a.prefix == "" && a.local == "xmlns" {
			scope = make(map[string]string, len(outer)+2)
			for k, v := range outer {
				scope[k] = v
			}
			e.bindInto(scope)
			break
		}
	}
	e.space, e.bound = scope[e.prefix]
	if e.prefix == "" {
		e.bound = true
	}
	for i := range e.attrs {
		a := &e.attrs[i]
		switch a.prefix {
		case "", "xmlns":
			a.bound = true
		default:
			a.space, a.bound = scope[a.prefix]
		}
	}
	for _, c := range e.children {
		c.resolve(scope)
	}
}

// syntax turns the tokenizer's complaint into plain words and its place.
func (p *parser) syntax(start, end int, err error) error {
	message := err.Error()
	var se *xml.SyntaxError
	if errors.As(err, &se) {
		message = se.Msg
	}
	back := func(to byte) int {
		if i := strings.LastIndexByte(p.text[:min(end, len(p.text))], to); i >= start {
			return i
		}
		return start
	}
	switch {
	case strings.HasPrefix(message, "invalid character entity"):
		at := back('&')
		entity := p.text[at:min(end, len(p.text))]
		if strings.HasSuffix(entity, ";") {
			return p.fail(at, "the entity %s is not known to XML; write the character itself", entity)
		}
		return p.fail(at, "a bare & is not allowed; write &amp;")
	case strings.HasPrefix(message, "unexpected EOF"):
		if n := len(p.open); n > 0 {
			line, _ := position(p.text, p.open[n-1].start)
			return p.fail(end, "the file ends within <%s> of line %d", p.open[n-1].name(), line)
		}
		return p.fail(end, "the file ends too early")
	case strings.HasPrefix(message, "expected element name after <"):
		return p.fail(back('<'), "a bare < is not allowed; write &lt;")
	case strings.HasPrefix(message, "unescaped < inside quoted string"):
		return p.fail(back('<'), "a bare < in an attribute's value is not allowed; write &lt; (or is a quote missing?)")
	case strings.HasPrefix(message, "illegal character code"):
		return p.fail(max(start, end-1), "the text holds a character that XML does not allow: %s", strings.TrimPrefix(message, "illegal "))
	case strings.HasPrefix(message, "unquoted or missing attribute value"):
		return p.fail(end, "an attribute's value must stand in quotes")
	case strings.HasPrefix(message, "attribute name without ="), strings.HasPrefix(message, "expected attribute name"):
		return p.fail(end, "an attribute must be written name=\"value\"")
	case strings.Contains(message, "not allowed in comments"):
		return p.fail(start+max(0, strings.LastIndex(p.text[start:min(end, len(p.text))], "--")), "-- is not allowed within a comment")
	case strings.HasPrefix(message, "unescaped ]]>"):
		return p.fail(max(start, end-3), "]]> is not allowed in text; write ]]&gt;")
	default:
		return p.fail(min(end, len(p.text)), "%s", message)
	}
}
