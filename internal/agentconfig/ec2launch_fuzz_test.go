package agentconfig

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keepsItsBytes checks what holds for every file that can be read.
func keepsItsBytes(t *testing.T, f settingFile, data []byte) {
	t.Helper()
	if !bytes.Equal(f.Bytes(), data) {
		t.Errorf("%q comes out as %q", data, f.Bytes())
	}
	for _, x := range f.Check() {
		if x.ID == "" || x.Message == "" || x.Remedy == "" || x.File != "f" || x.Line > 0 && x.Column < 1 {
			t.Errorf("an incomplete finding: %+v", x)
		}
	}
	redacted := f.Redacted()
	if bytes.Count(redacted, []byte("\n")) != bytes.Count(data, []byte("\n")) {
		t.Errorf("%q has other lines when redacted: %q", data, redacted)
	}
}

func FuzzParseEC2LaunchV2(f *testing.F) {
	f.Add([]byte(defaultEC2LaunchV2))
	f.Add([]byte(compact))
	f.Add([]byte(strings.ReplaceAll(compact, "\n", "\r\n")))
	for _, tt := range checks {
		f.Add([]byte(tt.text))
		f.Add([]byte(asJSON(f, tt.text)))
	}
	for _, tt := range edits {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseEC2LaunchV2("f", data)
		if err != nil {
			return
		}
		keepsItsBytes(t, file, data)
		for _, s := range file.secrets() {
			if len(s.node.Value) >= minPassword && s.node.Value != "(hidden)" && bytes.Contains(file.Redacted(), []byte(s.node.Value)) {
				t.Errorf("%q shows its secret when redacted: %q", data, file.Redacted())
			}
		}
		if len(errorIDs(file.Check())) > 0 {
			return
		}
		before := otherTasks(file)
		settings := EC2LaunchV2Settings{
			Remove:   []TaskRef{{"", "startSsm"}},
			Tasks:    []TaskSetting{{"postReady", "executeScript", `[{"frequency": "always", "type": "batch", "runAs": "admin", "content": "a\nb\n"}]`}},
			Password: &Password{Mode: Specify, Value: planted},
		}
		if err := file.Apply(settings); errors.Is(err, errNotEditable) {
			if !bytes.Equal(file.Bytes(), data) {
				t.Errorf("%q has changed in spite of the error: %q", data, file.Bytes())
			}
			return
		}
		appliesCleanly(t, file, settings)
		if diff := cmp.Diff(before, otherTasks(file)); diff != "" {
			t.Errorf("an edit of %q changes other tasks:\n%s", data, diff)
		}
		if !file.HoldsSecret() || !bytes.Contains(data, []byte("s3cret")) && bytes.Contains(file.Redacted(), []byte("s3cret")) {
			t.Errorf("the password is not hidden:\n%s", file.Redacted())
		}
	})
}

// otherTasks are the tasks that the edit of the fuzz target leaves alone.
func otherTasks(f *EC2LaunchV2) []Task {
	var tasks []Task
	for _, t := range f.Tasks() {
		if !slices.Contains([]string{"startSsm", taskExecuteScript, taskSetAdminAccount}, t.Name) {
			t.Line, t.Column = 0, 0
			tasks = append(tasks, t)
		}
	}
	return tasks
}

func FuzzParseLaunchConfig(f *testing.F) {
	for _, tt := range launchChecks {
		f.Add([]byte(tt.text))
		f.Add([]byte(utf16Marked(tt.text)))
	}
	for _, tt := range launchEdits {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseLaunchConfig("f", data)
		if err != nil {
			return
		}
		keepsItsBytes(t, file, data)
		before := errorIDs(file.Check())
		s := LaunchConfigSettings{ptr(true), ptr(true), ptr(false), ptr(true), ptr(true), ptr(false), &Password{Mode: Specify, Value: planted}}
		if err := file.Apply(s); err != nil {
			if len(before) == 0 {
				t.Errorf("a good file cannot be edited: %v\n%q", err, data)
			}
			if !bytes.Equal(file.Bytes(), data) {
				t.Errorf("%q has changed in spite of the error: %q", data, file.Bytes())
			}
			return
		}
		again, err := ParseLaunchConfig("f", file.Bytes())
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%q", err, file.Bytes())
		}
		for _, id := range errorIDs(again.Check()) {
			if !slices.Contains(before, id) {
				t.Errorf("the edit made an error: %s\n%q", id, file.Bytes())
			}
		}
		if got, ok := again.Value("adminpassword"); !ok || got != planted || !again.HoldsSecret() || !bytes.Contains(data, []byte("s3cret")) && bytes.Contains(again.Redacted(), []byte("s3cret")) {
			t.Errorf("the password is %q, %v\n%q", got, ok, again.Redacted())
		}
		if err := again.Apply(s); err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
			t.Errorf("applying the same settings again changes the file: %v\n%q\n%q", err, file.Bytes(), again.Bytes())
		}
	})
}

func FuzzParseDriveLetterMapping(f *testing.F) {
	for _, tt := range mappingChecks {
		f.Add([]byte(tt.text))
		f.Add([]byte(utf16Marked(tt.text)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseDriveLetterMapping("f", data)
		if err != nil {
			return
		}
		keepsItsBytes(t, file, data)
		if len(file.Check()) > 0 {
			return
		}
		again, err := ParseDriveLetterMapping("f", FormatDriveLetterMapping(file.Letters()))
		if err != nil || len(again.Check()) > 0 || len(ValidateDriveLetters(again.Letters())) > 0 || !cmp.Equal(again.Letters(), file.Letters()) {
			t.Errorf("%q is written as %q: %v", data, FormatDriveLetterMapping(file.Letters()), err)
		}
	})
}

func FuzzParseEventLog(f *testing.F) {
	for _, tt := range eventChecks {
		f.Add([]byte(tt.text))
		f.Add([]byte(utf16Marked(tt.text)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseEventLog("f", data)
		if err != nil {
			return
		}
		keepsItsBytes(t, file, data)
		if len(file.Check()) > 0 {
			return
		}
		again, err := ParseEventLog("f", FormatEventLog(file.Events()))
		if err != nil || len(again.Check()) > 0 || !cmp.Equal(again.Events(), file.Events()) {
			t.Errorf("%q is written as %q: %v", data, FormatEventLog(file.Events()), err)
		}
	})
}
