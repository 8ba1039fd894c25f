package direct

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/masterzen/winrm"
)

var messageID = regexp.MustCompile(`uuid:[0-9a-f-]{36}`)

func TestMessagesAreThoseOfTheLibrary(t *testing.T) {
	const url = "http://10.0.0.1:5985/wsman"
	p := winrm.NewParameters("PT20S", locale, envelopeSize)
	command, err := commandMessage(url, "SHELL", "dir & echo <x>", 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, ours, library string }{
		{"Create", createMessage(url, 20*time.Second), strings.Replace(winrm.NewOpenShellRequest(url, p).String(), `PROFILE">FALSE`, `PROFILE">TRUE`, 1)},
		{"Command", command, strings.Replace(winrm.NewExecuteCommandRequest(url, "SHELL", "dir & echo <x>", nil, p).String(), `STDIN">TRUE`, `STDIN">FALSE`, 1)},
		{"Send", sendMessage(url, "SHELL", "C", []byte("text"), false, 20*time.Second), winrm.NewSendInputRequest(url, "SHELL", "C", []byte("text"), false, p).String()},
		{"the last Send", sendMessage(url, "SHELL", "C", nil, true, 20*time.Second), winrm.NewSendInputRequest(url, "SHELL", "C", nil, true, p).String()},
		{"Receive", receiveMessage(url, "SHELL", "C", 20*time.Second), winrm.NewGetOutputRequest(url, "SHELL", "C", "stdout stderr", p).String()},
		{"Signal", terminateMessage(url, "SHELL", "C", 20*time.Second), winrm.NewSignalRequest(url, "SHELL", "C", p).String()},
		{"Delete", deleteMessage(url, "SHELL", 20*time.Second), winrm.NewDeleteShellRequest(url, "SHELL", p).String()},
	} {
		ours, library := messageID.ReplaceAllString(test.ours, "ID"), messageID.ReplaceAllString(test.library, "ID")
		if ours != library {
			t.Errorf("%s is\n%s\nand the library's is\n%s", test.name, ours, library)
		}
	}
}
