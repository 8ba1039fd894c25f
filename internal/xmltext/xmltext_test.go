package xmltext

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

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

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse("f.xml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// find is the first element of that name.
func find(t testing.TB, d *Document, local string) *Element {
	t.Helper()
	var out *Element
	d.Root().Walk(func(e *Element) {
		if out == nil && e.Local == local {
			out = e
		}
	})
	if out == nil {
		t.Fatalf("there is no <%s>", local)
	}
	return out
}

func TestEveryElementKnowsItsPlace(t *testing.T) {
	t.Parallel()
	const text = "<?xml version=\"1.0\"?>\r\n<a xmlns:x='urn:x'>\r\n <!-- ü --><x:b  c = \"1\" x:d='&lt;2'/>t&amp;u<![CDATA[<v>]]></a>\n"
	d := mustParse(t, text)
	root, b := d.Root(), find(t, d, "b")
	for what, test := range map[string]struct{ got, want string }{
		"the root's start tag":   {text[root.Start:root.StartEnd], "<a xmlns:x='urn:x'>"},
		"the root's end tag":     {text[root.EndStart:root.End], "</a>"},
		"an empty element":       {text[b.Start:b.End], "<x:b  c = \"1\" x:d='&lt;2'/>"},
		"its name":               {b.Name(), "x:b"},
		"its namespace":          {b.Space, "urn:x"},
		"an attribute":           {text[b.Attrs[0].Start:b.Attrs[0].End], `c = "1"`},
		"an attribute's value":   {text[b.Attrs[1].ValueStart:b.Attrs[1].ValueEnd], "&lt;2"},
		"what the value says":    {b.Attrs[1].Value, "<2"},
		"an attribute's name":    {b.Attrs[1].Name(), "x:d"},
		"an attribute's space":   {b.Attrs[1].Space, "urn:x"},
		"a value by its name":    {b.Value("c"), "1"},
		"the root's text":        {strings.TrimSpace(root.Text()), "t&u<v>"},
		"a name beside the root": {root.Qualify("z"), "z"},
		"a name beside b":        {b.Qualify("z"), "x:z"},
	} {
		if test.got != test.want {
			t.Errorf("%s is %q, wanted %q", what, test.got, test.want)
		}
	}
	if line, column := d.Position(b.Start); line != 3 || column != 12 || d.Line(b) != 3 {
		t.Errorf("b stands in %d:%d, line %d", line, column, d.Line(b))
	}
	if !b.SelfClosing() || root.SelfClosing() || !b.Leaf() || root.Leaf() || b.Parent != root || root.Parent != nil {
		t.Error("the elements are not told apart")
	}
	if len(root.All("urn:x", "b")) != 1 || len(root.All("", "b")) != 0 {
		t.Error("an element is found by the wrong namespace")
	}
	if scope := b.Scope(); scope["x"] != "urn:x" || scope["xml"] == "" || len(scope) != 2 {
		t.Errorf("the prefixes are %v", scope)
	}
}

func TestWhatAFileSaysOfItself(t *testing.T) {
	t.Parallel()
	const text = `<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a>ü</a>`
	for name, test := range map[string]struct {
		data []byte
		want Encoding
	}{
		"UTF-8":                       {[]byte(text), Encoding{UTF8, false}},
		"UTF-8 with a mark":           {[]byte("\ufeff" + text), Encoding{UTF8, true}},
		"UTF-16":                      {wide(text, false, true), Encoding{UTF16LE, true}},
		"UTF-16 without a mark":       {wide(text, false, false), Encoding{UTF16LE, false}},
		"UTF-16 the other way round":  {wide(text, true, true), Encoding{UTF16BE, true}},
		"UTF-16 reversed and no mark": {wide(text, true, false), Encoding{UTF16BE, false}},
		"Windows-1252":                {[]byte(strings.NewReplacer("UTF-16", "Windows-1252", "ü", "\xfc").Replace(text)), Encoding{Windows1252, false}},
		"ISO 8859-1":                  {[]byte(strings.NewReplacer("UTF-16", "ISO-8859-1", "ü", "\xfc").Replace(text)), Encoding{Latin1, false}},
	} {
		d, err := Parse("f.xml", test.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Encoding() != test.want || d.Encoding().Wide() != strings.HasPrefix(name, "UTF-16") {
			t.Errorf("%s: the encoding is %v", name, d.Encoding())
		}
		if d.Root().Text() != "ü" || d.Name() != "f.xml" {
			t.Errorf("%s: the text is %q", name, d.Text())
		}
		if at, ok := d.Doctype(); !ok || !strings.HasPrefix(d.Text()[at:], "<!DOCTYPE") {
			t.Errorf("%s: the document type is not found", name)
		}
		if strings.HasPrefix(name, "UTF") && d.Declared() != "UTF-16" {
			t.Errorf("%s: it declares %q", name, d.Declared())
		}
		// An edit keeps the encoding, and its reverse gives the bytes back.
		if !bytes.Equal(d.Bytes(), test.data) {
			t.Errorf("%s: it does not come out as it went in", name)
		}
		at := d.Root().StartEnd
		if err := errors.Join(d.Splice(at, at, "x"), d.Splice(at, at+1, "")); err != nil || !bytes.Equal(d.Bytes(), test.data) {
			t.Errorf("%s: after an edit and its reverse it is %q (%v)", name, d.Bytes(), err)
		}
	}
	if d := mustParse(t, "<a/>"); d.Declared() != "" {
		t.Errorf("a file without declaration declares %q", d.Declared())
	}
}

func TestASyntaxErrorHasItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                   "f.xml:1:1: the file is empty",
		"<a>\r\n<b></a>":     "f.xml:2:4: </a> cannot close <b> of line 2",
		"<a>ü &</a>":         "f.xml:1:6: a bare & is not allowed; write &amp;",
		"<a/>\r\r\n<a/>":     "f.xml:3:1: a second root element <a> after <a>",
		"<a>\xff</a>":        "f.xml:1:4: byte 0xff is not UTF-8, the encoding of the file; save the file as UTF-8",
		"\xff\xfe<\x00a":     "f.xml:1:2: the file is UTF-16 and ends within a character",
		"<a b='1' b='2'/>":   "f.xml:1:10: the attribute b stands twice in <a>",
		"<a><b>x</a>":        "f.xml:1:8: </a> cannot close <b> of line 1",
		"<a><!-- -- --></a>": "f.xml:1:9: -- is not allowed within a comment",
	} {
		_, err := Parse("f.xml", []byte(text))
		var se *SyntaxError
		if !errors.As(err, &se) || err.Error() != want {
			t.Errorf("%q: got %v, wanted %s", text, err, want)
		}
	}
}

// list has every way to lay out elements.
const list = "<a>\n\t<b>\n\t\t<c>1</c>\n\t</b>\n\t<d><e>1</e><e/></d>\n\t<f/>\n\t<g><!-- x --></g>\n</a>\n"

func TestEditsChangeWhatTheyMust(t *testing.T) {
	t.Parallel()
	item := Fragment{Name: "n", Children: []Fragment{{Name: "o", Value: "<ü>"}, {Name: "p"}}}
	for _, test := range []struct {
		name string
		edit func(d *Document) error
		from string
		to   string
	}{
		{"a text is replaced", func(d *Document) error { return d.SetText(find(t, d, "c"), "2 & 3") }, "<c>1</c>", "<c>2 &amp; 3</c>"},
		{"an empty element gets a text", func(d *Document) error { return d.SetText(find(t, d, "f"), "x") }, "<f/>", "<f>x</f>"},
		{"a comment stays beside the text", func(d *Document) error { return d.SetText(find(t, d, "g"), "x") }, "<g><!-- x --></g>", "<g>x<!-- x --></g>"},
		{"an element goes with its line", func(d *Document) error { return d.Remove(find(t, d, "f")) }, "\n\t<f/>", ""},
		{"an element goes from within a line", func(d *Document) error { return d.Remove(find(t, d, "e")) }, "<e>1</e>", ""},
		{
			"a child is appended with lines of its own", func(d *Document) error { return d.Append(d.Root(), item) },
			"</g>\n", "</g>\n\t<n>\n\t\t<o>&lt;&#252;&gt;</o>\n\t\t<p></p>\n\t</n>\n",
		},
		{"a child is appended on the line", func(d *Document) error { return d.Append(find(t, d, "d"), item) }, "<e/></d>", "<e/><n><o>&lt;&#252;&gt;</o><p></p></n></d>"},
		{"an only child", func(d *Document) error {
			return d.Append(find(t, d, "f"), Fragment{Name: "n", Attributes: ` x="1"`, Value: "2"})
		}, "<f/>", "<f>\n\t\t<n x=\"1\">2</n>\n\t</f>"},
		{"an only child behind a comment", func(d *Document) error { return d.Append(find(t, d, "g"), Fragment{Name: "n"}) }, "<g><!-- x --></g>", "<g>\n\t\t<!-- x -->\n\t\t<n></n>\n\t</g>"},
		{"a sibling like one with lines", func(d *Document) error { return d.AppendLike(find(t, d, "b"), item) }, "\n\t<d>", "\n\t<n>\n\t\t<o>&lt;&#252;&gt;</o>\n\t\t<p></p>\n\t</n>\n\t<d>"},
		{"a sibling like one on one line", func(d *Document) error { return d.AppendLike(find(t, d, "d"), item) }, "\n\t<f/>", "\n\t<n><o>&lt;&#252;&gt;</o><p></p></n>\n\t<f/>"},
		{"a text before an element", func(d *Document) error { return d.InsertBefore(find(t, d, "f"), "<n/>") }, "\n\t<f/>", "\n\t<n/>\n\t<f/>"},
		{"a text before an element on the line", func(d *Document) error { return d.InsertBefore(find(t, d, "e"), "<n/>") }, "<e>1", "<n/><e>1"},
		{"a text behind an element", func(d *Document) error { return d.InsertAfter(d.Root(), find(t, d, "f"), "<n/>") }, "\n\t<f/>", "\n\t<f/>\n\t<n/>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(list, test.from) != 1 {
				t.Fatal("the place is not the only one")
			}
			windows := strings.NewReplacer("\n", "\r\n")
			for text, want := range map[string]string{
				list:                  strings.Replace(list, test.from, test.to, 1),
				windows.Replace(list): windows.Replace(strings.Replace(list, test.from, test.to, 1)),
				"\ufeff" + list:       "\ufeff" + strings.Replace(list, test.from, test.to, 1),
			} {
				d := mustParse(t, text)
				if err := test.edit(d); err != nil {
					t.Fatal(err)
				}
				if got := string(d.Bytes()); got != want {
					t.Errorf("got:\n%q\nwant:\n%q", got, want)
				}
			}
		})
	}
}

func TestAnEditThatBreaksTheFileIsUndone(t *testing.T) {
	t.Parallel()
	d := mustParse(t, list)
	if err := d.Splice(0, 1, ""); err == nil || string(d.Bytes()) != list {
		t.Errorf("a broken file is taken: %v", err)
	}
	if err := d.Append(find(t, d, "c"), Fragment{Name: "n"}); err == nil || !strings.Contains(err.Error(), "<c> of line 3 holds text") {
		t.Errorf("an element is put beside text: %v", err)
	}
	why := errors.New("why")
	err := d.Atomically(func() error {
		if err := d.SetText(find(t, d, "c"), "2"); err != nil {
			return err
		}
		return why
	})
	if !errors.Is(err, why) || string(d.Bytes()) != list || find(t, d, "c").Text() != "1" {
		t.Errorf("after an error (%v) the file is:\n%s", err, d.Text())
	}
	if err := d.Atomically(func() error { return d.SetText(find(t, d, "c"), "2") }); err != nil || find(t, d, "c").Text() != "2" {
		t.Errorf("without an error (%v) the file is:\n%s", err, d.Text())
	}
}

func TestAWholeDocumentIsWritten(t *testing.T) {
	t.Parallel()
	got := string(Format(Fragment{Name: "a", Children: []Fragment{{Name: "b", Value: "ü & <"}, {Name: "c", Attributes: ` d="1"`, Children: []Fragment{{Name: "e"}}}}}))
	want := strings.ReplaceAll("<?xml version=\"1.0\" standalone=\"yes\"?>\n<a>\n  <b>&#252; &amp; &lt;</b>\n  <c d=\"1\">\n    <e></e>\n  </c>\n</a>\n", "\n", "\r\n")
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if d := mustParse(t, got); find(t, d, "b").Text() != "ü & <" {
		t.Error("it is not read back")
	}
}

// FuzzParse holds that a file comes out as it went in, that every place is what
// it is said to be, and that an edit is read back.
func FuzzParse(f *testing.F) {
	for _, text := range []string{list, "\ufeff" + list, strings.ReplaceAll(list, "\n", "\r\n"), `<?xml version="1.0" encoding="windows-1252"?><a b = 'c'/>`, "<x:a xmlns:x='u'><![CDATA[<]]>&#65;</x:a>", "<!DOCTYPE a><a>\r</a><!-- -->"} {
		f.Add([]byte(text))
	}
	f.Add([]byte("<?xml \x90encoding=\"windows-1252\"?><A/>"))
	f.Add(wide(list, false, true))
	f.Add(wide(list, true, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("f.xml", data)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) || se.Line < 1 || se.Column < 1 || se.Cause == "" {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		if !bytes.Equal(d.Bytes(), data) {
			t.Fatal("the file does not come out as it went in")
		}
		leaves := 0
		d.Root().Walk(func(e *Element) {
			checkPlaces(t, d, e)
			if e.Leaf() {
				leaves++
			}
		})
		// Elements are not those of the document after an edit, so that the last
		// leaf is looked for anew each time.
		last := func() *Element {
			var out *Element
			d.Root().Walk(func(e *Element) {
				if e.Leaf() {
					out = e
				}
			})
			return out
		}
		if err := d.SetText(last(), "ü & 1"); err != nil || last().Text() != "ü & 1" {
			t.Fatalf("the text is not set: %v\n%q", err, d.Text())
		}
		if err := d.Append(d.Root(), Fragment{Name: "n", Value: "<v>"}); err == nil && last().Text() != "<v>" {
			t.Fatalf("the element is not appended:\n%q", d.Text())
		}
		again, err := Parse("f.xml", d.Bytes())
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%q", err, d.Text())
		}
		if again.Text() != d.Text() || again.Encoding() != d.Encoding() {
			t.Errorf("the edited file is read as another one: %q, %q", again.Text(), d.Text())
		}
	})
}

func checkPlaces(t *testing.T, d *Document, e *Element) {
	text := d.Text()
	if !strings.HasPrefix(text[e.Start:e.StartEnd], "<"+e.Name()) || !strings.HasSuffix(text[e.Start:e.StartEnd], ">") {
		t.Errorf("the start tag of %s is %q", e.Name(), text[e.Start:e.StartEnd])
	}
	if !e.SelfClosing() && !strings.HasPrefix(text[e.EndStart:e.End], "</"+e.Name()) {
		t.Errorf("the end tag of %s is %q", e.Name(), text[e.EndStart:e.End])
	}
	for _, a := range e.Attrs {
		quote := text[a.ValueStart-1]
		if !strings.HasPrefix(text[a.Start:], a.Name()) || quote != '"' && quote != '\'' || text[a.ValueEnd] != quote {
			t.Errorf("the attribute %s is %q", a.Name(), text[a.Start:a.End])
		}
	}
	for _, p := range e.Pieces {
		if p.Start < e.StartEnd || p.End > e.EndStart || p.Comment != strings.HasPrefix(text[p.Start:p.End], "<!--") {
			t.Errorf("a piece of %s is %q", e.Name(), text[p.Start:p.End])
		}
	}
}

// TestAFileOfDeclarationsIsReadInTime holds shapes on which a reader that copies
// the namespaces for each element, or compares each attribute with all others,
// takes minutes.
func TestAFileOfDeclarationsIsReadInTime(t *testing.T) {
	var attributes, declarations strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&attributes, " a%d=''", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&declarations, " xmlns:a%d='urn:%[1]d'", i)
	}
	for name, text := range map[string]string{
		"attributes": "<r" + attributes.String() + "/>",
		"namespaces": "<r" + declarations.String() + ">" + strings.Repeat("<a19999:e xmlns:a0='x'/>", 20_000) + "<a0:last/></r>",
	} {
		start := time.Now()
		d, err := Parse("f.xml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(d.Root().Children); n > 0 {
			if first, last := d.Root().Children[0], d.Root().Children[n-1]; first.Space != "urn:19999" || last.Space != "urn:0" {
				t.Errorf("%s: %q and %q", name, first.Space, last.Space)
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
