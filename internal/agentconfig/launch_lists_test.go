package agentconfig

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var mappingChecks = []struct{ name, text string }{
	{"nothing to find", `{"driveLetterMapping": [{"volumeName": "Data", "driveLetter": "D"}, {"VolumeName": "Logs", "DRIVELETTER": "e"}]}`},
	{"an object without brackets", `{"driveLetterMapping": {"volumeName": "Data", "driveLetter": "D"}}`},
	{"the file is a list", `[{"volumeName": "Data", "driveLetter": "D"}]`},
	{"no list", `{}`},
	{"an empty list", `{"driveLetterMapping": []}`},
	{"a text instead of a list", `{"driveLetterMapping": "D"}`},
	{"a key that is misspelled", `{"driveLetterMappings": []}`},
	{"entries that are none", `{"driveLetterMapping": ["D", {}, {"volumeName": 1, "driveLetter": null}]}`},
	{"letters that are none", `{"driveLetterMapping": [{"volumeName": "a", "driveLetter": "D:"}, {"volumeName": "b", "driveLetter": "C"}, {"volumeName": "c", "driveLetter": ""}, {"volumeName": "d", "driveLetter": "1"}]}`},
	{"labels that are none", `{"driveLetterMapping": [{"volumeName": " ", "driveLetter": "D"}, {"volumeName": "` + strings.Repeat("x", 33) + `", "driveLetter": "E"}, {"volumeName": "Bob's", "driveLetter": "F"}, {"volumeName": "a\tb", "driveLetter": "G"}]}`},
	{"a volume and a letter that stand twice", "{\"driveLetterMapping\": [\n{\"volumeName\": \"Data\", \"driveLetter\": \"D\"},\n{\"volumeName\": \"DATA\", \"driveLetter\": \"d\"}]}"},
	{"a label outside ASCII", `{"driveLetterMapping": [{"volumeName": "Däta", "driveLetter": "D"}]}`},
	{"a label outside ASCII with a byte order mark", "\xef\xbb\xbf" + `{"driveLetterMapping": [{"volumeName": "Däta", "driveLetter": "D"}]}`},
}

var eventChecks = []struct{ name, text string }{
	{"nothing to find", `{"events": [{"logName": "System", "source": "", "level": "Error", "numEntries": 3}, {"LogName": "Application", "level": "warning", "numEntries": "999"}]}`},
	{"no list", `{"Events": null}`},
	{"an empty list", `{"events": []}`},
	{"a key that is misspelled", `{"event": []}`},
	{"an empty entry", `{"events": [{}]}`},
	{"an object without brackets", `{"events": {"logName": "System", "source": null, "level": "Error", "numEntries": 3}}`},
	{"values that are none", `{"events": [{"logName": "", "source": 5, "level": "Critical", "numEntries": 0}, {"logName": 1, "source": [], "level": 2, "numEntries": 1000}, {"logName": "System", "level": "", "numEntries": 1.5}, {"logName": "System", "level": null, "numEntries": true}]}`},
	{"an entry that is a text", `{"events": ["System"]}`},
	{"the placeholder of the documentation", `{"events": [{"logName": "System", "source": "An event source (optional)", "level": "Error | Warning | Information", "numEntries": 3}]}`},
}

func TestWhatIsFoundInListsOfEC2Launch(t *testing.T) {
	var b strings.Builder
	for _, tt := range mappingChecks {
		f, err := ParseDriveLetterMapping("DriveLetterMappingConfig.json", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== drive letters: %s\n%s", tt.name, found(t, f))
		unedited(t, f, tt.text)
	}
	for _, tt := range eventChecks {
		f, err := ParseEventLog("EventLogConfig.json", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== events: %s\n%s", tt.name, found(t, f))
		unedited(t, f, tt.text)
	}
	golden(t, "ec2launch-lists-check.golden", b.String())
}

func unedited(t *testing.T, f settingFile, text string) {
	t.Helper()
	if string(f.Bytes()) != text || string(f.Redacted()) != text || f.HoldsSecret() {
		t.Errorf("a file without secrets that nobody edited has changed: %s", f.Bytes())
	}
}

func TestDriveLettersAreWrittenAsTheyAreRead(t *testing.T) {
	for name, letters := range map[string][]DriveLetter{
		"two":                 {{"Data", "D"}, {"Temporary Storage 0", "z"}},
		"a character of many": {{`Dä"t\a`, "E"}},
	} {
		text := FormatDriveLetterMapping(letters)
		f, err := ParseDriveLetterMapping("f", text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(letters, f.Letters()); diff != "" || len(f.Check()) > 0 || len(ValidateDriveLetters(letters)) > 0 {
			t.Errorf("%s: %s\n%v\n%s", name, diff, f.Check(), text)
		}
	}
	if got, want := string(FormatDriveLetterMapping([]DriveLetter{{"Data", "D"}})), "{\n  \"driveLetterMapping\": [\n    {\n      \"volumeName\": \"Data\",\n      \"driveLetter\": \"D\"\n    }\n  ]\n}\n"; got != want {
		t.Errorf("got %s", got)
	}
	one, err := ParseDriveLetterMapping("f", []byte(`{"driveLetterMapping": {"volumeName": "Data", "driveLetter": "D"}}`))
	if err != nil || !cmp.Equal(one.Letters(), []DriveLetter{{"Data", "D"}}) {
		t.Errorf("%v, %v", one.Letters(), err)
	}
	if none, err := ParseDriveLetterMapping("f", []byte(`{"driveLetterMapping": [{"volumeName": "Data"}, 1]}`)); err != nil || len(none.Letters()) > 0 {
		t.Errorf("%v, %v", none.Letters(), err)
	}
}

func TestEventsAreWrittenAsTheyAreRead(t *testing.T) {
	events := []Event{{"System", "", "Error", 3}, {"Microsoft-Windows-TaskScheduler/Operational", "Ünïcode", "Information", 999}}
	text := FormatEventLog(events)
	f, err := ParseEventLog("f", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, f.Events()); diff != "" || len(f.Check()) > 0 || len(ValidateEvents(events)) > 0 {
		t.Errorf("%s\n%v\n%s", diff, f.Check(), text)
	}
	if none, err := ParseEventLog("f", []byte(`{"events": [{"level": "Error"}, 1]}`)); err != nil || len(none.Events()) > 0 {
		t.Errorf("%v, %v", none.Events(), err)
	}
}

func TestWrongDriveLettersAreAllReportedAtOnce(t *testing.T) {
	got := errorLines(ValidateDriveLetters([]DriveLetter{
		{"Data", "D"}, {"data", "d"}, {"", "C"}, {"x", "D:"}, {strings.Repeat("x", 33), ""}, {"a\nb", "F"},
	}))
	want := []string{
		`drive_letter[1].volume: "data" has its letter from drive_letter[0] already`,
		`drive_letter[1].letter: d is the letter of drive_letter[0] already`,
		`drive_letter[2].volume: "" has no label`,
		`drive_letter[2].letter: "C" is no drive letter from D to Z, without a colon`,
		`drive_letter[3].letter: "D:" is no drive letter from D to Z, without a colon`,
		`drive_letter[4].volume: "` + strings.Repeat("x", 33) + `" has a label of more than 32 characters, which Windows does not allow`,
		`drive_letter[4].letter: "" is no drive letter from D to Z, without a colon`,
		`drive_letter[5].volume: "a\nb" has a control character in its label`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongEventsAreAllReportedAtOnce(t *testing.T) {
	got := errorLines(ValidateEvents([]Event{
		{"System", "", "Error", 1}, {"SYSTEM", "", "error", 2}, {" ", "a\nb", "Critical", 0}, {"System", "x", "", 1000},
	}))
	want := []string{
		`event_log[1]: the same events are shown by event_log[0] already`,
		`event_log[2].log: the name of an event log is missing, such as System`,
		`event_log[2].source: the name holds a control character`,
		`event_log[2].level: "Critical" is not one of Error, Warning, Information`,
		`event_log[2].entries: 0 is not between 1 and 999`,
		`event_log[3].level: "" is not one of Error, Warning, Information`,
		`event_log[3].entries: 1000 is not between 1 and 999`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func errorLines(errs []error) []string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return lines
}
