package winrm

import (
	"fmt"
	"time"
)

// Fault is a SOAP fault as Windows words it. The codes are Win32 and WS-Man
// error codes in decimal, as they stand in f:WSManFault/@Code.
type Fault struct {
	// Code is f:WSManFault/@Code.
	Code uint32
	// Sender is true when the fault blames the client (s:Sender), false for
	// s:Receiver.
	Sender bool
	// Subcode is the qualified name of the fault's kind, like "w:TimedOut".
	Subcode string
	// Reason is the text for people.
	Reason string
	// Detail is the local part of w:FaultDetail, often empty.
	Detail string
	// Status is the HTTP status; 0 means 500.
	Status int
}

// Error returns the fault's code and text.
func (f *Fault) Error() string { return fmt.Sprintf("WSManFault %d: %s", f.Code, f.Reason) }

// Codes of the faults that the endpoint knows.
const (
	CodeAborted          = 995        // ERROR_OPERATION_ABORTED
	CodeShutdown         = 2147943515 // HRESULT of ERROR_SHUTDOWN_IN_PROGRESS (1115)
	CodeKeyDeleted       = 2147943418 // HRESULT of ERROR_KEY_DELETED (1018): the profile is being unloaded
	CodePipeEnded        = 2147942509 // HRESULT of ERROR_BROKEN_PIPE (109)
	CodeNameTooLong      = 2147942606 // HRESULT of ERROR_FILENAME_EXCED_RANGE (206)
	CodeTimedOut         = 2150858793 // ERROR_WSMAN_OPERATION_TIMEDOUT
	CodeNotFound         = 2150858843 // the shell or command does not exist
	CodeShellQuota       = 2150859173 // MaxShellsPerUser
	CodeOperationsQuota  = 2150859174 // MaxConcurrentOperationsPerUser
	CodeSchema           = 2150858817 // the message does not fit its schema
	CodeUnsupported      = 2150858778 // the resource does not support the action
	CodeResourceNotFound = 2150858811 // the resource URI is unknown
)

// FaultTimedOut is the answer to a Receive that saw no output in time.
func FaultTimedOut() *Fault {
	return &Fault{
		Code: CodeTimedOut, Subcode: "w:TimedOut",
		Reason: "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
	}
}

// FaultAborted is what a pending operation gets when its command, its shell
// or the service ends under it.
func FaultAborted() *Fault {
	return &Fault{
		Code: CodeAborted, Subcode: "w:InternalError",
		Reason: "The I/O operation has been aborted because of either a thread exit or an application request. ",
	}
}

// FaultShellNotFound is the answer to whoever names a shell that is gone.
func FaultShellNotFound(id string) *Fault {
	return &Fault{
		Code: CodeNotFound, Sender: true, Subcode: "w:InvalidSelectors", Detail: "UnexpectedSelectors",
		Reason: "The request for the Windows Remote Shell with ShellId " + id +
			" failed because the shell was not found on the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. " +
			"Provide the correct ShellId or create a new shell and retry the operation. ",
	}
}

// FaultCommandNotFound is the answer to whoever names a command that is gone.
func FaultCommandNotFound(id string) *Fault {
	return &Fault{
		Code: CodeNotFound, Sender: true, Subcode: "w:InvalidSelectors", Detail: "UnexpectedSelectors",
		Reason: "The Windows Remote Shell received a request to perform an operation on a command identifier that does not exist. " +
			"Either the command has completed execution or the client specified an invalid command identifier: " + id + " ",
	}
}

// FaultShutdown is the answer of a machine that is shutting down.
func FaultShutdown() *Fault {
	return &Fault{Code: CodeShutdown, Subcode: "w:InternalError", Reason: "A system shutdown is in progress. "}
}

// FaultKeyDeleted is what WinRM says while the user's profile is unloaded.
func FaultKeyDeleted() *Fault {
	return &Fault{
		Code: CodeKeyDeleted, Subcode: "w:InternalError",
		Reason: "Illegal operation attempted on a registry key that has been marked for deletion. ",
	}
}

func faultPipeEnded() *Fault {
	return &Fault{Code: CodePipeEnded, Subcode: "w:InternalError", Reason: "The pipe has been ended. "}
}

func faultNameTooLong() *Fault {
	return &Fault{Code: CodeNameTooLong, Subcode: "w:InternalError", Reason: "The filename or extension is too long. "}
}

func faultShellQuota(limit int) *Fault {
	return &Fault{
		Code: CodeShellQuota, Subcode: "w:QuotaLimit",
		Reason: fmt.Sprintf("The WS-Management service cannot process the request. This user is allowed a maximum number of %d concurrent shells, "+
			"which has been exceeded. Close existing shells or raise the quota for this user. ", limit),
	}
}

func faultOperationsQuota(limit int) *Fault {
	return &Fault{
		Code: CodeOperationsQuota, Subcode: "w:QuotaLimit",
		Reason: fmt.Sprintf("The WS-Management service cannot process the request. This user is allowed a maximum number of %d concurrent operations, "+
			"which has been exceeded. Close existing operations for this user, or raise the quota for this user. ", limit),
	}
}

func faultSchema(detail string) *Fault {
	return &Fault{
		Code: CodeSchema, Sender: true, Subcode: "w:SchemaValidationError",
		Reason: "The SOAP XML in the message does not match the corresponding XML schema definition. Change the XML and retry. " + detail,
	}
}

func faultUnsupported(action string) *Fault {
	return &Fault{
		Code: CodeUnsupported, Sender: true, Subcode: "a:ActionNotSupported",
		Reason: "The WS-Management service cannot process the request because the request contained an invalid or unsupported action: " + action,
	}
}

func faultResource(uri string) *Fault {
	return &Fault{
		Code: CodeResourceNotFound, Sender: true, Subcode: "a:DestinationUnreachable", Detail: "InvalidResourceURI",
		Reason: "The WS-Management service cannot process the request. The resource URI was not found: " + uri,
	}
}

func faultMustUnderstand(header string) *Fault {
	return &Fault{
		Code: CodeSchema, Sender: true, Subcode: "w:SchemaValidationError",
		Reason: "The WS-Management service cannot process a SOAP header in the request that is marked as mustUnderstand: " + header, Detail: "mustUnderstand",
	}
}

// maxTimeout is MaxTimeoutms of a Windows that nobody configured.
const maxTimeout = 60 * time.Second
