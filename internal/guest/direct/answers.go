package direct

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

const (
	nsIdentity  = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
	stateDone   = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done"
	answerLimit = 4 << 20 // bytes; we announce envelopeSize, so this is a broken server's
)

// answer is a SOAP answer, as much of it as we look at.
type answer struct {
	XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
	Body    *struct {
		Identify *struct {
			Vendor  string `xml:"ProductVendor"`
			Version string `xml:"ProductVersion"`
		} `xml:"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd IdentifyResponse"`
		Shell *struct {
			ID string `xml:"ShellId"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell Shell"`
		Created *struct {
			Selectors []struct {
				Name  string `xml:",attr"`
				Value string `xml:",chardata"`
			} `xml:"ReferenceParameters>SelectorSet>Selector"`
		} `xml:"http://schemas.xmlsoap.org/ws/2004/09/transfer ResourceCreated"`
		Command *struct {
			ID string `xml:"CommandId"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell CommandResponse"`
		Receive *receiveAnswer `xml:"http://schemas.microsoft.com/wbem/wsman/1/windows/shell ReceiveResponse"`
		Fault   *soapFault     `xml:"http://www.w3.org/2003/05/soap-envelope Fault"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Body"`
}

type receiveAnswer struct {
	Streams []struct {
		Name string `xml:",attr"`
		Data string `xml:",chardata"`
	} `xml:"Stream"`
	State struct {
		State    string `xml:",attr"`
		ExitCode string `xml:"ExitCode"`
	} `xml:"CommandState"`
}

type soapFault struct {
	Value   string `xml:"Code>Value"`
	Subcode string `xml:"Code>Subcode>Value"`
	Reason  string `xml:"Reason>Text"`
	Detail  struct {
		WSMan struct {
			Code    string `xml:",attr"`
			Message struct {
				Text string `xml:",chardata"`
			} `xml:"Message"`
		} `xml:"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault WSManFault"`
	} `xml:"Detail"`
}

// parseAnswer reads a SOAP answer, which has a body.
func parseAnswer(text []byte) (*answer, error) {
	var a answer
	decoder := xml.NewDecoder(strings.NewReader(string(text)))
	if err := decoder.Decode(&a); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the answer is empty")
		}
		return nil, fmt.Errorf("the answer is no SOAP envelope: %w", err)
	}
	if a.Body == nil {
		return nil, errors.New("the answer has no body")
	}
	return &a, nil
}

// fault returns the answer's fault, nil when it is none.
func (a *answer) fault(action string, status int) error {
	f := a.Body.Fault
	if f == nil {
		return nil
	}
	fault := &Fault{Action: action, HTTPStatus: status, Subcode: afterColon(f.Subcode), Reason: oneLine(f.Reason)}
	if fault.Subcode == "" {
		fault.Subcode = afterColon(f.Value)
	}
	if fault.Reason == "" {
		fault.Reason = oneLine(f.Detail.WSMan.Message.Text)
	}
	if code, err := strconv.ParseUint(strings.TrimSpace(f.Detail.WSMan.Code), 10, 32); err == nil {
		fault.Code = uint32(code)
	} else if fault.Subcode == "TimedOut" {
		fault.Code = codeTimedOut // the recommended subcode without Microsoft's detail
	}
	return fault
}

// shellID finds the id of the shell that Create has made.
func (a *answer) shellID() (string, error) {
	if a.Body.Shell != nil && a.Body.Shell.ID != "" {
		return checkID(a.Body.Shell.ID)
	}
	if a.Body.Created != nil {
		for _, selector := range a.Body.Created.Selectors {
			if strings.EqualFold(selector.Name, "ShellId") {
				return checkID(selector.Value)
			}
		}
	}
	return "", errors.New("the answer names no shell")
}

func (a *answer) commandID() (string, error) {
	if a.Body.Command == nil {
		return "", errors.New("the answer names no command")
	}
	return checkID(a.Body.Command.ID)
}

// checkID refuses identifiers that would not survive in the library's
// messages, which do not escape them.
func checkID(id string) (string, error) {
	id = strings.TrimSpace(id)
	if id == "" || len(id) > 256 || strings.ContainsFunc(id, func(r rune) bool {
		return !(r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))) && !strings.ContainsRune("-_.:{}", r)
	}) {
		return "", fmt.Errorf("the answer has an identifier that makes no sense: %.60q", id)
	}
	return id, nil
}

// chunk is a part of an output stream.
type chunk struct {
	stderr bool
	data   []byte
}

// received is what a Receive has brought.
type received struct {
	chunks   []chunk
	done     bool
	exitCode int
}

func (a *answer) received() (*received, error) {
	if a.Body.Receive == nil {
		return nil, errors.New("the answer is not one to Receive")
	}
	r := &received{}
	for _, stream := range a.Body.Receive.Streams {
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(stream.Data), ""))
		if err != nil {
			return nil, fmt.Errorf("a piece of %.20q is not base64: %w", stream.Name, err)
		}
		if len(data) > 0 && (stream.Name == "stdout" || stream.Name == "stderr") {
			r.chunks = append(r.chunks, chunk{stream.Name == "stderr", data})
		}
	}
	state := &a.Body.Receive.State
	if state.State != stateDone {
		return r, nil
	}
	r.done = true
	// Windows leaves the code out when it does not know it; the exit code of
	// a process is a DWORD, which some servers write as a signed number.
	if text := strings.TrimSpace(state.ExitCode); text != "" {
		code, err := strconv.ParseInt(text, 10, 64)
		if err != nil || code < -1<<31 || code > 1<<32-1 {
			return nil, fmt.Errorf("the exit code %.20q makes no sense", text)
		}
		r.exitCode = int(uint32(code)) //nolint:gosec // the range was checked
	}
	return r, nil
}

func afterColon(name string) string {
	name = strings.TrimSpace(name)
	return name[strings.LastIndexByte(name, ':')+1:]
}

// oneLine makes a guest's text fit for an error: one line, printable, not
// without end.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)), " ")
	if runes := []rune(text); len(runes) > 500 {
		text = string(runes[:500]) + "…"
	}
	return text
}
