package direct_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

const (
	user     = "Administrator"
	password = "c0rrect-Horse!battery"
)

// machine is a Windows with a handful of programs.
type machine struct {
	mu       sync.Mutex
	locked   bool // nobody may log on
	commands []winrm.Command
	started  chan string // a line for each program that has begun
	ended    chan error  // the cause of each program that was ended from outside
}

func newMachine() *machine {
	return &machine{started: make(chan string, 100), ended: make(chan error, 100)}
}

func (m *machine) Password(name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return password, strings.EqualFold(name, user) && !m.locked
}

func (m *machine) lock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = true
}

func (m *machine) seen() []winrm.Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]winrm.Command(nil), m.commands...)
}

func (m *machine) Run(ctx context.Context, c *winrm.Command) int {
	m.mu.Lock()
	m.commands = append(m.commands, *c)
	m.mu.Unlock()
	m.started <- c.Line
	name, argument, _ := strings.Cut(c.Line, " ")
	switch name {
	case "echo":
		fmt.Fprintf(c.Stdout, "%s\r\n", argument)
	case "exit":
		code, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return 255
		}
		return int(code)
	case "both": // lines on both streams, in turn
		for i := range 5 {
			fmt.Fprintf(c.Stdout, "out %d\n", i)
			fmt.Fprintf(c.Stderr, "err %d\n", i)
		}
	case "sum": // SHA-256 and length of the input
		hash := sha256.New()
		n, err := io.Copy(hash, c.Stdin)
		fmt.Fprintf(c.Stdout, "%s %d %v\n", hex.EncodeToString(hash.Sum(nil)), n, err)
	case "cat": // answers each line at once
		lines := bufio.NewScanner(c.Stdin)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintf(c.Stdout, "<%s>\n", lines.Text())
		}
	case "spam": // that many bytes of output
		n, err := strconv.Atoi(argument)
		if err != nil {
			return 255
		}
		line := strings.Repeat("é", 511) + "\n"
		for written := 0; written < n; written += len(line) {
			if _, err := io.WriteString(c.Stdout, line); err != nil {
				return 1
			}
		}
	case "deaf": // ends while its input stays open
		return 3
	case "forever":
		fmt.Fprint(c.Stdout, "ready\n")
		<-ctx.Done()
		m.ended <- context.Cause(ctx)
		return 1
	default:
		fmt.Fprintf(c.Stderr, "'%s' is not recognized as an internal or external command,\r\n", name)
		return 1
	}
	return 0
}

// lab starts an endpoint, gives it back with options that fit it, and checks
// at the end that neither side has left a goroutine behind.
func lab(t *testing.T, config winrm.Config, change ...func(*direct.Options)) (*winrm.Server, *machine, *direct.Client) {
	t.Helper()
	before := runtime.NumGoroutine()
	m, ok := config.Windows.(*machine)
	if !ok {
		m = newMachine()
		config.Windows = m
	}
	config.AllowUnencrypted = true
	s, err := winrm.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	opts := direct.Options{
		Host: "127.0.0.1", Port: s.Addr().Port, UseSSL: config.TLS != nil, Username: user, Password: password,
	}
	for _, f := range change {
		f(&opts)
	}
	c, err := direct.Dial(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		settle(t, before)
	})
	return s, m, c
}

// settle waits for the goroutines to go away that are on their way out.
func settle(t *testing.T, before int) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-deadline:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// run starts a command, feeds it and returns all it says.
func run(t *testing.T, c *direct.Client, line, stdin string) (stdout, stderr string, exitCode int) {
	t.Helper()
	p, err := c.Start(t.Context(), line)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
	}()
	if stdin != "" {
		if _, err := p.Write([]byte(stdin)); err != nil {
			t.Fatal(err)
		}
	}
	if stdin != "" {
		if err := p.CloseStdin(); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	read := func(r io.Reader, to *string) {
		wg.Go(func() {
			all, err := io.ReadAll(r)
			if err != nil {
				t.Error(err)
			}
			*to = string(all)
		})
	}
	read(p.Stdout(), &stdout)
	read(p.Stderr(), &stderr)
	exitCode, err = p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return stdout, stderr, exitCode
}

// await waits for something that another goroutine is about to bring about.
func await(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come to that in 10 s")
		}
	}
}
