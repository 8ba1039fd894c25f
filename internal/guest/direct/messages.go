package direct

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/masterzen/winrm"
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

// identifyMessage is the one message that the library can not write.
const identifyMessage = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsmid="` + nsIdentity + `">` +
	`<s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>`

// parameters are the library's, made anew for each message: its own default
// is one shared value.
func parameters(timeout time.Duration) *winrm.Parameters {
	return winrm.NewParameters(fmt.Sprintf("PT%dS", max(1, int(timeout.Seconds()))), locale, envelopeSize)
}

// createMessage opens a shell without loading the user's profile.
func createMessage(url string, timeout time.Duration) (string, error) {
	return setOption(winrm.NewOpenShellRequest(url, parameters(timeout)).String(), "WINRS_NOPROFILE", "TRUE")
}

// checkCommand refuses what cmd.exe or the library's messages can not carry.
func checkCommand(command string) error {
	switch {
	case command == "":
		return errors.New("the command line is empty")
	case len(utf16.Encode([]rune(command))) > commandLimit:
		return fmt.Errorf("the command line has more than the %d characters that cmd.exe takes", commandLimit)
	case strings.Contains(command, "]]>"):
		return errors.New("the command line contains ]]>, which the library's messages can not carry")
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
	message := winrm.NewExecuteCommandRequest(url, shell, command, nil, parameters(timeout)).String()
	return setOption(message, "WINRS_CONSOLEMODE_STDIN", "FALSE")
}

func sendMessage(url, shell, command string, input []byte, end bool, timeout time.Duration) string {
	return winrm.NewSendInputRequest(url, shell, command, input, end, parameters(timeout)).String()
}

func receiveMessage(url, shell, command string, timeout time.Duration) string {
	return winrm.NewGetOutputRequest(url, shell, command, "stdout stderr", parameters(timeout)).String()
}

func terminateMessage(url, shell, command string, timeout time.Duration) string {
	return winrm.NewSignalRequest(url, shell, command, parameters(timeout)).String()
}

func deleteMessage(url, shell string, timeout time.Duration) string {
	return winrm.NewDeleteShellRequest(url, shell, parameters(timeout)).String()
}

// setOption gives an option of a message's header another value. The header
// stands before the body, so that a command line can not be hit.
func setOption(message, name, value string) (string, error) {
	before, rest, found := strings.Cut(message, `Name="`+name+`">`)
	header, _, bounded := strings.Cut(rest, "</")
	if !found || !bounded || strings.ContainsAny(header, "<>") {
		return "", fmt.Errorf("the WinRM library's message has no option %s to set", name)
	}
	return before + `Name="` + name + `">` + value + rest[len(header):], nil
}
