package batchfile

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s\nrun the test with -update if the change is meant", path, diff)
	}
}

const (
	lock   = `reg add "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 1 /f`
	unlock = `reg add "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 0 /f`
)

// scripts are shipped scripts, and what goes wrong with them, by name.
var scripts = []struct {
	name    string
	shipped string
}{
	{"one line as AWS ships it", lock},
	{"one line with a line end", lock + "\r\n"},
	{"no script at all", ""},
	{"LF only", "@echo off\n" + lock + "\n"},
	{"an exit at the end", "@echo off\r\n" + lock + "\r\nexit /b 0\r\n"},
	{"an exit with the last code", lock + "\r\nexit /b\r\n"},
	{"a subroutine behind the end", "@echo off\r\ncall :sub\r\ngoto :eof\r\n:sub\r\necho hello\r\nexit /b 0\r\n"},
	{"an error branch", "@echo off\r\n" + lock + " || goto fail\r\nexit /b 0\r\n:fail\r\nexit /b 1\r\n"},
	{"an exit inside a block", "if exist C:\\x (\r\n  echo gone\r\n  exit /b 1\r\n)\r\n" + lock + "\r\n"},
	{"a continued line", "echo one ^\r\n  exit two\r\n" + lock + "\r\n"},
	{"a byte order mark", "\ufeff@echo off\r\n" + lock + "\r\n"},
	{"a call of the agent's script", `call "C:\Program Files\Amazon\Ec2ConfigService\Scripts\PostSysprep.cmd"` + "\r\n"},
	{"a jump over the rest", "goto main\r\n:sub\r\ngoto :eof\r\n:main\r\necho x\r\n"},
	{"an end behind another command", "echo bye & exit /b 3\r\n"},
	{"a caret at the end", "echo x ^"},
	{"an open parenthesis", "if 1==1 (\r\n  echo x\r\n"},
}

func TestAppendedCommandsStandWhereTheyRun(t *testing.T) {
	commands := []string{`echo "one"`, `powershell.exe -File C:\two.ps1`}
	var b strings.Builder
	for _, s := range scripts {
		out, err := Append(BeforeSysprep, []byte(s.shipped), commands)
		if err != nil {
			fmt.Fprintf(&b, "== %s\nerror: %v\n", s.name, err)
			continue
		}
		fmt.Fprintf(&b, "== %s\n%s", s.name, strings.ReplaceAll(string(out), "\r\n", "\n"))
		if bytes.Count(out, []byte("\n")) != bytes.Count(out, []byte("\r\n")) || bytes.Contains(out, []byte("\r\r")) {
			t.Errorf("%s: the line ends are not all CR LF: %q", s.name, out)
		}
		if bytes.HasPrefix(out, bom) {
			t.Errorf("%s: the byte order mark is still there", s.name)
		}
		if strings.Contains(s.shipped, lock) && !ClosesRDP(out) {
			t.Errorf("%s: the line that locks RDP is lost", s.name)
		}
	}
	golden(t, "append.golden", b.String())
}

func TestAppendingNothingOnlyMakesTheEndSure(t *testing.T) {
	out, err := Append(BeforeSysprep, []byte(lock), nil)
	if want := lock + "\r\nexit /b 0\r\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v", out, err)
	}
	again, err := Append(BeforeSysprep, out, nil)
	if err != nil || !bytes.Equal(again, out) {
		t.Errorf("a second time gives %q, %v", again, err)
	}
}

func TestCommandsThatCannotBeALineAreRefused(t *testing.T) {
	tests := map[string]struct{ command, want string }{
		"an empty one":             {"  ", "command 2 is empty"},
		"two lines":                {"echo a\necho b", "command 2, column 7: a line end"},
		"a letter outside ASCII":   {"echo für", `command 2, column 7: the character 'ü' (U+00FC) is not ASCII`},
		"a control character":      {"echo \x1b", "command 2, column 6: the control character U+001B"},
		"a byte that is no letter": {"echo \xff", "command 2, column 6: a byte that is not ASCII"},
		"one that is too long":     {strings.Repeat("x", maxLine+1), "command 2 has 8192 characters"},
		"one that swallows a line": {"echo a ^", "command 2 ends in ^"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Append(SetupComplete, nil, []string{"echo fine", tt.command})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "SetupComplete.cmd") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if err := CheckCommands([]string{"", "ü"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want both errors, got %v", err)
	}
}

func TestAppendRefusesAUTF16Script(t *testing.T) {
	if _, err := Append(BeforeSysprep, []byte{0xff, 0xfe, 'e', 0}, []string{"echo"}); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("error %v", err)
	}
}

func TestReplaceMakesTheUsersScriptReady(t *testing.T) {
	tests := map[string]struct{ in, want, err string }{
		"nothing":                      {"", "exit /b 0\r\n", ""},
		"LF and no end":                {"@echo off\necho a", "@echo off\r\necho a\r\nexit /b 0\r\n", ""},
		"a byte order mark":            {"\ufeffecho a\r\nexit /b 0\r\n", "echo a\r\nexit /b 0\r\n", ""},
		"an end of its own":            {"echo a\nexit /b %RC%\n\n", "echo a\r\nexit /b %RC%\r\n\r\n", ""},
		"a subroutine at the end":      {"call :s\nexit /b 0\n:s\necho s\ngoto :eof\n", "call :s\r\nexit /b 0\r\n:s\r\necho s\r\ngoto :eof\r\n", ""},
		"a comment behind the end":     {"exit /b 0\nrem end\n", "exit /b 0\r\nrem end\r\n", ""},
		"an end that a condition gets": {"if exist x exit /b 0\n", "if exist x exit /b 0\r\nexit /b 0\r\n", ""},
		"a letter outside ASCII":       {"echo a\r\necho für\r\n", "", `my.cmd:2:7: the character 'ü' (U+00FC) is not ASCII`},
		"UTF-16":                       {"\xff\xfee\x00", "", "my.cmd: the file is UTF-16"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := Replace("my.cmd", []byte(tt.in))
			switch {
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			case tt.err == "" && (err != nil || string(out) != tt.want):
				t.Errorf("got %q, %v; want %q", out, err, tt.want)
			}
		})
	}
}

func TestTheLastWordOnRDPCounts(t *testing.T) {
	tests := map[string]struct {
		script        string
		closes, opens bool
	}{
		"locked":                 {lock, true, false},
		"unlocked":               {unlock, false, true},
		"locked, then unlocked":  {lock + "\r\n" + unlock, false, true},
		"in a comment":           {"rem " + lock, false, false},
		"in hexadecimal":         {strings.Replace(lock, "/d 1", "/d 0x00000001", 1), true, false},
		"on a continued line":    {strings.Replace(lock, "/v ", "^\r\n/v ", 1), true, false},
		"not at all":             {"echo", false, false},
		"only read":              {`reg query "HKLM\X" /v fDenyTSConnections`, false, false},
		"in upper case, AT sign": {"@" + strings.ToUpper(lock), true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if c, o := ClosesRDP([]byte(tt.script)), OpensRDP([]byte(tt.script)); c != tt.closes || o != tt.opens {
				t.Errorf("closes %v, opens %v", c, o)
			}
		})
	}
}

func TestCloseWinRMGoesThroughAppendWithoutAFinding(t *testing.T) {
	out, err := Append(SetupComplete, nil, CloseWinRM())
	if err != nil {
		t.Fatal(err)
	}
	if found := Check(SetupComplete, "SetupComplete.cmd", out, nil); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	golden(t, "close-winrm.golden", strings.ReplaceAll(string(out), "\r\n", "\n"))
}

func FuzzScripts(f *testing.F) {
	for _, s := range scripts {
		f.Add([]byte(s.shipped), "echo a")
	}
	for _, tt := range checks {
		f.Add([]byte(tt.script), "exit")
	}
	f.Fuzz(func(t *testing.T, data []byte, command string) {
		for _, kind := range []Kind{BeforeSysprep, SysprepSpecialize, SetupComplete} {
			Check(kind, "x.cmd", data, data)
		}
		if out, err := Replace("x.cmd", data); err == nil {
			if lines := splitLines(out); balanced(lines) && !endsItself(lines) {
				t.Errorf("the replaced script runs out: %q", out)
			}
			if again, err := Replace("x.cmd", out); err != nil || !bytes.Equal(again, out) {
				t.Errorf("replacing %q again gives %q, %v", out, again, err)
			}
		}
		out, err := Append(BeforeSysprep, data, []string{command})
		if err != nil {
			return
		}
		if !slices.Contains(splitLines(out), command) {
			t.Errorf("the command %q is lost in %q", command, out)
		}
		if bytes.Count(out, []byte("\n")) != bytes.Count(out, []byte("\r\n")) {
			t.Errorf("a line without CR LF: %q", out)
		}
		shipped := splitLines(bytes.TrimPrefix(data, bom))
		left := splitLines(out)
		for _, line := range shipped {
			i := slices.Index(left, line)
			if i < 0 {
				t.Fatalf("the shipped line %q is lost or moved in %q", line, out)
			}
			left = left[i+1:]
		}
	})
}
