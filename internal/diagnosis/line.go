package diagnosis

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Level is the level of a log line.
type Level uint8

// The levels, as the logs write them.
const (
	// LevelUnknown: the line carries no level, as in excerpts and dialog texts.
	LevelUnknown Level = iota
	LevelInfo
	LevelWarning
	LevelError
)

// String is the word that the logs use.
func (l Level) String() string {
	return [...]string{"", "Info", "Warning", "Error"}[l&3]
}

// Line is one line of a log, taken apart. Windows writes
//
//	2025-07-22 21:55:35, Error      [0x0f0070] SYSPRP RunDlls:… [gle=0x00000005]
//
// and the launch agents write 2025-08-01 07:01:28 Info: … and
// 2022/06/11 18:23:51Z: …; what a line lacks stays empty.
type Line struct {
	// Number counts from 1 within the text given.
	Number int
	// Time is what the line says. Windows writes local time without a zone:
	// such a time is given as UTC. The zero time stands for none.
	Time  time.Time
	Level Level
	// ID is Sysprep's message number in the form 0x0f0070, or empty.
	ID string
	// Component is who writes: SYSPRP, IBS, [Shell Unattend], [sysprep.exe].
	Component string
	// Text is the message without what stands before it and without gle.
	Text string
	// GLE is the last Windows error code, as 0x00000005, or empty.
	GLE string
	// Raw is the whole line without its line end.
	Raw string
}

var (
	// panther is the layout of setupact.log and setuperr.log (checked on
	// real excerpts). A line with a time is found anywhere, since other
	// programs' logs quote such lines.
	panther = regexp.MustCompile(`(?:(?:^|\s)(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}), |^)(Info|Warning|Error)\s+(?:\[(0x[0-9a-fA-F]+|[^\]]+)\]\s*)?(.*)$`)
	// traced is how Configuration Manager's log viewer shows the same lines.
	traced = regexp.MustCompile(`^(\d{2}-\d{2}-\d{4} \d{2}:\d{2}:\d{2}(?:\.\d{3})?) (\S+) (?:\d+ \((0x[0-9a-fA-F]+)\) )?(.*)$`)
	// agentV2 is EC2Launch v2's agent.log; milliseconds since 2.4.0.
	agentV2 = regexp.MustCompile(`^(?:(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})?) )?(Info|Warning|Warn|Error|Console): ?(.*)$`)
	// agentOld is the log of EC2Launch v1 and of EC2Config.
	agentOld = regexp.MustCompile(`^(\d{4}[/-]\d{2}[/-]\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z): ?(.*)$`)

	lastError = regexp.MustCompile(`\s*\[gle=(0x[0-9a-fA-F]+)\]\s*$`)
	writer    = regexp.MustCompile(`^([A-Z][A-Z0-9]{1,9}) +(.*)$`)
)

// ParseLine takes one line apart. It never fails: a line of no known layout
// has LevelUnknown and is all Text.
func ParseLine(raw string, number int) Line {
	raw = strings.TrimRight(raw, "\r\n")
	l := Line{Number: number, Raw: raw, Text: raw}
	switch {
	case l.panther(raw):
	case l.traced(raw):
	case l.agent(raw):
	}
	if l.Component == "" {
		l.splitWriter()
	}
	if m := lastError.FindStringSubmatchIndex(l.Text); m != nil {
		l.GLE = strings.ToLower(l.Text[m[2]:m[3]])
		l.Text = l.Text[:m[0]]
	}
	return l
}

// splitWriter moves a leading SYSPRP or IBS from the text to the component.
func (l *Line) splitWriter() {
	if m := writer.FindStringSubmatch(l.Text); m != nil && (l.Level != LevelUnknown || m[1] == "SYSPRP") {
		l.Component, l.Text = m[1], m[2]
	}
}

func (l *Line) panther(raw string) bool {
	m := panther.FindStringSubmatch(raw)
	if m == nil || m[1] == "" && m[3] == "" && !writer.MatchString(m[4]) {
		return false
	}
	l.Time = parseTime(time.DateTime, m[1])
	l.Level = parseLevel(m[2])
	l.Text = strings.TrimSpace(m[4])
	switch id := messageID(m[3]); {
	case id != "":
		l.ID = id
	case m[3] != "":
		l.Component = "[" + m[3] + "]"
	}
	return true
}

func (l *Line) traced(raw string) bool {
	m := traced.FindStringSubmatch(raw)
	if m == nil {
		return false
	}
	l.Time = parseTime("01-02-2006 15:04:05", m[1])
	l.Component, l.ID, l.Text = m[2], messageID(m[3]), m[4]
	return true
}

func (l *Line) agent(raw string) bool {
	if m := agentV2.FindStringSubmatch(raw); m != nil {
		l.Time, l.Level, l.Text = parseTime(time.DateTime, m[1]), parseLevel(m[2]), m[3]
		return true
	}
	m := agentOld.FindStringSubmatch(raw)
	if m == nil {
		return false
	}
	stamp := strings.NewReplacer("/", "-", "T", " ", "Z", "").Replace(m[1])
	l.Time, l.Text = parseTime(time.DateTime, stamp), m[2]
	return true
}

// parseTime reads a stamp; a fraction is accepted where the layout has none.
func parseTime(layout, stamp string) time.Time {
	t, err := time.Parse(layout, stamp)
	if err != nil {
		return time.Time{}
	}
	return t
}

func parseLevel(word string) Level {
	switch word {
	case "Error":
		return LevelError
	case "Warning", "Warn":
		return LevelWarning
	default:
		return LevelInfo
	}
}

// messageID brings 0xf0070 and 0x0F0070 to the form 0x0f0070; anything else is empty.
func messageID(s string) string {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "0x")
	if !ok {
		return ""
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return ""
	}
	digits = strconv.FormatUint(n, 16)
	return "0x" + strings.Repeat("0", max(0, 6-len(digits))) + digits
}

// ParseLines takes a decoded text apart, empty lines left out.
func ParseLines(text string) []Line {
	var out []Line
	number := 0
	for raw := range strings.Lines(text) {
		number++
		if strings.TrimSpace(raw) != "" {
			out = append(out, ParseLine(raw, number))
		}
	}
	return out
}
