package agentconfig

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// EventLog is EC2Launch v1's EventLogConfig.json: which events
// SendEventLogs.ps1 shows in the instance's console output.
type EventLog struct{ launchFile }

const (
	keyEvents  = "events"
	keyLog     = "logName"
	keySource  = "source"
	keyLevel   = "level"
	keyEntries = "numEntries"
)

// maxEntries is the most that EC2Launch v1 takes for numEntries (its function
// Confirm-EventLogConfig).
const maxEntries = 999

// ParseEventLog reads EventLogConfig.json. It fails with a *SyntaxError when the
// text is no JSON; the agent would show no events.
func ParseEventLog(name string, data []byte) (*EventLog, error) {
	f, err := readLaunchFile(name, data)
	if err != nil {
		return nil, err
	}
	return &EventLog{f}, nil
}

// Events are the file's entries in its order, those that name a log.
func (f *EventLog) Events() []Event {
	var events []Event
	for _, item := range f.items(keyEvents) {
		e := Event{Log: item.textOf(keyLog), Source: item.textOf(keySource), Level: asRead(item.textOf(keyLevel), eventLevels())}
		if n := item.lookup(keyEntries); n != nil {
			e.Entries, _ = strconv.Atoi(n.value.text)
		}
		if e.Log != "" {
			events = append(events, e)
		}
	}
	return events
}

// Check says which entries the agent would refuse or take otherwise than they
// are written. A refused entry takes those behind it with it.
func (f *EventLog) Check() []Finding {
	c := &launchCheck{launchFile: f.launchFile}
	c.encoding()
	for _, item := range c.list(keyEvents, "write a list of objects with "+strings.Join([]string{keyLog, keySource, keyLevel, keyEntries}, ", ")) {
		if !c.object(item, "an entry", []string{keyLog, keySource, keyLevel, keyEntries}) {
			continue
		}
		switch m := item.lookup(keyLog); {
		case m == nil:
			c.add(item, finding.Error, "key-missing", "add it", "an entry has no %s; the agent drops it and all behind it", keyLog)
		case m.value.kind != jsonString || strings.TrimSpace(m.value.text) == "":
			c.add(m.value, finding.Error, "shape", "name the event log, such as System", "%s must be the name of an event log; the agent drops the entry and all behind it", keyLog)
		}
		if m := item.lookup(keySource); m != nil && m.value.kind != jsonString && m.value.kind != jsonNull {
			c.add(m.value, finding.Error, "shape", `write a text in quotes, "" for all sources`, "%s is %s and must be a text", keySource, m.value.kind)
		}
		c.level(item)
		c.entries(item)
	}
	finding.Sort(c.found)
	return c.found
}

// level checks what EC2Launch v1 translates by a switch that keeps the level of
// the entry before for a word that it does not know.
func (c *launchCheck) level(item *jsonValue) {
	remedy := "write one of " + strings.Join(eventLevels(), ", ")
	switch m := item.lookup(keyLevel); {
	case m == nil || m.value.kind == jsonNull || m.value.kind == jsonString && m.value.text == "":
		c.add(item, finding.Warning, "event-level", remedy, "an entry has no %s; the agent takes that of the entry before, and all levels for the first", keyLevel)
	case m.value.kind != jsonString || !isOneOf(m.value.text, eventLevels()):
		c.add(m.value, finding.Error, "event-level", remedy, "%s is not one of %s; the agent takes that of the entry before, and all levels for the first", keyLevel, strings.Join(eventLevels(), ", "))
	}
}

func (c *launchCheck) entries(item *jsonValue) {
	m := item.lookup(keyEntries)
	if m == nil {
		c.add(item, finding.Error, "key-missing", "add it", "an entry has no %s; the agent drops it and all behind it", keyEntries)
		return
	}
	n, err := strconv.Atoi(m.value.text)
	if err != nil || n < 1 || n > maxEntries || m.value.kind != jsonNumber && m.value.kind != jsonString {
		c.add(m.value, finding.Error, "event-entries", fmt.Sprintf("write a number from 1 to %d", maxEntries), "%s must be a whole number from 1 to %d; the agent drops the entry and all behind it", keyEntries, maxEntries)
	}
}

// HoldsSecret is false: the file has no password.
func (f *EventLog) HoldsSecret() bool { return false }

// Redacted is the file: nothing in it is a secret.
func (f *EventLog) Redacted() []byte { return f.Bytes() }

// ValidateEvents says what is wrong with events that somebody wants, whichever
// agent shows them; each error begins with the setting's name, such as
// event_log[0].level.
func ValidateEvents(events []Event) []error {
	var errs []error
	seen := map[Event]int{}
	for i, e := range events {
		at := fmt.Sprintf("event_log[%d]", i)
		if strings.TrimSpace(e.Log) == "" {
			errs = append(errs, fmt.Errorf("%s.log: the name of an event log is missing, such as System", at))
		}
		for _, f := range []struct{ name, value string }{{"log", e.Log}, {"source", e.Source}} {
			if strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' }) {
				errs = append(errs, fmt.Errorf("%s.%s: the name holds a control character", at, f.name))
			}
		}
		if !isOneOf(e.Level, eventLevels()) {
			errs = append(errs, fmt.Errorf("%s.level: %q is not one of %s", at, e.Level, strings.Join(eventLevels(), ", ")))
		}
		if e.Entries < 1 || e.Entries > maxEntries {
			errs = append(errs, fmt.Errorf("%s.entries: %d is not between 1 and %d", at, e.Entries, maxEntries))
		}
		key := Event{Log: strings.ToUpper(e.Log), Source: strings.ToUpper(e.Source), Level: strings.ToUpper(e.Level)}
		if first, twice := seen[key]; twice {
			errs = append(errs, fmt.Errorf("%s: the same events are shown by event_log[%d] already", at, first))
			continue
		}
		seen[key] = i
	}
	return errs
}

// FormatEventLog is EventLogConfig.json with these events, in ASCII.
func FormatEventLog(events []Event) []byte {
	rows := make([][]string, len(events))
	for i, e := range events {
		rows[i] = []string{
			quoteJSON(keyLog) + ": " + quoteJSON(e.Log),
			quoteJSON(keySource) + ": " + quoteJSON(e.Source),
			quoteJSON(keyLevel) + ": " + quoteJSON(asRead(e.Level, eventLevels())),
			quoteJSON(keyEntries) + ": " + strconv.Itoa(e.Entries),
		}
	}
	return formatLaunchList(keyEvents, rows)
}
