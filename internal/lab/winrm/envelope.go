package winrm

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Namespaces of WS-Management as Windows speaks it.
const (
	nsEnvelope   = "http://www.w3.org/2003/05/soap-envelope"
	nsAddressing = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	nsWSMan      = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
	nsMicrosoft  = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
	nsShell      = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	nsIdentity   = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
	nsConfig     = "http://schemas.microsoft.com/wbem/wsman/1/config"

	actionCreate  = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create"
	actionDelete  = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete"
	actionGet     = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
	actionCommand = nsShell + "/Command"
	actionSend    = nsShell + "/Send"
	actionReceive = nsShell + "/Receive"
	actionSignal  = nsShell + "/Signal"
	actionFault   = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"

	resourceShell  = nsShell + "/cmd"
	resourceConfig = nsConfig
)

// Names of the actions, as they stand in [Stats] and [Config].
const (
	ActionCreate    = "Create"
	ActionCommand   = "Command"
	ActionSend      = "Send"
	ActionReceive   = "Receive"
	ActionSignal    = "Signal"
	ActionDelete    = "Delete"
	ActionGet       = "Get"
	ActionIdentify  = "Identify"
	ActionHandshake = "Handshake" // a request that carried no message, only a step of authentication
	ActionOther     = "Other"     // refused before its action was known
)

var actionNames = map[string]string{
	actionCreate: ActionCreate, actionDelete: ActionDelete, actionGet: ActionGet, actionCommand: ActionCommand,
	actionSend: ActionSend, actionReceive: ActionReceive, actionSignal: ActionSignal,
}

// element is one XML element with all that is in it.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Elements []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

// child returns the first child of that name, or nil.
func (e *element) child(space, local string) *element {
	if e == nil {
		return nil
	}
	for i := range e.Elements {
		if e.Elements[i].XMLName.Local == local && e.Elements[i].XMLName.Space == space {
			return &e.Elements[i]
		}
	}
	return nil
}

func (e *element) text() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.Text)
}

func (e *element) attr(local string) string {
	if e == nil {
		return ""
	}
	for _, attr := range e.Attrs {
		if attr.Name.Local == local {
			return attr.Value
		}
	}
	return ""
}

// request is a message that a client has sent, taken apart.
type request struct {
	action      string // URI, or empty for Identify
	identify    bool
	messageID   string
	resource    string
	shellID     string
	timeout     time.Duration // OperationTimeout, 0 when not given
	maxEnvelope int           // MaxEnvelopeSize in bytes, 0 when not given
	options     map[string]string
	notUnderst  string // a header that must be understood and is not

	shell     shellRequest
	command   commandRequest
	input     []inputStream
	commandID string   // of Receive and Signal
	streams   []string // of Receive
	signal    string   // code URI
}

type shellRequest struct {
	id               string
	name             string
	environment      map[string]string
	workingDirectory string
	idleTimeout      time.Duration
	inputStreams     string
	outputStreams    string
}

type commandRequest struct {
	id   string
	line string
}

type inputStream struct {
	name      string
	commandID string
	data      []byte
	end       bool
}

// name returns the short name of the request's action.
func (r *request) name() string {
	if r.identify {
		return ActionIdentify
	}
	if name, ok := actionNames[r.action]; ok {
		return name
	}
	return ActionOther
}

// understood are the headers that the endpoint knows.
var understood = map[xml.Name]bool{
	{Space: nsAddressing, Local: "To"}: true, {Space: nsAddressing, Local: "ReplyTo"}: true, {Space: nsAddressing, Local: "Action"}: true,
	{Space: nsAddressing, Local: "MessageID"}: true, {Space: nsAddressing, Local: "From"}: true, {Space: nsAddressing, Local: "FaultTo"}: true,
	{Space: nsWSMan, Local: "ResourceURI"}: true, {Space: nsWSMan, Local: "SelectorSet"}: true, {Space: nsWSMan, Local: "OptionSet"}: true,
	{Space: nsWSMan, Local: "OperationTimeout"}: true, {Space: nsWSMan, Local: "MaxEnvelopeSize"}: true, {Space: nsWSMan, Local: "Locale"}: true,
	{Space: nsMicrosoft, Local: "DataLocale"}: true, {Space: nsMicrosoft, Local: "SessionId"}: true, {Space: nsMicrosoft, Local: "OperationID"}: true,
	{Space: nsMicrosoft, Local: "SequenceId"}: true, {Space: nsMicrosoft, Local: "ActivityId"}: true,
}

// parseRequest takes a client's message apart. Its error is a *Fault.
func parseRequest(message []byte) (*request, error) {
	var root element
	decoder := xml.NewDecoder(strings.NewReader(string(message)))
	if err := decoder.Decode(&root); err != nil {
		return nil, faultSchema(err.Error())
	}
	if !atEnd(decoder) {
		return nil, faultSchema("something follows the envelope")
	}
	if root.XMLName != (xml.Name{Space: nsEnvelope, Local: "Envelope"}) {
		return nil, faultSchema("the message is no SOAP 1.2 envelope")
	}
	body := root.child(nsEnvelope, "Body")
	if body == nil {
		return nil, faultSchema("the message has no body")
	}
	r := &request{options: map[string]string{}}
	if body.child(nsIdentity, "Identify") != nil {
		r.identify = true
		return r, nil
	}
	if err := r.readHeader(root.child(nsEnvelope, "Header")); err != nil {
		return r, err
	}
	if err := r.readBody(body); err != nil {
		return r, err
	}
	return r, nil
}

// atEnd tells whether nothing but white space and comments follow.
func atEnd(decoder *xml.Decoder) bool {
	for {
		token, err := decoder.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		switch token := token.(type) {
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				return false
			}
		case xml.Comment, xml.ProcInst:
		default:
			return false
		}
	}
}

func (r *request) readHeader(header *element) error {
	if header == nil {
		return faultSchema("the message has no header")
	}
	r.messageID = header.child(nsAddressing, "MessageID").text()
	r.action = header.child(nsAddressing, "Action").text()
	r.resource = header.child(nsWSMan, "ResourceURI").text()
	for i := range header.Elements {
		e := &header.Elements[i]
		if must := e.attr("mustUnderstand"); (must == "true" || must == "1") && !understood[e.XMLName] {
			r.notUnderst = e.XMLName.Local
		}
	}
	if set := header.child(nsWSMan, "SelectorSet"); set != nil {
		for i := range set.Elements {
			if strings.EqualFold(set.Elements[i].attr("Name"), "ShellId") {
				r.shellID = set.Elements[i].text()
			}
		}
	}
	if set := header.child(nsWSMan, "OptionSet"); set != nil {
		for i := range set.Elements {
			r.options[strings.ToUpper(set.Elements[i].attr("Name"))] = set.Elements[i].text()
		}
	}
	if text := header.child(nsWSMan, "OperationTimeout").text(); text != "" {
		d, err := parseDuration(text)
		if err != nil {
			return faultSchema(err.Error())
		}
		r.timeout = d
	}
	if text := header.child(nsWSMan, "MaxEnvelopeSize").text(); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return faultSchema("MaxEnvelopeSize is no number of bytes")
		}
		r.maxEnvelope = n
	}
	return nil
}

func (r *request) readBody(body *element) error {
	switch r.action {
	case actionCreate:
		return r.readShell(body.child(nsShell, "Shell"))
	case actionCommand:
		return r.readCommand(body.child(nsShell, "CommandLine"))
	case actionSend:
		return r.readSend(body.child(nsShell, "Send"))
	case actionReceive:
		desired := body.child(nsShell, "Receive").child(nsShell, "DesiredStream")
		if desired == nil {
			return faultSchema("Receive names no DesiredStream")
		}
		r.commandID = desired.attr("CommandId")
		r.streams = strings.Fields(desired.text())
	case actionSignal:
		signal := body.child(nsShell, "Signal")
		if signal == nil {
			return faultSchema("Signal is missing")
		}
		r.commandID = signal.attr("CommandId")
		r.signal = signal.child(nsShell, "Code").text()
	}
	return nil
}

func (r *request) readShell(shell *element) error {
	if shell == nil {
		return faultSchema("Create carries no Shell")
	}
	r.shell = shellRequest{
		id: shell.attr("ShellId"), name: shell.attr("Name"), environment: map[string]string{},
		workingDirectory: shell.child(nsShell, "WorkingDirectory").text(),
		inputStreams:     shell.child(nsShell, "InputStreams").text(),
		outputStreams:    shell.child(nsShell, "OutputStreams").text(),
	}
	if environment := shell.child(nsShell, "Environment"); environment != nil {
		for i := range environment.Elements {
			r.shell.environment[environment.Elements[i].attr("Name")] = environment.Elements[i].Text
		}
	}
	for _, name := range []string{"IdleTimeout", "IdleTimeOut"} {
		if text := shell.child(nsShell, name).text(); text != "" {
			d, err := parseDuration(text)
			if err != nil {
				return faultSchema(err.Error())
			}
			r.shell.idleTimeout = d
		}
	}
	return nil
}

func (r *request) readCommand(line *element) error {
	if line == nil {
		return faultSchema("Command carries no CommandLine")
	}
	r.command.id = line.attr("CommandId")
	words := []string{}
	if command := line.child(nsShell, "Command").text(); command != "" {
		words = append(words, command)
	}
	for i := range line.Elements {
		if line.Elements[i].XMLName == (xml.Name{Space: nsShell, Local: "Arguments"}) {
			words = append(words, line.Elements[i].Text)
		}
	}
	r.command.line = strings.Join(words, " ")
	return nil
}

func (r *request) readSend(send *element) error {
	if send == nil {
		return faultSchema("Send is missing")
	}
	for i := range send.Elements {
		stream := &send.Elements[i]
		if stream.XMLName != (xml.Name{Space: nsShell, Local: "Stream"}) {
			continue
		}
		data, err := base64.StdEncoding.DecodeString(strings.Map(dropSpace, stream.Text))
		if err != nil {
			return faultSchema("a Stream is not base64")
		}
		end := strings.ToLower(stream.attr("End"))
		r.input = append(r.input, inputStream{
			name: stream.attr("Name"), commandID: stream.attr("CommandId"), data: data, end: end == "true" || end == "1",
		})
	}
	if len(r.input) == 0 {
		return faultSchema("Send carries no Stream")
	}
	return nil
}

func dropSpace(r rune) rune {
	switch r {
	case ' ', '\t', '\r', '\n':
		return -1
	}
	return r
}

// parseDuration reads an xs:duration of days, hours, minutes and seconds,
// like PT20S, PT1M0.5S or P0DT0H1M0S. Years and months have no fixed length
// and are refused, as is anything above 10 years.
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%.40q is no duration", text)
	rest, ok := strings.CutPrefix(text, "P")
	if !ok || rest == "" {
		return 0, bad
	}
	var total float64 // seconds
	inTime, some := false, false
	units := map[byte]float64{'D': 86400}
	for rest != "" {
		if rest[0] == 'T' && !inTime {
			inTime, rest = true, rest[1:]
			units = map[byte]float64{'H': 3600, 'M': 60, 'S': 1}
			continue
		}
		digits := strings.TrimLeft(rest, "0123456789.")
		number := rest[:len(rest)-len(digits)]
		if number == "" || digits == "" || units[digits[0]] == 0 {
			return 0, bad
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil || (strings.Contains(number, ".") && digits[0] != 'S') {
			return 0, bad
		}
		total += value * units[digits[0]]
		delete(units, digits[0])
		rest, some = digits[1:], true
	}
	if !some || total > 10*366*86400 {
		return 0, bad
	}
	return time.Duration(total * float64(time.Second)), nil
}
