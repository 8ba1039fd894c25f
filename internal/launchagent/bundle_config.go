package launchagent

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
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
// wherever in the file they are. Comments do not count. The file has to be
// well-formed and UTF-8, with or without a byte order mark.
func readSwitches(data []byte) (switches, error) {
	var found switches
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	skipped := len(data) - len(text)
	decoder := xml.NewDecoder(bytes.NewReader(text))
	depth, some := 0, false
	for {
		begin := int(decoder.InputOffset())
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return switches{}, fmt.Errorf("the file cannot be read: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth > 0 || token.Name.Local == "Switches" {
				depth++
				some = true
			}
		case xml.EndElement:
			if depth > 0 {
				depth--
			}
		case xml.CharData:
			if depth > 0 {
				found.collect(text[begin:decoder.InputOffset()], skipped+begin)
			}
		}
	}
	if !some {
		return switches{}, errNoSwitches
	}
	return found, nil
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
