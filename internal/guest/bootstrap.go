package guest

import (
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// Script is the text of guest.ps1, the guest's half of the protocol.
//
//go:embed guest.ps1
var Script string

// SealScript is the text of seal.ps1, the sealer.
//
//go:embed seal.ps1
var SealScript string

// RefusedPrefix begins the one line that the bootstrap prints when this
// PowerShell cannot run the protocol: a restricted language mode, or a version
// below 3.0.
const RefusedPrefix = "#es1-refused "

// bootstrapText reads the script from a reader, up to EndOfScript, and runs it
// with the same reader. It uses nothing that a restricted language mode
// forbids before it has looked at the mode, and nothing newer than PowerShell
// 2.0 before it has looked at the version. It must never mention the automatic
// variable for pipeline input: the host would then read stdin by itself.
const bootstrapText = `$ProgressPreference='SilentlyContinue'
$m="$($ExecutionContext.SessionState.LanguageMode)"
$v=$PSVersionTable.PSVersion
if(($m -ne 'FullLanguage') -or ($v.Major -lt 3)){Write-Output "` + RefusedPrefix + `$m $v";exit 3}
$r=New-Object IO.StreamReader(SOURCE,[Text.Encoding]::ASCII,$false,65536)
$t=New-Object Text.StringBuilder
while($true){$l=$r.ReadLine();if(($l -eq $null) -or ($l -eq '` + EndOfScript + `')){break};[void]$t.AppendLine($l)}
& ([scriptblock]::Create($t.ToString())) $r`

// Bootstrap is the command line that starts the guest's process with stdin as
// its source: first the text of Script, then EndOfScript, then requests.
func Bootstrap() string {
	return powershellCommand(strings.Replace(bootstrapText, "SOURCE", "[Console]::OpenStandardInput()", 1))
}

// BootstrapFromFile is the command line for a guest's process that reads
// script and requests from a file on the guest, where there is no stdin.
func BootstrapFromFile(path string) string {
	source := "[IO.File]::OpenRead('" + strings.ReplaceAll(path, "'", "''") + "')"
	return powershellCommand(strings.Replace(bootstrapText, "SOURCE", source, 1))
}

// Preamble is what goes to stdin before the first request.
func Preamble() []byte {
	text := strings.ReplaceAll(Script, "\r\n", "\n")
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return []byte(text + EndOfScript + "\n")
}

func powershellCommand(text string) string {
	return "powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand " + encodeCommand(text)
}

// encodeCommand encodes text for -EncodedCommand: base64 of UTF-16LE.
func encodeCommand(text string) string {
	units := utf16.Encode([]rune(text))
	raw := make([]byte, 0, 2*len(units))
	for _, u := range units {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// CommandKind says what a command line of PowerShell's is to the protocol.
type CommandKind int

// What a command line can be.
const (
	// CommandForeign is not one of ours.
	CommandForeign CommandKind = iota
	// CommandBootstrap starts the protocol on stdin.
	CommandBootstrap
	// CommandBootstrapFile starts the protocol on a file; its path is the argument.
	CommandBootstrapFile
	// CommandSealer starts the sealer; the argument is its folder.
	CommandSealer
)

// ReadCommand tells which of our command lines line is. The lab uses it: its
// powershell.exe knows our texts by their exact content.
func ReadCommand(line string) (kind CommandKind, argument string) {
	text, err := DecodeCommand(line)
	if err != nil {
		return CommandForeign, ""
	}
	before, after, _ := strings.Cut(bootstrapText, "SOURCE")
	if source, ok := between(text, before, after); ok {
		if source == "[Console]::OpenStandardInput()" {
			return CommandBootstrap, ""
		}
		if path, ok := between(source, "[IO.File]::OpenRead('", "')"); ok {
			return CommandBootstrapFile, strings.ReplaceAll(path, "''", "'")
		}
	}
	start, end, _ := strings.Cut(starterText("FOLDER"), "FOLDER")
	if folder, ok := between(text, start, end); ok {
		return CommandSealer, strings.ReplaceAll(folder, "''", "'")
	}
	return CommandForeign, ""
}

func between(text, before, after string) (string, bool) {
	rest, ok := strings.CutPrefix(text, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// DecodeCommand returns the text behind -EncodedCommand in a command line.
func DecodeCommand(line string) (string, error) {
	const flag = "-encodedcommand "
	at := strings.LastIndex(strings.ToLower(line), flag)
	if at < 0 {
		return "", errors.New("no -EncodedCommand")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimSpace(line[at+len(flag):]), `"`))
	if err != nil {
		return "", err
	}
	if len(raw)%2 != 0 {
		return "", errors.New("an odd number of bytes")
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(raw[i:]))
	}
	return string(utf16.Decode(units)), nil
}
