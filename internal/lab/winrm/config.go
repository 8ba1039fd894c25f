package winrm

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
)

// Config says what kind of listener and machine stand behind the endpoint.
// Only Windows is required. The defaults are those of Windows Server 2012 and
// later with `winrm quickconfig`, where nothing else is said.
type Config struct {
	// Windows is the machine.
	Windows Windows
	// Clock is the lab's time: delays, long polls and idle timeouts run on
	// it. nil means real time.
	Clock *clock.Clock
	// Address is where to listen, `127.0.0.1:0` by default. Nothing but a
	// loopback address is accepted.
	Address string
	// TLS makes the listener an HTTPS one.
	TLS *tls.Config
	// Machine is the computer's name, `EC2AMAZ-LAB0001` by default.
	Machine string

	// NoBasic switches Basic authentication off, as Windows has it by
	// default; the lab offers it.
	NoBasic bool
	// NoNegotiate switches Negotiate off.
	NoNegotiate bool
	// AllowUnencrypted lets an HTTP listener accept messages that are not
	// encrypted, which includes everything under Basic. Without it an HTTP
	// listener answers 401 to all but NTLM-sealed messages. It says nothing
	// about HTTPS.
	AllowUnencrypted bool

	// MaxEnvelopeSizekb bounds a request, in KiB: `500`; it was 150 on
	// Server 2008 R2. A larger request is answered with HTTP 413.
	MaxEnvelopeSizekb int
	// MaxTimeout caps a client's OperationTimeout, `60s` (MaxTimeoutms).
	MaxTimeout time.Duration
	// MaxShellsPerUser is `30`; a negative number means no limit.
	MaxShellsPerUser int
	// MaxOperationsPerShell bounds the commands of one shell, which Windows
	// counts up and never down. `1500`; Server 2008 R2 had 15. A negative
	// number means no limit.
	MaxOperationsPerShell int
	// IdleTimeout is how long a shell may be left alone, `2h`.
	IdleTimeout time.Duration

	// StdinBuffer is how many bytes of input may wait for a process before
	// the next Send is held back, `64 KiB`.
	StdinBuffer int
	// OutputBuffer is how many bytes of output may wait for the client
	// before the process is held back, `1 MiB`.
	OutputBuffer int
	// MaxPiece bounds the decoded bytes of one stream piece, `32 KiB`. A
	// small number splits lines and UTF-8 sequences.
	MaxPiece int

	// Delays are the times that things take.
	Delays Delays
}

// Delays are the times that things take, on the lab's clock. The zero value
// means at once.
type Delays struct {
	// RoundTrip is added to every HTTP request.
	RoundTrip time.Duration
	// ShellStart is how long opening a shell takes.
	ShellStart time.Duration
	// ProcessStart is how long the command line takes before its program
	// begins to run; nil means no time.
	ProcessStart func(line string) time.Duration
}

func (c *Config) complete() error {
	if c.Windows == nil {
		return errors.New("a WinRM endpoint needs a Windows behind it")
	}
	if c.Clock == nil {
		c.Clock = &clock.Clock{}
	}
	defaultTo(&c.Address, "127.0.0.1:0")
	defaultTo(&c.Machine, "EC2AMAZ-LAB0001")
	defaultTo(&c.MaxEnvelopeSizekb, 500)
	defaultTo(&c.MaxTimeout, maxTimeout)
	defaultTo(&c.MaxShellsPerUser, 30)
	defaultTo(&c.MaxOperationsPerShell, 1500)
	defaultTo(&c.IdleTimeout, 2*time.Hour)
	defaultTo(&c.StdinBuffer, 64<<10)
	defaultTo(&c.OutputBuffer, 1<<20)
	defaultTo(&c.MaxPiece, 32<<10)
	return nil
}

func defaultTo[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}
