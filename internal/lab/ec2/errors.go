package ec2

import (
	"fmt"
	"net/http"
	"strings"
)

// Error is an error answer of the API.
type Error struct {
	// Status is the HTTP status. Zero means the one that EC2 gives Code.
	Status int
	// Code is EC2's error code, such as InvalidInstanceID.NotFound.
	Code string
	// Message is the text that clients show.
	Message string
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// status returns the HTTP status of the answer.
func (e *Error) status() int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case "AuthFailure", "OptInRequired", "SignatureDoesNotMatch":
		return http.StatusUnauthorized
	case "UnauthorizedOperation", "Blocked", "InvalidClientTokenId", "AccessDenied", "ExpiredToken":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "RequestLimitExceeded", "Unavailable", "ServiceUnavailable", "InsufficientInstanceCapacity":
		return http.StatusServiceUnavailable
	case "InternalError", "InternalFailure":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

func errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func missingParameter(name string) *Error {
	return errorf("MissingParameter", "The request must contain the parameter %s", name)
}

func invalidValue(name, value, why string) *Error {
	return errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", value, name, why)
}

// kind is a kind of resource: how its ids look and what EC2 says when one is
// malformed or not there.
type kind struct {
	prefix    string
	malformed string
	notFound  string
	sentence  string // for one id
	sentences string // for several
	resource  string // its name in TagSpecifications and DescribeTags
}

var (
	instanceKind = kind{
		prefix: "i-", malformed: "InvalidInstanceID.Malformed", notFound: "InvalidInstanceID.NotFound",
		sentence: "The instance ID '%s' does not exist", sentences: "The instance IDs '%s' do not exist", resource: "instance",
	}
	imageKind = kind{
		prefix: "ami-", malformed: "InvalidAMIID.Malformed", notFound: "InvalidAMIID.NotFound",
		sentence: "The image id '[%s]' does not exist", sentences: "The image ids '[%s]' do not exist", resource: "image",
	}
	snapshotKind = kind{
		prefix: "snap-", malformed: "InvalidSnapshotID.Malformed", notFound: "InvalidSnapshot.NotFound",
		sentence: "The snapshot '%s' does not exist.", sentences: "The snapshots '%s' do not exist.", resource: "snapshot",
	}
	volumeKind = kind{
		prefix: "vol-", malformed: "InvalidParameterValue", notFound: "InvalidVolume.NotFound",
		sentence: "The volume '%s' does not exist.", sentences: "The volumes '%s' do not exist.", resource: "volume",
	}
	spotRequestKind = kind{
		prefix: "sir-", malformed: "InvalidSpotInstanceRequestID.Malformed", notFound: "InvalidSpotInstanceRequestID.NotFound",
		sentence: "The spot instance request ID '%s' does not exist", sentences: "The spot instance request IDs '%s' do not exist",
		resource: "spot-instances-request",
	}
)

// check says whether id has the form of the kind's ids: the prefix and 8 or 17
// hexadecimal digits (spot requests have 8 letters and digits).
func (k kind) check(id string) *Error {
	rest, found := strings.CutPrefix(id, k.prefix)
	digits := "0123456789abcdef"
	if k.prefix == spotRequestKind.prefix {
		digits += "ghijklmnopqrstuvwxyz"
	}
	if !found || (len(rest) != 8 && len(rest) != 17) || strings.Trim(rest, digits) != "" {
		return errorf(k.malformed, "Invalid id: %q", id)
	}
	return nil
}

func (k kind) missing(ids ...string) *Error {
	if len(ids) == 1 {
		return errorf(k.notFound, k.sentence, ids[0])
	}
	return errorf(k.notFound, k.sentences, strings.Join(ids, ", "))
}
