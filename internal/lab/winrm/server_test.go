package winrm_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// client writes messages by hand, so that every part of them can be wrong.
type client struct {
	t      *testing.T
	server *winrm.Server
	header http.Header
	http   http.Client
}

func talk(t *testing.T, s *winrm.Server) *client {
	c := &client{t: t, server: s, header: http.Header{
		"Content-Type":  {"application/soap+xml;charset=UTF-8"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))},
	}}
	transport := &http.Transport{}
	c.http.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

// post sends a body as it is.
func (c *client) post(body string) (status int, answer string, header http.Header) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server.URL(), strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header = c.header
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

const namespaces = `xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
	`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"`

const (
	shellURI  = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	transfer  = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
	configURI = "http://schemas.microsoft.com/wbem/wsman/1/config"
)

// message is one SOAP message.
type message struct {
	action, resource, shell, header, body string
}

func (m message) String() string {
	if m.resource == "" {
		m.resource = shellURI + "/cmd"
	}
	if m.shell != "" {
		m.header += `<w:SelectorSet><w:Selector Name="ShellId">` + m.shell + `</w:Selector></w:SelectorSet>`
	}
	return `<s:Envelope ` + namespaces + `><s:Header><a:To>http://x/wsman</a:To><a:MessageID>uuid:Ab-&amp;12</a:MessageID>` +
		`<w:ResourceURI s:mustUnderstand="true">` + m.resource + `</w:ResourceURI><a:Action s:mustUnderstand="true">` + m.action + `</a:Action>` + m.header +
		`</s:Header><s:Body>` + m.body + `</s:Body></s:Envelope>`
}

func create() message {
	return message{
		action: transfer + "/Create",
		body:   `<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`,
	}
}

func command(shell, line string) message {
	return message{action: shellURI + "/Command", shell: shell, body: `<rsp:CommandLine><rsp:Command>` + line + `</rsp:Command></rsp:CommandLine>`}
}

func receive(shell, id string) message {
	return message{
		action: shellURI + "/Receive", shell: shell, header: `<w:OperationTimeout>PT5S</w:OperationTimeout>`,
		body: `<rsp:Receive><rsp:DesiredStream CommandId="` + id + `">stdout stderr</rsp:DesiredStream></rsp:Receive>`,
	}
}

func send(shell, id, data string, end bool) message {
	return message{action: shellURI + "/Send", shell: shell, body: fmt.Sprintf(
		`<rsp:Send><rsp:Stream Name="stdin" CommandId="%s" End="%t">%s</rsp:Stream></rsp:Send>`, id, end, base64.StdEncoding.EncodeToString([]byte(data)))}
}

func signal(shell, id, code string) message {
	return message{action: shellURI + "/Signal", shell: shell, body: `<rsp:Signal CommandId="` + id + `"><rsp:Code>` + code + `</rsp:Code></rsp:Signal>`}
}

// ok sends a message that must succeed and returns the answer.
func (c *client) ok(m message) string {
	c.t.Helper()
	status, answer, header := c.post(m.String())
	if status != http.StatusOK || header.Get("Content-Type") != "application/soap+xml;charset=UTF-8" {
		c.t.Fatalf("%s: HTTP %d, %s, %s", m.action, status, header.Get("Content-Type"), answer)
	}
	if !strings.Contains(answer, "<a:RelatesTo>uuid:Ab-&amp;12</a:RelatesTo>") {
		c.t.Errorf("%s: the message's id is not in the answer: %s", m.action, answer)
	}
	if !strings.Contains(answer, "<a:Action>"+m.action+"Response</a:Action>") {
		c.t.Errorf("%s: wrong action in the answer: %s", m.action, answer)
	}
	return answer
}

// fault sends a message that must fail and returns the answer.
func (c *client) fault(body string, code int) string {
	c.t.Helper()
	status, answer, _ := c.post(body)
	if status != http.StatusInternalServerError || !strings.Contains(answer, fmt.Sprintf(` Code="%d"`, code)) ||
		!strings.Contains(answer, "<a:Action>http://schemas.dmtf.org/wbem/wsman/1/wsman/fault</a:Action>") {
		c.t.Errorf("HTTP %d, want fault %d: %s", status, code, answer)
	}
	return answer
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, from)
	inner, _, closed := strings.Cut(rest, to)
	if !found || !closed {
		t.Fatalf("no %s…%s in %s", from, to, text)
	}
	return inner
}

func (c *client) open() string {
	c.t.Helper()
	return between(c.t, c.ok(create()), "<rsp:ShellId>", "</rsp:ShellId>")
}

func (c *client) start(shell, line string) string {
	c.t.Helper()
	return between(c.t, c.ok(command(shell, line)), "<rsp:CommandId>", "</rsp:CommandId>")
}

func TestAShellFromBeginningToEnd(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true})
	c := talk(t, s)
	shell := c.open()
	id := c.start(shell, "reverse")
	c.ok(send(shell, id, "abc", false))
	c.ok(send(shell, id, "def", true))
	answer := c.ok(receive(shell, id))
	if !strings.Contains(answer, `<rsp:Stream Name="stdout" CommandId="`+id+`">ZmVkY2Jh</rsp:Stream>`) {
		t.Errorf("output: %s", answer)
	}
	if !strings.Contains(answer, "/CommandState/Done") {
		answer = c.ok(receive(shell, id))
	}
	if !regexp.MustCompile(`State="`+shellURI+`/CommandState/Done"><rsp:ExitCode>0</rsp:ExitCode>`).MatchString(answer) ||
		strings.Count(answer, `End="true"`) != 2 {
		t.Errorf("the end: %s", answer)
	}
	c.fault(receive(shell, id).String(), winrm.CodeNotFound)
	c.ok(signal(shell, id, shellURI+"/signal/terminate"))
	c.ok(signal(shell, id, shellURI+"/signal/terminate"))
	c.ok(message{action: transfer + "/Delete", shell: shell})
	c.fault(message{action: transfer + "/Delete", shell: shell}.String(), winrm.CodeNotFound)
	if stats := s.Stats(); stats.Shells != 1 || stats.Commands != 1 || stats.OpenShells != 0 || stats.ByAction[winrm.ActionSend] != 2 || stats.Faults != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestRequestsThatAreNoGood(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true})
	c := talk(t, s)
	shell := c.open()
	for name, test := range map[string]struct {
		body string
		code int
		says string
	}{
		"no XML":                         {"hello", winrm.CodeSchema, "SchemaValidationError"},
		"another envelope":               {`<Envelope><Body/></Envelope>`, winrm.CodeSchema, "no SOAP 1.2 envelope"},
		"something after the envelope":   {create().String() + "<x/>", winrm.CodeSchema, "follows the envelope"},
		"no header":                      {`<s:Envelope ` + namespaces + `><s:Body/></s:Envelope>`, winrm.CodeSchema, "no header"},
		"an action that nobody knows":    {message{action: "urn:nonsense"}.String(), winrm.CodeUnsupported, "urn:nonsense"},
		"a resource that nobody has":     {message{action: transfer + "/Get", resource: "urn:x"}.String(), winrm.CodeResourceNotFound, "urn:x"},
		"a shell that is not there":      {command("nobody", "x").String(), winrm.CodeNotFound, "shell was not found"},
		"a command that is not there":    {receive(shell, "nobody").String(), winrm.CodeNotFound, "command identifier"},
		"input for a command not there":  {send(shell, "nobody", "x", false).String(), winrm.CodeNotFound, "command identifier"},
		"a header not understood":        {message{action: transfer + "/Create", header: `<x:New xmlns:x="urn:x" s:mustUnderstand="true"/>`}.String(), winrm.CodeSchema, "no Shell"},
		"an unknown header of a command": {message{action: shellURI + "/Command", shell: shell, header: `<x:New xmlns:x="urn:x" s:mustUnderstand="1"/>`, body: `<rsp:CommandLine><rsp:Command>x</rsp:Command></rsp:CommandLine>`}.String(), winrm.CodeSchema, "New"},
		"a timeout that is none":         {message{action: transfer + "/Get", header: `<w:OperationTimeout>soon</w:OperationTimeout>`}.String(), winrm.CodeSchema, "soon"},
		"input that is not base64":       {message{action: shellURI + "/Send", shell: shell, body: `<rsp:Send><rsp:Stream Name="stdin">***</rsp:Stream></rsp:Send>`}.String(), winrm.CodeSchema, "base64"},
		"a signal that nobody knows":     {signal(shell, "x", shellURI+"/signal/hug").String(), winrm.CodeSchema, "hug"},
	} {
		t.Run(name, func(t *testing.T) {
			if answer := c.fault(test.body, test.code); !strings.Contains(answer, test.says) {
				t.Errorf("it should mention %q: %s", test.says, answer)
			}
		})
	}
}

func TestWhatIsNotAMessage(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true, MaxEnvelopeSizekb: 150})
	t.Run("a body that is too large", func(t *testing.T) {
		c := talk(t, s)
		if status, body, _ := c.post(command("x", strings.Repeat("x", 160<<10)).String()); status != http.StatusRequestEntityTooLarge || body != "" {
			t.Errorf("HTTP %d %q", status, body)
		}
	})
	t.Run("another content type", func(t *testing.T) {
		c := talk(t, s)
		c.header.Set("Content-Type", "text/xml")
		if status, _, _ := c.post(create().String()); status != http.StatusUnsupportedMediaType {
			t.Errorf("HTTP %d", status)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		c := talk(t, s)
		c.header.Del("Authorization")
		status, body, header := c.post(create().String())
		if status != http.StatusUnauthorized || body != "" || header.Get("Content-Type") != "" || header.Get("Server") != "Microsoft-HTTPAPI/2.0" ||
			strings.Join(header.Values("WWW-Authenticate"), "; ") != `Negotiate; Basic realm="WSMAN"` {
			t.Errorf("HTTP %d %q %v", status, body, header)
		}
	})
	t.Run("a GET", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := talk(t, s).http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("HTTP %d", response.StatusCode)
		}
	})
	t.Run("another path", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"x", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := talk(t, s).http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("HTTP %d", response.StatusCode)
		}
	})
}

func TestIdentifyAndConfig(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true})
	c := talk(t, s)
	const identify = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"><s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>`
	if status, answer, _ := c.post(identify); status != http.StatusOK || !strings.Contains(answer, "OS: 10.0.20348") {
		t.Errorf("with credentials: HTTP %d %s", status, answer)
	}
	c.header.Del("Authorization")
	if status, _, _ := c.post(identify); status != http.StatusUnauthorized {
		t.Errorf("without credentials: HTTP %d", status)
	}
	c.header.Set("WSMANIDENTIFY", "unauthenticated")
	if status, answer, _ := c.post(identify); status != http.StatusOK || !strings.Contains(answer, "OS: 0.0.0") {
		t.Errorf("without credentials and saying so: HTTP %d %s", status, answer)
	}
	if status, _, _ := c.post(create().String()); status != http.StatusUnauthorized {
		t.Errorf("the header opens nothing else: HTTP %d", status)
	}
	answer := talk(t, s).ok(message{action: transfer + "/Get", resource: configURI})
	if !strings.Contains(answer, "<cfg:MaxEnvelopeSizekb>500</cfg:MaxEnvelopeSizekb>") || !strings.Contains(answer, "<cfg:MaxTimeoutms>60000</cfg:MaxTimeoutms>") {
		t.Error(answer)
	}
}

func TestPlainHTTPIsRefusedUnlessAllowed(t *testing.T) {
	s := start(t, winrm.Config{})
	if status, _, _ := talk(t, s).post(create().String()); status != http.StatusUnauthorized {
		t.Errorf("HTTP %d", status)
	}
}

func TestALongPollEndsWithOperationTimeout(t *testing.T) {
	// Five seconds of the lab are five milliseconds.
	s := start(t, winrm.Config{AllowUnencrypted: true, Clock: clock.Fast(1000)})
	c := talk(t, s)
	shell := c.open()
	id := c.start(shell, "wait")
	answer := c.fault(receive(shell, id).String(), winrm.CodeTimedOut)
	if !strings.Contains(answer, "<s:Value>w:TimedOut</s:Value>") || !strings.Contains(answer, "OperationTimeout") || !strings.Contains(answer, "<s:Value>s:Receiver</s:Value>") {
		t.Error(answer)
	}
	c.ok(send(shell, id, "x", true))
	if answer := c.ok(receive(shell, id)); !strings.Contains(answer, base64.StdEncoding.EncodeToString([]byte("got x"))) {
		t.Error(answer)
	}
}

func TestASendWaitsForItsReader(t *testing.T) {
	read := make(chan struct{})
	s := start(t, winrm.Config{AllowUnencrypted: true, Clock: clock.Fast(1000), StdinBuffer: 10, Windows: machine{run: func(_ context.Context, c *winrm.Command) int {
		<-read
		all, err := io.ReadAll(c.Stdin)
		fmt.Fprint(c.Stdout, len(all), err)
		return 0
	}}})
	c := talk(t, s)
	shell := c.open()
	id := c.start(shell, "x")
	// Held back for the operation's time, and in the pipe all the same.
	c.fault(send(shell, id, strings.Repeat("x", 100), false).String(), winrm.CodeTimedOut)
	close(read)
	c.ok(send(shell, id, "", true))
	if answer := c.ok(receive(shell, id)); !strings.Contains(answer, base64.StdEncoding.EncodeToString([]byte("100 <nil>"))) {
		t.Error(answer)
	}
	c.fault(send(shell, id, "x", false).String(), winrm.CodePipeEnded)
}

func TestSignals(t *testing.T) {
	causes := make(chan error, 1)
	s := start(t, winrm.Config{AllowUnencrypted: true, Windows: machine{run: func(ctx context.Context, c *winrm.Command) int {
		_, err := io.Copy(io.Discard, c.Stdin) // ends with the command
		<-ctx.Done()
		causes <- errors.Join(context.Cause(ctx), err)
		return 7
	}}})
	c := talk(t, s)
	shell := c.open()
	for name, test := range map[string]struct {
		do    func(id string)
		cause error
		after func(t *testing.T, id string)
	}{
		"ctrl-c": {
			func(id string) { c.ok(signal(shell, id, shellURI+"/signal/ctrl_c")) },
			winrm.ErrInterrupted,
			func(t *testing.T, id string) {
				if answer := c.ok(receive(shell, id)); !strings.Contains(answer, "<rsp:ExitCode>3221225786</rsp:ExitCode>") {
					t.Error(answer)
				}
			},
		},
		"terminate": {
			func(id string) { c.ok(signal(shell, id, shellURI+"/signal/terminate")) },
			winrm.ErrTerminated,
			func(t *testing.T, id string) { c.fault(receive(shell, id).String(), winrm.CodeNotFound) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := c.start(shell, "x")
			test.do(id)
			if cause := <-causes; !errors.Is(cause, test.cause) {
				t.Errorf("ended with %v", cause)
			}
			test.after(t, id)
		})
	}
	t.Run("deleting the shell under a long poll", func(t *testing.T) {
		id := c.start(shell, "x")
		polled := make(chan string)
		go func() {
			_, answer, _ := talk(t, s).post(receive(shell, id).String())
			polled <- answer
		}()
		until(t, func() bool { return s.Stats().ByAction[winrm.ActionReceive] == 3 })
		c.ok(message{action: transfer + "/Delete", shell: shell})
		if answer := <-polled; !strings.Contains(answer, ` Code="995"`) {
			t.Error(answer)
		}
		if cause := <-causes; !errors.Is(cause, winrm.ErrTerminated) {
			t.Errorf("ended with %v", cause)
		}
	})
}

func until(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come to that in 10 s")
		}
	}
}

func TestQuotas(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true, MaxShellsPerUser: 2, MaxOperationsPerShell: 3})
	c := talk(t, s)
	c.open()
	shell := c.open()
	if answer := c.fault(create().String(), winrm.CodeShellQuota); !strings.Contains(answer, "maximum number of 2 concurrent shells") {
		t.Error(answer)
	}
	for range 3 {
		id := c.start(shell, "exit 0")
		c.ok(signal(shell, id, shellURI+"/signal/terminate"))
	}
	c.fault(command(shell, "exit 0").String(), winrm.CodeOperationsQuota)
	c.ok(message{action: transfer + "/Delete", shell: shell})
	c.start(c.open(), "exit 0")
}

func TestLongCommandLines(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true})
	c := talk(t, s)
	shell := c.open()
	line := "show " + strings.Repeat("x", 8191-5)
	if answer := c.ok(receive(shell, c.start(shell, line))); strings.Contains(answer, base64.StdEncoding.EncodeToString([]byte("The command line is too long."))[:20]) {
		t.Error("8191 characters are too many")
	}
	answer := c.ok(receive(shell, c.start(shell, line+"x")))
	if !strings.Contains(answer, base64.StdEncoding.EncodeToString([]byte("The command line is too long."))[:20]) {
		t.Errorf("8192 characters are not too many: %s", answer)
	}
	skip := command(shell, line+"x")
	skip.header = `<w:OptionSet><w:Option Name="WINRS_SKIP_CMD_SHELL">TRUE</w:Option></w:OptionSet>`
	if answer := c.ok(skip); !strings.Contains(answer, "CommandId") {
		t.Error(answer)
	}
	c.fault(command(shell, strings.Repeat("x", 32768)).String(), winrm.CodeNameTooLong)
}

func TestAnIdleShellIsClosed(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true, Clock: clock.Fast(1000), IdleTimeout: 20 * time.Second})
	c := talk(t, s)
	shell := c.open()
	until(t, func() bool { return s.Stats().OpenShells == 0 })
	c.fault(command(shell, "exit 0").String(), winrm.CodeNotFound)
}

func TestASecondUserDoesNotSeeTheShell(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true, Windows: everybody{}})
	shell := talk(t, s).open()
	other := talk(t, s)
	other.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(`HOST\guest:`+password)))
	other.fault(command(shell, "exit 0").String(), winrm.CodeNotFound)
	same := talk(t, s)
	same.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(`HOST\ADMINISTRATOR:`+password)))
	same.start(shell, "exit 0")
}

type everybody struct{ machine }

func (everybody) Password(string) (string, bool) { return password, true }
