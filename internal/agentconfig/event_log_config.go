package agentconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// eventForm is the form of an entry of EventLogConfig.xml. The names of the
// fields are those of the AWS user guide; the elements around them are known
// from programs that add entries to the file (plus3it/watchmaker and others).
var eventForm = form{item: "Event", fields: []string{"Category", "ErrorType", "NumEntries"}, optional: []string{"LastMessageTime", "AppName"}}

// beforeAllEvents is what FormatEventLogConfig writes as LastMessageTime, which
// EC2Config moves on as it shows events: all events are newer.
const beforeAllEvents = "2000-01-01T00:00:00.0000000+00:00"

// EventLogConfig is EC2Config's EventLogConfig.xml: the events that its plug-in
// Ec2EventLog shows in the instance's console output. It is not safe for
// concurrent use.
type EventLogConfig struct{ ec2configFile }

// ParseEventLogConfig reads the file. The name is for messages. It fails with a
// *SyntaxError when the bytes are no well-formed XML.
func ParseEventLogConfig(name string, data []byte) (*EventLogConfig, error) {
	f, err := parseEC2Config(name, data)
	if err != nil {
		return nil, err
	}
	return &EventLogConfig{f}, nil
}

// Events are the entries in the file's order, those that have a log, a level
// and a number.
func (f *EventLogConfig) Events() []Event {
	if !f.hasRoot("EventLogConfig") {
		return nil
	}
	var out []Event
	for _, r := range eventForm.goodRows(f.doc.Root()) {
		e := Event{Log: r.text("Category"), Source: r.text("AppName"), Level: eventLevel(r.text("ErrorType"))}
		n, err := numEntries(r.text("NumEntries"))
		if err != nil || e.Log == "" || e.Level == "" {
			continue
		}
		e.Entries = n
		out = append(out, e)
	}
	return out
}

func eventLevels() []string { return []string{"Error", "Warning", "Information"} }

// eventLevel is a level as AWS spells it, empty when it is not known.
func eventLevel(value string) string {
	if level := shipped(value, eventLevels()); slices.Contains(eventLevels(), level) {
		return level
	}
	return ""
}

func numEntries(value string) (int, error) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("NumEntries is %q, not a number of 1 or more", value)
	}
	return int(n), nil
}

// FormatEventLogConfig is a file that selects these events, and no others. The
// events must have passed ValidateEvents. An event of all sources has an empty
// AppName; that EC2Config takes it so has not been verified, since the shipped
// file is not public.
func FormatEventLogConfig(events []Event) []byte {
	root := xmltext.Fragment{Name: "EventLogConfig"}
	for _, e := range events {
		root.Children = append(root.Children, xmltext.Fragment{Name: eventForm.item, Children: []xmltext.Fragment{
			{Name: "Category", Value: e.Log},
			{Name: "ErrorType", Value: e.Level},
			{Name: "NumEntries", Value: strconv.Itoa(e.Entries)},
			{Name: "LastMessageTime", Value: beforeAllEvents},
			{Name: "AppName", Value: e.Source},
		}})
	}
	return xmltext.Format(root)
}

// Check says what EC2Config would not understand. The findings are ordered by
// their place in the file.
func (f *EventLogConfig) Check() []Finding {
	return f.check("EventLogConfig", func(c *ec2configChecker) {
		c.checkOtherElements(eventForm.item)
		rows := c.checkRows(c.doc.Root(), eventForm)
		for _, r := range rows {
			if r.text("Category") == "" {
				c.add(r.fields["Category"].StartEnd, finding.Error, "value", "name the event log, such as System", "Category names no event log")
			}
			c.checkWord(r.fields["ErrorType"], "ErrorType", eventLevels()...)
			if _, err := numEntries(r.text("NumEntries")); err != nil {
				c.add(r.fields["NumEntries"].StartEnd, finding.Error, "value", "write how many of the newest events are shown, 1 at least", "%s", err)
			}
			c.checkTime(r.fields["LastMessageTime"])
		}
		c.checkTwins(rows, "duplicate-event", func(r row) string {
			source := r.text("AppName")
			if source == "" {
				source = "every source"
			}
			return fmt.Sprintf("the entry for %s of %s in %s", r.text("ErrorType"), source, r.text("Category"))
		})
	})
}

// checkTime checks the time of the last event that was shown. EC2Config writes
// it itself; the form is that of XML Schema, whose time zone may be missing.
func (c *ec2configChecker) checkTime(e *xmltext.Element) {
	if e == nil {
		return
	}
	value := strings.TrimSpace(e.Text())
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if _, err := time.Parse(layout, value); err == nil {
			return
		}
	}
	c.add(e.StartEnd, finding.Error, "value", "write a time such as "+beforeAllEvents, "LastMessageTime is %q, not a time in the form of XML", value)
}
