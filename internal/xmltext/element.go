package xmltext

import (
	"slices"
	"strings"
)

// Element is an element with its place in the text.
type Element struct {
	Prefix, Local string
	// Space is the namespace, resolved; Bound is false when the prefix is not
	// declared.
	Space string
	Bound bool
	// Start and StartEnd are the offsets around the start tag, EndStart and
	// End those around the end tag. <a/> has StartEnd, EndStart and End at one
	// place.
	Start, StartEnd, EndStart, End int
	Attrs                          []Attr
	Children                       []*Element
	// Parent is nil for the root element.
	Parent *Element
	// Pieces are the text, CDATA and comment parts of the content, in order.
	Pieces []Piece
}

// Attr is an attribute with its place.
type Attr struct {
	Prefix, Local, Value string
	// Space is the namespace, resolved; Bound is false when the prefix is not
	// declared.
	Space string
	Bound bool
	// Start and End are the offsets around name="value", ValueStart and
	// ValueEnd those within the quotes.
	Start, End           int
	ValueStart, ValueEnd int
}

// Piece is a part of an element's content that is no element.
type Piece struct {
	// Text is what the piece says, without references and CDATA marks; empty
	// for a comment.
	Text       string
	Comment    bool
	Start, End int
}

// Name is the name as it stands in the text.
func (e *Element) Name() string {
	if e.Prefix == "" {
		return e.Local
	}
	return e.Prefix + ":" + e.Local
}

// Name is the name as it stands in the text.
func (a Attr) Name() string {
	if a.Prefix == "" {
		return a.Local
	}
	return a.Prefix + ":" + a.Local
}

// SelfClosing says whether the element is written <a/>.
func (e *Element) SelfClosing() bool { return e.StartEnd == e.End }

// Text is what stands directly in the element, without comments.
func (e *Element) Text() string {
	var b strings.Builder
	for _, p := range e.Pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Leaf says whether the element has no child elements.
func (e *Element) Leaf() bool { return len(e.Children) == 0 }

// Attr finds an attribute without prefix.
func (e *Element) Attr(local string) (Attr, bool) {
	for _, a := range e.Attrs {
		if a.Prefix == "" && a.Local == local {
			return a, true
		}
	}
	return Attr{}, false
}

// Value is an attribute's value, empty when there is none.
func (e *Element) Value(local string) string {
	a, _ := e.Attr(local)
	return a.Value
}

// All finds the child elements of that name in a namespace, which is empty for
// elements in none.
func (e *Element) All(space, local string) []*Element {
	var out []*Element
	for _, c := range e.Children {
		if c.Local == local && c.Space == space {
			out = append(out, c)
		}
	}
	return out
}

// Walk calls visit for the element and everything in it, in document order.
func (e *Element) Walk(visit func(*Element)) {
	visit(e)
	for _, c := range e.Children {
		c.Walk(visit)
	}
}

// Scope lists the namespace prefixes that are bound at e, the innermost first.
func (e *Element) Scope() map[string]string {
	out := map[string]string{"xml": xmlNamespace}
	var chain []*Element
	for ; e != nil; e = e.Parent {
		chain = append(chain, e)
	}
	slices.Reverse(chain)
	for _, c := range chain {
		for _, a := range c.Attrs {
			if prefix, ok := a.declares(); ok {
				out[prefix] = a.Value
			}
		}
	}
	return out
}

// declares is the prefix that an attribute binds to a namespace, empty for the
// default one; ok is false for any other attribute.
func (a Attr) declares() (prefix string, ok bool) {
	switch {
	case a.Prefix == "xmlns":
		return a.Local, true
	case a.Prefix == "" && a.Local == "xmlns":
		return "", true
	}
	return "", false
}

// Qualify gives a name the prefix of the element.
func (e *Element) Qualify(local string) string {
	if e.Prefix == "" {
		return local
	}
	return e.Prefix + ":" + local
}
