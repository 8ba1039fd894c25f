package agentconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// ec2configFile is what the setting files of EC2Config have in common. EC2Config
// makes passwords up and has none in its files.
type ec2configFile struct{ doc *xmltext.Document }

// Name is the name that the file was parsed under.
func (f *ec2configFile) Name() string { return f.doc.Name() }

// Bytes is the file as it is to be written: the very bytes that were parsed
// when nothing has been edited.
func (f *ec2configFile) Bytes() []byte { return f.doc.Bytes() }

// HoldsSecret is false: EC2Config's setting files know no password.
func (f *ec2configFile) HoldsSecret() bool { return false }

// Redacted is the file for showing differences, in UTF-8 without byte order
// mark. There is nothing to hide in it.
func (f *ec2configFile) Redacted() []byte { return []byte(f.doc.Text()) }

// parseEC2Config reads the XML. It fails with a *SyntaxError; what the text
// means is told by the file's Check.
func parseEC2Config(name string, data []byte) (ec2configFile, error) {
	if len(data) > maxFile {
		return ec2configFile{}, &SyntaxError{name, 1, 1, fmt.Sprintf("the file has %d bytes; a setting file with more than %d is refused", len(data), maxFile)}
	}
	doc, err := xmltext.Parse(name, data)
	var syntax *xmltext.SyntaxError
	if errors.As(err, &syntax) {
		return ec2configFile{}, (*SyntaxError)(syntax)
	}
	return ec2configFile{doc}, err
}

// hasRoot says whether the root element is of that name, in no namespace.
func (f *ec2configFile) hasRoot(name string) bool {
	root := f.doc.Root()
	return root.Local == name && root.Space == "" && root.Prefix == ""
}

// needRoot fails when the file cannot be edited because it is another one.
func (f *ec2configFile) needRoot(name string) error {
	if f.hasRoot(name) {
		return nil
	}
	return fmt.Errorf("the root element is <%s>, not <%s>; nothing is changed in a file whose form is not known", f.doc.Root().Name(), name)
}

// ec2configChecker gathers findings about one file.
type ec2configChecker struct {
	*ec2configFile
	found []Finding
}

// check runs what holds for every file of EC2Config, and then the file's own
// rules when the root element is the right one.
func (f *ec2configFile) check(root string, own func(c *ec2configChecker)) []Finding {
	c := &ec2configChecker{ec2configFile: f}
	c.checkEncoding()
	if f.hasRoot(root) {
		own(c)
	} else {
		c.add(f.doc.Root().Start, finding.Error, "root-element", fmt.Sprintf("use EC2Config's own file: its root element is <%s>, without a namespace", root),
			"the root element is <%s>, not <%s>", f.doc.Root().Name(), root)
	}
	finding.Sort(c.found)
	return c.found
}

// add records a finding at an offset of the text.
func (c *ec2configChecker) add(offset int, severity finding.Severity, id, remedy, format string, args ...any) {
	line, column := c.doc.Position(offset)
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.Name(), Line: line, Column: column, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// checkEncoding looks for an XML declaration that disagrees with the bytes.
// EC2Config is a .NET program, and .NET's XML reader refuses such a file.
func (c *ec2configChecker) checkEncoding() {
	declared := strings.ToLower(c.doc.Declared())
	callsItselfWide := strings.HasPrefix(declared, "utf-16") || declared == "unicode"
	switch wide := c.doc.Encoding().Wide(); {
	case wide && declared != "" && !callsItselfWide:
		c.add(0, finding.Error, "encoding-mismatch", `declare encoding="utf-16", or save the file as UTF-8`, "the file calls itself %s and is UTF-16, so EC2Config cannot read it", c.doc.Declared())
	case !wide && callsItselfWide:
		c.add(0, finding.Error, "encoding-mismatch", `declare encoding="utf-8", or save the file as UTF-16`, "the file calls itself %s and is not, so EC2Config cannot read it", c.doc.Declared())
	}
}

// checkWord checks a value that must be one of a few words. EC2Config's own
// comparison is not known, so that another case is only a warning.
func (c *ec2configChecker) checkWord(e *xmltext.Element, what string, words ...string) {
	value, remedy := strings.TrimSpace(e.Text()), "write "+strings.Join(words, " or ")
	for _, w := range words {
		switch {
		case value == w && e.Text() == w:
			return
		case value == w:
			c.add(e.StartEnd, finding.Warning, "value-space", "remove the white space around the value", "there is white space around the value of %s", what)
			return
		case strings.EqualFold(value, w):
			c.add(e.StartEnd, finding.Warning, "value", "write "+w, "%s is %q, and EC2Config's own files say %s", what, value, w)
			return
		}
	}
	c.add(e.StartEnd, finding.Error, "value", remedy, "%s is %q, which EC2Config does not know", what, value)
}

// checkName looks for a name that EC2Config's own files do not have.
func (c *ec2configChecker) checkName(offset int, id, kind, name string, known []string) {
	if slices.Contains(known, name) {
		return
	}
	remedy := "compare the name with the file that the guest's EC2Config brings; AWS documents " + strings.Join(known, ", ")
	if meant := nearest(name, known); meant != "" {
		remedy = "did you mean " + meant + "?"
	}
	c.add(offset, finding.Warning, id, remedy, "%s %q is not one of those that AWS documents, and EC2Config ignores what it does not know", kind, name)
}

// checkTwins reports what stands twice.
func (c *ec2configChecker) checkTwins(rows []row, id string, describe func(r row) string) {
	first := map[string]int{}
	for _, r := range rows {
		what := describe(r)
		if line, twice := first[strings.ToLower(what)]; twice {
			c.add(r.element.Start, finding.Error, id, "keep one of them", "%s stands in line %d already", what, line)
			continue
		}
		first[strings.ToLower(what)] = c.doc.Line(r.element)
	}
}

// row is an element of a list that holds its values in child elements, such as
// a Property with its Name and its Value.
type row struct {
	element *xmltext.Element
	fields  map[string]*xmltext.Element
}

// text is the value of a field without the white space around it, empty where
// the row does not have it.
func (r row) text(field string) string {
	if e := r.fields[field]; e != nil {
		return strings.TrimSpace(e.Text())
	}
	return ""
}

// form says what a list looks like.
type form struct {
	// item is the name of a row's element.
	item string
	// fields are the child elements that every row has, optional those that it
	// may have.
	fields, optional []string
}

// rows reads the list in parent. What does not have the form is reported with
// its place and left out.
func (l form) rows(parent *xmltext.Element, report func(e *xmltext.Element, problem string)) []row {
	var out []row
	for _, e := range parent.All("", l.item) {
		r, whole := row{e, map[string]*xmltext.Element{}}, true
		for i, field := range slices.Concat(l.fields, l.optional) {
			switch have := e.All("", field); {
			case len(have) > 1:
				report(have[1], fmt.Sprintf("<%s> stands twice in this <%s>", field, l.item))
				whole = false
			case len(have) == 0 && i < len(l.fields):
				report(e, fmt.Sprintf("this <%s> has no <%s>", l.item, field))
				whole = false
			case len(have) == 0:
			case !have[0].Leaf():
				report(have[0], fmt.Sprintf("this <%s> holds elements where its value is expected", field))
				whole = false
			default:
				r.fields[field] = have[0]
			}
		}
		if whole {
			out = append(out, r)
		}
	}
	return out
}

// checkRows reads a list and turns what is wrong with its form into findings.
func (c *ec2configChecker) checkRows(parent *xmltext.Element, l form) []row {
	return l.rows(parent, func(e *xmltext.Element, problem string) {
		c.add(e.Start, finding.Error, "shape", fmt.Sprintf("give every <%s> exactly one %s", l.item, elements(l.fields)), "%s", problem)
	})
}

// elements names elements for people.
func elements(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "<" + n + ">"
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " and " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

// goodRows are the rows that have the form.
func (l form) goodRows(parent *xmltext.Element) []row {
	return l.rows(parent, func(*xmltext.Element, string) {})
}

// set gives the row of that name its value: it changes the one field, or adds
// a row behind the last one.
func (f *ec2configFile) set(parent *xmltext.Element, l form, name, value string) error {
	var problem error
	var found *row
	rows := l.rows(parent, func(e *xmltext.Element, text string) {
		if problem == nil {
			problem = fmt.Errorf("line %d: %s; nothing is changed in a file whose form is not known", f.doc.Line(e), text)
		}
	})
	for _, r := range rows {
		switch have := r.text(l.fields[0]); {
		case !strings.EqualFold(have, name):
			continue
		case have != name:
			return errOtherCase(have, name, f.doc.Line(r.element))
		case found != nil:
			return fmt.Errorf("%s stands twice, in the lines %d and %d; remove one", name, f.doc.Line(found.element), f.doc.Line(r.element))
		}
		found = &r
	}
	switch {
	case problem != nil:
		return problem
	case len(rows) == 0:
		return fmt.Errorf("there is no <%s> in the <%s> of line %d; nothing is changed in a file whose form is not known", l.item, parent.Name(), f.doc.Line(parent))
	case found == nil:
		return f.doc.AppendLike(rows[len(rows)-1].element, xmltext.Fragment{Name: l.item, Children: []xmltext.Fragment{{Name: l.fields[0], Value: name}, {Name: l.fields[1], Value: value}}})
	case found.fields[l.fields[1]].Text() == value:
		return nil
	}
	return f.doc.SetText(found.fields[l.fields[1]], value)
}

// errOtherCase is about a name of which nobody can tell whether EC2Config takes
// it.
func errOtherCase(have, name string, line int) error {
	return fmt.Errorf("line %d has the name %s, and EC2Config's own files have %s; correct it", line, have, name)
}

// lookup is the value of the row of that name; ok is false when there is none
// or more than one.
func (l form) lookup(parent *xmltext.Element, name string) (value string, ok bool) {
	for _, r := range l.goodRows(parent) {
		if r.text(l.fields[0]) != name {
			continue
		}
		if ok {
			return "", false
		}
		value, ok = r.text(l.fields[1]), true
	}
	return value, ok
}

// shipped is the name as EC2Config has it, whatever its case; a name that is
// not known comes back as it is.
func shipped(name string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}
