package agentconfig

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// EC2LaunchV2 is EC2Launch v2's agent-config.yml: which tasks the agent carries
// out, in which stage of a boot. It is not safe for concurrent use.
type EC2LaunchV2 struct {
	*textFile
	// doc is the document of a file in YAML; its only content is root. A file in
	// JSON has none.
	doc  *yaml.Node
	root *yaml.Node
	// json is how a file in JSON is laid out.
	json *jsonStyle
}

// Task is a task of the file.
type Task struct {
	// Stage is boot, network, preReady or postReady, as AWS spells it, or as the
	// file has it when nobody knows it.
	Stage string
	// Name is as AWS spells it, or as the file has it when nobody knows it.
	Name string
	// Frequency is "once" (after Sysprep or a reset) or "always" (at every
	// boot); empty when it is not known, or when the task's inputs differ in it.
	Frequency string
	// Inputs are maps from texts, slices, texts, ints, floats, truth values; nil
	// when there are none. They may hold a secret.
	Inputs any
	// Line and Column are where the task stands; both count from 1.
	Line, Column int
}

// ParseEC2LaunchV2 reads agent-config.yml, in YAML or, when its first character
// is a brace or a bracket, in JSON. A byte order mark of UTF-8 is taken, as the
// AWS user guide's own example writes one. It fails with a *SyntaxError; what
// else may be wrong is told by Check.
func ParseEC2LaunchV2(name string, data []byte) (*EC2LaunchV2, error) {
	t, err := newTextFile(name, data)
	if err != nil {
		return nil, err
	}
	if t.charset == markedUTF16LE || t.charset == markedUTF16BE {
		return nil, t.fail(0, "the file is UTF-16; save it as UTF-8")
	}
	f := &EC2LaunchV2{textFile: t}
	if start := strings.TrimLeft(t.text, " \t\r\n"); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "[") {
		v, err := readJSON(t)
		if err != nil {
			return nil, err
		}
		style := t.jsonStyleOf(v)
		f.root, f.json = fromJSON(v, t.text), &style
		return f, nil
	}
	if f.doc, err = readYAML(t); err != nil {
		return nil, err
	}
	f.root = f.doc.Content[0]
	if empty(f.root) {
		return nil, t.fail(0, "the file is empty")
	}
	return f, nil
}

// stageNodes are the items of config that are maps.
func (f *EC2LaunchV2) stageNodes() []*yaml.Node {
	config := member(f.root, "config")
	if config == nil || config.Kind != yaml.SequenceNode {
		return nil
	}
	return mapsOf(config)
}

// taskNodes are the tasks of a stage that are maps.
func taskNodes(stage *yaml.Node) []*yaml.Node {
	tasks := member(stage, "tasks")
	if tasks == nil || tasks.Kind != yaml.SequenceNode {
		return nil
	}
	return mapsOf(tasks)
}

func mapsOf(list *yaml.Node) []*yaml.Node {
	var maps []*yaml.Node
	for _, n := range list.Content {
		if n.Kind == yaml.MappingNode {
			maps = append(maps, n)
		}
	}
	return maps
}

// nameIn is the text that a map has under a key, in the spelling that is known.
func nameIn(n *yaml.Node, key string, known []string) string {
	v := member(n, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return ""
	}
	return asRead(v.Value, known)
}

// Tasks are the file's tasks in its order.
func (f *EC2LaunchV2) Tasks() []Task {
	var tasks []Task
	for _, stage := range f.stageNodes() {
		for _, n := range taskNodes(stage) {
			t := Task{
				Stage: nameIn(stage, "stage", stages()), Name: nameIn(n, "task", taskNames()),
				Line: n.Line, Column: n.Column,
			}
			if t.Name == "" {
				continue
			}
			if inputs := member(n, "inputs"); !empty(inputs) {
				t.Inputs = plain(inputs)
			}
			if r := ruleOf(t.Name); r != nil {
				readFlags(t.Inputs, r.inputs)
				t.Frequency = r.frequency
				if t.Frequency == "" {
					t.Frequency = frequencyOf(t.Inputs)
				}
			}
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// readFlags turns the words that the agent takes for true or false into what it
// takes them for.
func readFlags(inputs any, s *shape) {
	if s == nil {
		return
	}
	list, _ := inputs.([]any)
	for _, item := range list {
		readFlags(item, s.item)
	}
	m, _ := inputs.(map[string]any)
	for _, f := range s.fields {
		if word, ok := m[f.name].(string); ok && f.kind == aFlag && oldFlag.MatchString(word) {
			m[f.name] = slices.Contains([]string{"y", "yes", "on"}, strings.ToLower(word))
		}
	}
}

// frequencyOf is the frequency that all inputs of a task have.
func frequencyOf(inputs any) string {
	list, _ := inputs.([]any)
	all := ""
	for i, input := range list {
		m, _ := input.(map[string]any)
		f, _ := m["frequency"].(string)
		if i > 0 && f != all || f != once && f != always {
			return ""
		}
		all = f
	}
	return all
}

// HoldsSecret says whether a password stands in the file that whoever can read
// the file can read. A password of the type encrypted is none.
func (f *EC2LaunchV2) HoldsSecret() bool {
	for _, s := range f.secrets() {
		if !s.encrypted && !empty(s.node) && (s.node.Kind != yaml.ScalarNode || s.node.Value != "") {
			return true
		}
	}
	return false
}

// Secrets are the passwords that stand readable in the file, for a filter of
// what is printed. Of short ones there are none: the agent does not take them.
func (f *EC2LaunchV2) Secrets() []string {
	var values []string
	for _, s := range f.secrets() {
		if !s.encrypted && s.node.Kind == yaml.ScalarNode && utf8.RuneCountInString(s.node.Value) >= minPassword {
			values = append(values, s.node.Value)
		}
	}
	return values
}

// secret is a value that nobody may see.
type secret struct {
	node      *yaml.Node
	encrypted bool
}

// secrets are all values that are or may be a password: what setAdminAccount
// has as its inputs, but for a name, an expiry and a known type. A task whose
// name is nearly that counts too, and so does what stands under a key password
// anywhere in the file, as in one that is indented wrongly.
func (f *EC2LaunchV2) secrets() []secret {
	found := passwordsIn(f.root)
	for _, stage := range f.stageNodes() {
		for _, task := range taskNodes(stage) {
			name := nameIn(task, "task", taskNames())
			if near := nearest(name, taskNames()); near != "" {
				name = near
			}
			if name != taskSetAdminAccount {
				continue
			}
			for k, v := range members(task) {
				if k.Value != "task" {
					found = append(found, secretsOf(v)...)
				}
			}
		}
	}
	return found
}

func passwordsIn(n *yaml.Node) []secret {
	var found []secret
	for k, v := range members(n) {
		switch near := nearest(k.Value, []string{"password"}); {
		case near == "":
		case v.Kind == yaml.MappingNode:
			found = append(found, secretsOfPassword(v)...)
		default:
			found = append(found, secret{node: v})
		}
	}
	for _, c := range n.Content {
		found = append(found, passwordsIn(c)...)
	}
	return found
}

func secretsOf(inputs *yaml.Node) []secret {
	if inputs.Kind != yaml.MappingNode {
		return []secret{{node: inputs}}
	}
	var found []secret
	for k, v := range members(inputs) {
		switch {
		case k.Value == "name" || k.Value == "expire":
		case k.Value != "password" || v.Kind != yaml.MappingNode:
			found = append(found, secret{node: v})
		default:
			found = append(found, secretsOfPassword(v)...)
		}
	}
	return found
}

func secretsOfPassword(password *yaml.Node) []secret {
	var found []secret
	kind := nameIn(password, "type", passwordTypes())
	for k, v := range members(password) {
		if k.Value != "type" || v.Kind != yaml.ScalarNode || !slices.Contains(passwordTypes(), kind) {
			found = append(found, secret{node: v, encrypted: kind == passwordEncrypted})
		}
		if k.Value != "type" && k.Value != "data" {
			found = append(found, secret{node: k})
		}
	}
	return found
}

func passwordTypes() []string {
	return []string{passwordRandom, passwordStatic, passwordDoNothing, passwordEncrypted}
}

// Redacted is the file, line for line, with (hidden) in the place of every
// password. Whatever else stands on the lines of a password may be hidden with
// it.
func (f *EC2LaunchV2) Redacted() []byte {
	hide := map[*yaml.Node]bool{}
	values := []string{}
	for _, s := range f.secrets() {
		if empty(s.node) {
			continue
		}
		hide[s.node] = true
		if s.node.Kind == yaml.ScalarNode {
			values = append(values, s.node.Value)
		}
	}
	if len(hide) == 0 {
		return f.Bytes()
	}
	var b strings.Builder
	from := 0
	order := flatten(f.root, nil)
	for i := 0; i < len(order); i++ {
		if !hide[order[i]] {
			continue
		}
		start := f.offset(order[i].Line, order[i].Column)
		i += len(flatten(order[i], nil)) - 1
		end := len(f.text)
		if i+1 < len(order) {
			end = f.offset(order[i+1].Line, order[i+1].Column)
		}
		b.WriteString(f.text[from:start])
		b.WriteString(f.hidden(f.text[start:end]))
		from = end
	}
	b.WriteString(f.text[from:])
	out := b.String()
	for _, v := range values {
		// The same words in a comment or in a script.
		if len(v) >= minPassword {
			out = strings.ReplaceAll(out, v, "(hidden)")
		}
	}
	return f.encode(out)
}

// hidden replaces a value that begins a part of the text, up to the next value.
// The part keeps its lines.
func (f *EC2LaunchV2) hidden(part string) string {
	if f.json != nil {
		// A value of JSON has an end that can be found.
		r := newJSONReader(&textFile{text: part})
		if v, err := r.value(); err == nil {
			return `"(hidden)"` + strings.Repeat("\n", strings.Count(part[:v.end], "\n")) + part[v.end:]
		}
	}
	lines := strings.SplitAfter(part, "\n")
	for i, line := range lines {
		text := strings.Trim(line, " \t\r\n")
		switch {
		case text == "", text == "-" && i > 0 && i == len(lines)-1:
			// Only the white space and the dash before the next value.
		case len(lines) == 1:
			lines[i] = "(hidden), "
		default:
			at := strings.Index(line, text)
			lines[i] = line[:at] + "(hidden)" + line[at+len(text):]
		}
	}
	return strings.Join(lines, "")
}

// flatten is a tree in the order of the text.
func flatten(n *yaml.Node, into []*yaml.Node) []*yaml.Node {
	into = append(into, n)
	for _, c := range n.Content {
		into = flatten(c, into)
	}
	return into
}

// defaultEC2LaunchV2 is the example of the AWS user guide, "EC2Launch v2 task
// configuration", which is also the configuration that the agent comes with,
// with the version that the guide's other example names.
const defaultEC2LaunchV2 = `version: 1.0
config:
  - stage: boot
    tasks:
      - task: extendRootPartition
  - stage: preReady
    tasks:
      - task: activateWindows
        inputs:
          activation:
            type: amazon
      - task: setDnsSuffix
        inputs:
          suffixes:
            - $REGION.ec2-utilities.amazonaws.com
      - task: setAdminAccount
        inputs:
          password:
            type: random
      - task: setWallpaper
        inputs:
          path: C:\ProgramData\Amazon\EC2Launch\wallpaper\Ec2Wallpaper.jpg
          attributes:
            - hostName
            - instanceId
            - privateIpAddress
            - publicIpAddress
            - instanceSize
            - availabilityZone
            - architecture
            - memory
            - network
  - stage: postReady
    tasks:
      - task: startSsm
`

// DefaultEC2LaunchV2 is agent-config.yml as the AWS user guide has it, for a
// guest whose file is missing.
func DefaultEC2LaunchV2() []byte { return []byte(defaultEC2LaunchV2) }
