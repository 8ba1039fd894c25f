package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ProtocolVersion is the version of the protocol that guest.ps1 and the Go
// side speak. Both travel together, so there is only ever one.
const ProtocolVersion = 1

// Every line of the guest's begins with linePrefix and ends in lineSuffix:
// anything else on stdout is noise, and a line without its end was cut.
const (
	linePrefix = "#es1 "
	lineSuffix = " #end"
)

// EndOfScript is the line that ends the text of guest.ps1 on stdin. What
// follows it are requests.
const EndOfScript = "#end-of-script"

// Interrupt is what ends a Follow that listens: an empty line, which is no
// request, so that it does no harm when it comes too late.
const Interrupt = "\n"

// MaxLine bounds a line in both directions, in bytes. Windows PowerShell 3.0
// and 4.0 refuse JSON of more than 2 MB, and 5.1 is slow on long strings.
const MaxLine = 512 << 10

// Request is one line to the guest.
type Request struct {
	// ID names the request; the answer repeats it.
	ID int64 `json:"id"`
	// Calls are carried out in order. A failing one does not stop the rest.
	Calls []RawCall `json:"calls"`
}

// RawCall is one call as it travels: the operation's name beside its
// arguments, in one JSON object.
type RawCall struct {
	Op   string
	Args json.RawMessage
}

// MarshalJSON puts the operation's name into the object of the arguments.
func (c RawCall) MarshalJSON() ([]byte, error) {
	op, err := json.Marshal(c.Op)
	if err != nil {
		return nil, err
	}
	args := bytes.TrimSpace(c.Args)
	if len(args) == 0 || bytes.Equal(args, []byte("{}")) || bytes.Equal(args, []byte("null")) {
		return append(append([]byte(`{"op":`), op...), '}'), nil
	}
	if args[0] != '{' {
		return nil, fmt.Errorf("arguments of %s are not an object", c.Op)
	}
	out := append([]byte(`{"op":`), op...)
	out = append(out, ',')
	return append(out, args[1:]...), nil
}

// UnmarshalJSON takes the operation's name out; Args keeps the whole object.
func (c *RawCall) UnmarshalJSON(data []byte) error {
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	c.Op = head.Op
	c.Args = append(json.RawMessage(nil), data...)
	return nil
}

// Reply is one line from the guest: the answers of a request, or one event of
// a Follow that is still running.
type Reply struct {
	ID int64 `json:"id"`
	// Answers has one entry for each call of the request, in order.
	Answers []json.RawMessage `json:"answers,omitempty"`
	// Event is set on the lines of a running Follow.
	Event *Event `json:"event,omitempty"`
	// Error says that the line was no request at all.
	Error *CallError `json:"error,omitempty"`
}

// CallError is the guest's word that a call failed.
type CallError struct {
	// Kind is one of the Kind constants.
	Kind string `json:"kind"`
	// Message is the guest's own text, in the guest's language.
	Message string `json:"message"`
}

// The kinds of failure of a call.
const (
	// KindMissing: the thing asked for is not there (a CIM class, a command, a folder).
	KindMissing = "missing"
	// KindDenied: access was denied.
	KindDenied = "denied"
	// KindConflict: what was found is not what the call expected to find; nothing was changed.
	KindConflict = "conflict"
	// KindInvalid: the guest does not know the call or its arguments.
	KindInvalid = "invalid"
	// KindFailed: anything else.
	KindFailed = "failed"
)

func (e *CallError) Error() string { return e.Message + " (" + e.Kind + ")" }

// IsKind reports whether err is a CallError of the given kind.
func IsKind(err error, kind string) bool {
	var call *CallError
	return errors.As(err, &call) && call.Kind == kind
}

// EncodeRequest returns the line for a request, with its line end, in ASCII.
func EncodeRequest(r Request) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	line := toASCII(buffer.Bytes())
	if len(line) > MaxLine {
		return nil, fmt.Errorf("encoding a request: the line has %d bytes, more than %d", len(line), MaxLine)
	}
	return line, nil
}

// EncodeReply returns the guest's line for a reply, as guest.ps1 writes it.
// It is the lab's half of the protocol.
func EncodeReply(r Reply) ([]byte, error) {
	var buffer bytes.Buffer
	buffer.WriteString(linePrefix)
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding a reply: %w", err)
	}
	line := toASCII(bytes.TrimRight(buffer.Bytes(), "\n"))
	line = append(line, lineSuffix...)
	return append(line, '\r', '\n'), nil
}

// DecodeReply reads one line of the guest's. ok is false for noise: a line
// that is not the protocol's. A line of the protocol that is cut or broken is
// an error.
func DecodeReply(line []byte) (reply Reply, ok bool, err error) {
	line = bytes.TrimRight(line, "\r\n")
	body, found := bytes.CutPrefix(line, []byte(linePrefix))
	if !found {
		return Reply{}, false, nil
	}
	body, found = bytes.CutSuffix(body, []byte(lineSuffix))
	if !found {
		return Reply{}, true, errors.New("the guest's answer was cut before its end")
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return Reply{}, true, fmt.Errorf("reading the guest's answer: %w", err)
	}
	return reply, true, nil
}

// toASCII replaces every character outside printable ASCII by its \uXXXX
// escape, so that no code page on the way can change it. JSON has such
// characters only inside strings.
func toASCII(in []byte) []byte {
	plain := true
	for _, b := range in {
		if b >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return in
	}
	out := make([]byte, 0, len(in)+16)
	for _, r := range string(in) {
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
