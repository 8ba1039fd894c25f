package diagnosis

import (
	"bytes"
	"testing"

	"golang.org/x/text/encoding/unicode"
)

func utf16le(t testing.TB, s string) []byte {
	t.Helper()
	b, err := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeReads(t *testing.T) {
	const text = "Grüße an alle, 100 €\r\n"
	wide := utf16le(t, text)
	swapped := bytes.Clone(wide)
	for i := 0; i+1 < len(swapped); i += 2 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"nothing":                            {nil, ""},
		"UTF-8":                              {[]byte(text), text},
		"UTF-8 with a mark":                  {append([]byte{0xef, 0xbb, 0xbf}, text...), text},
		"UTF-16 with a mark":                 {append([]byte{0xff, 0xfe}, wide...), text},
		"UTF-16 the other way round":         {append([]byte{0xfe, 0xff}, swapped...), text},
		"the tail of a UTF-16 log":           {wide, text},
		"UTF-16 cut within a character":      {append([]byte{0xff, 0xfe}, wide[:len(wide)-1]...), text[:len(text)-1]},
		"Windows-1252":                       {[]byte("Gr\xfc\xdfe an alle, 100 \x80\r\n"), text},
		"UTF-8 that begins in a character":   {[]byte("ü an alle")[1:], " an alle"},
		"UTF-8 that ends in a character":     {[]byte("alle €")[:len("alle €")-1], "alle "},
		"UTF-8 cut at both ends":             {[]byte("€ alle €")[2 : len("€ alle €")-2], " alle "},
		"a mark and nothing":                 {[]byte{0xff, 0xfe}, ""},
		"a single byte of another code page": {[]byte("\xe9t\xe9 \xe0 Paris"), "été à Paris"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Decode(tt.data); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
