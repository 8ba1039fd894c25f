package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
)

// closeLimit is how long ending a guest's process may take: the request that
// ends it is tried, not insisted upon.
const closeLimit = time.Second

// OverWinRM is a link over a WinRM connection of our own. One process on the
// guest lives from the first exchange to Close or Drop.
func OverWinRM(client *direct.Client) Link {
	return &winrmLink{client: client}
}

type winrmLink struct {
	client *direct.Client

	mu      sync.Mutex
	current *conversation
}

// conversation is a process on the guest with its output cut into lines.
type conversation struct {
	process *direct.Process
	cancel  context.CancelFunc
	lines   chan []byte
	// ended is closed after err has been set.
	ended chan struct{}
	err   error
	// stop is closed when nobody reads lines any more.
	stop    chan struct{}
	fresh   bool
	stderr  tail
	readers sync.WaitGroup
}

// Listens implements Link.
func (l *winrmLink) Listens() bool { return true }

// Exchange implements Link.
func (l *winrmLink) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	c, err := l.conversation(ctx)
	if err != nil {
		return err
	}
	text := requests
	if c.fresh {
		text = append(Preamble(), requests...)
		c.fresh = false
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.process.Write(text)
		sent <- err
	}()
	for {
		select {
		case line := <-c.lines:
			if each(line) {
				return nil
			}
		case err := <-sent:
			if err != nil {
				return c.failed(ctx, err, each)
			}
			sent = nil
		case <-c.ended:
			// What had been read before the end still counts.
			select {
			case line := <-c.lines:
				if each(line) {
					return nil
				}
				continue
			default:
			}
			l.Drop()
			return c.err
		case <-ctx.Done():
			l.Drop()
			return ctx.Err()
		}
	}
}

// failed names the reason for a write that failed: what the process printed
// before its end, and the end itself, say more than the broken pipe. It returns
// nil when each was satisfied by a last line.
func (c *conversation) failed(ctx context.Context, err error, each func([]byte) bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	for {
		select {
		case line := <-c.lines:
			if each(line) {
				return nil
			}
		case <-c.ended:
			var ended *EndedError
			if errors.As(c.err, &ended) {
				return c.err
			}
			return &LostError{Err: err}
		case <-timer.C:
			return &LostError{Err: err}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// conversation returns the running process, or starts one.
func (l *winrmLink) conversation(ctx context.Context) (*conversation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		return l.current, nil
	}
	// The process outlives the exchange that starts it.
	lifetime, cancel := context.WithCancel(context.WithoutCancel(ctx))
	starting := context.AfterFunc(ctx, cancel)
	process, err := l.client.Start(lifetime, Bootstrap())
	if !starting() && err == nil {
		err = ctx.Err()
		_ = process.Close(closeLimit)
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &LostError{Err: err}
	}
	c := &conversation{
		process: process, cancel: cancel, fresh: true,
		lines: make(chan []byte), ended: make(chan struct{}), stop: make(chan struct{}),
	}
	c.readers.Add(1)
	go func() {
		defer c.readers.Done()
		_, _ = io.Copy(&c.stderr, process.Stderr())
	}()
	go c.read(lifetime)
	l.current = c
	return c, nil
}

// read cuts the output into lines until it ends.
func (c *conversation) read(ctx context.Context) {
	reader := bufio.NewReaderSize(c.process.Stdout(), 64<<10)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 && err == nil {
			select {
			case c.lines <- line:
			case <-c.stop:
				err = context.Canceled
			}
		}
		if err != nil {
			c.err = c.reason(ctx, err)
			close(c.ended)
			return
		}
	}
}

func (c *conversation) reason(ctx context.Context, err error) error {
	if !errors.Is(err, io.EOF) {
		return &LostError{Err: err}
	}
	code, err := c.process.Wait(ctx)
	if err != nil {
		return &LostError{Err: err}
	}
	c.readers.Wait()
	return &EndedError{Code: code, Output: c.stderr.text()}
}

// Interrupt implements Link.
func (l *winrmLink) Interrupt(ctx context.Context) error {
	l.mu.Lock()
	c := l.current
	l.mu.Unlock()
	if c == nil {
		return &LostError{Err: errors.New("there is no conversation to interrupt")}
	}
	if _, err := c.process.Write([]byte(Interrupt)); err != nil {
		return c.failed(ctx, err, func([]byte) bool { return false })
	}
	return nil
}

// Drop implements Link.
func (l *winrmLink) Drop() {
	l.mu.Lock()
	c := l.current
	l.current = nil
	l.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// Close implements Link.
func (l *winrmLink) Close() error {
	l.Drop()
	l.client.Close()
	return nil
}

func (c *conversation) close() {
	close(c.stop)
	_ = c.process.Close(closeLimit)
	c.cancel()
	<-c.ended
}

// tail keeps the last 4 KiB of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > tailSize {
		t.data = append([]byte(nil), t.data[len(t.data)-tailSize:]...)
	}
	return len(p), nil
}

// text returns what was written, for a message: PowerShell's CLIXML is reduced
// to its error texts.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return plainErrors(t.data)
}

// plainErrors takes the error texts out of CLIXML, in which PowerShell writes
// its error stream when it is not a console: each <S S="Error"> is a line.
func plainErrors(data []byte) string {
	text := string(bytes.TrimSpace(data))
	if !strings.Contains(text, "<Objs ") {
		return text
	}
	var out strings.Builder
	for _, part := range strings.Split(text, `<S S="Error">`)[1:] {
		part, _, _ = strings.Cut(part, "</S>")
		out.WriteString(part)
	}
	replacer := strings.NewReplacer("_x000D_", "", "_x000A_", " ", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")
	return strings.TrimSpace(replacer.Replace(out.String()))
}
