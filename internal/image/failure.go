package image

import (
	"errors"
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
)

// The codes of the post-processor's failures. They are stable: documents and
// scripts may name them.
const (
	// CodeNoInstance: neither a record nor instance_id says which instance.
	CodeNoInstance = "ES-501"
	// CodeDiffers: the configuration and the record name different things.
	CodeDiffers = "ES-502"
	// CodeInput: the artifact before the post-processor can not be used.
	CodeInput = "ES-503"
	// CodeUnproven: nothing proves that Windows was sealed.
	CodeUnproven = "ES-504"
	// CodeStarted: the instance was started after it was sealed.
	CodeStarted = "ES-505"
	// CodeRefused: Sysprep did not seal the guest.
	CodeRefused = "ES-506"
	// CodeNotGeneralized: the guest was shut down without Sysprep, on purpose.
	CodeNotGeneralized = "ES-507"
	// CodeRecord: the record can not be read.
	CodeRecord = "ES-508"
	// CodeJournal: the journal can not be used.
	CodeJournal = "ES-509"
	// CodeGone: the instance is terminated or unknown.
	CodeGone = "ES-510"
	// CodeNeverStopped: the instance did not stop in time.
	CodeNeverStopped = "ES-511"
	// CodeOverdue: the sealer's limit is over, the guest still runs, and no verdict is known.
	CodeOverdue = "ES-512"
	// CodeAccess: AWS did not answer or did not accept the credentials.
	CodeAccess = "ES-513"
	// CodeDenied: the credentials may not do what is needed.
	CodeDenied = "ES-520"
	// CodeNameTaken: another AMI has the name.
	CodeNameTaken = "ES-521"
	// CodeCreate: EC2 refused to make the image.
	CodeCreate = "ES-522"
	// CodeLost: nobody can tell whether EC2 makes the image.
	CodeLost = "ES-523"
	// CodeImageFailed: EC2 could not finish the image.
	CodeImageFailed = "ES-530"
	// CodeImageTimeout: the image was not finished in time.
	CodeImageTimeout = "ES-531"
	// CodeImageGone: the image that was made exists no more.
	CodeImageGone = "ES-532"
	// CodeImageDiffers: the image is not what was asked for.
	CodeImageDiffers = "ES-540"
)

// Failure is an error that a user can act on.
type Failure struct {
	// Code is one of the codes above.
	Code string
	// Problem says what was being done to which thing, and what happened.
	Problem string
	// Cause is the error behind it, or nil.
	Cause error
	// Next is what to do now: a command to type, or the option to change.
	Next string
	// Final says that carrying on with the same instance as it is can not help.
	Final bool
}

// Error returns the code, the problem, the cause and the next step.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(f.Code + ": " + f.Problem)
	if f.Cause != nil {
		b.WriteString(": " + f.Cause.Error())
	}
	if f.Next != "" {
		b.WriteString("\nNext: " + f.Next)
	}
	return b.String()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Resumable reports whether a run of shape C may succeed after err: it ended
// for a reason that can pass or be put right without a new build.
func Resumable(err error) bool {
	var failure *Failure
	if errors.As(err, &failure) {
		return !failure.Final
	}
	return err != nil
}

// askFailed is the failure for a request that EC2 did not answer as hoped for.
func askFailed(doing string, err error) error {
	switch {
	case aws.IsDenied(err):
		return &Failure{
			Code: CodeDenied, Problem: doing, Cause: err,
			Next: "give the credentials the permission that the message names; the plugin's documents hold the whole policy",
		}
	case aws.IsInvalidCredentials(err):
		return &Failure{
			Code: CodeAccess, Problem: doing, Cause: err,
			Next: "aws sts get-caller-identity (the credentials are wrong or have expired)",
		}
	case aws.IsTransient(err):
		return &Failure{Code: CodeAccess, Problem: doing, Cause: err, Next: "look at https://health.aws.amazon.com, then carry on"}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isAbsent says that EC2 does not know the instance or image, in whichever way
// it says so.
func isAbsent(err error) bool {
	return aws.IsNotFound(err) || errors.Is(err, aws.ErrNoInstance) || errors.Is(err, errNoImage)
}
