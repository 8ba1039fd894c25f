package sysprep

import (
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// order is what the options tell the launch agent to do.
func (c *Config) order() launchagent.Order {
	return launchagent.Order{Action: launchagent.Action(c.Action), Shutdown: launchagent.Shutdown(c.Shutdown), Schedules: c.schedules()}
}

// generalizes says that the action is Sysprep and not a shutdown without it.
func (c *Config) generalizes() bool { return c.Action != string(launchagent.ActionShutdown) }

// deed is the action in words: what is started on the guest.
func (c *Config) deed() string {
	if c.generalizes() {
		return "Sysprep"
	}
	return "the shutdown without Sysprep"
}

// survey is how the guest has to be looked at.
func (c *Config) survey() preflight.Options {
	return preflight.Options{Agent: c.Agent, Action: launchagent.Action(c.Action), Ignore: c.Preflight.Ignore}
}

// checkAction refuses what has no meaning without Sysprep: Windows Setup does
// not run on the instances from such an image, and nobody reads an answer file.
func (c *Config) checkAction(wrong wrongFunc) {
	actions := []string{string(launchagent.ActionSysprep), string(launchagent.ActionShutdown)}
	switch c.Action {
	case actions[0]:
		return
	case actions[1]:
	default:
		wrong("action", "%q is none of %s", c.Action, quotedList(actions))
		return
	}
	c.warnings = append(c.warnings, `with action = "shutdown" the image is not generalized: every instance from it has this machine's SID and name; the post-processor takes it only with generalized = false`)
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"answer_file_path", c.AnswerFilePath != ""},
		{"answer_file_content", c.AnswerFileContent != ""},
		{"answer_file", c.AnswerFile != nil},
		{"before_sysprep", c.BeforeSysprep != nil},
		{"sysprep_specialize", c.SysprepSpecialize != nil},
		{"setup_complete", c.SetupComplete != nil},
		{"post_sysprep", c.PostSysprep != nil},
		{"close_winrm", c.CloseWinRM},
	} {
		if option.set {
			wrong(option.name, "it is about Sysprep, and action is %q; drop one of them", c.Action)
		}
	}
	if c.Shutdown == string(launchagent.ShutdownAgent) {
		wrong("shutdown", "%q is the agent's own shutdown at the end of Sysprep, and action is %q; use %q or %q",
			c.Shutdown, c.Action, launchagent.ShutdownSealed, launchagent.ShutdownNone)
	}
}
