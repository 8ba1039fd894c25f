package answerfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// ErrNotAnswerFile is the cause when a file cannot be edited because its root
// element is not that of an answer file.
var ErrNotAnswerFile = errors.New("the root element is not <unattend> in the namespace " + Namespace)

// Apply carries the settings out. All values are checked first (see Validate).
// A value that the file has already is left as it is written. After an error
// the file is as it was before.
func (f *File) Apply(s Settings) error {
	if errs := s.Validate(); len(errs) > 0 {
		return fmt.Errorf("%s: %w", f.Name(), errors.Join(errs...))
	}
	if err := f.doc.Atomically(func() error { return f.apply(s) }); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

func (f *File) apply(s Settings) error {
	if f.doc.Root().Local != "unattend" || f.doc.Root().Space != Namespace {
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
		if err := f.setAdministratorPassword(*s.AdministratorPassword, s.PlainTextPassword); err != nil {
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
		i := slices.IndexFunc(f.doc.Root().Children, func(e *xmltext.Element) bool {
			_, ok := e.Attr("wasPassProcessed")
			return ok && e.Local == "settings"
		})
		if i < 0 {
			return n, nil
		}
		a, _ := f.doc.Root().Children[i].Attr("wasPassProcessed")
		start := len(strings.TrimRight(f.doc.Text()[:a.Start], " \t\r\n"))
		if err := f.doc.Splice(start, a.End, ""); err != nil {
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
		if descend(f.component(p.pass, p.component), p.path...) != nil {
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
		return f.doc.Append(parent, xmltext.Fragment{Name: p.path[len(p.path)-1], Value: value})
	}
	if !e.Leaf() {
		return fmt.Errorf("<%s> of line %d holds other elements", e.Name(), f.doc.Line(e))
	}
	if strings.EqualFold(e.Text(), value) && (isTrue(value) || isFalse(value)) || e.Text() == value {
		return nil
	}
	return f.doc.SetText(e, value)
}

// find finds the element of a setting; nil when there is none. An element that
// stands twice is an error, since Windows refuses such a file.
func (f *File) find(p place) (*xmltext.Element, error) {
	e := f.component(p.pass, p.component)
	for _, local := range p.path {
		if e == nil {
			return nil, nil
		}
		twins := all(e, local)
		if len(twins) > 1 {
			return nil, fmt.Errorf("<%s> stands twice, in the lines %d and %d", local, f.doc.Line(twins[0]), f.doc.Line(twins[1]))
		}
		if len(twins) == 0 {
			return nil, nil
		}
		e = twins[0]
	}
	return e, nil
}

// setAdministratorPassword writes the password encoded, with PlainText=false, or
// as it is.
func (f *File) setAdministratorPassword(password string, plain bool) error {
	place := func(local string) place {
		return place{pass: "oobeSystem", component: shellSetup, path: []string{"UserAccounts", administratorSuffix, local}}
	}
	value := encodePassword(password, administratorSuffix)
	if plain {
		value = password
	}
	if err := f.set(place("Value"), value); err != nil {
		return err
	}
	return f.set(place("PlainText"), strconv.FormatBool(plain))
}

// SetsAdministratorPassword says whether Windows Setup gives the built-in
// Administrator a password at its end.
func (f *File) SetsAdministratorPassword() bool {
	value, has := f.Lookup("oobeSystem", shellSetup, "UserAccounts", administratorSuffix, "Value")
	return has && value != ""
}
