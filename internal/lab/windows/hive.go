package windows

import (
	"sort"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// hive is the whole registry. The guest's lock is held by whoever calls it.
type hive struct {
	keys map[string]*registryKey
	// sid is the user that HKCU stands for.
	sid string
	// denied are keys that nobody may open, folded.
	denied map[string]bool
}

type registryKey struct {
	path   string
	values map[string]guest.Value
}

var roots = map[string]string{
	"hklm": "HKLM", "hkey_local_machine": "HKLM",
	"hku": "HKU", "hkey_users": "HKU",
	"hkcr": `HKLM\SOFTWARE\Classes`, "hkey_classes_root": `HKLM\SOFTWARE\Classes`,
	"hkcu": "HKCU", "hkey_current_user": "HKCU",
}

func newHive(sid string) *hive {
	return &hive{keys: map[string]*registryKey{}, sid: sid, denied: map[string]bool{}}
}

// resolve returns the key's path with its hive in one spelling; ok is false
// when the path begins with no hive that is known.
func (h *hive) resolve(path string) (resolved string, ok bool) {
	head, rest, _ := strings.Cut(clean(path), `\`)
	root, ok := roots[strings.ToLower(head)]
	if !ok {
		return "", false
	}
	if root == "HKCU" {
		root = `HKU\` + h.sid
	}
	if rest == "" {
		return root, true
	}
	return root + `\` + rest, true
}

func (h *hive) key(path string) *registryKey {
	resolved, ok := h.resolve(path)
	if !ok {
		return nil
	}
	return h.keys[strings.ToLower(resolved)]
}

func (h *hive) isDenied(path string) bool {
	resolved, _ := h.resolve(path)
	lower := strings.ToLower(resolved)
	for key := range h.denied {
		if lower == key || strings.HasPrefix(lower, key+`\`) {
			return true
		}
	}
	return false
}

// read returns a value; one that is not there does not exist.
func (h *hive) read(path, name string) guest.Value {
	key := h.key(path)
	if key == nil {
		return guest.Value{}
	}
	return key.values[strings.ToLower(name)]
}

// text returns a value's text, empty when it is not there.
func (h *hive) text(path, name string) string { return h.read(path, name).Text }

// make makes a key and all that are above it.
func (h *hive) make(path string) *registryKey {
	resolved, ok := h.resolve(path)
	if !ok {
		return nil
	}
	if key := h.keys[strings.ToLower(resolved)]; key != nil {
		return key
	}
	if up := parent(resolved); up != "" {
		h.make(up)
	}
	key := &registryKey{path: resolved, values: map[string]guest.Value{}}
	h.keys[strings.ToLower(resolved)] = key
	return key
}

func (h *hive) write(path, name string, value guest.Value) {
	key := h.make(path)
	if key == nil {
		return
	}
	value.Exists, value.Name = true, name
	if before, ok := key.values[strings.ToLower(name)]; ok {
		value.Name = before.Name
	}
	key.values[strings.ToLower(name)] = value
}

// deleteValue deletes a value and says whether it was there.
func (h *hive) deleteValue(path, name string) bool {
	key := h.key(path)
	if key == nil {
		return false
	}
	_, there := key.values[strings.ToLower(name)]
	delete(key.values, strings.ToLower(name))
	return there
}

// deleteKey deletes a key with all that is below it.
func (h *hive) deleteKey(path string) bool {
	resolved, _ := h.resolve(path)
	lower := strings.ToLower(resolved)
	if h.keys[lower] == nil {
		return false
	}
	for key := range h.keys {
		if key == lower || strings.HasPrefix(key, lower+`\`) {
			delete(h.keys, key)
		}
	}
	return true
}

// subkeys returns the names of the keys directly below, sorted.
func (h *hive) subkeys(path string) []string {
	resolved, _ := h.resolve(path)
	prefix := strings.ToLower(resolved) + `\`
	var names []string
	for key, k := range h.keys {
		if strings.HasPrefix(key, prefix) && !strings.Contains(key[len(prefix):], `\`) {
			names = append(names, base(k.path))
		}
	}
	sort.Slice(names, func(i, j int) bool { return strings.ToLower(names[i]) < strings.ToLower(names[j]) })
	return names
}

// values returns a key's values, sorted by name.
func (k *registryKey) list() []guest.Value {
	names := make([]string, 0, len(k.values))
	for name := range k.values {
		names = append(names, name)
	}
	sort.Strings(names)
	values := make([]guest.Value, 0, len(names))
	for _, name := range names {
		values = append(values, k.values[name])
	}
	return values
}

// same says whether two values are of one kind and have one content.
func same(a, b guest.Value) bool {
	if a.Exists != b.Exists {
		return false
	}
	if !a.Exists {
		return true
	}
	if !strings.EqualFold(a.Kind, b.Kind) || a.Text != b.Text || len(a.Texts) != len(b.Texts) {
		return false
	}
	for i := range a.Texts {
		if a.Texts[i] != b.Texts[i] {
			return false
		}
	}
	return true
}

// Word returns a registry value of 32 bits, in decimal.
func Word(number string) guest.Value {
	return guest.Value{Exists: true, Kind: guest.KindDWord, Text: number}
}

// Text returns a registry value that is a string.
func Text(text string) guest.Value {
	return guest.Value{Exists: true, Kind: guest.KindString, Text: text}
}

// Texts returns a registry value that is a list of strings.
func Texts(texts ...string) guest.Value {
	return guest.Value{Exists: true, Kind: guest.KindMultiString, Texts: texts}
}

// Expandable returns a registry value that is a string with %variables%.
func Expandable(text string) guest.Value {
	return guest.Value{Exists: true, Kind: guest.KindExpandString, Text: text}
}
