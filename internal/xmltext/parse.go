package xmltext

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is how deep elements may be nested. Answer files need about eight.
const maxDepth = 100

// xmlNamespace is what the prefix xml is bound to everywhere.
const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

// Parse reads an XML text. The name is for messages. It fails with a
// *SyntaxError when the bytes are no text or no well-formed XML. The encoding
// is told by the byte order mark, by the shape of the first character or by
// the XML declaration, in this order.
func Parse(name string, data []byte) (*Document, error) {
	text, enc, err := decode(data)
	if err != nil {
		return nil, decodeError(name, err)
	}
	d := &Document{name: name, enc: enc, original: append([]byte(nil), data...)}
	if err := d.read(text); err != nil {
		return nil, err
	}
	return d, nil
}

// read builds the tree of a text and makes both the document's own.
func (d *Document) read(text string) error {
	p := parser{file: d.name, text: text, doctype: -1}
	if err := p.run(); err != nil {
		return err
	}
	p.root.resolve(map[string]string{"xml": xmlNamespace})
	d.text, d.root, d.doctype, d.declared = text, p.root, p.doctype, ""
	if m := declaredEncoding.FindStringSubmatch(text); m != nil {
		d.declared = m[1]
	}
	return nil
}

type parser struct {
	file    string
	text    string
	root    *Element
	open    []*Element
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
		return p.fail(e.Start, "<%s> is never closed", e.Name())
	}
	if p.root == nil {
		return p.fail(0, "the file holds no element")
	}
	return nil
}

func (p *parser) take(token xml.Token, start, end int) error {
	var inside *Element
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
			if strings.TrimSpace(string(t)) != "" {
				return p.fail(start+space(p.text[start:end]), "text outside the root element")
			}
			return nil
		}
		inside.Pieces = append(inside.Pieces, Piece{Text: string(t), Start: start, End: end})
	case xml.Comment:
		if inside != nil {
			inside.Pieces = append(inside.Pieces, Piece{Comment: true, Start: start, End: end})
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

func (p *parser) startElement(t xml.StartElement, inside *Element, start, end int) error {
	if inside == nil && p.root != nil {
		return p.fail(start, "a second root element <%s> after <%s>", rawName(t.Name), p.root.Name())
	}
	if len(p.open) >= maxDepth {
		return p.fail(start, "elements are nested more than %d deep", maxDepth)
	}
	e := &Element{Prefix: t.Name.Space, Local: t.Name.Local, Start: start, StartEnd: end, EndStart: end, End: end, Parent: inside}
	if err := p.attributes(e, t.Attr); err != nil {
		return err
	}
	if inside == nil {
		p.root = e
	} else {
		inside.Children = append(inside.Children, e)
	}
	p.open = append(p.open, e)
	return nil
}

// endElement closes the innermost element. For <a/> the tokenizer makes up an
// end tag of no length.
func (p *parser) endElement(t xml.EndElement, inside *Element, start, end int) error {
	if inside == nil {
		return p.fail(start, "</%s> closes nothing", rawName(t.Name))
	}
	if t.Name.Space != inside.Prefix || t.Name.Local != inside.Local {
		line, _ := position(p.text, inside.Start)
		return p.fail(start, "</%s> cannot close <%s> of line %d", rawName(t.Name), inside.Name(), line)
	}
	inside.EndStart, inside.End = start, end
	p.open = p.open[:len(p.open)-1]
	return nil
}

// attributes gives the element its attributes with their places. The tokenizer
// has accepted the tag, so every attribute is name, equals sign, quoted value.
func (p *parser) attributes(e *Element, attrs []xml.Attr) error {
	at := e.Start + 1 + len(e.Name())
	seen := make(map[xml.Name]bool, len(attrs))
	for _, x := range attrs {
		at += space(p.text[at:])
		a := Attr{Prefix: x.Name.Space, Local: x.Name.Local, Value: x.Value, Start: at}
		at += len(a.Name())
		at += space(p.text[at:])
		at++ // the equals sign
		at += space(p.text[at:])
		if at >= e.StartEnd || (p.text[at] != '"' && p.text[at] != '\'') {
			return p.fail(a.Start, "the attribute %s has no quoted value", a.Name())
		}
		a.ValueStart = at + 1
		n := strings.IndexByte(p.text[a.ValueStart:e.StartEnd], p.text[at])
		if n < 0 {
			return p.fail(a.Start, "the value of %s has no closing quote", a.Name())
		}
		a.ValueEnd = a.ValueStart + n
		at = a.ValueEnd + 1
		a.End = at
		if seen[x.Name] {
			return p.fail(a.Start, "the attribute %s stands twice in <%s>", a.Name(), e.Name())
		}
		seen[x.Name] = true
		e.Attrs = append(e.Attrs, a)
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

// resolve gives every element and attribute its namespace. The scope is that of
// the parent, and is so again afterwards: a copy for each element would take
// minutes for a file made of declarations.
func (e *Element) resolve(scope map[string]string) {
	for _, a := range e.Attrs {
		prefix, ok := a.declares()
		if !ok {
			continue
		}
		if outer, bound := scope[prefix]; bound {
			defer func() { scope[prefix] = outer }()
		} else {
			defer delete(scope, prefix)
		}
		scope[prefix] = a.Value
	}
	e.Space, e.Bound = scope[e.Prefix]
	if e.Prefix == "" {
		e.Bound = true
	}
	for i := range e.Attrs {
		a := &e.Attrs[i]
		switch a.Prefix {
		case "", "xmlns":
			a.Bound = true
		default:
			a.Space, a.Bound = scope[a.Prefix]
		}
	}
	for _, c := range e.Children {
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
			line, _ := position(p.text, p.open[n-1].Start)
			return p.fail(end, "the file ends within <%s> of line %d", p.open[n-1].Name(), line)
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
