package agentconfig

import (
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

var mappingForm = form{item: "Mapping", fields: []string{"VolumeName", "DriveLetter"}}

// DriveLetterConfig is EC2Config's DriveLetterConfig.xml: the letters that its
// plug-in Ec2SetDriveLetter gives to volumes by their labels. It is not safe for
// concurrent use.
type DriveLetterConfig struct{ ec2configFile }

// ParseDriveLetterConfig reads the file. The name is for messages. It fails
// with a *SyntaxError when the bytes are no well-formed XML.
func ParseDriveLetterConfig(name string, data []byte) (*DriveLetterConfig, error) {
	f, err := parseEC2Config(name, data)
	if err != nil {
		return nil, err
	}
	return &DriveLetterConfig{f}, nil
}

// Letters are the mappings in the file's order, those that have both a volume
// and a letter with its colon.
func (f *DriveLetterConfig) Letters() []DriveLetter {
	if !f.hasRoot("DriveLetterMapping") {
		return nil
	}
	var out []DriveLetter
	for _, r := range mappingForm.goodRows(f.doc.Root()) {
		volume := r.text("VolumeName")
		if letter, err := letterWithColon(r.text("DriveLetter")); err == nil && volume != "" {
			out = append(out, DriveLetter{Volume: volume, Letter: letter})
		}
	}
	return out
}

// FormatDriveLetterConfig is a file that gives these letters, and no others. The
// letters must have passed ValidateDriveLetters.
func FormatDriveLetterConfig(letters []DriveLetter) []byte {
	root := xmltext.Fragment{Name: "DriveLetterMapping"}
	for _, l := range letters {
		root.Children = append(root.Children, xmltext.Fragment{Name: mappingForm.item, Children: []xmltext.Fragment{
			{Name: "VolumeName", Value: l.Volume},
			{Name: "DriveLetter", Value: strings.ToUpper(l.Letter) + ":"},
		}})
	}
	return xmltext.Format(root)
}

// letterWithColon is the letter of a value such as "Y:".
func letterWithColon(value string) (string, error) {
	letter := strings.ToUpper(strings.TrimSuffix(value, ":"))
	switch {
	case len(letter) != 1 || letter < "A" || letter > "Z":
		return "", fmt.Errorf("%q is no drive letter, which is a letter and a colon", value)
	case letter < "D":
		return "", fmt.Errorf("%q is a letter that Windows keeps; D: to Z: are for volumes", value)
	case !strings.HasSuffix(value, ":"):
		return "", fmt.Errorf("%q lacks the colon behind the letter", value)
	}
	return letter, nil
}

// Check says what EC2Config would not understand. The findings are ordered by
// their place in the file.
func (f *DriveLetterConfig) Check() []Finding {
	return f.check("DriveLetterMapping", func(c *ec2configChecker) {
		c.checkOtherElements(mappingForm.item)
		var volumes, letters []row
		for _, r := range c.checkRows(c.doc.Root(), mappingForm) {
			volume, value := r.text("VolumeName"), r.text("DriveLetter")
			if volume == "" && value == "" {
				// The placeholder that AWS's guide shows.
				continue
			}
			if fault := labelFault(volume); fault != "" {
				c.add(r.fields["VolumeName"].StartEnd, finding.Error, "volume-label", "write the label that the volume has", "the volume %q %s", volume, fault)
			} else {
				volumes = append(volumes, r)
			}
			letter, err := letterWithColon(value)
			switch {
			case err != nil:
				c.add(r.fields["DriveLetter"].StartEnd, finding.Error, "drive-letter", "write a letter from D: to Z:, with the colon", "%s", err)
				continue
			case value != letter+":":
				c.add(r.fields["DriveLetter"].StartEnd, finding.Warning, "drive-letter", "write "+letter+":", "the letter %q is not a capital", value)
			}
			letters = append(letters, r)
		}
		c.checkTwins(volumes, "duplicate-volume", func(r row) string { return "the volume " + r.text("VolumeName") })
		c.checkTwins(letters, "duplicate-letter", func(r row) string { return "the letter " + r.text("DriveLetter") })
	})
}

// checkOtherElements looks for elements in the root that EC2Config does not
// know.
func (c *ec2configChecker) checkOtherElements(item string) {
	for _, e := range c.doc.Root().Children {
		if e.Local != item || e.Space != "" {
			c.add(e.Start, finding.Warning, "unknown-element", "remove it, or write <"+item+">", "<%s> is not known, and EC2Config ignores what it does not know", e.Name())
		}
	}
}
