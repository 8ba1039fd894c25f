package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
)

// validate runs packer validate in a folder of its own, without a lab.
func validate(t *testing.T, template string, vars map[string]string) result {
	t.Helper()
	b := &bench{t: t, packer: thePacker(t), folder: t.TempDir(), vars: vars}
	return b.run(nil, "validate", template)
}

func TestTheExamplesAreValid(t *testing.T) {
	examples, err := filepath.Glob(filepath.Join(root, "example", "*.pkr.hcl"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("-"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{
		"host": "192.0.2.10", "password": "a-Password-1", "region": "eu-central-1", "ami_name": "golden-windows",
		"ca_file": ca, "instance_id": "i-0123456789abcdef0", "record_path": "record.json",
	}
	for _, path := range examples {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := validate(t, example(t, filepath.Base(path)), vars)
			if r.code != 0 {
				t.Errorf("packer validate ended with %d:\n%s", r.code, r.output)
			}
		})
	}
}

const invalid = `
packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}
source "null" "windows" {
  communicator = "none"
}
build {
  sources = ["source.null.windows"]
  provisioner "ec2-sysprep" {
%s
  }
%s
}
`

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	folder := t.TempDir()
	answer := filepath.Join(folder, "unattend.xml")
	if err := os.WriteFile(answer, []byte("<unattend>\n  <settings>\n</unattend>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	template := filepath.Join(folder, "wrong.pkr.hcl")
	text := fmt.Sprintf(invalid, `
    winrm_host       = "192.0.2.10"
    winrm_use_ssl    = false
    winrm_insecure   = true
    transport        = "telnet"
    agent            = "cloudbase"
    shutdown         = "later"
    answer_file_path = "`+answer+`"
    sysprep_timeout  = "1ms"
    instance_id      = "0123"
    before_sysprep {}
    preflight {
      ignore = ["ES-999"]
    }`, "")
	if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := validate(t, template, nil)
	if r.code == 0 {
		t.Errorf("packer validate ended with 0")
	}
	for _, option := range []string{
		"winrm_username:", "winrm_password:", "winrm_insecure:", "transport:", "agent:", "shutdown:", "answer_file_path:",
		"unattend.xml:3:", "sysprep_timeout:", "instance_id:", "before_sysprep:", "preflight.ignore:",
	} {
		if !strings.Contains(r.output, option) {
			t.Errorf("the output lacks %q:\n%s", option, r.output)
		}
	}
}

func TestPlaceholdersOfTheBuildDoNotBreakValidate(t *testing.T) {
	template := filepath.Join(t.TempDir(), "placeholders.pkr.hcl")
	text := fmt.Sprintf(invalid, `
    winrm_host     = build.Host
    winrm_username = build.User
    winrm_password = build.Password
    instance_id    = build.ID`, `
  post-processor "ec2-sysprep-ami" {
    instance_id = build.ID
    region      = "eu-central-1"
    ami_name    = "golden-windows"
  }`)
	if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := validate(t, template, nil); r.code != 0 {
		t.Errorf("packer validate ended with %d:\n%s", r.code, r.output)
	}
}

// What a user gets wrong about the connection is reported in seconds when the
// provisioner has the connection itself.
func TestAConnectionThatIsWrongIsReportedWithinSeconds(t *testing.T) {
	for name, test := range map[string]struct {
		vars  map[string]string
		edit  []string
		wants []string
	}{
		"a wrong password":                 {vars: map[string]string{"password": "wrong-Password-1"}, wants: []string{"ES-201", "winrm_password"}},
		"a closed port":                    {vars: map[string]string{"port": "1"}, wants: []string{"ES-202", "winrm_port"}},
		"a certificate of no known signer": {edit: []string{"winrm_ca_file       = var.ca_file", "winrm_server_name = \"127.0.0.1\""}, wants: []string{"ES-203", "winrm_ca_file", "winrm_certificate_sha256"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) { o.Machines[0].HTTPS = true })
			before := b.guest().Fingerprint()
			for key, value := range test.vars {
				b.vars[key] = value
			}
			began := time.Now()
			r := b.build(b.edited("strict-connection.pkr.hcl", test.edit...), nil)
			b.wantFailure(r, test.wants...)
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			if b.guest().Fingerprint() != before {
				t.Error("the guest was changed")
			}
		})
	}
}

const requiredPlugins = `
packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}
`

// The README's templates are what people copy first. B needs the plugin amazon,
// which is not to be had here.
func TestTheReadmesTemplatesAreValid(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- template: (\\S+) -->\n```hcl\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 4 {
		t.Fatalf("the README has %d templates", len(blocks))
	}
	for _, block := range blocks {
		name := string(block[1])
		if name == "B" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, packer: thePacker(t), folder: t.TempDir(), vars: map[string]string{"host": "192.0.2.10", "password": "a-Password-1"}}
			b.write("ca.pem", "-")
			r := b.run(nil, "validate", b.write("readme.pkr.hcl", requiredPlugins+string(block[2])))
			if r.code != 0 {
				t.Errorf("packer validate ended with %d:\n%s", r.code, r.output)
			}
		})
	}
}
