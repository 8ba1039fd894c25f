package direct

import (
	"strings"
	"testing"
	"time"
)

func FuzzAnswer(f *testing.F) {
	const open = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
		`xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Body>`
	const end = `</s:Body></s:Envelope>`
	for _, body := range []string{
		`<rsp:Shell><rsp:ShellId>2D6534D0-6B12-40E3-B773-CBA26459CFA8</rsp:ShellId></rsp:Shell>`,
		`<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">1</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`,
		`<rsp:CommandResponse><rsp:CommandId>1</rsp:CommandId></rsp:CommandResponse>`,
		`<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="1">aGVsbG8=</rsp:Stream><rsp:Stream Name="stderr" End="true"/>` +
			`<rsp:CommandState State="` + stateDone + `"><rsp:ExitCode>-1</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>`,
		`<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason>` +
			`<s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858793"><f:Message>no</f:Message></f:WSManFault></s:Detail></s:Fault>`,
	} {
		f.Add([]byte(open + body + end))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseAnswer(text)
		if err != nil {
			return
		}
		if err := a.fault("Receive", 500); err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("the error has more than one line: %q", err)
			}
			_ = Classify(err)
		}
		for _, id := range []func() (string, error){a.shellID, a.commandID} {
			id, err := id()
			if err == nil && (id == "" || strings.ContainsAny(id, `<>&"' `)) {
				t.Fatalf("the identifier %q breaks a message", id)
			}
			if err == nil {
				// The library puts it into messages as it is.
				if _, err := parseAnswer([]byte(receiveMessage("http://guest/wsman", id, id, time.Second))); err != nil {
					t.Fatalf("a message with %q is broken: %v", id, err)
				}
			}
		}
		if r, err := a.received(); err == nil && !r.done && r.exitCode != 0 {
			t.Fatal("an exit code without an end")
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{"echo a & b < c > d", `powershell.exe -EncodedCommand QQA=`, "]]>", "\x00", "é\u2028", strings.Repeat("x", 8192)} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		message, err := commandMessage("http://guest/wsman", "1", line, time.Second)
		if err != nil {
			return
		}
		if _, err := parseAnswer([]byte(message)); err != nil {
			t.Fatalf("the message for %q is broken: %v", line, err)
		}
		if !strings.Contains(message, `Name="WINRS_CONSOLEMODE_STDIN">FALSE</`) || !strings.Contains(message, "<![CDATA["+line+"]]>") {
			t.Fatalf("the message for %q says something else", line)
		}
	})
}
