package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// Loss says in which way an exchange with the guest failed. What it means is
// for the caller to say: after the guest is sealed most of them are good news.
type Loss string

// The kinds of loss.
const (
	LossNone         Loss = ""                     // no error
	LossCancelled    Loss = "cancelled"            // our own context ended
	LossUnauthorized Loss = "unauthorized"         // 401: wrong credentials, or generalize has reset the account
	LossForbidden    Loss = "forbidden"            // 403, or a fault 5: known, but not allowed
	LossRefused      Loss = "refused"              // the kernel is up, nobody listens
	LossReset        Loss = "reset"                // the connection broke: reset, or closed in the middle
	LossTimeout      Loss = "timeout"              // nothing came in time
	LossUnreachable  Loss = "unreachable"          // no route, no such host
	LossShellGone    Loss = "shell gone"           // the server is alive, our shell or command is not
	LossStopping     Loss = "service stopping"     // 995, 503, 404: WinRM is on its way down or up
	LossShutdown     Loss = "shutdown in progress" // Windows says that it is shutting down
	LossProfile      Loss = "profile unloading"    // the user's registry hive is going away
	LossQuota        Loss = "quota"                // too many shells or operations
	LossCertificate  Loss = "certificate"          // TLS: not the certificate that we trust
	LossNotWinRM     Loss = "not winrm"            // something else answered
	LossTooLarge     Loss = "too large"            // the guest accepts smaller messages only
	LossOther        Loss = "other"                // any other failure
)

// Errors that a caller can ask for with errors.Is.
var (
	// ErrUnauthorized: the guest does not accept the credentials or the way
	// in which they were sent.
	ErrUnauthorized = errors.New("winrm: unauthorized")
	// ErrRefused: the host is there, nobody listens on the port.
	ErrRefused = errors.New("winrm: connection refused")
	// ErrCertificate: the listener's certificate is not trusted; see
	// [CertificateError].
	ErrCertificate = errors.New("winrm: certificate not trusted")
	// ErrUnreachable: no answer from the host, or no way to it.
	ErrUnreachable = errors.New("winrm: unreachable")
	// ErrNotWinRM: what answered is not a WinRM listener.
	ErrNotWinRM = errors.New("winrm: not a WinRM listener")
	// errNoAnswer is the cause of a request's own time limit.
	errNoAnswer = errors.New("no answer in time")
	// ErrLost: the session with the guest is over although its command had
	// not ended. It is permanent for the Process that returned it.
	ErrLost = errors.New("the WinRM session was lost")
)

var sentinels = map[Loss]error{
	LossUnauthorized: ErrUnauthorized, LossRefused: ErrRefused, LossCertificate: ErrCertificate,
	LossTimeout: ErrUnreachable, LossUnreachable: ErrUnreachable, LossNotWinRM: ErrNotWinRM,
}

// ExchangeError is a request that got no SOAP answer.
type ExchangeError struct {
	// Action is what was asked, like "Receive".
	Action string
	// Loss is the kind of failure.
	Loss Loss
	// HTTPStatus is the status of the answer, 0 when there was none.
	HTTPStatus int
	// Offered are the authentication schemes that a 401 named.
	Offered []string
	// Err is the cause, nil when the status says all.
	Err error
}

// Error says what was asked and what happened. It never holds a credential or
// a part of a message.
func (e *ExchangeError) Error() string {
	text := "winrm " + e.Action + ": " + string(e.Loss)
	if e.HTTPStatus != 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.HTTPStatus)
	}
	if len(e.Offered) > 0 {
		text += ", the listener offers " + strings.Join(e.Offered, ", ")
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *ExchangeError) Unwrap() error { return e.Err }

// Is makes errors.Is find the sentinel of the error's kind.
func (e *ExchangeError) Is(target error) bool { return target != nil && sentinels[e.Loss] == target }

// Fault is a SOAP fault, the guest's own refusal.
type Fault struct {
	// Action is what was asked, like "Receive".
	Action string
	// Code is f:WSManFault/@Code, a Win32 or WS-Man error code; 0 when the
	// fault has none.
	Code uint32
	// Subcode is the fault's kind without its prefix, like "TimedOut".
	Subcode string
	// Reason is the guest's text.
	Reason string
	// HTTPStatus is the answer's status, 500 as a rule.
	HTTPStatus int
}

// Error gives the action, the code and the guest's own words.
func (f *Fault) Error() string {
	return fmt.Sprintf("winrm %s: fault %d %s: %s", f.Action, f.Code, f.Subcode, f.Reason)
}

// Is makes a fault of access denied an ErrUnauthorized.
func (f *Fault) Is(target error) bool {
	return target == ErrUnauthorized && f.loss() == LossForbidden
}

const codeTimedOut = 2150858793 // ERROR_WSMAN_OPERATION_TIMEDOUT

// faultLosses are the codes that tell more than that something failed: Win32
// system error codes and their HRESULTs, WBEM and WS-Man error constants
// (Microsoft's winerror.h, wbemcli.h and wsmerror.h).
var faultLosses = map[uint32]Loss{
	5:            LossForbidden, // ERROR_ACCESS_DENIED
	2147942405:   LossForbidden, // its HRESULT
	995:          LossStopping,  // ERROR_OPERATION_ABORTED
	2147943395:   LossStopping,  // its HRESULT
	1115:         LossShutdown,  // ERROR_SHUTDOWN_IN_PROGRESS
	2147943515:   LossShutdown,  // its HRESULT
	2147749939:   LossShutdown,  // WBEM_E_SHUTTING_DOWN
	1018:         LossProfile,   // ERROR_KEY_DELETED
	2147943418:   LossProfile,   // its HRESULT
	2150858843:   LossShellGone, // the shell or command was not found
	2150859173:   LossQuota,     // shells per user
	2150859174:   LossQuota,     // operations per user
	codeTimedOut: LossTimeout,
}

func (f *Fault) loss() Loss {
	if loss, ok := faultLosses[f.Code]; ok {
		return loss
	}
	return LossOther
}

// CertificateError is a listener's certificate that is not to be trusted.
type CertificateError struct {
	// SHA256 is the fingerprint of the certificate that was presented, in
	// lower case hexadecimal.
	SHA256 string
	// Subject is who it claims to be.
	Subject string
	// Err is the reason.
	Err error
}

// Error gives the reason and the fingerprint.
func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate %q with SHA-256 %s is not trusted: %v", e.Subject, e.SHA256, e.Err)
}

// Unwrap returns the reason.
func (e *CertificateError) Unwrap() error { return e.Err }

// Is makes errors.Is find ErrCertificate.
func (e *CertificateError) Is(target error) bool { return target == ErrCertificate }

// Classify tells in which way an error of this package is a loss.
func Classify(err error) Loss {
	if err == nil {
		return LossNone
	}
	var exchange *ExchangeError
	if errors.As(err, &exchange) {
		return exchange.Loss
	}
	var fault *Fault
	if errors.As(err, &fault) {
		return fault.loss()
	}
	return networkLoss(err)
}

// networkLoss tells what an error of the network means.
func networkLoss(err error) Loss {
	var certificate *CertificateError
	var timeout interface{ Timeout() bool }
	var lookup *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), isContextDeadline(err):
		return LossCancelled
	case errors.As(err, &certificate):
		return LossCertificate
	case errors.Is(err, errNoAnswer), errors.Is(err, os.ErrDeadlineExceeded):
		return LossTimeout
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return LossRefused
	case isErrno(err, syscall.ECONNRESET, 10054), isErrno(err, syscall.EPIPE, 10053),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return LossReset
	case isErrno(err, syscall.EHOSTUNREACH, 10065), isErrno(err, syscall.ENETUNREACH, 10051), errors.As(err, &lookup):
		return LossUnreachable
	case errors.As(err, &timeout) && timeout.Timeout():
		return LossTimeout
	}
	return LossOther
}

// isContextDeadline tells a context's own deadline from the network's
// timeouts, which claim to be the same.
func isContextDeadline(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err == context.DeadlineExceeded { //nolint:errorlint // see above
			return true
		}
	}
	return false
}

// isErrno compares with the system's error number, on Windows with Winsock's.
func isErrno(err error, unix syscall.Errno, winsock uintptr) bool {
	var errno syscall.Errno
	return errors.Is(err, unix) || errors.As(err, &errno) && uintptr(errno) == winsock
}

// statusLoss tells what an HTTP status without a SOAP answer means.
// A 404 is WinRM's when http.sys says it.
func statusLoss(status int, server string) Loss {
	switch status {
	case http.StatusUnauthorized:
		return LossUnauthorized
	case http.StatusForbidden:
		return LossForbidden
	case http.StatusRequestEntityTooLarge:
		return LossTooLarge
	case http.StatusServiceUnavailable:
		return LossStopping
	case http.StatusNotFound:
		if strings.HasPrefix(server, "Microsoft-HTTPAPI") {
			return LossStopping
		}
	}
	return LossNotWinRM
}
