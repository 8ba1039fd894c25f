package batchfile

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// checker gathers findings about one script.
type checker struct {
	kind  Kind
	name  string
	lines []string
	all   []statement
	found []Finding
}

// Check says what is wrong with a script as it would be placed on the guest.
// Shipped is the script that the agent has there, to see what is lost; nil when
// it is not known, as in packer validate. The name is for messages.
func Check(kind Kind, name string, data, shipped []byte) []Finding {
	c := &checker{kind: kind, name: name}
	c.bytes(data)
	if wide(data) {
		return c.found
	}
	c.lines = splitLines(bytes.TrimPrefix(data, bom))
	c.all = parse(c.lines)
	c.characters()
	c.jumps()
	c.endings()
	c.dangers()
	c.rdp(data, shipped)
	finding.Sort(c.found)
	return c.found
}

// add records a finding at the beginning of a line, by its index.
func (c *checker) add(line int, severity finding.Severity, id, remedy, format string, args ...any) {
	c.found = append(c.found, Finding{ID: id, Severity: severity, File: c.name, Line: line + 1, Column: 1, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// bytes looks at what must be known before there are lines.
func (c *checker) bytes(data []byte) {
	switch {
	case wide(data):
		c.add(0, finding.Error, "encoding", "save it as ASCII", "the script is UTF-16, which cmd.exe cannot run")
	case bytes.HasPrefix(data, bom):
		c.add(0, finding.Error, "byte-order-mark", "save it without one", "cmd.exe takes a byte order mark for the beginning of the first command")
	case bytes.Contains(data, []byte("\n")) && bytes.Count(data, []byte("\r\n")) < bytes.Count(data, []byte("\n")):
		c.add(0, finding.Warning, "line-ends", "use CR LF", "lines end in LF alone; cmd.exe then misses labels")
	}
}

// characters looks at each line's characters and length.
func (c *checker) characters() {
	for i, line := range c.lines {
		if column, what := foreign(line); column > 0 {
			c.found = append(c.found, Finding{ID: "not-ascii", Severity: finding.Error, File: c.name, Line: i + 1, Column: column, Message: what, Remedy: "use ASCII; cmd.exe would read it in the guest's OEM code page"})
		}
	}
	for _, s := range c.all {
		if n := utf8.RuneCountInString(s.text); n > maxLine {
			c.add(s.first, finding.Error, "line-length", "call a script file instead", "the command has %d characters, and cmd.exe takes %d", n, maxLine)
		}
	}
	if !balanced(c.lines) {
		c.add(max(0, len(c.lines)-1), finding.Warning, "parentheses", "close it", "a parenthesis is still open at the end of the script")
	}
}

// printing finds commands whose arguments are text and not commands.
var printing = regexp.MustCompile(`(?i)^(echo|title|set|prompt)\b`)

// jumps looks at labels and at what jumps to them.
func (c *checker) jumps() {
	defined := map[string]int{}
	for _, s := range c.all {
		if s.label == "" {
			continue
		}
		if first, twice := defined[s.label]; twice {
			c.add(s.first, finding.Warning, "duplicate-label", "rename it", "the label :%s stands in line %d already; goto finds only one of them", s.label, first)
			continue
		}
		defined[s.label] = s.first + 1
	}
	for _, s := range c.all {
		if s.silent() || printing.MatchString(s.text) {
			continue
		}
		for _, m := range jump.FindAllStringSubmatch(s.text, -1) {
			target := strings.ToLower(strings.TrimPrefix(m[1], ":"))
			if _, ok := defined[target]; ok || target == "eof" || strings.ContainsAny(target, "%!") {
				continue
			}
			c.add(s.first, finding.Error, "missing-label", "define the label or correct the name", "there is no label :%s, so the script breaks off here", target)
		}
	}
}

var (
	exitCommand = regexp.MustCompile(`(?i)(?:^|[\s(&|)])exit(?:\s+/b)?(?:\s+(-?\d+))?\s*(?:$|[)&|])`)
	nonZeroExit = regexp.MustCompile(`(?i)^exit(\s+/b)?\s+-?0*[1-9]`)
	exitB       = regexp.MustCompile(`(?i)\bexit\s+/b\b`)
)

// endings looks at how the script ends and with which code. EC2Launch v1 since
// 1.3.2004052 does not start Sysprep when BeforeSysprep.cmd ends with another
// code than 0; older versions ignore it.
func (c *checker) endings() {
	severity := finding.Warning
	if c.kind == BeforeSysprep {
		severity = finding.Error
	}
	for _, s := range c.all {
		m := exitCommand.FindStringSubmatch(s.text)
		if m == nil || s.silent() || printing.MatchString(s.text) {
			continue
		}
		if !exitB.MatchString(s.text) {
			c.add(s.first, finding.Warning, "exit-without-b", "write exit /b", "exit without /b ends cmd.exe and every script that called this one")
		}
		if code := strings.TrimLeft(m[1], "-0"); m[1] != "" && code != "" {
			remedy := "end in exit /b 0 unless the failure is meant"
			c.add(s.first, severityOf(s, severity), "exit-code", remedy, "the script can end with %s, which its caller takes for a failure", m[1])
		}
	}
	end, ok := mainEnd(c.lines)
	if ok && !isExitZero(end.text) && !nonZeroExit.MatchString(end.text) {
		c.add(end.first, finding.Warning, "no-exit", "add exit /b 0 where the script ends", "the script ends with the exit code of its last command, whatever that is")
	}
}

// severityOf leaves a failure that a condition guards a warning.
func severityOf(s statement, unconditional finding.Severity) finding.Severity {
	if s.ends() {
		return unconditional
	}
	return finding.Warning
}

var (
	waiting = regexp.MustCompile(`(?i)(?:^|[\s(&|)@])(pause|set\s+/p|choice(\.exe)?)(\s|$)`)
	called  = regexp.MustCompile(`(?i)^("[^"]+\.(?:cmd|bat)"|[^\s"&|<>=]+\.(?:cmd|bat))(\s|$)`)
	halting = regexp.MustCompile(`(?i)(?:^|[\s(&|)@"\\])(shutdown(?:\.exe)?"?\s+[-/](?:[rsg]|sg|p)\b|Restart-Computer\b|Stop-Computer\b|sysprep(?:\.exe)?"?\s+/)`)
)

// dangers looks for commands that never come back, or take the machine along.
func (c *checker) dangers() {
	for _, s := range c.all {
		if s.silent() || strings.HasPrefix(strings.ToLower(s.text), "echo") {
			continue
		}
		if m := waiting.FindStringSubmatch(s.text); m != nil {
			c.add(s.first, finding.Error, "waits-for-input", "remove it", "%s waits for somebody at a keyboard, and there is nobody", strings.ToLower(m[1]))
		}
		if m := called.FindStringSubmatch(s.text); m != nil && s.first < len(c.lines)-1 {
			c.add(s.first, finding.Warning, "batch-without-call", "write call "+m[1], "%s is a batch file; without call the script does not go on after it", m[1])
		}
		if m := halting.FindStringSubmatch(s.text); m != nil {
			c.add(s.first, finding.Error, "shuts-down", "remove it; the plugin shuts the guest down when it is sealed", "%s takes the machine away in the middle of Sysprep", strings.TrimSpace(m[1]))
		}
	}
}

// rdp looks whether the lines that lock and unlock RDP are still there.
func (c *checker) rdp(data, shipped []byte) {
	var has, had func([]byte) bool
	var id, message, remedy string
	switch c.kind {
	case BeforeSysprep:
		has, had, id = ClosesRDP, ClosesRDP, "rdp-lock-lost"
		message = "the script does not lock RDP (fDenyTSConnections = 1); a clone's Administrator has no password for a moment"
		remedy = `keep: reg add "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 1 /f`
	case SysprepSpecialize, SysprepSpecializePhase:
		has, had, id = OpensRDP, OpensRDP, "rdp-unlock-lost"
		message = "the script does not unlock RDP (fDenyTSConnections = 0); nobody will reach a clone by RDP unless the answer file does"
		remedy = `keep: reg add "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 0 /f`
	default:
		return
	}
	if !has(data) && (shipped == nil || had(shipped)) {
		c.found = append(c.found, Finding{ID: id, Severity: finding.Warning, File: c.name, Message: message, Remedy: remedy})
	}
}
