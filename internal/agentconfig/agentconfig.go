// Package agentconfig knows the setting files of the launch agents: what an
// instance from the image will do at its first boot and later ones stands in
// them. It parses a file, checks it against the agent's own rules before the
// guest ever sees it, and edits it by settings; what is not edited stays as it
// is.
//
// EC2Launch v2 has agent-config.yml, in YAML or JSON. EC2Launch v1 has
// LaunchConfig.json, DriveLetterMappingConfig.json and EventLogConfig.json, and
// falls back to its defaults without a word when the first has any mistake.
// EC2Config has BundleConfig.xml, Config.xml, DriveLetterConfig.xml and
// EventLogConfig.xml. The rules come from the AWS user guide on each agent and
// from the files that the agents bring.
//
// Where the files lie on the guest is launchagent's knowledge, and what they
// mean for an instance forecast's.
package agentconfig

import "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"

// Finding is one thing that a check found in a file.
type Finding = finding.Finding

// Mode says what the launch agent makes of the built-in administrator's
// password at the first boot of an instance.
type Mode string

// The modes.
const (
	// Random: the agent makes a password up and shows it, encrypted with the
	// instance's key, to whoever asks EC2 for it.
	Random Mode = "random"
	// Specify: the agent sets the given password.
	Specify Mode = "specify"
	// Keep: the agent leaves the password alone.
	Keep Mode = "keep"
)

// Password is a mode with its password, which only Specify has.
type Password struct {
	Mode  Mode
	Value string
}

// DriveLetter gives a volume its letter.
type DriveLetter struct {
	// Volume is the volume's label.
	Volume string
	// Letter is one letter from D to Z, without a colon.
	Letter string
}

// Event selects events of Windows' event logs that the agent shows in the
// instance's console output.
type Event struct {
	// Log is the event log, such as "System".
	Log string
	// Source is the source of the events; empty for all.
	Source string
	// Level is "Error", "Warning" or "Information".
	Level string
	// Entries is how many of the newest are shown, 1 at least.
	Entries int
}
