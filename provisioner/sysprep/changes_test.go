package sysprep

import (
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

func TestTheDifferenceOfTwoScriptsIsItsLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a line\n", 2000)
	other := strings.Repeat("another\n", 2000)
	for _, test := range []struct {
		name, before, after string
		want                []string
	}{
		{name: "nothing to nothing"},
		{name: "line ends alone", before: "one\ntwo\n", after: "one\r\ntwo\r\n"},
		{name: "a new script", after: "one\r\ntwo\r\n", want: []string{"+ one", "+ two"}},
		{name: "a script that goes", before: "one\r\ntwo", want: []string{"- one", "- two"}},
		{name: "a line at the end", before: "one\r\n", after: "one\r\ntwo\r\n", want: []string{"+ two"}},
		{name: "a line in the middle", before: "one\ntwo\nfour\n", after: "one\ntwo\nthree\nfour\n", want: []string{"+ three"}},
		{name: "a line that changes", before: "one\ntwo\nthree\n", after: "one\n2\nthree\n", want: []string{"- two", "+ 2"}},
		{name: "changes apart", before: "a\nb\nc\nd\n", after: "b\nc\nx\nd\ny\n", want: []string{"- a", "+ x", "+ y"}},
		{
			name: "scripts too long to compare", before: "first\n" + long, after: "first\n" + other,
			want: slices.Concat(slices.Repeat([]string{"- a line"}, 2000), slices.Repeat([]string{"+ another"}, 2000)),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := lineChanges([]byte(test.before), []byte(test.after)); !slices.Equal(got, test.want) {
				t.Errorf("the difference is %q, wanted %q", got, test.want)
			}
		})
	}
}

func TestARegistryValueInWords(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]guest.Value{
		"nothing":  {},
		`"en-US"`:  {Exists: true, Kind: "string", Text: "en-US"},
		`"%a%"`:    {Exists: true, Kind: guest.KindExpandString, Text: "%a%"},
		"1":        {Exists: true, Kind: guest.KindDWord, Text: "1"},
		"one, two": {Exists: true, Kind: guest.KindMultiString, Texts: []string{"one", "two"}},
	} {
		if got := valueText(value); got != want {
			t.Errorf("%+v is %s, wanted %s", value, got, want)
		}
	}
}
