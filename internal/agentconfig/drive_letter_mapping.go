package agentconfig

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// DriveLetterMapping is EC2Launch v1's DriveLetterMappingConfig.json: which
// volume gets which letter when InitializeDisks.ps1 runs.
type DriveLetterMapping struct{ launchFile }

const (
	keyMapping = "driveLetterMapping"
	keyVolume  = "volumeName"
	keyLetter  = "driveLetter"
)

// maxLabel is the length of the label of an NTFS volume, from Microsoft's
// reference of the command label.
const maxLabel = 32

// ParseDriveLetterMapping reads DriveLetterMappingConfig.json. It fails with a
// *SyntaxError when the text is no JSON; the agent would map nothing.
func ParseDriveLetterMapping(name string, data []byte) (*DriveLetterMapping, error) {
	f, err := readLaunchFile(name, data)
	if err != nil {
		return nil, err
	}
	return &DriveLetterMapping{f}, nil
}

// Letters are the mappings in the file's order, those that have both a volume
// and a letter, as they are written.
func (f *DriveLetterMapping) Letters() []DriveLetter {
	var letters []DriveLetter
	for _, item := range f.items(keyMapping) {
		if d := (DriveLetter{Volume: item.textOf(keyVolume), Letter: item.textOf(keyLetter)}); d.Volume != "" && d.Letter != "" {
			letters = append(letters, d)
		}
	}
	return letters
}

// Check says which mappings the agent would skip, and what it would mangle.
func (f *DriveLetterMapping) Check() []Finding {
	c := &launchCheck{launchFile: f.launchFile}
	c.encoding()
	volumes, letters := map[string]int{}, map[string]int{}
	for _, item := range c.list(keyMapping, "write a list of objects with "+keyVolume+" and "+keyLetter) {
		if !c.object(item, "a mapping", []string{keyVolume, keyLetter}) {
			continue
		}
		c.unique(item, keyVolume, volumes)
		c.unique(item, keyLetter, letters)
		if v := item.lookup(keyVolume); v != nil && v.value.kind == jsonString {
			if fault := labelFault(v.value.text); fault != "" {
				c.add(v.value, finding.Error, "volume-label", "write the label that the volume has", "the volume %q %s", v.value.text, fault)
			}
			if strings.Contains(v.value.text, "'") {
				c.add(v.value, finding.Error, "volume-label", "give the volume another label", "the volume %q has an apostrophe, for which EC2Launch v1 does not find it", v.value.text)
			}
		}
		if l := item.lookup(keyLetter); l != nil && l.value.kind == jsonString {
			if fault := letterFault(l.value.text); fault != "" {
				c.add(l.value, finding.Error, "drive-letter", "write one letter, such as D", "%q %s", l.value.text, fault)
			}
		}
	}
	finding.Sort(c.found)
	return c.found
}

// unique checks that an item has a text under a key, and no other item the same.
func (c *launchCheck) unique(item *jsonValue, key string, seen map[string]int) {
	m := item.lookup(key)
	switch {
	case m == nil:
		c.add(item, finding.Error, "key-missing", "add it", "a mapping has no %s", key)
	case m.value.kind != jsonString:
		c.add(m.value, finding.Error, "shape", "write a text in quotes", "%s is %s and must be a text", key, m.value.kind)
	default:
		word := strings.ToUpper(m.value.text)
		if line, twice := seen[word]; twice {
			c.add(m.value, finding.Error, "duplicate", "remove one of the two", "the %s %q stands twice, first on line %d", key, m.value.text, line)
			return
		}
		seen[word] = m.value.line
	}
}

// labelFault says what is wrong with the label of a volume, in words that
// follow it; "" when nothing is.
func labelFault(label string) string {
	switch {
	case strings.TrimSpace(label) == "":
		return "has no label"
	case utf8.RuneCountInString(label) > maxLabel:
		return fmt.Sprintf("has a label of more than %d characters, which Windows does not allow", maxLabel)
	case strings.ContainsFunc(label, func(r rune) bool { return r < ' ' }):
		return "has a control character in its label"
	}
	return ""
}

// HoldsSecret is false: the file has no password.
func (f *DriveLetterMapping) HoldsSecret() bool { return false }

// Redacted is the file: nothing in it is a secret.
func (f *DriveLetterMapping) Redacted() []byte { return f.Bytes() }

// ValidateDriveLetters says what is wrong with mappings that somebody wants,
// whichever agent carries them out; each error begins with the setting's name,
// such as drive_letter[0].letter.
func ValidateDriveLetters(letters []DriveLetter) []error {
	var errs []error
	volumes, used := map[string]int{}, map[string]int{}
	for i, d := range letters {
		at := fmt.Sprintf("drive_letter[%d]", i)
		if fault := labelFault(d.Volume); fault != "" {
			errs = append(errs, fmt.Errorf("%s.volume: %q %s", at, d.Volume, fault))
		} else if first, twice := volumes[strings.ToUpper(d.Volume)]; twice {
			errs = append(errs, fmt.Errorf("%s.volume: %q has its letter from drive_letter[%d] already", at, d.Volume, first))
		} else {
			volumes[strings.ToUpper(d.Volume)] = i
		}
		if fault := letterFault(d.Letter); fault != "" {
			errs = append(errs, fmt.Errorf("%s.letter: %q %s", at, d.Letter, fault))
		} else if first, twice := used[strings.ToUpper(d.Letter)]; twice {
			errs = append(errs, fmt.Errorf("%s.letter: %s is the letter of drive_letter[%d] already", at, d.Letter, first))
		} else {
			used[strings.ToUpper(d.Letter)] = i
		}
	}
	return errs
}

// FormatDriveLetterMapping is DriveLetterMappingConfig.json with these mappings,
// in ASCII.
func FormatDriveLetterMapping(letters []DriveLetter) []byte {
	rows := make([][]string, len(letters))
	for i, d := range letters {
		rows[i] = []string{quoteJSON(keyVolume) + ": " + quoteJSON(d.Volume), quoteJSON(keyLetter) + ": " + quoteJSON(d.Letter)}
	}
	return formatLaunchList(keyMapping, rows)
}

// formatLaunchList is a file with one list of objects, whose members are given
// as JSON.
func formatLaunchList(key string, rows [][]string) []byte {
	var b strings.Builder
	b.WriteString("{\n  " + quoteJSON(key) + ": [")
	for i, row := range rows {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n    {\n      " + strings.Join(row, ",\n      ") + "\n    }")
	}
	if len(rows) > 0 {
		b.WriteString("\n  ")
	}
	b.WriteString("]\n}\n")
	return []byte(b.String())
}
