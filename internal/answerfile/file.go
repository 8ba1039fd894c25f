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
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// The namespaces of an answer file.
const (
	// Namespace is that of the unattend element and everything in its passes.
	Namespace = "urn:schemas-microsoft-com:unattend"
	// wcmNamespace is that of the attributes wcm:action and wcm:keyValue.
	wcmNamespace = "http://schemas.microsoft.com/WMIConfig/2002/State"
	xsiNamespace = "http://www.w3.org/2001/XMLSchema-instance"
	cpiNamespace = "urn:schemas-microsoft-com:cpi"
)

// Passes are the configuration passes in the order in which Windows runs them.
func Passes() []string {
	return []string{"windowsPE", "offlineServicing", "generalize", "specialize", "auditSystem", "auditUser", "oobeSystem"}
}

// Finding is what Check returns.
type Finding = finding.Finding

// File is a parsed answer file. It is not safe for concurrent use.
type File struct{ doc *xmltext.Document }

// Parse reads an answer file. The name is for messages. It fails with a
// *SyntaxError when the bytes are no text or no well-formed XML; everything
// else that may be wrong with the file is told by Check.
func Parse(name string, data []byte) (*File, error) {
	doc, err := xmltext.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return &File{doc}, nil
}

// Name is the name that Parse was given.
func (f *File) Name() string { return f.doc.Name() }

// Bytes is the file as it is to be written: the very bytes that were parsed
// when nothing has been edited, and otherwise the same encoding and byte order
// mark.
func (f *File) Bytes() []byte { return f.doc.Bytes() }

// Text is the file in UTF-8 without byte order mark. It may hold secrets.
func (f *File) Text() string { return f.doc.Text() }

// SyntaxError says where a file is no well-formed XML, and why in plain words.
type SyntaxError = xmltext.SyntaxError
