package aws

import (
	"strings"
	"testing"
)

func TestPrepareCollectsEveryError(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/a"
	tests := []struct {
		name   string
		config AccessConfig
		want   []string // one beginning for each error, in order
	}{
		{"nothing at all is fine", AccessConfig{}, nil},
		{"everything given well is fine", AccessConfig{
			AccessKey: "AKIA", SecretKey: "s", Token: "t", Region: "us-gov-west-1", AllowedAccountIDs: []string{"123456789012"},
			AssumeRole:        []AssumeRoleConfig{{AssumeRoleARN: role, AssumeRoleDurationSeconds: 3600, AssumeRoleSessionName: "a@b", AssumeRolePolicy: "{}", AssumeRoleTags: map[string]string{"a": "b"}, AssumeRoleTransitiveTagKeys: []string{"a"}}},
			CustomEndpointEc2: "https://ec2.internal.example", CustomEndpointSts: "http://127.0.0.1:4566",
		}, nil},
		{"values that are not known yet are fine", AccessConfig{
			Region: Unknown, AllowedAccountIDs: []string{Unknown}, CustomEndpointEc2: Unknown,
			AssumeRole: []AssumeRoleConfig{{AssumeRoleARN: Unknown, AssumeRoleSessionName: Unknown, AssumeRolePolicy: Unknown}},
		}, nil},
		{"half a key", AccessConfig{AccessKey: "AKIA"}, []string{"secret_key: "}},
		{"the other half", AccessConfig{SecretKey: "s"}, []string{"access_key: "}},
		{"a token alone", AccessConfig{Token: "t"}, []string{"token: "}},
		{"a region that is none", AccessConfig{Region: "Frankfurt"}, []string{`region: "Frankfurt"`}},
		{"a role without an ARN", AccessConfig{AssumeRole: []AssumeRoleConfig{{}}}, []string{"assume_role: role_arn: "}},
		{"the second role of a chain", AccessConfig{AssumeRole: []AssumeRoleConfig{{AssumeRoleARN: role}, {AssumeRoleARN: "b"}}}, []string{`assume_role (2 of 2): role_arn: "b"`}},
		{"all that can be wrong in a role", AccessConfig{AssumeRole: []AssumeRoleConfig{{
			AssumeRoleARN: role, AssumeRoleDurationSeconds: 60, AssumeRoleSessionName: "a b", AssumeRolePolicy: "{", AssumeRoleTransitiveTagKeys: []string{"a"},
		}}}, []string{"assume_role: duration_seconds: 60", "assume_role: session_name: ", "assume_role: policy: ", "assume_role: transitive_tag_keys: "}},
		{
			"a web identity without a token, beside keys",
			AccessConfig{AccessKey: "AKIA", SecretKey: "s", AssumeRoleWithWebIdentity: &AssumeRoleWithWebIdentityConfig{}},
			[]string{"assume_role_with_web_identity: it takes", "assume_role_with_web_identity: role_arn: ", "assume_role_with_web_identity: give either"},
		},
		{
			"a web identity with two tokens",
			AccessConfig{AssumeRoleWithWebIdentity: &AssumeRoleWithWebIdentityConfig{RoleARN: role, WebIdentityToken: "t", WebIdentityTokenFile: "f"}},
			[]string{"assume_role_with_web_identity: give either"},
		},
		{
			"accounts that are allowed and forbidden",
			AccessConfig{AllowedAccountIDs: []string{"1"}, ForbiddenAccountIDs: []string{"me"}},
			[]string{"allowed_account_ids: give either", `allowed_account_ids: "1"`, `forbidden_account_ids: "me"`},
		},
		{
			"endpoints that are none",
			AccessConfig{CustomEndpointEc2: "ec2.internal", CustomEndpointSts: "https://me:the-planted-secret@host"},
			[]string{`custom_endpoint_ec2: "ec2.internal"`, "custom_endpoint_sts: the address must not"},
		},
		{"negative retries", AccessConfig{MaxRetries: -1}, []string{"max_retries: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			errs := test.config.Prepare()
			if len(errs) != len(test.want) {
				t.Fatalf("got %d errors, want %d: %v", len(errs), len(test.want), errs)
			}
			for i, err := range errs {
				if !strings.HasPrefix(err.Error(), test.want[i]) {
					t.Errorf("error %d is %q, want it to begin with %q", i+1, err, test.want[i])
				}
				if strings.Contains(err.Error(), "the-planted-secret") {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		})
	}
}

func TestSecretsAreNamed(t *testing.T) {
	config := AccessConfig{SecretKey: "a", Token: "b", AssumeRoleWithWebIdentity: &AssumeRoleWithWebIdentityConfig{WebIdentityToken: "c"}}
	if got := strings.Join(config.Secrets(), ""); got != "abc" {
		t.Errorf("got %q", got)
	}
	if got := (&AccessConfig{}).Secrets(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}
