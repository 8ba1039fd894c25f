// Package aws reaches Amazon EC2 for both components: the options that say
// with which credentials and in which region, the session that they give, and
// the few EC2 operations that the plugin uses.
//
// It knows requests and answers. What an answer means for an AMI (waiting,
// proof, journal) is decided by package image.
//
// The options have the names that they have in the Amazon plugin for Packer,
// so that a user can copy the lines.
//
//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type AccessConfig,AssumeRoleConfig,AssumeRoleWithWebIdentityConfig
package aws

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Unknown is what Packer puts into an option in place of a value that it will
// know only later, when it prepares a component for the first time.
const Unknown = "<unknown>"

// AccessConfig is how AWS is reached. Every option may stay out: then the
// usual chain of the AWS tools decides, environment, shared files, web
// identity, container and instance role, in this order.
type AccessConfig struct {
	// The access key id. Give `secret_key` with it. Default: the environment
	// variable `AWS_ACCESS_KEY_ID`, or what the other sources of credentials say.
	AccessKey string `mapstructure:"access_key"`
	// The secret access key that belongs to `access_key`. It is never logged.
	SecretKey string `mapstructure:"secret_key"`
	// The session token that belongs to temporary keys in `access_key` and
	// `secret_key`. It is never logged.
	Token string `mapstructure:"token"`
	// The profile in the shared configuration and credentials files. Default: the
	// environment variable `AWS_PROFILE`, or `default`. It is not used for
	// credentials when `access_key` is given.
	Profile string `mapstructure:"profile"`
	// The region, like `eu-central-1`. Default: the environment variable
	// `AWS_REGION` or the profile's region. The post-processor also takes it from
	// the record that the provisioner left.
	Region string `mapstructure:"region"`
	// The path of the shared credentials file. Default: the environment variable
	// `AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/credentials`.
	SharedCredentialsFile string `mapstructure:"shared_credentials_file"`
	// The role to assume with the credentials. The block may be repeated: the
	// second role is then assumed with the credentials of the first, and so on.
	AssumeRole []AssumeRoleConfig `mapstructure:"assume_role"`
	// The role to assume with a token of an OpenID Connect provider, as CI systems
	// and Kubernetes give them out. It can not be used together with `access_key`.
	// Default: the environment variables `AWS_ROLE_ARN` and
	// `AWS_WEB_IDENTITY_TOKEN_FILE`.
	AssumeRoleWithWebIdentity *AssumeRoleWithWebIdentityConfig `mapstructure:"assume_role_with_web_identity"`
	// Account ids, one of which the credentials must belong to; with any other
	// account the build ends before anything is changed. It can not be used
	// together with `forbidden_account_ids`. Default: any account.
	AllowedAccountIDs []string `mapstructure:"allowed_account_ids"`
	// Account ids to which the credentials must not belong. Default: none.
	ForbiddenAccountIDs []string `mapstructure:"forbidden_account_ids"`
	// The address of the EC2 API, like `https://ec2.internal.example`, for
	// private endpoints and compatible services. It is used for every EC2 call.
	// Default: the region's endpoint.
	CustomEndpointEc2 string `mapstructure:"custom_endpoint_ec2"`
	// The address of the STS API. It is used for the roles and for the question
	// which account the credentials belong to. Default: the region's endpoint.
	CustomEndpointSts string `mapstructure:"custom_endpoint_sts"`
	// Use the FIPS endpoints of the region. Default: `false`.
	UseFIPSEndpoint bool `mapstructure:"use_fips_endpoint"`
	// Use the dual-stack (IPv6) endpoints of the region. Default: `false`.
	UseDualStackEndpoint bool `mapstructure:"use_dualstack_endpoint"`
	// Do not check the certificate of the AWS endpoints. Anybody between here and
	// AWS can then read and change everything, so prefer the environment variable
	// `AWS_CA_BUNDLE` with the certificate of your proxy. Default: `false`.
	InsecureSkipTLSVerify bool `mapstructure:"insecure_skip_tls_verify"`
	// How many times a request is repeated that AWS throttled or that did not get
	// through. The waits between grow to 20 seconds. The one request that makes
	// the AMI is never repeated blindly. Default: `10`.
	MaxRetries int `mapstructure:"max_retries"`
	// Do not ask STS who the credentials belong to before the first EC2 call.
	// The account is asked for all the same when `allowed_account_ids` or
	// `forbidden_account_ids` is given. Default: `false`.
	SkipCredsValidation bool `mapstructure:"skip_credential_validation"`
	// Do not look for credentials and a region at the instance metadata service
	// of the machine that runs Packer. Default: `false`.
	SkipMetadataAPICheck bool `mapstructure:"skip_metadata_api_check"`
}

// AssumeRoleConfig is a role that is assumed with other credentials.
type AssumeRoleConfig struct {
	// The ARN of the role, like `arn:aws:iam::123456789012:role/image-builder`.
	AssumeRoleARN string `mapstructure:"role_arn" required:"true"`
	// How long the role's credentials are valid, in seconds, from `900` to
	// `43200`. They are renewed by themselves. Default: `900`.
	AssumeRoleDurationSeconds int `mapstructure:"duration_seconds"`
	// The external id that the role's trust policy may ask for. Default: none.
	AssumeRoleExternalID string `mapstructure:"external_id"`
	// A policy in JSON that narrows what the role may do. Default: none.
	AssumeRolePolicy string `mapstructure:"policy"`
	// ARNs of managed policies that narrow what the role may do. Default: none.
	AssumeRolePolicyARNs []string `mapstructure:"policy_arns"`
	// The name of the session, as CloudTrail shows it: 2 to 64 letters, digits
	// and `+=,.@_-`. Default: a name made up by the AWS SDK.
	AssumeRoleSessionName string `mapstructure:"session_name"`
	// The source identity, as CloudTrail shows it. Default: none.
	AssumeRoleSourceIdentity string `mapstructure:"source_identity"`
	// Tags of the session. Default: none.
	AssumeRoleTags map[string]string `mapstructure:"tags"`
	// Keys of `tags` that are handed on to the next role of a chain. Default: none.
	AssumeRoleTransitiveTagKeys []string `mapstructure:"transitive_tag_keys"`
}

// AssumeRoleWithWebIdentityConfig is a role that is assumed with a token of an
// OpenID Connect provider.
type AssumeRoleWithWebIdentityConfig struct {
	// The ARN of the role.
	RoleARN string `mapstructure:"role_arn" required:"true"`
	// How long the role's credentials are valid, in seconds, from `900` to
	// `43200`. They are renewed by themselves. Default: `900`.
	DurationSeconds int `mapstructure:"duration_seconds"`
	// A policy in JSON that narrows what the role may do. Default: none.
	Policy string `mapstructure:"policy"`
	// ARNs of managed policies that narrow what the role may do. Default: none.
	PolicyARNs []string `mapstructure:"policy_arns"`
	// The name of the session, as CloudTrail shows it: 2 to 64 letters, digits
	// and `+=,.@_-`. Default: a name made up by the AWS SDK.
	SessionName string `mapstructure:"session_name"`
	// The token itself. It is never logged. Give this or `web_identity_token_file`.
	WebIdentityToken string `mapstructure:"web_identity_token"`
	// The path of the file that holds the token. It is read again whenever the
	// credentials are renewed.
	WebIdentityTokenFile string `mapstructure:"web_identity_token_file"`
}

// DefaultMaxRetries is how many times a request is repeated when max_retries
// is not given.
const DefaultMaxRetries = 10

var (
	regionForm      = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	accountForm     = regexp.MustCompile(`^[0-9]{12}$`)
	roleForm        = regexp.MustCompile(`^arn:[a-z0-9-]+:iam::[0-9]{12}:role/.+$`)
	sessionNameForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
)

// Prepare puts in the defaults and returns everything that is wrong, in the
// order of the options, each error beginning with the option's name. Values
// that Packer does not know yet (the text "<unknown>") are let pass. It asks
// nobody: neither AWS nor the file system.
func (c *AccessConfig) Prepare() []error {
	if c.MaxRetries == 0 {
		c.MaxRetries = DefaultMaxRetries
	}
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.AccessKey != "" && c.SecretKey == "" {
		add("secret_key: access_key is given, so secret_key must be given, too")
	}
	if c.SecretKey != "" && c.AccessKey == "" {
		add("access_key: secret_key is given, so access_key must be given, too")
	}
	if c.Token != "" && c.AccessKey == "" {
		add("token: a token belongs to temporary keys; access_key and secret_key must be given, too")
	}
	if known(c.Region) && c.CustomEndpointEc2 == "" && !regionForm.MatchString(c.Region) {
		add("region: %q does not look like a region; a region looks like eu-central-1", c.Region)
	}
	for i, role := range c.AssumeRole {
		name := "assume_role"
		if len(c.AssumeRole) > 1 {
			name = fmt.Sprintf("assume_role (%d of %d)", i+1, len(c.AssumeRole))
		}
		errs = append(errs, role.check(name)...)
	}
	if c.AssumeRoleWithWebIdentity != nil {
		if c.AccessKey != "" {
			add("assume_role_with_web_identity: it takes the place of access_key and secret_key; give one of the two")
		}
		errs = append(errs, c.AssumeRoleWithWebIdentity.check("assume_role_with_web_identity")...)
	}
	if len(c.AllowedAccountIDs) > 0 && len(c.ForbiddenAccountIDs) > 0 {
		add("allowed_account_ids: give either allowed_account_ids or forbidden_account_ids")
	}
	errs = append(errs, checkAccounts("allowed_account_ids", c.AllowedAccountIDs)...)
	errs = append(errs, checkAccounts("forbidden_account_ids", c.ForbiddenAccountIDs)...)
	errs = append(errs, checkEndpoint("custom_endpoint_ec2", c.CustomEndpointEc2)...)
	errs = append(errs, checkEndpoint("custom_endpoint_sts", c.CustomEndpointSts)...)
	if c.MaxRetries < 0 {
		add("max_retries: %d is negative", c.MaxRetries)
	}
	return errs
}

// Secrets returns the values that must never be shown, for the log's filter.
func (c *AccessConfig) Secrets() []string {
	var secrets []string
	for _, value := range []string{c.SecretKey, c.Token} {
		if known(value) {
			secrets = append(secrets, value)
		}
	}
	if w := c.AssumeRoleWithWebIdentity; w != nil && known(w.WebIdentityToken) {
		secrets = append(secrets, w.WebIdentityToken)
	}
	return secrets
}

// check returns what is wrong with the role called name.
func (r AssumeRoleConfig) check(name string) []error {
	errs := checkRole(name, r.AssumeRoleARN, r.AssumeRoleDurationSeconds, r.AssumeRoleSessionName, r.AssumeRolePolicy)
	for _, key := range r.AssumeRoleTransitiveTagKeys {
		if _, tagged := r.AssumeRoleTags[key]; known(key) && !tagged {
			errs = append(errs, fmt.Errorf("%s: transitive_tag_keys: %q is not a key of tags", name, key))
		}
	}
	return errs
}

// check returns what is wrong with the role called name.
func (r AssumeRoleWithWebIdentityConfig) check(name string) []error {
	errs := checkRole(name, r.RoleARN, r.DurationSeconds, r.SessionName, r.Policy)
	if (r.WebIdentityToken == "") == (r.WebIdentityTokenFile == "") {
		errs = append(errs, fmt.Errorf("%s: give either web_identity_token or web_identity_token_file", name))
	}
	return errs
}

// The limits of a role's session: the STS reference, action AssumeRole.
const (
	minRoleDuration = 15 * time.Minute
	maxRoleDuration = 12 * time.Hour
)

func checkRole(name, arn string, seconds int, session, policy string) []error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(name+": "+format, args...))
	}
	switch {
	case arn == "":
		add("role_arn: the ARN of the role must be given")
	case known(arn) && !roleForm.MatchString(arn):
		add("role_arn: %q is not the ARN of a role; one looks like arn:aws:iam::123456789012:role/image-builder", arn)
	}
	if d := time.Duration(seconds) * time.Second; seconds != 0 && (d < minRoleDuration || d > maxRoleDuration) {
		add("duration_seconds: %d is not between %.0f and %.0f", seconds, minRoleDuration.Seconds(), maxRoleDuration.Seconds())
	}
	if known(session) && !sessionNameForm.MatchString(session) {
		add("session_name: %q is not 2 to 64 letters, digits and +=,.@_-", session)
	}
	if known(policy) && !json.Valid([]byte(policy)) {
		add("policy: the text is not JSON")
	}
	return errs
}

func checkAccounts(name string, accounts []string) []error {
	var errs []error
	for _, account := range accounts {
		if known(account) && !accountForm.MatchString(account) {
			errs = append(errs, fmt.Errorf("%s: %q is not an account id; one has twelve digits", name, account))
		}
	}
	return errs
}

func checkEndpoint(name, address string) []error {
	if !known(address) {
		return nil
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return []error{fmt.Errorf("%s: %q is not an address; one looks like https://ec2.internal.example", name, withoutUserinfo(address))}
	}
	if parsed.User != nil {
		return []error{fmt.Errorf("%s: the address must not hold a user name or password", name)}
	}
	return nil
}

// withoutUserinfo cuts what may be a password out of a malformed address.
func withoutUserinfo(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "…" + address[at:]
	}
	return address
}

// known says that an option is given and its value already known.
func known(value string) bool {
	return value != "" && Known(value)
}

// Known says that Packer knows an option's value already, given or not.
func Known(value string) bool { return !strings.Contains(value, Unknown) }
