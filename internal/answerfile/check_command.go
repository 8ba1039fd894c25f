package answerfile

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// What Windows allows (Unattended Windows Setup Reference): the Path of a
// RunSynchronousCommand, the CommandLine of a SynchronousCommand, in
// characters, and the number of an Order.
const (
	maxPath        = 259
	maxCommandLine = 1024
	maxOrder       = 500
)

// lists are the elements that hold commands: the items' name and the element
// of an item that holds the command, with its limit.
var lists = map[string]struct {
	item, command string
	limit         int
}{
	"RunSynchronous":     {"RunSynchronousCommand", "Path", maxPath},
	"RunAsynchronous":    {"RunAsynchronousCommand", "Path", maxPath},
	"FirstLogonCommands": {"SynchronousCommand", "CommandLine", maxCommandLine},
	"LogonCommands":      {"AsynchronousCommand", "CommandLine", maxCommandLine},
}

// checkCommands looks at every list of commands: lengths, orders, reboots. One
// command that is too long invalidates the whole pass (0x80220005).
func (c *checker) checkCommands() {
	c.eachComponent(func(_ string, component *xmltext.Element) {
		component.Walk(func(e *xmltext.Element) {
			l, ok := lists[e.Local]
			if !ok {
				return
			}
			orders := map[int]int{}
			for _, item := range all(e, l.item) {
				c.checkOrder(item, orders)
				c.checkCommand(item, l.command, l.limit)
			}
		})
	})
}

func (c *checker) checkCommand(item *xmltext.Element, local string, limit int) {
	e := child(item, local)
	switch {
	case e == nil:
		c.add(item.Start, finding.Error, "command-missing", "give it one or remove it", "<%s> has no <%s>", item.Name(), local)
		return
	case units(e.Text()) > limit:
		c.add(e.StartEnd, finding.Error, "command-length", "call a script file instead", "<%s> has %d characters, and Windows allows %d; the whole pass would be refused", e.Name(), units(e.Text()), limit)
	case strings.TrimSpace(e.Text()) == "":
		// EC2Launch v1 ships its first command empty and fills it in itself.
		severity, remedy := finding.Warning, "give it a command or remove it"
		if order := child(item, "Order"); order != nil && strings.TrimSpace(order.Text()) == "1" {
			severity, remedy = finding.Info, "nothing to do with EC2Launch v1, whose SysprepInstance.ps1 fills in the command of order 1"
		}
		c.add(e.Start, severity, "command-empty", remedy, "<%s> is empty", e.Name())
	}
	if r := child(item, "WillReboot"); r != nil {
		if err := checkReboot(strings.TrimSpace(r.Text())); err != nil {
			c.add(r.StartEnd, finding.Error, "value", "write Always, Never or OnRequest", "<%s>: %v", r.Name(), err)
		}
	}
}

func (c *checker) checkOrder(item *xmltext.Element, seen map[int]int) {
	e := child(item, "Order")
	if e == nil {
		c.add(item.Start, finding.Error, "command-order", "number the commands from 1", "<%s> has no <Order>", item.Name())
		return
	}
	n, err := strconv.Atoi(strings.TrimSpace(e.Text()))
	if err != nil || n < 1 || n > maxOrder {
		c.add(e.StartEnd, finding.Error, "command-order", "number the commands from 1", "<Order> is %q, not a number from 1 to %d", strings.TrimSpace(e.Text()), maxOrder)
		return
	}
	line, _ := c.doc.Position(item.Start)
	if first, twice := seen[n]; twice {
		c.add(e.StartEnd, finding.Error, "command-order", "number the commands one by one", "the order %d is taken by the command in line %d", n, first)
		return
	}
	seen[n] = line
}

var (
	// namedAdministrator finds commands that work only on an account of that
	// name: the agents' own steps of EC2Config and EC2Launch v2.
	namedAdministrator = regexp.MustCompile(`(?i)(\bnet1?(\.exe)?"?\s+user\s+|\brandomize-password\b.*--username[ =]|\bScramblePassword\.exe"?\s+-u\s+|\bRandomize-LocalAdminPassword\.ps1"?\s+)"?Administrator\b`)
	// passwordScramble finds the agents' steps that give the built-in
	// Administrator a random password in specialize.
	passwordScramble = regexp.MustCompile(`(?i)(\bRandomize-LocalAdminPassword\.ps1\b|\bEC2Launch\.exe"?\s+internal\s+randomize-password\b|\bScramblePassword\.exe\b)`)
	// accountStep finds the step that activates the account for good.
	accountStep = regexp.MustCompile(`(?i)\bnet1?(\.exe)?"?\s+user\s+\S+.*\s/ACTIVE:YES\b`)
	// rdpScript finds the agents' scripts that let RDP in again, rdpCommand a
	// command that does.
	rdpScript  = regexp.MustCompile(`(?i)\bSysprepSpecialize(Phase)?\.cmd\b`)
	rdpCommand = regexp.MustCompile(`(?i)\bfDenyTSConnections\b.*/d\s+"?0\b`)
)

// checkAdministrator looks for commands that name the built-in Administrator
// where the guest has renamed it.
func (c *checker) checkAdministrator() {
	name := c.opts.AdministratorName
	if name == "" || strings.EqualFold(name, "Administrator") {
		return
	}
	for _, e := range c.specializeCommands() {
		if namedAdministrator.MatchString(e.Text()) {
			c.add(e.StartEnd, finding.Error, "renamed-administrator", "name the account as the guest does, or rename it back", "the command is about an account Administrator, which the guest has renamed")
		}
	}
}

// specializeCommands are the Path elements of the commands of specialize.
func (f *File) specializeCommands() []*xmltext.Element {
	var out []*xmltext.Element
	for _, component := range f.components("specialize", deployment) {
		if list := child(component, "RunSynchronous"); list != nil {
			for _, item := range all(list, "RunSynchronousCommand") {
				if p := child(item, "Path"); p != nil {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// hasCommand says whether specialize runs a command of that kind.
func (f *File) hasCommand(kind *regexp.Regexp) bool {
	for _, e := range f.specializeCommands() {
		if kind.MatchString(e.Text()) {
			return true
		}
	}
	return false
}

// scrambles says whether specialize gives the Administrator a random password.
// EC2Launch v1 ships the command of order 1 empty and fills it in itself.
func (f *File) scrambles() bool {
	return f.hasCommand(passwordScramble) || len(f.emptyFirstCommand()) > 0
}

func (f *File) emptyFirstCommand() []*xmltext.Element {
	for _, e := range f.specializeCommands() {
		order := child(e.Parent, "Order")
		if strings.TrimSpace(e.Text()) == "" && order != nil && strings.TrimSpace(order.Text()) == "1" {
			return []*xmltext.Element{e}
		}
	}
	return nil
}

// OpensRDP says whether specialize lets remote desktop in again: itself, by a
// component or a command of its own, or by calling the agent's script, which
// then has to have the line that does.
func (f *File) OpensRDP() (itself, byScript bool) {
	v, ok := f.Lookup("specialize", localSession, "fDenyTSConnections")
	return ok && isFalse(v) || f.hasCommand(rdpCommand), f.hasCommand(rdpScript)
}

func (f *File) opensRDP() bool {
	itself, byScript := f.OpensRDP()
	return itself || byScript
}

// checkLost compares with the agent's own file. The agents' BeforeSysprep.cmd
// closes RDP for the time in which the Administrator has no password; what
// opens it again, and the password itself, stand in the answer file.
func (c *checker) checkLost() {
	shipped := c.opts.Shipped
	if shipped == nil {
		return
	}
	if shipped.opensRDP() && !c.opensRDP() {
		c.addMissing(finding.Warning, "rdp-lost", "add fDenyTSConnections=false for "+localSession+" to specialize, or call the agent's specialize script", "the agent's own file opens RDP again in specialize and this one does not; BeforeSysprep.cmd has closed it, so nobody will reach a clone by RDP")
	}
	if c.SetsAdministratorPassword() {
		return
	}
	if shipped.scrambles() && !c.scrambles() {
		c.addMissing(finding.Warning, "password-step-lost", "keep the agent's command, or give the Administrator a password in the answer file", "the agent's own file gives the Administrator a random password in specialize and this one does not; until the agent sets one the password is empty, or the account ends disabled")
	}
	if shipped.hasCommand(accountStep) && !c.hasCommand(accountStep) {
		c.addMissing(finding.Warning, "account-step-lost", "keep the agent's command: net user Administrator /ACTIVE:YES /LOGONPASSWORDCHG:NO /EXPIRES:NEVER /PASSWORDREQ:YES", "the agent's own file activates the Administrator in specialize and this one does not")
	}
}
