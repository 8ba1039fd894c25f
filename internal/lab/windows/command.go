package windows

import (
	"context"
	"encoding/base64"
	"io"
	"regexp"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// Run implements [winrm.Windows]: it carries out a command line that came
// through WinRM. The process it makes ends with the session.
func (g *Guest) Run(ctx context.Context, command *winrm.Command) int {
	g.mu.Lock()
	if g.boot == nil || g.closed {
		g.mu.Unlock()
		return killedCode
	}
	both, cancel := within(ctx, g.boot.ctx)
	defer cancel()
	name, _, _ := g.account(command.User)
	shell := &process{
		name: "cmd", file: `C:\Windows\System32\cmd.exe`, arguments: "/c " + command.Line, user: name,
		stdin: command.Stdin, stdout: command.Stdout, stderr: command.Stderr,
	}
	g.enter(both, shell)
	g.mu.Unlock()
	shell.leave(shell.commandLine(command.Line))
	return shell.code
}

// What Packer's own WinRM communicator sends: the probe of its connect step
// (packer-plugin-sdk, communicator/step_connect_winrm.go) and the three parts
// of an upload (packer-community/winrmcp, winrmcp/cp.go).
var (
	packerProbe    = regexp.MustCompile(`^if \(Test-Path variable:global:ProgressPreference\)\{\$ProgressPreference='SilentlyContinue'\}; echo "([^"]*)"$`)
	packerRestore  = regexp.MustCompile(`(?s)\$tmp_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]*)"\).*\$dest_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]*)"\.Trim\("'"\)\).*FromBase64String\(\$base64_line\)`)
	packerCleanup  = regexp.MustCompile(`(?s)\$tmp_file_path = \[System\.IO\.Path\]::GetFullPath\("([^"]*)"\).*Remove-Item \$tmp_file_path`)
	packerDownload = regexp.MustCompile(`^\$file=\[System\.IO\.File\]::ReadAllBytes\("([^"]*)"\); Write-Output \$\(\[System\.Convert\]::ToBase64String\(\$file\)\)$`)
)

// packerScript carries out the PowerShell texts of Packer's communicator.
func (p *process) packerScript(text string) (code int, known bool) {
	text = strings.TrimSpace(text)
	for {
		rest, found := strings.CutPrefix(text, "$ProgressPreference = 'SilentlyContinue';")
		if !found {
			break
		}
		text = strings.TrimSpace(rest)
	}
	path := func(text string) string {
		text = strings.Trim(text, "'")
		return p.guest.expand(strings.NewReplacer("$env:TEMP", "%TEMP%", "$env:TMP", "%TMP%", "${env:TEMP}", "%TEMP%").Replace(text))
	}
	switch {
	case packerProbe.MatchString(text):
		p.say(packerProbe.FindStringSubmatch(text)[1])
		return 0, true
	case packerRestore.MatchString(text):
		parts := packerRestore.FindStringSubmatch(text)
		return p.restore(path(parts[1]), path(parts[2])), true
	case packerCleanup.MatchString(text):
		p.do(func(g *Guest) { _, _ = g.disk.remove(path(packerCleanup.FindStringSubmatch(text)[1]), false) })
		return 0, true
	case packerDownload.MatchString(text):
		var data []byte
		there := false
		p.do(func(g *Guest) {
			if n := g.disk.file(path(packerDownload.FindStringSubmatch(text)[1])); n != nil {
				data, there = n.data, true
			}
		})
		if !there {
			p.complain("Could not find file.")
			return 1, true
		}
		p.say(base64.StdEncoding.EncodeToString(data))
		return 0, true
	}
	return 0, false
}

// restore turns the lines of base64 that an upload left into the file.
func (p *process) restore(from, to string) int {
	code := 0
	p.do(func(g *Guest) {
		if n := g.disk.find(to); n != nil && n.folder {
			code = 1
			return
		}
		var data []byte
		if n := g.disk.file(from); n != nil {
			for line := range strings.Lines(string(n.data)) {
				piece, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
				if err != nil {
					_, _ = io.WriteString(p.stderr, "Invalid length for a Base-64 char array or string.\r\n")
					code = 1
					return
				}
				data = append(data, piece...)
			}
		}
		if g.disk.place(to, data) == nil {
			code = 1
		}
	})
	return code
}
