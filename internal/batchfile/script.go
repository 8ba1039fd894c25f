package batchfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// statement is a logical line of a script: lines joined by ^ count as one.
type statement struct {
	// first and last are line indexes from 0.
	first, last int
	// text is the statement without leading white space and @.
	text string
	// depth is how many parentheses are open before it.
	depth   int
	comment bool
	// label is the name that the line defines, in lower case.
	label string
}

var (
	labelLine   = regexp.MustCompile(`^\s*:\s*([^\s:+,;=&|<>]+)`)
	commentLine = regexp.MustCompile(`(?i)^\s*@?\s*(rem(\s|$)|::)`)
	// jump finds goto and call :label; the word before it ends a command.
	jump = regexp.MustCompile(`(?i)(?:^|[\s(&|)@])(?:goto(?:\s*:\s*|\s+)|call\s+:)([^\s&|()<>"]+)`)
	// ending finds an unconditional end as the whole statement.
	ending = regexp.MustCompile(`(?i)^(exit(\s.*)?|goto\s*:\s*eof\b.*|goto\s+eof\b.*)$`)
	// lateEnding finds an end behind a single &.
	lateEnding = regexp.MustCompile(`(?i)(^|[^&|])&\s*(exit\b|goto\s*:?\s*eof\b)`)
	anyGoto    = regexp.MustCompile(`(?i)^goto\b`)
	guarded    = regexp.MustCompile(`(?i)^(if|for)\b`)
	exitZero   = regexp.MustCompile(`(?i)^exit\s+/b\s+0\s*$`)
)

// parse groups lines into statements. It knows as much of cmd.exe's grammar as
// is needed to see labels, jumps and ends: ^ at a line's end, comments,
// parentheses outside quotes.
func parse(lines []string) []statement {
	var out []statement
	depth := 0
	for i := 0; i < len(lines); i++ {
		s := statement{first: i, depth: depth, comment: commentLine.MatchString(lines[i])}
		text := lines[i]
		for !s.comment && continues(text) && i+1 < len(lines) {
			i++
			text = strings.TrimSuffix(text, "^") + lines[i]
		}
		s.last = i
		s.text = strings.TrimLeft(text, " \t@")
		if m := labelLine.FindStringSubmatch(text); m != nil && !s.comment {
			s.label = strings.ToLower(m[1])
		}
		if !s.comment && s.label == "" {
			depth = max(0, depth+parentheses(text))
		}
		out = append(out, s)
	}
	return out
}

// continues says whether a line ends in a ^ that joins the next one to it.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, "^")))%2 == 1
}

// closed gives a script whose last line ends in a joining ^ an empty line to
// join, so that more lines can follow.
func closed(lines []string) []string {
	if n := len(lines); n > 0 && continues(lines[n-1]) && !commentLine.MatchString(lines[n-1]) {
		return append(lines[:n:n], "")
	}
	return lines
}

// parentheses is how many more are opened than closed outside quotes.
func parentheses(text string) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			quoted = !quoted
		case '^':
			i++
		case '(':
			if !quoted {
				n++
			}
		case ')':
			if !quoted {
				n--
			}
		}
	}
	return n
}

// silent says whether the statement does nothing: empty, comment or label.
func (s statement) silent() bool {
	return s.comment || s.label != "" || strings.TrimSpace(s.text) == ""
}

// ends says whether the script always ends at this statement.
func (s statement) ends() bool {
	return s.depth == 0 && !s.comment && ending.MatchString(strings.TrimSpace(s.text)) && !strings.ContainsAny(s.text, "&|")
}

func isExitZero(line string) bool { return exitZero.MatchString(strings.TrimLeft(line, " \t@")) }

// placeForMore is the index of the line before which more commands still run:
// the first unconditional end, or the end of the file.
func placeForMore(lines []string) (int, error) {
	for _, s := range parse(lines) {
		switch {
		case s.ends():
			return s.first, nil
		case s.comment || s.depth > 0 || guarded.MatchString(s.text):
			continue
		case anyGoto.MatchString(s.text):
			return 0, fmt.Errorf("line %d of the script on the guest jumps elsewhere, so there is no sure place to append commands; replace the script by one of your own", s.first+1)
		case lateEnding.MatchString(s.text):
			return 0, fmt.Errorf("line %d of the script on the guest ends it behind another command, so commands appended to it would not run; replace the script by one of your own", s.first+1)
		}
	}
	if !balanced(lines) {
		return 0, errors.New("the script on the guest leaves a parenthesis open, so commands appended to it would become part of it; replace the script by one of your own")
	}
	return len(lines), nil
}

// balanced says whether every parenthesis is closed at the end.
func balanced(lines []string) bool {
	all := parse(append(lines[:len(lines):len(lines)], ""))
	return all[len(all)-1].depth == 0
}

// mainEnd is the statement at which the script ends when nothing goes wrong:
// the first unconditional end, or the last statement that does something. It
// is false for a script that does nothing.
func mainEnd(lines []string) (statement, bool) {
	var last statement
	var found bool
	for _, s := range parse(lines) {
		if s.ends() {
			return s, true
		}
		if !s.silent() {
			last, found = s, true
		}
	}
	return last, found
}

// endsItself says whether the script's last statement is an end.
func endsItself(lines []string) bool {
	for all := parse(lines); len(all) > 0; all = all[:len(all)-1] {
		if s := all[len(all)-1]; !s.comment && strings.TrimSpace(s.text) != "" {
			return s.ends()
		}
	}
	return false
}
