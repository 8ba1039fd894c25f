package answerfile

import (
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// microsoftToken is the public key token of every component of Windows.
const microsoftToken = "31bf3856ad364e35"

// eachComponent calls visit for every component of every pass.
func (c *checker) eachComponent(visit func(pass string, e *element)) {
	for _, s := range c.root.all("settings") {
		for _, e := range s.all("component") {
			visit(s.value("pass"), e)
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
	c.eachComponent(func(pass string, e *element) {
		if strings.EqualFold(e.value("processorArchitecture"), c.opts.Architecture) {
			matching[[2]string{pass, e.value("name")}] = true
		}
	})
	c.eachComponent(func(pass string, e *element) {
		name, arch := e.value("name"), strings.ToLower(e.value("processorArchitecture"))
		c.checkIdentity(e, name)
		k := key{pass, strings.ToLower(name), arch}
		if first, twice := seen[k]; twice {
			c.add(e.start, finding.Error, "duplicate-component", "merge the two into one component", "%s for %s stands in line %d of the pass %s already", name, arch, first, pass)
		} else {
			seen[k], _ = position(c.text, e.start)
		}
		if a, ok := e.attr("processorArchitecture"); ok && arch != c.opts.Architecture {
			if matching[[2]string{pass, name}] {
				c.add(a.valueStart, finding.Info, "architecture", "remove it if no other Windows uses the file", "%s for %s is ignored on %s; its twin for %s is used", name, a.value, c.opts.Architecture, c.opts.Architecture)
			} else {
				c.add(a.valueStart, finding.Error, "architecture", "write processorArchitecture=\""+c.opts.Architecture+"\"", "%s is for %s, so its settings never reach a guest with %s", name, a.value, c.opts.Architecture)
			}
		}
		c.straySpace(e)
	})
}

func (c *checker) checkIdentity(e *element, name string) {
	for _, local := range []string{"name", "processorArchitecture", "publicKeyToken", "language", "versionScope"} {
		if e.value(local) != "" {
			continue
		}
		c.add(e.start, finding.Error, "component-identity", "give the component all of name, processorArchitecture, publicKeyToken, language, versionScope", "the component %s has no %s, so Windows cannot find it", name, local)
	}
	if a, ok := e.attr("publicKeyToken"); ok && a.value != "" && !strings.EqualFold(a.value, microsoftToken) {
		c.add(a.valueStart, finding.Error, "component-identity", "write publicKeyToken=\""+microsoftToken+"\"", "the component %s has the public key token %q, which is not that of Windows", name, a.value)
	}
}

// checkSettings looks at the elements within components: the same one twice
// where Windows expects a single one, and values that it will not take.
func (c *checker) checkSettings() {
	c.eachComponent(func(_ string, component *element) {
		component.walk(func(e *element) {
			c.checkTwins(e)
			if e.leaf() {
				c.checkValue(e)
			} else if e != component {
				c.straySpace(e)
			}
		})
	})
	for _, s := range settings {
		for _, p := range s.places {
			for _, component := range c.components(p.pass, p.component) {
				if e := component.descend(p.path...); e != nil && e.leaf() {
					c.checkTyped(s, e)
				}
			}
		}
	}
}

// checkTwins reports children of one name that are no list items.
func (c *checker) checkTwins(parent *element) {
	first := map[string]*element{}
	for _, e := range parent.children {
		if _, item := e.wcm("action"); item {
			continue
		}
		if _, item := e.wcm("keyValue"); item {
			continue
		}
		if f := first[e.name()]; f != nil {
			line, _ := position(c.text, f.start)
			c.add(e.start, finding.Error, "duplicate-setting", "keep one of them", "<%s> stands in line %d of the same element already", e.name(), line)
			continue
		}
		first[e.name()] = e
	}
}

// checkValue looks for white space that becomes part of a value, as when a
// formatter has broken lines, and which Windows then takes literally.
func (c *checker) checkValue(e *element) {
	value := e.text()
	trimmed := strings.TrimSpace(value)
	if trimmed == "" {
		return
	}
	if i := strings.IndexAny(trimmed, "\t\r\n"); i >= 0 {
		c.add(e.startEnd, finding.Warning, "value-control-character", "write the value on one line, with spaces for TABs", "the value of <%s> holds a TAB or a line end", e.name())
	} else if trimmed != value && slices.Contains([]string{"Value", "Path", "CommandLine", "ComputerName"}, e.local) {
		c.add(e.startEnd, finding.Warning, "value-space", "remove the white space around the value", "white space around the value of <%s> is part of it", e.name())
	}
}

// checkTyped checks a value by the rule of the setting that it belongs to. An
// empty value is the agents' own placeholder and no error.
func (c *checker) checkTyped(s setting, e *element) {
	value := strings.TrimSpace(e.text())
	if value == "" || s.check == nil {
		return
	}
	if err := s.check(value); err != nil {
		c.add(e.startEnd, finding.Error, "value", "correct the value", "<%s>: %v", e.name(), err)
	}
}

// checkSecrets reports what a reader of the image will find. Values are never
// part of a message.
func (c *checker) checkSecrets() {
	c.root.walk(func(e *element) {
		switch {
		case e.local == "PlainText":
			c.checkPassword(e.parent, e)
		case e.local == "Password" && e.leaf() && strings.TrimSpace(e.text()) != "":
			c.add(e.start, finding.Warning, "clear-text-secret", "join the domain on the clone's first start instead", "<%s> holds a password in clear text, and so will the image", e.parent.name())
		case e.local == "AutoLogon" && e.child("Enabled") != nil && isTrue(strings.TrimSpace(e.child("Enabled").text())):
			c.add(e.start, finding.Warning, "auto-logon", "remove <AutoLogon>", "every clone logs its first user on by itself, with a password that the image keeps")
		}
	})
}

// checkPassword looks at a password element with Value and PlainText.
func (c *checker) checkPassword(password, plain *element) {
	value := password.child("Value")
	if value == nil || strings.TrimSpace(value.text()) == "" {
		return
	}
	if isTrue(strings.TrimSpace(plain.text())) {
		c.add(value.start, finding.Warning, "clear-text-secret", "encode it: PlainText=false and Base64 of UTF-16 of the password and the word "+password.local+"; let setup_complete delete the copies in Panther", "<%s> holds a password in clear text, and so will the image", password.name())
		return
	}
	if password.local != administratorSuffix {
		return
	}
	if _, ok := decodePassword(strings.TrimSpace(value.text())); !ok {
		c.add(value.start, finding.Error, "password-encoding", "use the plugin's administrator_password, or encode it: Base64 of UTF-16LE of the password followed by AdministratorPassword", "PlainText is false, and the value is not a password in the form that Windows then expects; nobody could log on")
	}
}

// units is the length of a text as Windows counts it, in UTF-16 units.
func units(s string) int { return len(utf16.Encode([]rune(s))) }
