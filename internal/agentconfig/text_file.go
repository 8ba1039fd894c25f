package agentconfig

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxFile is the size in bytes above which a setting file is refused. The
// files that the agents bring have less than 2 KiB.
const maxFile = 256 << 10

// maxDepth is how deep lists and maps may be nested in a setting file. The
// agents' own need seven levels.
const maxDepth = 64

// SyntaxError says where a setting file cannot be read, and why in plain words.
// It holds nothing of the file's values.
type SyntaxError struct {
	File string
	// Line and Column count from 1, in characters.
	Line, Column int
	Cause        string
}

// Error is the error in the form file:line:column: cause.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Cause)
}

// charset is how the characters of a file lie in its bytes.
type charset uint8

const (
	plainUTF8 charset = iota
	markedUTF8
	markedUTF16LE
	markedUTF16BE
)

var byteOrderMarks = map[charset]string{
	markedUTF8:    "\xef\xbb\xbf",
	markedUTF16LE: "\xff\xfe",
	markedUTF16BE: "\xfe\xff",
}

// textFile is a setting file as text.
type textFile struct {
	name     string
	original []byte
	edited   bool
	charset  charset
	// text is the file in UTF-8, without its byte order mark.
	text string
}

// newTextFile decodes a file's bytes by their byte order mark; without one they
// are UTF-8. The name is for messages.
func newTextFile(name string, data []byte) (*textFile, error) {
	f := &textFile{name: name, original: bytes.Clone(data)}
	if len(data) > maxFile {
		return nil, &SyntaxError{name, 1, 1, fmt.Sprintf("the file has %d bytes; a setting file with more than %d is refused", len(data), maxFile)}
	}
	for c, mark := range byteOrderMarks {
		if rest, ok := bytes.CutPrefix(data, []byte(mark)); ok {
			f.charset, data = c, rest
			break
		}
	}
	if f.charset == markedUTF16LE || f.charset == markedUTF16BE {
		text, ok := fromUTF16(data, f.charset == markedUTF16BE)
		f.text = text
		if !ok {
			return nil, f.fail(len(text), "half a character in UTF-16; save the file as UTF-8")
		}
		return f, nil
	}
	if i := invalidUTF8(data); i >= 0 {
		f.text = string(data[:i])
		return nil, f.fail(i, "byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])
	}
	f.text = string(data)
	return f, nil
}

// Name is the name that the file was parsed under.
func (f *textFile) Name() string { return f.name }

// Bytes is the file as it is to be written: the very bytes that were parsed
// when nothing has been edited, and otherwise the same encoding, byte order
// mark and line ends.
func (f *textFile) Bytes() []byte {
	if !f.edited {
		return bytes.Clone(f.original)
	}
	return f.encode(f.text)
}

func (f *textFile) encode(text string) []byte {
	out := []byte(byteOrderMarks[f.charset])
	if f.charset != markedUTF16LE && f.charset != markedUTF16BE {
		return append(out, text...)
	}
	for _, u := range utf16.Encode([]rune(text)) {
		if f.charset == markedUTF16BE {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

// fail is a SyntaxError at an offset of the text.
func (f *textFile) fail(offset int, format string, args ...any) error {
	line, column := f.position(offset)
	return &SyntaxError{f.name, line, column, fmt.Sprintf(format, args...)}
}

// position turns an offset of the text into line and column, both from 1, the
// column in characters. LF and CR LF end a line.
func (f *textFile) position(offset int) (line, column int) {
	before := f.text[:min(offset, len(f.text))]
	begin := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[begin:]) + 1
}

// offset is the reverse of position; a place behind the end of a line or of the
// text is taken for that end.
func (f *textFile) offset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		n := strings.IndexByte(f.text[at:], '\n')
		if n < 0 {
			return len(f.text)
		}
		at += n + 1
	}
	for ; column > 1 && at < len(f.text) && f.text[at] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(f.text[at:])
		at += size
	}
	return at
}

// lineEnd is the line end that the text uses most.
func (f *textFile) lineEnd() string {
	if strings.Count(f.text, "\r\n")*2 > strings.Count(f.text, "\n") {
		return "\r\n"
	}
	return "\n"
}

// invalidUTF8 is the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// fromUTF16 decodes as much as there is; ok is false when it meets half a
// character.
func fromUTF16(data []byte, big bool) (text string, ok bool) {
	var b strings.Builder
	unit := func(i int) rune {
		if big {
			return rune(data[i])<<8 | rune(data[i+1])
		}
		return rune(data[i+1])<<8 | rune(data[i])
	}
	for i := 0; i+1 < len(data); i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			if i+3 >= len(data) {
				return b.String(), false
			}
			if r = utf16.DecodeRune(r, unit(i+2)); r == utf8.RuneError {
				return b.String(), false
			}
			i += 2
		}
		b.WriteRune(r)
	}
	return b.String(), len(data)%2 == 0
}
