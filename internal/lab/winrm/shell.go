package winrm

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

const (
	// cmdLimit is the longest command line that cmd.exe takes, in UTF-16
	// units.
	cmdLimit = 8191
	// createProcessLimit is the longest that CreateProcess takes.
	createProcessLimit = 32767
	// exitInterrupted is STATUS_CONTROL_C_EXIT.
	exitInterrupted = 0xC000013A
)

// shell is one remote shell: winrshost.exe and the job that holds its
// commands.
type shell struct {
	server        *Server
	id, user      string
	inputStreams  string
	outputStreams string
	environment   map[string]string
	directory     string
	noProfile     bool
	codePage      int
	idleTimeout   time.Duration

	mu         sync.Mutex
	processes  map[string]*process
	operations int
	closed     bool
	busy       int         // requests under way
	idle       *time.Timer // fires when nobody asked for anything in idleTimeout
}

// process is one command of a shell.
type process struct {
	id     string
	ctx    context.Context
	cancel context.CancelCauseFunc
	stdin  *inputPipe
	out    *outputQueue
}

// enter says that a request for the shell begins; the shell is not idle until
// leave.
func (s *shell) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy++
	if s.idle != nil {
		s.idle.Stop()
	}
}

func (s *shell) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if s.busy == 0 && s.idle != nil && !s.closed {
		s.idle.Reset(s.server.config.Clock.Real(s.idleTimeout))
	}
}

// start begins a command. The error is a *Fault.
func (s *shell) start(r *request) (*process, error) {
	skip := strings.EqualFold(r.options["WINRS_SKIP_CMD_SHELL"], "TRUE")
	units := len(utf16.Encode([]rune(r.command.line)))
	if units > createProcessLimit {
		return nil, faultNameTooLong()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, FaultShellNotFound(s.id)
	}
	limit := s.server.config.MaxOperationsPerShell
	if limit > 0 && s.operations >= limit {
		return nil, faultOperationsQuota(limit)
	}
	// Windows never counts down for the commands of a text shell.
	s.operations++

	id := r.command.id
	if id == "" {
		id = newID()
	}
	ctx, cancel := context.WithCancelCause(s.server.ctx)
	p := &process{
		id: id, ctx: ctx, cancel: cancel,
		stdin: &inputPipe{limit: s.server.config.StdinBuffer},
		out:   &outputQueue{limit: s.server.config.OutputBuffer, maxPiece: s.server.config.MaxPiece},
	}
	s.processes[id] = p
	command := &Command{
		Line: r.command.line, User: s.user, SkipCmdShell: skip,
		ConsoleModeStdin: strings.EqualFold(r.options["WINRS_CONSOLEMODE_STDIN"], "TRUE"),
		NoProfile:        s.noProfile, CodePage: s.codePage, Environment: s.environment, WorkingDirectory: s.directory,
		Stdin: p.stdin, Stdout: streamWriter{p.out, "stdout"}, Stderr: streamWriter{p.out, "stderr"},
	}
	s.server.count(func(stats *Stats) { stats.Commands++; stats.Running++ })
	s.server.work.Add(1)
	go s.run(p, command, units)
	return p, nil
}

// run is the life of one process.
func (s *shell) run(p *process, command *Command, units int) {
	defer s.server.work.Done()
	defer s.server.count(func(stats *Stats) { stats.Running-- })
	stop := context.AfterFunc(p.ctx, func() {
		p.stdin.breakUp()
		switch cause := context.Cause(p.ctx); {
		case errors.Is(cause, ErrInterrupted):
			p.out.finish(exitInterrupted)
		default:
			p.out.abort(FaultAborted())
		}
	})
	defer stop()

	if delay := s.server.delays().ProcessStart; delay != nil {
		if err := s.server.config.Clock.Wait(p.ctx, delay(command.Line)); err != nil {
			return
		}
	}
	exitCode := 1
	if !command.SkipCmdShell && units > cmdLimit {
		// A write fails only when nobody can read it any more.
		_, _ = command.Stderr.Write([]byte("The command line is too long.\r\n"))
	} else {
		exitCode = s.server.config.Windows.Run(p.ctx, command)
	}
	p.stdin.breakUp()
	if p.ctx.Err() == nil {
		p.out.finish(uint32(exitCode)) //nolint:gosec // a DWORD, however it is written
	}
}

// process finds a command by its id. The error is a *Fault.
func (s *shell) process(id string) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processes[id]
	if p == nil {
		return nil, FaultCommandNotFound(id)
	}
	return p, nil
}

// signal delivers a signal; a command that is not there is no error.
func (s *shell) signal(id, code string) error {
	s.mu.Lock()
	p := s.processes[id]
	s.mu.Unlock()
	switch kind := code[strings.LastIndex(code, "/")+1:]; strings.ToLower(kind) {
	case "terminate":
		if p != nil {
			p.cancel(ErrTerminated)
			s.mu.Lock()
			delete(s.processes, id)
			s.mu.Unlock()
		}
	case "ctrl_c", "ctrl_break":
		if p != nil {
			p.cancel(ErrInterrupted)
		}
	default:
		return faultSchema("unknown signal " + strconv.Quote(kind))
	}
	return nil
}

// close ends the shell and everything in it.
func (s *shell) close(cause error) {
	s.mu.Lock()
	s.closed = true
	if s.idle != nil {
		s.idle.Stop()
	}
	processes := s.processes
	s.processes = map[string]*process{}
	s.mu.Unlock()
	for _, p := range processes {
		p.cancel(cause)
	}
}
