package ami

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
)

func TestConfigureCollectsEveryError(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name    string
		options map[string]any
		want    []string // how each line of the error begins
	}{
		{"a name is enough", map[string]any{"ami_name": "windows-2022"}, nil},
		{"template functions work in the name", map[string]any{"ami_name": "windows-{{timestamp}} {{clean_resource_name `a:b`}}"}, nil},
		{"values that are not known yet are let pass", map[string]any{
			"ami_name": "a-" + aws.Unknown, "instance_id": aws.Unknown, "region": aws.Unknown,
			"tags": map[string]string{"host": aws.Unknown}, "record_path": aws.Unknown,
		}, nil},
		{"nothing at all", map[string]any{}, []string{"ami_name: the AMI must have a name"}},
		{"a short name", map[string]any{"ami_name": "ab"}, []string{`ami_name: "ab" has 2 characters; EC2 takes 3 to 128`}},
		{"a long name with characters that EC2 does not take", map[string]any{"ami_name": "a:b*" + long}, []string{"ami_name: ", `ami_name: EC2 does not take ":", "*" in`}},
		{"a long description", map[string]any{"ami_name": "abc", "ami_description": long}, []string{"ami_description: it has 300 characters"}},
		{"tags that EC2 or the plugin do not take", map[string]any{
			"ami_name":      "abc",
			"tags":          map[string]string{"aws:x": "1", "ec2-sysprep:proof": "seen", long: "1"},
			"snapshot_tags": map[string]string{"": "1", "note": long},
		}, []string{`tags: "aws:x": keys that begin with aws:`, `tags: "ec2-sysprep:proof": keys that begin with ec2-sysprep:`, `tags: "xxx`, "snapshot_tags: a tag has no key", `snapshot_tags: "note": the value has more than 256`}},
		{"an instance that is none", map[string]any{"ami_name": "abc", "instance_id": "ami-12345678"}, []string{`instance_id: "ami-12345678" is not the id of an instance`}},
		{"the null builder's instance", map[string]any{"ami_name": "abc", "instance_id": "Null"}, []string{`instance_id: "Null" is what the builder gives`}},
		{
			"limits that are none",
			map[string]any{"ami_name": "abc", "stop_timeout": "-1s", "ami_timeout": "-1s", "poll_interval": "1ms"},
			[]string{"stop_timeout: ", "ami_timeout: ", "poll_interval: 1ms is too short"},
		},
		{
			"options of the access, first",
			map[string]any{"region": "Frankfurt", "access_key": "AKIA"},
			[]string{"secret_key: ", `region: "Frankfurt"`, "ami_name: "},
		},
		{"an option that nobody knows", map[string]any{"ami_name": "abc", "ami_nmae": "abc"}, []string{""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := new(PostProcessor).Configure(test.options)
			if len(test.want) == 0 {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if test.want[0] == "" {
				if !strings.Contains(err.Error(), "ami_nmae") {
					t.Errorf("the error does not name the option: %v", err)
				}
				return
			}
			if len(lines) != len(test.want) {
				t.Fatalf("got %d lines, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, test.want[i]) {
					t.Errorf("line %d is %q, want it to begin with %q", i+1, line, test.want[i])
				}
			}
		})
	}
}

func TestOptionsOfATemplateAreRead(t *testing.T) {
	const text = `
ami_name        = "windows-2022"
ami_description = "golden"
tags            = { team = "images" }
tag {
  key   = "os"
  value = "windows"
}
snapshot_tag {
  key   = "keep"
  value = "yes"
}
assume_role {
  role_arn = "arn:aws:iam::123456789012:role/a"
  tags     = { a = "b" }
}
assume_role {
  role_arn = "arn:aws:iam::210987654321:role/b"
}
assume_role_with_web_identity {
  role_arn                = "arn:aws:iam::123456789012:role/w"
  web_identity_token_file = "/token"
}
stop_timeout  = "45m"
require_proof = false
`
	var p PostProcessor
	file, diags := hclparse.NewParser().ParseHCL([]byte(text), "options.hcl")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	value, diags := hcldec.Decode(file.Body, p.ConfigSpec(), nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	// Packer prepares a component more than once.
	for range 2 {
		if err := p.Configure(value); err != nil {
			t.Fatal(err)
		}
	}
	c := p.config
	if diff := cmp.Diff(map[string]string{"team": "images", "os": "windows"}, c.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"keep": "yes"}, c.SnapshotTags); diff != "" {
		t.Errorf("snapshot_tags (-want +got):\n%s", diff)
	}
	if len(c.AssumeRole) != 2 || c.AssumeRole[1].AssumeRoleARN != "arn:aws:iam::210987654321:role/b" || c.AssumeRoleWithWebIdentity.WebIdentityTokenFile != "/token" {
		t.Errorf("got %+v and %+v", c.AssumeRole, c.AssumeRoleWithWebIdentity)
	}
	if c.StopTimeout != 45*time.Minute || c.AMITimeout != 2*time.Hour || c.PollInterval != 5*time.Second || !c.RequireProof.False() || !c.Generalized.True() {
		t.Errorf("got %s, %s, %s, %v, %v", c.StopTimeout, c.AMITimeout, c.PollInterval, c.RequireProof, c.Generalized)
	}
}
