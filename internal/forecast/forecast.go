// Package forecast foretells what an instance from an image does at its first
// boot: which password the administrator has and who can learn it, whether user
// data runs, what the instance is called, and whether remote desktop and WinRM
// let anybody in. Those who make an image find that out hours later otherwise,
// in front of an instance that nobody can enter.
//
// Facts about the image go in, a sentence for each subject comes out. The facts
// come from the files as they will be in the image; nothing is asked here. What
// the agents do follows AWS's user guide on each of them, and what Windows Setup
// does Microsoft's reference of the answer file. It has not been checked against
// instances on EC2.
package forecast

import (
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
)

// Image is what is known of an image before it is made.
type Image struct {
	// Agent is what the launch agent will do.
	Agent Agent
	// Setup is what Windows Setup will do; nil for an image that is not
	// generalized, whose instances do not run it.
	Setup *Setup
	// Computer is the name that the machine has now.
	Computer string
	// DenyRDP says that the machine refuses remote desktop now.
	DenyRDP bool
	// WinRM are the transports of WinRM's listeners, such as "HTTP on 5985".
	WinRM []string
	// WinRMUnknown says that nobody could tell whether there are listeners.
	WinRMUnknown bool
}

// Agent is what a launch agent does at the first boot, by its settings.
type Agent struct {
	// Title is the agent's name for people.
	Title string
	// Password is what it does to the administrator's password; empty when its
	// settings do not say anything about it, which leaves the password alone.
	Password agentconfig.Mode
	// By names the setting behind Password: "setAdminAccount".
	By string
	// UserData says that it runs user data, UserDataBy names the setting.
	UserData   bool
	UserDataBy string
	// Names says that it names the instance: Name, or after its private address
	// when that is empty. Restarts says that it restarts it for that.
	Names    bool
	Name     string
	Restarts bool
	// Invalid says that its settings cannot be read, with what it does then.
	Invalid string
}

// Setup is what Windows Setup does, by the answer file and the scripts around it.
type Setup struct {
	// Password says that the answer file gives the administrator a password.
	Password bool
	// Scrambles says that a command of the specialize pass gives the
	// administrator a password that nobody knows.
	Scrambles bool
	// ComputerName is the name that the answer file gives; "*" and nothing let
	// Windows make one up.
	ComputerName string
	// ClosesRDP says that a script refuses remote desktop before Sysprep, OpensRDP
	// that the specialize pass allows it again.
	ClosesRDP, OpensRDP bool
	// ClosesWinRM says that SetupComplete.cmd closes WinRM.
	ClosesWinRM bool
}

// Fate is what becomes of the administrator's password.
type Fate string

// The fates.
const (
	// Retrievable: a random one, which EC2 shows to the owner of the key pair.
	Retrievable Fate = "retrievable"
	// Given: the one that was specified for the agent.
	Given Fate = "given"
	// FromAnswerFile: the one in the answer file.
	FromAnswerFile Fate = "answer-file"
	// Unknown: nobody can tell, because the agent's settings cannot be read.
	Unknown Fate = "unknown"
	// Disabled: none that anybody could know; the account ends disabled.
	Disabled Fate = "disabled"
	// Unchanged: the one that the machine has now.
	Unchanged Fate = "unchanged"
)

// Forecast is what an instance from the image will do.
type Forecast struct {
	Password Fate
	// UserData says that user data runs at the first boot.
	UserData bool
	// ComputerName is the instance's name; empty when it is one of its own.
	ComputerName string
	// RDP says that remote desktop lets users in once Windows is ready.
	RDP bool
	// WinRM says that WinRM listens.
	WinRM bool

	lines []Line
}

// Line is a sentence about one subject.
type Line struct {
	// Subject is "password", "user data", "host name", "remote desktop" or "WinRM".
	Subject string
	Text    string
	// Warning says that it is hardly what anybody wants.
	Warning bool
}

// String is the line as the user reads it.
func (l Line) String() string { return l.Subject + ": " + l.Text }

// Lines are the forecast in words, a line for each subject.
func (f Forecast) Lines() []Line { return slices.Clone(f.lines) }

func (f *Forecast) say(subject string, warning bool, format string, args ...any) {
	f.lines = append(f.lines, Line{Subject: subject, Text: fmt.Sprintf(format, args...), Warning: warning})
}

// Of foretells what an instance from the image does at its first boot.
func Of(image Image) Forecast {
	var f Forecast
	f.password(image)
	f.userData(image)
	f.hostName(image)
	f.remoteDesktop(image)
	f.winRM(image)
	return f
}

func (f *Forecast) password(image Image) {
	const subject = "password"
	agent := image.Agent
	switch {
	case agent.Invalid != "":
		f.Password = Unknown
		f.say(subject, true, "%s cannot read its settings: %s", agent.Title, agent.Invalid)
	case agent.Password == agentconfig.Random:
		f.Password = Retrievable
		f.say(subject, false, "%s makes a random one up (%s); EC2 shows it to the owner of the instance's key pair (aws ec2 get-password-data)", agent.Title, agent.By)
	case agent.Password == agentconfig.Specify:
		f.Password = Given
		f.say(subject, false, "%s sets the one that was specified (%s); until then it lies readable in the image, so do not share it", agent.Title, agent.By)
	case image.Setup == nil:
		f.Password = Unchanged
		f.say(subject, false, "it stays as it is on this machine, on every instance; EC2 cannot show it")
	case image.Setup.Password:
		f.Password = FromAnswerFile
		f.say(subject, false, "Windows Setup sets the one in the answer file, the same on every instance, and %s leaves it alone; EC2 cannot show it, and it lies readable in the image, so do not share it", agent.Title)
	default:
		// A password that is scrambled is no better than none: AWS's documents say of
		// both that the account ends disabled.
		f.Password = Disabled
		how := "the answer file gives it no password"
		if image.Setup.Scrambles {
			how = "the answer file's command scrambles its password"
		}
		f.say(subject, true, "the administrator's account ends DISABLED: %s, and %s sets no other; let administrator_password say what it is to be", how, agent.Title)
	}
}

func (f *Forecast) userData(image Image) {
	const subject = "user data"
	f.UserData = image.Agent.UserData
	if f.UserData {
		f.say(subject, false, "%s runs it at the first boot%s", image.Agent.Title, by(image.Agent.UserDataBy))
		return
	}
	f.say(subject, false, "%s does NOT run it%s", image.Agent.Title, by(image.Agent.UserDataBy))
}

func by(setting string) string {
	if setting == "" {
		return ""
	}
	return " (" + setting + ")"
}

func (f *Forecast) hostName(image Image) {
	const subject = "host name"
	restart := ""
	if image.Agent.Restarts {
		restart = " and restarts the instance once for it"
	}
	switch {
	case image.Agent.Names && image.Agent.Name != "":
		f.ComputerName = image.Agent.Name
		f.say(subject, true, "%s calls every instance %s%s: two of them in one network are in each other's way", image.Agent.Title, image.Agent.Name, restart)
	case image.Agent.Names:
		f.say(subject, false, "%s names each instance after its private address%s", image.Agent.Title, restart)
	case image.Setup == nil:
		f.ComputerName = image.Computer
		f.say(subject, true, "every instance is called %s as this machine is, with the same SID: two of them in one network or domain are in each other's way", image.Computer)
	case image.Setup.ComputerName != "" && image.Setup.ComputerName != "*":
		f.ComputerName = image.Setup.ComputerName
		f.say(subject, true, "the answer file calls every instance %s: two of them in one network are in each other's way", image.Setup.ComputerName)
	default:
		f.say(subject, false, "Windows makes up a name for each instance")
	}
}

func (f *Forecast) remoteDesktop(image Image) {
	const subject = "remote desktop"
	denied := image.DenyRDP
	if image.Setup != nil {
		switch {
		case image.Setup.OpensRDP:
			denied = false
		case image.Setup.ClosesRDP:
			denied = true
		}
	}
	f.RDP = !denied
	switch {
	case f.RDP && image.Setup != nil && image.Setup.ClosesRDP:
		f.say(subject, false, "it is refused until the specialize pass opens it again, when the administrator has a password")
	case f.RDP && image.Setup != nil:
		f.say(subject, true, "it is open from the start, also in the first moments, when the administrator has no password: no script closes it before Sysprep")
	case f.RDP:
		f.say(subject, false, "it is open, as on this machine")
	case image.Setup != nil && image.Setup.ClosesRDP:
		f.say(subject, true, "it stays REFUSED: a script closes it before Sysprep and nothing opens it again")
	default:
		f.say(subject, false, "it stays refused, as on this machine")
	}
}

func (f *Forecast) winRM(image Image) {
	const subject = "WinRM"
	switch {
	case image.Setup != nil && image.Setup.ClosesWinRM:
		f.say(subject, false, "SetupComplete.cmd closes it at the first boot; user data may open it again")
	case image.WinRMUnknown:
		f.say(subject, false, "nobody could tell whether it listens")
	case len(image.WinRM) == 0:
		f.say(subject, false, "it does not listen, as on this machine")
	default:
		f.WinRM = true
		text := "it goes on listening (" + strings.Join(image.WinRM, ", ") + "); close_winrm = true closes it in the image"
		if image.Setup != nil && slices.ContainsFunc(image.WinRM, func(transport string) bool { return strings.HasPrefix(transport, "HTTPS") }) {
			text += "; the certificate of its HTTPS listener is this machine's, and generalize may take it away"
		}
		f.say(subject, false, "%s", text)
	}
}
