package agentconfig

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"
)

func ptrTo[T any](v T) *T { return &v }

// crlf gives a text the line ends of Windows.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// utf16Marked is a text in UTF-16 with a byte order mark.
func utf16Marked(text string) string {
	var out []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

// bundle is a file of the form that the programs which edit the real one show.
const bundle = `<?xml version="1.0" standalone="yes"?>
<BundleConfig>
  <Property>
    <Name>AutoSysprep</Name>
    <Value>No</Value>
  </Property>
  <Property>
    <Name>SetRDPCertificate</Name>
    <Value>No</Value>
  </Property>
  <Property>
    <Name>SetPasswordAfterSysprep</Name>
    <Value>Yes</Value>
  </Property>
  <GeneralSettings>
    <Sysprep>
      <AnswerFilePath>sysprep2003.xml</AnswerFilePath>
      <Switches>-reseal -mini -quiet</Switches>
    </Sysprep>
    <Sysprep>
      <AnswerFilePath>sysprep2008.xml</AnswerFilePath>
      <Switches>/oobe /shutdown /generalize</Switches>
      <PreSysprepRunCmd>C:\Program Files\Amazon\Ec2ConfigService\Scripts\BeforeSysprep.cmd</PreSysprepRunCmd>
    </Sysprep>
  </GeneralSettings>
</BundleConfig>
`

// property is a file with one property.
func property(name, value string) string {
	return "<BundleConfig>\n<Property><Name>" + name + "</Name><Value>" + value + "</Value></Property>\n</BundleConfig>"
}

// settingFile is what the files of EC2Config have in common for tests.
type settingFile interface {
	Bytes() []byte
	Redacted() []byte
	HoldsSecret() bool
	Check() []Finding
}

// found lists findings; none may be incomplete.
func found(t *testing.T, f settingFile) string {
	t.Helper()
	var b strings.Builder
	for _, x := range f.Check() {
		if x.ID == "" || x.Message == "" || x.Remedy == "" || x.File == "" {
			t.Errorf("an incomplete finding: %+v", x)
		}
		b.WriteString(x.String() + "\n")
	}
	return b.String()
}

func TestWhatIsFoundInBundleConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		// want are phrases of the one finding; none for a file in order.
		want []string
	}{
		{"a file as it should be", bundle, nil},
		{"a file in UTF-16", utf16Marked(bundle), nil},
		{"a file with a byte order mark", "\ufeff" + bundle, nil},
		{"another root element", "<Bundle/>", []string{"f.xml:1:1: error:", "(root-element)", "<Bundle>, not <BundleConfig>"}},
		{"a namespace", `<BundleConfig xmlns="urn:x"/>`, []string{"error", "(root-element)"}},
		{"a declaration that is wrong", `<?xml version="1.0" encoding="utf-16"?>` + property("AutoSysprep", "No"), []string{"f.xml:1:1: error:", "(encoding-mismatch)"}},
		{"UTF-16 that calls itself UTF-8", utf16Marked(`<?xml version="1.0" encoding="utf-8"?>` + property("AutoSysprep", "No")), []string{"error", "(encoding-mismatch)"}},
		{"a word of Config.xml", property("AutoSysprep", "Enabled"), []string{"f.xml:2:42: error:", "(value)", `AutoSysprep is "Enabled"`, "write Yes or No"}},
		{"no value", property("AutoSysprep", ""), []string{"error", "(value)"}},
		{"a value in another case", property("AutoSysprep", "yes"), []string{"warning", "(value)", "write Yes"}},
		{"white space around a value", property("AutoSysprep", " Yes\n"), []string{"warning", "(value-space)"}},
		{"a slip of the finger", property("AutoSysprp", "Yes"), []string{"f.xml:2:17: warning:", "(unknown-property)", "did you mean AutoSysprep?"}},
		{"a property that nobody knows", property("Colour", "Blue"), []string{"warning", "(unknown-property)", "AWS documents AutoSysprep"}},
		{"a property twice", strings.Replace(bundle, "SetRDPCertificate", "AutoSysprep", 1), []string{"f.xml:7:3: error:", "(duplicate-property)", "line 3"}},
		{"a property without value", "<BundleConfig><Property><Name>AutoSysprep</Name></Property></BundleConfig>", []string{"f.xml:1:15: error:", "(shape)", "no <Value>"}},
		{"a property with two values", "<BundleConfig><Property><Name>AutoSysprep</Name><Value>No</Value><Value>No</Value></Property></BundleConfig>", []string{"error", "(shape)", "<Value> stands twice"}},
		{"another script before Sysprep", strings.Replace(bundle, `Scripts\BeforeSysprep.cmd`, `Scripts\mine.cmd`, 1), []string{"f.xml:23:25: warning:", "(before-sysprep)", "fDenyTSConnections"}},
		{"no script before Sysprep", strings.Replace(bundle, `C:\Program Files\Amazon\Ec2ConfigService\Scripts\BeforeSysprep.cmd`, "", 1), []string{"warning", "(before-sysprep)"}},
		{"the script in quotes and capitals", strings.Replace(bundle, `C:\Program Files\Amazon\Ec2ConfigService\Scripts\BeforeSysprep.cmd`, `"%PROGRAMFILES%\AMAZON\EC2CONFIGSERVICE\SCRIPTS\BEFORESYSPREP.CMD"`, 1), nil},
		{"another script as a property", property("PreSysprepRunCmd", `D:\mine.cmd`), []string{"warning", "(before-sysprep)"}},
		{"switches that generalize nothing", strings.Replace(bundle, " /generalize", "", 1), []string{"f.xml:22:17: warning:", "(switches)", "/generalize"}},
		{"switches with hyphens", strings.Replace(bundle, "/oobe /shutdown /generalize", "-OOBE -quit -Generalize", 1), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseBundleConfig("f.xml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			wantFinding(t, found(t, f), test.want)
			if f.HoldsSecret() {
				t.Error("it is said to hold a secret")
			}
		})
	}
}

// wantFinding wants no finding, or one with all phrases.
func wantFinding(t *testing.T, got string, phrases []string) {
	t.Helper()
	if want := min(1, len(phrases)); strings.Count(got, "\n") != want {
		t.Errorf("wanted %d findings, got:\n%s", want, got)
	}
	for _, p := range phrases {
		if !strings.Contains(got, p) {
			t.Errorf("%q is not in:\n%s", p, got)
		}
	}
}

func TestPropertiesAreRead(t *testing.T) {
	t.Parallel()
	f, err := ParseBundleConfig("f.xml", []byte(strings.Replace(bundle, "<Value>Yes", "<Value><!-- x --><![CDATA[Yes]]>", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"AutoSysprep": "No", "setrdpcertificate": "No", "SETPASSWORDAFTERSYSPREP": "Yes"} {
		if got, ok := f.Property(name); !ok || got != want {
			t.Errorf("%s is %q, %v", name, got, ok)
		}
	}
	if v, ok := f.Property("Other"); ok {
		t.Errorf("a property that is not there is %q", v)
	}
	for name, text := range map[string]string{
		"twice":           strings.Replace(bundle, "SetRDPCertificate", "AutoSysprep", 1),
		"in another root": strings.ReplaceAll(bundle, "BundleConfig>", "Other>"),
	} {
		f, err := ParseBundleConfig("f.xml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := f.Property("AutoSysprep"); ok {
			t.Errorf("a property %s is %q", name, v)
		}
	}
}

func TestBundleConfigIsEditedInPlace(t *testing.T) {
	t.Parallel()
	yes := BundleConfigSettings{AutoSysprep: ptrTo(true)}
	oneLine := "<BundleConfig>\n\t<Property><Name>SetRDPCertificate</Name><Value>No</Value></Property>\n\t<Other/>\n</BundleConfig>"
	for _, test := range []struct {
		name, text string
		settings   BundleConfigSettings
		want       string
	}{
		{"nothing is asked for", bundle, BundleConfigSettings{}, bundle},
		{"a property has the value already", bundle, BundleConfigSettings{AutoSysprep: ptrTo(false), SetPasswordAfterSysprep: ptrTo(true)}, bundle},
		{"one value changes", bundle, yes, strings.Replace(bundle, "<Value>No", "<Value>Yes", 1)},
		{"all values change", bundle, BundleConfigSettings{ptrTo(true), ptrTo(true), ptrTo(false)}, strings.NewReplacer("<Value>No", "<Value>Yes", "<Value>Yes", "<Value>No").Replace(bundle)},
		{"the line ends are those of Windows", crlf(bundle), yes, crlf(strings.Replace(bundle, "<Value>No", "<Value>Yes", 1))},
		{"there is a byte order mark", "\ufeff" + bundle, yes, "\ufeff" + strings.Replace(bundle, "<Value>No", "<Value>Yes", 1)},
		{"the file is UTF-16", utf16Marked(bundle), yes, utf16Marked(strings.Replace(bundle, "<Value>No", "<Value>Yes", 1))},
		{"the value has another case", property("AutoSysprep", "YES"), yes, property("AutoSysprep", "Yes")},
		{"the value is wrong", property("AutoSysprep", "Enabled"), yes, property("AutoSysprep", "Yes")},
		{"the value is CDATA beside a comment", property("AutoSysprep", "<![CDATA[No]]><!-- ! -->"), yes, property("AutoSysprep", "Yes<!-- ! -->")},
		{"the value is an empty element", strings.Replace(property("AutoSysprep", ""), "<Value></Value>", "<Value />", 1), yes, property("AutoSysprep", "Yes")},
		{
			"the property is missing", strings.Replace(bundle, propertyLines("AutoSysprep", "No"), "", 1), yes,
			strings.Replace(strings.Replace(bundle, propertyLines("AutoSysprep", "No"), "", 1), "  <GeneralSettings>", propertyLines("AutoSysprep", "Yes")+"  <GeneralSettings>", 1),
		},
		{"the property is missing where each has one line", oneLine, yes, strings.Replace(oneLine, "\n\t<Other/>", "\n\t<Property><Name>AutoSysprep</Name><Value>Yes</Value></Property>\n\t<Other/>", 1)},
		{
			"the property is missing where all is on one line", strings.ReplaceAll(strings.ReplaceAll(oneLine, "\n", ""), "\t", ""), yes,
			"<BundleConfig><Property><Name>SetRDPCertificate</Name><Value>No</Value></Property><Property><Name>AutoSysprep</Name><Value>Yes</Value></Property><Other/></BundleConfig>",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseBundleConfig("f.xml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := f.Apply(test.settings); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != test.want {
					t.Fatalf("got:\n%q\nwant:\n%q", got, test.want)
				}
			}
		})
	}
}

func propertyLines(name, value string) string {
	return "  <Property>\n    <Name>" + name + "</Name>\n    <Value>" + value + "</Value>\n  </Property>\n"
}

func TestABundleConfigOfAnotherFormIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"another root element", "<Bundle/>", "the root element is <Bundle>, not <BundleConfig>"},
		{"no property at all", "<BundleConfig><AutoSysprep>No</AutoSysprep></BundleConfig>", "there is no <Property> in the <BundleConfig> of line 1"},
		{"a property of another form", "<BundleConfig>\n<Property AutoSysprep=\"No\"/></BundleConfig>", "line 2: this <Property> has no <Name>"},
		{"a value of elements", property("AutoSysprep", "<No/>"), "line 2: this <Value> holds elements"},
		{"a property twice", strings.Replace(bundle, "SetRDPCertificate", "AutoSysprep", 1), "AutoSysprep stands twice, in the lines 3 and 7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseBundleConfig("f.xml", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			err = f.Apply(BundleConfigSettings{SetPasswordAfterSysprep: ptrTo(false), AutoSysprep: ptrTo(true)})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "f.xml: ") {
				t.Errorf("got %v, wanted %s", err, test.want)
			}
			if !bytes.Equal(f.Bytes(), []byte(test.text)) {
				t.Errorf("it has changed to:\n%s", f.Bytes())
			}
		})
	}
}

func TestWhatIsNoXMLIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "f.xml:1:1: the file is empty",
		"<BundleConfig>\n  <a>\n</b>":    "f.xml:3:1: </b> cannot close <a> of line 2",
		"<BundleConfig>&</BundleConfig>": "f.xml:1:15: a bare & is not allowed; write &amp;",
		strings.Repeat(" ", maxFile+1):   "f.xml:1:1: the file has 262145 bytes; a setting file with more than 262144 is refused",
	} {
		if _, err := ParseBundleConfig("f.xml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("got %v, wanted %s", err, want)
		}
		if _, err := ParseEC2Config("f.xml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("got %v, wanted %s", err, want)
		}
	}
}
