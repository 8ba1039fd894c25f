package xmltext

import (
	"fmt"
	"strings"
)

// Atomically runs edits that belong together. After an error the document is
// as it was before.
func (d *Document) Atomically(edit func() error) error {
	before := *d
	if err := edit(); err != nil {
		*d = before
		return err
	}
	return nil
}

// Splice replaces a part of the text and reads the result, which must still be
// well-formed.
func (d *Document) Splice(start, end int, with string) error {
	if err := d.read(d.text[:start] + with + d.text[end:]); err != nil {
		return fmt.Errorf("editing the file: %w", err)
	}
	d.edited = true
	return nil
}

// SetText replaces the text of a leaf element; comments in it are kept.
func (d *Document) SetText(e *Element, value string) error {
	if e.SelfClosing() {
		tag := d.text[e.Start:e.End]
		tag = strings.TrimRight(strings.TrimSuffix(tag, "/>"), " \t\r\n")
		return d.Splice(e.Start, e.End, tag+">"+escape(value)+"</"+e.Name()+">")
	}
	var kept strings.Builder
	for _, p := range e.Pieces {
		if p.Comment {
			kept.WriteString(d.text[p.Start:p.End])
		}
	}
	return d.Splice(e.StartEnd, e.EndStart, escape(value)+kept.String())
}

// Remove takes an element out, with its line when it stands alone there.
func (d *Document) Remove(e *Element) error {
	start, end := e.Start, e.End
	before := strings.TrimRight(d.text[:start], " \t")
	after := len(d.text[end:]) - len(strings.TrimLeft(d.text[end:], " \t"))
	rest := d.text[end+after:]
	if strings.HasSuffix(before, "\n") && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n")) {
		start = len(strings.TrimSuffix(strings.TrimSuffix(before, "\n"), "\r"))
		end += after
	}
	return d.Splice(start, end, "")
}

// escape writes a value as XML text, in ASCII: what is not becomes a character
// reference, which every reader understands in every encoding. EC2Launch v1
// would otherwise mangle it in a file without byte order mark.
func escape(value string) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r < 0x20 || r > 0x7e:
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
