package guest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// programLink is a link to a PowerShell of this machine.
type programLink struct {
	program string

	command *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	errors  strings.Builder
}

func (l *programLink) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	text := requests
	if l.command == nil {
		if err := l.start(ctx); err != nil {
			return err
		}
		text = append(guest.Preamble(), requests...)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := l.stdin.Write(text)
		sent <- err
	}()
	for {
		line, err := l.stdout.ReadBytes('\n')
		if err != nil {
			return &guest.EndedError{Code: l.end(), Output: l.errors.String()}
		}
		if each(line) {
			return <-sent
		}
	}
}

func (l *programLink) start(ctx context.Context) error {
	words := strings.Fields(guest.Bootstrap())
	// The process outlives the test that starts it.
	//nolint:gosec // the program is a PowerShell on PATH
	l.command = exec.CommandContext(context.WithoutCancel(ctx), l.program, words[1:]...)
	l.command.Stderr = &l.errors
	var err error
	if l.stdin, err = l.command.StdinPipe(); err != nil {
		return err
	}
	stdout, err := l.command.StdoutPipe()
	if err != nil {
		return err
	}
	l.stdout = bufio.NewReaderSize(stdout, 64<<10)
	return l.command.Start()
}

func (l *programLink) end() int {
	if l.command == nil {
		return 0
	}
	_ = l.stdin.Close()
	err := l.command.Wait()
	l.command = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func (l *programLink) Listens() bool { return true }

func (l *programLink) Interrupt(context.Context) error {
	_, err := l.stdin.Write([]byte(guest.Interrupt))
	return err
}

func (l *programLink) Drop() {
	if l.command != nil {
		_ = l.command.Process.Kill()
		l.end()
	}
}

func (l *programLink) Close() error {
	l.end()
	return nil
}
