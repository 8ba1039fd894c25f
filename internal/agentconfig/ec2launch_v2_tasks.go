package agentconfig

import (
	"slices"
	"strings"
	"unicode"
)

// The stages of EC2Launch v2 in the order in which the agent goes through them
// at a boot, spelled as AWS's own agent-config.yml spells them. The stage
// UserData comes after them; its tasks come with an instance's user data and
// never stand in the file.
const (
	stageBoot      = "boot"
	stageNetwork   = "network"
	stagePreReady  = "preReady"
	stagePostReady = "postReady"
)

func stages() []string { return []string{stageBoot, stageNetwork, stagePreReady, stagePostReady} }

// How often a task runs: once after Sysprep or a reset, or at every boot.
const (
	once   = "once"
	always = "always"
)

// taskRule is what the agent knows about a task.
type taskRule struct {
	name string
	// frequency is once or always, or empty when each input has its own.
	frequency string
	// stages are those of the file where the task may stand.
	stages []string
	// inputs is nil for a task that takes none.
	inputs *shape
}

// shapeKind is what a value must be.
type shapeKind string

const (
	aText shapeKind = "a text"
	aFlag shapeKind = "true or false"
	aMap  shapeKind = "a map"
	aList shapeKind = "a list"
)

// need says what a missing field means.
type need uint8

const (
	optional need = iota
	// advised fields are called required by the guide and are left out in its
	// own examples.
	advised
	required
)

// shape is what a value must look like.
type shape struct {
	kind shapeKind
	need need
	// oneOf are the words that a text may be, or that may stand for a list.
	oneOf []string
	// grows is set where newer agents have got more words.
	grows  bool
	fields []field
	item   *shape
	// rule looks closer at a text that has the right kind; it returns what is
	// wrong with it, in words that follow "the value", or "".
	rule func(value string) string
}

type field struct {
	name string
	shape
}

var (
	frequencyField = field{"frequency", shape{kind: aText, need: required, oneOf: []string{once, always}}}
	listOfTexts    = shape{kind: aList, item: &shape{kind: aText}}
)

func text(n need, oneOf ...string) shape { return shape{kind: aText, need: n, oneOf: oneOf} }

func path(n need) shape { return shape{kind: aText, need: n, rule: pathFault} }

// The tasks that the code knows by name.
const (
	taskSetAdminAccount = "setAdminAccount"
	taskSetWallpaper    = "setWallpaper"
	taskExecuteScript   = "executeScript"
)

// The ways in which setAdminAccount makes a password.
const (
	passwordRandom    = "random"
	passwordStatic    = "static"
	passwordDoNothing = "doNothing"
	passwordEncrypted = "encrypted"
)

// taskRules are the tasks of the AWS user guide, "EC2Launch v2 task
// definitions", with what newer agents take: executeProgram, executeScript and
// setWallpaper in more stages, and an encrypted password since 2.0.1881.
// installEgpuManager stands in files of older agents and is no longer described.
var taskRules = []taskRule{
	{"activateWindows", once, []string{stagePreReady}, &shape{kind: aMap, fields: []field{
		{"activation", shape{kind: aMap, need: required, fields: []field{{"type", text(required, "amazon")}}}},
	}}},
	{"enableJumboFrames", always, []string{stagePostReady}, nil},
	{"enableOpenSsh", once, []string{stagePreReady}, nil},
	{"executeProgram", "", []string{stagePreReady, stagePostReady}, &shape{kind: aList, need: required, item: &shape{kind: aMap, fields: []field{
		frequencyField,
		{"path", path(required)},
		{"arguments", listOfTexts},
		{"runAs", text(advised, "localSystem")},
	}}}},
	{taskExecuteScript, "", []string{stagePreReady, stagePostReady}, &shape{kind: aList, need: required, item: &shape{kind: aMap, fields: []field{
		frequencyField,
		{"type", text(required, "batch", "powershell")},
		{"arguments", listOfTexts},
		{"content", text(required)},
		{"runAs", text(advised, "admin", "localSystem")},
		{"detach", shape{kind: aFlag}},
	}}}},
	{"extendRootPartition", once, []string{stageBoot}, nil},
	{"initializeVolume", always, []string{stagePostReady}, &shape{kind: aMap, need: required, fields: []field{
		{"initialize", text(required, "all", "devices")},
		{"devices", shape{kind: aList, item: &shape{kind: aMap, fields: []field{
			{"device", text(required)},
			{"name", text(optional)},
			{"letter", shape{kind: aText, rule: letterFault}},
			{"partition", text(optional, "mbr", "gpt")},
		}}}},
	}}},
	{"installEgpuManager", once, stages(), nil},
	{"optimizeEna", always, []string{stagePostReady}, nil},
	{taskSetAdminAccount, once, []string{stagePreReady}, &shape{kind: aMap, need: required, fields: []field{
		{"name", text(optional)},
		{"password", shape{kind: aMap, need: required, fields: []field{
			{"type", text(required, passwordRandom, passwordStatic, passwordDoNothing, passwordEncrypted)},
			{"data", text(optional)},
		}}},
		{"expire", shape{kind: aFlag}},
	}}},
	{"setDnsSuffix", always, []string{stagePreReady}, &shape{kind: aMap, need: required, fields: []field{
		{"suffixes", shape{kind: aList, need: required, item: &shape{kind: aText}}},
	}}},
	{"setHostName", always, []string{stagePostReady}, &shape{kind: aMap, fields: []field{
		{"hostName", shape{kind: aText, rule: hostNameFault}},
		{"reboot", shape{kind: aFlag}},
	}}},
	{taskSetWallpaper, always, []string{stagePreReady}, &shape{kind: aMap, need: required, fields: []field{
		{"path", path(required)},
		{"attributes", shape{kind: aList, item: &shape{kind: aText, grows: true, oneOf: []string{
			"architecture", "availabilityZone", "hostName", "instanceId", "instanceSize", "ipv6Address", "memory", "network", "privateIpAddress", "publicIpAddress",
		}}}},
		{"instanceTags", shape{kind: aList, oneOf: []string{"AllTags"}, item: &shape{kind: aText}}},
	}}},
	{"startSsm", always, []string{stagePostReady}, nil},
	{"sysprep", once, nil, &shape{kind: aMap, fields: []field{{"clean", shape{kind: aFlag}}, {"shutdown", shape{kind: aFlag}}}}},
	{"writeFile", "", []string{stagePostReady}, &shape{kind: aList, need: required, item: &shape{kind: aMap, fields: []field{
		frequencyField,
		{"destination", path(required)},
		{"content", text(required)},
	}}}},
}

// ruleOf finds a task by its name, whatever its case; nil when it is not known.
func ruleOf(task string) *taskRule {
	for i := range taskRules {
		if strings.EqualFold(taskRules[i].name, task) {
			return &taskRules[i]
		}
	}
	return nil
}

// stageOf is a stage as AWS spells it; ok is false when nobody knows it.
func stageOf(name string) (stage string, ok bool) {
	for _, s := range stages() {
		if strings.EqualFold(s, name) {
			return s, true
		}
	}
	return "", false
}

// letterFault is what is wrong with a drive letter.
func letterFault(letter string) string {
	if len(letter) != 1 || letter[0]|0x20 < 'd' || letter[0]|0x20 > 'z' {
		return "is no drive letter from D to Z, without a colon"
	}
	return ""
}

// pathFault finds paths such as "C:\new": in double quotes, YAML and JSON take
// the backslash for the beginning of an escape.
func pathFault(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || r == 0xa0 || r == 0x2028 || r == 0x2029 }) {
		return "holds a control character; in double quotes a backslash begins an escape, so write a path without quotes"
	}
	return ""
}

// hostNameFault is the rule of the AWS user guide on setHostName.
func hostNameFault(name string) string {
	switch {
	case name == "" || len(name) > 15:
		return "must have 1 to 15 characters"
	case strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}):
		return "must have only letters A to Z, digits and hyphens"
	case !strings.ContainsFunc(name, func(r rune) bool { return r < '0' || r > '9' }):
		return "must not be digits only"
	}
	return ""
}

func taskNames() []string {
	names := make([]string, len(taskRules))
	for i, r := range taskRules {
		names[i] = r.name
	}
	return names
}

func fieldNames(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// asRead is a known word as the table spells it, or the word itself.
func asRead(word string, known []string) string {
	if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, word) }); i >= 0 {
		return known[i]
	}
	return word
}
