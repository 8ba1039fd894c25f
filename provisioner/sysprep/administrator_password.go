package sysprep

import (
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// codePassword: the administrator's password cannot be what was asked for.
const codePassword = "ES-216"

// agentPassword is what the agent's settings have to say about the
// administrator's password; nil without the block. A value that Packer does not
// know yet is left out.
func (c *Config) agentPassword() *agentconfig.Password {
	block := c.AdministratorPassword
	if block == nil || !aws.Known(block.Mode) || !aws.Known(block.Value) {
		return nil
	}
	password := &agentconfig.Password{Mode: agentconfig.Mode(block.Mode)}
	if password.Mode == agentconfig.Specify {
		password.Value = block.Value
	}
	return password
}

// checkAdministratorPassword checks the block administrator_password.
func (c *Config) checkAdministratorPassword(wrong wrongFunc) {
	const option = "administrator_password"
	block := c.AdministratorPassword
	if block == nil {
		return
	}
	if c.AnswerFile != nil && c.AnswerFile.AdministratorPassword != nil {
		wrong(option, "answer_file.administrator_password is given too; drop that one and say mode = \"keep\" with the value")
	}
	if !aws.Known(block.Mode) || !aws.Known(block.Value) {
		return
	}
	switch agentconfig.Mode(block.Mode) {
	case agentconfig.Random:
		if block.Value != "" {
			wrong(option+".value", "with mode = \"random\" the agent makes the password up; drop the value, or say mode = \"specify\"")
		}
		return
	case agentconfig.Specify:
		if block.Value == "" {
			wrong(option+".value", "it is missing, and mode = \"specify\" needs it")
			return
		}
	case agentconfig.Keep:
		if block.Value == "" {
			return
		}
		if !c.generalizes() {
			wrong(option+".value", "without Sysprep the password stays as it is on the guest; drop the value, or say mode = \"specify\"")
			return
		}
	default:
		wrong(option+".mode", "%q is none of %s", block.Mode, quotedList([]string{string(agentconfig.Random), string(agentconfig.Specify), string(agentconfig.Keep)}))
		return
	}
	if err := agentconfig.CheckStrength(block.Value, "Administrator"); err != nil {
		wrong(option+".value", "%w", err)
	}
}

// texts are the options that may still hold Packer's placeholder.
func (a *AdministratorPasswordConfig) texts() []optionText {
	if a == nil {
		return nil
	}
	return []optionText{{"administrator_password.mode", a.Mode}, {"administrator_password.value", a.Value}}
}

// secrets are the values that no line may show.
func (a *AdministratorPasswordConfig) secrets() []string {
	if a == nil || a.Value == "" || !aws.Known(a.Value) {
		return nil
	}
	return []string{a.Value}
}

// checkPassword says early what the agent of the guest cannot do, and checks the
// password against the name that the administrator has there.
func (r *run) checkPassword(agent launchagent.Found) error {
	block := r.config.AdministratorPassword
	if block == nil {
		return nil
	}
	mode := agentconfig.Mode(block.Mode)
	if mode == agentconfig.Specify && !r.config.generalizes() && agent.ID() == (launchagent.EC2Config{}).ID() {
		return &image.Failure{
			Code: codePassword, Problem: "administrator_password: EC2Config sets a password that is specified only through Sysprep (nothing was changed on the guest)",
			Next: "set the password on the guest before this provisioner and say mode = \"keep\", or let Sysprep run",
		}
	}
	if block.Value == "" || r.facts.Administrator == "" {
		return nil
	}
	if err := agentconfig.CheckStrength(block.Value, r.facts.Administrator); err != nil {
		return &image.Failure{
			Code: codePassword, Problem: "administrator_password.value: " + err.Error() + " (nothing was changed on the guest)",
			Next: "choose another password",
		}
	}
	return nil
}

// withPassword returns the answer file with what administrator_password asks
// for: a password that is kept, in the place of the command that scrambles it,
// or one that EC2Config is to set. It returns nil when nothing has to change.
func (r *run) withPassword(agent launchagent.Found, file *answerfile.File) (*answerfile.File, error) {
	block := r.config.AdministratorPassword
	if block == nil {
		return nil, nil
	}
	var password string
	// As EC2Config's own dialog writes it, which EC2Config takes out again.
	plain := agent.ID() == (launchagent.EC2Config{}).ID()
	keep := agentconfig.Mode(block.Mode) == agentconfig.Keep
	switch {
	case keep:
		var err error
		if password, err = r.keptPassword(file); err != nil {
			return nil, err
		}
	case agentconfig.Mode(block.Mode) == agentconfig.Specify && plain:
		password = block.Value
	default:
		return nil, nil
	}
	changed, err := answerfile.Parse(file.Name(), file.Bytes())
	if err != nil {
		return nil, passwordFailure(err)
	}
	if keep {
		if _, err := changed.DropPasswordScramble(); err != nil {
			return nil, passwordFailure(err)
		}
	}
	if password != "" {
		if err := changed.Apply(answerfile.Settings{AdministratorPassword: &password, PlainTextPassword: plain}); err != nil {
			return nil, passwordFailure(err)
		}
	}
	return changed, nil
}

func passwordFailure(err error) error {
	return &image.Failure{
		Code: codePassword, Problem: "administrator_password cannot be written into the answer file (nothing was changed on the guest)", Cause: err,
		Next: "give an answer file of your own with answer_file_path",
	}
}

// keptPassword is the password that mode = "keep" keeps: the value, that of the
// user's own answer file (for which it returns nothing), or that of the build's
// connection, when it is the built-in administrator's.
func (r *run) keptPassword(file *answerfile.File) (string, error) {
	if value := r.config.AdministratorPassword.Value; value != "" {
		return value, nil
	}
	if r.config.answerFile != nil && file.SetsAdministratorPassword() {
		return "", nil
	}
	const next = "give administrator_password.value"
	refuse := func(format string, args ...any) error {
		return &image.Failure{
			Code:    codePassword,
			Problem: fmt.Sprintf("administrator_password: the password cannot be kept: Sysprep takes it away, the answer file has to give it back, and "+format+" (nothing was changed on the guest)", args...),
			Next:    next,
		}
	}
	// A domain's administrator is another account, whose password must not get
	// into an image.
	if r.facts.Identity.SID == "" || !strings.EqualFold(r.facts.Identity.SID, r.facts.AdministratorSID) {
		return "", refuse("nobody here knows it, because the connection's user %s is not the built-in administrator", r.facts.Identity.User)
	}
	password := r.config.WinRMPassword
	if r.config.WinRMHost == "" {
		password = firstOf(password, r.build.password())
	}
	if password == "" {
		return "", refuse("the connection has none (it uses a key)")
	}
	return password, nil
}
