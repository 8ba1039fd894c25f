package windows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// agentConfig is EC2Launch v2's agent-config.yml.
type agentConfig struct {
	Version any          `yaml:"version" json:"version"`
	Config  []agentStage `yaml:"config" json:"config"`
}

type agentStage struct {
	Stage string      `yaml:"stage" json:"stage"`
	Tasks []agentTask `yaml:"tasks" json:"tasks"`
}

type agentTask struct {
	Task   string `yaml:"task" json:"task"`
	Inputs any    `yaml:"inputs" json:"inputs"`
}

// agentStages are the stages of agent-config.yml, in the order in which they run.
var agentStages = []string{"boot", "network", "preReady", "postReady"}

// The frequencies of a task.
const (
	once   = "once"
	always = "always"
)

// agentTasks are the tasks that agent-config.yml may hold: in which stages, and
// how often; an empty frequency stands in the task's own inputs. Source: AWS,
// EC2Launch v2 task configuration.
var agentTasks = map[string]struct {
	stages    string
	frequency string
}{
	"activateWindows":     {"preReady", once},
	"enableJumboFrames":   {"postReady", always},
	"enableOpenSsh":       {"preReady", once},
	"executeProgram":      {"preReady postReady", ""},
	"executeScript":       {"preReady postReady", ""},
	"extendRootPartition": {"boot", once},
	"initializeVolume":    {"postReady", always},
	"optimizeEna":         {"postReady", always},
	"setAdminAccount":     {"preReady", once},
	"setDnsSuffix":        {"preReady", always},
	"setHostName":         {"postReady", always},
	"setWallpaper":        {"preReady", always},
	"startSsm":            {"postReady", always},
	"writeFile":           {"postReady", ""},
}

// readAgentConfig reads agent-config.yml, which is YAML or JSON, and says what
// EC2Launch.exe validate would find wrong with it.
func readAgentConfig(data []byte) (agentConfig, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var config agentConfig
	var err error
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		err = json.Unmarshal(trimmed, &config)
	} else {
		err = yaml.Unmarshal(data, &config)
	}
	if err != nil {
		return agentConfig{}, fmt.Errorf("agent-config.yml cannot be parsed: %w", err)
	}
	if version := fmt.Sprint(config.Version); config.Version != nil && !slices.Contains([]string{"1", "1.0", "1.1"}, version) {
		return agentConfig{}, errors.New("agent-config.yml: unknown version " + version)
	}
	if len(config.Config) == 0 {
		return agentConfig{}, errors.New("agent-config.yml: there are no stages")
	}
	seen := map[string]bool{}
	for _, stage := range config.Config {
		if !slices.Contains(agentStages, stage.Stage) {
			return agentConfig{}, fmt.Errorf("agent-config.yml: unknown stage %q", stage.Stage)
		}
		for _, task := range stage.Tasks {
			key := stage.Stage + "/" + task.Task
			known, ok := agentTasks[task.Task]
			switch {
			case !ok:
				return agentConfig{}, fmt.Errorf("agent-config.yml: stage %s: unknown task %q", stage.Stage, task.Task)
			case !slices.Contains(strings.Fields(known.stages), stage.Stage):
				return agentConfig{}, fmt.Errorf("agent-config.yml: task %s is not allowed in stage %s", task.Task, stage.Stage)
			case seen[key]:
				return agentConfig{}, fmt.Errorf("task:%s should be unique and only invoked once", task.Task)
			}
			seen[key] = true
			if err := task.check(); err != nil {
				return agentConfig{}, fmt.Errorf("agent-config.yml: stage %s: task %s: %w", stage.Stage, task.Task, err)
			}
		}
	}
	return config, nil
}

// check says what is wrong with a task's inputs.
func (t agentTask) check() error {
	switch t.Task {
	case "setAdminAccount":
		switch kind := t.text("password", "type"); kind {
		case "", "random", "static", "doNothing", "encrypted":
		default:
			return errors.New("unknown password type")
		}
	case "setHostName":
		if name := t.text("hostName"); name != "" && !computerName.MatchString(name) {
			return errors.New("hostName must have up to 15 letters, digits and hyphens")
		}
	case "executeScript", "executeProgram", "writeFile":
		items := t.items()
		if len(items) == 0 {
			return errors.New("there are no inputs")
		}
		for _, item := range items {
			if frequency := fmt.Sprint(item["frequency"]); frequency != once && frequency != always {
				return errors.New("frequency must be once or always")
			}
		}
	}
	return nil
}

// text returns a value of the inputs by the names on the way to it, empty when
// it is not there.
func (t agentTask) text(path ...string) string {
	at := t.Inputs
	for _, name := range path {
		fields, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = fields[name]
	}
	if at == nil {
		return ""
	}
	return fmt.Sprint(at)
}

// items returns the inputs of a task that takes a list of them.
func (t agentTask) items() []map[string]any {
	list, ok := t.Inputs.([]any)
	if !ok {
		list = []any{t.Inputs}
	}
	var items []map[string]any
	for _, one := range list {
		if item, ok := one.(map[string]any); ok {
			items = append(items, item)
		}
	}
	return items
}

// forgetPassword takes a static password out of agent-config.yml, as the agent
// does once it has set it. What cannot be read stays as it is.
func forgetPassword(data []byte) []byte {
	var document yaml.Node
	if yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &document) != nil {
		return data
	}
	found := false
	var visit func(n *yaml.Node, inPassword bool)
	visit = func(n *yaml.Node, inPassword bool) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue
			}
			key := ""
			if n.Kind == yaml.MappingNode {
				key = n.Content[i-1].Value
			}
			if inPassword && key == "data" && child.Kind == yaml.ScalarNode && child.Value != "" {
				child.Value, child.Tag, child.Style = "", "!!str", yaml.DoubleQuotedStyle
				found = true
			}
			visit(child, key == "password")
		}
	}
	visit(&document, false)
	if !found {
		return data
	}
	text, err := yaml.Marshal(&document)
	if err != nil {
		return data
	}
	return text
}
