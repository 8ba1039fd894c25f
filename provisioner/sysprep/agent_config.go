package sysprep

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// codeAgentConfig: a setting file of the launch agent's is wrong.
const codeAgentConfig = "ES-215"

// agentFile is a setting file of a launch agent's.
type agentFile interface {
	Bytes() []byte
	Check() []agentconfig.Finding
	HoldsSecret() bool
	Redacted() []byte
}

// settingFile is one setting file of one launch agent, with the options that
// are about it.
type settingFile struct {
	agent launchagent.Agent
	kind  launchagent.ConfigFile
	// block is the agent's block in agent_config, path and content its options
	// for a whole file.
	block, path, content string
	// whole returns the values of these options.
	whole func(*AgentConfig) (path, content string)
	parse func(name string, data []byte) (agentFile, error)
	// change makes the settings of the options in a file.
	change func(*Config, agentFile) (agentFile, error)
	// wanted says whether the options change single settings of the file.
	wanted func(*Config) bool
	// shipped is what is taken where the file is missing on the guest; nil
	// when nothing can be.
	shipped func() []byte
	// always says that the file decides what an instance does at its first boot,
	// so that it is looked at also when no option is about it.
	always bool
}

// parsing adapts a parser of agentconfig's.
func parsing[F agentFile](parse func(string, []byte) (F, error)) func(string, []byte) (agentFile, error) {
	return func(name string, data []byte) (agentFile, error) {
		file, err := parse(name, data)
		if err != nil {
			return nil, err
		}
		return file, nil
	}
}

// applying adapts an edit of agentconfig's.
func applying[F agentFile](apply func(*Config, F) error) func(*Config, agentFile) (agentFile, error) {
	return func(c *Config, file agentFile) (agentFile, error) {
		typed, ok := file.(F)
		if !ok {
			return nil, fmt.Errorf("%T is not the file that was meant", file)
		}
		return typed, apply(c, typed)
	}
}

// replacing is a change that writes the whole file anew.
func replacing(data func(*Config) []byte, parse func(string, []byte) (agentFile, error)) func(*Config, agentFile) (agentFile, error) {
	return func(c *Config, file agentFile) (agentFile, error) {
		if text := data(c); text != nil {
			return parse("drive letters or events of the options", text)
		}
		return file, nil
	}
}

// settingFiles are the setting files of all agents.
func settingFiles() []settingFile {
	parseMapping := parsing(agentconfig.ParseDriveLetterMapping)
	parseEvents := parsing(agentconfig.ParseEventLog)
	parseLetters := parsing(agentconfig.ParseDriveLetterConfig)
	parseEventsXML := parsing(agentconfig.ParseEventLogConfig)
	return []settingFile{
		{
			agent: launchagent.EC2LaunchV2{}, kind: launchagent.MainConfig, always: true,
			block: "ec2launch_v2", path: "path", content: "content",
			whole:  func(a *AgentConfig) (string, string) { return a.EC2LaunchV2.Path, a.EC2LaunchV2.Content },
			parse:  parsing(agentconfig.ParseEC2LaunchV2),
			change: applying(func(c *Config, f *agentconfig.EC2LaunchV2) error { return f.Apply(c.ec2LaunchV2Settings()) }),
			wanted: func(c *Config) bool {
				s := c.ec2LaunchV2Settings()
				return len(s.Remove)+len(s.Tasks) > 0 || s.Password != nil
			},
			shipped: agentconfig.DefaultEC2LaunchV2,
		},
		{
			agent: launchagent.EC2LaunchV1{}, kind: launchagent.MainConfig, always: true,
			block: "ec2launch_v1", path: "path", content: "content",
			whole:   func(a *AgentConfig) (string, string) { return a.EC2LaunchV1.Path, a.EC2LaunchV1.Content },
			parse:   parsing(agentconfig.ParseLaunchConfig),
			change:  applying(func(c *Config, f *agentconfig.LaunchConfig) error { return f.Apply(c.launchConfigSettings()) }),
			wanted:  func(c *Config) bool { return c.launchConfigSettings() != agentconfig.LaunchConfigSettings{} },
			shipped: agentconfig.DefaultLaunchConfig,
		},
		{
			agent: launchagent.EC2LaunchV1{}, kind: launchagent.DriveLetters,
			block: "ec2launch_v1", path: "drive_letter_mapping_path",
			whole: func(a *AgentConfig) (string, string) { return a.EC2LaunchV1.DriveLetterMappingPath, "" },
			parse: parseMapping,
			change: replacing(func(c *Config) []byte {
				return formatted(letters(c.v1().DriveLetters), agentconfig.FormatDriveLetterMapping)
			}, parseMapping),
			wanted:  func(c *Config) bool { return len(c.v1().DriveLetters) > 0 },
			shipped: func() []byte { return agentconfig.FormatDriveLetterMapping(nil) },
		},
		{
			agent: launchagent.EC2LaunchV1{}, kind: launchagent.EventLog,
			block: "ec2launch_v1", path: "event_log_path",
			whole:   func(a *AgentConfig) (string, string) { return a.EC2LaunchV1.EventLogPath, "" },
			parse:   parseEvents,
			change:  replacing(func(c *Config) []byte { return formatted(events(c.v1().EventLogs), agentconfig.FormatEventLog) }, parseEvents),
			wanted:  func(c *Config) bool { return len(c.v1().EventLogs) > 0 },
			shipped: func() []byte { return agentconfig.FormatEventLog(nil) },
		},
		{
			agent: launchagent.EC2Config{}, kind: launchagent.MainConfig, always: true,
			block: "ec2config", path: "config_path",
			whole:  func(a *AgentConfig) (string, string) { return a.EC2Config.ConfigPath, "" },
			parse:  parsing(agentconfig.ParseEC2Config),
			change: applying(func(c *Config, f *agentconfig.EC2Config) error { return f.Apply(c.ec2ConfigSettings()) }),
			wanted: func(c *Config) bool { s := c.ec2ConfigSettings(); return len(s.Plugins)+len(s.Global) > 0 },
		},
		{
			agent: launchagent.EC2Config{}, kind: launchagent.BundleConfig, always: true,
			block: "ec2config", path: "bundle_config_path",
			whole:  func(a *AgentConfig) (string, string) { return a.EC2Config.BundleConfigPath, "" },
			parse:  parsing(agentconfig.ParseBundleConfig),
			change: applying(func(c *Config, f *agentconfig.BundleConfig) error { return f.Apply(c.bundleConfigSettings()) }),
			wanted: func(c *Config) bool { return c.bundleConfigSettings() != agentconfig.BundleConfigSettings{} },
		},
		{
			agent: launchagent.EC2Config{}, kind: launchagent.DriveLetters,
			block: "ec2config", path: "drive_letter_config_path",
			whole: func(a *AgentConfig) (string, string) { return a.EC2Config.DriveLetterConfigPath, "" },
			parse: parseLetters,
			change: replacing(func(c *Config) []byte {
				return formatted(letters(c.ec2config().DriveLetters), agentconfig.FormatDriveLetterConfig)
			}, parseLetters),
			wanted:  func(c *Config) bool { return len(c.ec2config().DriveLetters) > 0 },
			shipped: func() []byte { return agentconfig.FormatDriveLetterConfig(nil) },
		},
		{
			agent: launchagent.EC2Config{}, kind: launchagent.EventLog,
			block: "ec2config", path: "event_log_config_path",
			whole: func(a *AgentConfig) (string, string) { return a.EC2Config.EventLogConfigPath, "" },
			parse: parseEventsXML,
			change: replacing(func(c *Config) []byte {
				return formatted(events(c.ec2config().EventLogs), agentconfig.FormatEventLogConfig)
			}, parseEventsXML),
			wanted:  func(c *Config) bool { return len(c.ec2config().EventLogs) > 0 },
			shipped: func() []byte { return agentconfig.FormatEventLogConfig(nil) },
		},
	}
}

// formatted writes a list, nil when it is empty.
func formatted[T any](list []T, format func([]T) []byte) []byte {
	if len(list) == 0 {
		return nil
	}
	return format(list)
}

// letters, as events, leaves out what Packer does not know yet.
func letters(blocks []DriveLetterConfig) []agentconfig.DriveLetter {
	list := make([]agentconfig.DriveLetter, 0, len(blocks))
	for _, b := range blocks {
		if aws.Known(b.Volume) && aws.Known(b.Letter) {
			list = append(list, agentconfig.DriveLetter{Volume: b.Volume, Letter: b.Letter})
		}
	}
	return list
}

func events(blocks []EventLogConfig) []agentconfig.Event {
	list := make([]agentconfig.Event, 0, len(blocks))
	for _, b := range blocks {
		if !aws.Known(b.Log) || !aws.Known(b.Source) || !aws.Known(b.Level) {
			continue
		}
		e := agentconfig.Event{Log: b.Log, Source: b.Source, Level: b.Level, Entries: b.Entries}
		setDefault(&e.Level, "Error")
		if e.Entries == 0 {
			e.Entries = 3
		}
		list = append(list, e)
	}
	return list
}

// v2, v1 and ec2config are the agents' blocks, empty ones where there are none.
func (c *Config) v2() EC2LaunchV2Config {
	if c.AgentConfig == nil || c.AgentConfig.EC2LaunchV2 == nil {
		return EC2LaunchV2Config{}
	}
	return *c.AgentConfig.EC2LaunchV2
}

func (c *Config) v1() EC2LaunchV1Config {
	if c.AgentConfig == nil || c.AgentConfig.EC2LaunchV1 == nil {
		return EC2LaunchV1Config{}
	}
	return *c.AgentConfig.EC2LaunchV1
}

func (c *Config) ec2config() EC2ConfigConfig {
	if c.AgentConfig == nil || c.AgentConfig.EC2Config == nil {
		return EC2ConfigConfig{}
	}
	return *c.AgentConfig.EC2Config
}

// agentBlocks are the agents that have a block.
func (c *Config) agentBlocks() []launchagent.Agent {
	var agents []launchagent.Agent
	if a := c.AgentConfig; a != nil {
		if a.EC2LaunchV2 != nil {
			agents = append(agents, launchagent.EC2LaunchV2{})
		}
		if a.EC2LaunchV1 != nil {
			agents = append(agents, launchagent.EC2LaunchV1{})
		}
		if a.EC2Config != nil {
			agents = append(agents, launchagent.EC2Config{})
		}
	}
	return agents
}

func (c *Config) ec2LaunchV2Settings() agentconfig.EC2LaunchV2Settings {
	s := agentconfig.EC2LaunchV2Settings{Password: c.agentPassword()}
	for _, name := range c.v2().RemoveTasks {
		if !aws.Known(name) {
			continue
		}
		stage, task, staged := strings.Cut(name, "/")
		if !staged {
			stage, task = "", name
		}
		s.Remove = append(s.Remove, agentconfig.TaskRef{Stage: stage, Task: task})
	}
	for _, t := range c.v2().Tasks {
		if aws.Known(t.Stage) && aws.Known(t.Name) && aws.Known(t.Inputs) {
			s.Tasks = append(s.Tasks, agentconfig.TaskSetting{Stage: t.Stage, Task: t.Name, Inputs: t.Inputs})
		}
	}
	return s
}

func (c *Config) launchConfigSettings() agentconfig.LaunchConfigSettings {
	v1 := c.v1()
	return agentconfig.LaunchConfigSettings{
		SetComputerName: v1.SetComputerName.ToBoolPointer(), SetMonitorAlwaysOn: v1.SetMonitorAlwaysOn.ToBoolPointer(),
		SetWallpaper: v1.SetWallpaper.ToBoolPointer(), AddDNSSuffixList: v1.AddDNSSuffixList.ToBoolPointer(),
		ExtendBootVolumeSize: v1.ExtendBootVolumeSize.ToBoolPointer(), HandleUserData: v1.HandleUserData.ToBoolPointer(),
		Password: c.agentPassword(),
	}
}

// schedules are what EC2Launch v1 schedules in the image.
func (c *Config) schedules() launchagent.Schedules {
	v1 := c.v1()
	return launchagent.Schedules{PerBoot: v1.RunOnEveryBoot, Disks: v1.InitializeDisks, EventLogs: v1.SendEventLogs, Ready: v1.SendWindowsIsReady}
}

// What of EC2Config's Config.xml is about the administrator's password.
const (
	setPasswordPlugin = "Ec2SetPassword"
	removeCredentials = "RemoveCredentialsfromSysprepOnStartup"
)

// ec2ConfigSettings are those of Config.xml. With a password that stands in the
// answer file EC2Config has to remove it from there when it starts.
func (c *Config) ec2ConfigSettings() agentconfig.EC2ConfigSettings {
	block := c.ec2config()
	s := agentconfig.EC2ConfigSettings{Plugins: make(map[string]bool), Global: make(map[string]bool)}
	if p := c.agentPassword(); p != nil {
		s.Plugins[setPasswordPlugin] = p.Mode == agentconfig.Random
		if p.Mode != agentconfig.Random {
			s.Global[removeCredentials] = true
		}
	}
	maps.Copy(s.Plugins, switchesOf(block.Plugins))
	maps.Copy(s.Global, switchesOf(block.GlobalSettings))
	return s
}

// switchesOf are the values of a map that are true or false. HCL has no map of
// such values that a plugin could take, so that they come as words.
func switchesOf(words map[string]string) map[string]bool {
	on := make(map[string]bool)
	for name, word := range words {
		if value, err := strconv.ParseBool(word); err == nil {
			on[name] = value
		}
	}
	return on
}

func (c *Config) bundleConfigSettings() agentconfig.BundleConfigSettings {
	block := c.ec2config()
	s := agentconfig.BundleConfigSettings{AutoSysprep: block.AutoSysprep.ToBoolPointer(), SetRDPCertificate: block.SetRDPCertificate.ToBoolPointer()}
	if p := c.agentPassword(); p != nil {
		random := p.Mode == agentconfig.Random
		s.SetPasswordAfterSysprep = &random
	}
	return s
}

// option is the name of one of the file's options.
func (s settingFile) option(name string) string { return "agent_config." + s.block + "." + name }

// used says whether the block of the file's agent is there.
func (s settingFile) used(c *Config) bool {
	for _, agent := range c.agentBlocks() {
		if agent.ID() == s.agent.ID() {
			return true
		}
	}
	return false
}

// wantedSetting is a setting file that is looked at, and what is there now.
type wantedSetting struct {
	settingFile
	place string
	read  *guest.Call[guest.Piece]
}

// wantedSettings are the setting files of the agent's that decide what an
// instance does, or that the options change.
func (r *run) wantedSettings(agent launchagent.Found) ([]wantedSetting, error) {
	var wanted []wantedSetting
	blocks := r.config.agentBlocks()
	for _, file := range settingFiles() {
		if file.agent.ID() != agent.ID() {
			continue
		}
		_, whole := r.config.settingFiles[file.key()]
		if !file.always && !whole && !file.wanted(r.config) {
			continue
		}
		path, ok := agent.ConfigFile(file.kind)
		if !ok {
			continue
		}
		wanted = append(wanted, wantedSetting{settingFile: file, place: path, read: guest.FileRead(path, 0, maxGuestFile)})
	}
	for _, block := range blocks {
		if block.ID() == agent.ID() {
			return wanted, nil
		}
	}
	if len(blocks) > 0 {
		var titles []string
		for _, block := range blocks {
			titles = append(titles, block.Title())
		}
		return nil, &image.Failure{
			Code: codeAgentConfig, Problem: fmt.Sprintf("agent_config is for %s, and the guest has %s: its settings would get lost (nothing was changed on the guest)", strings.Join(titles, " and "), agent.Title()),
			Next: "add a block for " + agent.Title() + ", or take agent_config out",
		}
	}
	return wanted, nil
}

// madeSettings are the setting files as they will be in the image.
type madeSettings map[launchagent.ConfigFile]agentFile

// prepareSettings edits the agent's setting files, checks them and has those
// staged that differ from the guest's.
func (r *run) prepareSettings(wanted []wantedSetting) (madeSettings, error) {
	made := make(madeSettings)
	for _, setting := range wanted {
		file, err := r.prepareSetting(setting)
		if err != nil {
			return nil, err
		}
		if file != nil {
			made[setting.kind] = file
		}
	}
	return made, nil
}

func (r *run) prepareSetting(setting wantedSetting) (agentFile, error) {
	place := r.expand(setting.place)
	piece, err := wholeFile(setting.read, setting.place)
	if err != nil {
		return nil, &image.Failure{Code: codeAgentConfig, Problem: "reading " + place, Cause: err}
	}
	was := append([]byte{}, piece.Data...)
	data, own := r.config.settingFiles[setting.key()]
	changes := own || setting.wanted(r.config)
	switch {
	case own:
	case piece.Exists:
		data = was
	case !changes:
		r.say("Warning: %s is not there: %s does what it does without one", place, setting.agent.Title())
		return nil, nil
	case setting.shipped == nil:
		return nil, &image.Failure{Code: codeAgentConfig, Problem: place + " is not there, and its settings cannot be changed", Next: "repair " + setting.agent.Title() + ", or give the whole file with " + setting.option(setting.path)}
	default:
		data = setting.shipped()
	}
	file, err := setting.parse(place, data)
	if err != nil {
		if !changes && setting.agent.ID() != (launchagent.EC2LaunchV1{}).ID() {
			r.say("Warning: %s", err)
			return nil, nil
		}
		return nil, &image.Failure{
			Code: codeAgentConfig, Problem: "the agent's settings are broken", Cause: err,
			Next: "repair the file on the guest, or give the whole file in agent_config",
		}
	}
	if changes {
		if file, err = setting.change(r.config, file); err != nil {
			return nil, &image.Failure{
				Code: codeAgentConfig, Problem: "the settings of the options cannot be made in " + place, Cause: err,
				Next: "correct them, or give the whole file in agent_config",
			}
		}
	}
	if told, ok := file.(interface{ Secrets() []string }); ok {
		// The agent may print them.
		r.hide(told.Secrets()...)
	}
	// EC2Launch v1 would take its defaults without a word; the other agents say
	// what they think of their own files.
	strict := changes || setting.agent.ID() == (launchagent.EC2LaunchV1{}).ID()
	for _, f := range file.Check() {
		switch {
		case f.Severity == finding.Error && strict:
			return nil, &image.Failure{Code: codeAgentConfig, Problem: f.String() + " (nothing was changed on the guest)"}
		case f.Severity != finding.Info:
			r.say("Warning: %s", f)
		}
	}
	if piece.Exists && bytes.Equal(file.Bytes(), was) {
		return file, nil
	}
	if r.overPacker() && (file.HoldsSecret() || r.tells(file.Bytes())) {
		return nil, secretFailure("the agent's settings hold a password")
	}
	before := was
	if parsed, err := setting.parse(place, was); err == nil {
		before = parsed.Redacted()
	} else if piece.Exists {
		before = nil
	}
	difference := settingChanges(before, file.Redacted())
	if len(difference) == 0 && len(settingChanges(was, file.Bytes())) > 0 {
		difference = []string{"the password differs, which is not shown"}
	}
	r.place("agent's settings", setting.place, file.Bytes(), difference)
	return file, nil
}
