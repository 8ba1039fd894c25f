package aws

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Codes of the EC2 API that are asked for by name. The list of all:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
const (
	CodeDryRunOperation        = "DryRunOperation"
	CodeDuplicateName          = "InvalidAMIName.Duplicate"
	CodeIncorrectInstanceState = "IncorrectInstanceState"
)

// Code returns the API's error code, and "" when err is not an answer of the API.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// Message returns the API's own words without the SDK's wrapping, or err's
// text when err is not an answer of the API.
func Message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		if api.ErrorMessage() == "" {
			return api.ErrorCode()
		}
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

// IsNotFound says that the thing that was asked for does not exist, or does
// not exist yet: EC2's answers become consistent after a while.
func IsNotFound(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, ".NotFound") || code == "InvalidAMIID.Unavailable"
}

// IsDenied says that the credentials may not do what was asked.
func IsDenied(err error) bool {
	switch Code(err) {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked":
		return true
	}
	return false
}

// IsInvalidCredentials says that the credentials themselves are not accepted,
// or are accepted no more.
func IsInvalidCredentials(err error) bool {
	switch Code(err) {
	case "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException",
		"RequestExpired", "ExpiredToken", "ExpiredTokenException", "MissingAuthenticationToken", "IncompleteSignature":
		return true
	}
	return false
}

var throttleCodes = []string{
	"RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
	"RequestThrottledException", "TooManyRequestsException", "EC2ThrottledException", "SlowDown",
	"Client.RequestLimitExceeded", "ResourceLimitExceeded.Throttled",
}

// IsThrottle says that AWS did nothing because too many requests came.
func IsThrottle(err error) bool {
	return slices.Contains(throttleCodes, Code(err)) || status(err) == http.StatusTooManyRequests
}

// IsTransient says that the same request may succeed later: AWS throttles or
// has a failure of its own, or the request or its answer was lost. The end of
// a context is not transient.
func IsTransient(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case IsThrottle(err):
		return true
	}
	return IsAnswerLost(err)
}

// IsAnswerLost says that nobody can tell from err whether AWS carried out the
// request: there was no answer, or AWS itself failed while it worked on it.
func IsAnswerLost(err error) bool {
	if err == nil || IsThrottle(err) {
		return false
	}
	if status(err) >= http.StatusInternalServerError {
		return true
	}
	if code := Code(err); code != "" {
		return code == "InternalError" || code == "InternalFailure" || code == "ServiceUnavailable" || code == "Unavailable"
	}
	// Not an answer of the API at all. An answer that is not EC2's (a proxy's
	// page with a status of its own) says that the request did not get there.
	code := status(err)
	return code == 0 || code < http.StatusBadRequest
}

// status returns the HTTP status of the answer that err is made of, or 0.
func status(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}
