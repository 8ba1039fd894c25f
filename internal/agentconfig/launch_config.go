package agentconfig

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// LaunchConfig is EC2Launch v1's LaunchConfig.json: what the agent does when
// the instance is initialized. It is not safe for concurrent use.
type LaunchConfig struct{ launchFile }

// ParseLaunchConfig reads LaunchConfig.json. It fails with a *SyntaxError when
// the text is no JSON, for which the agent would fall back to its defaults, a
// random password and user data, without a word.
func ParseLaunchConfig(name string, data []byte) (*LaunchConfig, error) {
	f, err := readLaunchFile(name, data)
	if err != nil {
		return nil, err
	}
	return &LaunchConfig{f}, nil
}

// launchKey is a key of the file.
type launchKey struct {
	name string
	flag bool
	// mandatory keys are those whose absence or wrong value makes the agent drop
	// the whole file (its function Confirm-LaunchConfig). The others it takes
	// as they are.
	mandatory bool
}

const (
	keyPasswordType = "adminPasswordType"
	keyPassword     = "adminPassword"
)

var launchKeys = []launchKey{
	{"setComputerName", true, true},
	{"setMonitorAlwaysOn", true, false},
	{"setWallpaper", true, true},
	{"addDnsSuffixList", true, true},
	{"extendBootVolumeSize", true, true},
	{"handleUserData", true, false},
	{keyPasswordType, false, true},
	{keyPassword, false, false},
}

// The types of a password, as the AWS user guide on EC2Launch spells them.
// Encrypted came with version 1.3.2004891.
const (
	launchRandom    = "Random"
	launchSpecify   = "Specify"
	launchDoNothing = "DoNothing"
	launchEncrypted = "Encrypted"
)

func launchPasswordTypes() []string {
	return []string{launchRandom, launchSpecify, launchDoNothing, launchEncrypted}
}

func launchKeyNames() []string {
	names := make([]string, len(launchKeys))
	for i, k := range launchKeys {
		names[i] = k.name
	}
	return names
}

const (
	fallsBack      = "the agent drops the whole file and takes its defaults, a random password and user data, without a word"
	trueFalseHint  = "write true or false, without quotes"
	passwordChoice = "write " + launchRandom + ", " + launchSpecify + " or " + launchDoNothing
)

// Check says what makes the agent drop the file for its defaults, what it would
// take otherwise than written, and what the file gives away. None of the
// findings holds the password.
func (f *LaunchConfig) Check() []Finding {
	c := &launchCheck{launchFile: f.launchFile}
	c.encoding()
	if c.object(f.root, "the file", launchKeyNames()) {
		for _, k := range launchKeys {
			c.launchKey(k)
		}
		c.launchPassword()
	}
	finding.Sort(c.found)
	return c.found
}

func (c *launchCheck) launchKey(k launchKey) {
	m := c.root.lookup(k.name)
	switch {
	case m == nil && c.root.misspelled(k.name, launchKeyNames()):
		return
	case m == nil && k.mandatory:
		c.add(nil, finding.Error, "key-missing", "add it", "the key %s is missing; %s", k.name, fallsBack)
		return
	case m == nil && k.flag:
		c.add(nil, finding.Warning, "key-missing", "add it", "the key %s is missing, which counts as false", k.name)
		return
	case m == nil:
		return
	}
	switch v := m.value; {
	case !k.flag:
	case v.kind == jsonBool:
	case v.kind == jsonNumber:
		c.add(v, finding.Warning, "shape", trueFalseHint, "%s is a number", k.name)
	case k.mandatory:
		c.add(v, finding.Error, "shape", trueFalseHint, "%s is %s and must be true or false; %s", k.name, v.kind, fallsBack)
	case v.kind == jsonString && strings.EqualFold(v.text, "true"):
		c.add(v, finding.Warning, "shape", trueFalseHint, "%s is a text, which counts as true whatever it says", k.name)
	case v.kind == jsonNull:
		c.add(v, finding.Warning, "shape", trueFalseHint, "%s is null, which counts as false", k.name)
	default:
		c.add(v, finding.Error, "shape", trueFalseHint, "%s is %s and must be true or false; the agent takes whatever is not empty for true", k.name, v.kind)
	}
}

// launchPassword checks the type of the password and the password together. A
// wrong type is not shown: it may be the password.
func (c *launchCheck) launchPassword() {
	kind := c.root.lookup(keyPasswordType)
	password := c.root.lookup(keyPassword)
	value := ""
	if password != nil {
		switch v := password.value; v.kind {
		case jsonString, jsonNumber:
			value = v.text
		case jsonNull:
		default:
			c.add(v, finding.Error, "shape", "write a text in quotes", "%s is %s and must be a text", keyPassword, v.kind)
		}
	}
	switch {
	case kind == nil:
	case kind.value.kind != jsonString || !isOneOf(kind.value.text, launchPasswordTypes()):
		c.add(kind.value, finding.Error, "password-type", passwordChoice, "%s is not one of %s; %s", keyPasswordType, strings.Join(launchPasswordTypes(), ", "), fallsBack)
	case strings.EqualFold(kind.value.text, launchEncrypted):
		c.add(kind.value, finding.Warning, "password-type", "make sure of the agent's version", "agents before 1.3.2004891 do not know %s; %s", launchEncrypted, fallsBack)
	case !strings.EqualFold(kind.value.text, launchSpecify):
		if value != "" {
			c.add(password.value, finding.Warning, "password-unused", `write "" here`, "with %s %s the password that stands here is ignored, and readable", keyPasswordType, asRead(kind.value.text, launchPasswordTypes()))
		}
	case value == "":
		c.add(kind.value, finding.Error, "password-missing", "add "+keyPassword, "%s is %s and there is no password, so the agent would make a random one up", keyPasswordType, launchSpecify)
	default:
		if err := CheckStrength(value, builtinAdministrator); err != nil {
			c.add(password.value, finding.Error, "password-weak", "choose another one", "%v; the agent would make a random one up", err)
		}
		c.add(password.value, finding.Warning, "password-clear-text", "use the type "+launchRandom+", unless you need one password everywhere",
			"the password stands here in clear text until the first boot of each instance: whoever can read the image's disk can read it, and every instance begins with it")
	}
}

// HoldsSecret says whether a password stands in the file that whoever can read
// the file can read.
func (f *LaunchConfig) HoldsSecret() bool {
	if strings.EqualFold(f.root.textOf(keyPasswordType), launchEncrypted) {
		return false
	}
	return len(f.secrets()) > 0
}

// Secrets are the passwords that stand readable in the file, for a filter of
// what is printed. Of short ones there are none: the agent does not take them.
func (f *LaunchConfig) Secrets() []string {
	password := f.root.textOf(keyPassword)
	if utf8.RuneCountInString(password) < minPassword || strings.EqualFold(f.root.textOf(keyPasswordType), launchEncrypted) {
		return nil
	}
	return []string{password}
}

// secrets are the values that are or may be the password.
func (f *LaunchConfig) secrets() []*jsonValue {
	if f.root.kind != jsonObject {
		return []*jsonValue{f.root}
	}
	var found []*jsonValue
	for _, m := range f.root.members {
		switch name := asRead(m.key.text, launchKeyNames()); {
		case m.value.kind == jsonNull || m.value.kind == jsonBool || m.value.kind == jsonString && m.value.text == "":
		case name == keyPasswordType && isOneOf(m.value.text, launchPasswordTypes()):
		case name != keyPassword && name != keyPasswordType && slices.Contains(launchKeyNames(), name):
		default:
			found = append(found, m.value)
		}
	}
	return found
}

// Redacted is the file, line for line, with (hidden) in the place of the
// password and of whatever stands under a key that nobody knows.
func (f *LaunchConfig) Redacted() []byte {
	secrets := f.secrets()
	if len(secrets) == 0 {
		return f.Bytes()
	}
	var b strings.Builder
	at := 0
	for _, v := range secrets {
		b.WriteString(f.text[at:v.start] + `"(hidden)"` + strings.Repeat("\n", strings.Count(f.text[v.start:v.end], "\n")))
		at = v.end
	}
	return f.encode(b.String() + f.text[at:])
}

// Value is the value of a key, whatever the case of its letters: "true",
// "false" or the text. A number where one of the two is expected is what the
// agent takes it for. That of adminPassword is a secret. ok is false when the key
// is missing or holds a list, an object or null.
func (f *LaunchConfig) Value(key string) (value string, ok bool) {
	m := f.root.lookup(key)
	if m == nil || m.value.kind == jsonObject || m.value.kind == jsonArray || m.value.kind == jsonNull {
		return "", false
	}
	name := asRead(key, launchKeyNames())
	if m.value.kind == jsonNumber && slices.ContainsFunc(launchKeys, func(k launchKey) bool { return k.flag && k.name == name }) {
		n, err := strconv.ParseFloat(m.value.text, 64)
		return strconv.FormatBool(err != nil || n != 0), true
	}
	return m.value.text, true
}

// LaunchConfigSettings is what Apply sets; what is nil stays as it is.
type LaunchConfigSettings struct {
	SetComputerName, SetMonitorAlwaysOn, SetWallpaper, AddDNSSuffixList, ExtendBootVolumeSize, HandleUserData *bool
	// Password sets the keys adminPasswordType and adminPassword.
	Password *Password
}

// Apply carries the settings out. Only the values that change are written anew,
// every other byte stays, and a key that is missing is added behind the last
// one in the manner of the file. After an error the file is as it was before.
func (f *LaunchConfig) Apply(s LaunchConfigSettings) error {
	if errs := s.Password.Validate(); len(errs) > 0 {
		return fmt.Errorf("%s: %w", f.name, errors.Join(errs...))
	}
	text := *f.textFile
	after := &LaunchConfig{launchFile{&text, f.root}}
	flags := []*bool{s.SetComputerName, s.SetMonitorAlwaysOn, s.SetWallpaper, s.AddDNSSuffixList, s.ExtendBootVolumeSize, s.HandleUserData}
	for i, v := range flags {
		if v == nil {
			continue
		}
		if err := after.set(launchKeys[i].name, fmt.Sprint(*v)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if s.Password != nil {
		if err := after.setPassword(*s.Password); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	*f = *after
	return nil
}

func (f *LaunchConfig) setPassword(p Password) error {
	kind := map[Mode]string{Random: launchRandom, Specify: launchSpecify, Keep: launchDoNothing}[p.Mode]
	if !strings.EqualFold(f.root.textOf(keyPasswordType), kind) {
		if err := f.set(keyPasswordType, quoteJSON(kind)); err != nil {
			return err
		}
	}
	if p.Mode != Specify && f.root.lookup(keyPassword) == nil || f.root.textOf(keyPassword) == p.Value && p.Value != "" {
		return nil
	}
	return f.set(keyPassword, quoteJSON(p.Value))
}

// set writes a value, as JSON, at its place.
func (f *LaunchConfig) set(key, value string) error {
	if f.root.kind != jsonObject {
		return fmt.Errorf("the file is %s and must be %s, so there is nothing to edit", f.root.kind, jsonObject)
	}
	var places []*jsonValue
	for _, m := range f.root.members {
		if strings.EqualFold(m.key.text, key) {
			places = append(places, m.value)
		}
	}
	switch len(places) {
	case 0:
		return f.insert(key, value)
	case 1:
		if v := places[0]; f.text[v.start:v.end] != value {
			return f.splice(v.start, v.end, value)
		}
		return nil
	}
	return fmt.Errorf("the key %s stands twice, on the lines %d and %d; remove one of the two", key, places[0].line, places[1].line)
}

// insert adds a key behind the last one.
func (f *LaunchConfig) insert(key, value string) error {
	style := f.jsonStyleOf(f.root)
	n := len(f.root.members)
	if n == 0 {
		return f.splice(f.root.start, f.root.end, "{"+style.lineEnd+style.indent+quoteJSON(key)+style.colon+value+style.lineEnd+"}")
	}
	last := f.root.members[n-1]
	separator := style.comma
	begin := f.root.start + 1
	if n > 1 {
		begin = f.root.members[n-2].value.end
	}
	before := f.text[begin:last.key.start]
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		separator = "," + style.lineEnd + before[i+1:]
	}
	return f.splice(last.value.end, last.value.end, separator+quoteJSON(key)+style.colon+value)
}

// splice replaces a part of the text and reads the result.
func (f *LaunchConfig) splice(start, end int, with string) error {
	f.text = f.text[:start] + with + f.text[end:]
	f.edited = true
	root, err := readJSON(f.textFile)
	if err != nil {
		return fmt.Errorf("the edited file cannot be read: %w", err)
	}
	f.root = root
	return nil
}

// DefaultLaunchConfig is LaunchConfig.json with the defaults of the AWS user
// guide, which the agent takes itself when the file is missing.
func DefaultLaunchConfig() []byte {
	return []byte(`{
  "setComputerName": false,
  "setMonitorAlwaysOn": true,
  "setWallpaper": true,
  "addDnsSuffixList": true,
  "extendBootVolumeSize": true,
  "handleUserData": true,
  "adminPasswordType": "Random",
  "adminPassword": ""
}
`)
}
