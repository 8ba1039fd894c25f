package sysprep

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/batchfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// scriptBlock is a block of the options for a script.
type scriptBlock struct {
	option string
	of     func(*Config) *ScriptConfig
	// script is the launch agent's, "" for Windows' own SetupComplete.cmd.
	script launchagent.Script
	// kind is what the script is checked as before the agent is known.
	kind batchfile.Kind
	// instead is what to use with an agent that has no such script.
	instead string
}

// scriptBlocks are the blocks in the order in which their scripts run.
var scriptBlocks = []scriptBlock{
	{
		option: "before_sysprep", of: func(c *Config) *ScriptConfig { return c.BeforeSysprep },
		script: launchagent.BeforeSysprep, kind: batchfile.BeforeSysprep,
	},
	{
		option: "sysprep_specialize", of: func(c *Config) *ScriptConfig { return c.SysprepSpecialize },
		script: launchagent.Specialize, kind: batchfile.SysprepSpecialize,
		instead: "use run_synchronous in the block answer_file, whose commands run in the same pass",
	},
	{option: "setup_complete", of: func(c *Config) *ScriptConfig { return c.SetupComplete }, kind: batchfile.SetupComplete},
	{
		option: "post_sysprep", of: func(c *Config) *ScriptConfig { return c.PostSysprep },
		script: launchagent.PostSysprep, kind: batchfile.PostSysprep,
		instead: "use setup_complete, whose script runs at the same time",
	},
}

// setupComplete is Windows' own script, whatever the agent. Source: Microsoft's
// documentation of custom scripts in Windows Setup.
const setupComplete = `%windir%\Setup\Scripts\` + string(batchfile.SetupComplete)

// place returns where the block's script lies with an agent, and false when
// the agent has no such script.
func (b scriptBlock) place(agent launchagent.Agent) (path string, ok bool) {
	if b.script == "" {
		return setupComplete, true
	}
	return agent.Script(b.script)
}

// loadScripts reads and checks the user's scripts and commands.
func (c *Config) loadScripts(wrong wrongFunc) {
	c.scripts = make(map[string][]byte)
	for _, block := range scriptBlocks {
		if block.of(c) != nil {
			c.loadScript(block, wrong)
		}
	}
	if script, ok := c.scripts["setup_complete"]; ok && c.CloseWinRM {
		if _, err := batchfile.Append(batchfile.SetupComplete, script, batchfile.CloseWinRM()); err != nil {
			wrong("close_winrm", "%w", err)
		}
	}
}

func (c *Config) loadScript(block scriptBlock, wrong wrongFunc) {
	s, option := block.of(c), block.option
	if s.AllowLostRDPLine && block.kind != batchfile.BeforeSysprep && block.kind != batchfile.SysprepSpecialize {
		wrong(option+".allow_lost_rdp_line", "this script has no line about remote desktop; drop the option")
	}
	switch {
	case s.Path == "" && len(s.Commands) == 0:
		wrong(option, "it says nothing; give commands or path")
	case s.Path != "" && len(s.Commands) > 0:
		wrong(option+".path", "commands are given too; drop one of them")
	case len(s.Commands) > 0:
		if !aws.Known(strings.Join(s.Commands, "")) {
			return
		}
		for _, err := range each(batchfile.CheckCommands(s.Commands)) {
			wrong(option+".commands", "%w", err)
		}
	case aws.Known(s.Path):
		data, err := os.ReadFile(s.Path)
		if err != nil {
			wrong(option+".path", "%w", err)
			return
		}
		script, err := batchfile.Replace(s.Path, data)
		if err != nil {
			wrong(option+".path", "%w", err)
			return
		}
		for _, f := range batchfile.Check(block.kind, s.Path, script, nil) {
			switch {
			case losesRDPLine(f) && !s.AllowLostRDPLine:
				wrong(option+".path", "%s %s; keep the line, or say allow_lost_rdp_line = true", filepath.Base(s.Path), lostLines[f.ID])
			case f.Severity == finding.Error:
				wrong(option+".path", "%s", f)
			case f.Severity == finding.Warning:
				c.warnings = append(c.warnings, f.String())
			}
		}
		c.scripts[option] = script
	}
}

// lostLines are the findings about a lost line for remote desktop, with what
// that means.
var lostLines = map[string]string{
	"rdp-lock-lost":   "does not close remote desktop: without the line that sets fDenyTSConnections to 1 an instance can be entered without a password in its first moments",
	"rdp-unlock-lost": "does not open remote desktop again: without the line that sets fDenyTSConnections to 0 nobody can log on to an instance unless its answer file lets them",
}

func losesRDPLine(f batchfile.Finding) bool { return lostLines[f.ID] != "" }

// scriptTexts are the options that may still hold Packer's placeholder.
func (c *Config) scriptTexts() []optionText {
	var texts []optionText
	for _, block := range scriptBlocks {
		if s := block.of(c); s != nil {
			texts = append(texts, optionText{block.option + ".path", s.Path}, optionText{block.option + ".commands", strings.Join(s.Commands, "\n")})
		}
	}
	return texts
}

// wantedScript is a script that will be on the guest, and what is there now.
type wantedScript struct {
	scriptBlock
	config ScriptConfig
	path   string
	read   *guest.Call[guest.Piece]
}

// wantedScripts are the scripts that the options change. It fails when the
// agent has no such script.
func (r *run) wantedScripts(agent launchagent.Found) ([]wantedScript, error) {
	var wanted []wantedScript
	for _, block := range scriptBlocks {
		config := block.of(r.config)
		if config == nil && block.kind == batchfile.SetupComplete && (r.config.CloseWinRM || r.config.PostSysprep != nil) {
			// PostSysprep.cmd runs only where SetupComplete.cmd calls it: look whether it does.
			config = &ScriptConfig{}
		}
		if config == nil {
			continue
		}
		path, ok := block.place(agent.Agent)
		if !ok {
			return nil, &image.Failure{
				Code: codeNoScript, Problem: fmt.Sprintf("%s: %s has no such script (nothing was changed on the guest)", block.option, agent.Title()),
				Next: block.instead,
			}
		}
		wanted = append(wanted, wantedScript{scriptBlock: block, config: *config, path: path, read: guest.FileRead(path, 0, maxGuestFile)})
	}
	return wanted, nil
}

// prepareScripts composes the scripts and has them staged.
func (r *run) prepareScripts(scripts []wantedScript) error {
	for _, script := range scripts {
		if err := r.prepareScript(script); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) prepareScript(script wantedScript) error {
	name := script.path[strings.LastIndexByte(script.path, '\\')+1:]
	kind := batchfile.Kind(name)
	shipped, err := wholeFile(script.read, script.path)
	if err != nil {
		return &image.Failure{Code: codeBatchFile, Problem: "reading " + script.path + " on the guest", Cause: err}
	}
	// What is not there has lost nothing.
	was := append([]byte{}, shipped.Data...)
	data, own := r.config.scripts[script.option]
	commands := script.config.Commands
	if !own {
		data = was
	}
	if kind == batchfile.SetupComplete {
		commands = slices.Concat(r.callsPostSysprep(data, own, commands), commands)
		if r.config.CloseWinRM {
			commands = slices.Concat(commands, batchfile.CloseWinRM())
		}
	}
	if len(commands) > 0 {
		if data, err = batchfile.Append(kind, data, commands); err != nil {
			return &image.Failure{Code: codeBatchFile, Problem: "adding to " + script.path, Cause: err, Next: "replace the script with " + script.option + ".path"}
		}
	}
	if !own && len(commands) == 0 {
		return nil
	}
	for _, f := range batchfile.Check(kind, name, data, was) {
		switch {
		case losesRDPLine(f) && !script.config.AllowLostRDPLine:
			return &image.Failure{
				Code: codeBatchFile, Problem: name + " " + lostLines[f.ID],
				Next: "keep the line, or say allow_lost_rdp_line = true in " + script.option,
			}
		case f.Severity == finding.Error:
			return &image.Failure{Code: codeBatchFile, Problem: f.String()}
		case f.Severity == finding.Warning:
			r.say("Warning: %s", f)
		}
	}
	if r.overPacker() && r.tells(data) {
		return secretFailure(name + " holds a secret of this build's options")
	}
	r.place(name, script.path, data, lineChanges(was, data))
	return nil
}

// callsPostSysprep returns the line that is missing in SetupComplete.cmd when
// the options change PostSysprep.cmd and nothing calls it: AMIs of before April
// 2015 have none (the AWS user guide on Sysprep with EC2Config). A script of the
// user's own is left alone.
func (r *run) callsPostSysprep(script []byte, own bool, commands []string) []string {
	path, ok := r.facts.Agent.Script(launchagent.PostSysprep)
	if !ok || r.config.PostSysprep == nil || strings.Contains(strings.ToLower(string(script)+strings.Join(commands, "\n")), "postsysprep.cmd") {
		return nil
	}
	if own {
		r.say("Warning: SetupComplete.cmd does not call PostSysprep.cmd, so that post_sysprep does nothing; call it in your own script")
		return nil
	}
	r.say("SetupComplete.cmd does not call PostSysprep.cmd, so that post_sysprep would do nothing: the call is added")
	return []string{`call "` + path + `"`}
}
