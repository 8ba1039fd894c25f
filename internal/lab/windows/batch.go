package windows

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// batch carries out lines of cmd.exe's: those few that a BeforeSysprep.cmd and
// the communicators use. What it does not know ends with 0 and a note, as most
// programs do when all is well.
type batch struct {
	process *process
	level   int
}

// runBatchFile carries out a batch file and returns its exit code.
func runBatchFile(p *process) int {
	var text []byte
	p.do(func(g *Guest) {
		if n := g.disk.file(p.file); n != nil {
			text = n.data
		}
	})
	b := &batch{process: p}
	here := parent(clean(p.file)) + `\`
	for line := range strings.Lines(string(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))) {
		code, end := b.line(strings.ReplaceAll(strings.TrimSpace(line), "%~dp0", here))
		b.level = code
		if end || p.ctx.Err() != nil {
			break
		}
	}
	return b.level
}

// line carries out one line: commands joined by &, && and ||. end says that
// the line ends the batch file.
func (b *batch) line(line string) (code int, end bool) {
	line = strings.TrimPrefix(strings.TrimSpace(line), "@")
	if word, _ := firstWord(line); strings.EqualFold(word, "rem") || strings.HasPrefix(line, ":") {
		return b.level, false
	}
	for i, part := range chain(b.process.guest.expand(line)) {
		if i > 0 && (part.when == "&&" && b.level != 0 || part.when == "||" && b.level == 0) {
			continue
		}
		if code, end = b.command(part.text); end {
			return code, true
		}
		b.level = code
	}
	return b.level, false
}

// part is a command of a line, with what stands before it.
type part struct{ when, text string }

// chain splits a line at &, && and || outside quotes. The & of 2>&1 joins
// nothing.
func chain(line string) []part {
	parts := []part{{}}
	quoted := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		two := line[i:min(i+2, len(line))]
		switch {
		case c == '"':
			quoted = !quoted
		case quoted || c == '&' && i > 0 && line[i-1] == '>':
		case two == "&&" || two == "||":
			parts = append(parts, part{when: two})
			i++
			continue
		case c == '&':
			parts = append(parts, part{when: "&"})
			continue
		}
		parts[len(parts)-1].text += string(c)
	}
	return parts
}

// command carries out one command of a line.
func (b *batch) command(line string) (code int, end bool) {
	p := b.process
	line, target, appending := redirection(strings.TrimPrefix(strings.TrimSpace(line), "@"))
	if target != "" {
		inner := *p
		inner.stdout, inner.stderr = io.Discard, io.Discard
		if target == "&2" {
			inner.stdout, inner.stderr = p.stderr, p.stderr
		} else if !strings.EqualFold(target, "nul") {
			file, ok := p.openOutput(target, appending)
			if !ok {
				p.complain("The system cannot find the path specified.")
				return 1, false
			}
			inner.stdout, inner.stderr = file, file
		}
		return (&batch{process: &inner, level: b.level}).command(line)
	}
	head, rest := firstWord(line)
	switch word := strings.ToLower(head); {
	case line == "":
		return b.level, false
	case word == "echo" || strings.HasPrefix(word, "echo."):
		if !strings.EqualFold(rest, "off") && !strings.EqualFold(rest, "on") {
			p.say(p.guest.expand(rest))
		}
		return b.level, false
	case word == "setlocal", word == "endlocal", word == "set", word == "title", word == "cd":
		return 0, false
	case word == "exit":
		rest = strings.TrimSpace(strings.TrimPrefix(strings.ToLower(rest), "/b"))
		if rest == "" {
			return b.level, true
		}
		n, err := strconv.Atoi(rest)
		if err != nil {
			return 0, true
		}
		return n, true
	case word == "ver":
		p.say("")
		p.say("Microsoft Windows [Version " + p.guest.windowsVersion() + "]")
		return 0, false
	case word == "call":
		return b.line(rest)
	case word == "if" && strings.HasPrefix(strings.ToLower(rest), "exist "):
		path, then := firstWord(rest[len("exist "):])
		there := false
		p.do(func(g *Guest) { there = g.disk.find(clean(g.expand(path))) != nil })
		if !there {
			return b.level, false
		}
		return b.command(then)
	case word == "del" || word == "erase":
		p.do(func(g *Guest) {
			for _, path := range splitLine(rest) {
				if strings.HasPrefix(path, "/") {
					continue
				}
				path = clean(g.expand(path))
				for _, n := range g.disk.children(parent(path)) {
					if !n.folder && wildcard(base(path), base(n.path)) {
						_, _ = g.disk.remove(n.path, false)
					}
				}
			}
		})
		return 0, false
	case word == "hostname", word == "whoami":
	}
	return b.program(head, rest), false
}

// program runs a program of a line and waits for it.
func (b *batch) program(head, rest string) int {
	p := b.process
	code, err := p.call(head, rest)
	if err == nil {
		return code
	}
	p.do(func(g *Guest) { g.note("not modelled: " + head + " " + rest) })
	if !guest.IsKind(err, guest.KindMissing) {
		p.complain(err.Error())
		return 1
	}
	if absolute(strings.Trim(head, `"`)) {
		p.complain("The system cannot find the path specified.")
		return 1
	}
	p.complain("the lab cannot run this command: " + strings.TrimSpace(head+" "+rest))
	return 1
}

// redirection takes ">", ">>" and "2>&1" off the end of a line.
func redirection(line string) (rest, target string, appending bool) {
	rest = strings.TrimSpace(line)
	rest = strings.TrimSpace(strings.TrimSuffix(rest, "2>&1"))
	quoted, at := false, -1
	for i := range len(rest) {
		switch rest[i] {
		case '"':
			quoted = !quoted
		case '>':
			if !quoted && at < 0 {
				at = i
			}
		}
	}
	if at < 0 {
		return rest, "", false
	}
	command := rest[:at]
	target = rest[at+1:]
	if strings.HasPrefix(target, ">") {
		appending = true
		target = target[1:]
	}
	command = strings.TrimSuffix(strings.TrimSuffix(command, "2"), "1")
	return strings.TrimRight(command, " "), strings.Trim(strings.TrimSpace(target), `"`), appending
}

// outputFile is a file on the guest that takes a program's output.
type outputFile struct {
	process *process
	path    string
}

// Write implements io.Writer. What a program writes after its end is lost.
func (f *outputFile) Write(data []byte) (int, error) {
	f.process.do(func(g *Guest) {
		if g.disk.file(f.path) != nil {
			g.disk.extend(f.path, data)
		}
	})
	return len(data), nil
}

// openOutput makes or empties the file that a redirection names.
func (p *process) openOutput(target string, appending bool) (file io.Writer, ok bool) {
	p.do(func(g *Guest) {
		path := g.expand(target)
		if !absolute(path) {
			path = clean(p.folder + `\` + path)
		}
		if up := g.disk.find(parent(clean(path))); up == nil || !up.folder {
			return
		}
		if !appending {
			_, _ = g.disk.remove(path, false)
		}
		g.disk.extend(path, nil)
		file, ok = &outputFile{process: p, path: path}, true
	})
	return file, ok
}

// firstWord splits a line behind its first word, which may be quoted.
func firstWord(line string) (head, rest string) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, `"`) {
		head, rest, _ = strings.Cut(line[1:], `"`)
		return head, strings.TrimSpace(rest)
	}
	head, rest, _ = strings.Cut(line, " ")
	return head, strings.TrimSpace(rest)
}

// windowsVersion returns the version as cmd.exe shows it.
func (g *Guest) windowsVersion() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	version := g.hive.text(versionKey, "CurrentBuildNumber")
	if revision := g.hive.text(versionKey, "UBR"); revision != "" {
		version += "." + revision
	}
	major := g.hive.text(versionKey, "CurrentMajorVersionNumber")
	if major == "" {
		return g.hive.text(versionKey, "CurrentVersion") + "." + version
	}
	return major + "." + g.hive.text(versionKey, "CurrentMinorVersionNumber") + "." + version
}

// runReg is reg.exe add, delete and query.
func runReg(p *process) int {
	words := splitLine(p.arguments)
	if len(words) < 2 {
		return cannotRun(p)
	}
	verb, key := strings.ToLower(words[0]), words[1]
	name, kind, data, named := "", "REG_SZ", "", false
	for i := 2; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch strings.ToLower(words[i]) {
		case "/v":
			name, named = next, true
			i++
		case "/t":
			kind = strings.ToUpper(next)
			i++
		case "/d":
			data = next
			i++
		case "/ve":
			named = true
		}
	}
	code := 0
	p.do(func(g *Guest) {
		if _, ok := g.hive.resolve(key); !ok {
			code = 1
			return
		}
		switch verb {
		case "add":
			if !named {
				g.hive.make(key)
				return
			}
			g.hive.write(key, name, regValue(kind, data))
		case "delete":
			if named && !g.hive.deleteValue(key, name) || !named && !g.hive.deleteKey(key) {
				code = 1
			}
		case "query":
			value := g.hive.read(key, name)
			if named && !value.Exists || g.hive.key(key) == nil {
				code = 1
				return
			}
			if named && p.stdout != nil {
				_, _ = io.WriteString(p.stdout, "\r\n    "+value.Name+"    "+value.Text+"\r\n")
			}
		default:
			code = 1
		}
	})
	if code != 0 {
		p.complain("ERROR: The system was unable to find the specified registry key or value.")
		return code
	}
	p.say("The operation completed successfully.")
	return 0
}

// regValue turns reg.exe's type and data into a value.
func regValue(kind, data string) guest.Value {
	switch kind {
	case "REG_DWORD", "REG_QWORD":
		number, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(data), "0x"), numberBase(data), 64)
		if err != nil {
			number = 0
		}
		text := strconv.FormatUint(number, 10)
		if kind == "REG_QWORD" {
			return guest.Value{Exists: true, Kind: guest.KindQWord, Text: text}
		}
		return Word(text)
	case "REG_EXPAND_SZ":
		return Expandable(data)
	case "REG_MULTI_SZ":
		return Texts(strings.Split(data, `\0`)...)
	}
	return Text(data)
}

func numberBase(data string) int {
	if strings.HasPrefix(strings.ToLower(data), "0x") {
		return 16
	}
	return 10
}
