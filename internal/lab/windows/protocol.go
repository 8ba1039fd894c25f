package windows

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// converse is powershell.exe with the plugin's bootstrap: it reads the text of
// guest.ps1, and then answers requests until stdin ends.
func (p *process) converse(stdin io.Reader) int {
	if code, refused := p.refuse(); refused {
		return code
	}
	if stdin == nil {
		stdin = emptyInput{}
	}
	in := newInput(p.ctx, stdin)
	defer in.close()
	if !p.readScript(in) {
		return 1
	}
	g := p.guest
	g.mu.Lock()
	child := &process{file: `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, name: "powershell", user: p.user, stdout: p.stdout, stderr: p.stderr}
	if g.boot != p.boot {
		g.mu.Unlock()
		return killedCode
	}
	if strings.EqualFold(p.name, "powershell") {
		child = p
	} else {
		g.enter(p.ctx, child)
	}
	g.mu.Unlock()
	code := child.answerAll(in)
	if child != p {
		child.leave(code)
	}
	return code
}

// converseFromFile is the bootstrap that reads text and requests from a file.
func (p *process) converseFromFile(path string) int {
	var data []byte
	there := false
	p.do(func(g *Guest) {
		if n := g.disk.file(path); n != nil {
			data, there = n.data, true
		}
	})
	if !there {
		p.complain("Exception calling \"OpenRead\" with \"1\" argument(s): \"Could not find file '" + path + "'.\"")
		return 1
	}
	return p.converse(bytes.NewReader(data))
}

// refuse is what the bootstrap says where PowerShell cannot run the protocol.
func (p *process) refuse() (code int, refused bool) {
	m := &p.guest.machine
	major, _, _ := strings.Cut(m.PowerShell, ".")
	if n, err := strconv.Atoi(major); m.Language == "FullLanguage" && err == nil && n >= 3 {
		return 0, false
	}
	p.say(guest.RefusedPrefix + m.Language + " " + m.PowerShell)
	return 3, true
}

// readScript reads the text up to its end and checks that it is guest.ps1.
func (p *process) readScript(in *input) bool {
	var text strings.Builder
	for {
		line, err := in.line()
		if err != nil {
			break
		}
		line = strings.TrimSuffix(line, "\r")
		if line == guest.EndOfScript {
			break
		}
		text.WriteString(line + "\n")
	}
	wanted := strings.ReplaceAll(guest.Script, "\r\n", "\n")
	if !strings.HasSuffix(wanted, "\n") {
		wanted += "\n"
	}
	if text.String() == wanted {
		return true
	}
	p.complain("the lab cannot run this command: powershell.exe with a script that is not the plugin's guest.ps1: " + firstLine(text.String()))
	return false
}

// answerAll answers one request a line.
func (p *process) answerAll(in *input) int {
	for {
		line, err := in.line()
		if err != nil {
			if p.ctx.Err() != nil {
				return killedCode
			}
			return 0
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		reply := p.answerLine(in, []byte(line))
		if p.ctx.Err() != nil || p.send(reply) != nil {
			return killedCode
		}
	}
}

func (p *process) send(reply guest.Reply) error {
	line, err := guest.EncodeReply(reply)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(line)
	return err
}

func (p *process) answerLine(in *input, line []byte) guest.Reply {
	var request guest.Request
	if err := json.Unmarshal(line, &request); err != nil {
		return guest.Reply{Error: &guest.CallError{Kind: guest.KindFailed, Message: "Invalid JSON primitive: " + err.Error()}}
	}
	reply := guest.Reply{ID: request.ID, Answers: []json.RawMessage{}}
	for _, call := range request.Calls {
		answer, err := p.answer(in, request.ID, call)
		if err != nil {
			answer = refused{asCallError(err)}
		}
		data, err := json.Marshal(answer)
		if err != nil {
			return guest.Reply{ID: request.ID, Error: asCallError(err)}
		}
		reply.Answers = append(reply.Answers, data)
	}
	return reply
}

// refused is the answer of a call that failed.
type refused struct {
	Error *guest.CallError `json:"error"`
}

func asCallError(err error) *guest.CallError {
	var call *guest.CallError
	if errors.As(err, &call) {
		return call
	}
	return &guest.CallError{Kind: guest.KindFailed, Message: err.Error()}
}

// answer carries out one call.
func (p *process) answer(in *input, id int64, call guest.RawCall) (any, error) {
	switch call.Op {
	case "hello":
		return p.hello()
	case "registry.read":
		return answerWith(p, call, (*Guest).registryRead)
	case "registry.write":
		return answerWith(p, call, (*Guest).registryWrite)
	case "registry.delete":
		return answerWith(p, call, (*Guest).registryDelete)
	case "file.stat":
		return answerWith(p, call, (*Guest).fileStat)
	case "file.list":
		return answerWith(p, call, (*Guest).fileList)
	case "file.read":
		return answerWith(p, call, (*Guest).fileRead)
	case "file.write":
		return answerWith(p, call, (*Guest).fileWrite)
	case "file.move":
		return answerWith(p, call, (*Guest).fileMove)
	case "file.delete":
		return answerWith(p, call, (*Guest).fileDelete)
	case "folder":
		return answerWith(p, call, (*Guest).folder)
	case "cim":
		return answerWith(p, call, (*Guest).query)
	case "processes":
		return answerWith(p, call, (*Guest).processes)
	case "installed":
		return answerWith(p, call, (*Guest).installed)
	case "winrm":
		return answerWith(p, call, (*Guest).exposure)
	case "run":
		return decoded(call, p.run)
	case "start":
		return decoded(call, p.startDetached)
	case "metadata":
		return decoded(call, p.metadata)
	case "follow":
		return decoded(call, func(args guest.FollowArgs) (any, error) { return p.follow(in, id, args) })
	}
	return nil, invalid("unknown call " + call.Op)
}

// decoded reads a call's arguments and carries it out.
func decoded[A any](call guest.RawCall, act func(A) (any, error)) (any, error) {
	var args A
	if err := json.Unmarshal(call.Args, &args); err != nil {
		return nil, failed("reading the arguments of " + call.Op + ": " + err.Error())
	}
	return act(args)
}

// answerWith carries a call out with the guest's lock held.
func answerWith[A any](p *process, call guest.RawCall, act func(*Guest, A) (any, error)) (any, error) {
	return decoded(call, func(args A) (answer any, err error) {
		if slow := time.Duration(p.guest.machine.SlowWhileGeneralizing); slow > 0 && p.generalizing() && !p.wait(slow) {
			return nil, failed("the machine went off")
		}
		if !p.do(func(g *Guest) { answer, err = act(g, args) }) {
			return nil, failed("the process was ended")
		}
		return answer, err
	})
}

func (p *process) generalizing() (yes bool) {
	p.do(func(g *Guest) { yes = len(g.named("sysprep")) > 0 })
	return yes
}

// input is stdin as PowerShell's StreamReader and a read of its base stream
// see it: bytes that came together with a line are in the reader's buffer,
// and a read of the base stream that is still pending takes the first byte of
// what comes next.
type input struct {
	ctx     context.Context
	chunks  chan []byte
	stop    chan struct{}
	buffer  []byte
	pending int
	ended   bool
}

func newInput(ctx context.Context, r io.Reader) *input {
	in := &input{ctx: ctx, chunks: make(chan []byte), stop: make(chan struct{})}
	go func() {
		defer close(in.chunks)
		for {
			chunk := make([]byte, 64<<10)
			n, err := r.Read(chunk)
			if n > 0 {
				select {
				case in.chunks <- chunk[:n]:
				case <-in.stop:
					return
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return in
}

func (in *input) close() { close(in.stop) }

// line returns the next line without its end.
func (in *input) line() (string, error) {
	for {
		if at := bytes.IndexByte(in.buffer, '\n'); at >= 0 {
			line := string(in.buffer[:at])
			in.buffer = in.buffer[at+1:]
			return strings.TrimSuffix(line, "\r"), nil
		}
		if in.ended {
			if len(in.buffer) > 0 {
				line := string(in.buffer)
				in.buffer = nil
				return line, nil
			}
			return "", io.EOF
		}
		select {
		case chunk, ok := <-in.chunks:
			if !ok {
				in.ended = true
				continue
			}
			eaten := min(in.pending, len(chunk))
			in.pending -= eaten
			in.buffer = append(in.buffer, chunk[eaten:]...)
		case <-in.ctx.Done():
			return "", in.ctx.Err()
		}
	}
}

// listen begins a read of one byte that nobody waits for.
func (in *input) listen() { in.pending++ }

// heard says whether that read has ended.
func (in *input) heard() bool {
	if in.ended {
		in.pending = 0
		return true
	}
	select {
	case chunk, ok := <-in.chunks:
		if !ok {
			in.ended = true
			in.pending = 0
			return true
		}
		eaten := min(in.pending, len(chunk))
		in.pending -= eaten
		in.buffer = append(in.buffer, chunk[eaten:]...)
		return true
	default:
		return false
	}
}
