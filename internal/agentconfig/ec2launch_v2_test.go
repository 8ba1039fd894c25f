package agentconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// planted is a strong password that no message may show.
const planted = "Planted-s3cret: \\#1"

func mustParseV2(t testing.TB, text string) *EC2LaunchV2 {
	t.Helper()
	f, err := ParseEC2LaunchV2("agent-config.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func errorIDs(found []Finding) []string {
	var ids []string
	for _, f := range found {
		if f.Severity == finding.Error {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// appliesCleanly carries settings out twice: the second time changes nothing,
// and the file has no error that it did not have before.
func appliesCleanly(t testing.TB, f *EC2LaunchV2, s EC2LaunchV2Settings) {
	t.Helper()
	before := errorIDs(f.Check())
	if err := f.Apply(s); err != nil {
		t.Errorf("applying %+v: %v", s, err)
		return
	}
	again, err := ParseEC2LaunchV2(f.Name(), f.Bytes())
	if err != nil {
		t.Fatalf("the edited file is broken: %v\n%s", err, f.Bytes())
	}
	for _, id := range errorIDs(again.Check()) {
		if !slices.Contains(before, id) {
			t.Errorf("the edit made an error: %s\n%s", id, f.Bytes())
		}
	}
	if err := again.Apply(s); err != nil || !bytes.Equal(again.Bytes(), f.Bytes()) {
		t.Errorf("applying the same settings again changes the file (%v):\n%s", err, cmp.Diff(string(f.Bytes()), string(again.Bytes())))
	}
}

// asJSON is a file in YAML as one in JSON, as the AWS user guide's PowerShell
// example writes it but for the indentation.
func asJSON(t testing.TB, text string) string {
	t.Helper()
	f := mustParseV2(t, text)
	var b strings.Builder
	jsonStyle{indent: "    ", colon: ":  ", comma: ", ", lineEnd: "\r\n"}.write(&b, f.root, 0)
	if !json.Valid([]byte(b.String())) {
		t.Fatalf("not JSON: %s", b.String())
	}
	return b.String() + "\r\n"
}

func TestTheDocumentedDefaultIsInOrder(t *testing.T) {
	f := mustParseV2(t, string(DefaultEC2LaunchV2()))
	if found := f.Check(); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	if f.HoldsSecret() || !bytes.Equal(f.Redacted(), DefaultEC2LaunchV2()) {
		t.Error("the default holds a secret")
	}
	var got []string
	for _, task := range f.Tasks() {
		got = append(got, fmt.Sprintf("%d:%d %s %s %s", task.Line, task.Column, task.Stage, task.Name, task.Frequency))
	}
	want := []string{
		"5:9 boot extendRootPartition once", "8:9 preReady activateWindows once", "12:9 preReady setDnsSuffix always",
		"16:9 preReady setAdminAccount once", "20:9 preReady setWallpaper always", "35:9 postReady startSsm always",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryTaskOfTheTableIsTakenInItsStagesAndNowhereElse(t *testing.T) {
	for _, rule := range taskRules {
		for _, stage := range stages() {
			text := "version: 1.1\nconfig:\n- stage: " + stage + "\n  tasks:\n  - task: " + rule.name + "\n"
			ids := errorIDs(mustParseV2(t, text).Check())
			if slices.Contains(ids, "task-stage") == slices.Contains(rule.stages, stage) {
				t.Errorf("%s in %s: %v", rule.name, stage, ids)
			}
		}
	}
}

func TestTasksKnowTheirFrequencyAndInputs(t *testing.T) {
	f := mustParseV2(t, `{"version": "1.1", "config": [{"stage": "PostReady", "tasks": [
	  {"task": "executescript", "inputs": [{"frequency": "once", "n": 1, "f": 1.5, "b": true, "z": null}, {"frequency": "once"}]},
	  {"task": "writeFile", "inputs": [{"frequency": "once"}, {"frequency": "always"}]},
	  {"task": "newTask", "inputs": ["x"]}, {"nothing": 1}, 7]}]}`)
	want := []Task{
		{"postReady", "executeScript", "once", []any{map[string]any{"frequency": "once", "n": 1, "f": 1.5, "b": true, "z": nil}, map[string]any{"frequency": "once"}}, 2, 4},
		{"postReady", "writeFile", "", []any{map[string]any{"frequency": "once"}, map[string]any{"frequency": "always"}}, 3, 4},
		{"postReady", "newTask", "", []any{"x"}, 4, 4},
	}
	if diff := cmp.Diff(want, f.Tasks()); diff != "" {
		t.Error(diff)
	}
}

// edits are edits of agent-config.yml, with the whole result in the golden file.
var edits = []struct {
	name string
	text string
	do   EC2LaunchV2Settings
}{
	{"a random password where there is one", defaultEC2LaunchV2, EC2LaunchV2Settings{Password: &Password{Mode: Random}}},
	{"a password of one's own", defaultEC2LaunchV2, EC2LaunchV2Settings{Password: &Password{Mode: Specify, Value: planted}}},
	{"the password is left alone", defaultEC2LaunchV2, EC2LaunchV2Settings{Password: &Password{Mode: Keep}}},
	{"a password of before goes and the name stays", compact, EC2LaunchV2Settings{Password: &Password{Mode: Random}}},
	{"setAdminAccount is added before setWallpaper", strings.Replace(defaultEC2LaunchV2, adminAccount, "", 1), EC2LaunchV2Settings{Password: &Password{Mode: Random}}},
	{"setAdminAccount is added at the end where there is no setWallpaper", "version: 1.0\nconfig:\n  - stage: preReady\n    tasks:\n      - task: enableOpenSsh\n", EC2LaunchV2Settings{Password: &Password{Mode: Keep}}},
	{"the stage of setAdminAccount is made", "version: 1.0\nconfig:\n  - stage: boot\n    tasks:\n      - task: extendRootPartition\n  - stage: postReady\n    tasks:\n      - task: startSsm\n", EC2LaunchV2Settings{Password: &Password{Mode: Random}}},
	{"a task is added to its stage", defaultEC2LaunchV2, EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "enableJumboFrames", ""}}}},
	{"a script is added as a block", defaultEC2LaunchV2, EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "executeScript", `[{"frequency": "once", "type": "powershell", "runAs": "localSystem", "content": "Get-Date\nExit 0\n"}]`}}}},
	{"a task keeps its place and its comment and gets new inputs", compact, EC2LaunchV2Settings{Tasks: []TaskSetting{{"preReady", "setDnsSuffix", "suffixes: ['example.com', 'yes']"}}}},
	{"a task loses its inputs", compact, EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "setHostName", ""}}}},
	{"a task is removed from one stage", compact, EC2LaunchV2Settings{Remove: []TaskRef{{"preReady", "executeScript"}}}},
	{"a task is removed from all stages, and the stage that has none left", compact, EC2LaunchV2Settings{Remove: []TaskRef{{"", "executeScript"}, {"", "setHostName"}}}},
	{"what is not there is removed without an error", compact, EC2LaunchV2Settings{Remove: []TaskRef{{"", "startSsm"}, {"network", "executeScript"}}}},
	{"stages are made in AWS's order", "version: 1.0\nconfig: []\n", EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "startSsm", ""}, {"boot", "extendRootPartition", ""}, {"network", "somethingNew", "{}"}}}},
	{"removing and adding moves a task to the end", compact, EC2LaunchV2Settings{Remove: []TaskRef{{"preReady", "setDnsSuffix"}}, Tasks: []TaskSetting{{"preReady", "setDnsSuffix", "suffixes: [a]"}}}},
	{"values that are missing stay so", "version: 1.0\nconfig:\n- stage: preReady\n  tasks:\n  - task: newTask\n    inputs:\n  - {task: newerTask, inputs: }\n  - task: newestTask\n    inputs: ~\n- stage: boot\n  tasks:\n", EC2LaunchV2Settings{Password: &Password{Mode: Keep}}},
	{"everything at once", compact, EC2LaunchV2Settings{
		Remove:   []TaskRef{{"", "setHostName"}},
		Tasks:    []TaskSetting{{"network", "newTask", "a: 1"}, {"PostReady", "initializevolume", `{"initialize": "devices", "devices": [{"device": "xvdb", "letter": "E"}]}`}},
		Password: &Password{Mode: Specify, Value: planted},
	}},
	{"JSON stays JSON", `{"version": "1.0", "config": [{"stage": "preReady", "tasks": [{"task": "setAdminAccount", "inputs": {"name": "Chef", "password": {"type": "static", "data": "x"}}}]}]}`, EC2LaunchV2Settings{Password: &Password{Mode: Keep}}},
	{"JSON without spaces stays so", `{"version":1.0,"config":[{"stage":"preReady","tasks":[]}]}`, EC2LaunchV2Settings{Password: &Password{Mode: Random}, Tasks: []TaskSetting{{"boot", "extendRootPartition", ""}}}},
	{"JSON keeps its tabs and a list on one line", "{\n\t\"version\": \"1.0\",\n\t\"config\": [\n\t\t{\n\t\t\t\"stage\": \"preReady\",\n\t\t\t\"tasks\": [\n\t\t\t\t{\"task\": \"setDnsSuffix\", \"inputs\": {\"suffixes\": [\"a\", \"b\"]}}\n\t\t\t]\n\t\t}\n\t]\n}\n", EC2LaunchV2Settings{Password: &Password{Mode: Specify, Value: planted}}},
}

const adminAccount = `      - task: setAdminAccount
        inputs:
          password:
            type: random
`

// compact is a file with lists in the column of their key, comments and texts
// of many kinds.
const compact = `---
# Ours, not AWS's.
version: "1.1" # newest
config:
- stage: preReady
  tasks:
  # Where names are looked up.
  - task: setDnsSuffix
    inputs:
      suffixes: [$REGION.ec2-utilities.amazonaws.com, 'corp.example']
  - task: setAdminAccount
    inputs:
      name: Chef # the account
      password:
        type: static
        data: Old-s3cret
  - task: executeScript
    inputs:
    - frequency: always
      type: powershell
      runAs: localSystem
      content: |-
        # a comment of the script
        Write-Output "a: b"

        Exit 0
      arguments: ["-Verbose", '%PATH%']
- stage: postReady
  tasks:
  - task: setHostName
    inputs: {reboot: true}
`

func TestEditsOfAgentConfig(t *testing.T) {
	var b strings.Builder
	for _, tt := range edits {
		f := mustParseV2(t, tt.text)
		appliesCleanly(t, f, tt.do)
		fmt.Fprintf(&b, "== %s\n%s\n", tt.name, strings.TrimSuffix(string(f.Bytes()), "\n"))

		crlf := "\xef\xbb\xbf" + strings.ReplaceAll(tt.text, "\n", "\r\n")
		g := mustParseV2(t, crlf)
		appliesCleanly(t, g, tt.do)
		if want := "\xef\xbb\xbf" + strings.ReplaceAll(string(f.Bytes()), "\n", "\r\n"); string(g.Bytes()) != want {
			t.Errorf("%s: a byte order mark and line ends of Windows do not stay:\n%s", tt.name, cmp.Diff(want, string(g.Bytes())))
		}

		if strings.HasPrefix(tt.text, "{") {
			continue
		}
		j := mustParseV2(t, asJSON(t, tt.text))
		appliesCleanly(t, j, tt.do)
		if !json.Valid(j.Bytes()) {
			t.Errorf("%s: not JSON any more: %s", tt.name, j.Bytes())
		}
		if diff := cmp.Diff(plain(f.root), plain(j.root)); diff != "" {
			t.Errorf("%s: the edit of the file in JSON means something else:\n%s", tt.name, diff)
		}
	}
	golden(t, "ec2launch-v2-edits.golden", b.String())
}

func TestRewritingTheDefaultChangesNothingButTheEdit(t *testing.T) {
	f := mustParseV2(t, defaultEC2LaunchV2)
	if err := f.Apply(EC2LaunchV2Settings{Password: &Password{Mode: Keep}}); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(defaultEC2LaunchV2, "type: random", "type: doNothing", 1); string(f.Bytes()) != want {
		t.Error(cmp.Diff(want, string(f.Bytes())))
	}
	flush := strings.NewReplacer("\n            - ", "\n      - ", "\n            ", "\n        ", "\n          ", "\n      ",
		"\n        ", "\n    ", "\n      ", "\n  ", "\n    ", "\n  ", "\n  ", "\n").Replace(defaultEC2LaunchV2)
	g := mustParseV2(t, flush)
	if err := g.Apply(EC2LaunchV2Settings{Remove: []TaskRef{{"", "startSsm"}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(flush, string(g.Bytes())) {
		t.Error(cmp.Diff(flush, string(g.Bytes())))
	}
}

func TestFlagsOfYAML11AreReadAsTheAgentReadsThem(t *testing.T) {
	f := mustParseV2(t, "config:\n- stage: postReady\n  tasks:\n  - task: setHostName\n    inputs: {hostName: on, reboot: Yes}\n"+
		"  - task: executeScript\n    inputs: [{content: no, detach: off}]\n  - task: startSsm\n    inputs: {x: yes}\n")
	want := []any{
		map[string]any{"hostName": "on", "reboot": true},
		[]any{map[string]any{"content": "no", "detach": false}},
		map[string]any{"x": "yes"},
	}
	for i, task := range f.Tasks() {
		if diff := cmp.Diff(want[i], task.Inputs); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAFileThatHasTheSettingsStaysAsItIs(t *testing.T) {
	text := "config:   # odd, but fine\n  -   {stage: PreReady, tasks: [ {task: setAdminAccount, inputs: {password: {type: 'random'}}} ]}\n\n\nversion:  1.0\n"
	f := mustParseV2(t, text)
	if err := f.Apply(EC2LaunchV2Settings{Password: &Password{Mode: Random}, Remove: []TaskRef{{"", "startSsm"}}}); err != nil || string(f.Bytes()) != text {
		t.Errorf("%v, %q", err, f.Bytes())
	}
}

func TestApplyToAgentConfigRefuses(t *testing.T) {
	tests := map[string]struct {
		text string
		do   EC2LaunchV2Settings
		want string
	}{
		"a file that is a list":      {"- a\n", EC2LaunchV2Settings{Password: &Password{Mode: Keep}}, "the file has no config"},
		"a file without config":      {"version: 1.0\n", EC2LaunchV2Settings{Password: &Password{Mode: Keep}}, "the file has no config"},
		"a stage that stands twice":  {"config:\n- stage: preReady\n- stage: PreReady\n", EC2LaunchV2Settings{Password: &Password{Mode: Keep}}, "setting administrator_password: the stage preReady stands twice, on the lines 2 and 3"},
		"a task that stands twice":   {"config:\n- stage: boot\n  tasks:\n  - task: a\n  - task: A\n", EC2LaunchV2Settings{Tasks: []TaskSetting{{"boot", "a", ""}}}, "setting task[0]: the task a stands twice in the stage boot, on the lines 4 and 5"},
		"tasks that are no list":     {"config:\n- stage: boot\n  tasks: hunter2\n", EC2LaunchV2Settings{Tasks: []TaskSetting{{"boot", "a", ""}}}, "tasks of the stage boot on line 3 is a text, not a list"},
		"a wrong setting":            {"config: []\n", EC2LaunchV2Settings{Tasks: []TaskSetting{{"", "a", ""}}}, `task[0].stage: "" is not one of boot, network, preReady, postReady`},
		"a password that is weak":    {"config: []\n", EC2LaunchV2Settings{Password: &Password{Specify, "hunter2"}}, "administrator_password.value: the password has fewer than 8 characters"},
		"an edit of a file in JSON ": {`{"config": 3}`, EC2LaunchV2Settings{Password: &Password{Mode: Keep}}, "the file has no config"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParseV2(t, tt.text)
			err := f.Apply(tt.do)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "agent-config.yml: ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if string(f.Bytes()) != tt.text {
				t.Error("the file has changed in spite of the error")
			}
		})
	}
}

func TestWrongSettingsOfTasksAreAllReportedAtOnce(t *testing.T) {
	s := EC2LaunchV2Settings{
		Remove: []TaskRef{{"bot", "x"}, {"", ""}, {"", "startSms"}},
		Tasks: []TaskSetting{
			{"userData", "executeScript", ""},
			{"postReady", "executeScrpt", ""},
			{"boot", "startSsm", ""},
			{"postReady", "executeScript", "- frequency: often\n  type: batch\n  arguments: [x]\n  content: x\n  runAs: admin"},
			{"postReady", "executeScript", ""},
			{"preReady", "setDnsSuffix", "suffixes:\n\t- a"},
			{"preReady", "setDnsSuffix", `{"suffixes": [}`},
			{"preReady", "setAdminAccount", "password: {type: static, data: hunter2}"},
			{"preReady", "setWallpaper", "# nothing"},
		},
		Password: &Password{Mode: Keep, Value: "hunter2"},
	}
	var got strings.Builder
	for _, err := range s.Validate() {
		fmt.Fprintln(&got, err)
	}
	if strings.Contains(got.String(), "hunter2") {
		t.Errorf("an error shows a secret:\n%s", got.String())
	}
	golden(t, "ec2launch-v2-validate.golden", got.String())
}

func TestNumbersOfAFileInJSONStayAsTheyAreWritten(t *testing.T) {
	const numbers = `[12345678901234567890, 1e400, 1.50, -0, 0]`
	text := `{"config": [{"stage": "boot", "tasks": [{"task": "newTask", "inputs": ` + numbers + `}]}]}`
	f := mustParseV2(t, text)
	appliesCleanly(t, f, EC2LaunchV2Settings{Tasks: []TaskSetting{{"boot", "extendRootPartition", ""}}})
	if !strings.Contains(string(f.Bytes()), numbers) {
		t.Errorf("got %s", f.Bytes())
	}
}

// TestAFileAsLargeAsAllowedIsReadInTime holds shapes on which a reader that
// counts twice takes minutes.
func TestAFileAsLargeAsAllowedIsReadInTime(t *testing.T) {
	for _, shape := range []string{"[", "{", "- ", "? ", "a: ", "'", "[a,", "{\"a\":1},", "\"a\" ", "#\n", "- a\n", "%\n"} {
		for _, begin := range []string{"", "x: ", "{\"x\":["} {
			start := time.Now()
			f, err := ParseEC2LaunchV2("f", []byte(begin+strings.Repeat(shape, (maxFile-10)/len(shape))))
			if err == nil {
				f.Check()
				f.Redacted()
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%q of %q took %v", begin, shape, took)
			}
		}
	}
}

func TestSecretsAreFoundAndHidden(t *testing.T) {
	const head = "version: 1.0\nconfig:\n- stage: preReady\n  tasks:\n"
	tests := map[string]struct {
		text   string
		secret bool
		shown  string // what must be left
	}{
		"in a block":                       {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: static\n        data: hunter2\n      name: Chef\n  - task: x\n", true, "name: Chef"},
		"in quotes":                        {head + "  - task: setAdminAccount\n    inputs: {password: {type: static, data: \"hunter2\"}, name: Chef}\n", true, "name: Chef"},
		"over several lines":               {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        data: |\n          hunter2\n\n          hunter2\n        type: static\n", true, "type: static"},
		"in quotes over several lines":     {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        data: 'hunter2\n\n          hunter2'\n        type: static\n  - task: next\n", true, "task: next"},
		"in place of the map":              {head + "  - task: setAdminAccount\n    inputs:\n      password: hunter2\n", true, "password: "},
		"in place of the inputs":           {head + "  - task: setAdminAccount\n    inputs: hunter2\n", true, "inputs: "},
		"in place of the type":             {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: hunter2\n", true, "type: "},
		"under a key that nobody knows":    {head + "  - task: setAdminAccount\n    inputs:\n      secret: [hunter2, hunter2]\n", true, "secret: "},
		"as a key":                         {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        hunter2:\n", true, "password:"},
		"in a task that is misspelled":     {head + "  - task: setAdminAcount\n    inputs:\n      password:\n        data: hunter2\n", true, "data: "},
		"unused":                           {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: random\n        data: hunter2\n", true, "type: random"},
		"encrypted":                        {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: encrypted\n        data: hunter2\n", false, "type: encrypted"},
		"in JSON":                          {`{"config": [{"stage": "preReady", "tasks": [{"task": "setAdminAccount", "inputs": {"password": {"type": "static", "data": "hunter2 \"hunter2\""}}}]}]}`, true, `"data": "(hidden)"}}}]}]}`},
		"in JSON as a map":                 {"{\"config\": [{\"stage\": \"preReady\", \"tasks\": [{\"task\": \"setAdminAccount\", \"inputs\": {\"password\": {\"data\": {\n\"a\": \"hunter2\"\n}}}}]}]}", true, `"tasks"`},
		"with a character of many bytes":   {head + "  - {task: setAdminAccount, inputs: {name: Ünïcödé, password: {data: hunter2}}}\n", true, "Ünïcödé"},
		"with line ends of Windows":        {strings.ReplaceAll(head+"  - task: setAdminAccount\n    inputs:\n      password:\n        data: |\n          hunter2\n          hunter2\n        type: static\n", "\n", "\r\n"), true, "type: static\r\n"},
		"a long one also in a comment":     {head + "  # hunter2hunter2\n  - task: setAdminAccount\n    inputs:\n      password:\n        data: hunter2hunter2\n", true, "# (hidden)"},
		"in inputs beside the tasks":       {head + "  - task: setAdminAccount\n  inputs:\n    password:\n      type: static\n      data: hunter2\n", true, "type: static"},
		"in a stage that is no item":       {"config:\n  stage: preReady\n  tasks:\n  - task: setAdminAccount\n    inputs:\n      password: {type: static, data: hunter2}\n", true, "task: setAdminAccount"},
		"in user data":                     {"tasks:\n- task: setAdminAccount\n  inputs:\n    Pasword: hunter2\n", true, "Pasword: "},
		"below a key that is misspelled":   {"Config:\n- stage: preReady\n  task:\n  - name: setAdminAccount\n    inputs:\n      password:\n        type: static\n        data: hunter2\n", true, "name: setAdminAccount"},
		"an empty one is none":             {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: random\n        data: ''\n", false, "type: random"},
		"none at all":                      {head + "  - task: setAdminAccount\n    inputs:\n      password:\n        type: random\n", false, "type: random"},
		"in another task's inputs is none": {head + "  - task: writeFile\n    inputs:\n    - content: x\n", false, "content: x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParseV2(t, tt.text)
			if f.HoldsSecret() != tt.secret {
				t.Errorf("HoldsSecret = %v", f.HoldsSecret())
			}
			out := string(f.Redacted())
			if strings.Contains(out, "hunter2") || !strings.Contains(out, tt.shown) {
				t.Errorf("redacted:\n%s", out)
			}
			if strings.Count(out, "\n") != strings.Count(tt.text, "\n") {
				t.Errorf("the lines are not the same:\n%s", out)
			}
			for _, x := range f.Check() {
				if strings.Contains(x.String(), "hunter2") {
					t.Errorf("a finding shows the secret: %v", x)
				}
			}
		})
	}
}

func TestAgentConfigSyntaxErrorsSayWhereAndWhy(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+2)
	tests := map[string]struct{ text, want string }{
		"nothing":                        {"", "1:1: the file is empty"},
		"white space":                    {" \r\n", "1:1: the file is empty"},
		"only a comment":                 {"# x\n", "1:1: the file is empty"},
		"a tab as indentation":           {"version: 1.0\nconfig:\n  - stage: boot\n\ttasks:\n", "4:1: line 4 begins with a tab; YAML allows only spaces for indentation"},
		"a tab behind spaces":            {"version: 1.0\nconfig:\n  - stage: boot\n  \ttasks:\n", "4:3: line 4 begins with a tab"},
		"a tab in the first lines":       {"\tversion: 1.0\n", "1:1: line 1 begins with a tab"},
		"an item that is too far left":   {"config:\n  - stage: boot\n - stage: network\n", "this block; is a line indented wrongly"},
		"a key that is too far right":    {"version: 1.0\n  config:\n", "2:3: a colon makes no sense here"},
		"a colon in a text":              {"a: b: hunter2\n", "1:1: a colon makes no sense here"},
		"a key without a colon":          {"version: 1.0\nhunter2\nconfig:\n", "a key without a colon"},
		"a path in double quotes":        {"a: \"C:\\Scripts\"\n", "1:1: in double quotes a backslash begins an escape"},
		"a quote that is not closed":     {"a: \"hunter2\n", "a text in quotes has no closing quote"},
		"a list that is not closed":      {"a: [hunter2\n", "a list in square brackets lacks"},
		"a map that is not closed":       {"a: {b: hunter2\n", "a map in braces lacks"},
		"a text that begins with @":      {"a: @hunter2\n", "1:1: a value cannot begin with this character; put the text in quotes"},
		"a text that begins with *":      {"a: *hunter2\n", "a word that begins with * is an alias"},
		"an anchor":                      {"a: &hunter2 b\n", "1:4: an anchor (a word that begins with &) is refused"},
		"an alias":                       {"a: &x b\nc: *x\n", "1:4: an anchor"},
		"a second document":              {"a: b\n---\nc: d\n", "2:1: a second document begins here"},
		"too deep":                       {"a: " + deep + strings.Repeat("]", maxDepth+2), "values are nested more than 64 deep"},
		"too long":                       {strings.Repeat("#", maxFile+1), "1:1: the file has 262145 bytes"},
		"a control character":            {"a: b\x01\n", "1:5: the text holds the character U+0001"},
		"bytes that are no UTF-8":        {"a: f\xfcr\n", "1:5: byte 0xfc is not UTF-8; save the file as UTF-8"},
		"UTF-16":                         {"\xff\xfea\x00:\x00", "1:1: the file is UTF-16; save it as UTF-8"},
		"line ends of old":               {"a: b\rc: d\r", "1:5: a carriage return without a line feed"},
		"JSON: a comma too many":         {"{\n \"a\": [1,\n 2,]}", "3:3: a comma before ']' is not allowed; remove it"},
		"JSON: a comment":                {"{\n // x\n}", "2:2: JSON has no comments; remove it"},
		"JSON: a comma missing":          {"{\"a\": 1 \"b\": 2}", "1:9: a comma or '}' is expected here, not \"\\\"\""},
		"JSON: a key without quotes":     {"{hunter2: 1}", "1:2: a key in double quotes is expected here"},
		"JSON: single quotes":            {"{'hunter2': 1}", "1:2: JSON wants double quotes, not single ones"},
		"JSON: typographic quotes":       {"{“a”: 1}", "1:2: a typographic quote; JSON wants the straight one (\")"},
		"JSON: a word":                   {"{\"a\": hunter2}", "1:7: a text must stand in double quotes"},
		"JSON: True":                     {"{\"a\": True}", "1:7: JSON writes true, false and null in small letters"},
		"JSON: a path":                   {`{"a": "C:\hunter2"}`, `1:10: a backslash begins an escape`},
		"JSON: half a character":         {`{"a": "\ud800x"}`, `1:8: half a character`},
		"JSON: a number with a zero":     {`{"a": 012}`, "1:7: this is no number as JSON writes it"},
		"JSON: a number without digits":  {`{"a": -}`, "1:7: this is no number as JSON writes it"},
		"JSON: a text over two lines":    {"{\"a\": \"hunter2\n\"}", "1:7: the text that begins here has no closing quote on its line"},
		"JSON: a control character":      {"{\"a\": \"\x01\"}", "1:8: the control character U+0001 must be written as \\u0001"},
		"JSON: the end is missing":       {"{\"a\": [1", "1:9: the file ends where a comma or ']' is expected"},
		"JSON: the end within a text":    {"{\"a\": \"hunter2", "1:7: the text that begins here has no closing quote"},
		"JSON: text behind the end":      {"{} x", "1:4: the end of the file is expected here"},
		"JSON: a colon missing":          {"{\"a\" 1}", "1:6: a colon behind the key is expected here"},
		"JSON: a value missing":          {"{\"a\": }", "1:7: a value is expected here, not \"}\""},
		"JSON: too deep":                 {deep, "1:65: values are nested more than 64 deep"},
		"JSON: bytes that are no UTF-8":  {"{\"a\": \"\xff\"}", "1:8: byte 0xff is not UTF-8"},
		"JSON: a column in characters":   {"{\"ü\": x}", "1:7: a text must stand in double quotes"},
		"JSON: braces of YAML are JSON ": {"{version: 1.0}", "1:2: a key in double quotes is expected here"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseEC2LaunchV2("f.yml", []byte(tt.text))
			var se *SyntaxError
			if !errors.As(err, &se) || !strings.HasPrefix(err.Error(), "f.yml:") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a value: %v", err)
			}
		})
	}
}
