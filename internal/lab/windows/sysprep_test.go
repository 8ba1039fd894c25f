package windows

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with its file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, path, want)
	}
}

// timeline runs the agent's sysprep and tells every change, second by second,
// and what stands in the logs afterwards.
func timeline(b *bench, limit time.Duration) string {
	b.t.Helper()
	before := len(b.mustFile(actionLog))
	beforeErrors := len(b.mustFile(errorLog))
	began := time.Now()
	b.Execute(v2Program, "sysprep")
	// Nothing else happens at a quarter of a second.
	quarter := time.NewTimer(250 * time.Millisecond)
	<-quarter.C
	var text strings.Builder
	last := ""
	for time.Since(began) < limit {
		_, tag := b.File(tagFile)
		_, password := b.Password("Administrator")
		now := fmt.Sprintf("sysprep.exe %-5t  generalization %s  cleanup %s  setup %s  tag %-5t  password %-5t  %s",
			b.Runs("sysprep"), b.Registry(sysprepKey, "GeneralizationState").Text, b.Registry(sysprepKey, "CleanupState").Text,
			b.Registry(setupKey, "SetupType").Text, tag, password, b.ImageState())
		if now != last {
			last = now
			fmt.Fprintf(&text, "%6s  %s\n", time.Since(began).Round(time.Second), now)
		}
		timer := time.NewTimer(500 * time.Millisecond)
		<-timer.C
	}
	fmt.Fprintf(&text, "\nsetupact.log\n%s\nsetuperr.log\n%s", b.mustFile(actionLog)[before:], b.mustFile(errorLog)[beforeErrors:])
	return strings.ReplaceAll(text.String(), "\r\n", "\n")
}

func (b *bench) mustFile(path string) string {
	b.t.Helper()
	data, ok := b.File(path)
	if !ok {
		b.t.Fatalf("there is no %s", path)
	}
	return string(data)
}

func TestSysprepsTimeline(t *testing.T) {
	tests := []struct {
		name    string
		machine func(m *Machine)
	}{
		{"seals", func(*Machine) {}},
		{"refuses-appx", func(m *Machine) {
			m.Sysprep.Refuse = RefuseAppX("Microsoft.Edge.GameAssist_1.0.3423.0_x64__8wekyb3d8bbwe")
			m.SetRegistry(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager!PendingFileRenameOperations`, Texts(`\??\C:\x`, ""))
		}},
		{"fails-in-generalize", func(m *Machine) { m.Sysprep.FailsInGeneralize = FailDTC(); m.Sysprep.MessageBox = false }},
		{"dies-in-generalize", func(m *Machine) { m.Sysprep.DiesInGeneralize = true }},
		{"answer-file-malformed", func(m *Machine) { m.SetFile(v2AnswerFile, shippedAnswerFile[:300]) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			test.machine(&m)
			bubble(t, m, func(t *testing.T, b *bench) {
				golden(t, "timeline-"+test.name+".txt", timeline(b, 4*time.Minute))
			})
		})
	}
}

func TestTheAgentPreparesTheGuest(t *testing.T) {
	m := Server2022()
	m.SetRegistry(`HKU\.DEFAULT\Control Panel\International!LocaleName`, Text("de-DE"))
	m.SetFile(v2AnswerFile, strings.Replace(shippedAnswerFile, "<UserLocale>en-US</UserLocale>", "<UserLocale />", 1))
	m.SetFile(v2Before, shippedBeforeSysprep+"echo done>>C:\\ProgramData\\before.txt\r\nexit /b 0\r\n")
	bubble(t, m, func(t *testing.T, b *bench) {
		stdout, stderr, code := b.shell(`"` + v2Program + `" sysprep --block`)
		if code != 0 || stderr != "" {
			t.Fatalf("code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
		want := strings.ReplaceAll(shippedAnswerFile, "en-US</", "de-DE</")
		if got := b.mustFile(v2AnswerFile); got != want {
			t.Errorf("the answer file is now:\n%s", got)
		}
		if got := b.Registry(`HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`, "fDenyTSConnections").Text; got != "1" {
			t.Errorf("fDenyTSConnections is %s", got)
		}
		if got := b.Registry(powerKey, "HibernateEnabled").Text; got != "0" {
			t.Errorf("HibernateEnabled is %s", got)
		}
		if got := b.mustFile(`C:\ProgramData\before.txt`); got != "done\r\n" {
			t.Errorf("BeforeSysprep.cmd wrote %q", got)
		}
		if _, there := b.File(v2RunOnce); there {
			t.Error("the run-once file is left")
		}
		if !b.Sealed() || !b.On() {
			t.Errorf("sealed %t, on %t", b.Sealed(), b.On())
		}
		for _, part := range []string{"Sysprep sub-command: shutdown: false clean: false", "Flag --block has been deprecated", "Info: Preparing items to run Sysprep.", "Message: Successfully disabled hibernation"} {
			if !strings.Contains(stdout, part) {
				t.Errorf("stdout lacks %q: %s", part, stdout)
			}
		}
	})
}

func TestTheAgentShutsDownWhenItIsTold(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.Execute(v2Program, "sysprep --shutdown=true --clean")
		b.until(5*minute, "the end", func() bool { return !b.On() })
		if !b.Sealed() {
			t.Error("it is not sealed")
		}
	})
}

func TestAnOldAgentDoesNotWaitAndDoesNotCheck(t *testing.T) {
	m := Server2022()
	program := m.Files[v2Program]
	program.Version = "2.0.1303.0"
	m.Files[v2Program] = program
	m.SetFile(v2Before, "exit /b 9\r\n")
	bubble(t, m, func(t *testing.T, b *bench) {
		began := time.Now()
		if _, _, code := b.shell(`"` + v2Program + `" sysprep`); code != 0 || time.Since(began) > 10*time.Second {
			t.Errorf("it ended with %d after %s", code, time.Since(began))
		}
		if !b.Runs("sysprep") {
			t.Error("Sysprep does not run on")
		}
		b.until(5*minute, "the seal", b.Sealed)
	})
}

func TestWellFormed(t *testing.T) {
	const root = `<unattend xmlns="urn:schemas-microsoft-com:unattend"`
	tests := []struct {
		name, text   string
		ok           bool
		line, column int
	}{
		{"the shipped file", shippedAnswerFile, true, 0, 0},
		{"with a mark of its encoding", "\ufeff" + root + "/>", true, 0, 0},
		{"nothing", "", false, 1, 1},
		{"another root", "<settings/>", false, 1, 12},
		{"no namespace", "<unattend/>", false, 1, 12},
		{"a tag that is not closed", root + ">\n<settings>\n</unattend>", false, 3, 12},
		{"a prefix that is not bound", root + ">\n<settings wcm:action=\"add\"/></unattend>", false, 2, 29},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			line, column, ok := wellFormed([]byte(test.text))
			if ok != test.ok || line != test.line || column != test.column {
				t.Errorf("line %d, column %d, %t", line, column, ok)
			}
		})
	}
}
