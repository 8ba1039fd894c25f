package answerfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
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
	line, column := position(c.text, offset)
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.name, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// addMissing records a finding about something that has no place.
func (c *checker) addMissing(severity finding.Severity, id, remedy, format string, args ...any) {
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.name, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// checkEncoding looks for bytes and declarations that disagree, and for text
// that EC2Launch v1 would mangle: it reads the file by Get-Content, which takes
// UTF-8 without a byte order mark for ANSI.
func (c *checker) checkEncoding() {
	declared := strings.ToLower(c.declared)
	wide := c.enc.charset == charsetUTF16LE || c.enc.charset == charsetUTF16BE
	switch {
	case c.enc.charset == charset1252 || c.enc.charset == charsetLatin1:
		c.add(0, finding.Warning, "encoding-unusual", "save the file as UTF-8 with a byte order mark", "the file is %s; Windows Setup is sure to read UTF-8 and UTF-16 only", c.enc.charset)
	case wide && declared != "" && !strings.HasPrefix(declared, "utf-16") && declared != "unicode":
		c.add(0, finding.Error, "encoding-mismatch", "declare encoding=\"utf-16\", or save the file as UTF-8", "the file calls itself %s and is UTF-16", c.declared)
	case !wide && (strings.HasPrefix(declared, "utf-16") || declared == "unicode"):
		c.add(0, finding.Error, "encoding-mismatch", "declare encoding=\"utf-8\", or save the file as UTF-16", "the file calls itself %s and is not", c.declared)
	}
	if c.enc.charset == charsetUTF8 && !c.enc.bom {
		if i := strings.IndexFunc(c.text, func(r rune) bool { return r > 0x7f }); i >= 0 {
			c.add(i, finding.Warning, "non-ascii-without-bom", "save the file as UTF-8 with a byte order mark, or write the character as a reference such as &#252;",
				"a character outside ASCII in a file without a byte order mark; EC2Launch v1 reads it in the ANSI code page")
		}
	}
	if c.doctype >= 0 {
		c.add(c.doctype, finding.Error, "doctype", "remove it", "Windows Setup refuses a document type declaration")
	}
}

// checkPrefixes reports every element's and attribute's prefix that nobody
// declares. EC2Launch v1 hides this behind a warning, and Sysprep then fails.
func (c *checker) checkPrefixes() {
	c.root.walk(func(e *element) {
		if !e.bound {
			c.add(e.start, finding.Error, "unbound-prefix", "declare the prefix with xmlns:"+e.prefix+" on this or an outer element", "the prefix %s of <%s> is not declared", e.prefix, e.name())
		}
		for _, a := range e.attrs {
			if !a.bound {
				remedy := "declare the prefix with xmlns:" + a.prefix
				if a.prefix == "wcm" {
					remedy += `="` + wcmNamespace + `"`
				}
				c.add(a.start, finding.Error, "unbound-prefix", remedy+" on the component", "the prefix %s of the attribute %s is not declared", a.prefix, a.name())
			}
		}
	})
}

// checkRoot says whether the file is an answer file at all.
func (c *checker) checkRoot() bool {
	switch {
	case c.root.local != "unattend":
		c.add(c.root.start, finding.Error, "root-element", "use an answer file: its root element is <unattend>", "the root element is <%s>, not <unattend>", c.root.name())
		return false
	case c.root.space != Namespace:
		c.add(c.root.start, finding.Error, "namespace", `write <unattend xmlns="`+Namespace+`">`, "the root element is not in the namespace of answer files, so Windows ignores the file")
		return false
	}
	return true
}

// checkPasses looks at the settings elements.
func (c *checker) checkPasses() {
	seen := map[string]int{}
	for _, e := range c.root.children {
		switch {
		case e.space == cpiNamespace:
			continue
		case e.local == "servicing" && e.space == Namespace:
			c.add(e.start, finding.Info, "servicing", "remove it unless the guest has the packages it names", "the servicing part is carried out by Windows Setup, not by Sysprep")
			continue
		case e.local != "settings" || e.space != Namespace:
			c.add(e.start, finding.Warning, "unknown-element", "remove it", "<%s> is no part of an answer file", e.name())
			continue
		}
		c.checkPass(e, seen)
	}
	c.straySpace(c.root)
}

func (c *checker) checkPass(e *element, seen map[string]int) {
	pass, ok := e.attr("pass")
	switch {
	case !ok:
		c.add(e.start, finding.Error, "unknown-pass", "name the pass: pass=\"specialize\"", "this settings element names no pass")
	case !slices.Contains(Passes(), pass.value):
		remedy := "use one of " + strings.Join(Passes(), ", ")
		for _, p := range Passes() {
			if strings.EqualFold(p, strings.TrimSpace(pass.value)) {
				remedy = "write it " + p
			}
		}
		c.add(pass.valueStart, finding.Error, "unknown-pass", remedy, "there is no pass %q", pass.value)
	case pass.value == "windowsPE" || strings.HasPrefix(pass.value, "audit") || pass.value == "offlineServicing":
		c.add(e.start, finding.Info, "pass-unused", "remove it if nobody installs Windows with this file", "Sysprep /generalize /oobe never runs the pass %s", pass.value)
	}
	if first, twice := seen[pass.value]; twice {
		c.add(e.start, finding.Warning, "duplicate-pass", "merge the two", "the pass %s has a settings element in line %d already", pass.value, first)
	} else if ok {
		seen[pass.value], _ = position(c.text, e.start)
	}
	if a, ok := e.attr("wasPassProcessed"); ok && !isFalse(a.value) {
		c.add(a.start, finding.Error, "pass-processed", "remove the attribute", "wasPassProcessed marks a pass as done, so Windows skips it; the file is a copy of the one that Windows keeps in Panther")
	}
	for _, child := range e.children {
		if child.local != "component" || child.space != Namespace {
			c.add(child.start, finding.Error, "unknown-element", "put settings into a component", "<%s> stands directly in a pass", child.name())
		}
	}
	c.straySpace(e)
}

// straySpace reports text between the elements of a container.
func (c *checker) straySpace(e *element) {
	for _, p := range e.pieces {
		if s := strings.TrimSpace(p.text); s != "" {
			at := p.start + max(0, strings.Index(c.text[p.start:p.end], s[:1]))
			c.add(at, finding.Error, "stray-text", "remove it", "text between the elements of <%s>", e.name())
		}
	}
}

func isFalse(s string) bool { return strings.EqualFold(s, "false") || s == "0" }

func isTrue(s string) bool { return strings.EqualFold(s, "true") || s == "1" }
