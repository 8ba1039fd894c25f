package answerfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// small is a whole answer file with one component.
const small = `<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend">
  <settings pass="specialize">
    <component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS" xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State">
      <TimeZone>UTC</TimeZone>
    </component>
  </settings>
</unattend>
`

func wide(text string, big, mark bool) []byte {
	var out []byte
	if mark {
		text = "\ufeff" + text
	}
	for _, u := range utf16.Encode([]rune(text)) {
		if big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func TestSyntaxErrorsSayWhereAndWhy(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":                          {"", "f.xml:1:1: the file is empty"},
		"white space":                      {" \r\n", "f.xml:1:1: the file is empty"},
		"no element":                       {"<!-- x -->", "f.xml:1:1: the file holds no element"},
		"plain text":                       {"hello", "f.xml:1:1: text outside the root element"},
		"a byte that is no character":      {"<?xml version=\"1.0\" encoding=\"windows-1252\"?>\n<a>\x90</a>", "f.xml:2:4: byte 0x90 is no character of windows-1252, the encoding of the file; save the file as UTF-8"},
		"an entity in the place of a root": {" &#70;", "f.xml:1:2: text outside the root element"},
		"text behind the root":             {"<a/>\n  x", "f.xml:2:3: text outside the root element"},
		"two roots":                        {"<a/>\n<b/>", "f.xml:2:1: a second root element <b> after <a>"},
		"an element never closed":          {"<a>\n <b>\n</a>", "f.xml:3:1: </a> cannot close <b> of line 2"},
		"the end is missing":               {"<a>\n <b>", "f.xml:2:2: <b> is never closed"},
		"the end within a tag":             {"<a>\n <b", "f.xml:2:4: the file ends within <a> of line 1"},
		"an end too many":                  {"<a/></a>", "f.xml:1:5: </a> closes nothing"},
		"a bare ampersand":                 {"<a>\n  reg & more</a>", "f.xml:2:7: a bare & is not allowed; write &amp;"},
		"an entity of HTML":                {"<a>x&nbsp;y</a>", "f.xml:1:5: the entity &nbsp; is not known to XML; write the character itself"},
		"a bare less-than sign":            {"<a>1 < 2</a>", "f.xml:1:6: a bare < is not allowed; write &lt;"},
		"an attribute without quotes":      {"<a b=c/>", "f.xml:1:7: an attribute's value must stand in quotes"},
		"an attribute without a value":     {"<a b/>", "f.xml:1:6: an attribute must be written name=\"value\""},
		"an attribute twice":               {`<a b="1" b="2"/>`, "f.xml:1:10: the attribute b stands twice in <a>"},
		"a missing quote":                  {"<a b=\"1>\n<c/></a>", "f.xml:2:1: a bare < in an attribute's value is not allowed; write &lt; (or is a quote missing?)"},
		"a control character":              {"<a>\x01</a>", "f.xml:1:4: the text holds a character that XML does not allow: character code U+0001"},
		"dashes in a comment":              {"<a><!-- x -- y --></a>", "f.xml:1:11: -- is not allowed within a comment"},
		"a declaration that is not first":  {"\n<?xml version=\"1.0\"?><a/>", "f.xml:2:1: the XML declaration must be the very first thing in the file"},
		"an encoding nobody knows":         {`<?xml version="1.0" encoding="koi8-r"?><a/>`, `f.xml:1:1: the encoding "koi8-r" is not supported; save the file as UTF-8`},
		"ANSI in a UTF-8 file":             {"<a>\n  f\xfcr</a>", "f.xml:2:4: byte 0xfc is not UTF-8, the encoding of the file; save the file as UTF-8"},
		"half a UTF-16 file":               {string(wide("<a/>", false, true)[:9]), "f.xml:1:4: the file is UTF-16 and ends within a character"},
		"a lone surrogate":                 {"<\x00a\x00/\x00>\x00\x00\xd8", "f.xml:1:5: half a character in UTF-16; save the file as UTF-8"},
		"a tower of elements":              {strings.Repeat("<a>", 200), "f.xml:1:301: elements are nested more than 100 deep"},
		"the column counts characters":     {"<a>äöü & x</a>", "f.xml:1:8: a bare & is not allowed; write &amp;"},
		"CR alone ends a line":             {"<a>\r\r &</a>", "f.xml:3:2: a bare & is not allowed; write &amp;"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.xml", []byte(tt.text))
			var se *SyntaxError
			if !errors.As(err, &se) || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestEveryEncodingComesOutAsItWentIn(t *testing.T) {
	umlaut := strings.Replace(small, "UTC", "Zürich", 1)
	utf16 := strings.Replace(umlaut, "utf-8", "utf-16", 1)
	latin := []byte(strings.ReplaceAll(strings.Replace(umlaut, "utf-8", "iso-8859-1", 1), "ü", "\xfc"))
	ansi := []byte(strings.ReplaceAll(strings.Replace(umlaut, "utf-8", "windows-1252", 1), "ü", "\xfc"))
	for name, data := range map[string][]byte{
		"UTF-8":                       []byte(umlaut),
		"UTF-8 with a mark":           []byte("\ufeff" + umlaut),
		"UTF-8 with CR LF":            []byte(strings.ReplaceAll(umlaut, "\n", "\r\n")),
		"UTF-16":                      wide(utf16, false, true),
		"UTF-16 without a mark":       wide(utf16, false, false),
		"UTF-16 the other way round":  wide(utf16, true, true),
		"UTF-16 reversed and no mark": wide(utf16, true, false),
		"ISO 8859-1":                  latin,
		"Windows-1252":                ansi,
		"everything on one line":      []byte(strings.ReplaceAll(umlaut, "\n", "")),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("f.xml", data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Bytes(), data) {
				t.Error("the bytes have changed without an edit")
			}
			if v, ok := f.Lookup("specialize", shellSetup, "TimeZone"); !ok || v != "Zürich" {
				t.Errorf("TimeZone = %q, %v", v, ok)
			}
			if err := f.Apply(Settings{TimeZone: ptr("UTC")}); err != nil {
				t.Fatal(err)
			}
			again, err := Parse("f.xml", f.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if again.doc.Encoding() != f.doc.Encoding() || again.Text() != f.Text() {
				t.Errorf("encoding %v became %v", f.doc.Encoding(), again.doc.Encoding())
			}
			// Replacing one value back gives the original bytes back.
			e, err := again.find(settings[len(settings)-3].places[1])
			if err != nil || e == nil || e.Text() != "UTC" {
				t.Fatalf("the time zone is gone: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range checks {
		f.Add([]byte(tt.text))
	}
	for _, name := range []string{"ec2launch-v2.xml", "ec2launch-v1.xml", "ec2config.xml"} {
		f.Add(shippedFile(f, name).Bytes())
	}
	f.Add(wide(small, false, true))
	f.Add([]byte(`<u:unattend xmlns:u="urn:schemas-microsoft-com:unattend"/>`))
	f.Add([]byte(`<?xml version="1.0" encoding="windows-1252"?><unattend xmlns="urn:schemas-microsoft-com:unattend"><settings pass="specialize"/></unattend>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f.xml", data)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) || se.Line < 1 || se.Column < 1 || se.Cause == "" {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		if !bytes.Equal(file.Bytes(), data) {
			t.Fatal("the file does not come out as it went in")
		}
		for _, x := range file.Check(CheckOptions{AdministratorName: "x", Shipped: file}) {
			if x.ID == "" || x.Message == "" || x.Remedy == "" {
				t.Errorf("an incomplete finding: %+v", x)
			}
		}
		if d := Diff(file, file).String(); d != "" {
			t.Errorf("a file differs from itself: %s", d)
		}
		if _, err := file.StripPassProcessed(); err != nil {
			t.Errorf("stripping: %v", err)
		}
		if _, err := file.DropPasswordScramble(); err != nil {
			t.Errorf("dropping: %v", err)
		}
		before := file.Bytes()
		if err := file.Apply(everySetting()); err != nil {
			if !bytes.Equal(file.Bytes(), before) {
				t.Error("the file has changed in spite of the error")
			}
			return
		}
		again, err := Parse("f.xml", file.Bytes())
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%s", err, file.Text())
		}
		want := everySetting()
		for _, row := range settings {
			v, _ := row.get(&want)
			if got, ok := again.Value(row.option); !ok || got != v && !strings.EqualFold(got, v) {
				t.Errorf("%s = %q, %v; want %q\n%s", row.option, got, ok, v, file.Text())
			}
		}
	})
}
