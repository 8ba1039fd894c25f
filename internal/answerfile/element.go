package answerfile

import (
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// wcm finds the attribute wcm:action or wcm:keyValue, also where the prefix
// wcm is not bound: what was meant is plain, and unbound-prefix is reported on
// its own.
func wcm(e *xmltext.Element, local string) (string, bool) {
	for _, a := range e.Attrs {
		if a.Local == local && (a.Space == wcmNamespace || !a.Bound && a.Prefix == "wcm") {
			return a.Value, true
		}
	}
	return "", false
}

// all finds the child elements of that name in the unattend namespace.
func all(e *xmltext.Element, local string) []*xmltext.Element { return e.All(Namespace, local) }

// child finds the first child element of that name, or nil.
func child(e *xmltext.Element, local string) *xmltext.Element {
	if cs := all(e, local); len(cs) > 0 {
		return cs[0]
	}
	return nil
}

// descend follows a path of child elements; nil when one is missing.
func descend(e *xmltext.Element, path ...string) *xmltext.Element {
	for _, local := range path {
		if e == nil {
			return nil
		}
		e = child(e, local)
	}
	return e
}

// settings are the settings elements of a pass.
func (f *File) settings(pass string) []*xmltext.Element {
	var out []*xmltext.Element
	for _, s := range all(f.doc.Root(), "settings") {
		if s.Value("pass") == pass {
			out = append(out, s)
		}
	}
	return out
}

// components are the components of that name in a pass, of any architecture.
func (f *File) components(pass, name string) []*xmltext.Element {
	var out []*xmltext.Element
	for _, s := range f.settings(pass) {
		for _, c := range all(s, "component") {
			if c.Value("name") == name {
				out = append(out, c)
			}
		}
	}
	return out
}

// component is the component of that name in a pass for the architecture of
// the file; nil when there is none.
func (f *File) component(pass, name string) *xmltext.Element {
	arch := f.architecture()
	for _, c := range f.components(pass, name) {
		if strings.EqualFold(c.Value("processorArchitecture"), arch) {
			return c
		}
	}
	return nil
}

// architecture is amd64 when any component is for amd64 or there are none,
// since EC2 runs Windows on nothing else; otherwise that of the first one.
func (f *File) architecture() string {
	first := ""
	for _, s := range all(f.doc.Root(), "settings") {
		for _, c := range all(s, "component") {
			a := c.Value("processorArchitecture")
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
	if e = descend(e, path...); e == nil || !e.Leaf() {
		return "", false
	}
	return strings.TrimSpace(e.Text()), true
}
