package winrm_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

const (
	user     = "Administrator"
	password = "Passw0rd & <more>"
)

// machine is a Windows with programs for the peers.
type machine struct {
	run func(ctx context.Context, c *winrm.Command) int // instead of the programs
}

func (machine) Password(name string) (string, bool) {
	return password, strings.EqualFold(name, user)
}

func (m machine) Run(ctx context.Context, c *winrm.Command) int {
	if m.run != nil {
		return m.run(ctx, c)
	}
	name, argument, _ := strings.Cut(c.Line, " ")
	switch name {
	case "show":
		fmt.Fprintf(c.Stdout, "%s|%s|%s", argument, c.WorkingDirectory, c.Environment["COLOUR"])
		fmt.Fprintf(c.Stderr, "%s %t %d", c.User, c.NoProfile, c.CodePage)
	case "exit":
		code, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return 255
		}
		return int(code)
	case "reverse":
		all, err := io.ReadAll(c.Stdin)
		if err != nil {
			return 1
		}
		slices.Reverse(all)
		if _, err := c.Stdout.Write(all); err != nil {
			return 1
		}
	case "large":
		fmt.Fprint(c.Stdout, strings.Repeat("0123456789", 30000))
		fmt.Fprint(c.Stderr, strings.Repeat("x", 5000))
	case "wait":
		all, err := io.ReadAll(c.Stdin)
		if err != nil || ctx.Err() != nil {
			return 1
		}
		fmt.Fprintf(c.Stdout, "got %s", all)
	default:
		return 1
	}
	return 0
}

// start opens an endpoint and checks at the end that nothing is left of it.
func start(t *testing.T, config winrm.Config) *winrm.Server {
	t.Helper()
	before := runtime.NumGoroutine()
	if config.Windows == nil {
		config.Windows = machine{}
	}
	s, err := winrm.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
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
	})
	return s
}
