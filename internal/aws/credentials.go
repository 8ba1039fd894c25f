package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sdkconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

// maxBackoff bounds the wait between two attempts of one request.
const maxBackoff = 20 * time.Second

// configure finds the credentials and the region and assumes the roles.
// Credentials are fetched once here, so that a missing or refused one is told
// before anything else is done; later they renew themselves.
//
// The chain is the AWS SDK's own. It is used without
// hashicorp/aws-sdk-go-base, whose clients of DynamoDB, IAM, S3, SNS and SQS
// the plugin would carry and never use.
func (c AccessConfig) configure(ctx context.Context) (awssdk.Config, error) {
	options, err := c.loadOptions()
	if err != nil {
		return awssdk.Config{}, err
	}
	config, err := sdkconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return awssdk.Config{}, err
	}
	config.Retryer = c.retryer(config.RetryMode)
	if c.AssumeRoleWithWebIdentity != nil {
		if config.Credentials, err = c.webIdentity(ctx, config); err != nil {
			return awssdk.Config{}, err
		}
	}
	found, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return awssdk.Config{}, fmt.Errorf("finding credentials: %w", err)
	}
	if config.Region == "" && found.Source == ec2rolecreds.ProviderName {
		// The credentials are those of the instance that Packer runs on, so
		// the region is that instance's, too.
		answer, err := imds.NewFromConfig(config).GetRegion(ctx, &imds.GetRegionInput{})
		if err != nil {
			return awssdk.Config{}, fmt.Errorf("region: asking the instance metadata service: %w", err)
		}
		config.Region = answer.Region
	}
	if config.Region == "" {
		return awssdk.Config{}, errors.New("region: no region is known; give the option region, or set the environment variable AWS_REGION or the profile's region")
	}
	for _, role := range c.AssumeRole {
		if config.Credentials, err = c.assume(ctx, config, role); err != nil {
			return awssdk.Config{}, err
		}
	}
	return config, nil
}

// loadOptions translates the options for the SDK.
func (c AccessConfig) loadOptions() ([]func(*sdkconfig.LoadOptions) error, error) {
	options := []func(*sdkconfig.LoadOptions) error{
		sdkconfig.WithRegion(c.Region),
		sdkconfig.WithHTTPClient(c.httpClient()),
		sdkconfig.WithLogConfigurationWarnings(true),
		sdkconfig.WithRetryMaxAttempts(c.attempts()),
		sdkconfig.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			if o.Client != nil && c.CustomEndpointSts != "" {
				o.Client = roleAssumer{o.Client, c.CustomEndpointSts}
			}
		}),
		sdkconfig.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			if o.Client != nil && c.CustomEndpointSts != "" {
				o.Client = webIdentityAssumer{o.Client, c.CustomEndpointSts}
			}
		}),
		func(o *sdkconfig.LoadOptions) error {
			o.APIOptions = append(o.APIOptions,
				awsmiddleware.AddUserAgentKeyValue("packer-plugin-ec2-sysprep", version.PluginVersion.FormattedVersion()))
			return nil
		},
	}
	if c.AccessKey != "" {
		options = append(options, sdkconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.Token)))
	}
	if c.Profile != "" {
		options = append(options, sdkconfig.WithSharedConfigProfile(c.Profile))
	}
	if c.SharedCredentialsFile != "" {
		path, err := expanded(c.SharedCredentialsFile)
		if err != nil {
			return nil, fmt.Errorf("shared_credentials_file: %w", err)
		}
		options = append(options, sdkconfig.WithSharedCredentialsFiles([]string{path}))
	}
	if c.SkipMetadataAPICheck {
		options = append(options, sdkconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if c.UseFIPSEndpoint {
		options = append(options, sdkconfig.WithUseFIPSEndpoint(awssdk.FIPSEndpointStateEnabled))
	}
	if c.UseDualStackEndpoint {
		options = append(options, sdkconfig.WithUseDualStackEndpoint(awssdk.DualStackEndpointStateEnabled))
	}
	return options, nil
}

// httpClient is the SDK's own, which follows AWS_CA_BUNDLE and the
// environment's proxies.
func (c AccessConfig) httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		if !c.InsecureSkipTLSVerify {
			return
		}
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.InsecureSkipVerify = true
	})
}

// attempts is max_retries in the SDK's count, which includes the first attempt.
func (c AccessConfig) attempts() int {
	if c.MaxRetries == 0 {
		return DefaultMaxRetries + 1
	}
	return c.MaxRetries + 1
}

// retryer repeats without the SDK's budget for retries: a build makes few
// requests, and each of them is worth all its attempts.
func (c AccessConfig) retryer(mode awssdk.RetryMode) func() awssdk.Retryer {
	standard := func(o *retry.StandardOptions) {
		o.MaxAttempts = c.attempts()
		o.MaxBackoff = maxBackoff
		o.RateLimiter = ratelimit.None
	}
	return func() awssdk.Retryer {
		if mode == awssdk.RetryModeAdaptive {
			return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, standard)
			})
		}
		return retry.NewStandard(standard)
	}
}

// assume returns the credentials of a role, assumed with those of config.
func (c AccessConfig) assume(ctx context.Context, config awssdk.Config, role AssumeRoleConfig) (awssdk.CredentialsProvider, error) {
	provider := stscreds.NewAssumeRoleProvider(c.sts(config), role.AssumeRoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = role.AssumeRoleSessionName
		o.Duration = time.Duration(role.AssumeRoleDurationSeconds) * time.Second
		o.ExternalID = given(role.AssumeRoleExternalID)
		o.Policy = given(role.AssumeRolePolicy)
		o.PolicyARNs = policies(role.AssumeRolePolicyARNs)
		o.SourceIdentity = given(role.AssumeRoleSourceIdentity)
		o.TransitiveTagKeys = role.AssumeRoleTransitiveTagKeys
		for key, value := range role.AssumeRoleTags {
			o.Tags = append(o.Tags, types.Tag{Key: awssdk.String(key), Value: awssdk.String(value)})
		}
	})
	if _, err := provider.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("assume_role: assuming %s: %w", role.AssumeRoleARN, err)
	}
	return awssdk.NewCredentialsCache(provider), nil
}

// webIdentity returns the credentials of the role that is assumed with a token.
func (c AccessConfig) webIdentity(ctx context.Context, config awssdk.Config) (awssdk.CredentialsProvider, error) {
	role := c.AssumeRoleWithWebIdentity
	// The request is not signed: what else was found is not needed, and asking
	// for it might fail.
	config.Credentials = nil
	provider := stscreds.NewWebIdentityRoleProvider(c.sts(config), role.RoleARN, identityToken{role}, func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = role.SessionName
		o.Duration = time.Duration(role.DurationSeconds) * time.Second
		o.Policy = given(role.Policy)
		o.PolicyARNs = policies(role.PolicyARNs)
	})
	if _, err := provider.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("assume_role_with_web_identity: assuming %s: %w", role.RoleARN, err)
	}
	return awssdk.NewCredentialsCache(provider), nil
}

// sts is a client of STS at the address of the options.
func (c AccessConfig) sts(config awssdk.Config) *sts.Client {
	return sts.NewFromConfig(config, func(o *sts.Options) {
		if c.CustomEndpointSts != "" {
			o.BaseEndpoint = awssdk.String(c.CustomEndpointSts)
		}
	})
}

// identityToken is the token of assume_role_with_web_identity. A file is read
// again whenever the credentials are renewed.
type identityToken struct {
	role *AssumeRoleWithWebIdentityConfig
}

// GetIdentityToken implements [stscreds.IdentityTokenRetriever].
func (t identityToken) GetIdentityToken() ([]byte, error) {
	if t.role.WebIdentityToken != "" {
		return []byte(t.role.WebIdentityToken), nil
	}
	path, err := expanded(t.role.WebIdentityTokenFile)
	if err != nil {
		return nil, fmt.Errorf("web_identity_token_file: %w", err)
	}
	token, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("web_identity_token_file: %w", err)
	}
	return token, nil
}

// roleAssumer sends the requests for a role that a profile names to
// custom_endpoint_sts.
type roleAssumer struct {
	stscreds.AssumeRoleAPIClient
	endpoint string
}

// AssumeRole implements [stscreds.AssumeRoleAPIClient].
func (a roleAssumer) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, options ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return a.AssumeRoleAPIClient.AssumeRole(ctx, in, append(options, at(a.endpoint))...)
}

// webIdentityAssumer is the same for a role that the environment or a profile
// names with a web identity.
type webIdentityAssumer struct {
	stscreds.AssumeRoleWithWebIdentityAPIClient
	endpoint string
}

// AssumeRoleWithWebIdentity implements [stscreds.AssumeRoleWithWebIdentityAPIClient].
func (a webIdentityAssumer) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, options ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return a.AssumeRoleWithWebIdentityAPIClient.AssumeRoleWithWebIdentity(ctx, in, append(options, at(a.endpoint))...)
}

func at(endpoint string) func(*sts.Options) {
	return func(o *sts.Options) { o.BaseEndpoint = awssdk.String(endpoint) }
}

// given is the text, nil when there is none.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return awssdk.String(text)
}

func policies(arns []string) []types.PolicyDescriptorType {
	var all []types.PolicyDescriptorType
	for _, arn := range arns {
		all = append(all, types.PolicyDescriptorType{Arn: awssdk.String(arn)})
	}
	return all
}

// expanded puts environment variables and the home folder into a path.
func expanded(path string) (string, error) {
	path = os.ExpandEnv(path)
	rest, found := strings.CutPrefix(path, "~")
	if !found || (rest != "" && !os.IsPathSeparator(rest[0])) {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, rest), nil
}
