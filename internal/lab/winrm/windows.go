package winrm

import (
	"context"
	"errors"
	"io"
)

// Windows is the machine behind the endpoint: who may log on, and what a
// command line does.
type Windows interface {
	// Password returns the account's password. user comes without a domain
	// or machine name and as the client wrote it; Windows compares account
	// names without regard to case. ok is false when the account may not log
	// on over the network: it is unknown, disabled, or the machine has been
	// generalized. The endpoint then answers 401, also on connections that
	// had been authenticated before.
	Password(user string) (password string, ok bool)
	// Run carries out one command line and returns its exit code. It runs in
	// a goroutine of its own. ctx ends when the shell or the command is
	// terminated or the machine goes off; context.Cause tells which. Run must
	// return soon after that: [Server.Close] waits for it.
	Run(ctx context.Context, command *Command) (exitCode int)
}

// Causes with which a command's context ends.
var (
	// ErrTerminated is the cause after a terminate signal, the deletion of
	// the shell or its idle timeout.
	ErrTerminated = errors.New("command terminated")
	// ErrInterrupted is the cause after a ctrl_c or ctrl_break signal.
	ErrInterrupted = errors.New("command interrupted by ctrl-c")
	// ErrServiceStopped is the cause when the WinRM service drops its
	// shells.
	ErrServiceStopped = errors.New("the Windows Remote Management service stopped")
	// ErrPowerOff is the cause when the machine goes off.
	ErrPowerOff = errors.New("machine powered off")
)

// Command is one command line that a client has asked for.
type Command struct {
	// Line is the command and its arguments, separated by spaces, as
	// cmd.exe /c (or, with SkipCmdShell, CreateProcess) gets them.
	Line string
	// User is the account that runs it, without a domain.
	User string
	// SkipCmdShell is true when no cmd.exe stands between WinRM and the
	// program (WINRS_SKIP_CMD_SHELL).
	SkipCmdShell bool
	// ConsoleModeStdin is WINRS_CONSOLEMODE_STDIN: the client wants its
	// input treated as keystrokes of a console. A client that pushes bytes
	// must have it false.
	ConsoleModeStdin bool
	// NoProfile is WINRS_NOPROFILE of the shell.
	NoProfile bool
	// CodePage is WINRS_CODEPAGE of the shell, 0 when not given.
	CodePage int
	// Environment holds the variables that the shell was opened with.
	Environment map[string]string
	// WorkingDirectory is the one that the shell was opened with, often
	// empty.
	WorkingDirectory string
	// Stdin ends with io.EOF when the client sends the end of the stream,
	// and when ctx ends.
	Stdin io.Reader
	// Stdout and Stderr block while the client does not fetch what has been
	// written, and fail with io.ErrClosedPipe once ctx has ended.
	Stdout, Stderr io.Writer
}
