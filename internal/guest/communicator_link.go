package guest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// OverCommunicator is a link over Packer's communicator, for connections by
// SSH and where there is no direct way to the guest.
//
// The communicator has no stdin: each exchange uploads one file with script
// and requests into folder, and runs a process that reads it. It knows no
// contexts either: a command that hangs is left behind. It must not be asked
// any more once the guest has been sealed.
func OverCommunicator(comm packersdk.Communicator, folder string) Link {
	var word [8]byte
	_, _ = rand.Read(word[:])
	return &communicatorLink{comm: comm, prefix: folder + `\ec2-sysprep-` + hex.EncodeToString(word[:]) + "-"}
}

type communicatorLink struct {
	comm packersdk.Communicator
	// prefix begins the names of the files with script and requests, one for
	// each exchange, because an earlier process may still read its own.
	prefix string

	mu        sync.Mutex
	exchanges int
	lost      bool
	lifetime  context.Context
}

// Leftovers is the wildcard of the files that the link leaves on the guest
// when it cannot delete them by itself any more.
func (l *communicatorLink) Leftovers() string { return l.prefix + "*.txt" }

// Listens implements Link.
func (l *communicatorLink) Listens() bool { return false }

// Interrupt implements Link.
func (l *communicatorLink) Interrupt(context.Context) error {
	return errors.New("a guest behind Packer's communicator cannot be interrupted")
}

// Abandon makes Close leave the guest alone. What the link left there is for
// the sealer to delete, see Leftovers.
func (l *communicatorLink) Abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

// Drop implements Link. Every exchange has a process of its own, so there is
// nothing to forget.
func (l *communicatorLink) Drop() {}

// uploadLimit bounds one upload. Packer's WinRM upload starts several processes.
const uploadLimit = 5 * time.Minute

// Exchange implements Link.
func (l *communicatorLink) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	body := append(Preamble(), requests...)
	l.mu.Lock()
	l.exchanges++
	l.lost = false
	l.lifetime = context.WithoutCancel(ctx)
	path := fmt.Sprintf("%s%d.txt", l.prefix, l.exchanges)
	l.mu.Unlock()
	err := l.abandonable(ctx, uploadLimit, func() error {
		return l.comm.Upload(path, bytes.NewReader(body), nil)
	})
	if err != nil {
		return l.broken(ctx, fmt.Errorf("uploading the requests: %w", err))
	}

	output, input := io.Pipe()
	var errorsText tail
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	command := &packersdk.RemoteCmd{Command: BootstrapFromFile(path), Stdout: input, Stderr: &errorsText}
	go func() {
		// The communicator is given a context that ends only with the plugin:
		// over RPC it would not see another one, and locally a cancelled one
		// makes some communicators wait.
		err := l.comm.Start(context.WithoutCancel(ctx), command)
		code := 0
		if err == nil {
			// Only a command that started may be asked for its end.
			code = command.Wait()
		}
		ended <- end{code, err}
		_ = input.Close()
	}()
	lines := make(chan []byte)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(lines)
		reader := bufio.NewReaderSize(output, 64<<10)
		for {
			line, err := reader.ReadBytes('\n')
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-stop:
				// The command may go on printing: nobody must block it.
				_, _ = io.Copy(io.Discard, reader)
				return
			}
		}
	}()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				e := <-ended
				if e.err != nil {
					return l.broken(ctx, e.err)
				}
				return &EndedError{Code: e.code, Output: errorsText.text()}
			}
			if each(line) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// abandonable runs do and gives up on it when ctx ends or the limit is over.
func (l *communicatorLink) abandonable(ctx context.Context, limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("no answer within %s", limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *communicatorLink) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.mu.Lock()
	l.lost = true
	l.mu.Unlock()
	return &LostError{Err: err}
}

// Close implements Link: it deletes the file with the requests, unless the
// guest was lost.
func (l *communicatorLink) Close() error {
	l.mu.Lock()
	idle, lifetime := l.exchanges == 0 || l.lost, l.lifetime
	l.mu.Unlock()
	if idle {
		return nil
	}
	// A few seconds are enough, or the guest is gone.
	timer := time.NewTimer(closeLimit)
	defer timer.Stop()
	done := make(chan error, 1)
	go func() {
		command := &packersdk.RemoteCmd{Command: `cmd.exe /d /c del /q "` + l.Leftovers() + `"`, Stdout: io.Discard, Stderr: io.Discard}
		ctx, cancel := context.WithTimeout(lifetime, time.Minute)
		defer cancel()
		err := l.comm.Start(ctx, command)
		if err == nil {
			command.Wait()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errors.New("the guest did not answer")
	}
}
