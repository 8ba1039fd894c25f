package agentconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// shape checks a value against what it must look like. Of a secret one no
// value is shown. An optional field with an empty text counts as left out, as
// the agent, a program in Go, cannot tell the two apart.
func (c *configCheck) shape(n *yaml.Node, s shape, task, path string, secret bool) {
	if !fits(n, s) {
		c.add(n, finding.Error, "input-shape", "write it as the AWS user guide on the task shows", "%s of the task %s is %s and must be %s", path, task, kindOf(n), s.kind)
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		where := fmt.Sprintf("%s of the task %s", path, task)
		if secret && path != "inputs" {
			c.secretKeys(n, fieldNames(s.fields), where)
		} else {
			c.unknownKeys(n, fieldNames(s.fields), where)
		}
		for _, f := range s.fields {
			v := member(n, f.name)
			if !empty(v) && (f.need == required || v.Kind != yaml.ScalarNode || v.Value != "") {
				c.shape(v, f.shape, task, path+"."+f.name, secret)
				continue
			}
			switch f.need {
			case required:
				c.add(n, finding.Error, "input-missing", "add "+f.name+oneOfHint(f.oneOf), "%s of the task %s has no %s", path, task, f.name)
			case advised:
				c.add(n, finding.Warning, "input-missing", "add "+f.name+oneOfHint(f.oneOf), "%s of the task %s has no %s, which the AWS user guide calls required", path, task, f.name)
			}
		}
	case yaml.SequenceNode:
		if len(n.Content) == 0 && s.need == required {
			c.add(n, finding.Error, "input-missing", "add an item, or remove the task", "%s of the task %s is an empty list", path, task)
		}
		for i, item := range n.Content {
			c.shape(item, *s.item, task, fmt.Sprintf("%s[%d]", path, i), secret)
		}
	case yaml.ScalarNode:
		c.scalar(n, s, task, path, secret)
	}
}

// secretKeys is unknownKeys where a key could be a password in the wrong place.
func (c *configCheck) secretKeys(n *yaml.Node, names []string, where string) {
	for k := range members(n) {
		if !slices.Contains(names, k.Value) {
			c.add(k, finding.Error, "unknown-key", "write one of them", "%s has a key that is not one of %s", where, strings.Join(names, ", "))
		}
	}
}

func (c *configCheck) scalar(n *yaml.Node, s shape, task, path string, secret bool) {
	shown := fmt.Sprintf("%q", n.Value)
	if secret {
		shown = "the value"
	}
	switch {
	case s.kind == aFlag && n.ShortTag() != "!!bool":
		c.add(n, finding.Warning, "input-spelling", "write true or false", "%s of the task %s is the word %q, which only older readers of YAML take for true or false", path, task, n.Value)
	case len(s.oneOf) > 0 && !slices.Contains(s.oneOf, n.Value):
		if known := asRead(n.Value, s.oneOf); known != n.Value {
			c.add(n, finding.Warning, "input-spelling", "write "+known, "%s of the task %s is spelled %q here and %q in the AWS user guide", path, task, n.Value, known)
			return
		}
		severity, remedy := finding.Error, "write"+oneOfHint(s.oneOf)[1:]
		if s.grows && nearest(n.Value, s.oneOf) == "" {
			severity, remedy = finding.Warning, "make sure that the agent on the guest knows it"
		}
		c.add(n, severity, "input-value", remedy, "%s of the task %s: %s is not one of %s", path, task, shown, strings.Join(s.oneOf, ", "))
	case s.kind == aText && s.need == required && n.Value == "":
		c.add(n, finding.Error, "input-missing", "write a value", "%s of the task %s is empty", path, task)
	case s.rule != nil:
		if fault := s.rule(n.Value); fault != "" {
			c.add(n, finding.Error, "input-value", "put it right", "%s of the task %s: %s %s", path, task, shown, fault)
		}
	}
}

func oneOfHint(oneOf []string) string {
	if len(oneOf) == 0 {
		return ""
	}
	return ": " + strings.Join(oneOf, " or ")
}

// oldFlag are the words that YAML 1.1 takes for true and false. Readers in Go,
// as the agent's is, still do where they expect one of the two.
var oldFlag = regexp.MustCompile(`^(?:[yY]|[yY]es|YES|[oO]n|ON|[nN]|[nN]o|NO|[oO]ff|OFF)$`)

// fits says whether a value is of the kind that it must be. A number is a text
// to the agent, which asks for one.
func fits(n *yaml.Node, s shape) bool {
	switch n.Kind {
	case yaml.MappingNode:
		return s.kind == aMap
	case yaml.SequenceNode:
		return s.kind == aList && s.item != nil
	}
	switch s.kind {
	case aFlag:
		return n.ShortTag() == "!!bool" || n.ShortTag() == "!!str" && oldFlag.MatchString(n.Value)
	case aText:
		return n.ShortTag() != "!!bool" && n.ShortTag() != "!!null"
	}
	return s.kind == aList && len(s.oneOf) > 0
}

// kindOf names what a value is, without showing it.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	}
	return "a text"
}

// password checks what the type and the data of a password mean together.
func (c *configCheck) password(inputs *yaml.Node) {
	p := member(inputs, "password")
	data := member(p, "data")
	has := data != nil && data.Kind == yaml.ScalarNode && !empty(data) && data.Value != ""
	switch kind := nameIn(p, "type", passwordTypes()); {
	case kind == passwordStatic && !has:
		c.add(p, finding.Error, "password-missing", "add data with the password", "the password is static and has no data, so the agent would make a random one up")
	case kind == passwordEncrypted && !has:
		c.add(p, finding.Error, "password-missing", "add data with what the agent's command line encrypted", "the password is encrypted and has no data")
	case kind == passwordStatic:
		name := nameIn(inputs, "name", nil)
		if name == "" {
			name = builtinAdministrator
		}
		if err := CheckStrength(data.Value, name); err != nil {
			c.add(data, finding.Error, "password-weak", "choose another one", "%v; the agent would make a random one up", err)
		}
		c.add(data, finding.Warning, "password-clear-text", "use the type random, unless you need one password everywhere",
			"the password stands here in clear text: whoever can read the image's disk can read it, and every instance begins with it")
	case has && (kind == passwordRandom || kind == passwordDoNothing):
		c.add(data, finding.Warning, "password-unused", "remove data", "a password of the type %s has no data; what stands here is ignored, and readable", kind)
	}
}

// scripts checks what a script's type and its arguments mean together.
func (c *configCheck) scripts(inputs *yaml.Node) {
	for _, script := range inputs.Content {
		arguments := member(script, "arguments")
		if nameIn(script, "type", []string{"batch"}) == "batch" && !empty(arguments) {
			c.add(arguments, finding.Error, "script-arguments", "write them into the script", "a script of the type batch takes no arguments")
		}
	}
}

// volumes checks what initialize and devices mean together.
func (c *configCheck) volumes(inputs *yaml.Node) {
	devices := member(inputs, "devices")
	switch nameIn(inputs, "initialize", []string{"all", "devices"}) {
	case "devices":
		if empty(devices) || devices.Kind == yaml.SequenceNode && len(devices.Content) == 0 {
			c.add(inputs, finding.Error, "input-missing", "add devices", "inputs of the task initializeVolume says devices and names none")
		}
	case "all":
		if !empty(devices) {
			c.add(devices, finding.Warning, "input-unused", "write initialize: devices", "inputs of the task initializeVolume says all, so its devices are not looked at")
		}
	}
	seen := map[string]int{}
	if devices == nil {
		return
	}
	for _, d := range devices.Content {
		letter := member(d, "letter")
		if empty(letter) || letter.Kind != yaml.ScalarNode || letter.Value == "" {
			continue
		}
		key := strings.ToUpper(letter.Value)
		if line, twice := seen[key]; twice {
			c.add(letter, finding.Error, "duplicate-letter", "give each volume a letter of its own", "the letter %s stands twice, first on line %d", key, line)
			continue
		}
		seen[key] = letter.Line
	}
}
