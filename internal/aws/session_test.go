package aws

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// conversation is a double of EC2 and STS that gives each action its answer
// and remembers who asked how.
type conversation struct {
	answers map[string]string // by action; "!code" answers with an error

	mu       sync.Mutex
	asked    []string // actions
	agents   []string
	keys     []string // access key ids that signed
	requests []string
}

func (c *conversation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action := r.PostForm.Get("Action")
	c.mu.Lock()
	c.asked = append(c.asked, action)
	c.agents = append(c.agents, r.UserAgent())
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	c.keys = append(c.keys, key)
	c.requests = append(c.requests, r.PostForm.Encode())
	c.mu.Unlock()

	answer, ok := c.answers[action]
	if code, failed := strings.CutPrefix(answer, "!"); failed || !ok {
		if !ok {
			code = "InvalidAction"
		}
		w.WriteHeader(http.StatusBadRequest)
		if _, sts := stsActions[action]; sts {
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, code)
			return
		}
		fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors></Response>`, code)
		return
	}
	fmt.Fprintf(w, "<%[1]sResponse>%[2]s</%[1]sResponse>", action, answer)
}

var stsActions = map[string]bool{"GetCallerIdentity": true, "AssumeRole": true, "AssumeRoleWithWebIdentity": true}

const identityAnswer = `<GetCallerIdentityResult><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>U</UserId></GetCallerIdentityResult>`

func assumedAnswer(action, key string) string {
	return fmt.Sprintf(`<%[1]sResult><Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>a</Arn><AssumedRoleId>i</AssumedRoleId></AssumedRoleUser></%[1]sResult>`, action, key)
}

// quietEnvironment takes away everything that AWS tools read from the machine.
func quietEnvironment(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func serve(t *testing.T, answers map[string]string) (*conversation, *httptest.Server) {
	t.Helper()
	c := &conversation{answers: answers}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, server
}

func TestConnectSignsWithTheCredentialsOf(t *testing.T) {
	tests := []struct {
		name   string
		config func(t *testing.T, c *AccessConfig)
		want   string
	}{
		{"the options access_key and secret_key", func(t *testing.T, c *AccessConfig) {
			c.AccessKey, c.SecretKey = "AKIAOPTIONS", "secret"
		}, "AKIAOPTIONS"},
		{"the environment", func(t *testing.T, c *AccessConfig) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRON")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
		}, "AKIAENVIRON"},
		{"a profile that only shared_credentials_file has", func(t *testing.T, c *AccessConfig) {
			c.SharedCredentialsFile = filepath.Join(t.TempDir(), "keys")
			write(t, c.SharedCredentialsFile, "[images]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n")
			c.Profile = "images"
		}, "AKIAPROFILE"},
		{"a role", func(t *testing.T, c *AccessConfig) {
			c.AccessKey, c.SecretKey = "AKIAOPTIONS", "secret"
			c.AssumeRole = []AssumeRoleConfig{{AssumeRoleARN: "arn:aws:iam::123456789012:role/a", AssumeRoleSessionName: "packer"}}
		}, "ASIAROLE"},
		{"the last role of a chain", func(t *testing.T, c *AccessConfig) {
			c.AccessKey, c.SecretKey = "AKIAOPTIONS", "secret"
			c.AssumeRole = []AssumeRoleConfig{{AssumeRoleARN: "arn:aws:iam::123456789012:role/a"}, {AssumeRoleARN: "arn:aws:iam::123456789012:role/b"}}
		}, "ASIAROLE"},
		{"a web identity", func(t *testing.T, c *AccessConfig) {
			file := filepath.Join(t.TempDir(), "token")
			write(t, file, "jwt")
			c.AssumeRoleWithWebIdentity = &AssumeRoleWithWebIdentityConfig{RoleARN: "arn:aws:iam::123456789012:role/w", WebIdentityTokenFile: file, SessionName: "packer"}
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
			if errs := config.Prepare(); len(errs) > 0 {
				t.Fatal(errs)
			}
			session, err := Connect(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := session.EC2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{}); err != nil {
				t.Fatal(err)
			}
			last := len(double.asked) - 1
			if double.asked[last] != "DescribeInstances" || double.keys[last] != test.want {
				t.Errorf("the last request was %s signed by %s, want DescribeInstances signed by %s", double.asked[last], double.keys[last], test.want)
			}
			if agent := double.agents[last]; !strings.Contains(agent, "packer-plugin-ec2-sysprep/") {
				t.Errorf("the user agent %q does not name the plugin", agent)
			}
			account, err := session.AccountID(t.Context())
			if err != nil || account != "123456789012" {
				t.Errorf("got account %q and error %v", account, err)
			}
			if n := strings.Count(strings.Join(double.asked, " "), "GetCallerIdentity"); n != 1 {
				t.Errorf("STS was asked %d times for the account, want once", n)
			}
		})
	}
}

func TestConnectTrustsACertificate(t *testing.T) {
	tests := []struct {
		name     string
		bundle   bool
		insecure bool
		want     bool
	}{
		{"not when nobody vouches for it", false, false, false},
		{"when AWS_CA_BUNDLE holds it", true, false, true},
		{"when insecure_skip_tls_verify is set", false, true, true},
		{"when both are set", true, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			quietEnvironment(t)
			server := httptest.NewTLSServer(&conversation{answers: map[string]string{
				"GetCallerIdentity": identityAnswer, "DescribeInstances": "<reservationSet/>",
			}})
			defer server.Close()
			server.Config.ErrorLog = nil
			if test.bundle {
				file := filepath.Join(t.TempDir(), "ca.pem")
				write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
				t.Setenv("AWS_CA_BUNDLE", file)
			}
			session, err := Connect(t.Context(), AccessConfig{
				AccessKey: "AKIA", SecretKey: "secret", Region: "eu-central-1", MaxRetries: 1,
				CustomEndpointEc2: server.URL, CustomEndpointSts: server.URL, InsecureSkipTLSVerify: test.insecure,
			})
			if err == nil {
				_, err = session.EC2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
			}
			if (err == nil) != test.want {
				t.Errorf("got error %v, want trust: %t", err, test.want)
			}
		})
	}
}

func TestConnectRefuses(t *testing.T) {
	tests := []struct {
		name    string
		answers map[string]string
		config  AccessConfig
		want    string
	}{
		{
			"an account that is not allowed",
			map[string]string{"GetCallerIdentity": identityAnswer},
			AccessConfig{Region: "eu-central-1", AllowedAccountIDs: []string{"999999999999"}},
			"allowed_account_ids: the credentials belong to account 123456789012",
		},
		{
			"a forbidden account, even when the credentials' validation is skipped",
			map[string]string{"GetCallerIdentity": identityAnswer},
			AccessConfig{Region: "eu-central-1", ForbiddenAccountIDs: []string{"123456789012"}, SkipCredsValidation: true},
			"forbidden_account_ids: ",
		},
		{
			"credentials that STS does not know",
			map[string]string{"GetCallerIdentity": "!InvalidClientTokenId"},
			AccessConfig{Region: "eu-central-1"},
			"InvalidClientTokenId",
		},
		{
			"a role that may not be assumed",
			map[string]string{"AssumeRole": "!AccessDenied"},
			AccessConfig{Region: "eu-central-1", AssumeRole: []AssumeRoleConfig{{AssumeRoleARN: "arn:aws:iam::123456789012:role/a"}}},
			"AccessDenied",
		},
		{"to go on without a region", map[string]string{"GetCallerIdentity": identityAnswer}, AccessConfig{}, "region: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			quietEnvironment(t)
			_, server := serve(t, test.answers)
			config := test.config
			config.AccessKey, config.SecretKey = "AKIA", "the-planted-secret"
			config.CustomEndpointEc2, config.CustomEndpointSts = server.URL, server.URL
			_, err := Connect(t.Context(), config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "the-planted-secret") {
				t.Errorf("the error shows the secret key: %v", err)
			}
		})
	}
}

func TestConnectAsksNobodyWhenValidationIsSkipped(t *testing.T) {
	quietEnvironment(t)
	double, server := serve(t, nil)
	_, err := Connect(t.Context(), AccessConfig{
		AccessKey: "AKIA", SecretKey: "secret", Region: "eu-central-1", SkipCredsValidation: true,
		CustomEndpointEc2: server.URL, CustomEndpointSts: server.URL,
	})
	if err != nil || len(double.asked) != 0 {
		t.Errorf("got error %v after %v, want none", err, double.asked)
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	quietEnvironment(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, server := serve(t, map[string]string{"GetCallerIdentity": identityAnswer})
	if _, err := Connect(ctx, AccessConfig{AccessKey: "AKIA", SecretKey: "s", Region: "eu-central-1", CustomEndpointSts: server.URL}); err == nil {
		t.Error("a cancelled context gave a session")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
