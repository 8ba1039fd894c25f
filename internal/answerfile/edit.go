package answerfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotAnswerFile is the cause when a file cannot be edited because its root
// element is not that of an answer file.
var ErrNotAnswerFile = errors.New("the root element is not <unattend> in the namespace " + Namespace)

// Apply carries the settings out. All values are checked first (see Validate).
// A value that the file has already is left as it is written. After an error
// the file is as it was before.
func (f *File) Apply(s Settings) error {
	if errs := s.Validate(); len(errs) > 0 {
		return fmt.Errorf("%s: %w", f.name, errors.Join(errs...))
	}
	before := *f
	if err := f.apply(s); err != nil {
		*f = before
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

func (f *File) apply(s Settings) error {
	if f.root.local != "unattend" || f.root.space != Namespace {
		return ErrNotAnswerFile
	}
	for _, row := range settings {
		v, ok := row.get(&s)
		if !ok {
			continue
		}
		for _, p := range f.placesOf(row) {
			if err := f.set(p, v); err != nil {
				return fmt.Errorf("setting %s: %w", row.option, err)
			}
		}
	}
	if s.AdministratorPassword != nil {
		if err := f.setAdministratorPassword(*s.AdministratorPassword); err != nil {
			return fmt.Errorf("setting administrator_password: %w", err)
		}
	}
	for i, c := range s.RunSynchronous {
		if err := f.addCommand(c); err != nil {
			return fmt.Errorf("adding the command %d of run_synchronous: %w", i+1, err)
		}
	}
	return nil
}

// StripPassProcessed removes the attribute wasPassProcessed, by which Windows
// marks the passes in its own copy of an answer file, and says from how many
// passes.
func (f *File) StripPassProcessed() (int, error) {
	n := 0
	for {
		i := slices.IndexFunc(f.root.children, func(e *element) bool {
			_, ok := e.attr("wasPassProcessed")
			return ok && e.local == "settings"
		})
		if i < 0 {
			return n, nil
		}
		a, _ := f.root.children[i].attr("wasPassProcessed")
		start := len(strings.TrimRight(f.text[:a.start], " \t\r\n"))
		if err := f.splice(start, a.end, ""); err != nil {
			return n, err
		}
		n++
	}
}

// placesOf is where a setting is to be written: wherever the file has it, or
// else the first place of the table.
func (f *File) placesOf(row setting) []place {
	var have []place
	for _, p := range row.places {
		if f.component(p.pass, p.component).descend(p.path...) != nil {
			have = append(have, p)
		}
	}
	if len(have) == 0 {
		return row.places[:1]
	}
	return have
}

// set gives a setting its value, adding what is missing on the way.
func (f *File) set(p place, value string) error {
	e, err := f.find(p)
	if err != nil {
		return err
	}
	if e == nil {
		parent, err := f.ensure(p.pass, p.component, p.path[:len(p.path)-1]...)
		if err != nil {
			return err
		}
		return f.insert(parent, fragment{name: p.path[len(p.path)-1], value: value})
	}
	if !e.leaf() {
		return fmt.Errorf("<%s> of line %d holds other elements", e.name(), f.line(e))
	}
	if strings.EqualFold(e.text(), value) && (isTrue(value) || isFalse(value)) || e.text() == value {
		return nil
	}
	return f.setText(e, value)
}

// find finds the element of a setting; nil when there is none. An element that
// stands twice is an error, since Windows refuses such a file.
func (f *File) find(p place) (*element, error) {
	e := f.component(p.pass, p.component)
	for _, local := range p.path {
		if e == nil {
			return nil, nil
		}
		all := e.all(local)
		if len(all) > 1 {
			return nil, fmt.Errorf("<%s> stands twice, in the lines %d and %d", local, f.line(all[0]), f.line(all[1]))
		}
		if len(all) == 0 {
			return nil, nil
		}
		e = all[0]
	}
	return e, nil
}

// setAdministratorPassword writes the password encoded, with PlainText=false.
func (f *File) setAdministratorPassword(password string) error {
	place := func(local string) place {
		return place{pass: "oobeSystem", component: shellSetup, path: []string{"UserAccounts", administratorSuffix, local}}
	}
	if err := f.set(place("Value"), encodePassword(password, administratorSuffix)); err != nil {
		return err
	}
	return f.set(place("PlainText"), "false")
}

func (f *File) line(e *element) int {
	line, _ := position(f.text, e.start)
	return line
}

// splice replaces a part of the text and reads the result, which must still be
// well-formed.
func (f *File) splice(start, end int, with string) error {
	if err := f.read(f.text[:start] + with + f.text[end:]); err != nil {
		return fmt.Errorf("editing the file: %w", err)
	}
	f.edited = true
	return nil
}

// setText replaces the text of a leaf element; comments in it are kept.
func (f *File) setText(e *element, value string) error {
	if e.selfClosing() {
		tag := f.text[e.start:e.end]
		tag = strings.TrimRight(strings.TrimSuffix(tag, "/>"), " \t\r\n")
		return f.splice(e.start, e.end, tag+">"+escape(value)+"</"+e.name()+">")
	}
	var kept strings.Builder
	for _, p := range e.pieces {
		if p.comment {
			kept.WriteString(f.text[p.start:p.end])
		}
	}
	return f.splice(e.startEnd, e.endStart, escape(value)+kept.String())
}

// remove takes an element out, with its line when it stands alone there.
func (f *File) remove(e *element) error {
	start, end := e.start, e.end
	before := strings.TrimRight(f.text[:start], " \t")
	after := len(f.text[end:]) - len(strings.TrimLeft(f.text[end:], " \t"))
	rest := f.text[end+after:]
	if strings.HasSuffix(before, "\n") && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n")) {
		start = len(strings.TrimSuffix(strings.TrimSuffix(before, "\n"), "\r"))
		end += after
	}
	return f.splice(start, end, "")
}

// escape writes a value as XML text, in ASCII: what is not becomes a character
// reference, which every reader understands in every encoding. EC2Launch v1
// would otherwise mangle it in a file without byte order mark.
func escape(value string) string {
	var b strings.Builder
	for _, r := range value {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r < 0x20 || r > 0x7e:
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
