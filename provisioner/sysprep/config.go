// Package sysprep is the provisioner ec2-sysprep: it seals a customized Windows
// instance with Sysprep, through the instance's launch agent, proves that it is
// sealed, and shuts it down.
//
// Provision reads like AWS's procedure, step by step. What each step does is
// in the packages below: guest, preflight, launchagent, answerfile, batchfile,
// generalize, diagnosis. What it leaves for the post-processor is in handoff.
//
//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config,AnswerFileConfig,RunSynchronousConfig,ScriptConfig,PreflightConfig,AdministratorPasswordConfig,AgentConfig,EC2LaunchV2Config,TaskConfig,EC2LaunchV1Config,EC2ConfigConfig,DriveLetterConfig,EventLogConfig
package sysprep

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// Ways to the guest.
const (
	transportAuto         = "auto"
	transportWinRM        = "winrm"
	transportCommunicator = "communicator"
)

// Config is the options of the provisioner. None is required when the build's
// communicator is winrm.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	// The options for AWS are optional. When `region`, `profile`, credentials or
	// `ami_name` are given, EC2 is asked before anything is changed: whether the
	// name is free, CreateImage is allowed, and the instance is one that can become
	// an AMI.
	aws.AccessConfig `mapstructure:",squash"`

	// The host name or address of the guest's WinRM listener. Default: the
	// build's own host when its communicator is `winrm`. Required with
	// `communicator = "none"`.
	WinRMHost string `mapstructure:"winrm_host"`
	// The port of the listener. Default: the build's own port, or else `5986`, and
	// `5985` with `winrm_use_ssl = false`.
	WinRMPort int `mapstructure:"winrm_port"`
	// The user, an administrator, best the built-in one. Default: the build's own.
	WinRMUsername string `mapstructure:"winrm_username"`
	// The user's password. Default: the build's own. It is sent to the guest and
	// nowhere else, and never logged.
	WinRMPassword string `mapstructure:"winrm_password"`
	// Use HTTPS. Default: `true`, except on the build's own connection with
	// another port than 5986.
	WinRMUseSSL config.Trilean `mapstructure:"winrm_use_ssl"`
	// Accept any certificate at first sight, and only that one from then on.
	// Prefer `winrm_ca_file` or `winrm_certificate_sha256`. Default: `false`.
	WinRMInsecure bool `mapstructure:"winrm_insecure"`
	// A PEM file with the authorities that signed the listener's certificate.
	// Default: the system's authorities.
	WinRMCAFile string `mapstructure:"winrm_ca_file"`
	// The name that the certificate bears, when it is not `winrm_host`.
	WinRMServerName string `mapstructure:"winrm_server_name"`
	// The SHA-256 of the listener's own certificate, 64 hexadecimal digits with or
	// without colons. It replaces the check of authority and name.
	WinRMCertificateSHA256 string `mapstructure:"winrm_certificate_sha256"`
	// Authenticate with NTLM instead of Basic, so that the password does not cross
	// the network. It triples the requests. Default: `false`.
	WinRMUseNTLM bool `mapstructure:"winrm_use_ntlm"`
	// Do not use the proxy of the environment. Private addresses never go through
	// one. Default: `false`.
	WinRMNoProxy bool `mapstructure:"winrm_no_proxy"`
	// The way to the guest: `winrm` is a connection of the provisioner's own,
	// `communicator` goes through Packer's, and `auto` takes WinRM where it can,
	// and Packer's for `ssh`. Default: `auto`.
	Transport string `mapstructure:"transport"`
	// How long a guest that does not answer is waited for. A wrong password and a
	// certificate that is not trusted are reported at once, a closed port after
	// some seconds. Default: `5m`.
	ConnectTimeout time.Duration `mapstructure:"connect_timeout"`
	// How long a guest that was lost is looked for. Default: `2m`.
	ReconnectTimeout time.Duration `mapstructure:"reconnect_timeout"`

	// The instance's id. Default: what the guest's instance metadata says. When
	// both are known they must be the same.
	InstanceID string `mapstructure:"instance_id"`
	// The name that the AMI will get, to check before anything is changed that it
	// is free. Give the post-processor the same. Default: not checked.
	AMIName string `mapstructure:"ami_name"`

	// The launch agent: `auto`, `ec2launch-v2`, `ec2launch-v1` or `ec2config`.
	// Default: `auto`, the newest that is installed.
	Agent string `mapstructure:"agent"`
	// What is done to the guest: `sysprep` generalizes it, so that each instance
	// from the image becomes a computer of its own. `shutdown` is the "Shutdown
	// without Sysprep" of the agents' own dialogs: the launch agent is only told to
	// set up the instances from the image anew, with their password, user data and
	// routes, and every one of them keeps this machine's SID and name. The
	// post-processor takes such a guest only with `generalized = false`.
	// Default: `sysprep`.
	Action string `mapstructure:"action"`
	// How long a launch agent is waited for that is still setting the instance up
	// when the provisioner comes: Sysprep cannot run before. Default: `10m`.
	AgentTimeout time.Duration `mapstructure:"agent_timeout"`
	// Who shuts the guest down: `sealed` shuts it down only after the seal has been
	// seen, so that a guest that stopped is one that is sealed; `agent` lets the
	// launch agent do it, which may cut the sealer off before it has tidied up, and
	// which is not possible with `action = "shutdown"`;
	// `none` leaves the sealed guest up for the builder to stop.
	// Default: `sealed`.
	Shutdown string `mapstructure:"shutdown"`
	// A local answer file (unattend.xml) that replaces the agent's. It is checked by
	// `packer validate`, with line and column. Default: the agent's own is used.
	AnswerFilePath string `mapstructure:"answer_file_path"`
	// The text of an answer file, instead of `answer_file_path`; the template
	// functions of HCL work in it.
	AnswerFileContent string `mapstructure:"answer_file_content"`
	// Changes single settings of the answer file: of the agent's own one, or of the
	// one in `answer_file_path` or `answer_file_content`. Everything else in the file
	// stays as it is, byte for byte. Default: nothing is changed.
	AnswerFile *AnswerFileConfig `mapstructure:"answer_file"`
	// Which password the built-in administrator of an instance from the image has.
	// Default: the agent's own settings decide; AWS's files make a random one up.
	AdministratorPassword *AdministratorPasswordConfig `mapstructure:"administrator_password"`
	// Changes the settings of the launch agent, by which it sets each instance from the
	// image up. They are checked against the agent's rules before they are sent to the
	// guest. Default: they stay as they are.
	AgentConfig *AgentConfig `mapstructure:"agent_config"`
	// What runs on the guest just before Sysprep, as the connecting administrator:
	// the agent's BeforeSysprep.cmd. Default: it stays as it is.
	BeforeSysprep *ScriptConfig `mapstructure:"before_sysprep"`
	// What runs on each instance from the image in the specialize pass, as SYSTEM:
	// SysprepSpecialize.cmd of EC2Launch v1, or SysprepSpecializePhase.cmd of
	// EC2Config. EC2Launch v2 has no such script; use `run_synchronous` in
	// `answer_file`. Default: it stays as it is.
	SysprepSpecialize *ScriptConfig `mapstructure:"sysprep_specialize"`
	// What runs on each instance from the image at the end of Windows Setup, as
	// SYSTEM: `%windir%\Setup\Scripts\SetupComplete.cmd`, with every agent. Default:
	// it stays as it is.
	SetupComplete *ScriptConfig `mapstructure:"setup_complete"`
	// EC2Config's PostSysprep.cmd, which its SetupComplete.cmd calls. The other
	// agents have no such script; use `setup_complete`. Default: it stays as it is.
	PostSysprep *ScriptConfig `mapstructure:"post_sysprep"`
	// Close WinRM in the image: SetupComplete.cmd deletes the listeners and disables
	// the service at the first start of each instance. The build's own connection is
	// not touched. User data may open WinRM again. Default: `false`.
	CloseWinRM bool `mapstructure:"close_winrm"`
	// Show how the answer file and the scripts differ from those on the guest before
	// they are staged. Passwords and product keys are not shown. Default: `false`.
	ShowChanges bool `mapstructure:"show_changes"`
	// Look at the guest and check everything, then say what would be done, and do
	// none of it: nothing on the guest is changed, nothing is sealed, and the
	// post-processor makes no AMI. It is for the `null` builder; with any other one the
	// build ends with an error, because that builder would make an AMI of a guest
	// that is not sealed. Default: `false`.
	DryRun bool `mapstructure:"dry_run"`
	// Changes what is checked before anything is changed.
	Preflight *PreflightConfig `mapstructure:"preflight"`

	// The limit for Sysprep, from its start to the verdict. Default: `60m`.
	SysprepTimeout time.Duration `mapstructure:"sysprep_timeout"`
	// How long Sysprep may go on without any sign of life. Default: `15m`.
	StallTimeout time.Duration `mapstructure:"stall_timeout"`
	// The limit for the shutdown of the sealed guest. Default: `10m`.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`

	// A local folder that gets the guest's logs when Sysprep fails. It is made when
	// it is missing. Default: `ec2-sysprep-logs` in the current folder.
	LogDir string `mapstructure:"log_dir"`
	// Another place for the record that the post-processor reads; give it the same.
	// It is needed when the post-processor runs in another `packer build`. Default:
	// Packer's cache folder alone.
	RecordPath string `mapstructure:"record_path"`

	ctx interpolate.Context
	// answerFile is the checked answer file of the user's, nil without one.
	answerFile *answerfile.File
	// scripts are the user's own scripts by their blocks, ready for the guest.
	scripts map[string][]byte
	// settingFiles are the user's own setting files of the agents, checked.
	settingFiles map[string][]byte
	warnings     []string
	guards       bool
	hide         func(...string)
}

// PreflightConfig changes the checks before anything is changed.
type PreflightConfig struct {
	// IDs of rules, such as `ES-110`, whose findings are shown as warnings and do
	// not end the build. Default: none.
	Ignore []string `mapstructure:"ignore"`
}

// prepare decodes the options, puts in the defaults and returns everything
// that is wrong.
func (c *Config) prepare(raws ...any) error {
	// Decoding empties everything.
	guards, hide := c.guards, c.hide
	err := config.Decode(c, &config.DecodeOpts{
		PluginType:         "packer.provisioner.ec2-sysprep",
		Interpolate:        true,
		InterpolateContext: &c.ctx,
	}, raws...)
	if err != nil {
		return err
	}
	c.guards, c.hide = guards, hide
	if hide != nil {
		hide(c.secrets()...)
	}

	var errs []error
	wrong := func(option, format string, args ...any) {
		errs = append(errs, fmt.Errorf(option+": "+format, args...))
	}
	setDefault(&c.Transport, transportAuto)
	setDefault(&c.Agent, "auto")
	setDefault(&c.Action, string(launchagent.ActionSysprep))
	setDefault(&c.Shutdown, string(launchagent.ShutdownSealed))
	setDefault(&c.LogDir, "ec2-sysprep-logs")
	if c.Preflight == nil {
		c.Preflight = &PreflightConfig{}
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"connect_timeout", &c.ConnectTimeout, 5 * time.Minute},
		{"reconnect_timeout", &c.ReconnectTimeout, 2 * time.Minute},
		{"agent_timeout", &c.AgentTimeout, 10 * time.Minute},
		{"sysprep_timeout", &c.SysprepTimeout, 60 * time.Minute},
		{"stall_timeout", &c.StallTimeout, 15 * time.Minute},
		{"shutdown_timeout", &c.ShutdownTimeout, 10 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < time.Second {
			wrong(d.name, "%s is too short; give a second at least, such as \"%s\"", *d.value, d.def)
		}
	}
	if c.StallTimeout > c.SysprepTimeout {
		c.StallTimeout = c.SysprepTimeout
	}

	c.checkConnection(wrong)
	c.checkJob(wrong)
	errs = append(errs, c.AccessConfig.Prepare()...)
	c.loadAnswerFile(wrong)
	c.loadScripts(wrong)
	c.checkAdministratorPassword(wrong)
	c.loadAgentConfig(wrong)
	if len(errs) == 0 {
		return nil
	}
	return packersdk.MultiErrorAppend(nil, errs...)
}

func setDefault(value *string, def string) {
	if *value == "" {
		*value = def
	}
}

type wrongFunc func(option, format string, args ...any)

func (c *Config) checkConnection(wrong wrongFunc) {
	own := c.WinRMHost != ""
	switch c.Transport {
	case transportAuto, transportWinRM:
	case transportCommunicator:
		if own {
			wrong("transport", "%q goes through Packer's communicator, and winrm_host is for a connection of the provisioner's own; drop one of them", c.Transport)
		}
	default:
		wrong("transport", "%q is none of \"auto\", \"winrm\" and \"communicator\"", c.Transport)
	}
	if own {
		if c.WinRMUsername == "" {
			wrong("winrm_username", "it is missing beside winrm_host")
		}
		if c.WinRMPassword == "" {
			wrong("winrm_password", "it is missing beside winrm_host")
		}
	}
	if c.WinRMPort < 0 || c.WinRMPort > 65535 {
		wrong("winrm_port", "%d is no port", c.WinRMPort)
	}
	if c.WinRMUseSSL.False() {
		for _, option := range []struct {
			name string
			set  bool
		}{
			{"winrm_insecure", c.WinRMInsecure},
			{"winrm_ca_file", c.WinRMCAFile != ""},
			{"winrm_server_name", c.WinRMServerName != ""},
			{"winrm_certificate_sha256", c.WinRMCertificateSHA256 != ""},
		} {
			if option.set {
				wrong(option.name, "it is about HTTPS, and winrm_use_ssl is false; drop one of them")
			}
		}
	}
	if c.WinRMInsecure && (c.WinRMCAFile != "" || c.WinRMCertificateSHA256 != "") {
		wrong("winrm_insecure", "it accepts any certificate, and winrm_ca_file or winrm_certificate_sha256 says which; drop one of them")
	}
	if aws.Known(c.WinRMCAFile) && c.WinRMCAFile != "" {
		if _, err := os.Stat(c.WinRMCAFile); err != nil {
			wrong("winrm_ca_file", "%w", err)
		}
	}
	if pin := strings.ReplaceAll(c.WinRMCertificateSHA256, ":", ""); pin != "" && aws.Known(pin) {
		if len(pin) != 64 || strings.Trim(strings.ToLower(pin), "0123456789abcdef") != "" {
			wrong("winrm_certificate_sha256", "it has to be 64 hexadecimal digits, with or without colons")
		}
	}
}

func (c *Config) checkJob(wrong wrongFunc) {
	if c.Agent != "auto" {
		if _, ok := launchagent.ByID(c.Agent); !ok {
			wrong("agent", "%q is none of \"auto\", %s", c.Agent, quotedList(launchagent.IDs()))
		}
	}
	c.checkAction(wrong)
	ways := []string{string(launchagent.ShutdownSealed), string(launchagent.ShutdownAgent), string(launchagent.ShutdownNone)}
	if !slices.Contains(ways, c.Shutdown) {
		wrong("shutdown", "%q is none of %s", c.Shutdown, quotedList(ways))
	}
	if aws.Known(c.InstanceID) && c.InstanceID != "" && !strings.HasPrefix(c.InstanceID, "i-") {
		wrong("instance_id", "%q is no instance id; one looks like i-0123456789abcdef0", c.InstanceID)
	}
	if aws.Known(c.AMIName) && c.AMIName != "" && (len(c.AMIName) < 3 || len(c.AMIName) > 128) {
		wrong("ami_name", "%q has %d characters; EC2 takes 3 to 128", c.AMIName, len(c.AMIName))
	}
	for _, id := range c.Preflight.Ignore {
		if !slices.Contains(preflight.IDs(), strings.ToUpper(id)) {
			wrong("preflight.ignore", "%q is no rule; the rules are %s", id, strings.Join(preflight.IDs(), ", "))
		}
	}
}

func quotedList(words []string) string { return `"` + strings.Join(words, `", "`) + `"` }

// each are the single errors of a joined one.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// secrets are the values that no line may show.
func (c *Config) secrets() []string {
	secrets := c.AccessConfig.Secrets()
	if c.WinRMPassword != "" && aws.Known(c.WinRMPassword) {
		secrets = append(secrets, c.WinRMPassword)
	}
	secrets = append(secrets, c.AdministratorPassword.secrets()...)
	return append(secrets, c.AnswerFile.secrets()...)
}

// asksEC2 says that the options want EC2 to be asked.
func (c *Config) asksEC2() bool {
	return c.Region != "" || c.Profile != "" || c.AccessKey != "" || c.AMIName != "" ||
		len(c.AssumeRole) > 0 || c.AssumeRoleWithWebIdentity != nil || c.CustomEndpointEc2 != ""
}

// unknowns are the options that still hold Packer's placeholder when the
// provisioner runs.
func (c *Config) unknowns() error {
	var errs []error
	options := []optionText{
		{"winrm_host", c.WinRMHost},
		{"winrm_username", c.WinRMUsername},
		{"winrm_password", c.WinRMPassword},
		{"winrm_ca_file", c.WinRMCAFile},
		{"winrm_server_name", c.WinRMServerName},
		{"winrm_certificate_sha256", c.WinRMCertificateSHA256},
		{"region", c.Region},
		{"profile", c.Profile},
		{"instance_id", c.InstanceID},
		{"ami_name", c.AMIName},
		{"answer_file_path", c.AnswerFilePath},
		{"answer_file_content", c.AnswerFileContent},
		{"record_path", c.RecordPath},
		{"log_dir", c.LogDir},
	}
	options = append(options, c.AnswerFile.texts()...)
	options = append(options, c.scriptTexts()...)
	options = append(options, c.AdministratorPassword.texts()...)
	options = append(options, c.agentConfigTexts()...)
	for _, option := range options {
		if !aws.Known(option.value) {
			errs = append(errs, fmt.Errorf("%s: its value is still %s: this builder does not say what build.… was asked for; use a variable or a local value instead", option.name, aws.Unknown))
		}
	}
	return errors.Join(errs...)
}

// store is where this build's record lies.
func (c *Config) store() (handoff.Store, error) {
	return handoff.StoreOf(c.RecordPath, c.PackerBuilderType, c.PackerBuildName)
}

// options are the connection's, from the options or from the build's own.
func (c *Config) connection(build buildData) (direct.Options, error) {
	o := direct.Options{
		Host: c.WinRMHost, Port: c.WinRMPort, Username: c.WinRMUsername, Password: c.WinRMPassword,
		Insecure: c.WinRMInsecure, CAFile: c.WinRMCAFile, ServerName: c.WinRMServerName,
		CertificateSHA256: c.WinRMCertificateSHA256, UseNTLM: c.WinRMUseNTLM, NoProxy: c.WinRMNoProxy,
	}
	if o.Host == "" {
		if build.ConnType != "winrm" || build.Host == "" {
			return direct.Options{}, errors.New("there is no WinRM connection: the build has none, and winrm_host, winrm_username and winrm_password are not given")
		}
		o.Host = build.Host
		if o.Port == 0 {
			o.Port = build.Port
		}
		o.UseSSL = o.Port == 5986
	} else {
		o.UseSSL = o.Port != 5985
	}
	if o.Username == "" {
		o.Username = build.User
	}
	if o.Password == "" {
		o.Password = build.password()
	}
	switch {
	case c.WinRMUseSSL.True():
		o.UseSSL = true
	case c.WinRMUseSSL.False():
		o.UseSSL = false
	}
	return o, nil
}
