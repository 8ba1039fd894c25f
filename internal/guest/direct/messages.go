package direct

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
)

const (
	// envelopeSize is the MaxEnvelopeSize that we announce. A Send of
	// envelopeSize-1000 raw bytes makes a message of 149,317 bytes, which
	// fits the 150 KB of Server 2008 R2 too.
	envelopeSize = 112000
	// inputSize is how many raw bytes one Send carries.
	inputSize = envelopeSize - 1000
	// commandLimit is what cmd.exe takes, in UTF-16 units.
	commandLimit = 8191
	locale       = "en-US"
)

// identifyMessage asks a listener whether it lives.
const identifyMessage = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsmid="` + nsIdentity + `">` +
	`<s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>`

// The namespaces of the actions: WS-Transfer's for a shell's own life, the
// Windows shell's (MS-WSMV 3.1.4) for what runs in it.
const (
	transferAction = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
	shellAction    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/"
	cmdResource    = shellAction + "cmd"
)

// option is an option of a message's header.
type option struct{ name, value string }

// message is an envelope, byte for byte as github.com/masterzen/winrm writes
// it, which real listeners have taken for years. The library itself would
// bring a Kerberos client, an XPath engine and every legacy text encoding into
// the plugin.
type message struct {
	url, action, shell string
	timeout            time.Duration
	options            []option
	body               string
}

func (m message) String() string {
	var out strings.Builder
	element := func(name, text string) { out.WriteString("<" + name + ">" + text + "</" + endTag(name) + ">\n") }
	out.WriteString(`<?xml version="1.0" encoding="utf-8" ?>` + "\n" +
		`<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"` +
		` xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"` +
		` xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><env:Header>`)
	element("a:To", escaped(m.url))
	element("a:ReplyTo", `<a:Address mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>`+"\n")
	element(`w:MaxEnvelopeSize mustUnderstand="true"`, strconv.Itoa(envelopeSize))
	element("w:OperationTimeout", fmt.Sprintf("PT%dS", max(1, int(m.timeout.Seconds()))))
	element("a:MessageID", "uuid:"+uuid.NewString())
	out.WriteString(`<w:Locale mustUnderstand="false" xml:lang="` + locale + `"/><p:DataLocale mustUnderstand="false" xml:lang="` + locale + `"/>`)
	element(`a:Action mustUnderstand="true"`, m.action)
	if m.shell != "" {
		element("w:SelectorSet", `<w:Selector Name="ShellId">`+escaped(m.shell)+"</w:Selector>\n")
	}
	element(`w:ResourceURI mustUnderstand="true"`, cmdResource)
	if len(m.options) > 0 {
		var options strings.Builder
		for _, o := range m.options {
			options.WriteString(`<w:Option Name="` + o.name + `">` + o.value + "</w:Option>\n")
		}
		element("w:OptionSet", options.String())
	}
	out.WriteString("</env:Header>\n")
	if m.body == "" {
		out.WriteString("<env:Body/>")
	} else {
		element("env:Body", m.body)
	}
	out.WriteString("</env:Envelope>\n")
	return out.String()
}

// endTag is an element's name without its attributes.
func endTag(element string) string {
	name, _, _ := strings.Cut(element, " ")
	return name
}

// escaped is text as it may stand in an element or an attribute.
func escaped(text string) string {
	var out strings.Builder
	// A strings.Builder takes everything.
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}

// createMessage opens a shell without loading the user's profile.
func createMessage(url string, timeout time.Duration) string {
	return message{
		url: url, action: transferAction + "Create", timeout: timeout,
		options: []option{{"WINRS_NOPROFILE", "TRUE"}, {"WINRS_CODEPAGE", "65001"}},
		body:    "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>\n<rsp:OutputStreams>stdout stderr</rsp:OutputStreams>\n</rsp:Shell>\n",
	}.String()
}

// checkCommand refuses what cmd.exe or a message can not carry.
func checkCommand(command string) error {
	switch {
	case command == "":
		return errors.New("the command line is empty")
	case len(utf16.Encode([]rune(command))) > commandLimit:
		return fmt.Errorf("the command line has more than the %d characters that cmd.exe takes", commandLimit)
	case strings.Contains(command, "]]>"):
		return errors.New("the command line contains ]]>, which a message can not carry")
	case strings.ContainsFunc(command, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0xfffd || r == 0xfffe || r == 0xffff }):
		return errors.New("the command line contains a control character or broken UTF-8")
	}
	return nil
}

// commandMessage starts a command whose input is bytes, not keystrokes.
func commandMessage(url, shell, command string, timeout time.Duration) (string, error) {
	if err := checkCommand(command); err != nil {
		return "", err
	}
	return message{
		url: url, action: shellAction + "Command", shell: shell, timeout: timeout,
		options: []option{{"WINRS_CONSOLEMODE_STDIN", "FALSE"}, {"WINRS_SKIP_CMD_SHELL", "FALSE"}},
		body:    "<rsp:CommandLine><rsp:Command><![CDATA[" + command + "]]></rsp:Command>\n</rsp:CommandLine>\n",
	}.String(), nil
}

func sendMessage(url, shell, command string, input []byte, end bool, timeout time.Duration) string {
	stream := `<rsp:Stream Name="stdin" CommandId="` + escaped(command) + `"`
	if end {
		stream += ` End="true"`
	}
	if len(input) == 0 {
		stream += "/>"
	} else {
		stream += ">" + base64.StdEncoding.EncodeToString(input) + "</rsp:Stream>\n"
	}
	return message{
		url: url, action: shellAction + "Send", shell: shell, timeout: timeout,
		body: "<rsp:Send>" + stream + "</rsp:Send>\n",
	}.String()
}

func receiveMessage(url, shell, command string, timeout time.Duration) string {
	return message{
		url: url, action: shellAction + "Receive", shell: shell, timeout: timeout,
		body: `<rsp:Receive><rsp:DesiredStream CommandId="` + escaped(command) + `">stdout stderr</rsp:DesiredStream>` + "\n</rsp:Receive>\n",
	}.String()
}

func terminateMessage(url, shell, command string, timeout time.Duration) string {
	return message{
		url: url, action: shellAction + "Signal", shell: shell, timeout: timeout,
		body: `<rsp:Signal CommandId="` + escaped(command) + `"><rsp:Code>` + shellAction + "signal/terminate</rsp:Code>\n</rsp:Signal>\n",
	}.String()
}

func deleteMessage(url, shell string, timeout time.Duration) string {
	return message{url: url, action: transferAction + "Delete", shell: shell, timeout: timeout}.String()
}
