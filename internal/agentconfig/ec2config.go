package agentconfig

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// ec2configPlugins are the plug-ins that AWS documents, as EC2Config's own file
// spells them.
func ec2configPlugins() []string {
	return []string{
		"Ec2SetPassword", "Ec2SetComputerName", "Ec2InitializeDrives", "Ec2EventLog", "Ec2ConfigureRDP", "Ec2OutputRDPCert",
		"Ec2SetDriveLetter", "Ec2WindowsActivate", "Ec2DynamicBootVolumeSize", "Ec2ElasticGpuSetup", "Ec2FeatureLogging",
		"Ec2HandleUserData", "AWS.EC2.Windows.CloudWatch.PlugIn",
	}
}

// ec2configGlobals are the global settings that AWS documents, as EC2Config's
// own file spells them.
func ec2configGlobals() []string {
	return []string{"ManageShutdown", "SetDnsSuffixList", "WaitForMetaDataAvailable", "ShouldAddRoutes", "RemoveCredentialsfromSysprepOnStartup"}
}

var pluginForm = form{item: "Plugin", fields: []string{"Name", "State"}}

// EC2Config is EC2Config's Config.xml: which of its plug-ins run when an
// instance starts, and its global settings. It is not safe for concurrent use.
//
// EC2Config's -sysprep sets the states of Ec2SetPassword, Ec2ConfigureRDP and
// Ec2OutputRDPCert anew, by what BundleConfig.xml says.
type EC2Config struct{ ec2configFile }

// EC2ConfigSettings are the changes to make.
type EC2ConfigSettings struct {
	// Plugins enables or disables plug-ins by their names, which are taken in
	// any case.
	Plugins map[string]bool
	// Global sets global settings by their names, which are taken in any case.
	Global map[string]bool
}

// ParseEC2Config reads the file. The name is for messages. It fails with a
// *SyntaxError when the bytes are no well-formed XML.
func ParseEC2Config(name string, data []byte) (*EC2Config, error) {
	f, err := parseEC2Config(name, data)
	if err != nil {
		return nil, err
	}
	return &EC2Config{f}, nil
}

// Validate says what is wrong with the settings whatever the file: names that
// look like a slip of the finger, and names that differ in case only.
func (s EC2ConfigSettings) Validate() []error {
	return append(validateNames("plugins", s.Plugins, ec2configPlugins()), validateNames("global", s.Global, ec2configGlobals())...)
}

func validateNames(option string, values map[string]bool, known []string) []error {
	var errs []error
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at := fmt.Sprintf("%s[%q]", option, name)
		if other, twice := first[strings.ToLower(name)]; twice {
			errs = append(errs, fmt.Errorf("%s: it is the same name as %q; keep one of them", at, other))
			continue
		}
		first[strings.ToLower(name)] = name
		switch meant := nearest(name, known); {
		case !isXMLName(name):
			errs = append(errs, fmt.Errorf("%s: it is no name; AWS documents %s", at, strings.Join(known, ", ")))
		case meant != "" && !strings.EqualFold(meant, name):
			errs = append(errs, fmt.Errorf("%s: AWS documents no such name; did you mean %s?", at, meant))
		}
	}
	return errs
}

// isXMLName says whether a name can be that of an element in plain letters.
func isXMLName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r != '.' && r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != ""
}

// Plugin says whether a plug-in is enabled; its name is taken in any case. ok
// is false when the file does not have it, has it twice, or says neither
// Enabled nor Disabled.
func (f *EC2Config) Plugin(name string) (enabled, ok bool) {
	list := f.part("Plugins")
	if list == nil {
		return false, false
	}
	switch state, _ := pluginForm.lookup(list, shipped(name, ec2configPlugins())); strings.ToLower(state) {
	case "enabled":
		return true, true
	case "disabled":
		return false, true
	}
	return false, false
}

// Global is the value of a global setting, such as "true"; its name is taken in
// any case. ok is false when the file does not have it, or has it twice.
func (f *EC2Config) Global(name string) (value string, ok bool) {
	list := f.part("GlobalSettings")
	if list == nil {
		return "", false
	}
	have := list.All("", shipped(name, ec2configGlobals()))
	if len(have) != 1 || !have[0].Leaf() {
		return "", false
	}
	return strings.TrimSpace(have[0].Text()), true
}

// part is the one element of that name in the root element, nil when there is
// none or more than one.
func (f *EC2Config) part(name string) *xmltext.Element {
	if !f.hasRoot("Ec2ConfigurationSettings") {
		return nil
	}
	if have := f.doc.Root().All("", name); len(have) == 1 {
		return have[0]
	}
	return nil
}

// Apply carries the settings out. A plug-in or a global setting that AWS
// documents is added where the file does not have it, since versions differ;
// any other name must be in the file. A file of another form is an error. After
// an error the file is as it was before.
func (f *EC2Config) Apply(s EC2ConfigSettings) error {
	if errs := s.Validate(); len(errs) > 0 {
		return fmt.Errorf("%s: %w", f.Name(), errors.Join(errs...))
	}
	err := f.doc.Atomically(func() error {
		for _, name := range slices.Sorted(maps.Keys(s.Plugins)) {
			if err := f.setPlugin(shipped(name, ec2configPlugins()), s.Plugins[name]); err != nil {
				return fmt.Errorf("setting the plug-in %s: %w", name, err)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Global)) {
			if err := f.setGlobal(shipped(name, ec2configGlobals()), s.Global[name]); err != nil {
				return fmt.Errorf("setting the global setting %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// needPart finds a part that is to be edited.
func (f *EC2Config) needPart(name string) (*xmltext.Element, error) {
	if err := f.needRoot("Ec2ConfigurationSettings"); err != nil {
		return nil, err
	}
	if e := f.part(name); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("there is not exactly one <%s> in the root element; nothing is changed in a file whose form is not known", name)
}

func (f *EC2Config) setPlugin(name string, enabled bool) error {
	list, err := f.needPart("Plugins")
	if err != nil {
		return err
	}
	if !slices.Contains(ec2configPlugins(), name) {
		for _, r := range pluginForm.goodRows(list) {
			if strings.EqualFold(r.text("Name"), name) {
				name = r.text("Name")
			}
		}
		if _, ok := pluginForm.lookup(list, name); !ok {
			return errUnknownName("plug-in", ec2configPlugins())
		}
	}
	state := "Disabled"
	if enabled {
		state = "Enabled"
	}
	return f.set(list, pluginForm, name, state)
}

func errUnknownName(kind string, known []string) error {
	return fmt.Errorf("the file does not have this %s exactly once, and AWS documents none of that name; it documents %s", kind, strings.Join(known, ", "))
}

func (f *EC2Config) setGlobal(name string, value bool) error {
	list, err := f.needPart("GlobalSettings")
	if err != nil {
		return err
	}
	var have []*xmltext.Element
	for _, e := range list.Children {
		switch known := slices.Contains(ec2configGlobals(), name); {
		case e.Space != "" || !strings.EqualFold(e.Local, name):
		case known && e.Local != name:
			return errOtherCase(e.Local, name, f.doc.Line(e))
		default:
			have = append(have, e)
		}
	}
	switch text := strconv.FormatBool(value); {
	case len(have) > 1:
		return fmt.Errorf("it stands twice, in the lines %d and %d; remove one", f.doc.Line(have[0]), f.doc.Line(have[1]))
	case len(have) == 0 && !slices.Contains(ec2configGlobals(), name):
		return errUnknownName("setting", ec2configGlobals())
	case len(have) == 0:
		return f.doc.Append(list, xmltext.Fragment{Name: name, Value: text})
	case !have[0].Leaf():
		return fmt.Errorf("the <%s> of line %d holds elements; nothing is changed in a file whose form is not known", name, f.doc.Line(have[0]))
	case have[0].Text() == text:
		return nil
	default:
		return f.doc.SetText(have[0], text)
	}
}

// Check says what EC2Config would not understand. The findings are ordered by
// their place in the file.
func (f *EC2Config) Check() []Finding {
	return f.check("Ec2ConfigurationSettings", func(c *ec2configChecker) {
		c.checkPart("Plugins", c.checkPlugins)
		c.checkPart("GlobalSettings", c.checkGlobals)
	})
}

// checkPart finds one part of the file and has it checked.
func (c *ec2configChecker) checkPart(name string, check func(*xmltext.Element)) {
	have := c.doc.Root().All("", name)
	if len(have) == 0 {
		c.add(c.doc.Root().Start, finding.Error, "shape", "use the file that the guest's EC2Config brings", "there is no <%s>", name)
		return
	}
	for _, e := range have[1:] {
		c.add(e.Start, finding.Error, "shape", "merge the two", "<%s> stands in line %d already", name, c.doc.Line(have[0]))
	}
	check(have[0])
}

func (c *ec2configChecker) checkPlugins(list *xmltext.Element) {
	rows := c.checkRows(list, pluginForm)
	for _, r := range rows {
		c.checkName(r.fields["Name"].StartEnd, "unknown-plugin", "the plug-in", r.text("Name"), ec2configPlugins())
		c.checkWord(r.fields["State"], "the state of "+r.text("Name"), "Enabled", "Disabled")
	}
	c.checkTwins(rows, "duplicate-plugin", func(r row) string { return "the plug-in " + r.text("Name") })
}

func (c *ec2configChecker) checkGlobals(list *xmltext.Element) {
	var rows []row
	for _, e := range list.Children {
		rows = append(rows, row{element: e})
		c.checkName(e.Start, "unknown-setting", "the global setting", e.Name(), ec2configGlobals())
		switch {
		case !slices.Contains(ec2configGlobals(), shipped(e.Name(), ec2configGlobals())):
			// Its values are not known either.
		case e.Leaf():
			c.checkWord(e, e.Name(), "true", "false")
		default:
			c.add(e.Start, finding.Error, "shape", "write true or false", "<%s> holds elements where its value is expected", e.Name())
		}
	}
	c.checkTwins(rows, "duplicate-setting", func(r row) string { return "<" + r.element.Name() + ">" })
}
