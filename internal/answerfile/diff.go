package answerfile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// Change is one setting in which two answer files differ.
type Change struct {
	// Path names the setting: pass, component, elements, for instance
	// specialize/Microsoft-Windows-Shell-Setup/TimeZone. An item of a list is
	// named by its wcm:keyValue, its Order or its Name.
	Path string
	// Old and New are the values; nil where the file does not have the setting.
	// A secret is never among them: it is Hidden instead.
	Old, New *string
}

// Hidden stands for the value of a password or a product key.
const Hidden = "(hidden)"

// String is the change on one line: "+ path: new", "- path: old" or
// "~ path: old -> new".
func (c Change) String() string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s: %s", c.Path, quote(*c.New))
	case c.New == nil:
		return fmt.Sprintf("- %s: %s", c.Path, quote(*c.Old))
	default:
		return fmt.Sprintf("~ %s: %s -> %s", c.Path, quote(*c.Old), quote(*c.New))
	}
}

// quote keeps backslashes as they are, since values are Windows paths.
func quote(v string) string {
	switch {
	case v == Hidden:
		return v
	case strings.ContainsFunc(v, unicode.IsControl):
		return strconv.Quote(v)
	default:
		return `"` + v + `"`
	}
}

// Difference is what Diff finds.
type Difference struct {
	// Changes are in the order of the new file; what it lacks comes last, in
	// the order of the old one.
	Changes []Change
	// LayoutOnly: the bytes differ, but no setting does: white space, comments,
	// the order of elements, the encoding.
	LayoutOnly bool
}

// String is the difference, a line for each change, without a line end at the
// last; empty when the files are the same.
func (d Difference) String() string {
	if d.LayoutOnly {
		return "no setting differs; white space, comments, order or encoding do"
	}
	lines := make([]string, 0, len(d.Changes))
	for _, c := range d.Changes {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n")
}

// Diff says in which settings two answer files differ.
func Diff(from, to *File) Difference {
	before, after := from.flatten(), to.flatten()
	var d Difference
	for _, n := range after.order {
		now := after.values[n]
		switch was, had := before.values[n]; {
		case !had:
			d.Changes = append(d.Changes, Change{Path: n, New: shown(now)})
		case was.text != now.text:
			d.Changes = append(d.Changes, Change{Path: n, Old: shown(was), New: shown(now)})
		}
	}
	for _, n := range before.order {
		if _, has := after.values[n]; !has {
			d.Changes = append(d.Changes, Change{Path: n, Old: shown(before.values[n])})
		}
	}
	d.LayoutOnly = len(d.Changes) == 0 && !bytes.Equal(from.Bytes(), to.Bytes())
	return d
}

// flat is a value and whether it must not be shown.
type flat struct {
	text   string
	secret bool
}

func shown(v flat) *string {
	if v.secret && v.text != "" {
		hidden := Hidden
		return &hidden
	}
	return &v.text
}

// flattened are a file's settings by path, in order.
type flattened struct {
	order  []string
	values map[string]flat
}

func (f *File) flatten() flattened {
	out := flattened{values: map[string]flat{}}
	for _, s := range f.doc.Root().Children {
		if s.Local != "settings" {
			continue
		}
		for _, c := range s.Children {
			path := s.Value("pass") + "/" + c.Value("name")
			if a := c.Value("processorArchitecture"); !strings.EqualFold(a, f.architecture()) {
				path += "[" + a + "]"
			}
			out.add(c, path)
		}
	}
	return out
}

func (o *flattened) add(e *xmltext.Element, path string) {
	if e.Leaf() {
		if e.Local == "component" && strings.TrimSpace(e.Text()) == "" {
			return
		}
		unique := path
		for n := 2; ; n++ {
			if _, taken := o.values[unique]; !taken {
				break
			}
			unique = fmt.Sprintf("%s#%d", path, n)
		}
		o.order = append(o.order, unique)
		o.values[unique] = flat{strings.TrimSpace(e.Text()), secretElement(e)}
		return
	}
	for _, c := range e.Children {
		o.add(c, path+"/"+c.Local+itemKey(c))
	}
}

// itemKey tells the items of a list apart.
func itemKey(e *xmltext.Element) string {
	if v, ok := wcm(e, "keyValue"); ok {
		return "[" + v + "]"
	}
	if _, ok := wcm(e, "action"); !ok {
		return ""
	}
	for _, local := range []string{"Order", "Name"} {
		if c := child(e, local); c != nil {
			return "[" + strings.TrimSpace(c.Text()) + "]"
		}
	}
	return ""
}

// HoldsSecret says whether the file holds a password or a product key, in
// clear text or encoded.
func (f *File) HoldsSecret() bool {
	held := false
	f.doc.Root().Walk(func(e *xmltext.Element) {
		held = held || e.Leaf() && secretElement(e) && strings.TrimSpace(e.Text()) != ""
	})
	return held
}

// secretElement says whether an element's text is a password or a key.
func secretElement(e *xmltext.Element) bool {
	parent := ""
	if e.Parent != nil {
		parent = e.Parent.Local
	}
	return e.Local == "ProductKey" || e.Local == "Key" && parent == "ProductKey" ||
		strings.HasSuffix(e.Local, "Password") || e.Local == "Value" && strings.HasSuffix(parent, "Password") ||
		slices.Contains([]string{"MachinePassword", "AccountData", "UnsecureJoinPassword"}, e.Local)
}
