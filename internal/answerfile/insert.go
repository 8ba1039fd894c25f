package answerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// ensure finds the element that the path names below a component of a pass,
// and adds what is missing.
func (f *File) ensure(pass, component string, path ...string) (*xmltext.Element, error) {
	if f.component(pass, component) == nil {
		if len(f.settings(pass)) == 0 {
			if err := f.insertPass(pass); err != nil {
				return nil, err
			}
		}
		if err := f.insertComponent(pass, component); err != nil {
			return nil, err
		}
	}
	for i := range path {
		p := place{pass: pass, component: component, path: path[:i+1]}
		e, err := f.find(p)
		if err != nil {
			return nil, err
		}
		if e != nil {
			continue
		}
		parent, err := f.find(place{pass: pass, component: component, path: path[:i]})
		if err != nil {
			return nil, err
		}
		if err := f.doc.Append(parent, xmltext.Fragment{Name: path[i]}); err != nil {
			return nil, err
		}
	}
	e, err := f.find(place{pass: pass, component: component, path: path})
	if err == nil && e == nil {
		err = fmt.Errorf("the element %s was not found where it was put", strings.Join(append([]string{pass, component}, path...), "/"))
	}
	return e, err
}

// insertPass adds a settings element. It goes where Windows runs it, after the
// last pass that comes earlier, and before everything else that the root may
// end in, such as cpi:offlineImage.
func (f *File) insertPass(pass string) error {
	rank := func(e *xmltext.Element) int { return slices.Index(Passes(), e.Value("pass")) }
	wanted := slices.Index(Passes(), pass)
	tag := "<" + f.doc.Root().Qualify("settings") + ` pass="` + pass + `">`
	text := tag + "</" + f.doc.Root().Qualify("settings") + ">"
	existing := all(f.doc.Root(), "settings")
	var after *xmltext.Element
	for _, e := range existing {
		if rank(e) < wanted {
			after = e
		}
	}
	if after == nil && len(existing) > 0 {
		return f.doc.InsertBefore(existing[0], text)
	}
	if after == nil && len(f.doc.Root().Children) > 0 {
		return f.doc.InsertBefore(f.doc.Root().Children[0], text)
	}
	return f.doc.InsertAfter(f.doc.Root(), after, text)
}

// insertComponent adds a component to a pass. Its start tag is a neighbour's
// with the other name, so that architecture, namespaces and the layout of the
// attributes are what the file has elsewhere.
func (f *File) insertComponent(pass, name string) error {
	passes := f.settings(pass)
	parent := passes[len(passes)-1]
	tag := f.componentTag(parent, name)
	text := tag + "</" + parent.Qualify("component") + ">"
	var last *xmltext.Element
	if cs := all(parent, "component"); len(cs) > 0 {
		last = cs[len(cs)-1]
	}
	return f.doc.InsertAfter(parent, last, text)
}

func (f *File) componentTag(parent *xmltext.Element, name string) string {
	arch := f.architecture()
	candidates := all(parent, "component")
	slices.Reverse(candidates)
	for _, s := range all(f.doc.Root(), "settings") {
		candidates = append(candidates, all(s, "component")...)
	}
	for _, c := range candidates {
		if !strings.EqualFold(c.Value("processorArchitecture"), arch) || !complete(c) || c.Prefix != parent.Prefix {
			continue
		}
		a, _ := c.Attr("name")
		tag := f.doc.Text()[c.Start:a.ValueStart] + name + f.doc.Text()[a.ValueEnd:c.StartEnd]
		if c.SelfClosing() {
			tag = strings.TrimRight(strings.TrimSuffix(tag, "/>"), " \t\r\n") + ">"
		}
		return tag
	}
	return "<" + parent.Qualify("component") + ` name="` + name + `" processorArchitecture="` + arch + `" publicKeyToken="` + microsoftToken +
		`" language="neutral" versionScope="nonSxS" xmlns:wcm="` + wcmNamespace + `" xmlns:xsi="` + xsiNamespace + `">`
}

// complete says whether a component's start tag can serve as a model.
func complete(e *xmltext.Element) bool {
	return e.Value("name") != "" && strings.EqualFold(e.Value("publicKeyToken"), microsoftToken) &&
		e.Value("language") == "neutral" && e.Value("versionScope") == "nonSxS" && len(e.Scope()[e.Prefix]) > 0 && wcmPrefix(e) != ""
}

// listItem is the attribute of an item of the list: wcm:action="add", with the
// namespace where it is not declared.
func listItem(list *xmltext.Element) string {
	prefix := wcmPrefix(list)
	if prefix == "" {
		return ` xmlns:wcm="` + wcmNamespace + `" wcm:action="add"`
	}
	return " " + prefix + `:action="add"`
}

// wcmPrefix is the prefix that is bound to the namespace of wcm:action at the
// element, empty when there is none.
func wcmPrefix(e *xmltext.Element) string {
	var found []string
	for prefix, space := range e.Scope() {
		if space == wcmNamespace && prefix != "" {
			found = append(found, prefix)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Min(found)
}
