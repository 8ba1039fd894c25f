package agentconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// configCheck gathers findings about a tree.
type configCheck struct {
	file  string
	found []Finding
}

// add records a finding at a node; nil is the place of something missing.
func (c *configCheck) add(n *yaml.Node, severity finding.Severity, id, remedy, format string, args ...any) {
	f := Finding{ID: id, Severity: severity, File: c.file, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	c.found = append(c.found, f)
}

// Check says what the agent would refuse, ignore or not do, and what the file
// gives away; all at once, ordered by place. None holds a password.
func (f *EC2LaunchV2) Check() []Finding {
	c := &configCheck{file: f.name}
	c.duplicateKeys(f.root)
	switch {
	case f.root.Kind != yaml.MappingNode:
		c.add(f.root, finding.Error, "config-missing", "begin with the agent's own file", "the file is %s, not a map with the keys version and config", kindOf(f.root))
	default:
		c.version(f.root)
		names := []string{"version", "config"}
		if empty(member(f.root, "config")) {
			// Tasks without stages are looked at when config is missed.
			names = append(names, "tasks")
		}
		c.unknownKeys(f.root, names, "the file")
		c.stages(f.root)
	}
	finding.Sort(c.found)
	return c.found
}

// duplicateKeys looks at every map. The second value would win, or the agent
// refuses the file.
func (c *configCheck) duplicateKeys(n *yaml.Node) {
	seen := map[string]int{}
	for k := range members(n) {
		if line, ok := seen[k.Value]; ok {
			c.add(k, finding.Error, "duplicate-key", "remove one of the two", "%s stands twice, first on line %d", shownKey(k.Value), line)
			continue
		}
		seen[k.Value] = k.Line
	}
	for _, child := range n.Content {
		c.duplicateKeys(child)
	}
}

// shownKey is a key as a message may show it: what nobody knows could be a
// password in the wrong place.
func shownKey(key string) string {
	known := []string{"version", "config", "stage", "tasks", "task", "inputs"}
	var walk func(s *shape)
	walk = func(s *shape) {
		if s == nil {
			return
		}
		for i := range s.fields {
			known = append(known, s.fields[i].name)
			walk(&s.fields[i].shape)
		}
		walk(s.item)
	}
	for _, r := range taskRules {
		walk(r.inputs)
	}
	if slices.Contains(known, key) {
		return fmt.Sprintf("the key %q", key)
	}
	return "a key"
}

// laterVersion are versions that a newer agent may bring.
var laterVersion = regexp.MustCompile(`^1\.[0-9]{1,2}$`)

func (c *configCheck) version(root *yaml.Node) {
	v := member(root, "version")
	switch {
	case empty(v):
		c.add(v, finding.Warning, "version-missing", "write version: 1.0 as the first line", "the file names no version of its own form")
	case v.Kind != yaml.ScalarNode:
		c.add(v, finding.Error, "version-unknown", "write version: 1.0", "the version is %s", kindOf(v))
	case v.Value == "1.0" || v.Value == "1.1":
	case v.Value == "1":
		c.add(v, finding.Warning, "version-unknown", "write 1.0", "the version is 1; the AWS user guide writes 1.0")
	case laterVersion.MatchString(v.Value):
		c.add(v, finding.Warning, "version-unknown", "make sure that the agent on the guest knows it", "the version is %s; the AWS user guide knows 1.0 and 1.1", v.Value)
	default:
		c.add(v, finding.Error, "version-unknown", "write 1.0", "the version %q is not known; there are 1.0 and 1.1", v.Value)
	}
}

// unknownKeys warns of keys that the agent does not know. A newer agent may.
func (c *configCheck) unknownKeys(n *yaml.Node, names []string, where string) {
	for k := range members(n) {
		if slices.Contains(names, k.Value) {
			continue
		}
		near := nearest(k.Value, names)
		switch {
		case near != "":
			c.add(k, finding.Error, "unknown-key", fmt.Sprintf("write %q", near), "%s has no key %q; did you mean %q?", where, k.Value, near)
		case len(names) == 0:
			c.add(k, finding.Warning, "unknown-key", "remove it, unless the agent on the guest is newer than this plugin", "%s has no keys, and here it has %q", where, k.Value)
		default:
			c.add(k, finding.Warning, "unknown-key", "remove it, unless the agent on the guest is newer than this plugin", "%s has no key %q; the keys are %s", where, k.Value, strings.Join(names, ", "))
		}
	}
}

func (c *configCheck) stages(root *yaml.Node) {
	config := member(root, "config")
	switch {
	case empty(config):
		place := config
		remedy := "begin with the agent's own file"
		if tasks := member(root, "tasks"); tasks != nil {
			place, remedy = tasks, "put the tasks into stages under config; a list of tasks alone is what user data has"
		}
		c.add(place, finding.Error, "config-missing", remedy, "the file has no config, the list of stages")
		return
	case config.Kind != yaml.SequenceNode:
		c.add(config, finding.Error, "config-missing", "write a list of stages: - stage: boot", "config is %s, not a list of stages", kindOf(config))
		return
	}
	seen := map[string]int{}
	retrievable := false
	for _, stage := range config.Content {
		name, ok := c.stage(stage, seen)
		if !ok {
			continue
		}
		c.tasks(stage, name)
		retrievable = retrievable || name == stagePreReady && slices.ContainsFunc(taskNodes(stage), func(t *yaml.Node) bool {
			return nameIn(t, "task", taskNames()) == taskSetAdminAccount
		})
	}
	if !retrievable {
		c.add(nil, finding.Warning, "no-admin-account", "add the task setAdminAccount to the stage preReady, or be sure of a password of your own",
			"the stage preReady has no setAdminAccount, so the agent sets no administrator password, and EC2 has none to show")
	}
}

// stage checks the stage itself; ok is false when its tasks cannot be checked.
func (c *configCheck) stage(n *yaml.Node, seen map[string]int) (stage string, ok bool) {
	if n.Kind != yaml.MappingNode {
		c.add(n, finding.Error, "stage-missing", "write - stage: boot and its tasks below", "an item of config is %s, not a stage", kindOf(n))
		return "", false
	}
	c.unknownKeys(n, []string{"stage", "tasks"}, "a stage")
	name := member(n, "stage")
	if empty(name) || name.Kind != yaml.ScalarNode || name.Value == "" {
		c.add(n, finding.Error, "stage-missing", "write stage: and one of "+strings.Join(stages(), ", "), "an item of config names no stage")
		return "", true
	}
	stage, ok = stageOf(name.Value)
	switch near := nearest(name.Value, stages()); {
	case strings.EqualFold(name.Value, "userData"):
		c.add(name, finding.Error, "unknown-stage", "put its tasks into the instance's user data", "the stage UserData has no place in this file")
		return "", true
	case !ok && near != "":
		c.add(name, finding.Error, "unknown-stage", "write "+near, "there is no stage %q; did you mean %q?", name.Value, near)
		return "", true
	case !ok:
		c.add(name, finding.Error, "unknown-stage", "use one of "+strings.Join(stages(), ", "), "there is no stage %q", name.Value)
		return "", true
	case name.Value != stage:
		c.add(name, finding.Warning, "stage-spelling", "write "+stage, "the stage is spelled %q here and %q in AWS's own file", name.Value, stage)
	}
	if line, twice := seen[stage]; twice {
		c.add(name, finding.Error, "duplicate-stage", "put all its tasks under the first", "the stage %s stands twice, first on line %d", stage, line)
	} else {
		seen[stage] = name.Line
	}
	return stage, true
}

// tasks checks the tasks of a stage, whose name is empty when it is not known.
func (c *configCheck) tasks(stage *yaml.Node, name string) {
	tasks := member(stage, "tasks")
	switch {
	case empty(tasks):
		c.add(stage, finding.Warning, "stage-empty", "add tasks, or remove the stage", "the stage has no tasks")
		return
	case tasks.Kind != yaml.SequenceNode:
		c.add(tasks, finding.Error, "tasks-shape", "write a list of tasks: - task: startSsm", "tasks is %s, not a list", kindOf(tasks))
		return
	}
	seen := map[string]int{}
	for _, task := range tasks.Content {
		c.task(task, name, seen)
	}
}

func (c *configCheck) task(n *yaml.Node, stage string, seen map[string]int) {
	if n.Kind != yaml.MappingNode {
		c.add(n, finding.Error, "task-missing", "write - task: and its name", "an item of tasks is %s, not a task", kindOf(n))
		return
	}
	c.unknownKeys(n, []string{"task", "inputs"}, "a task")
	name := member(n, "task")
	if empty(name) || name.Kind != yaml.ScalarNode || name.Value == "" {
		c.add(n, finding.Error, "task-missing", "write task: and its name", "an item of tasks names no task")
		return
	}
	key := asRead(name.Value, taskNames())
	if line, twice := seen[key]; twice {
		c.add(name, finding.Error, "duplicate-task", duplicateRemedy(ruleOf(key)), "the task %s stands twice in the stage, first on line %d, and the agent calls each one once", key, line)
	} else {
		seen[key] = name.Line
	}
	rule := ruleOf(name.Value)
	if rule == nil {
		if near := nearest(name.Value, taskNames()); near != "" {
			c.add(name, finding.Error, "unknown-task", "write "+near, "there is no task %q; did you mean %q?", name.Value, near)
		} else {
			c.add(name, finding.Warning, "unknown-task", "make sure that the agent on the guest knows it", "the task %q is not in the AWS user guide", name.Value)
		}
		return
	}
	if rule.name != name.Value {
		c.add(name, finding.Warning, "task-spelling", "write "+rule.name, "the task is spelled %q here and %q in the AWS user guide", name.Value, rule.name)
	}
	c.place(name, rule, stage)
	c.inputs(n, rule)
}

func duplicateRemedy(rule *taskRule) string {
	if rule != nil && rule.inputs != nil && rule.inputs.kind == aList {
		return "put both into the list inputs of one task"
	}
	return "remove one of the two"
}

// place says when a task stands in a stage where the agent does not take it.
func (c *configCheck) place(name *yaml.Node, rule *taskRule, stage string) {
	switch {
	case stage == "" || slices.Contains(rule.stages, stage):
	case len(rule.stages) == 0:
		c.add(name, finding.Error, "task-stage", "put it into the instance's user data", "the task %s has no place in this file, only in user data", rule.name)
	default:
		c.add(name, finding.Error, "task-stage", "move it to "+strings.Join(rule.stages, " or "), "the task %s is not allowed in the stage %s", rule.name, stage)
	}
}

// inputs checks what a task is given.
func (c *configCheck) inputs(task *yaml.Node, rule *taskRule) {
	inputs := member(task, "inputs")
	switch {
	case empty(inputs):
		if rule.inputs != nil && rule.inputs.need == required {
			c.add(task, finding.Error, "input-missing", "add inputs", "the task %s needs inputs", rule.name)
		}
		return
	case rule.inputs == nil:
		c.add(inputs, finding.Warning, "unknown-key", "remove them", "the task %s takes no inputs", rule.name)
		return
	}
	c.shape(inputs, *rule.inputs, rule.name, "inputs", rule.name == taskSetAdminAccount)
	switch rule.name {
	case taskSetAdminAccount:
		c.password(inputs)
	case taskExecuteScript:
		c.scripts(inputs)
	case "initializeVolume":
		c.volumes(inputs)
	}
}
