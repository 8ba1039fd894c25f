package winrm

import (
	"bytes"
	"encoding/xml"
	"testing"
	"time"
)

func FuzzRequest(f *testing.F) {
	const header = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
		`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Header>` +
		`<a:MessageID>uuid:1</a:MessageID><w:OperationTimeout>PT20.5S</w:OperationTimeout><w:MaxEnvelopeSize>1</w:MaxEnvelopeSize>` +
		`<w:OptionSet><w:Option Name="WINRS_CODEPAGE">437</w:Option></w:OptionSet><w:SelectorSet><w:Selector Name="ShellId">1</w:Selector></w:SelectorSet>`
	for action, body := range map[string]string{
		actionCreate:  `<rsp:Shell ShellId="x"><rsp:Environment><rsp:Variable Name="a">b</rsp:Variable></rsp:Environment><rsp:IdleTimeOut>P1DT1H</rsp:IdleTimeOut></rsp:Shell>`,
		actionCommand: `<rsp:CommandLine CommandId="x"><rsp:Command>a</rsp:Command><rsp:Arguments>b c</rsp:Arguments><rsp:Arguments/></rsp:CommandLine>`,
		actionSend:    `<rsp:Send><rsp:Stream Name="stdin" CommandId="x" End="true">aGVs bG8=</rsp:Stream></rsp:Send>`,
		actionReceive: `<rsp:Receive><rsp:DesiredStream CommandId="x">stdout stderr</rsp:DesiredStream></rsp:Receive>`,
		actionSignal:  `<rsp:Signal CommandId="x"><rsp:Code>terminate</rsp:Code></rsp:Signal>`,
		actionDelete:  ``,
	} {
		f.Add([]byte(header + `<a:Action>` + action + `</a:Action></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`))
	}
	f.Add([]byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><i:Identify xmlns:i="` + nsIdentity + `"/></s:Body></s:Envelope>`))
	f.Fuzz(func(t *testing.T, message []byte) {
		request, err := parseRequest(message)
		if err == nil && request == nil {
			t.Fatal("neither a request nor a fault")
		}
		if request != nil && (request.timeout < 0 || request.shell.idleTimeout < 0 || request.maxEnvelope < 0) {
			t.Fatalf("negative: %+v", request)
		}
		// Whatever a client sends, the answer to it is well-formed.
		var a *answer
		switch {
		case err != nil:
			fault, ok := err.(*Fault) //nolint:errorlint // that is what parseRequest promises
			if !ok {
				t.Fatalf("%v is no fault", err)
			}
			a = answerFault(fault, "machine")
		case request.action == actionReceive:
			a = answerReceive(request.commandID, output{pieces: []piece{{"stdout", message}}, done: true})
		case request.action == actionCommand:
			a = answerCommand(request.command.id)
		default:
			a = answerFault(FaultShellNotFound(request.shellID), request.shell.name)
		}
		id := ""
		if request != nil {
			id = request.messageID
		}
		var root element
		if err := xml.Unmarshal(a.envelope(id), &root); err != nil {
			t.Fatalf("the answer is broken: %v\n%s", err, a.envelope(id))
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"PT60S", "PT60.000S", "PT1H2M3.5S", "P1DT1S", "P0DT0H1M0S", "PT", "P", "PT1M1M", "P1Y", "-PT1S", "PT1e9S", "PT9999999999999999999S"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDuration(text)
		if err == nil && (d < 0 || d > 3660*24*time.Hour) {
			t.Fatalf("%q is %s", text, d)
		}
	})
}

func FuzzNTLM(f *testing.F) {
	begin := append([]byte("NTLMSSP\x00\x01\x00\x00\x00\x97\x82\x08\xe2"), make([]byte, 24)...)
	f.Add(begin, append([]byte("NTLMSSP\x00\x03\x00\x00\x00"), make([]byte, 100)...), []byte("x"))
	f.Fuzz(func(t *testing.T, negotiate, authenticate, body []byte) {
		session := &ntlmSession{machine: "M"}
		challenge, err := session.begin(negotiate, time.Unix(0, 0))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(challenge, []byte("NTLMSSP\x00\x02")) {
			t.Fatalf("the challenge is %x", challenge)
		}
		// Nobody guesses the proof for a random nonce.
		if logon, err := session.finish(authenticate, func(string) (string, bool) { return "secret", true }); err == nil {
			t.Fatalf("%s has logged on with %x", logon.user, authenticate)
		}
		key := ntlmLogon{flags: ntlm128 | ntlmKeyExchange, sessionKey: make([]byte, 16)}
		if message, err := newSealing(&key, "client-to-server").open(body); err == nil {
			t.Logf("opened %q", message)
		}
		sealed := newSealing(&key, "client-to-server").seal(body)
		if message, err := newSealing(&key, "client-to-server").open(sealed); err != nil || !bytes.Equal(message, body) {
			t.Fatalf("sealed and opened again: %q, %v", message, err)
		}
	})
}
