package agentconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// event is an entry in the form in which programs add it to the real file.
func event(category, level, entries, at, source string) string {
	return "\n<Event><Category>" + category + "</Category><ErrorType>" + level + "</ErrorType><NumEntries>" + entries +
		"</NumEntries><LastMessageTime>" + at + "</LastMessageTime><AppName>" + source + "</AppName></Event>"
}

func events(list ...string) string {
	return "<EventLogConfig>" + strings.Join(list, "") + "\n</EventLogConfig>"
}

func TestWhatIsFoundInEventLogConfig(t *testing.T) {
	t.Parallel()
	const at = "2013-01-01T00:00:00.0000000+00:00"
	system := []Event{{Log: "System", Level: "Error", Entries: 3}}
	for _, test := range []struct {
		name, text string
		want       []string
		events     []Event
	}{
		{"a file as it should be", events(event("System", "Error", "3", at, ""), event("Application", "Information", "999999", "2008-09-10T00:00:00.000Z", "Mine")), nil, []Event{system[0], {"Application", "Mine", "Information", 999999}}},
		{"no events", events(), nil, nil},
		{"an entry without source and time", "<EventLogConfig><Event><Category>System</Category><ErrorType>Error</ErrorType><NumEntries>3</NumEntries></Event></EventLogConfig>", nil, system},
		{"another root element", "<Event/>", []string{"f.xml:1:1: error:", "(root-element)"}, nil},
		{"a level in another case", events(event("System", "error", "3", at, "")), []string{"f.xml:2:46: warning:", "(value)", "write Error"}, system},
		{"a level that nobody knows", events(event("System", "Critical", "3", at, "")), []string{"error", "(value)", "write Error or Warning or Information"}, nil},
		{"a number in words", events(event("System", "Error", "three", at, "")), []string{"f.xml:2:75: error:", "(value)", `NumEntries is "three"`}, nil},
		{"none of the newest", events(event("System", "Error", "0", at, "")), []string{"error", "(value)"}, nil},
		{"more than anybody has", events(event("System", "Error", "99999999999", at, "")), []string{"error", "(value)"}, nil},
		{"no log", events(event("", "Error", "3", at, "")), []string{"error", "(value)", "names no event log"}, nil},
		{"a time of another form", events(event("System", "Error", "3", "01/01/2013", "")), []string{"error", "(value)", "01/01/2013"}, system},
		{"an entry twice", events(event("System", "Error", "3", at, ""), event("system", "Error", "5", at, "")), []string{"f.xml:3:1: error:", "(duplicate-event)", "line 2"}, []Event{system[0], {"system", "", "Error", 5}}},
		{"an entry without number", strings.Replace(events(event("System", "Error", "3", at, "")), "<NumEntries>3</NumEntries>", "", 1), []string{"f.xml:2:1: error:", "(shape)", "no <NumEntries>"}, nil},
		{"an entry with two sources", strings.Replace(events(event("System", "Error", "3", at, "")), "<AppName>", "<AppName>a</AppName><AppName>", 1), []string{"error", "(shape)", "<AppName> stands twice"}, nil},
		{"an element that nobody knows", "<EventLogConfig><Evnt/></EventLogConfig>", []string{"warning", "(unknown-element)"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseEventLogConfig("f.xml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			wantFinding(t, found(t, f), test.want)
			if diff := cmp.Diff(test.events, f.Events()); diff != "" {
				t.Errorf("the events differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventsAreReadBack(t *testing.T) {
	t.Parallel()
	want := []Event{{"System", "", "Error", 3}, {"Application", "Märchen & Söhne", "Information", 1}}
	data := FormatEventLogConfig(want)
	golden(t, "EventLogConfig.golden", string(data))
	f, err := ParseEventLogConfig("f.xml", data)
	if err != nil {
		t.Fatal(err)
	}
	wantFinding(t, found(t, f), nil)
	if diff := cmp.Diff(want, f.Events()); diff != "" {
		t.Errorf("the events differ (-want +got):\n%s", diff)
	}
}
