package xmltext

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Charset is how characters lie in a file's bytes.
type Charset uint8

// The charsets that Parse reads.
const (
	UTF8 Charset = iota
	UTF16LE
	UTF16BE
	Windows1252
	Latin1
)

// String is the name that an XML declaration gives the charset.
func (c Charset) String() string {
	return [...]string{"utf-8", "utf-16", "utf-16", "windows-1252", "iso-8859-1"}[c]
}

// Encoding is a charset with or without a byte order mark.
type Encoding struct {
	Charset Charset
	BOM     bool
}

// Wide says whether the encoding is UTF-16, of either byte order.
func (e Encoding) Wide() bool { return e.Charset == UTF16LE || e.Charset == UTF16BE }

var (
	bomUTF8    = []byte{0xef, 0xbb, 0xbf}
	bomUTF16LE = []byte{0xff, 0xfe}
	bomUTF16BE = []byte{0xfe, 0xff}

	declaredEncoding = regexp.MustCompile(`^<\?xml\s[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']`)
)

// errUnreadable is a place in the bytes that is no text.
type errUnreadable struct {
	// prefix is the text before that place.
	prefix string
	cause  string
}

func (e *errUnreadable) Error() string { return e.cause }

// decode turns a file's bytes into text: by its byte order mark, by the shape
// of its first character, or by the encoding that its XML declaration names.
func decode(data []byte) (string, Encoding, error) {
	switch {
	case bytes.HasPrefix(data, bomUTF8):
		return decodeUTF8(data[3:], true)
	case bytes.HasPrefix(data, bomUTF16LE):
		return decodeUTF16(data[2:], Encoding{UTF16LE, true})
	case bytes.HasPrefix(data, bomUTF16BE):
		return decodeUTF16(data[2:], Encoding{UTF16BE, true})
	case len(data) >= 2 && data[0] == '<' && data[1] == 0:
		return decodeUTF16(data, Encoding{UTF16LE, false})
	case len(data) >= 2 && data[0] == 0 && data[1] == '<':
		return decodeUTF16(data, Encoding{UTF16BE, false})
	}
	name := ""
	if m := declaredEncoding.FindSubmatch(data); m != nil {
		name = strings.ToLower(string(m[1]))
	}
	switch name {
	case "windows-1252":
		return decodeBytes(data, charmap.Windows1252, Windows1252)
	case "iso-8859-1":
		return decodeBytes(data, charmap.ISO8859_1, Latin1)
	case "", "utf-8", "utf8", "us-ascii", "utf-16", "unicode":
		// A file that calls itself UTF-16 and is not gets a finding.
		return decodeUTF8(data, false)
	default:
		return "", Encoding{}, fmt.Errorf("the encoding %q is not supported; save the file as UTF-8", name)
	}
}

func decodeUTF8(data []byte, bom bool) (string, Encoding, error) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return "", Encoding{}, &errUnreadable{
				prefix: string(data[:i]),
				cause:  fmt.Sprintf("byte 0x%02x is not UTF-8, the encoding of the file; save the file as UTF-8", data[i]),
			}
		}
		i += size
	}
	return string(data), Encoding{UTF8, bom}, nil
}

func decodeUTF16(data []byte, enc Encoding) (string, Encoding, error) {
	var b strings.Builder
	unit := func(i int) uint16 {
		if enc.Charset == UTF16BE {
			return uint16(data[i])<<8 | uint16(data[i+1])
		}
		return uint16(data[i+1])<<8 | uint16(data[i])
	}
	for i := 0; i+1 < len(data); i += 2 {
		r := rune(unit(i))
		if utf16.IsSurrogate(r) {
			pair := utf8.RuneError
			if i+3 < len(data) {
				pair = utf16.DecodeRune(r, rune(unit(i+2)))
			}
			if pair == utf8.RuneError {
				return "", Encoding{}, &errUnreadable{b.String(), "half a character in UTF-16; save the file as UTF-8"}
			}
			r = pair
			i += 2
		}
		b.WriteRune(r)
	}
	if len(data)%2 != 0 {
		return "", Encoding{}, &errUnreadable{b.String(), "the file is UTF-16 and ends within a character"}
	}
	return b.String(), enc, nil
}

func decodeBytes(data []byte, m *charmap.Charmap, c Charset) (string, Encoding, error) {
	var b strings.Builder
	for _, one := range data {
		r := m.DecodeByte(one)
		if r == utf8.RuneError {
			return "", Encoding{}, &errUnreadable{b.String(), fmt.Sprintf("byte 0x%02x is no character of %s, the encoding of the file; save the file as UTF-8", one, c)}
		}
		b.WriteRune(r)
	}
	return b.String(), Encoding{Charset: c}, nil
}

// encode is the reverse of decode.
func (e Encoding) encode(text string) []byte {
	var out []byte
	switch e.Charset {
	case UTF16LE, UTF16BE:
		if e.BOM {
			text = "\ufeff" + text
		}
		for _, u := range utf16.Encode([]rune(text)) {
			if e.Charset == UTF16BE {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	case Windows1252, Latin1:
		m := charmap.Windows1252
		if e.Charset == Latin1 {
			m = charmap.ISO8859_1
		}
		for _, r := range text {
			// Edits write ASCII, so everything else came from this charset.
			if b, ok := m.EncodeRune(r); ok {
				out = append(out, b)
			}
		}
		return out
	default:
		if e.BOM {
			out = append(out, bomUTF8...)
		}
		return append(out, text...)
	}
}

// decodeError gives an error of decode its place in the file.
func decodeError(name string, err error) error {
	var u *errUnreadable
	if errors.As(err, &u) {
		line, column := position(u.prefix, len(u.prefix))
		return &SyntaxError{name, line, column, u.cause}
	}
	return &SyntaxError{name, 1, 1, err.Error()}
}
