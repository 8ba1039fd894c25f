package winrm

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// answer is what the endpoint says to one request, not yet written down.
type answer struct {
	status int    // HTTP status
	action string // URI of the response
	body   string // content of s:Body
}

// newID returns an identifier as Windows writes them: a GUID in capitals.
func newID() string { return strings.ToUpper(uuid.NewString()) }

// escape makes text safe as XML character data and in attributes.
func escape(text string) string {
	var b strings.Builder
	// A strings.Builder accepts everything.
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

// envelope writes an answer down, with the namespaces and prefixes that
// Windows uses.
func (a *answer) envelope(relatesTo string) []byte {
	var b strings.Builder
	b.WriteString(`<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
		`xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" ` +
		`xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header>`)
	fmt.Fprintf(&b, `<a:Action>%s</a:Action><a:MessageID>uuid:%s</a:MessageID>`+
		`<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>`, escape(a.action), newID())
	if relatesTo != "" {
		fmt.Fprintf(&b, `<a:RelatesTo>%s</a:RelatesTo>`, escape(relatesTo))
	}
	b.WriteString(`</s:Header><s:Body>`)
	b.WriteString(a.body)
	b.WriteString(`</s:Body></s:Envelope>`)
	return []byte(b.String())
}

// answerFault puts a fault into its shape.
func answerFault(f *Fault, machine string) *answer {
	var b strings.Builder
	who := "s:Receiver"
	if f.Sender {
		who = "s:Sender"
	}
	reason := escape(f.Reason)
	fmt.Fprintf(&b, `<s:Fault><s:Code><s:Value>%s</s:Value><s:Subcode><s:Value>%s</s:Value></s:Subcode></s:Code>`+
		`<s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason><s:Detail>`, who, escape(f.Subcode), reason)
	if f.Detail != "" {
		fmt.Fprintf(&b, `<w:FaultDetail>http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/%s</w:FaultDetail>`, escape(f.Detail))
	}
	fmt.Fprintf(&b, `<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="%d" Machine="%s"><f:Message>%s</f:Message></f:WSManFault>`+
		`</s:Detail></s:Fault>`, f.Code, escape(machine), reason)
	status := f.Status
	if status == 0 {
		status = 500
	}
	return &answer{status: status, action: actionFault, body: b.String()}
}

func answerIdentify(authenticated bool) []byte {
	system := "OS: 0.0.0 SP: 0.0 Stack: 3.0"
	if authenticated {
		system = "OS: 10.0.20348 SP: 0.0 Stack: 3.0"
	}
	return []byte(`<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>` +
		`<wsmid:IdentifyResponse xmlns:wsmid="` + nsIdentity + `">` +
		`<wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd</wsmid:ProtocolVersion>` +
		`<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>` +
		`<wsmid:ProductVersion>` + system + `</wsmid:ProductVersion></wsmid:IdentifyResponse></s:Body></s:Envelope>`)
}

func answerCreate(s *shell, to, clientIP string) *answer {
	return &answer{status: 200, action: actionCreate + "Response", body: fmt.Sprintf(
		`<x:ResourceCreated><a:Address>%s</a:Address><a:ReferenceParameters><w:ResourceURI>%s</w:ResourceURI>`+
			`<w:SelectorSet><w:Selector Name="ShellId">%s</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`+
			`<rsp:Shell><rsp:ShellId>%s</rsp:ShellId><rsp:ResourceUri>%s</rsp:ResourceUri><rsp:Owner>%s</rsp:Owner><rsp:ClientIP>%s</rsp:ClientIP>`+
			`<rsp:IdleTimeOut>%s</rsp:IdleTimeOut><rsp:InputStreams>%s</rsp:InputStreams><rsp:OutputStreams>%s</rsp:OutputStreams>`+
			`<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>`,
		escape(to), resourceShell, escape(s.id), escape(s.id), resourceShell, escape(s.user), escape(clientIP),
		formatDuration(s.idleTimeout), escape(s.inputStreams), escape(s.outputStreams))}
}

func answerCommand(id string) *answer {
	return &answer{
		status: 200, action: actionCommand + "Response",
		body: `<rsp:CommandResponse><rsp:CommandId>` + escape(id) + `</rsp:CommandId></rsp:CommandResponse>`,
	}
}

func answerSend() *answer {
	return &answer{status: 200, action: actionSend + "Response", body: `<rsp:SendResponse/>`}
}

func answerSignal() *answer {
	return &answer{status: 200, action: actionSignal + "Response", body: `<rsp:SignalResponse/>`}
}

func answerDelete() *answer { return &answer{status: 200, action: actionDelete + "Response"} }

func answerReceive(id string, o output) *answer {
	var b strings.Builder
	b.WriteString(`<rsp:ReceiveResponse>`)
	for _, piece := range o.pieces {
		fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>`, piece.stream, escape(id), base64.StdEncoding.EncodeToString(piece.data))
	}
	if o.done {
		for _, name := range []string{"stdout", "stderr"} {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s" End="true"></rsp:Stream>`, name, escape(id))
		}
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState>`,
			escape(id), nsShell, o.exitCode)
	} else {
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Running"/>`, escape(id), nsShell)
	}
	b.WriteString(`</rsp:ReceiveResponse>`)
	return &answer{status: 200, action: actionReceive + "Response", body: b.String()}
}

// answerConfig is the part of winrm/config that clients ask for.
func answerConfig(c *Config) *answer {
	return &answer{status: 200, action: actionGet + "Response", body: fmt.Sprintf(
		`<cfg:Config xmlns:cfg="%s"><cfg:MaxEnvelopeSizekb>%d</cfg:MaxEnvelopeSizekb><cfg:MaxTimeoutms>%d</cfg:MaxTimeoutms><cfg:MaxBatchItems>32000</cfg:MaxBatchItems>`+
			`<cfg:Service><cfg:MaxConcurrentOperationsPerUser>%d</cfg:MaxConcurrentOperationsPerUser><cfg:AllowUnencrypted>%t</cfg:AllowUnencrypted>`+
			`<cfg:Auth><cfg:Basic>%t</cfg:Basic><cfg:Kerberos>false</cfg:Kerberos><cfg:Negotiate>true</cfg:Negotiate><cfg:Certificate>false</cfg:Certificate>`+
			`<cfg:CredSSP>false</cfg:CredSSP></cfg:Auth></cfg:Service><cfg:Winrs><cfg:AllowRemoteShellAccess>true</cfg:AllowRemoteShellAccess>`+
			`<cfg:IdleTimeout>%d</cfg:IdleTimeout><cfg:MaxShellsPerUser>%d</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>`,
		nsConfig, c.MaxEnvelopeSizekb, c.MaxTimeout.Milliseconds(), c.MaxOperationsPerShell, c.AllowUnencrypted, !c.NoBasic,
		c.IdleTimeout.Milliseconds(), c.MaxShellsPerUser)}
}

func formatDuration(d time.Duration) string { return fmt.Sprintf("PT%.3fS", d.Seconds()) }
