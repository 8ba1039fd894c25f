package agentconfig

import (
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// The properties of BundleConfig.xml (AWS user guide, EC2Config settings
// files). As shipped they are No, No and Yes.
const (
	autoSysprep             = "AutoSysprep"
	setRDPCertificate       = "SetRDPCertificate"
	setPasswordAfterSysprep = "SetPasswordAfterSysprep"
	// preSysprepRunCmd is the path of the script that EC2Config runs before
	// Sysprep. Whether it is a property or an element of its own depends on the
	// file.
	preSysprepRunCmd = "PreSysprepRunCmd"
)

func bundleProperties() []string {
	return []string{autoSysprep, setRDPCertificate, setPasswordAfterSysprep}
}

var bundleForm = form{item: "Property", fields: []string{"Name", "Value"}}

// BundleConfig is EC2Config's BundleConfig.xml, by which its -sysprep goes. It
// is not safe for concurrent use.
//
// Its form is known from the programs that edit it: BundleConfig holds elements
// Property with a Name and a Value, and GeneralSettings with an element Sysprep
// for each answer file, with AnswerFilePath and Switches.
type BundleConfig struct{ ec2configFile }

// BundleConfigSettings are the changes to make; a nil field leaves the file
// alone.
type BundleConfigSettings struct {
	// AutoSysprep: EC2Config bundles an instance-store-backed instance by
	// Sysprep. It has no meaning for -sysprep.
	AutoSysprep *bool
	// SetRDPCertificate: an instance from the image makes a certificate for
	// Remote Desktop. Windows Server 2008 and later make one by themselves.
	SetRDPCertificate *bool
	// SetPasswordAfterSysprep: an instance from the image gives its
	// administrator a random password and shows it, encrypted with the
	// instance's key.
	SetPasswordAfterSysprep *bool
}

// ParseBundleConfig reads the file. The name is for messages. It fails with a
// *SyntaxError when the bytes are no well-formed XML.
func ParseBundleConfig(name string, data []byte) (*BundleConfig, error) {
	f, err := parseEC2Config(name, data)
	if err != nil {
		return nil, err
	}
	return &BundleConfig{f}, nil
}

// Property is the value of a property, such as "Yes"; its name is taken in any
// case. ok is false when the file does not have it, or has it twice.
func (f *BundleConfig) Property(name string) (value string, ok bool) {
	if !f.hasRoot("BundleConfig") {
		return "", false
	}
	return bundleForm.lookup(f.doc.Root(), shipped(name, bundleProperties()))
}

// Apply carries the settings out: Yes or No in the properties, which are added
// where the file does not have them. A file of another form is an error. After
// an error the file is as it was before.
func (f *BundleConfig) Apply(s BundleConfigSettings) error {
	wanted := []struct {
		name  string
		value *bool
	}{
		{autoSysprep, s.AutoSysprep},
		{setRDPCertificate, s.SetRDPCertificate},
		{setPasswordAfterSysprep, s.SetPasswordAfterSysprep},
	}
	err := f.doc.Atomically(func() error {
		for _, w := range wanted {
			if w.value == nil {
				continue
			}
			if err := f.needRoot("BundleConfig"); err != nil {
				return err
			}
			if err := f.set(f.doc.Root(), bundleForm, w.name, yesNo(*w.value)); err != nil {
				return fmt.Errorf("setting %s: %w", w.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

func yesNo(yes bool) string {
	if yes {
		return "Yes"
	}
	return "No"
}

// Check says what EC2Config would not understand and what a clone would lack.
// The findings are ordered by their place in the file.
func (f *BundleConfig) Check() []Finding {
	return f.check("BundleConfig", func(c *ec2configChecker) {
		rows := c.checkRows(c.doc.Root(), bundleForm)
		for _, r := range rows {
			name, value := r.text("Name"), r.fields["Value"]
			if name == preSysprepRunCmd {
				c.checkBeforeSysprep(value)
				continue
			}
			c.checkName(r.fields["Name"].StartEnd, "unknown-property", "the property", name, bundleProperties())
			if slices.Contains(bundleProperties(), shipped(name, bundleProperties())) {
				c.checkWord(value, name, "Yes", "No")
			}
		}
		c.checkTwins(rows, "duplicate-property", func(r row) string { return "the property " + r.text("Name") })
		c.doc.Root().Walk(func(e *xmltext.Element) {
			switch {
			case !e.Leaf():
			case e.Local == preSysprepRunCmd:
				c.checkBeforeSysprep(e)
			case e.Local == "Switches":
				c.checkSwitches(e)
			}
		})
	})
}

// beforeSysprep is the end of the path of the script that EC2Config brings,
// which forbids Remote Desktop until an instance from the image has set the
// administrator's password.
const beforeSysprep = `\amazon\ec2configservice\scripts\beforesysprep.cmd`

func (c *ec2configChecker) checkBeforeSysprep(e *xmltext.Element) {
	path := strings.ToLower(strings.Trim(strings.TrimSpace(e.Text()), `"`))
	if strings.HasSuffix(path, beforeSysprep) {
		return
	}
	c.add(e.StartEnd, finding.Warning, "before-sysprep", `name C:\Program Files\Amazon\Ec2ConfigService\Scripts\BeforeSysprep.cmd and put the commands into that script, or set fDenyTSConnections to 1 in the other one`,
		"%s is %q and not EC2Config's own BeforeSysprep.cmd, whose line for fDenyTSConnections is lost: RDP would be open while the password is empty", preSysprepRunCmd, strings.TrimSpace(e.Text()))
}

// checkSwitches looks at the switches of a Sysprep since Windows Vista; the one
// of Windows Server 2003, which has an answer file of its own, knows others.
func (c *ec2configChecker) checkSwitches(e *xmltext.Element) {
	for _, file := range e.Parent.All("", "AnswerFilePath") {
		if strings.Contains(file.Text(), "2003") {
			return
		}
	}
	words := strings.Fields(strings.ToLower(strings.ReplaceAll(e.Text(), "-", "/")))
	for _, need := range []string{"/generalize", "/oobe"} {
		if !slices.Contains(words, need) {
			c.add(e.StartEnd, finding.Warning, "switches", "add "+need, "the switches for Sysprep lack %s, without which no standard image comes of it", need)
		}
	}
}
