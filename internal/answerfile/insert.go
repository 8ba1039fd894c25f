package answerfile

import (
	"fmt"
	"slices"
	"strings"
)

// fragment is an element to insert.
type fragment struct {
	name  string
	value string
	// action marks a list item: wcm:action="add".
	action   bool
	children []fragment
}

// ensure finds the element that the path names below a component of a pass,
// and adds what is missing.
func (f *File) ensure(pass, component string, path ...string) (*element, error) {
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
		if err := f.insert(parent, fragment{name: path[i]}); err != nil {
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
	rank := func(e *element) int { return slices.Index(Passes(), e.value("pass")) }
	wanted := slices.Index(Passes(), pass)
	tag := "<" + f.root.qualify("settings") + ` pass="` + pass + `">`
	text := tag + "</" + f.root.qualify("settings") + ">"
	existing := f.root.all("settings")
	var after *element
	for _, e := range existing {
		if rank(e) < wanted {
			after = e
		}
	}
	if after == nil && len(existing) > 0 {
		return f.insertBefore(existing[0], text)
	}
	if after == nil && len(f.root.children) > 0 {
		return f.insertBefore(f.root.children[0], text)
	}
	return f.insertAfter(f.root, after, text)
}

// insertComponent adds a component to a pass. Its start tag is a neighbour's
// with the other name, so that architecture, namespaces and the layout of the
// attributes are what the file has elsewhere.
func (f *File) insertComponent(pass, name string) error {
	all := f.settings(pass)
	parent := all[len(all)-1]
	tag := f.componentTag(parent, name)
	text := tag + "</" + parent.qualify("component") + ">"
	var last *element
	if cs := parent.all("component"); len(cs) > 0 {
		last = cs[len(cs)-1]
	}
	return f.insertAfter(parent, last, text)
}

func (f *File) componentTag(parent *element, name string) string {
	arch := f.architecture()
	candidates := parent.all("component")
	slices.Reverse(candidates)
	for _, s := range f.root.all("settings") {
		candidates = append(candidates, s.all("component")...)
	}
	for _, c := range candidates {
		if !strings.EqualFold(c.value("processorArchitecture"), arch) || !c.complete() || c.prefix != parent.prefix {
			continue
		}
		a, _ := c.attr("name")
		tag := f.text[c.start:a.valueStart] + name + f.text[a.valueEnd:c.startEnd]
		if c.selfClosing() {
			tag = strings.TrimRight(strings.TrimSuffix(tag, "/>"), " \t\r\n") + ">"
		}
		return tag
	}
	return "<" + parent.qualify("component") + ` name="` + name + `" processorArchitecture="` + arch + `" publicKeyToken="` + microsoftToken +
		`" language="neutral" versionScope="nonSxS" xmlns:wcm="` + wcmNamespace + `" xmlns:xsi="` + xsiNamespace + `">`
}

// complete says whether a component's start tag can serve as a model.
func (e *element) complete() bool {
	return e.value("name") != "" && strings.EqualFold(e.value("publicKeyToken"), microsoftToken) &&
		e.value("language") == "neutral" && e.value("versionScope") == "nonSxS" && len(e.scope()[e.prefix]) > 0 && e.wcmPrefix() != ""
}

// wcmPrefix is the prefix that is bound to the namespace of wcm:action at the
// element, empty when there is none.
func (e *element) wcmPrefix() string {
	var found []string
	for prefix, space := range e.scope() {
		if space == wcmNamespace && prefix != "" {
			found = append(found, prefix)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Min(found)
}

// qualify gives a name the prefix of the element.
func (e *element) qualify(local string) string {
	if e.prefix == "" {
		return local
	}
	return e.prefix + ":" + local
}

// insert adds a fragment as the last child element of parent.
func (f *File) insert(parent *element, x fragment) error {
	var last *element
	if n := len(parent.children); n > 0 {
		last = parent.children[n-1]
	}
	return f.insertAfter(parent, last, "", x)
}

// insertBefore puts text before an element, on a line of its own where the
// element has one.
func (f *File) insertBefore(e *element, text string) error {
	indent, ownLine := f.indentOf(e)
	if !ownLine {
		return f.splice(e.start, e.start, text)
	}
	return f.splice(e.start, e.start, text+lineEnd(f.text)+indent)
}

// insertAfter puts text, or a fragment when given, behind the child last of
// parent, or makes it the only child when last is nil.
func (f *File) insertAfter(parent, last *element, text string, x ...fragment) error {
	write := func(indent string, multiline bool) string {
		if len(x) == 0 {
			return text
		}
		w := fragmentWriter{parent: parent, eol: lineEnd(f.text), unit: f.indentUnit(), multiline: multiline}
		w.write(x[0], indent)
		return w.b.String()
	}
	if last != nil {
		indent, ownLine := f.indentOf(last)
		if !ownLine {
			return f.splice(last.end, last.end, write("", false))
		}
		return f.splice(last.end, last.end, lineEnd(f.text)+indent+write(indent, true))
	}
	outer, ownLine := f.indentOf(parent)
	open := f.text[parent.start:parent.startEnd]
	if parent.selfClosing() {
		open = strings.TrimRight(strings.TrimSuffix(open, "/>"), " \t\r\n") + ">"
	}
	if strings.TrimSpace(parent.text()) != "" {
		return fmt.Errorf("<%s> of line %d holds text and cannot take elements", parent.name(), f.line(parent))
	}
	comments := ""
	for _, p := range parent.pieces {
		if p.comment {
			comments += f.text[p.start:p.end]
		}
	}
	end := "</" + parent.name() + ">"
	if !ownLine && !strings.Contains(f.text, "\n") {
		return f.splice(parent.start, parent.end, open+comments+write("", false)+end)
	}
	inner := outer + f.indentUnit()
	eol := lineEnd(f.text)
	if comments != "" {
		comments = eol + inner + comments
	}
	return f.splice(parent.start, parent.end, open+comments+eol+inner+write(inner, true)+eol+outer+end)
}

// indentOf is the white space before an element on its line, and whether
// nothing else stands before it there.
func (f *File) indentOf(e *element) (indent string, ownLine bool) {
	begin := strings.LastIndexByte(f.text[:e.start], '\n') + 1
	indent = f.text[begin:e.start]
	if strings.Trim(indent, " \t") != "" {
		return indent[:space(indent)], false
	}
	return indent, begin > 0 || e.parent == nil
}

// indentUnit is what the file indents one level by: two spaces when it cannot
// be told.
func (f *File) indentUnit() string {
	unit := ""
	f.root.walk(func(e *element) {
		if unit != "" || e.parent == nil {
			return
		}
		outer, ok1 := f.indentOf(e.parent)
		inner, ok2 := f.indentOf(e)
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
	parent    *element
	eol, unit string
	multiline bool
}

func (w *fragmentWriter) write(x fragment, indent string) {
	name := w.parent.qualify(x.name)
	w.b.WriteString("<" + name)
	if x.action {
		prefix := w.parent.wcmPrefix()
		if prefix == "" {
			prefix = "wcm"
			w.b.WriteString(` xmlns:wcm="` + wcmNamespace + `"`)
		}
		w.b.WriteString(" " + prefix + `:action="add"`)
	}
	w.b.WriteString(">" + escape(x.value))
	for _, c := range x.children {
		if w.multiline {
			w.b.WriteString(w.eol + indent + w.unit)
		}
		w.write(c, indent+w.unit)
	}
	if w.multiline && len(x.children) > 0 {
		w.b.WriteString(w.eol + indent)
	}
	w.b.WriteString("</" + name + ">")
}
