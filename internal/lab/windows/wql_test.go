package windows

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

func TestFilters(t *testing.T) {
	objects := []guest.Object{
		{"Name": "one", "Size": "9", "Big": "False"},
		{"Name": "two", "Size": "10", "Big": "True"},
		{"Name": `o'clock`, "Big": "True"},
	}
	tests := []struct{ name, filter, want string }{
		{"nothing means all", "", "one two o'clock"},
		{"names know no case", "NAME='ONE'", "one"},
		{"numbers are compared as numbers", "Size > 9", "two"},
		{"numbers up to one", "size <= 9 AND size >= 1", "one"},
		{"an alternative", "Name='one' OR Name = 'two'", "one two"},
		{"a pattern", "Name LIKE 'o%'", "one o'clock"},
		{"one letter", "Name LIKE '_wo'", "two"},
		{"and before or", "Name='one' OR Name='two' AND Big=FALSE", "one"},
		{"parentheses", "(Name='one' OR Name='two') AND Big=TRUE", "two"},
		{"not", "NOT Big=TRUE", "one"},
		{"unequal", "Name<>'one' AND Name!='two'", "o'clock"},
		{"a quote in a name", `Name='o\'clock'`, "o'clock"},
		{"double quotes", `Name="two"`, "two"},
		{"nothing there", "Size IS NULL", "o'clock"},
		{"something there", "Size IS NOT NULL", "one two"},
		{"a value that spells a keyword", "Name='OR'", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			holds, err := parseFilter(test.filter)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, object := range objects {
				if holds(func(name string) string { return property(object, name) }) {
					found = append(found, object["Name"])
				}
			}
			if got := strings.Join(found, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestFiltersWithAMistake(t *testing.T) {
	for _, filter := range []string{"Name", "Name=", "Name ~ 'x'", "Name='x", "(Name='x'", "Name='x' Name='y'", "AND", "Name IS 'x'", "'x'='x'", ")"} {
		if _, err := parseFilter(filter); err == nil {
			t.Errorf("%q has no error", filter)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"", "Name='x' OR NOT (Size >= 10 AND Big IS NOT NULL)", "LIKE", `"\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		holds, err := parseFilter(filter)
		if err == nil && holds == nil {
			t.Error("neither a condition nor an error")
		}
		if err == nil {
			holds(func(string) string { return "1" })
		}
	})
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		`C:\`: `C:\`, `C:`: `C:\`, `C:\a\`: `C:\a`, `C:/a//b/./c/../d`: `C:\a\b\d`, `C:\..\..\a`: `C:\a`, `HKLM\SOFTWARE\`: `HKLM\SOFTWARE`,
	} {
		if got := clean(path); got != want {
			t.Errorf("clean(%q) = %q, want %q", path, got, want)
		}
	}
	if parent(`C:\a`) != `C:\` || parent(`C:\`) != "" || parent(`C:\a\b`) != `C:\a` {
		t.Error("a parent is wrong")
	}
	for _, line := range []struct{ line, want string }{
		{`a "b c" d`, "a|b c|d"}, {`/tn "x\"y"`, `/tn|x"y`}, {`""`, ""}, {"  ", ""}, {`/unattend:"C:\a b.xml"`, `/unattend:C:\a b.xml`},
	} {
		if got := strings.Join(splitLine(line.line), "|"); got != line.want {
			t.Errorf("splitLine(%q) = %q, want %q", line.line, got, line.want)
		}
	}
}
