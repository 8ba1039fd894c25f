package answerfile

import (
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// microsoftToken is the public key token of every component of Windows.
const microsoftToken = "31bf3856ad364e35"

// eachComponent calls visit for every component of every pass.
func (c *checker) eachComponent(visit func(pass string, e *xmltext.Element)) {
	for _, s := range all(c.doc.Root(), "settings") {
		for _, e := range all(s, "component") {
			visit(s.Value("pass"), e)
		}
	}
}

// checkComponents looks at the components' identity: what names them, their
// architecture, and whether one stands twice in a pass, which is fatal in
// specialize (seen in the wild, boxcutter/windows-batch#50).
func (c *checker) checkComponents() {
	type key struct{ pass, name, arch string }
	seen := map[key]int{}
	matching := map[[2]string]bool{}
	c.eachComponent(func(pass string, e *xmltext.Element) {
		if strings.EqualFold(e.Value("processorArchitecture"), c.opts.Architecture) {
			matching[[2]string{pass, e.Value("name")}] = true
		}
	})
	c.eachComponent(func(pass string, e *xmltext.Element) {
		name, arch := e.Value("name"), strings.ToLower(e.Value("processorArchitecture"))
		c.checkIdentity(e, name)
		k := key{pass, strings.ToLower(name), arch}
		if first, twice := seen[k]; twice {
			c.add(e.Start, finding.Error, "duplicate-component", "merge the two into one component", "%s for %s stands in line %d of the pass %s already", name, arch, first, pass)
		} else {
			seen[k], _ = c.doc.Position(e.Start)
		}
		if a, ok := e.Attr("processorArchitecture"); ok && arch != c.opts.Architecture {
			if matching[[2]string{pass, name}] {
				c.add(a.ValueStart, finding.Info, "architecture", "remove it if no other Windows uses the file", "%s for %s is ignored on %s; its twin for %s is used", name, a.Value, c.opts.Architecture, c.opts.Architecture)
			} else {
				c.add(a.ValueStart, finding.Error, "architecture", "write processorArchitecture=\""+c.opts.Architecture+"\"", "%s is for %s, so its settings never reach a guest with %s", name, a.Value, c.opts.Architecture)
			}
		}
		c.straySpace(e)
	})
}

func (c *checker) checkIdentity(e *xmltext.Element, name string) {
	for _, local := range []string{"name", "processorArchitecture", "publicKeyToken", "language", "versionScope"} {
		if e.Value(local) != "" {
			continue
		}
		c.add(e.Start, finding.Error, "component-identity", "give the component all of name, processorArchitecture, publicKeyToken, language, versionScope", "the component %s has no %s, so Windows cannot find it", name, local)
	}
	if a, ok := e.Attr("publicKeyToken"); ok && a.Value != "" && !strings.EqualFold(a.Value, microsoftToken) {
		c.add(a.ValueStart, finding.Error, "component-identity", "write publicKeyToken=\""+microsoftToken+"\"", "the component %s has the public key token %q, which is not that of Windows", name, a.Value)
	}
}

// checkSettings looks at the elements within components: the same one twice
// where Windows expects a single one, and values that it will not take.
func (c *checker) checkSettings() {
	c.eachComponent(func(_ string, component *xmltext.Element) {
		component.Walk(func(e *xmltext.Element) {
			c.checkTwins(e)
			if e.Leaf() {
				c.checkValue(e)
			} else if e != component {
				c.straySpace(e)
			}
		})
	})
	for _, s := range settings {
		for _, p := range s.places {
			for _, component := range c.components(p.pass, p.component) {
				if e := descend(component, p.path...); e != nil && e.Leaf() {
					c.checkTyped(s, e)
				}
			}
		}
	}
}

// checkTwins reports children of one name that are no list items.
func (c *checker) checkTwins(parent *xmltext.Element) {
	first := map[string]*xmltext.Element{}
	for _, e := range parent.Children {
		if _, item := wcm(e, "action"); item {
			continue
		}
		if _, item := wcm(e, "keyValue"); item {
			continue
		}
		if f := first[e.Name()]; f != nil {
			line, _ := c.doc.Position(f.Start)
			c.add(e.Start, finding.Error, "duplicate-setting", "keep one of them", "<%s> stands in line %d of the same element already", e.Name(), line)
			continue
		}
		first[e.Name()] = e
	}
}

// checkValue looks for white space that becomes part of a value, as when a
// formatter has broken lines, and which Windows then takes literally.
func (c *checker) checkValue(e *xmltext.Element) {
	value := e.Text()
	trimmed := strings.TrimSpace(value)
	if trimmed == "" {
		return
	}
	if i := strings.IndexAny(trimmed, "\t\r\n"); i >= 0 {
		c.add(e.StartEnd, finding.Warning, "value-control-character", "write the value on one line, with spaces for TABs", "the value of <%s> holds a TAB or a line end", e.Name())
	} else if trimmed != value && slices.Contains([]string{"Value", "Path", "CommandLine", "ComputerName"}, e.Local) {
		c.add(e.StartEnd, finding.Warning, "value-space", "remove the white space around the value", "white space around the value of <%s> is part of it", e.Name())
	}
}

// checkTyped checks a value by the rule of the setting that it belongs to. An
// empty value is the agents' own placeholder and no error.
func (c *checker) checkTyped(s setting, e *xmltext.Element) {
	value := strings.TrimSpace(e.Text())
	if value == "" || s.check == nil {
		return
	}
	if err := s.check(value); err != nil {
		c.add(e.StartEnd, finding.Error, "value", "correct the value", "<%s>: %v", e.Name(), err)
	}
}

// checkSecrets reports what a reader of the image will find. Values are never
// part of a message.
func (c *checker) checkSecrets() {
	c.doc.Root().Walk(func(e *xmltext.Element) {
		switch {
		case e.Local == "PlainText":
			c.checkPassword(e.Parent, e)
		case e.Local == "Password" && e.Leaf() && strings.TrimSpace(e.Text()) != "":
			c.add(e.Start, finding.Warning, "clear-text-secret", "join the domain on the clone's first start instead", "<%s> holds a password in clear text, and so will the image", e.Parent.Name())
		case e.Local == "AutoLogon" && child(e, "Enabled") != nil && isTrue(strings.TrimSpace(child(e, "Enabled").Text())):
			c.add(e.Start, finding.Warning, "auto-logon", "remove <AutoLogon>", "every clone logs its first user on by itself, with a password that the image keeps")
		}
	})
}

// checkPassword looks at a password element with Value and PlainText.
func (c *checker) checkPassword(password, plain *xmltext.Element) {
	value := child(password, "Value")
	if value == nil || strings.TrimSpace(value.Text()) == "" {
		return
	}
	if isTrue(strings.TrimSpace(plain.Text())) {
		c.add(value.Start, finding.Warning, "clear-text-secret", "encode it: PlainText=false and Base64 of UTF-16 of the password and the word "+password.Local+"; let setup_complete delete the copies in Panther", "<%s> holds a password in clear text, and so will the image", password.Name())
		return
	}
	if password.Local != administratorSuffix {
		return
	}
	if _, ok := decodePassword(strings.TrimSpace(value.Text())); !ok {
		c.add(value.Start, finding.Error, "password-encoding", "use the plugin's administrator_password, or encode it: Base64 of UTF-16LE of the password followed by AdministratorPassword", "PlainText is false, and the value is not a password in the form that Windows then expects; nobody could log on")
	}
}

// units is the length of a text as Windows counts it, in UTF-16 units.
func units(s string) int { return len(utf16.Encode([]rune(s))) }
