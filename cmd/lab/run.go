package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// settings are the command line.
type settings struct {
	speed    float64
	https    bool
	machine  string
	list     bool
	vars     string
	dir      string
	password string
	spare    bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Float64Var(&s.speed, "speed", 20, "how many of the lab's seconds pass in a real one")
	flags.BoolVar(&s.https, "https", false, "WinRM over HTTPS, with a certificate of the lab's own authority")
	flags.StringVar(&s.machine, "machine", "server-2022", "the guest: a name of -list, or a JSON `file` that says how it differs from one")
	flags.BoolVar(&s.list, "list", false, "list the guests that are ready, and end")
	flags.StringVar(&s.vars, "vars", "", "write the values as a variables `file` for packer -var-file")
	flags.StringVar(&s.dir, "dir", "", "`folder` for the authority's certificate; a temporary one when empty")
	flags.StringVar(&s.password, "password", "", "the administrator's password; made up when empty")
	flags.BoolVar(&s.spare, "spare", false, "leave the guest switched off until RunInstances launches it (for amazon-ebs)")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.speed <= 0 {
		return settings{}, fmt.Errorf("-speed must be more than 0, not %g", s.speed)
	}
	return s, nil
}

// run is the whole program. It ends without an error when ctx does.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.list {
		return list(stdout)
	}
	machine, err := load(s.machine)
	if err != nil {
		return err
	}
	if s.password == "" {
		s.password = password()
	}
	machine.SetPassword(s.password)

	options := lab.MachineOptions{Windows: &machine, HTTPS: s.https, Spare: s.spare}
	l, err := lab.Start(ctx, lab.Options{Speed: s.speed, Machines: []lab.MachineOptions{options}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()

	caFile := ""
	if s.https {
		var remove func()
		caFile, remove, err = writeCA(s.dir, l.CA())
		if err != nil {
			return err
		}
		defer remove()
	}
	values := describe(l, caFile)
	if s.vars != "" {
		if err := os.WriteFile(s.vars, []byte(values.pkrvars()), 0o600); err != nil {
			return fmt.Errorf("writing the variables: %w", err)
		}
	}
	if _, err := io.WriteString(stdout, values.text(s)); err != nil {
		return err
	}
	return watch(ctx, l, stdout)
}

// load finds a guest by its name in the list, or reads it from a file.
func load(name string) (windows.Machine, error) {
	if machine, ok := windows.Ready(name); ok {
		return machine, nil
	}
	if _, err := os.Stat(name); err != nil && !strings.ContainsAny(name, `./\`) {
		return windows.Machine{}, fmt.Errorf("there is no guest %q; -list shows those that are ready", name)
	}
	return windows.LoadMachine(name)
}

func list(stdout io.Writer) error {
	var text strings.Builder
	for _, one := range windows.Catalogue() {
		fmt.Fprintf(&text, "%-28s %s\n", one.Name, one.Summary)
	}
	_, err := io.WriteString(stdout, text.String())
	return err
}

// password makes up a password that Windows' rules accept.
func password() string { return "Aa1-" + strings.ToLower(rand.Text()[:16]) }

// writeCA writes the authority's certificate. remove takes away what was made
// only for this run.
func writeCA(dir string, pem []byte) (path string, remove func(), err error) {
	remove = func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ec2-sysprep-lab-"); err != nil {
			return "", nil, fmt.Errorf("making a folder for the certificate: %w", err)
		}
		temporary := dir
		remove = func() { _ = os.RemoveAll(temporary) }
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making a folder for the certificate: %w", err)
	}
	path, err = filepath.Abs(filepath.Join(dir, "lab-ca.pem"))
	if err == nil {
		err = os.WriteFile(path, pem, 0o600)
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("writing the certificate: %w", err)
	}
	return path, remove, nil
}
