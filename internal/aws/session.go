package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
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
	config, err := c.configure(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to AWS: %w", err)
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

// newSession makes the clients and keeps only the operations of them.
func newSession(config awssdk.Config, c AccessConfig) *Session {
	client := ec2.NewFromConfig(config, func(o *ec2.Options) {
		if c.CustomEndpointEc2 != "" {
			o.BaseEndpoint = awssdk.String(c.CustomEndpointEc2)
		}
	})
	return &Session{
		Region:    config.Region,
		AccountID: remembered(c.sts(config).GetCallerIdentity),
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
