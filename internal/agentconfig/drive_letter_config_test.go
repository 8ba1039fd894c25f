package agentconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mappings is a DriveLetterConfig.xml of pairs of volume and letter.
func mappings(pairs ...string) string {
	var b strings.Builder
	b.WriteString("<DriveLetterMapping>")
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString("\n<Mapping><VolumeName>" + pairs[i] + "</VolumeName><DriveLetter>" + pairs[i+1] + "</DriveLetter></Mapping>")
	}
	return b.String() + "\n</DriveLetterMapping>"
}

func TestWhatIsFoundInDriveLetterConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       []string
		letters    []DriveLetter
	}{
		{"a file as it should be", mappings("Data", "E:", "Temporary Storage 0", "Z:"), nil, []DriveLetter{{"Data", "E"}, {"Temporary Storage 0", "Z"}}},
		{"an empty file", mappings(), nil, nil},
		{"the placeholder of AWS's guide", mappings("", "", "", ""), nil, nil},
		{"another root element", "<Mapping/>", []string{"f.xml:1:1: error:", "(root-element)"}, nil},
		{"no colon", mappings("Data", "E"), []string{"f.xml:2:52: error:", "(drive-letter)", "lacks the colon"}, nil},
		{"a letter in lower case", mappings("Data", "e:"), []string{"warning", "(drive-letter)", "write E:"}, []DriveLetter{{"Data", "E"}}},
		{"a letter of Windows' own", mappings("Data", "C:"), []string{"error", "(drive-letter)", "Windows keeps"}, nil},
		{"a path", mappings("Data", `E:\`), []string{"error", "(drive-letter)", "no drive letter"}, nil},
		{"no letter", mappings("Data", ""), []string{"error", "(drive-letter)"}, nil},
		{"no volume", mappings("", "E:"), []string{"f.xml:2:22: error:", "(volume-label)", "has no label"}, nil},
		{"a label that is too long", mappings(strings.Repeat("x", 33), "E:"), []string{"error", "(volume-label)", "more than 32"}, []DriveLetter{{strings.Repeat("x", 33), "E"}}},
		{"a letter twice", mappings("Data", "E:", "Log", "E:"), []string{"f.xml:3:1: error:", "(duplicate-letter)", "line 2"}, []DriveLetter{{"Data", "E"}, {"Log", "E"}}},
		{"a volume twice", mappings("Data", "E:", "DATA", "F:"), []string{"f.xml:3:1: error:", "(duplicate-volume)", "line 2"}, []DriveLetter{{"Data", "E"}, {"DATA", "F"}}},
		{"a mapping without letter", "<DriveLetterMapping><Mapping><VolumeName>x</VolumeName></Mapping></DriveLetterMapping>", []string{"error", "(shape)", "no <DriveLetter>"}, nil},
		{"an element that nobody knows", "<DriveLetterMapping><Maping/></DriveLetterMapping>", []string{"f.xml:1:21: warning:", "(unknown-element)"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseDriveLetterConfig("f.xml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			wantFinding(t, found(t, f), test.want)
			if diff := cmp.Diff(test.letters, f.Letters()); diff != "" {
				t.Errorf("the letters differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDriveLettersAreReadBack(t *testing.T) {
	t.Parallel()
	letters := []DriveLetter{{"Data & <Logs>", "E"}, {"Größe", "z"}}
	data := FormatDriveLetterConfig(letters)
	golden(t, "DriveLetterConfig.golden", string(data))
	f, err := ParseDriveLetterConfig("f.xml", data)
	if err != nil {
		t.Fatal(err)
	}
	wantFinding(t, found(t, f), nil)
	letters[1].Letter = "Z"
	if diff := cmp.Diff(letters, f.Letters()); diff != "" {
		t.Errorf("the letters differ (-want +got):\n%s", diff)
	}
	if f, err := ParseDriveLetterConfig("f.xml", FormatDriveLetterConfig(nil)); err != nil || len(f.Letters()) > 0 || len(f.Check()) > 0 {
		t.Errorf("a file without letters: %v", err)
	}
}
