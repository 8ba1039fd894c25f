package answerfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// Reboot says what Windows does after a RunSynchronous command.
type Reboot string

// The reboot policies. The empty one writes no WillReboot element, and Windows
// then goes by the exit code: 1 reboots and goes on, 2 reboots and runs the
// command again, anything else goes on (Unattended Windows Setup Reference).
const (
	RebootAlways    Reboot = "Always"
	RebootNever     Reboot = "Never"
	RebootOnRequest Reboot = "OnRequest"
)

// Command is a command that specialize runs, one after the other, as SYSTEM.
type Command struct {
	// Order is when it runs, from 1; 0 means after all others.
	Order int
	// Description is for the reader; it may be empty.
	Description string
	// Path is the command line, at most 259 characters.
	Path string
	// WillReboot is the reboot policy; empty for none.
	WillReboot Reboot
}

func (c Command) validate() error {
	switch {
	case strings.TrimSpace(c.Path) == "":
		return errors.New("the command is empty")
	case units(c.Path) > maxPath:
		return fmt.Errorf("the command has %d characters, and Windows allows %d; call a script file instead", units(c.Path), maxPath)
	case c.Order < 0 || c.Order > maxOrder:
		return fmt.Errorf("the order %d is not between 1 and %d", c.Order, maxOrder)
	case units(c.Description) > 256:
		return fmt.Errorf("the description has %d characters, and Windows allows 256", units(c.Description))
	}
	if c.WillReboot != "" {
		if err := checkReboot(string(c.WillReboot)); err != nil {
			return err
		}
	}
	return errors.Join(checkCharacters(c.Path), checkCharacters(c.Description))
}

func checkReboot(v string) error {
	return oneOf(string(RebootAlways), string(RebootNever), string(RebootOnRequest))(v)
}

// RunSynchronous lists the commands of specialize in the order in which
// Windows runs them.
func (f *File) RunSynchronous() []Command {
	var out []Command
	for _, e := range f.specializeCommands() {
		item := e.Parent
		read := func(local string) string {
			if c := child(item, local); c != nil {
				return strings.TrimSpace(c.Text())
			}
			return ""
		}
		order, err := strconv.Atoi(read("Order"))
		if err != nil {
			order = 0
		}
		out = append(out, Command{Order: order, Description: read("Description"), Path: strings.TrimSpace(e.Text()), WillReboot: Reboot(read("WillReboot"))})
	}
	slices.SortStableFunc(out, func(a, b Command) int { return a.Order - b.Order })
	return out
}

// addCommand adds a command to the list of specialize.
func (f *File) addCommand(c Command) error {
	last := 0
	for _, have := range f.RunSynchronous() {
		last = max(last, have.Order)
		if c.Order != 0 && have.Order == c.Order {
			return fmt.Errorf("the order %d is taken already", c.Order)
		}
	}
	if c.Order == 0 {
		c.Order = last + 1
	}
	if c.Order > maxOrder {
		return fmt.Errorf("the order %d is above %d", c.Order, maxOrder)
	}
	list, err := f.ensure("specialize", deployment, "RunSynchronous")
	if err != nil {
		return err
	}
	item := xmltext.Fragment{Name: "RunSynchronousCommand", Attributes: listItem(list)}
	if c.Description != "" {
		item.Children = append(item.Children, xmltext.Fragment{Name: "Description", Value: c.Description})
	}
	item.Children = append(item.Children, xmltext.Fragment{Name: "Order", Value: strconv.Itoa(c.Order)}, xmltext.Fragment{Name: "Path", Value: c.Path})
	if c.WillReboot != "" {
		item.Children = append(item.Children, xmltext.Fragment{Name: "WillReboot", Value: string(c.WillReboot)})
	}
	return f.doc.Append(list, item)
}

// DropPasswordScramble removes the commands by which the agents give the
// built-in Administrator a random password in specialize, so that a password
// given in the answer file stays. It returns the commands that it removed. The
// other commands keep their order; Windows does not mind gaps.
func (f *File) DropPasswordScramble() ([]Command, error) {
	var dropped []Command
	for {
		victims := f.emptyFirstCommand()
		for _, e := range f.specializeCommands() {
			if passwordScramble.MatchString(e.Text()) {
				victims = append(victims, e)
			}
		}
		if len(victims) == 0 {
			return dropped, nil
		}
		victim := victims[0]
		dropped = append(dropped, Command{Order: orderOf(victim), Path: strings.TrimSpace(victim.Text())})
		if err := f.doc.Remove(victim.Parent); err != nil {
			return dropped, err
		}
	}
}

func orderOf(path *xmltext.Element) int {
	o := child(path.Parent, "Order")
	if o == nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(o.Text()))
	if err != nil {
		return 0
	}
	return n
}

// ScramblesPassword says whether specialize gives the built-in Administrator a
// random password, as the files of all three agents do.
func (f *File) ScramblesPassword() bool { return f.scrambles() }
