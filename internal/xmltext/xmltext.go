// Package xmltext reads XML texts with the place of everything in them and
// edits them in place, so that every byte that is not edited stays: byte order
// mark, line ends, comments, the order and spacing of attributes.
//
// A setting file belongs to somebody. So the package does not decode and encode
// XML; it knows where in the text every element begins and ends, and an edit
// replaces or inserts just the characters that must change, in the manner of
// its neighbours. What the elements mean is for the caller: package answerfile
// for Windows' answer files, package agentconfig for EC2Config's setting files.
//
// An edit reads the text anew. The elements that were found before it are not
// those of the document any more and have to be found again.
package xmltext

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Document is a parsed XML text. It is not safe for concurrent use.
type Document struct {
	name string
	enc  Encoding
	// original are the bytes that Parse was given; Bytes returns them until an
	// edit changes the text.
	original []byte
	edited   bool
	// text is the whole file in UTF-8 without byte order mark.
	text     string
	root     *Element
	doctype  int // offset of a document type declaration, or -1
	declared string
}

// Name is the name that Parse was given.
func (d *Document) Name() string { return d.name }

// Bytes is the file as it is to be written: the very bytes that were parsed
// when nothing has been edited, and otherwise the same encoding and byte order
// mark.
func (d *Document) Bytes() []byte {
	if !d.edited {
		return append([]byte(nil), d.original...)
	}
	return d.enc.encode(d.text)
}

// Text is the file in UTF-8 without byte order mark. Places in elements and
// attributes are offsets in it.
func (d *Document) Text() string { return d.text }

// Root is the root element.
func (d *Document) Root() *Element { return d.root }

// Encoding is how the text lies in the file's bytes.
func (d *Document) Encoding() Encoding { return d.enc }

// Declared is the encoding that the XML declaration names, as it is written;
// empty when it names none.
func (d *Document) Declared() string { return d.declared }

// Doctype is the offset of a document type declaration; ok is false when there
// is none.
func (d *Document) Doctype() (offset int, ok bool) { return d.doctype, d.doctype >= 0 }

// Position turns an offset in the text into line and column, both from 1, the
// column in characters. LF, CR LF and a lone CR end a line.
func (d *Document) Position(offset int) (line, column int) { return position(d.text, offset) }

// Line is the line in which an element begins, from 1.
func (d *Document) Line(e *Element) int {
	line, _ := position(d.text, e.Start)
	return line
}

// SyntaxError says where a file is no well-formed XML, and why in plain words.
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

func position(text string, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	line = 1
	begin := 0
	for i := 0; i < len(before); i++ {
		switch {
		case before[i] == '\n', before[i] == '\r' && (i+1 >= len(text) || text[i+1] != '\n'):
			line++
			begin = i + 1
		}
	}
	return line, utf8.RuneCountInString(before[begin:]) + 1
}

// lineEnd is the line end that the text uses most.
func lineEnd(text string) string {
	crlf := strings.Count(text, "\r\n")
	if crlf*2 > strings.Count(text, "\n") {
		return "\r\n"
	}
	return "\n"
}
