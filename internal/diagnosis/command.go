package diagnosis

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// commandLimit is how much of a log file the command reads: its end.
const commandLimit = 32 << 20

// usage is what the command says when it is called without arguments.
const usage = `usage: packer-plugin-ec2-sysprep explain LOG...       explain log files, the most telling first; - is standard input
       packer-plugin-ec2-sysprep explain ES-NNN...    explain codes
       packer-plugin-ec2-sysprep explain --list       list all codes`

// ErrUsage is returned for arguments that make no sense; its text is the usage.
var ErrUsage = errors.New(usage)

// Command is the plugin's subcommand explain: it explains log files or codes,
// or lists the catalogue. Arguments are those after the word explain.
func Command(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return ErrUsage
	}
	c := Default()
	if args[0] == "--list" {
		return c.list(out)
	}
	if strings.HasPrefix(args[0], "-") && args[0] != "-" {
		return ErrUsage
	}
	if _, isCode := c.Lookup(args[0]); isCode {
		return c.describe(args, out)
	}
	var texts []Text
	for _, name := range args {
		t, err := readText(name, in)
		if err != nil {
			return fmt.Errorf("explaining %s: %w", name, err)
		}
		texts = append(texts, t)
	}
	_, err := fmt.Fprintln(out, c.Explain(texts...))
	return err
}

func readText(name string, in io.Reader) (Text, error) {
	if name == "-" {
		data, err := io.ReadAll(io.LimitReader(in, commandLimit))
		return Text{Name: "standard input", Data: data}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return Text{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Text{}, err
	}
	if info.IsDir() {
		return Text{}, errors.New("it is a folder; name the log files in it")
	}
	// An even offset keeps UTF-16 in step.
	if past := info.Size() - commandLimit; past > 0 {
		if _, err := f.Seek(past&^1, io.SeekStart); err != nil {
			return Text{}, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, commandLimit+1))
	return Text{Name: filepath.Base(name), Data: data}, err
}

// describe writes the entries of the codes.
func (c *Catalogue) describe(codes []string, out io.Writer) error {
	var b strings.Builder
	for i, code := range codes {
		s, ok := c.Lookup(code)
		if !ok {
			return fmt.Errorf("explaining %s: no such code; explain --list shows all", code)
		}
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s %s (%s)\n  meaning: %s\n  to do:   %s\n  source:  %s (%s)\n", s.Code, s.ID, s.Class, s.Meaning, s.Remedy, s.Source, s.Evidence)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// list writes a line for every entry, by code.
func (c *Catalogue) list(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, s := range c.byCode() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Code, s.Class, s.ID)
	}
	return w.Flush()
}
