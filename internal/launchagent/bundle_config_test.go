package launchagent

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const bundle = "<?xml version=\"1.0\" standalone=\"yes\"?>\r\n<BundleConfig>\r\n\t<Property><Name>AutoSysprep</Name><Value>No</Value></Property>\r\n" +
	"  <SysPrep><Switches>SWITCHES</Switches></SysPrep>\r\n</BundleConfig>"

func withSwitches(text string) string { return strings.Replace(bundle, "SWITCHES", text, 1) }

// withComment puts a comment behind the declaration.
func withComment(comment, file string) string {
	return strings.Replace(file, "<BundleConfig>", "<!-- "+comment+" --><BundleConfig>", 1)
}

// withBoth has switches for two answer files, as the real file has them.
func withBoth(old, current string) string {
	return "<BundleConfig><GeneralSettings><Sysprep><AnswerFilePath>sysprep2003.xml</AnswerFilePath><Switches>" + old + "</Switches></Sysprep>" +
		"<Sysprep><AnswerFilePath>sysprep2008.xml</AnswerFilePath><Switches>" + current + "</Switches></Sysprep></GeneralSettings></BundleConfig>"
}

func TestTheSwitchesThatAreReplaced(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, want string
	}{
		{"as shipped", withSwitches("/oobe /generalize /shutdown"), withSwitches("/oobe /generalize /quit")},
		{"in another order and case", withSwitches("/SHUTDOWN /oobe /generalize"), withSwitches("/quit /oobe /generalize")},
		{"over several lines", withSwitches("\r\n  /oobe\r\n  /shutdown\r\n"), withSwitches("\r\n  /oobe\r\n  /quit\r\n")},
		{"with a byte order mark", "\ufeff" + withSwitches("/shutdown"), "\ufeff" + withSwitches("/quit")},
		{"with other text that is not ASCII", withComment("Größe", withSwitches("/shutdown")), withComment("Größe", withSwitches("/quit"))},
		{"in CDATA", withSwitches("<![CDATA[/oobe /shutdown]]>"), withSwitches("<![CDATA[/oobe /quit]]>")},
		{"inside another element", withSwitches("<Value>/oobe /shutdown</Value>"), withSwitches("<Value>/oobe /quit</Value>")},
		{"beside a comment", withComment("<Switches>/shutdown</Switches>", withSwitches("/shutdown")), withComment("<Switches>/shutdown</Switches>", withSwitches("/quit"))},
		{"of two answer files", withBoth("/shutdown", "/oobe /shutdown /generalize"), withBoth("/shutdown", "/oobe /quit /generalize")},
		{"with /shutdown elsewhere", strings.Replace(withSwitches("/shutdown"), ">No<", ">/shutdown<", 1), strings.Replace(withSwitches("/quit"), ">No<", ">/shutdown<", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, shutdown := range []Shutdown{ShutdownSealed, ShutdownNone} {
				edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: shutdown}, map[string][]byte{bundleConfig: []byte(test.file)})
				if err != nil {
					t.Fatal(err)
				}
				if len(edits) != 1 || edits[0].Path != bundleConfig || string(edits[0].Data) != test.want {
					t.Errorf("shutdown = %q: the edits are %q, wanted %q", shutdown, edits, test.want)
				}
			}
			edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, map[string][]byte{bundleConfig: []byte(test.file)})
			if err != nil || edits != nil {
				t.Errorf("shutdown = \"agent\": the edits are %q, the error %v", edits, err)
			}
		})
	}
}

func TestSwitchesThatAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, phrase string
	}{
		{"no element Switches", "<BundleConfig/>", "no element Switches"},
		{"an empty one", withSwitches(""), "/shutdown 0 times"},
		{"a switch that only begins like it", withSwitches("/shutdownlater"), "/shutdown 0 times"},
		{"two of them", withSwitches("/shutdown /shutdown"), "/shutdown 2 times"},
		{"two elements", withSwitches("/shutdown</Switches><Switches>/shutdown"), "/shutdown 2 times"},
		{"one against another", withSwitches("/quit /shutdown"), "/quit 1 times"},
		{"a restart besides", withSwitches("/shutdown -reboot"), "/reboot 1 times"},
		{"two of them for the answer file", withBoth("-reseal", "/shutdown /shutdown"), "/shutdown 2 times"},
		{"none for the answer file", withBoth("/shutdown", "/oobe"), "/shutdown 0 times"},
		{"half a file", bundle[:60], "cannot be read"},
		{"another encoding", `<?xml version="1.0" encoding="utf-16"?><Switches>/shutdown</Switches>`, "cannot be read"},
		{"UTF-16", "\xff\xfe<\x00a\x00/\x00>\x00", "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, map[string][]byte{bundleConfig: []byte(test.file)})
			if err == nil {
				t.Fatalf("it was edited to %q", edits)
			}
			for _, phrase := range []string{test.phrase, "BundleConfig.xml", `shutdown = "agent"`} {
				if !strings.Contains(err.Error(), phrase) {
					t.Errorf("%q is not in %q", phrase, err)
				}
			}
			if _, err := (EC2Config{}).Edits(Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, map[string][]byte{bundleConfig: []byte(test.file)}); err != nil && !strings.Contains(test.file, "/quit") {
				t.Errorf("with shutdown = \"agent\": %s", err)
			}
		})
	}
}

func TestAFileThatSaysQuitNeedsNoEdit(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{bundleConfig: []byte(withSwitches("/oobe /generalize /quit"))}
	edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, files)
	if err != nil || edits != nil {
		t.Errorf("the edits are %q, the error %v", edits, err)
	}
	if _, err := (EC2Config{}).Edits(Order{Action: ActionSysprep, Shutdown: ShutdownAgent}, files); err == nil {
		t.Error(`shutdown = "agent" is taken, and nobody would shut the guest down`)
	}
	if _, err := (EC2Config{}).Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, nil); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// realBundleConfig is the nearest to a real file that there is.
func realBundleConfig(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "corpus", "config", "BundleConfig-RECONSTRUCTED.xml"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the corpus of real files is not beside the checkout")
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheFileOfTheCorpusIsEditedInOneWord(t *testing.T) {
	t.Parallel()
	data := realBundleConfig(t)
	edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, map[string][]byte{bundleConfig: data})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Replace(data, []byte("/generalize /shutdown<"), []byte("/generalize /quit<"), 1)
	if len(edits) != 1 || !bytes.Equal(edits[0].Data, want) || bytes.Equal(data, want) {
		t.Errorf("it was edited to:\n%s", edits[0].Data)
	}
}

// FuzzBundleConfig holds that an edit changes one word and nothing else, and
// that the edited file needs no other.
func FuzzBundleConfig(f *testing.F) {
	for _, text := range []string{"/oobe /generalize /shutdown", "/quit", "<![CDATA[/shutdown]]>", "-shutdown\t/oobe", "<a>/shutdown</a>", "&#47;shutdown", ""} {
		f.Add([]byte(withSwitches(text)))
		f.Add([]byte("\ufeff" + withComment(text, withSwitches(text))))
		f.Add([]byte(withBoth(text, text)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		edits, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, map[string][]byte{bundleConfig: data})
		if err != nil || len(edits) == 0 {
			return
		}
		edited := edits[0].Data
		if len(edited) != len(data)-len(shutdownWord)+len(quitWord) {
			t.Fatalf("%d bytes became %d", len(data), len(edited))
		}
		at := 0
		for at < len(edited) && edited[at] == data[at] {
			at++
		}
		// The slash is common to both words, unless the file had a hyphen.
		at = max(0, at-1)
		if begin := bytes.LastIndex(edited[:min(len(edited), at+len(quitWord)+1)], []byte(quitWord)); begin < 0 ||
			!bytes.Equal(edited[:begin], data[:begin]) || !bytes.Equal(edited[begin+len(quitWord):], data[begin+len(shutdownWord):]) {
			t.Fatalf("%q became %q", data, edited)
		}
		again, err := EC2Config{}.Edits(Order{Action: ActionSysprep, Shutdown: ShutdownSealed}, map[string][]byte{bundleConfig: edited})
		if err != nil || again != nil {
			t.Fatalf("the edited file %q would be edited again: %q, %v", edited, again, err)
		}
	})
}
