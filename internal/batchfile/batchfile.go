// Package batchfile composes and checks the batch files that run around
// Sysprep: the launch agents' BeforeSysprep.cmd and their scripts of the
// specialize pass, and Windows' own SetupComplete.cmd.
//
// Commands are appended to the script that the agent ships (Append), or the
// whole script is replaced by the user's (Replace). Either way the result is
// what cmd.exe is sure to read: CR LF line ends, no byte order mark, and an
// end in exit /b 0, because EC2Launch v1 since 1.3.2004052 takes the exit code
// of BeforeSysprep.cmd for its own failure, and cmd.exe returns that of the
// last command. What the agent shipped is kept byte for byte apart from line
// ends.
//
// Check says what would go wrong or get lost, above all the lines that lock
// and unlock RDP: BeforeSysprep.cmd sets fDenyTSConnections to 1, since the
// Administrator has no password for a moment after Sysprep, and the agent sets
// it to 0 in specialize (AWS EC2 user guide for Windows, "Sysprep actions").
package batchfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// Kind is a batch file by its name; the name says who runs it and when.
type Kind string

// The batch files.
const (
	// BeforeSysprep runs on the build machine just before sysprep.exe. All three agents have it.
	BeforeSysprep Kind = "BeforeSysprep.cmd"
	// SysprepSpecialize runs in a clone's specialize pass (EC2Launch v1).
	SysprepSpecialize Kind = "SysprepSpecialize.cmd"
	// SysprepSpecializePhase is the same of EC2Config.
	SysprepSpecializePhase Kind = "SysprepSpecializePhase.cmd"
	// PostSysprep is called by SetupComplete.cmd in EC2Config AMIs since April 2015.
	PostSysprep Kind = "PostSysprep.cmd"
	// SetupComplete runs as SYSTEM at the end of a clone's OOBE, from %windir%\Setup\Scripts.
	SetupComplete Kind = "SetupComplete.cmd"
)

// Finding is what Check returns.
type Finding = finding.Finding

// maxLine is how long a command line of cmd.exe may be (Microsoft, "Command
// prompt line string limitation").
const maxLine = 8191

// exitLine is the end of every composed script.
const exitLine = "exit /b 0"

// mark stands before what the plugin appends.
const mark = "rem Added by packer-plugin-ec2-sysprep."

var bom = []byte{0xef, 0xbb, 0xbf}

// Append puts commands at the end of a shipped script, before the line by
// which it ends, so that they do run, and before its subroutines. An empty
// script becomes one of the commands alone. It fails when a command cannot be
// a line of a batch file, and when the shipped script jumps about in a way
// that leaves no sure place for them; the message then says to replace the
// script instead.
func Append(kind Kind, shipped []byte, commands []string) ([]byte, error) {
	if err := CheckCommands(commands); err != nil {
		return nil, fmt.Errorf("appending to %s: %w", kind, err)
	}
	if wide(shipped) {
		return nil, fmt.Errorf("appending to %s: the script on the guest is UTF-16, which cmd.exe cannot run; replace it", kind)
	}
	lines := closed(splitLines(bytes.TrimPrefix(shipped, bom)))
	at, err := placeForMore(lines)
	if err != nil {
		return nil, fmt.Errorf("appending to %s: %w", kind, err)
	}
	out := slices.Clone(lines[:at])
	if len(shipped) == 0 {
		out = append(out, "@echo off")
	}
	if len(commands) > 0 {
		out = append(out, mark)
		out = append(out, commands...)
	}
	if at == len(lines) || !isExitZero(lines[at]) {
		out = append(out, exitLine)
	}
	return join(append(out, lines[at:]...)), nil
}

// Replace makes the user's own script ready: line ends become CR LF, a UTF-8
// byte order mark goes, and exit /b 0 is added where the script runs out,
// unless a parenthesis is still open there, which Check reports. It fails with name:line:column when a character is outside ASCII, since cmd.exe
// would read it in the guest's OEM code page.
func Replace(name string, data []byte) ([]byte, error) {
	if wide(data) {
		return nil, fmt.Errorf("%s: the file is UTF-16, which cmd.exe cannot run; save it as ASCII", name)
	}
	lines := splitLines(bytes.TrimPrefix(data, bom))
	for i, line := range lines {
		if column, c := foreign(line); column > 0 {
			return nil, fmt.Errorf("%s:%d:%d: %s; cmd.exe would read it in the guest's OEM code page", name, i+1, column, c)
		}
	}
	if balanced(lines) && !endsItself(lines) {
		lines = append(closed(lines), exitLine)
	}
	return join(lines), nil
}

// CheckCommands says whether every command can be a line of a batch file:
// not empty, one line, ASCII, at most 8191 characters. The error counts
// commands and columns from 1.
func CheckCommands(commands []string) error {
	var errs []error
	for i, c := range commands {
		n := i + 1
		switch column, what := foreign(c); {
		case strings.TrimSpace(c) == "":
			errs = append(errs, fmt.Errorf("command %d is empty", n))
		case strings.ContainsAny(c, "\r\n"):
			errs = append(errs, fmt.Errorf("command %d, column %d: a line end; write one command a line", n, strings.IndexAny(c, "\r\n")+1))
		case column > 0:
			errs = append(errs, fmt.Errorf("command %d, column %d: %s; cmd.exe would read it in the guest's OEM code page", n, column, what))
		case len(c) > maxLine:
			errs = append(errs, fmt.Errorf("command %d has %d characters, and cmd.exe takes %d; call a script file instead", n, len(c), maxLine))
		case strings.HasSuffix(c, "^"):
			errs = append(errs, fmt.Errorf("command %d ends in ^, which would join it to the next line", n))
		}
	}
	return errors.Join(errs...)
}

// foreign finds the first character of a line that cmd.exe would not read as
// it was meant; the column counts from 1 and is 0 when there is none.
func foreign(line string) (column int, what string) {
	for _, r := range line {
		column++
		switch {
		case r == '\t':
		case r == 0xfffd:
			return column, "a byte that is not ASCII"
		case r > 0x7e:
			return column, fmt.Sprintf("the character %q (%U) is not ASCII", r, r)
		case r < 0x20 && r != '\r' && r != '\n':
			return column, fmt.Sprintf("the control character %U", r)
		}
	}
	return 0, ""
}

// wide says whether the bytes are UTF-16, by mark or by their zero bytes.
func wide(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) ||
		len(data) > 3 && data[1] == 0 && data[3] == 0
}

// splitLines takes a script apart at LF, CR LF and lone CR; a line end at the
// very end adds no empty line.
func splitLines(data []byte) []string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func join(lines []string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n")
}

// denyTS finds the commands that set fDenyTSConnections, with their value.
var denyTS = regexp.MustCompile(`(?i)\bfDenyTSConnections\b.*?/d\s+"?(0x)?0*([01])\b`)

// ClosesRDP says whether the script's last word on RDP is to lock it.
func ClosesRDP(data []byte) bool { return lastDeny(data) == "1" }

// OpensRDP says whether the script's last word on RDP is to unlock it.
func OpensRDP(data []byte) bool { return lastDeny(data) == "0" }

// lastDeny is the value that the script gives fDenyTSConnections last, empty
// when it does not touch it.
func lastDeny(data []byte) string {
	last := ""
	for _, l := range parse(splitLines(bytes.TrimPrefix(data, bom))) {
		if m := denyTS.FindStringSubmatch(l.text); m != nil && !l.comment {
			last = m[2]
		}
	}
	return last
}
