package launchagent

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/xmltext"
)

// switches are where the Switches of a BundleConfig.xml say how Sysprep has to
// end: the offsets of the words in the file's bytes.
type switches struct {
	quit, shutdown, reboot []int
}

// shutdownWord is the switch that is replaced, quitWord what replaces it.
const (
	shutdownWord = "/shutdown"
	quitWord     = "/quit"
)

// String says what was found, for people.
func (s switches) String() string {
	return fmt.Sprintf("/shutdown %d times, /quit %d times and /reboot %d times", len(s.shutdown), len(s.quit), len(s.reboot))
}

// replaceShutdown returns the file with the first /shutdown replaced. No other
// byte changes.
func (s switches) replaceShutdown(data []byte) []byte {
	at := s.shutdown[0]
	return bytes.Join([][]byte{data[:at], []byte(quitWord), data[at+len(shutdownWord):]}, nil)
}

var errNoSwitches = errors.New("it has no element Switches")

// readSwitches looks into every element Switches of a BundleConfig.xml,
// wherever in the file they are. Comments do not count. Where one of them
// belongs to EC2Config's answer file by the AnswerFilePath beside it, the others
// do not count either: the file has one for Windows Server 2003. It has to be
// well-formed and UTF-8, with or without a byte order mark.
func readSwitches(data []byte) (switches, error) {
	doc, err := xmltext.Parse("BundleConfig.xml", data)
	if err != nil {
		return switches{}, fmt.Errorf("the file cannot be read: %w", err)
	}
	if declared := doc.Declared(); doc.Encoding().Charset != xmltext.UTF8 || declared != "" && !strings.EqualFold(declared, "utf-8") {
		return switches{}, fmt.Errorf("the file cannot be read: it is %s and calls itself %q, and only UTF-8 is edited", doc.Encoding().Charset, declared)
	}
	elements := switchElements(doc.Root())
	if len(elements) == 0 {
		return switches{}, errNoSwitches
	}
	if slices.ContainsFunc(elements, ofAnswerFile) {
		elements = slices.DeleteFunc(elements, func(e *xmltext.Element) bool { return !ofAnswerFile(e) })
	}
	var found switches
	skipped := len(data) - len(doc.Text())
	for _, e := range elements {
		e.Walk(func(e *xmltext.Element) {
			for _, p := range e.Pieces {
				if !p.Comment {
					found.collect(data[skipped+p.Start:skipped+p.End], skipped+p.Start)
				}
			}
		})
	}
	return found, nil
}

// switchElements are the outermost elements Switches in e.
func switchElements(e *xmltext.Element) []*xmltext.Element {
	if e.Local == "Switches" {
		return []*xmltext.Element{e}
	}
	var out []*xmltext.Element
	for _, c := range e.Children {
		out = append(out, switchElements(c)...)
	}
	return out
}

// ofAnswerFile says whether switches stand beside the name of the answer file
// that EC2Config gives to Sysprep on Windows Server 2008 and later.
func ofAnswerFile(switches *xmltext.Element) bool {
	return switches.Parent != nil && slices.ContainsFunc(switches.Parent.Children, func(e *xmltext.Element) bool {
		return e.Local == "AnswerFilePath" && strings.EqualFold(strings.TrimSpace(e.Text()), "sysprep2008.xml")
	})
}

// ending finds the switches by which Sysprep ends. Sysprep takes them in any
// case, and with a hyphen for the slash.
var ending = regexp.MustCompile(`(?i)(?:^|[\s"'])([/-](?:quit|shutdown|reboot))(?:$|[\s"'<\]])`)

func (s *switches) collect(text []byte, offset int) {
	for at := 0; at < len(text); {
		place := ending.FindSubmatchIndex(text[at:])
		if place == nil {
			return
		}
		begin, end := at+place[2], at+place[3]
		switch word := string(bytes.ToLower(text[begin+1 : end])); word {
		case "quit":
			s.quit = append(s.quit, offset+begin)
		case "shutdown":
			s.shutdown = append(s.shutdown, offset+begin)
		default:
			s.reboot = append(s.reboot, offset+begin)
		}
		// The character behind a switch may be the one before the next.
		at = end
	}
}
