package ec2

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	// sessionKeyPrefix begins the access keys of assumed roles.
	sessionKeyPrefix = "ASIA"
)

// isSTS says whether a request is for the Security Token Service, by the
// service it was signed for or, unsigned, by its API version.
func (s *Server) isSTS(r *request) bool {
	return r.signer.service == "sts" || (r.signer.service == "" && r.params.get("Version") == stsVersion)
}

type stsMetadata struct {
	RequestID string `xml:"RequestId"`
}

type callerIdentityResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Result  struct {
		Arn     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string `xml:"Account"`
	} `xml:"GetCallerIdentityResult"`
	Metadata stsMetadata `xml:"ResponseMetadata"`
}

type assumeRoleResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Result  struct {
		User struct {
			ID  string `xml:"AssumedRoleId"`
			Arn string `xml:"Arn"`
		} `xml:"AssumedRoleUser"`
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string `xml:"SecretAccessKey"`
			SessionToken    string `xml:"SessionToken"`
			Expiration      string `xml:"Expiration"`
		} `xml:"Credentials"`
	} `xml:"AssumeRoleResult"`
	Metadata stsMetadata `xml:"ResponseMetadata"`
}

// answerSTS answers GetCallerIdentity, which needs no permission, and
// AssumeRole, whose credentials are made up from the role's name.
func (s *Server) answerSTS(r *request, requestID string) ([]byte, *Error) {
	if !s.authentic(r.signer.accessKey) {
		return nil, errorf("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	var body any
	switch r.action {
	case "GetCallerIdentity":
		identity := callerIdentityResponse{Metadata: stsMetadata{requestID}}
		identity.Result.Arn = s.callerARN(r.signer)
		identity.Result.UserID = "AIDA" + strings.ToUpper(s.digest("user", r.signer.accessKey)[:17])
		identity.Result.Account = strings.Split(identity.Result.Arn, ":")[4]
		body = identity
	case "AssumeRole":
		role, session := r.params.get("RoleArn"), r.params.get("RoleSessionName")
		if len(strings.Split(role, ":")) != 6 || !strings.Contains(role, ":role/") {
			return nil, errorf("ValidationError", "%s is invalid", role)
		}
		if session == "" {
			return nil, errorf("ValidationError", "RoleSessionName is required")
		}
		if s.opts.Deny != nil && s.opts.Deny(r.action, r.signer.accessKey) {
			return nil, errorf("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", s.callerARN(r.signer), role)
		}
		assumed := assumeRoleResponse{Metadata: stsMetadata{requestID}}
		id := strings.ToUpper(s.digest("role", role, session)[:16])
		assumed.Result.User.ID = "AROA" + id + ":" + session
		assumed.Result.User.Arn = strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + session
		assumed.Result.Credentials.AccessKeyID = sessionKeyPrefix + id
		assumed.Result.Credentials.SecretAccessKey = s.digest("secret", role, session)[:40]
		assumed.Result.Credentials.SessionToken = s.digest("session", role, session)
		assumed.Result.Credentials.Expiration = r.now.Add(time.Hour).Format("2006-01-02T15:04:05Z")
		s.mu.Lock()
		s.roles[assumed.Result.Credentials.AccessKeyID] = assumed.Result.User.Arn
		s.mu.Unlock()
		body = assumed
	default:
		return nil, errorf("InvalidAction", "Could not find operation %s for version %s", r.action, r.params.get("Version"))
	}
	text, err := xml.Marshal(body)
	if err != nil {
		return nil, errorf("InternalFailure", "%v", err)
	}
	return text, nil
}

// authentic says whether an access key exists. Those of assumed roles do.
func (s *Server) authentic(accessKey string) bool {
	s.mu.Lock()
	_, assumed := s.roles[accessKey]
	s.mu.Unlock()
	return assumed || s.opts.Authentic == nil || s.opts.Authentic(accessKey)
}

// callerARN is the identity behind an access key: a user named like the key,
// or the session of an assumed role, possibly of another account.
func (s *Server) callerARN(who signer) string {
	s.mu.Lock()
	role, assumed := s.roles[who.accessKey]
	s.mu.Unlock()
	if assumed {
		return role
	}
	name := who.accessKey
	if name == "" {
		name = "anonymous"
	}
	return fmt.Sprintf("arn:%s:iam::%s:user/%s", partition(who.region), s.opts.AccountID, name)
}

// partition is the part of AWS that a region lies in, the second field of an
// ARN.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// encodeSTSError writes an error answer of the Query protocol proper, which is
// not EC2's.
func encodeSTSError(e *Error, requestID string) ([]byte, error) {
	type response struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
	side := "Sender"
	if e.status() >= http.StatusInternalServerError {
		side = "Receiver"
	}
	body, err := xml.Marshal(response{Namespace: stsNamespace, Type: side, Code: e.Code, Message: e.Message, RequestID: requestID})
	if err != nil {
		return nil, fmt.Errorf("writing the error answer %s: %w", e.Code, err)
	}
	return body, nil
}
