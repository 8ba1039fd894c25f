package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	awsbase "github.com/hashicorp/aws-sdk-go-base/v2"
	"github.com/hashicorp/aws-sdk-go-base/v2/diag"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

// EC2 is the operations of Amazon EC2 that the plugin uses, and no other: the
// documents' minimal IAM policy is this list.
//
// It is a struct of functions and not an interface, because a client behind an
// interface would link every operation of EC2 into the plugin.
type EC2 struct {
	DescribeInstances         func(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	DescribeInstanceAttribute func(context.Context, *ec2.DescribeInstanceAttributeInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceAttributeOutput, error)
	GetConsoleOutput          func(context.Context, *ec2.GetConsoleOutputInput, ...func(*ec2.Options)) (*ec2.GetConsoleOutputOutput, error)
	CreateImage               func(context.Context, *ec2.CreateImageInput, ...func(*ec2.Options)) (*ec2.CreateImageOutput, error)
	DescribeImages            func(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	DescribeSnapshots         func(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
	CreateTags                func(context.Context, *ec2.CreateTagsInput, ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
	DeregisterImage           func(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DeleteSnapshot            func(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
}

// Session is one way to AWS: one region and one set of credentials.
type Session struct {
	// EC2 is the operations, in Region.
	EC2 EC2
	// Region is the region's name, never empty.
	Region string
	// AccountID returns the account that the credentials belong to. STS is
	// asked at the first call; the answer is kept.
	AccountID func(context.Context) (string, error)
}

// Connect makes a session. It resolves the credentials, assumes the roles and,
// unless skip_credential_validation is set, asks STS which account they belong
// to and checks it against allowed_account_ids and forbidden_account_ids.
//
// The environment variable AWS_CA_BUNDLE is followed, also together with
// insecure_skip_tls_verify. No request or answer is logged.
func Connect(ctx context.Context, c AccessConfig) (*Session, error) {
	base := c.base()
	_, config, diags := awsbase.GetAwsConfig(ctx, &base)
	if diags.HasError() {
		return nil, fmt.Errorf("connecting to AWS: %w", diagnosed(diags))
	}
	if config.Region == "" {
		return nil, errors.New("connecting to AWS: region: no region is known; give the option region, or set the environment variable AWS_REGION or the profile's region")
	}
	session := newSession(config, c)
	if c.SkipCredsValidation && len(c.AllowedAccountIDs) == 0 && len(c.ForbiddenAccountIDs) == 0 {
		return session, nil
	}
	account, err := session.AccountID(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.checkAccount(account); err != nil {
		return nil, err
	}
	return session, nil
}

// base translates the options. Checking the credentials is our own work: once,
// and in our own words.
func (c AccessConfig) base() awsbase.Config {
	retries := c.MaxRetries
	if retries == 0 {
		retries = DefaultMaxRetries
	}
	base := awsbase.Config{
		AccessKey:            c.AccessKey,
		SecretKey:            c.SecretKey,
		Token:                c.Token,
		Profile:              c.Profile,
		Region:               c.Region,
		StsEndpoint:          c.CustomEndpointSts,
		Insecure:             c.InsecureSkipTLSVerify,
		MaxRetries:           retries + 1, // the SDK counts attempts
		MaxBackoff:           20 * time.Second,
		SkipCredsValidation:  true,
		SuppressDebugLog:     true,
		UseFIPSEndpoint:      c.UseFIPSEndpoint,
		UseDualStackEndpoint: c.UseDualStackEndpoint,
		CallerName:           "the Packer plugin ec2-sysprep",
		HTTPProxyMode:        awsbase.HTTPProxyModeSeparate,
		UserAgent: awsbase.UserAgentProducts{
			{Name: "packer-plugin-ec2-sysprep", Version: version.PluginVersion.FormattedVersion()},
		},
	}
	if c.SharedCredentialsFile != "" {
		base.SharedCredentialsFiles = []string{c.SharedCredentialsFile}
	}
	if c.SkipMetadataAPICheck {
		base.EC2MetadataServiceEnableState = imds.ClientDisabled
	}
	for _, role := range c.AssumeRole {
		base.AssumeRole = append(base.AssumeRole, awsbase.AssumeRole{
			RoleARN:           role.AssumeRoleARN,
			Duration:          time.Duration(role.AssumeRoleDurationSeconds) * time.Second,
			ExternalID:        role.AssumeRoleExternalID,
			Policy:            role.AssumeRolePolicy,
			PolicyARNs:        role.AssumeRolePolicyARNs,
			SessionName:       role.AssumeRoleSessionName,
			SourceIdentity:    role.AssumeRoleSourceIdentity,
			Tags:              role.AssumeRoleTags,
			TransitiveTagKeys: role.AssumeRoleTransitiveTagKeys,
		})
	}
	if role := c.AssumeRoleWithWebIdentity; role != nil {
		base.AssumeRoleWithWebIdentity = &awsbase.AssumeRoleWithWebIdentity{
			RoleARN:              role.RoleARN,
			Duration:             time.Duration(role.DurationSeconds) * time.Second,
			Policy:               role.Policy,
			PolicyARNs:           role.PolicyARNs,
			SessionName:          role.SessionName,
			WebIdentityToken:     role.WebIdentityToken,
			WebIdentityTokenFile: role.WebIdentityTokenFile,
		}
	}
	return base
}

// newSession makes the clients and keeps only the operations of them.
func newSession(config awssdk.Config, c AccessConfig) *Session {
	client := ec2.NewFromConfig(config, func(o *ec2.Options) {
		if c.CustomEndpointEc2 != "" {
			o.BaseEndpoint = awssdk.String(c.CustomEndpointEc2)
		}
	})
	identity := sts.NewFromConfig(config, func(o *sts.Options) {
		if c.CustomEndpointSts != "" {
			o.BaseEndpoint = awssdk.String(c.CustomEndpointSts)
		}
	})
	return &Session{
		Region:    config.Region,
		AccountID: remembered(identity.GetCallerIdentity),
		EC2: EC2{
			DescribeInstances:         client.DescribeInstances,
			DescribeInstanceAttribute: client.DescribeInstanceAttribute,
			GetConsoleOutput:          client.GetConsoleOutput,
			CreateImage:               client.CreateImage,
			DescribeImages:            client.DescribeImages,
			DescribeSnapshots:         client.DescribeSnapshots,
			CreateTags:                client.CreateTags,
			DeregisterImage:           client.DeregisterImage,
			DeleteSnapshot:            client.DeleteSnapshot,
		},
	}
}

// remembered asks STS once for the account and keeps the answer. An error is
// not kept.
func remembered(ask func(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)) func(context.Context) (string, error) {
	var mu sync.Mutex
	var account string
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if account != "" {
			return account, nil
		}
		answer, err := ask(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", fmt.Errorf("asking STS which account the credentials belong to: %w", err)
		}
		account = awssdk.ToString(answer.Account)
		return account, nil
	}
}

// checkAccount says whether the options let the account be used.
func (c AccessConfig) checkAccount(account string) error {
	if len(c.AllowedAccountIDs) > 0 && !slices.Contains(c.AllowedAccountIDs, account) {
		return fmt.Errorf("allowed_account_ids: the credentials belong to account %s, and only %s may be used", account, strings.Join(c.AllowedAccountIDs, ", "))
	}
	if slices.Contains(c.ForbiddenAccountIDs, account) {
		return fmt.Errorf("forbidden_account_ids: the credentials belong to account %s", account)
	}
	return nil
}

// diagnosed makes one error of the errors among diags.
func diagnosed(diags diag.Diagnostics) error {
	var errs []error
	for _, d := range diags.Errors() {
		if with, ok := d.(diag.DiagnosticWithErr); ok && with.Err() != nil {
			errs = append(errs, fmt.Errorf("%s: %w", lowerFirst(d.Summary()), with.Err()))
			continue
		}
		text := lowerFirst(d.Summary())
		if detail := strings.Join(strings.Fields(d.Detail()), " "); detail != "" {
			text += ": " + detail
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// lowerFirst lowers the first letter, unless an acronym or a name begins there.
func lowerFirst(text string) string {
	if len(text) > 1 && strings.ToUpper(text[1:2]) == text[1:2] {
		return text
	}
	if text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
