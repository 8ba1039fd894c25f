package aws

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const (
	profileKeys = `
aws_access_key_id = AKIAPROFILE
aws_secret_access_key = secret
`
	profileRole = `
role_arn = arn:aws:iam::123456789012:role/a
source_profile = base
`
)

func TestCredentialsThatTheSurroundingsNameAreOf(t *testing.T) {
	tests := []struct {
		name   string
		config func(t *testing.T, c *AccessConfig)
		want   string
	}{
		{"the profile and not the environment, when profile is given", func(t *testing.T, c *AccessConfig) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRON")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			write(t, filepath.Join(os.Getenv("HOME"), "keys"), "[images]"+profileKeys)
			c.Profile, c.SharedCredentialsFile = "images", "~/keys"
		}, "AKIAPROFILE"},
		{"the role that the profile names, assumed at custom_endpoint_sts", func(t *testing.T, c *AccessConfig) {
			c.Profile, c.SharedCredentialsFile = "images", filepath.Join(t.TempDir(), "keys")
			write(t, c.SharedCredentialsFile, "[base]"+profileKeys+"[images]"+profileRole)
		}, "ASIAROLE"},
		{"the web identity that the environment names, asked for at custom_endpoint_sts", func(t *testing.T, _ *AccessConfig) {
			file := filepath.Join(t.TempDir(), "token")
			write(t, file, "jwt")
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/w")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
		}, "ASIAWEB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			quietEnvironment(t)
			double, server := serve(t, map[string]string{
				"GetCallerIdentity":         identityAnswer,
				"AssumeRole":                assumedAnswer("AssumeRole", "ASIAROLE"),
				"AssumeRoleWithWebIdentity": assumedAnswer("AssumeRoleWithWebIdentity", "ASIAWEB"),
				"DescribeInstances":         "<reservationSet/>",
			})
			config := AccessConfig{Region: "eu-central-1", CustomEndpointEc2: server.URL, CustomEndpointSts: server.URL}
			test.config(t, &config)
			session, err := Connect(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := session.EC2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{}); err != nil {
				t.Fatal(err)
			}
			if got := double.keys[len(double.keys)-1]; got != test.want {
				t.Errorf("the request was signed by %s, want %s", got, test.want)
			}
		})
	}
}

func TestTheMetadataServiceIsNotAskedWhenItsCheckIsSkipped(t *testing.T) {
	quietEnvironment(t)
	double, server := serve(t, nil)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	if _, err := Connect(t.Context(), AccessConfig{Region: "eu-central-1", SkipMetadataAPICheck: true, CustomEndpointSts: server.URL}); err == nil {
		t.Error("a machine without credentials gave a session")
	}
	if len(double.asked) != 0 {
		t.Errorf("the metadata service was asked %d times", len(double.asked))
	}
}
