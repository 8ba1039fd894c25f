package agentconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// TaskRef names a task of the file.
type TaskRef struct {
	// Stage is boot, network, preReady or postReady; empty means every stage.
	Stage string
	Task  string
}

// TaskSetting is a task that the file is to have.
type TaskSetting struct {
	// Stage is boot, network, preReady or postReady.
	Stage string
	Task  string
	// Inputs is YAML or JSON; empty means that the task has none.
	Inputs string
}

// EC2LaunchV2Settings is what Apply does to a file, in this order.
type EC2LaunchV2Settings struct {
	// Remove takes tasks out. One that is not there is no error. A stage without
	// tasks goes too.
	Remove []TaskRef
	// Tasks are added at the end of their stage; a task that is there already
	// keeps its place and gets the new inputs. A stage that is missing is made,
	// in AWS's order of stages.
	Tasks []TaskSetting
	// Password sets the password of setAdminAccount in preReady: random, static
	// with the password in clear text, or doNothing. A name that is there stays.
	// A task that is missing is added before setWallpaper, or at the end. Nil
	// leaves the password as it is.
	Password *Password
}

// Validate says what is wrong with the settings, whatever the file; each error
// begins with the name of the setting: remove[0].stage, task[1].inputs,
// administrator_password.value. It holds no password.
func (s EC2LaunchV2Settings) Validate() []error {
	var errs []error
	for i, r := range s.Remove {
		at := fmt.Sprintf("remove[%d]", i)
		if r.Stage != "" {
			errs = append(errs, stageFault(at, r.Stage)...)
		}
		errs = append(errs, taskFault(at, r.Task)...)
	}
	seen := map[TaskRef]int{}
	for i, t := range s.Tasks {
		at := fmt.Sprintf("task[%d]", i)
		faults := append(stageFault(at, t.Stage), taskFault(at, t.Task)...)
		if len(faults) > 0 {
			errs = append(errs, faults...)
			continue
		}
		stage, _ := stageOf(t.Stage)
		key := TaskRef{stage, asRead(t.Task, taskNames())}
		if first, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("%s.task: %s is set for the stage %s by task[%d] already, and a stage has each task once", at, key.Task, key.Stage, first))
		} else {
			seen[key] = i
		}
		if key.Task == taskSetAdminAccount && s.Password != nil {
			errs = append(errs, fmt.Errorf("%s.task: %s is what administrator_password sets; use one of the two", at, key.Task))
		}
		errs = append(errs, t.faults(at, stage)...)
	}
	return append(errs, s.Password.Validate()...)
}

func stageFault(at, name string) []error {
	if _, ok := stageOf(name); ok {
		return nil
	}
	if near := nearest(name, stages()); near != "" {
		return []error{fmt.Errorf("%s.stage: there is no stage %q; did you mean %q?", at, name, near)}
	}
	return []error{fmt.Errorf("%s.stage: %q is not one of %s", at, name, strings.Join(stages(), ", "))}
}

func taskFault(at, name string) []error {
	switch near := nearest(name, taskNames()); {
	case strings.TrimSpace(name) == "":
		return []error{fmt.Errorf("%s.task: the name of a task is missing", at)}
	case ruleOf(name) == nil && near != "":
		return []error{fmt.Errorf("%s.task: there is no task %q; did you mean %q?", at, name, near)}
	}
	return nil
}

// faults checks a task as Check would check it in a file.
func (t TaskSetting) faults(at, stage string) []error {
	task, err := t.node()
	if err != nil {
		return []error{fmt.Errorf("%s.inputs: %w", at, err)}
	}
	c := &configCheck{file: "inputs"}
	c.duplicateKeys(task)
	if rule := ruleOf(t.Task); rule != nil {
		c.place(member(task, "task"), rule, stage)
		c.inputs(task, rule)
	}
	finding.Sort(c.found)
	var errs []error
	for _, f := range c.found {
		switch {
		case f.Severity != finding.Error:
		case f.ID == "task-stage":
			errs = append(errs, fmt.Errorf("%s.stage: %s; %s", at, f.Message, f.Remedy))
		case f.Line > 0:
			errs = append(errs, fmt.Errorf("%s.inputs: line %d, column %d: %s; %s", at, f.Line, f.Column, f.Message, f.Remedy))
		default:
			errs = append(errs, fmt.Errorf("%s.inputs: %s; %s", at, f.Message, f.Remedy))
		}
	}
	return errs
}

// node is the task as an item of a list of tasks.
func (t TaskSetting) node() (*yaml.Node, error) {
	name := t.Task
	if r := ruleOf(name); r != nil {
		name = r.name
	}
	task := mapNode(textNode("task"), textNode(name))
	if strings.TrimSpace(t.Inputs) == "" {
		return task, nil
	}
	text, err := newTextFile("inputs", []byte(t.Inputs))
	if err != nil {
		return nil, err
	}
	var inputs *yaml.Node
	if start := strings.TrimSpace(text.text); start[0] == '{' || start[0] == '[' {
		v, err := readJSON(text)
		if err != nil {
			return nil, err
		}
		inputs = fromJSON(v, text.text)
	} else {
		doc, err := readYAML(text)
		if err != nil {
			return nil, err
		}
		inputs = doc.Content[0]
	}
	if !empty(inputs) {
		setMember(task, "inputs", inputs)
	}
	return task, nil
}

// errNotEditable is the cause when what the YAML library writes would not mean
// what the file means, as with some rare forms of keys without values.
var errNotEditable = errors.New("the file cannot be edited without changing other parts of it; edit it by hand")

// Apply carries the settings out. A file that has them already is left as it
// is, byte for byte. In a file in YAML only the lines of the tasks that change
// are written anew, with their comments and the order of their keys; where the
// stages or tasks have no lines of their own the whole file is, indented as AWS
// does and without empty lines. One in JSON is written anew with its own
// indentation. After an error the file is as it was before.
func (f *EC2LaunchV2) Apply(s EC2LaunchV2Settings) error {
	if errs := s.Validate(); len(errs) > 0 {
		return fmt.Errorf("%s: %w", f.name, errors.Join(errs...))
	}
	// The edit is made in a copy.
	after := *f
	after.root = clone(f.root)
	if f.doc != nil {
		doc := *f.doc
		doc.Content = []*yaml.Node{after.root}
		after.doc = &doc
	}
	if err := after.apply(s); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if same(f.root, after.root) {
		return nil
	}
	written, err := f.rewritten(&after)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	written.original, written.edited = f.original, true
	*f = *written
	return nil
}

// rewritten is the file with the tree of an edited copy of it. What was written
// must read back as what was meant.
func (f *EC2LaunchV2) rewritten(after *EC2LaunchV2) (*EC2LaunchV2, error) {
	if f.doc != nil {
		if text, ok := f.splice(after.root); ok {
			if written, err := ParseEC2LaunchV2(f.name, f.encode(text)); err == nil && same(written.root, after.root) {
				return written, nil
			}
		}
	}
	text, err := after.write()
	if err != nil {
		return nil, err
	}
	written, err := ParseEC2LaunchV2(f.name, f.encode(text))
	if err != nil {
		return nil, fmt.Errorf("the edited file cannot be read: %w", err)
	}
	if !same(written.root, after.root) {
		return nil, errNotEditable
	}
	return written, nil
}

// write is the tree as text, without a byte order mark.
func (f *EC2LaunchV2) write() (string, error) {
	if f.json == nil {
		return f.writeYAML(f.doc)
	}
	var b strings.Builder
	f.json.write(&b, f.root, 0)
	if strings.HasSuffix(f.text, "\n") {
		b.WriteString(f.json.lineEnd)
	}
	return b.String(), nil
}

func (f *EC2LaunchV2) apply(s EC2LaunchV2Settings) error {
	config := member(f.root, "config")
	if config == nil || config.Kind != yaml.SequenceNode {
		return errors.New("the file has no config, the list of stages, so there is nothing to edit")
	}
	for _, r := range s.Remove {
		remove(config, r)
	}
	for i, t := range s.Tasks {
		if err := set(config, t); err != nil {
			return fmt.Errorf("setting task[%d]: %w", i, err)
		}
	}
	if s.Password != nil {
		if err := setPassword(config, *s.Password); err != nil {
			return fmt.Errorf("setting administrator_password: %w", err)
		}
	}
	return nil
}

// remove takes a task out, and a stage that has no tasks left.
func remove(config *yaml.Node, r TaskRef) {
	config.Content = slices.DeleteFunc(config.Content, func(stage *yaml.Node) bool {
		tasks := member(stage, "tasks")
		if r.Stage != "" && !strings.EqualFold(nameIn(stage, "stage", nil), r.Stage) || tasks == nil || tasks.Kind != yaml.SequenceNode {
			return false
		}
		before := len(tasks.Content)
		tasks.Content = slices.DeleteFunc(tasks.Content, func(task *yaml.Node) bool {
			return strings.EqualFold(nameIn(task, "task", nil), r.Task)
		})
		return before > 0 && len(tasks.Content) == 0
	})
}

// set adds a task or gives the one that is there its inputs.
func set(config *yaml.Node, t TaskSetting) error {
	node, err := t.node()
	if err != nil {
		return err
	}
	restyle(node)
	stage, _ := stageOf(t.Stage)
	tasks, err := tasksOf(config, stage)
	if err != nil {
		return err
	}
	there, err := find(tasks, t.Task, stage)
	switch inputs := member(node, "inputs"); {
	case err != nil:
		return err
	case there == nil:
		tasks.Content = append(tasks.Content, node)
	case inputs == nil:
		dropMember(there, "inputs")
	case !same(member(there, "inputs"), inputs):
		setMember(there, "inputs", inputs)
	}
	return nil
}

// find is the task of a name in a list; nil when there is none.
func find(tasks *yaml.Node, task, stage string) (*yaml.Node, error) {
	var found *yaml.Node
	for _, n := range mapsOf(tasks) {
		if !strings.EqualFold(nameIn(n, "task", nil), task) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the task %s stands twice in the stage %s, on the lines %d and %d; remove one of the two", task, stage, found.Line, n.Line)
		}
		found = n
	}
	return found, nil
}

// tasksOf is the list of tasks of a stage, which is made when it is missing.
func tasksOf(config *yaml.Node, stage string) (*yaml.Node, error) {
	order := stages()
	at := len(config.Content)
	var found *yaml.Node
	for i, n := range config.Content {
		name := nameIn(n, "stage", order)
		switch {
		case name == stage && found != nil:
			return nil, fmt.Errorf("the stage %s stands twice, on the lines %d and %d; put all its tasks under the first", stage, found.Line, n.Line)
		case name == stage:
			found = n
		case at == len(config.Content) && slices.Index(order, name) > slices.Index(order, stage):
			at = i
		}
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if found == nil {
		config.Style &^= yaml.FlowStyle
		config.Content = slices.Insert(config.Content, at, mapNode(textNode("stage"), textNode(stage), textNode("tasks"), list))
		return list, nil
	}
	switch tasks := member(found, "tasks"); {
	case empty(tasks):
		setMember(found, "tasks", list)
		return list, nil
	case tasks.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("tasks of the stage %s on line %d is %s, not a list", stage, tasks.Line, kindOf(tasks))
	default:
		if len(tasks.Content) == 0 {
			tasks.Style &^= yaml.FlowStyle
		}
		return tasks, nil
	}
}

// setPassword writes the password's mode as the agent calls it.
func setPassword(config *yaml.Node, p Password) error {
	tasks, err := tasksOf(config, stagePreReady)
	if err != nil {
		return err
	}
	task, err := find(tasks, taskSetAdminAccount, stagePreReady)
	if err != nil {
		return err
	}
	if task == nil {
		task = mapNode(textNode("task"), textNode(taskSetAdminAccount))
		at := slices.IndexFunc(tasks.Content, func(n *yaml.Node) bool { return nameIn(n, "task", taskNames()) == taskSetWallpaper })
		if at < 0 {
			at = len(tasks.Content)
		}
		tasks.Content = slices.Insert(tasks.Content, at, task)
	}
	inputs := mapUnder(task, "inputs")
	password := mapUnder(inputs, "password")
	kind := map[Mode]string{Random: passwordRandom, Specify: passwordStatic, Keep: passwordDoNothing}[p.Mode]
	replaceText(password, "type", textNode(kind))
	if p.Mode != Specify {
		dropMember(password, "data")
		return nil
	}
	data := textNode(p.Value)
	// In double quotes every reader of YAML takes it for a text.
	data.Style = yaml.DoubleQuotedStyle
	replaceText(password, "data", data)
	return nil
}

// mapUnder is the map under a key, which is made when something else is there.
func mapUnder(n *yaml.Node, key string) *yaml.Node {
	if m := member(n, key); m != nil && m.Kind == yaml.MappingNode {
		return m
	}
	m := mapNode()
	setMember(n, key, m)
	return m
}

// replaceText sets a text under a key, and keeps the one that is there with its
// comment and quotes when it is the same.
func replaceText(n *yaml.Node, key string, text *yaml.Node) {
	if old := member(n, key); old != nil {
		if same(old, text) {
			return
		}
		text.HeadComment, text.LineComment, text.FootComment = old.HeadComment, old.LineComment, old.FootComment
	}
	setMember(n, key, text)
}
