package answerfile

import (
	"slices"
	"strings"
)

// element is an element with its place in the text: start and startEnd around
// the start tag, endStart and end around the end tag. <a/> has startEnd,
// endStart and end at one place.
type element struct {
	prefix, local string
	// space is the namespace, resolved; bound is false when the prefix is not.
	space                          string
	bound                          bool
	start, startEnd, endStart, end int
	attrs                          []attr
	children                       []*element
	parent                         *element
	// pieces are the text, CDATA and comment parts of the content, in order.
	pieces []piece
}

// attr is an attribute with its place: start and end around name="value".
type attr struct {
	prefix, local, value string
	space                string
	bound                bool
	start, end           int
	valueStart, valueEnd int
}

// piece is a part of an element's content that is no element.
type piece struct {
	text       string // decoded; empty for a comment
	comment    bool
	start, end int
}

// name is the name as it stands in the text.
func (e *element) name() string {
	if e.prefix == "" {
		return e.local
	}
	return e.prefix + ":" + e.local
}

func (a attr) name() string {
	if a.prefix == "" {
		return a.local
	}
	return a.prefix + ":" + a.local
}

func (e *element) selfClosing() bool { return e.startEnd == e.end }

// text is what stands directly in the element, without comments.
func (e *element) text() string {
	var b strings.Builder
	for _, p := range e.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// leaf says whether the element has no child elements.
func (e *element) leaf() bool { return len(e.children) == 0 }

// attr finds an attribute without prefix.
func (e *element) attr(local string) (attr, bool) {
	for _, a := range e.attrs {
		if a.prefix == "" && a.local == local {
			return a, true
		}
	}
	return attr{}, false
}

// value is an attribute's value, empty when there is none.
func (e *element) value(local string) string {
	a, _ := e.attr(local)
	return a.value
}

// wcm finds the attribute wcm:action or wcm:keyValue, also where the prefix
// wcm is not bound: what was meant is plain, and unbound-prefix is reported on
// its own.
func (e *element) wcm(local string) (string, bool) {
	for _, a := range e.attrs {
		if a.local == local && (a.space == wcmNamespace || !a.bound && a.prefix == "wcm") {
			return a.value, true
		}
	}
	return "", false
}

// all finds the child elements of that name in the unattend namespace.
func (e *element) all(local string) []*element {
	var out []*element
	for _, c := range e.children {
		if c.local == local && c.space == Namespace {
			out = append(out, c)
		}
	}
	return out
}

// child finds the first child element of that name, or nil.
func (e *element) child(local string) *element {
	if cs := e.all(local); len(cs) > 0 {
		return cs[0]
	}
	return nil
}

// descend follows a path of child elements; nil when one is missing.
func (e *element) descend(path ...string) *element {
	for _, local := range path {
		if e == nil {
			return nil
		}
		e = e.child(local)
	}
	return e
}

// walk calls visit for the element and everything in it, in document order.
func (e *element) walk(visit func(*element)) {
	visit(e)
	for _, c := range e.children {
		c.walk(visit)
	}
}

// scope lists the namespace prefixes that are bound at e, the innermost first.
func (e *element) scope() map[string]string {
	out := map[string]string{"xml": xmlNamespace}
	var chain []*element
	for ; e != nil; e = e.parent {
		chain = append(chain, e)
	}
	slices.Reverse(chain)
	for _, c := range chain {
		c.bindInto(out)
	}
	return out
}

// bindInto adds the element's own namespace declarations.
func (e *element) bindInto(scope map[string]string) {
	for _, a := range e.attrs {
		switch {
		case a.prefix == "xmlns":
			scope[a.local] = a.value
		case a.prefix == "" && a.local == "xmlns":
			scope[""] = a.value
		}
	}
}

// settings are the settings elements of a pass.
func (f *File) settings(pass string) []*element {
	var out []*element
	for _, s := range f.root.all("settings") {
		if s.value("pass") == pass {
			out = append(out, s)
		}
	}
	return out
}

// components are the components of that name in a pass, of any architecture.
func (f *File) components(pass, name string) []*element {
	var out []*element
	for _, s := range f.settings(pass) {
		for _, c := range s.all("component") {
			if c.value("name") == name {
				out = append(out, c)
			}
		}
	}
	return out
}

// component is the component of that name in a pass for the architecture of
// the file; nil when there is none.
func (f *File) component(pass, name string) *element {
	arch := f.architecture()
	for _, c := range f.components(pass, name) {
		if strings.EqualFold(c.value("processorArchitecture"), arch) {
			return c
		}
	}
	return nil
}

// architecture is amd64 when any component is for amd64 or there are none,
// since EC2 runs Windows on nothing else; otherwise that of the first one.
func (f *File) architecture() string {
	first := ""
	for _, s := range f.root.all("settings") {
		for _, c := range s.all("component") {
			a := c.value("processorArchitecture")
			if strings.EqualFold(a, "amd64") {
				return "amd64"
			}
			if first == "" {
				first = a
			}
		}
	}
	if first == "" {
		return "amd64"
	}
	return first
}

// Lookup reads a setting: the text of the element that the path names below a
// component, for instance Lookup("generalize", "Microsoft-Windows-Security-SPP", "SkipRearm").
// White space around the value is not part of it.
func (f *File) Lookup(pass, component string, path ...string) (string, bool) {
	e := f.component(pass, component)
	if e == nil {
		return "", false
	}
	if e = e.descend(path...); e == nil || !e.leaf() {
		return "", false
	}
	return strings.TrimSpace(e.text()), true
}
