package answerfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// CheckOptions is what Check may know about the guest. The zero value checks
// what can be told from the file alone, as packer validate does.
type CheckOptions struct {
	// Architecture of the guest, as PROCESSOR_ARCHITECTURE names it. Empty
	// means amd64, the only one for which EC2 has Windows AMIs.
	Architecture string
	// AdministratorName is the name of the account with RID 500 on the guest;
	// empty means that it is not known.
	AdministratorName string
	// Shipped is the launch agent's own answer file, to see which of its steps
	// the file has lost; nil means that it is not known.
	Shipped *File
}

// checker gathers findings about one file.
type checker struct {
	*File
	opts  CheckOptions
	found []Finding
}

// Check says what Windows would refuse, ignore or give away. The findings are
// ordered by their place in the file; none holds a password or a key.
func (f *File) Check(opts CheckOptions) []Finding {
	opts.Architecture = cmp.Or(strings.ToLower(opts.Architecture), "amd64")
	c := &checker{File: f, opts: opts}
	c.checkEncoding()
	c.checkPrefixes()
	if c.checkRoot() {
		c.checkPasses()
		c.checkComponents()
		c.checkSettings()
		c.checkCommands()
		c.checkSecrets()
		c.checkAdministrator()
		c.checkLost()
	}
	finding.Sort(c.found)
	return c.found
}

// add records a finding at an offset of the text.
func (c *checker) add(offset int, severity finding.Severity, id, remedy, format string, args ...any) {
	line, column := c.doc.Position(offset)
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.Name(), Line: line, Column: column, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// addMissing records a finding about something that has no place.
func (c *checker) addMissing(severity finding.Severity, id, remedy, format string, args ...any) {
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.Name(), Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// checkEncoding looks for bytes and declarations that disagree, and for text
// that EC2Launch v1 would mangle: it reads the file by Get-Content, which takes
// UTF-8 without a byte order mark for ANSI.
func (c *checker) checkEncoding() {
	enc, declared := c.doc.Encoding(), strings.ToLower(c.doc.Declared())
	switch {
	case enc.Charset == xmltext.Windows1252 || enc.Charset == xmltext.Latin1:
		c.add(0, finding.Warning, "encoding-unusual", "save the file as UTF-8 with a byte order mark", "the file is %s; Windows Setup is sure to read UTF-8 and UTF-16 only", enc.Charset)
	case enc.Wide() && declared != "" && !strings.HasPrefix(declared, "utf-16") && declared != "unicode":
		c.add(0, finding.Error, "encoding-mismatch", "declare encoding=\"utf-16\", or save the file as UTF-8", "the file calls itself %s and is UTF-16", c.doc.Declared())
	case !enc.Wide() && (strings.HasPrefix(declared, "utf-16") || declared == "unicode"):
		c.add(0, finding.Error, "encoding-mismatch", "declare encoding=\"utf-8\", or save the file as UTF-16", "the file calls itself %s and is not", c.doc.Declared())
	}
	if enc.Charset == xmltext.UTF8 && !enc.BOM {
		if i := strings.IndexFunc(c.doc.Text(), func(r rune) bool { return r > 0x7f }); i >= 0 {
			c.add(i, finding.Warning, "non-ascii-without-bom", "save the file as UTF-8 with a byte order mark, or write the character as a reference such as &#252;",
				"a character outside ASCII in a file without a byte order mark; EC2Launch v1 reads it in the ANSI code page")
		}
	}
	if at, ok := c.doc.Doctype(); ok {
		c.add(at, finding.Error, "doctype", "remove it", "Windows Setup refuses a document type declaration")
	}
}

// checkPrefixes reports every element's and attribute's prefix that nobody
// declares. EC2Launch v1 hides this behind a warning, and Sysprep then fails.
func (c *checker) checkPrefixes() {
	c.doc.Root().Walk(func(e *xmltext.Element) {
		if !e.Bound {
			c.add(e.Start, finding.Error, "unbound-prefix", "declare the prefix with xmlns:"+e.Prefix+" on this or an outer element", "the prefix %s of <%s> is not declared", e.Prefix, e.Name())
		}
		for _, a := range e.Attrs {
			if !a.Bound {
				remedy := "declare the prefix with xmlns:" + a.Prefix
				if a.Prefix == "wcm" {
					remedy += `="` + wcmNamespace + `"`
				}
				c.add(a.Start, finding.Error, "unbound-prefix", remedy+" on the component", "the prefix %s of the attribute %s is not declared", a.Prefix, a.Name())
			}
		}
	})
}

// checkRoot says whether the file is an answer file at all.
func (c *checker) checkRoot() bool {
	switch {
	case c.doc.Root().Local != "unattend":
		c.add(c.doc.Root().Start, finding.Error, "root-element", "use an answer file: its root element is <unattend>", "the root element is <%s>, not <unattend>", c.doc.Root().Name())
		return false
	case c.doc.Root().Space != Namespace:
		c.add(c.doc.Root().Start, finding.Error, "namespace", `write <unattend xmlns="`+Namespace+`">`, "the root element is not in the namespace of answer files, so Windows ignores the file")
		return false
	}
	return true
}

// checkPasses looks at the settings elements.
func (c *checker) checkPasses() {
	seen := map[string]int{}
	for _, e := range c.doc.Root().Children {
		switch {
		case e.Space == cpiNamespace:
			continue
		case e.Local == "servicing" && e.Space == Namespace:
			c.add(e.Start, finding.Info, "servicing", "remove it unless the guest has the packages it names", "the servicing part is carried out by Windows Setup, not by Sysprep")
			continue
		case e.Local != "settings" || e.Space != Namespace:
			c.add(e.Start, finding.Warning, "unknown-element", "remove it", "<%s> is no part of an answer file", e.Name())
			continue
		}
		c.checkPass(e, seen)
	}
	c.straySpace(c.doc.Root())
}

func (c *checker) checkPass(e *xmltext.Element, seen map[string]int) {
	pass, ok := e.Attr("pass")
	switch {
	case !ok:
		c.add(e.Start, finding.Error, "unknown-pass", "name the pass: pass=\"specialize\"", "this settings element names no pass")
	case !slices.Contains(Passes(), pass.Value):
		remedy := "use one of " + strings.Join(Passes(), ", ")
		for _, p := range Passes() {
			if strings.EqualFold(p, strings.TrimSpace(pass.Value)) {
				remedy = "write it " + p
			}
		}
		c.add(pass.ValueStart, finding.Error, "unknown-pass", remedy, "there is no pass %q", pass.Value)
	case pass.Value == "windowsPE" || strings.HasPrefix(pass.Value, "audit") || pass.Value == "offlineServicing":
		c.add(e.Start, finding.Info, "pass-unused", "remove it if nobody installs Windows with this file", "Sysprep /generalize /oobe never runs the pass %s", pass.Value)
	}
	if first, twice := seen[pass.Value]; twice {
		c.add(e.Start, finding.Warning, "duplicate-pass", "merge the two", "the pass %s has a settings element in line %d already", pass.Value, first)
	} else if ok {
		seen[pass.Value], _ = c.doc.Position(e.Start)
	}
	if a, ok := e.Attr("wasPassProcessed"); ok && !isFalse(a.Value) {
		c.add(a.Start, finding.Error, "pass-processed", "remove the attribute", "wasPassProcessed marks a pass as done, so Windows skips it; the file is a copy of the one that Windows keeps in Panther")
	}
	for _, child := range e.Children {
		if child.Local != "component" || child.Space != Namespace {
			c.add(child.Start, finding.Error, "unknown-element", "put settings into a component", "<%s> stands directly in a pass", child.Name())
		}
	}
	c.straySpace(e)
}

// straySpace reports text between the elements of a container.
func (c *checker) straySpace(e *xmltext.Element) {
	for _, p := range e.Pieces {
		if s := strings.TrimSpace(p.Text); s != "" {
			at := p.Start + max(0, strings.Index(c.doc.Text()[p.Start:p.End], s[:1]))
			c.add(at, finding.Error, "stray-text", "remove it", "text between the elements of <%s>", e.Name())
		}
	}
}

func isFalse(s string) bool { return strings.EqualFold(s, "false") || s == "0" }

func isTrue(s string) bool { return strings.EqualFold(s, "true") || s == "1" }
