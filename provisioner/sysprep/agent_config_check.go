package sysprep

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// loadAgentConfig checks the block agent_config, with the local files that it
// names.
func (c *Config) loadAgentConfig(wrong wrongFunc) {
	c.settingFiles = make(map[string][]byte)
	if c.AgentConfig == nil {
		return
	}
	blocks := c.agentBlocks()
	if len(blocks) == 0 {
		wrong("agent_config", "it says nothing; give a block ec2launch_v2, ec2launch_v1 or ec2config")
	}
	if _, known := launchagent.ByID(c.Agent); known && len(blocks) > 0 {
		found := false
		for _, agent := range blocks {
			found = found || agent.ID() == c.Agent
		}
		if !found {
			wrong("agent_config", "it has no block for the agent %q", c.Agent)
		}
	}
	for _, file := range settingFiles() {
		if file.used(c) {
			c.loadSettingFile(file, wrong)
		}
	}
	c.checkAgentSettings(wrong)
}

func (c *Config) loadSettingFile(file settingFile, wrong wrongFunc) {
	path, content := file.whole(c.AgentConfig)
	option, name := file.option(file.path), path
	var data []byte
	switch {
	case path != "" && content != "":
		wrong(file.option(file.content), "%s is given too; drop one of them", file.path)
		return
	case path != "":
		if !aws.Known(path) {
			return
		}
		if file.wanted(c) && file.kind != launchagent.MainConfig && file.kind != launchagent.BundleConfig {
			wrong(option, "blocks for the same file are given too; drop one of them")
			return
		}
		var err error
		if data, err = os.ReadFile(path); err != nil {
			wrong(option, "%w", err)
			return
		}
	case content != "":
		if !aws.Known(content) {
			return
		}
		option = file.option(file.content)
		name, data = option, []byte(content)
	default:
		return
	}
	parsed, err := file.parse(name, data)
	if err != nil {
		wrong(option, "%w", err)
		return
	}
	for _, f := range parsed.Check() {
		switch f.Severity {
		case finding.Error:
			wrong(option, "%s", f)
		case finding.Warning:
			c.warnings = append(c.warnings, f.String())
		}
	}
	c.settingFiles[file.key()] = data
}

// key names the file among those of all agents.
func (s settingFile) key() string { return s.agent.ID() + " " + string(s.kind) }

// checkAgentSettings checks the single settings of the blocks.
func (c *Config) checkAgentSettings(wrong wrongFunc) {
	each := func(block string, errs []error) {
		for _, err := range errs {
			option, problem, named := strings.Cut(err.Error(), ": ")
			if !named {
				option, problem = "", err.Error()
			}
			option = strings.Replace(option, "global[", "global_settings[", 1)
			option = strings.Replace(option, "remove[", "remove_tasks[", 1)
			wrong(strings.TrimSuffix("agent_config."+block+"."+option, "."), "%s", problem)
		}
	}
	each("ec2launch_v2", slices.DeleteFunc(c.ec2LaunchV2Settings().Validate(), func(err error) bool {
		// The block of its own has been checked.
		return strings.HasPrefix(err.Error(), "administrator_password.")
	}))
	each("ec2launch_v1", agentconfig.ValidateDriveLetters(letters(c.v1().DriveLetters)))
	each("ec2launch_v1", agentconfig.ValidateEvents(events(c.v1().EventLogs)))
	each("ec2config", agentconfig.ValidateDriveLetters(letters(c.ec2config().DriveLetters)))
	each("ec2config", agentconfig.ValidateEvents(events(c.ec2config().EventLogs)))
	each("ec2config", agentconfig.EC2ConfigSettings{Plugins: switchesOf(c.ec2config().Plugins), Global: switchesOf(c.ec2config().GlobalSettings)}.Validate())
	for _, option := range c.switchTexts() {
		for _, name := range slices.Sorted(maps.Keys(option.words)) {
			word := option.words[name]
			if _, err := strconv.ParseBool(word); err != nil && aws.Known(word) {
				wrong(option.name+"["+strconv.Quote(name)+"]", "%q is neither true nor false", word)
			}
		}
	}
	c.checkPasswordSwitches(wrong)
	if v1 := c.v1(); len(v1.DriveLetters) > 0 && !v1.InitializeDisks {
		c.warnings = append(c.warnings, "agent_config.ec2launch_v1: drive letters are given on an instance only by InitializeDisks.ps1; set initialize_disks = true, unless something else runs it")
	}
}

// switchTexts are the options for switches of EC2Config's by their names.
func (c *Config) switchTexts() []switchText {
	return []switchText{{"agent_config.ec2config.plugins", c.ec2config().Plugins}, {"agent_config.ec2config.global_settings", c.ec2config().GlobalSettings}}
}

type switchText struct {
	name  string
	words map[string]string
}

// checkPasswordSwitches refuses switches of EC2Config that administrator_password
// sets: with others the password would be another one, or would stay readable.
func (c *Config) checkPasswordSwitches(wrong wrongFunc) {
	password := c.agentPassword()
	if password == nil {
		return
	}
	refuse := func(option string, words map[string]string, sets string) {
		for _, name := range slices.Sorted(maps.Keys(words)) {
			if strings.EqualFold(name, sets) {
				wrong("agent_config.ec2config."+option+"["+strconv.Quote(name)+"]", "it is what administrator_password sets; use one of the two")
			}
		}
	}
	refuse("plugins", c.ec2config().Plugins, setPasswordPlugin)
	if password.Mode != agentconfig.Random {
		refuse("global_settings", c.ec2config().GlobalSettings, removeCredentials)
	}
}

// agentConfigTexts are the options that may still hold Packer's placeholder.
func (c *Config) agentConfigTexts() []optionText {
	var texts []optionText
	for _, file := range settingFiles() {
		if !file.used(c) {
			continue
		}
		path, content := file.whole(c.AgentConfig)
		texts = append(texts, optionText{file.option(file.path), path}, optionText{file.option(file.content), content})
	}
	for i, task := range c.v2().Tasks {
		texts = append(texts, optionText{"agent_config.ec2launch_v2.task[" + strconv.Itoa(i) + "]", task.Stage + task.Name + task.Inputs})
	}
	texts = append(texts, optionText{"agent_config.ec2launch_v2.remove_tasks", strings.Join(c.v2().RemoveTasks, "\n")})
	for _, block := range []struct {
		name    string
		letters []DriveLetterConfig
		events  []EventLogConfig
	}{{"ec2launch_v1", c.v1().DriveLetters, c.v1().EventLogs}, {"ec2config", c.ec2config().DriveLetters, c.ec2config().EventLogs}} {
		for i, letter := range block.letters {
			texts = append(texts, optionText{"agent_config." + block.name + ".drive_letter[" + strconv.Itoa(i) + "]", letter.Volume + letter.Letter})
		}
		for i, event := range block.events {
			texts = append(texts, optionText{"agent_config." + block.name + ".event_log[" + strconv.Itoa(i) + "]", event.Log + event.Source + event.Level})
		}
	}
	for _, option := range c.switchTexts() {
		for _, name := range slices.Sorted(maps.Keys(option.words)) {
			texts = append(texts, optionText{option.name + "[" + strconv.Quote(name) + "]", option.words[name]})
		}
	}
	return texts
}
