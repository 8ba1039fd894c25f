package xmltext

import (
	"fmt"
	"strings"
)

// Fragment is an element to insert. It gets the prefix of its parent.
type Fragment struct {
	Name string
	// Attributes is the text of the attributes, such as ` a="1"`, with the
	// white space before each; empty for none.
	Attributes string
	Value      string
	Children   []Fragment
}

// Append adds a fragment as the last child element of parent. Where the
// children have lines of their own, so have those of the fragment.
func (d *Document) Append(parent *Element, x Fragment) error {
	var last *Element
	if n := len(parent.Children); n > 0 {
		last = parent.Children[n-1]
	}
	return d.insert(parent, last, func(indent string, multiline bool) string {
		return d.fragment(parent, x, indent, multiline)
	})
}

// AppendLike puts a fragment behind a sibling of its kind and lays it out as
// that is laid out: on one line, or with a line for every child.
func (d *Document) AppendLike(sibling *Element, x Fragment) error {
	return d.insert(sibling.Parent, sibling, func(indent string, multiline bool) string {
		if multiline && !sibling.Leaf() {
			_, multiline = d.indentOf(sibling.Children[0])
		}
		return d.fragment(sibling.Parent, x, indent, multiline)
	})
}

func (d *Document) fragment(parent *Element, x Fragment, indent string, multiline bool) string {
	w := fragmentWriter{parent: parent, eol: lineEnd(d.text), unit: d.indentUnit(), multiline: multiline}
	w.write(x, indent)
	return w.b.String()
}

// Format writes a whole document as Windows programs do: UTF-8 without byte
// order mark, in ASCII, an element a line, two spaces a level, CR LF. The
// values must hold no character that XML does not allow.
func Format(root Fragment) []byte {
	w := fragmentWriter{parent: &Element{}, eol: "\r\n", unit: "  ", multiline: true}
	w.b.WriteString(`<?xml version="1.0" standalone="yes"?>` + w.eol)
	w.write(root, "")
	w.b.WriteString(w.eol)
	return []byte(w.b.String())
}

// InsertBefore puts the text of an element before another one, on a line of its
// own where that has one.
func (d *Document) InsertBefore(e *Element, text string) error {
	indent, ownLine := d.indentOf(e)
	if !ownLine {
		return d.Splice(e.Start, e.Start, text)
	}
	return d.Splice(e.Start, e.Start, text+lineEnd(d.text)+indent)
}

// InsertAfter puts the text of an element behind the child last of parent, or
// makes it the only child when last is nil.
func (d *Document) InsertAfter(parent, last *Element, text string) error {
	return d.insert(parent, last, func(string, bool) string { return text })
}

// insert puts what write returns behind the child last of parent, or makes it
// the only child when last is nil. The arguments of write are the indent of
// the place and whether the file gives elements lines of their own there.
func (d *Document) insert(parent, last *Element, write func(indent string, multiline bool) string) error {
	if last != nil {
		indent, ownLine := d.indentOf(last)
		if !ownLine {
			return d.Splice(last.End, last.End, write("", false))
		}
		return d.Splice(last.End, last.End, lineEnd(d.text)+indent+write(indent, true))
	}
	outer, ownLine := d.indentOf(parent)
	open := d.text[parent.Start:parent.StartEnd]
	if parent.SelfClosing() {
		open = strings.TrimRight(strings.TrimSuffix(open, "/>"), " \t\r\n") + ">"
	}
	if strings.TrimSpace(parent.Text()) != "" {
		return fmt.Errorf("<%s> of line %d holds text and cannot take elements", parent.Name(), d.Line(parent))
	}
	comments := ""
	for _, p := range parent.Pieces {
		if p.Comment {
			comments += d.text[p.Start:p.End]
		}
	}
	end := "</" + parent.Name() + ">"
	if !ownLine && !strings.Contains(d.text, "\n") {
		return d.Splice(parent.Start, parent.End, open+comments+write("", false)+end)
	}
	inner := outer + d.indentUnit()
	eol := lineEnd(d.text)
	if comments != "" {
		comments = eol + inner + comments
	}
	return d.Splice(parent.Start, parent.End, open+comments+eol+inner+write(inner, true)+eol+outer+end)
}

// indentOf is the white space before an element on its line, and whether
// nothing else stands before it there.
func (d *Document) indentOf(e *Element) (indent string, ownLine bool) {
	begin := strings.LastIndexByte(d.text[:e.Start], '\n') + 1
	indent = d.text[begin:e.Start]
	if strings.Trim(indent, " \t") != "" {
		return indent[:space(indent)], false
	}
	return indent, begin > 0 || e.Parent == nil
}

// indentUnit is what the file indents one level by: two spaces when it cannot
// be told.
func (d *Document) indentUnit() string {
	unit := ""
	d.root.Walk(func(e *Element) {
		if unit != "" || e.Parent == nil {
			return
		}
		outer, ok1 := d.indentOf(e.Parent)
		inner, ok2 := d.indentOf(e)
		if ok1 && ok2 && len(inner) > len(outer) && strings.HasPrefix(inner, outer) {
			unit = inner[len(outer):]
		}
	})
	if unit == "" {
		return "  "
	}
	return unit
}

// fragmentWriter writes a fragment in the manner of its surroundings.
type fragmentWriter struct {
	b         strings.Builder
	parent    *Element
	eol, unit string
	multiline bool
}

func (w *fragmentWriter) write(x Fragment, indent string) {
	name := w.parent.Qualify(x.Name)
	w.b.WriteString("<" + name + x.Attributes + ">" + escape(x.Value))
	for _, c := range x.Children {
		if w.multiline {
			w.b.WriteString(w.eol + indent + w.unit)
		}
		w.write(c, indent+w.unit)
	}
	if w.multiline && len(x.Children) > 0 {
		w.b.WriteString(w.eol + indent)
	}
	w.b.WriteString("</" + name + ">")
}
