package windows

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// launchAgent is what differs between launch agents.
type launchAgent interface {
	// program returns what a program of the agent's does, by the path of its
	// file; nil when the file is none of the agent's.
	program(path string) program
	// script returns what a PowerShell script of the agent's does.
	script(path string) program
	// start is what the agent does when Windows has started, and has been set up
	// when it was sealed. It decides by itself what is due.
	start(s *startup)
}

// windowsPrograms are the programs of Windows' own that the lab can run.
func windowsPrograms(name string) program {
	switch name {
	case "cmd.exe":
		return runCmd
	case "powershell.exe":
		return runPowerShell
	case "shutdown.exe":
		return runShutdown
	case "schtasks.exe":
		return runSchtasks
	case "sc.exe":
		return runSc
	case "whoami.exe":
		return runWhoami
	case "hostname.exe":
		return func(p *process) int { p.say(p.guest.computer()); return 0 }
	case "reg.exe":
		return runReg
	case "net.exe", "net1.exe":
		return runNet
	case "sysprep.exe":
		return runSysprep
	case "powercfg.exe":
		return runPowercfg
	case "ping.exe", "timeout.exe":
		return runPause
	case "more.com", "findstr.exe", "sort.exe":
		return runCopy
	}
	return nil
}

// quietPrograms are programs that do something which the model does not have:
// they end with 0 and a note.
var quietPrograms = map[string]bool{
	"icacls.exe": true, "wevtutil.exe": true,
	"netsh.exe": true, "taskkill.exe": true, "bcdedit.exe": true, "cleanmgr.exe": true,
}

// findProgram finds what a child is to do: by its file on the disk, by the
// search path, or because every Windows has it. The lock is held.
func (g *Guest) findProgram(child *process) (program, error) {
	path := strings.Trim(g.expand(child.file), `" `)
	if !absolute(path) {
		name := path
		switch {
		case strings.EqualFold(name, "more"):
			name += ".com"
		case !strings.Contains(base(name), "."):
			name += ".exe"
		}
		path = `C:\Windows\System32\` + name
		for _, folder := range []string{`C:\Windows\System32\`, `C:\Windows\`, `C:\Windows\System32\WindowsPowerShell\v1.0\`} {
			if g.disk.file(folder+name) != nil {
				path = folder + name
				break
			}
		}
	}
	child.file = clean(path)
	child.name = programName(path)
	lower := strings.ToLower(base(path))
	system := strings.HasPrefix(fold(path), `c:\windows\`)
	onDisk := g.disk.file(path) != nil
	for _, agent := range g.agents {
		if body := agent.program(fold(path)); body != nil && onDisk {
			return body, nil
		}
	}
	if body := windowsPrograms(lower); body != nil && (onDisk || system && lower != "sysprep.exe") {
		return body, nil
	}
	if strings.HasSuffix(lower, ".cmd") || strings.HasSuffix(lower, ".bat") {
		if onDisk {
			return runBatchFile, nil
		}
	}
	if system && quietPrograms[lower] {
		return func(p *process) int {
			p.do(func(g *Guest) { g.note("not modelled: " + p.file + " " + p.arguments) })
			return 0
		}, nil
	}
	if !onDisk {
		return nil, &guest.CallError{Kind: guest.KindMissing, Message: child.file + " could not be started: The system cannot find the file specified"}
	}
	return cannotRun, nil
}

func cannotRun(p *process) int {
	p.do(func(g *Guest) { g.note("the lab cannot run " + p.file) })
	p.complain("the lab cannot run this command: " + strings.TrimSpace(p.file+" "+p.arguments))
	return 1
}

// runCmd is cmd.exe: /c and the line.
func runCmd(p *process) int {
	lower := strings.ToLower(p.arguments)
	at := strings.Index(lower, "/c")
	if at < 0 {
		return cannotRun(p)
	}
	line := strings.TrimSpace(p.arguments[at+2:])
	if len(line) > 1 && strings.HasPrefix(line, `"`) && strings.HasSuffix(line, `"`) {
		// cmd.exe drops the outer quotes unless they hold nothing but a program.
		inner := line[1 : len(line)-1]
		isProgram := false
		p.do(func(g *Guest) { isProgram = !strings.Contains(inner, `"`) && g.disk.file(inner) != nil })
		if !isProgram || strings.Contains(lower[:at], "/s") {
			line = inner
		}
	}
	return p.commandLine(line)
}

// commandLine carries out one line of cmd.exe's.
func (p *process) commandLine(line string) int {
	code, _ := (&batch{process: p}).line(line)
	return code
}

// runPause is ping.exe -n, which takes a second between two pings, and
// timeout.exe /t: the ways in which batch files wait.
func runPause(p *process) int {
	words := splitLine(p.arguments)
	for i, word := range words {
		if flag := strings.ToLower(strings.TrimLeft(word, "/-")); (flag == "n" || flag == "t") && i+1 < len(words) {
			n, err := strconv.Atoi(words[i+1])
			if err != nil {
				break
			}
			if flag == "n" {
				n--
			}
			if !p.wait(time.Duration(n) * time.Second) {
				return killedCode
			}
			return 0
		}
	}
	return cannotRun(p)
}

// runCopy is a program that passes its input on: more.com, and findstr.exe and
// sort.exe with input for which they do the same.
func runCopy(p *process) int {
	if p.stdin == nil || p.stdout == nil {
		return 0
	}
	if _, err := io.Copy(p.stdout, p.stdin); err != nil {
		return 1
	}
	return 0
}

// runPowercfg is powercfg.exe /hibernate.
func runPowercfg(p *process) int {
	words := splitLine(strings.ToLower(p.arguments))
	if len(words) != 2 || strings.TrimLeft(words[0], "/-") != "hibernate" && strings.TrimLeft(words[0], "/-") != "h" {
		return cannotRun(p)
	}
	p.do(func(g *Guest) {
		number := 0
		if words[1] == "on" {
			number = 1
		}
		g.setDword(powerKey, "HibernateEnabled", number)
	})
	return 0
}

func runWhoami(p *process) int {
	p.say(strings.ToLower(p.guest.computer() + `\` + p.user))
	return 0
}

// runShutdown is shutdown.exe /s and /r with /t.
func runShutdown(p *process) int {
	words := splitLine(p.arguments)
	off, reboot, after := false, false, 30
	for i, word := range words {
		switch strings.ToLower(word) {
		case "/s", "-s", "/p", "-p":
			off = true
		case "/r", "-r":
			reboot = true
		case "/t", "-t":
			if i+1 < len(words) {
				if n, err := strconv.Atoi(words[i+1]); err == nil {
					after = n
				}
			}
		}
	}
	if !off && !reboot {
		return cannotRun(p)
	}
	code := 0
	p.do(func(g *Guest) {
		switch {
		case g.machine.Power.ShutdownDenied:
			code = 5
		case g.shutting:
			code = 1115
		default:
			b := g.boot
			g.background(b, func() {
				if g.clock.Wait(b.ctx, time.Duration(after)*time.Second) != nil {
					return
				}
				g.mu.Lock()
				if g.boot == b {
					g.shutDown(reboot)
				}
				g.mu.Unlock()
			})
		}
	})
	switch code {
	case 5:
		p.complain("Access is denied.(5)")
	case 1115:
		p.complain("A system shutdown is in progress.(1115)")
	}
	return code
}

// runPowerShell is powershell.exe with one of the texts that the lab knows.
func runPowerShell(p *process) int {
	kind, argument := guest.ReadCommand(p.arguments)
	switch kind {
	case guest.CommandSealer:
		return p.seal(argument)
	case guest.CommandBootstrap:
		return p.converse(p.stdin)
	case guest.CommandBootstrapFile:
		return p.converseFromFile(argument)
	}
	if text, err := guest.DecodeCommand(p.arguments); err == nil {
		if code, known := p.packerScript(text); known {
			return code
		}
		p.complain("the lab cannot run this command: powershell.exe with a script that is not one of the plugin's own: " + firstLine(text))
		return 1
	}
	for _, agent := range p.guest.agents {
		for _, word := range splitLine(strings.NewReplacer("'", `"`, "&", " ", ";", " ").Replace(p.arguments)) {
			if body := agent.script(fold(p.guest.expand(word))); body != nil {
				present := false
				p.do(func(g *Guest) { present = g.disk.file(g.expand(word)) != nil })
				if present {
					return body(p)
				}
			}
		}
	}
	return cannotRun(p)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > 120 {
		line = line[:120] + "…"
	}
	return strings.TrimSpace(line)
}

// call runs a program as a child of p, with p's own streams, and waits for it.
func (p *process) call(file, arguments string) (code int, err error) {
	child, err := p.start(p.job, &process{file: file, arguments: arguments, folder: p.folder, stdin: p.stdin, stdout: p.stdout, stderr: p.stderr})
	if err != nil {
		return 1, err
	}
	code, _ = p.await(child)
	return code, nil
}

// detach starts a program that lives on when p has ended.
func (p *process) detach(file, arguments string) (*process, error) {
	return p.start(p.boot.ctx, &process{file: file, arguments: arguments})
}

// emptyInput is the stdin of programs that get none.
type emptyInput struct{}

func (emptyInput) Read([]byte) (int, error) { return 0, io.EOF }

// startOutside starts a program outside of any session, after the delay that
// the description gives. The lock is held.
func (g *Guest) startOutside(t *task) int {
	g.started++
	if g.machine.Network.CutOnStart {
		b := g.boot
		g.background(b, func() {
			if b.ctx.Err() == nil {
				g.CutNetwork(time.Duration(g.machine.Network.CutFor))
			}
		})
	}
	p := &process{file: t.file, arguments: t.arguments, folder: t.folder, user: t.user, stdin: emptyInput{}}
	body, err := g.findProgram(p)
	if err != nil {
		return 0
	}
	g.spawn(g.boot.ctx, p, func(p *process) int {
		if !p.wait(time.Duration(g.machine.Start.Delay)) {
			return killedCode
		}
		return body(p)
	})
	return p.pid
}

// within returns a context that ends with both.
func within(ctx context.Context, other context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return both, func() {
		stop()
		cancel(nil)
	}
}
