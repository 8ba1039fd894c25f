package agentconfig

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// config is a short Config.xml of the form of the real one.
const config = `<?xml version="1.0" encoding="utf-8"?>
<Ec2ConfigurationSettings>
  <Plugins>
    <Plugin>
      <Name>Ec2SetPassword</Name>
      <State>Disabled</State>
    </Plugin>
    <Plugin>
      <Name>Ec2HandleUserData</Name>
      <State>Enabled</State>
    </Plugin>
  </Plugins>
  <GlobalSettings>
    <ManageShutdown>true</ManageShutdown>
    <SetDnsSuffixList>true</SetDnsSuffixList>
  </GlobalSettings>
</Ec2ConfigurationSettings>
`

// parts is a Config.xml with these plug-ins and global settings.
func parts(plugins, globals string) string {
	return "<Ec2ConfigurationSettings>\n<Plugins>" + plugins + "</Plugins>\n<GlobalSettings>" + globals + "</GlobalSettings>\n</Ec2ConfigurationSettings>"
}

func plugin(name, state string) string {
	return "<Plugin><Name>" + name + "</Name><State>" + state + "</State></Plugin>"
}

func mustParseEC2Config(t *testing.T, text string) *EC2Config {
	t.Helper()
	f, err := ParseEC2Config("f.xml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatIsFoundInConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"a file as it should be", config, nil},
		{"a file in UTF-16", utf16Marked(strings.Replace(config, "utf-8", "utf-16", 1)), nil},
		{"another root element", "<BundleConfig/>", []string{"f.xml:1:1: error:", "(root-element)", "<Ec2ConfigurationSettings>"}},
		{"no plug-ins", "<Ec2ConfigurationSettings><GlobalSettings/></Ec2ConfigurationSettings>", []string{"error", "(shape)", "there is no <Plugins>"}},
		{"no global settings", "<Ec2ConfigurationSettings><Plugins/></Ec2ConfigurationSettings>", []string{"error", "(shape)", "there is no <GlobalSettings>"}},
		{"plug-ins in two places", "<Ec2ConfigurationSettings><Plugins/><GlobalSettings/>\n<Plugins/></Ec2ConfigurationSettings>", []string{"f.xml:2:1: error:", "(shape)", "line 1"}},
		{"a boolean where a state is expected", parts(plugin("Ec2SetPassword", "False"), ""), []string{"f.xml:2:52: error:", "(value)", `"False"`, "write Enabled or Disabled"}},
		{"a state in another case", parts(plugin("Ec2SetPassword", "enabled"), ""), []string{"warning", "(value)", "write Enabled"}},
		{"a state where a boolean is expected", parts("", "<ManageShutdown>Enabled</ManageShutdown>"), []string{"error", "(value)", "write true or false"}},
		{"a boolean in another case", parts("", "<ManageShutdown>True</ManageShutdown>"), []string{"warning", "(value)", "write true"}},
		{"a slip of the finger", parts(plugin("Ec2SetPasword", "Enabled"), ""), []string{"f.xml:2:24: warning:", "(unknown-plugin)", "did you mean Ec2SetPassword?"}},
		{"another case", parts(plugin("EC2SetPassword", "Enabled"), ""), []string{"warning", "(unknown-plugin)", "did you mean Ec2SetPassword?"}},
		{"a plug-in that nobody knows", parts(plugin("MyOwn", "Enabled"), ""), []string{"warning", "(unknown-plugin)", "AWS documents Ec2SetPassword"}},
		{"a slip of the finger in a global setting", parts("", "<ManageShutdwn>true</ManageShutdwn>"), []string{"f.xml:3:17: warning:", "(unknown-setting)", "did you mean ManageShutdown?"}},
		{"the spelling of AWS's guide", parts("", "<RemoveCredentialsfromSyspreponStartup>true</RemoveCredentialsfromSyspreponStartup>"), []string{"warning", "(unknown-setting)", "did you mean RemoveCredentialsfromSysprepOnStartup?"}},
		{"a global setting that nobody knows", parts("", "<Colour>Blue</Colour>"), []string{"warning", "(unknown-setting)"}},
		{"a plug-in twice", parts(plugin("Ec2EventLog", "Enabled")+"\n"+plugin("Ec2EventLog", "Disabled"), ""), []string{"f.xml:3:1: error:", "(duplicate-plugin)", "line 2"}},
		{"a global setting twice", parts("", "<ManageShutdown>true</ManageShutdown>\n<ManageShutdown>true</ManageShutdown>"), []string{"f.xml:4:1: error:", "(duplicate-setting)", "line 3"}},
		{"a plug-in without state", parts("<Plugin><Name>Ec2EventLog</Name></Plugin>", ""), []string{"error", "(shape)", "no <State>"}},
		{"a global setting of elements", parts("", "<ManageShutdown><x/></ManageShutdown>"), []string{"error", "(shape)"}},
		{"CDATA and comments", parts(plugin("<![CDATA[Ec2EventLog]]>", "<!-- off -->Disabled"), "<!-- none -->"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantFinding(t, found(t, mustParseEC2Config(t, test.text)), test.want)
		})
	}
}

func TestPluginsAndGlobalSettingsAreRead(t *testing.T) {
	t.Parallel()
	f := mustParseEC2Config(t, config)
	for name, want := range map[string]bool{"Ec2SetPassword": false, "ec2handleuserdata": true} {
		if got, ok := f.Plugin(name); !ok || got != want {
			t.Errorf("%s is enabled: %v, %v", name, got, ok)
		}
	}
	if v, ok := f.Global("setdnssuffixlist"); !ok || v != "true" {
		t.Errorf("SetDnsSuffixList is %q, %v", v, ok)
	}
	for name, text := range map[string]string{
		"is not there":                config,
		"is in another root":          "<Other/>",
		"is in an empty file":         parts("", ""),
		"is neither on nor off":       parts(plugin("Ec2EventLog", "False"), "<ShouldAddRoutes><x/></ShouldAddRoutes>"),
		"is there twice":              parts(plugin("Ec2EventLog", "Enabled")+plugin("Ec2EventLog", "Enabled"), "<ShouldAddRoutes>true</ShouldAddRoutes><ShouldAddRoutes>true</ShouldAddRoutes>"),
		"is in one of two lists":      "<Ec2ConfigurationSettings><Plugins/><Plugins>" + plugin("Ec2EventLog", "Enabled") + "</Plugins></Ec2ConfigurationSettings>",
		"has a name in another case":  parts(plugin("ec2eventlog", "Enabled"), "<shouldaddroutes>true</shouldaddroutes>"),
		"is in a namespace of no use": parts("", `<ShouldAddRoutes xmlns="urn:x">true</ShouldAddRoutes>`),
	} {
		f := mustParseEC2Config(t, text)
		if enabled, ok := f.Plugin("Ec2EventLog"); ok {
			t.Errorf("a plug-in that %s is %v", name, enabled)
		}
		if v, ok := f.Global("ShouldAddRoutes"); ok {
			t.Errorf("a setting that %s is %q", name, v)
		}
	}
}

func TestConfigIsEditedInPlace(t *testing.T) {
	t.Parallel()
	on := EC2ConfigSettings{Plugins: map[string]bool{"Ec2SetPassword": true}}
	for _, test := range []struct {
		name, text string
		settings   EC2ConfigSettings
		want       string
	}{
		{"nothing is asked for", config, EC2ConfigSettings{}, config},
		{"all is as it should be", config, EC2ConfigSettings{map[string]bool{"Ec2SetPassword": false}, map[string]bool{"ManageShutdown": true}}, config},
		{"a plug-in is enabled", config, on, strings.Replace(config, "Disabled", "Enabled", 1)},
		{"names are taken in any case", config, EC2ConfigSettings{map[string]bool{"EC2SETPASSWORD": true}, map[string]bool{"managesHutdown": false}}, strings.Replace(strings.Replace(config, "Disabled", "Enabled", 1), "<ManageShutdown>true", "<ManageShutdown>false", 1)},
		{"the line ends are those of Windows", crlf(config), on, crlf(strings.Replace(config, "Disabled", "Enabled", 1))},
		{"a wrong state is put right", parts(plugin("Ec2SetPassword", "False"), ""), on, parts(plugin("Ec2SetPassword", "Enabled"), "")},
		{"a missing plug-in is the last one", config, EC2ConfigSettings{Plugins: map[string]bool{"Ec2EventLog": true}}, strings.Replace(config, "  </Plugins>", "    <Plugin>\n      <Name>Ec2EventLog</Name>\n      <State>Enabled</State>\n    </Plugin>\n  </Plugins>", 1)},
		{
			"a missing global setting is the last one", config,
			EC2ConfigSettings{Global: map[string]bool{"removecredentialsfromsyspreponstartup": false}},
			strings.Replace(config, "  </GlobalSettings>", "    <RemoveCredentialsfromSysprepOnStartup>false</RemoveCredentialsfromSysprepOnStartup>\n  </GlobalSettings>", 1),
		},
		{
			"a missing global setting is the only one", strings.Replace(parts(plugin("Ec2EventLog", "Enabled"), ""), "<GlobalSettings></GlobalSettings>", "<GlobalSettings/>", 1),
			EC2ConfigSettings{Global: map[string]bool{"ManageShutdown": true}},
			"<Ec2ConfigurationSettings>\n<Plugins>" + plugin("Ec2EventLog", "Enabled") + "</Plugins>\n<GlobalSettings>\n  <ManageShutdown>true</ManageShutdown>\n</GlobalSettings>\n</Ec2ConfigurationSettings>",
		},
		{"a plug-in of somebody else's", parts(plugin("MyOwn", "Enabled"), "<Mine>true</Mine>"), EC2ConfigSettings{map[string]bool{"myown": false}, map[string]bool{"mine": false}}, parts(plugin("MyOwn", "Disabled"), "<Mine>false</Mine>")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := mustParseEC2Config(t, test.text)
			for range 2 {
				if err := f.Apply(test.settings); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != test.want {
					t.Fatalf("got:\n%s\nwant:\n%s", got, test.want)
				}
			}
		})
	}
}

func TestAConfigOfAnotherFormIsLeftAlone(t *testing.T) {
	t.Parallel()
	plugins := EC2ConfigSettings{Plugins: map[string]bool{"Ec2SetPassword": true}}
	globals := EC2ConfigSettings{Global: map[string]bool{"ManageShutdown": false}}
	for _, test := range []struct {
		name, text string
		settings   EC2ConfigSettings
		want       string
	}{
		{"another root element", "<Other/>", plugins, "the root element is <Other>, not <Ec2ConfigurationSettings>"},
		{"no list of plug-ins", "<Ec2ConfigurationSettings/>", plugins, "not exactly one <Plugins>"},
		{"no list of global settings", "<Ec2ConfigurationSettings/>", globals, "not exactly one <GlobalSettings>"},
		{"an empty list of plug-ins", parts("", ""), plugins, "there is no <Plugin>"},
		{"a plug-in twice", parts(plugin("Ec2SetPassword", "Enabled")+plugin("Ec2SetPassword", "Enabled"), ""), plugins, "Ec2SetPassword stands twice, in the lines 2 and 2"},
		{"plug-ins as attributes", parts(`<Plugin Name="Ec2SetPassword" State="Disabled"/>`, ""), plugins, "this <Plugin> has no <Name>"},
		{"a setting twice", parts("", "<ManageShutdown>true</ManageShutdown><ManageShutdown>true</ManageShutdown>"), globals, "it stands twice, in the lines 3 and 3"},
		{"a setting of elements", parts("", "<ManageShutdown><x/></ManageShutdown>"), globals, "holds elements"},
		{"text in the list", parts("", "true"), globals, "holds text and cannot take elements"},
		{"a plug-in in another case", parts("\n"+plugin("EC2SetPassword", "Enabled"), ""), plugins, "line 3 has the name EC2SetPassword, and EC2Config's own files have Ec2SetPassword"},
		{"a setting in another case", parts("", "<manageshutdown>true</manageshutdown>"), globals, "line 3 has the name manageshutdown"},
		{"a plug-in that is nowhere", config, EC2ConfigSettings{Plugins: map[string]bool{"MyOwn": true}}, "setting the plug-in MyOwn: the file does not have this plug-in exactly once"},
		{"a setting that is nowhere", config, EC2ConfigSettings{map[string]bool{"Ec2SetPassword": true}, map[string]bool{"Mine": true}}, "setting the global setting Mine: the file does not have this setting"},
		{"a setting that is no good", config, EC2ConfigSettings{Plugins: map[string]bool{"Ec2SetPasword": true}}, `plugins["Ec2SetPasword"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := mustParseEC2Config(t, test.text)
			err := f.Apply(test.settings)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "f.xml: ") {
				t.Errorf("got %v, wanted %s", err, test.want)
			}
			if string(f.Bytes()) != test.text {
				t.Errorf("it has changed to:\n%s", f.Bytes())
			}
		})
	}
}

func TestSettingsForConfigAreValidated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		settings EC2ConfigSettings
		want     []string
	}{
		{"none", EC2ConfigSettings{}, nil},
		{"names that AWS documents, in any case, and others", EC2ConfigSettings{map[string]bool{"ec2setpassword": true, "AWS.EC2.Windows.CloudWatch.PlugIn": true, "My-Own_2": true}, map[string]bool{"shouldAddRoutes": true}}, nil},
		{"slips of the finger", EC2ConfigSettings{map[string]bool{"Ec2SetPasword": true}, map[string]bool{"ManageShutDowns": true}}, []string{
			`plugins["Ec2SetPasword"]: AWS documents no such name; did you mean Ec2SetPassword?`,
			`global["ManageShutDowns"]: AWS documents no such name; did you mean ManageShutdown?`,
		}},
		{"one name twice", EC2ConfigSettings{Plugins: map[string]bool{"ec2EventLog": true, "Ec2EventLog": false}}, []string{`plugins["ec2EventLog"]: it is the same name as "Ec2EventLog"; keep one of them`}},
		{"no names", EC2ConfigSettings{Global: map[string]bool{"": true, "a b": true, "1": true}}, []string{`global[""]: it is no name`, `global["1"]: it is no name`, `global["a b"]: it is no name`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			errs := test.settings.Validate()
			if len(errs) != len(test.want) {
				t.Errorf("got %v", errs)
			}
			for i, want := range test.want {
				if i < len(errs) && !strings.HasPrefix(errs[i].Error(), want) {
					t.Errorf("got %v, wanted %s", errs[i], want)
				}
			}
		})
	}
}

// everyEC2ConfigSetting sets all that AWS documents.
func everyEC2ConfigSetting(value bool) EC2ConfigSettings {
	s := EC2ConfigSettings{Plugins: map[string]bool{}, Global: map[string]bool{}}
	for _, name := range ec2configPlugins() {
		s.Plugins[name] = value
	}
	for _, name := range ec2configGlobals() {
		s.Global[name] = value
	}
	return s
}

// TestTheRealFilesOfEC2Config holds that every real file comes out as it went
// in, what is found in it, and which lines an edit changes.
func TestTheRealFilesOfEC2Config(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, kind := range []struct {
		pattern string
		parse   func(name string, data []byte) (settingFile, error)
		edit    func(f settingFile) error
	}{
		{"BundleConfig*.xml", func(n string, d []byte) (settingFile, error) { return ParseBundleConfig(n, d) }, func(f settingFile) error {
			return f.(*BundleConfig).Apply(BundleConfigSettings{ptrTo(true), ptrTo(true), ptrTo(true)})
		}},
		{"EC2Config-Config*.xml", func(n string, d []byte) (settingFile, error) { return ParseEC2Config(n, d) }, func(f settingFile) error {
			return f.(*EC2Config).Apply(everyEC2ConfigSetting(true))
		}},
		{"DriveLetterConfig*.xml", func(n string, d []byte) (settingFile, error) { return ParseDriveLetterConfig(n, d) }, nil},
	} {
		files := corpus(t, kind.pattern)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f, err := kind.parse(name, files[name])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Bytes(), files[name]) || !bytes.Equal(f.Redacted(), files[name]) {
				t.Errorf("%s does not come out as it went in", name)
			}
			fmt.Fprintf(&b, "%s:\n", name)
			for _, x := range f.Check() {
				fmt.Fprintf(&b, "  %d:%d %s %s\n", x.Line, x.Column, x.Severity, x.ID)
			}
			if d, ok := f.(*DriveLetterConfig); ok {
				fmt.Fprintf(&b, "  letters: %d\n", len(d.Letters()))
			}
			if kind.edit == nil {
				continue
			}
			if err := kind.edit(f); err != nil {
				t.Errorf("%s cannot be edited: %v", name, err)
			}
			before, after := strings.Split(string(files[name]), "\n"), strings.Split(string(f.Bytes()), "\n")
			if len(before) != len(after) {
				t.Errorf("%s had %d lines and has %d", name, len(before), len(after))
				continue
			}
			for i := range before {
				if before[i] != after[i] {
					fmt.Fprintf(&b, "  line %d edited\n", i+1)
				}
			}
		}
	}
	golden(t, "ec2config_corpus.golden", b.String())
}
