package batchfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// checks are scripts and what is found in each: severity, ID, line:column.
var checks = []struct {
	name   string
	kind   Kind
	script string
	want   []string
}{
	{"a script as it should be", BeforeSysprep, lock + "\r\nexit /b 0\r\n", nil},
	{"nothing at all", SetupComplete, "", nil},
	{"UTF-16", SetupComplete, "\xff\xfee\x00", []string{"error encoding 1:1"}},
	{"UTF-16 without a mark", SetupComplete, "e\x00x\x00", []string{"error encoding 1:1"}},
	{"a byte order mark", SetupComplete, "\ufeffecho a\r\nexit /b 0\r\n", []string{"error byte-order-mark 1:1"}},
	{"LF", SetupComplete, "echo a\nexit /b 0\n", []string{"warning line-ends 1:1"}},
	{"a letter outside ASCII", SetupComplete, "echo a\r\necho für\r\nexit /b 0\r\n", []string{"error not-ascii 2:7"}},
	{"a line that is too long", SetupComplete, "echo " + strings.Repeat("x", 8200) + "\r\nexit /b 0\r\n", []string{"error line-length 1:1"}},
	{"a line that is too long when joined", SetupComplete, "echo " + strings.Repeat("x", 5000) + "^\r\n" + strings.Repeat("y", 5000) + "\r\nexit /b 0\r\n", []string{"error line-length 1:1"}},
	{"an open parenthesis", SetupComplete, "if exist x (\r\necho a\r\nexit /b 0\r\n", []string{"warning parentheses 3:1"}},
	{"a parenthesis in quotes", SetupComplete, "echo \"(\"\r\nexit /b 0\r\n", nil},
	{"a jump to nowhere", SetupComplete, "if errorlevel 1 goto fial\r\nexit /b 0\r\n:fail\r\nexit /b 0\r\n", []string{"error missing-label 1:1"}},
	{"a call of nothing", SetupComplete, "call :sub\r\nexit /b 0\r\n", []string{"error missing-label 1:1"}},
	{"jumps that are right", SetupComplete, "goto :end\r\n: end trailing words\r\ngoto:eof\r\n", []string{"warning no-exit 3:1"}},
	{"a computed jump", SetupComplete, "goto %WHERE%\r\nexit /b 0\r\n", nil},
	{"a word about a jump", SetupComplete, "echo please goto hell\r\nrem goto x\r\n:: goto y\r\nexit /b 0\r\n", nil},
	{"a label twice", SetupComplete, ":a\r\necho\r\n:A\r\nexit /b 0\r\n", []string{"warning duplicate-label 3:1"}},
	{"no end", SetupComplete, "echo a\r\nrem b\r\n", []string{"warning no-exit 1:1"}},
	{"an end with whatever code there is", SetupComplete, "echo a\r\nexit /b\r\n", []string{"warning no-exit 2:1"}},
	{"exit that takes cmd.exe along", SetupComplete, "echo a\r\nexit 0\r\n", []string{"warning exit-without-b 2:1", "warning no-exit 2:1"}},
	{"a failure for good", BeforeSysprep, lock + "\r\nexit /b 1\r\n", []string{"error exit-code 2:1"}},
	{"a failure on a condition", BeforeSysprep, lock + "\r\nif errorlevel 1 exit /b 2\r\nexit /b 0\r\n", []string{"warning exit-code 2:1"}},
	{"pause", SetupComplete, "pause\r\nexit /b 0\r\n", []string{"error waits-for-input 1:1"}},
	{"set /p", SetupComplete, "set /p X=Name?\r\nexit /b 0\r\n", []string{"error waits-for-input 1:1"}},
	{"a word about pause", SetupComplete, "echo pause\r\nexit /b 0\r\n", nil},
	{"a batch file without call", SetupComplete, "C:\\a.cmd /q\r\nexit /b 0\r\n", []string{"warning batch-without-call 1:1"}},
	{"a quoted batch file without call", SetupComplete, "\"C:\\Program Files\\a.bat\"\r\nexit /b 0\r\n", []string{"warning batch-without-call 1:1"}},
	{"a batch file with call", SetupComplete, "call C:\\a.cmd\r\nexit /b 0\r\n", nil},
	{"a shutdown", BeforeSysprep, lock + "\r\nshutdown /r /t 0\r\nexit /b 0\r\n", []string{"error shuts-down 2:1"}},
	{"a shutdown that is called off", BeforeSysprep, lock + "\r\nshutdown /a\r\nexit /b 0\r\n", nil},
	{"Sysprep itself", BeforeSysprep, lock + "\r\nC:\\Windows\\System32\\Sysprep\\sysprep.exe /generalize\r\nexit /b 0\r\n", []string{"error shuts-down 2:1"}},
	{"no lock", BeforeSysprep, "exit /b 0\r\n", []string{"warning rdp-lock-lost 0:0"}},
	{"no unlock", SysprepSpecialize, lock + "\r\nexit /b 0\r\n", []string{"warning rdp-unlock-lost 0:0"}},
	{"an unlock", SysprepSpecializePhase, unlock + "\r\nexit /b 0\r\n", nil},
}

func TestCheckFinds(t *testing.T) {
	for _, tt := range checks {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range Check(tt.kind, "x.cmd", []byte(tt.script), nil) {
				got = append(got, fmt.Sprintf("%s %s %d:%d", f.Severity, f.ID, f.Line, f.Column))
				if f.Message == "" || f.Remedy == "" || f.File != "x.cmd" {
					t.Errorf("an incomplete finding: %+v", f)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestWhatTheShippedScriptDidNotDoIsNotMissed(t *testing.T) {
	without := []byte("echo nothing about RDP\r\nexit /b 0\r\n")
	if found := Check(BeforeSysprep, "x.cmd", without, without); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	found := Check(BeforeSysprep, "x.cmd", without, []byte(lock))
	if len(found) != 1 || found[0].ID != "rdp-lock-lost" || found[0].Severity != finding.Warning {
		t.Errorf("found %v", found)
	}
}
