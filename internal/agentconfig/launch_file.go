package agentconfig

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// launchFile is one of EC2Launch v1's three files in JSON. The agent's scripts
// read them with Get-Content -Raw and ConvertFrom-Json of Windows PowerShell 5.1,
// which takes keys in any case, a byte order mark of UTF-8 or UTF-16, and
// anything without one for ANSI.
type launchFile struct {
	*textFile
	root *jsonValue
}

// items are the elements of the list under a key. One object in the place of
// the list counts as its only element, as it does for PowerShell.
func (f launchFile) items(key string) []*jsonValue {
	m := f.root.lookup(key)
	switch {
	case m == nil:
		return nil
	case m.value.kind == jsonObject:
		return []*jsonValue{m.value}
	}
	return m.value.items
}

func readLaunchFile(name string, data []byte) (launchFile, error) {
	t, err := newTextFile(name, data)
	if err != nil {
		return launchFile{}, err
	}
	root, err := readJSON(t)
	return launchFile{t, root}, err
}

// lookup finds a key whatever its case: as the table spells it and as ConvertFrom-Json
// would hand it out. Of two it takes the first; Check reports them.
func (v *jsonValue) lookup(key string) *jsonMember {
	for i := range v.members {
		if strings.EqualFold(v.members[i].key.text, key) {
			return &v.members[i]
		}
	}
	return nil
}

// launchCheck gathers findings about one of the files.
type launchCheck struct {
	launchFile
	found []Finding
}

// add records a finding at a value; nil is the place of something missing.
func (c *launchCheck) add(v *jsonValue, severity finding.Severity, id, remedy, format string, args ...any) {
	f := Finding{ID: id, Severity: severity, File: c.name, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	if v != nil {
		f.Line, f.Column = v.line, v.column
	}
	c.found = append(c.found, f)
}

// encoding looks for text that the agent would mangle.
func (c *launchCheck) encoding() {
	if c.charset != plainUTF8 {
		return
	}
	i := strings.IndexFunc(c.text, func(r rune) bool { return r >= utf8.RuneSelf })
	if i < 0 {
		return
	}
	line, column := c.position(i)
	c.add(&jsonValue{line: line, column: column}, finding.Error, "non-ascii-without-bom", `save the file as UTF-8 with a byte order mark, or write the character as an escape such as \u00fc`,
		"a character outside ASCII in a file without a byte order mark, which EC2Launch v1 reads in the ANSI code page")
}

// object checks the keys of an object: none twice, and only known ones. It is
// false when the value is no object.
func (c *launchCheck) object(v *jsonValue, what string, names []string) bool {
	if v.kind != jsonObject {
		c.add(v, finding.Error, "shape", "begin with the agent's own file", "%s is %s and must be %s", what, v.kind, jsonObject)
		return false
	}
	seen := map[string]int{}
	for _, m := range v.members {
		name := asRead(m.key.text, names)
		if line, twice := seen[strings.ToLower(name)]; twice {
			c.add(m.key, finding.Error, "duplicate-key", "remove one of the two", "the key %q stands twice, first on line %d; PowerShell refuses that, whatever their case", name, line)
			continue
		}
		seen[strings.ToLower(name)] = m.key.line
		if isOneOf(name, names) {
			continue
		}
		if near := nearest(name, names); near != "" {
			c.add(m.key, finding.Error, "unknown-key", fmt.Sprintf("write %q", near), "%s has no key %q; did you mean %q?", what, name, near)
		} else {
			c.add(m.key, finding.Warning, "unknown-key", "remove it, unless the agent on the guest is newer than this plugin", "%s has no key %q; the keys are %s", what, name, strings.Join(names, ", "))
		}
	}
	return true
}

func isOneOf(word string, words []string) bool {
	for _, w := range words {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// list is the items of a list under a key of the root. PowerShell takes an
// object without brackets for a list of one.
func (c *launchCheck) list(key, remedy string) []*jsonValue {
	if !c.object(c.root, "the file", []string{key}) {
		return nil
	}
	m := c.root.lookup(key)
	switch {
	case m == nil && c.root.misspelled(key, []string{key}):
	case m == nil:
		c.add(nil, finding.Error, "key-missing", remedy, "the file has no key %s", key)
	case m.value.kind == jsonObject:
		c.add(m.value, finding.Warning, "shape", "put it in square brackets", "%s is an object and should be a list of objects", key)
		return []*jsonValue{m.value}
	case m.value.kind != jsonArray:
		c.add(m.value, finding.Error, "shape", remedy, "%s is %s and must be a list of objects", key, m.value.kind)
	case len(m.value.items) == 0:
		c.add(m.value, finding.Error, "list-empty", remedy, "%s is an empty list, which the agent takes for a missing one", key)
	default:
		return m.value.items
	}
	return nil
}

// misspelled says whether an object has a key that is nearly the name, and not
// another one; its finding speaks for the missing key too.
func (v *jsonValue) misspelled(name string, names []string) bool {
	return slices.ContainsFunc(v.members, func(m jsonMember) bool {
		return !isOneOf(m.key.text, names) && nearest(m.key.text, names) == name
	})
}

// textOf is the text under a key of an item; "" when there is none or when it
// is no text.
func (v *jsonValue) textOf(key string) string {
	if m := v.lookup(key); m != nil && m.value.kind == jsonString {
		return m.value.text
	}
	return ""
}
