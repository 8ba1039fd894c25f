package answerfile

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

// charset is how characters lie in the file's bytes.
type charset uint8

const (
	charsetUTF8 charset = iota
	charsetUTF16LE
	charsetUTF16BE
	charset1252
	charsetLatin1
)

// String is the name that an XML declaration gives the charset.
func (c charset) String() string {
	return [...]string{"utf-8", "utf-16", "utf-16", "windows-1252", "iso-8859-1"}[c]
}

// encoding is a charset with or without a byte order mark.
type encoding struct {
	charset charset
	bom     bool
}

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
func decode(data []byte) (string, encoding, error) {
	switch {
	case bytes.HasPrefix(data, bomUTF8):
		return decodeUTF8(data[3:], true)
	case bytes.HasPrefix(data, bomUTF16LE):
		return decodeUTF16(data[2:], encoding{charsetUTF16LE, true})
	case bytes.HasPrefix(data, bomUTF16BE):
		return decodeUTF16(data[2:], encoding{charsetUTF16BE, true})
	case len(data) >= 2 && data[0] == '<' && data[1] == 0:
		return decodeUTF16(data, encoding{charsetUTF16LE, false})
	case len(data) >= 2 && data[0] == 0 && data[1] == '<':
		return decodeUTF16(data, encoding{charsetUTF16BE, false})
	}
	name := ""
	if m := declaredEncoding.FindSubmatch(data); m != nil {
		name = strings.ToLower(string(m[1]))
	}
	switch name {
	case "windows-1252":
		return decodeBytes(data, charmap.Windows1252, charset1252)
	case "iso-8859-1":
		return decodeBytes(data, charmap.ISO8859_1, charsetLatin1)
	case "", "utf-8", "utf8", "us-ascii", "utf-16", "unicode":
		// A file that calls itself UTF-16 and is not gets a finding.
		return decodeUTF8(data, false)
	default:
		return "", encoding{}, fmt.Errorf("the encoding %q is not supported; save the file as UTF-8", name)
	}
}

func decodeUTF8(data []byte, bom bool) (string, encoding, error) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return "", encoding{}, &errUnreadable{
				prefix: string(data[:i]),
				cause:  fmt.Sprintf("byte 0x%02x is not UTF-8, the encoding of the file; save the file as UTF-8", data[i]),
			}
		}
		i += size
	}
	return string(data), encoding{charsetUTF8, bom}, nil
}

func decodeUTF16(data []byte, enc encoding) (string, encoding, error) {
	var b strings.Builder
	unit := func(i int) uint16 {
		if enc.charset == charsetUTF16BE {
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
				return "", encoding{}, &errUnreadable{b.String(), "half a character in UTF-16; save the file as UTF-8"}
			}
			r = pair
			i += 2
		}
		b.WriteRune(r)
	}
	if len(data)%2 != 0 {
		return "", encoding{}, &errUnreadable{b.String(), "the file is UTF-16 and ends within a character"}
	}
	return b.String(), enc, nil
}

func decodeBytes(data []byte, m *charmap.Charmap, c charset) (string, encoding, error) {
	text, err := m.NewDecoder().Bytes(data)
	if err != nil {
		return "", encoding{}, fmt.Errorf("reading it as %s: %w", c, err)
	}
	return string(text), encoding{charset: c}, nil
}

// encode is the reverse of decode.
func (e encoding) encode(text string) []byte {
	var out []byte
	switch e.charset {
	case charsetUTF16LE, charsetUTF16BE:
		if e.bom {
			text = "\ufeff" + text
		}
		for _, u := range utf16.Encode([]rune(text)) {
			if e.charset == charsetUTF16BE {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	case charset1252, charsetLatin1:
		m := charmap.Windows1252
		if e.charset == charsetLatin1 {
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
		if e.bom {
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
