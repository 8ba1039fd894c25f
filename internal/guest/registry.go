package guest

// Kinds of registry values, as .NET's RegistryValueKind spells them.
const (
	KindString       = "String"
	KindExpandString = "ExpandString"
	KindDWord        = "DWord"
	KindQWord        = "QWord"
	KindMultiString  = "MultiString"
	KindBinary       = "Binary"
)

// Value is a registry value. The zero Value is one that does not exist.
type Value struct {
	Exists bool   `json:"exists"`
	Name   string `json:"name,omitempty"`
	// Kind is one of the constants above, or another name of .NET's.
	Kind string `json:"kind,omitempty"`
	// Text holds strings as they are (not expanded), numbers in decimal, and
	// binary values in base64.
	Text string `json:"text,omitempty"`
	// Texts holds the strings of a MultiString.
	Texts []string `json:"texts,omitempty"`
}

// Key is a registry key.
type Key struct {
	Exists bool     `json:"exists"`
	Keys   []string `json:"keys,omitempty"`
	Values []Value  `json:"values,omitempty"`
}

// Value returns the key's value of that name; the registry's names know no case.
func (k Key) Value(name string) Value {
	for _, v := range k.Values {
		if equalFold(v.Name, name) {
			return v
		}
	}
	return Value{}
}

// Changed says whether a call changed anything: a repeated write finds its
// work done.
type Changed struct {
	Changed bool `json:"changed"`
}

// RegistryArgs are the arguments of the registry calls.
type RegistryArgs struct {
	// Path is the key with its hive, HKLM, HKU, HKCR or HKCU first.
	Path string `json:"path"`
	// Name is the value's name; the empty name is the default value.
	Name string `json:"name"`
	// Set is the value to write.
	Set *Value `json:"set,omitempty"`
	// Expect is what must be found for a change to happen; nil means anything.
	Expect *Value `json:"expect,omitempty"`
	// Key says that the key itself is meant, with all that is below it.
	Key bool `json:"key,omitempty"`
}

// RegistryValue reads one value. A missing key or value is an answer that
// does not exist, not an error.
func RegistryValue(path, name string) *Call[Value] {
	return newCall[Value]("registry.read", RegistryArgs{Path: path, Name: name})
}

// RegistryKey lists a key's values and the names of its subkeys.
func RegistryKey(path string) *Call[Key] {
	return newCall[Key]("registry.read", RegistryArgs{Path: path, Key: true})
}

// SetRegistryValue writes a value and makes the key when it is not there.
// expect, unless nil, is what must be found first; when the wanted value is
// there already nothing is changed.
func SetRegistryValue(path, name string, set Value, expect *Value) *Call[Changed] {
	return newCall[Changed]("registry.write", RegistryArgs{Path: path, Name: name, Set: &set, Expect: expect})
}

// DeleteRegistryValue deletes a value.
func DeleteRegistryValue(path, name string) *Call[Changed] {
	return newCall[Changed]("registry.delete", RegistryArgs{Path: path, Name: name})
}

// DeleteRegistryKey deletes a key with all that is below it.
func DeleteRegistryKey(path string) *Call[Changed] {
	return newCall[Changed]("registry.delete", RegistryArgs{Path: path, Key: true})
}
