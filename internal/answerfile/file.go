// Package answerfile reads, checks, edits and compares Windows answer files
// (unattend.xml): the launch agents' own and the user's.
//
// An answer file belongs to somebody. What is not edited stays as it is, byte
// for byte: byte order mark, line ends, comments, the order and spacing of
// attributes, cpi:offlineImage. So the package does not decode and encode XML;
// it knows where in the text every element begins and ends, and an edit
// replaces or inserts just the characters that must change.
//
//   - Parse reads a file and fails with line and column when it is no XML.
//   - Check says what Windows would refuse, ignore or give away.
//   - Apply carries out typed settings; a missing pass, component or element
//     is inserted in the manner of its neighbours.
//   - Diff names the settings in which two files differ, without secrets.
//
// Which file is used and where it goes is decided by package launchagent.
// Facts on answer files come from Microsoft's Unattended Windows Setup
// Reference and from the files that AWS's launch agents ship.
package answerfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// The namespaces of an answer file.
const (
	// Namespace is that of the unattend element and everything in its passes.
	Namespace = "urn:schemas-microsoft-com:unattend"
	// wcmNamespace is that of the attributes wcm:action and wcm:keyValue.
	wcmNamespace = "http://schemas.microsoft.com/WMIConfig/2002/State"
	xsiNamespace = "http://www.w3.org/2001/XMLSchema-instance"
	cpiNamespace = "urn:schemas-microsoft-com:cpi"
	xmlNamespace = "http://www.w3.org/XML/1998/namespace"
)

// Passes are the configuration passes in the order in which Windows runs them.
func Passes() []string {
	return []string{"windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem"}
}

// Finding is what Check returns.
type Finding = finding.Finding

// File is a parsed answer file. It is not safe for concurrent use.
type File struct {
	name string
	enc  encoding
	// original are the bytes that Parse was given; Bytes returns them until an
	// edit changes the text.
	original []byte
	edited   bool
	// text is the whole file in UTF-8 without byte order mark.
	text     string
	root     *element
	doctype  int // offset of a document type declaration, or -1
	declared string
}

// Name is the name that Parse was given.
func (f *File) Name() string { return f.name }

// Bytes is the file as it is to be written: the very bytes that were parsed
// when nothing has been edited, and otherwise the same encoding and byte order
// mark.
func (f *File) Bytes() []byte {
	if !f.edited {
		return append([]byte(nil), f.original...)
	}
	return f.enc.encode(f.text)
}

// Text is the file in UTF-8 without byte order mark. It may hold secrets.
func (f *File) Text() string { return f.text }

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

// position turns an offset in a text into line and column, both from 1, the
// column in characters. LF, CR LF and a lone CR end a line.
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
