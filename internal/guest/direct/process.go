package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// unread is how many bytes of output may wait for their reader before
	// no more are fetched.
	unread = 8 << 20
	// emptyPause keeps a listener that answers at once with nothing from
	// being asked without end.
	emptyPause = 200 * time.Millisecond
)

// Process is one command in a shell of its own. Its methods may be used by
// several goroutines.
type Process struct {
	client *Client
	shell  string
	id     string
	ctx    context.Context // ends with Start's, with the session, or by Close
	cancel context.CancelCauseFunc

	stdout, stderr *buffer

	writing sync.Mutex
	ended   bool // the end of stdin was sent

	done     chan struct{} // closed after the last Receive; then these are set:
	exitCode int
	err      error

	closing  sync.Once
	closeErr error
}

var errClosed = errors.New("the process was closed")

// Start opens a shell and runs one command line in it, through cmd.exe with
// its 8191 characters. ctx governs the process as a whole: when it ends, every
// method returns at once with its error, and [Process.Close] is still to be
// called. The command line shows up in the guest's logs: no secrets.
func (c *Client) Start(ctx context.Context, command string) (*Process, error) {
	if err := checkCommand(command); err != nil {
		return nil, describe("Command", err)
	}
	message, err := createMessage(c.url, c.operationTimeout())
	if err != nil {
		return nil, describe("Create", err)
	}
	a, err := c.ask(ctx, "Create", message, c.opts.ActionTimeout)
	if err != nil {
		return nil, err
	}
	shell, err := a.shellID()
	if err != nil {
		return nil, describe("Create", err)
	}
	c.count(func(s *Stats) { s.Shells++ })
	c.reap(ctx)
	id, err := c.command(ctx, shell, command)
	if err != nil {
		c.deleteShell(ctx, shell, err)
		return nil, err
	}
	c.count(func(s *Stats) { s.Processes++ })
	p := &Process{client: c, shell: shell, id: id, stdout: newBuffer(), stderr: newBuffer(), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	go p.poll()
	return p, nil
}

func (c *Client) command(ctx context.Context, shell, command string) (string, error) {
	message, err := commandMessage(c.url, shell, command, c.operationTimeout())
	if err != nil {
		return "", describe("Command", err)
	}
	a, err := c.ask(ctx, "Command", message, c.opts.ActionTimeout)
	if err != nil {
		return "", err
	}
	id, err := a.commandID()
	if err != nil {
		return "", describe("Command", err)
	}
	return id, nil
}

// deleteShell tidies up after a command that could not be started.
func (c *Client) deleteShell(ctx context.Context, shell string, cause error) {
	var fault *Fault
	if !errors.As(cause, &fault) {
		c.abandon(shell)
		return
	}
	// The cause is what the caller is told; the shell has an idle timeout.
	_, _ = c.ask(ctx, "Delete", deleteMessage(c.url, shell, c.operationTimeout()), reapLimit)
}

// Stdout returns the command's output, in order. It ends with io.EOF when the
// command has ended, and with the reason when the session was lost. Output
// that nobody reads holds the guest's process up after 8 MiB.
func (p *Process) Stdout() io.Reader { return p.stdout }

// Stderr is the same for standard error. PowerShell writes CLIXML to it.
func (p *Process) Stderr() io.Reader { return p.stderr }

// Write sends bytes to the command's standard input: one request for every
// 111,000 bytes, and never one without bytes. When it fails the number of
// bytes that have arrived may be greater than n.
func (p *Process) Write(b []byte) (n int, err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.ended {
		return 0, io.ErrClosedPipe
	}
	for len(b) > 0 {
		size := min(len(b), inputSize)
		if err := p.send(b[:size], false); err != nil {
			return n, err
		}
		b, n = b[size:], n+size
	}
	return n, nil
}

// CloseStdin sends the end of standard input.
func (p *Process) CloseStdin() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.ended {
		return nil
	}
	p.ended = true
	return p.send(nil, true)
}

// send is one Send. A guest that is slow to take its input answers with a
// timeout although it has the bytes: sending them again would double them, so
// that counts as sent and the reader on the guest decides.
func (p *Process) send(b []byte, end bool) error {
	select {
	case <-p.done:
		if p.err != nil {
			return p.err
		}
		return fmt.Errorf("winrm Send: the command has ended with exit code %d: %w", p.exitCode, io.ErrClosedPipe)
	default:
	}
	timeout := p.client.operationTimeout()
	_, err := p.client.ask(p.ctx, "Send", sendMessage(p.client.url, p.shell, p.id, b, end, timeout), p.client.opts.ActionTimeout)
	var fault *Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault) && fault.Code == codeTimedOut:
		return nil
	case errors.As(err, &fault) && pipeEnded[fault.Code]:
		return fmt.Errorf("%w: %w", io.ErrClosedPipe, err)
	}
	return p.lost(err)
}

// pipeEnded are the codes with which a command that reads no more answers.
var pipeEnded = map[uint32]bool{109: true, 232: true, 2147942509: true, 2147942632: true}

// lost makes a failure the process's last word and returns it, or the one
// that came before.
func (p *Process) lost(err error) error {
	if Classify(err) != LossCancelled {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	p.cancel(err)
	return p.cause()
}

// cause is why the process's context has ended.
func (p *Process) cause() error { return context.Cause(p.ctx) }

// poll fetches the output until the command or the session ends.
func (p *Process) poll() {
	exitCode, err := p.fetch()
	p.exitCode, p.err = exitCode, err
	end := io.EOF
	if err != nil {
		end = err
	}
	p.stdout.end(end)
	p.stderr.end(end)
	close(p.done)
}

func (p *Process) fetch() (exitCode int, err error) {
	wait := p.client.opts.PollTimeout
	message := func() string { return receiveMessage(p.client.url, p.shell, p.id, wait) }
	for {
		began := time.Now()
		a, err := p.client.ask(p.ctx, "Receive", message(), wait+pollGrace)
		var fault *Fault
		if errors.As(err, &fault) && fault.Code == codeTimedOut {
			if err := p.pause(began); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, p.lost(err)
		}
		r, err := a.received()
		if err != nil {
			return 0, p.lost(&ExchangeError{Action: "Receive", Loss: LossNotWinRM, HTTPStatus: 200, Err: err})
		}
		for _, chunk := range r.chunks {
			to := p.stdout
			if chunk.stderr {
				to = p.stderr
			}
			if err := to.put(p.ctx, chunk.data); err != nil {
				return 0, p.cause()
			}
		}
		if r.done {
			return r.exitCode, nil
		}
		if len(r.chunks) == 0 {
			if err := p.pause(began); err != nil {
				return 0, err
			}
		}
	}
}

// pause waits a little when an answer without output came at once.
func (p *Process) pause(began time.Time) error {
	if time.Since(began) >= emptyPause {
		return nil
	}
	timer := time.NewTimer(emptyPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return p.cause()
	}
}

// Wait returns the command's exit code once it has ended and its output has
// been fetched: a DWORD, 0 to 4294967295 (on a 32-bit platform the upper half
// is negative). Its error is ctx's, or the reason why the session was lost.
func (p *Process) Wait(ctx context.Context) (exitCode int, err error) {
	select {
	case <-p.done:
		return p.exitCode, p.err
	default:
	}
	select {
	case <-p.done:
		return p.exitCode, p.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Close terminates the command if it still runs and deletes its shell, within
// limit and also when Start's context has ended. A session that was lost is
// not asked any more: its shell is deleted by the client's next Start. Closing
// twice is the same as closing once.
func (p *Process) Close(limit time.Duration) error {
	p.closing.Do(func() {
		p.cancel(errClosed)
		<-p.done
		p.closeErr = p.tidy(limit)
	})
	return p.closeErr
}

func (p *Process) tidy(limit time.Duration) error {
	if errors.Is(p.err, ErrLost) {
		p.client.abandon(p.shell)
		return p.err
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(p.ctx), limit, errNoAnswer)
	defer cancel()
	_, err := p.client.ask(ctx, "Signal", terminateMessage(p.client.url, p.shell, p.id, limit), limit)
	if err == nil || isFault(err) {
		_, err = p.client.ask(ctx, "Delete", deleteMessage(p.client.url, p.shell, limit), limit)
	}
	switch {
	case err == nil, Classify(err) == LossShellGone:
		return nil
	case !isFault(err):
		p.client.abandon(p.shell)
	}
	return fmt.Errorf("closing the WinRM shell: %w", err)
}

func isFault(err error) bool {
	var fault *Fault
	return errors.As(err, &fault)
}
