package windows

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/masterzen/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	labwinrm "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func TestCommandLinesThatTheLabKnows(t *testing.T) {
	tests := []struct {
		name, line   string
		stdout       string
		stderr       string
		code         int
		machine      func(m *Machine)
		afterwards   func(b *bench) bool
		explainAfter string
	}{
		{name: "who am I", line: "whoami", stdout: "ec2amaz-lab2022\\administrator\r\n"},
		{name: "the computer's name", line: "hostname", stdout: "EC2AMAZ-LAB2022\r\n"},
		{name: "the version", line: "ver", stdout: "\r\nMicrosoft Windows [Version 10.0.20348.2849]\r\n"},
		{name: "an echo", line: "echo hello %windir%", stdout: "hello C:\\Windows\r\n"},
		{name: "an exit", line: "exit 7", code: 7},
		{name: "cmd inside cmd", line: `cmd.exe /d /c "exit /b 5"`, code: 5},
		{name: "commands joined", line: `echo one& echo two&&echo three||echo four`, stdout: "one\r\ntwo\r\nthree\r\n"},
		{name: "a command after a failure", line: `cmd /c exit 4 || exit /b 9`, code: 9},
		{name: "a quoted ampersand", line: `echo "a & b"`, stdout: "\"a & b\"\r\n"},
		{name: "an echo to stderr", line: `echo oops 1>&2`, stderr: "oops\r\n"},
		{name: "a wait", line: `ping -n 3 127.0.0.1 >nul & exit /b 6`, code: 6},
		{name: "Packer's probe", line: winrm.Powershell(`if (Test-Path variable:global:ProgressPreference){$ProgressPreference='SilentlyContinue'}; echo "WinRM connected."`), stdout: "WinRM connected.\r\n"},
		{name: "a program that nobody has", line: "fly.exe high", stderr: "the lab cannot run this command: fly.exe high\r\n", code: 1},
		{name: "a PowerShell text of somebody else's", line: winrm.Powershell("Get-Date"), stderr: "the lab cannot run this command: powershell.exe with a script that is not one of the plugin's own: $ProgressPreference = 'SilentlyContinue';Get-Date\r\n", code: 1},
		{name: "the agent's version", line: `"C:\Program Files\Amazon\EC2Launch\EC2Launch.exe" version`, stdout: "2.0.2107\r\n"},
		{
			name: "the agent has been reset", line: `"C:\Program Files\Amazon\EC2Launch\EC2Launch.exe" reset`,
			afterwards: func(b *bench) bool { _, there := b.File(v2RunOnce); return !there }, explainAfter: "the run-once file is there",
		},
		{
			name: "a configuration that is not valid", line: `"C:\Program Files\Amazon\EC2Launch\EC2Launch.exe" validate`, code: 1, stderr: "Error: stage preReady: unknown task\r\n",
			machine: func(m *Machine) { m.Agent.InvalidConfig = "stage preReady: unknown task" },
		},
		{
			name: "files are deleted by a pattern", line: `cmd.exe /d /c del /q "C:\Windows\Temp\ec2-*.txt"`,
			machine: func(m *Machine) {
				m.SetFile(`C:\Windows\Temp\ec2-1.txt`, "")
				m.SetFile(`C:\Windows\Temp\other.txt`, "")
			},
			afterwards: func(b *bench) bool {
				return strings.Join(b.Files(`C:\Windows\Temp`), " ") == `C:\Windows\Temp\other.txt`
			}, explainAfter: "the wrong files are left",
		},
		{
			name: "the registry", line: `reg add "HKEY_LOCAL_MACHINE\SOFTWARE\Lab" /v X /t REG_DWORD /d 0x10 /f`, stdout: "The operation completed successfully.\r\n",
			afterwards: func(b *bench) bool { return b.Registry(`HKLM\SOFTWARE\Lab`, "x").Text == "16" }, explainAfter: "the value is not there",
		},
		{
			name: "a restricted language mode", line: guest.Bootstrap(), code: 3, stdout: guest.RefusedPrefix + "ConstrainedLanguage 5.1.20348.2849\r\n",
			machine: func(m *Machine) { m.Language = "ConstrainedLanguage" },
		},
		{
			name: "an old PowerShell", line: guest.Bootstrap(), code: 3, stdout: guest.RefusedPrefix + "FullLanguage 2.0\r\n",
			machine: func(m *Machine) { m.PowerShell = "2.0" },
		},
		{name: "a bootstrap without a script", line: guest.Bootstrap(), code: 1, stderr: "the lab cannot run this command: powershell.exe with a script that is not the plugin's guest.ps1: \r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			if test.machine != nil {
				test.machine(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				stdout, stderr, code := b.shell(test.line)
				if stdout != test.stdout || stderr != test.stderr || code != test.code {
					t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
				}
				if test.afterwards != nil && !test.afterwards(b) {
					t.Error(test.explainAfter)
				}
			})
		})
	}
}

func TestPackersUploadArrives(t *testing.T) {
	content := bytes.Repeat([]byte("some bytes \x00\xff "), 2000)
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		// The same steps as packer-community/winrmcp takes.
		const temp = "winrmcp-1.tmp"
		for rest := content; len(rest) > 0; {
			n := min(5958, len(rest))
			if _, stderr, code := b.shell(fmt.Sprintf(`echo %s >> "%%TEMP%%\%s"`, base64.StdEncoding.EncodeToString(rest[:n]), temp)); code != 0 {
				t.Fatal(stderr)
			}
			rest = rest[n:]
		}
		restore := `
		$tmp_file_path = [System.IO.Path]::GetFullPath("$env:TEMP\winrmcp-1.tmp")
		$dest_file_path = [System.IO.Path]::GetFullPath("C:\New\Folder\file.bin".Trim("'"))
		if (Test-Path $tmp_file_path) {
					$bytes = [System.Convert]::FromBase64String($base64_line)
		}`
		if _, stderr, code := b.shell(winrm.Powershell(restore)); code != 0 {
			t.Fatal(stderr)
		}
		if got, ok := b.File(`C:\New\Folder\file.bin`); !ok || !bytes.Equal(got, content) {
			t.Errorf("%d bytes arrived, %d were sent", len(got), len(content))
		}
		cleanup := `
		$tmp_file_path = [System.IO.Path]::GetFullPath("$env:TEMP\winrmcp-1.tmp")
		if (Test-Path $tmp_file_path) {
			Remove-Item $tmp_file_path -ErrorAction SilentlyContinue
		}`
		b.shell(winrm.Powershell(cleanup))
		if left := b.Files(tempFolder); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

func TestTheProtocolRunsFromAFile(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		line, err := guest.EncodeRequest(guest.Request{ID: 9, Calls: []guest.RawCall{{Op: "hello"}}})
		if err != nil {
			t.Fatal(err)
		}
		b.PutFile(`C:\Windows\Temp\it's.txt`, append(guest.Preamble(), line...))
		stdout, stderr, code := b.shell(guest.BootstrapFromFile(`C:\Windows\Temp\it's.txt`))
		reply, ok, err := guest.DecodeReply([]byte(stdout))
		if code != 0 || !ok || err != nil || reply.ID != 9 || len(reply.Answers) != 1 {
			t.Errorf("code %d, stdout %q, stderr %q, error %v", code, stdout, stderr, err)
		}
		if _, _, code := b.shell(guest.BootstrapFromFile(`C:\nothing.txt`)); code != 1 {
			t.Errorf("a file that is not there ends with %d", code)
		}
	})
}

func TestWhatASessionStartsEndsWithIt(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		s := b.open()
		s.send(`{"op":"run","file":"C:\\Windows\\System32\\Sysprep\\sysprep.exe","arguments":"","milliseconds":600000}`)
		b.until(minute, "the start", func() bool { return b.Runs("sysprep") })
		s.cancel(labwinrm.ErrServiceStopped)
		b.until(minute, "the end", func() bool { return !b.Runs("sysprep") && !b.Runs("powershell") })
	})
}
