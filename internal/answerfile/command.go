package answerfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
		item := e.parent
		read := func(local string) string {
			if c := item.child(local); c != nil {
				return strings.TrimSpace(c.text())
			}
			return ""
		}
		order, err := strconv.Atoi(read("Order"))
		if err != nil {
			order = 0
		}
		out = append(out, Command{Order: order, Description: read("Description"), Path: strings.TrimSpace(e.text()), WillReboot: Reboot(read("WillReboot"))})
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
	item := fragment{name: "RunSynchronousCommand", action: true}
	if c.Description != "" {
		item.children = append(item.children, fragment{name: "Description", value: c.Description})
	}
	item.children = append(item.children, fragment{name: "Order", value: strconv.Itoa(c.Order)}, fragment{name: "Path", value: c.Path})
	if c.WillReboot != "" {
		item.children = append(item.children, fragment{name: "WillReboot", value: string(c.WillReboot)})
	}
	return f.insert(list, item)
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
			if passwordScramble.MatchString(e.text()) {
				victims = append(victims, e)
			}
		}
		if len(victims) == 0 {
			return dropped, nil
		}
		victim := victims[0]
		dropped = append(dropped, Command{Order: orderOf(victim), Path: strings.TrimSpace(victim.text())})
		if err := f.remove(victim.parent); err != nil {
			return dropped, err
		}
	}
}

func orderOf(path *element) int {
	o := path.parent.child("Order")
	if o == nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(o.text()))
	if err != nil {
		return 0
	}
	return n
}

// ScramblesPassword says whether specialize gives the built-in Administrator a
// random password, as the files of all three agents do.
func (f *File) ScramblesPassword() bool { return f.scrambles() }
