package sysprep

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/zclconf/go-cty/cty"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// messages are the single errors of a Prepare.
func messages(err error) []string {
	var multi *packersdk.MultiError
	if !errors.As(err, &multi) {
		if err == nil {
			return nil
		}
		return []string{err.Error()}
	}
	var texts []string
	for _, err := range multi.Errors {
		texts = append(texts, err.Error())
	}
	return texts
}

func TestEverythingWrongWithTheOptionsIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	const pin = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name    string
		options map[string]any
		want    []string
	}{
		{name: "no options at all", options: map[string]any{}},
		{name: "a whole connection", options: map[string]any{"winrm_host": "10.0.0.1", "winrm_username": "Administrator", "winrm_password": "x-y-z-1"}},
		{
			name: "a host alone", options: map[string]any{"winrm_host": "10.0.0.1"},
			want: []string{"winrm_username: it is missing beside winrm_host", "winrm_password: it is missing beside winrm_host"},
		},
		{
			name: "a port and a pin that are none",
			options: map[string]any{
				"winrm_host": "10.0.0.1", "winrm_username": "Administrator", "winrm_password": "x-y-z-1", "winrm_port": 70000,
				"winrm_certificate_sha256": "AB:CD",
			},
			want: []string{"winrm_port: 70000 is no port", "winrm_certificate_sha256: it has to be 64 hexadecimal digits, with or without colons"},
		},
		{
			name: "TLS options beside plain HTTP",
			options: map[string]any{
				"winrm_use_ssl": false, "winrm_ca_file": file("ca.pem", ""), "winrm_server_name": "guest", "winrm_certificate_sha256": pin,
			},
			want: []string{
				"winrm_ca_file: it is about HTTPS, and winrm_use_ssl is false; drop one of them",
				"winrm_server_name: it is about HTTPS, and winrm_use_ssl is false; drop one of them",
				"winrm_certificate_sha256: it is about HTTPS, and winrm_use_ssl is false; drop one of them",
			},
		},
		{
			name:    "any certificate and this certificate",
			options: map[string]any{"winrm_insecure": true, "winrm_certificate_sha256": pin},
			want:    []string{"winrm_insecure: it accepts any certificate, and winrm_ca_file or winrm_certificate_sha256 says which; drop one of them"},
		},
		{
			name:    "any certificate and plain HTTP",
			options: map[string]any{"winrm_insecure": true, "winrm_use_ssl": false},
			want:    []string{"winrm_insecure: it is about HTTPS, and winrm_use_ssl is false; drop one of them"},
		},
		{
			name:    "words that are none",
			options: map[string]any{"transport": "telnet", "agent": "cloud-init", "shutdown": "now"},
			want: []string{
				`transport: "telnet" is none of "auto", "winrm" and "communicator"`,
				`agent: "cloud-init" is none of "auto", "ec2launch-v2", "ec2launch-v1", "ec2config"`,
				`shutdown: "now" is none of "sealed", "agent", "none"`,
			},
		},
		{
			name:    "Packer's communicator and a host of its own",
			options: map[string]any{"transport": "communicator", "winrm_host": "10.0.0.1", "winrm_username": "Administrator", "winrm_password": "x-y-z-1"},
			want:    []string{`transport: "communicator" goes through Packer's communicator, and winrm_host is for a connection of the provisioner's own; drop one of them`},
		},
		{
			name:    "limits that are too short",
			options: map[string]any{"connect_timeout": "-1s", "reconnect_timeout": "1ms", "sysprep_timeout": "10ms", "stall_timeout": "-5m", "shutdown_timeout": "1ns"},
			want: []string{
				`connect_timeout: -1s is too short; give a second at least, such as "5m0s"`,
				`reconnect_timeout: 1ms is too short; give a second at least, such as "2m0s"`,
				`sysprep_timeout: 10ms is too short; give a second at least, such as "1h0m0s"`,
				`stall_timeout: -5m0s is too short; give a second at least, such as "15m0s"`,
				`shutdown_timeout: 1ns is too short; give a second at least, such as "10m0s"`,
			},
		},
		{
			name:    "names that EC2 does not take",
			options: map[string]any{"instance_id": "ami-12345678", "ami_name": "ab"},
			want: []string{
				`instance_id: "ami-12345678" is no instance id; one looks like i-0123456789abcdef0`,
				`ami_name: "ab" has 2 characters; EC2 takes 3 to 128`,
			},
		},
		{
			name: "files that are not there",
			options: map[string]any{
				"winrm_ca_file":    filepath.Join(folder, "no-ca.pem"),
				"answer_file_path": filepath.Join(folder, "no-answers.xml"),
				"before_sysprep":   map[string]any{"path": filepath.Join(folder, "no-script.cmd")},
			},
			want: []string{
				"winrm_ca_file: stat FOLDER/no-ca.pem: no such file or directory",
				"answer_file_path: open FOLDER/no-answers.xml: no such file or directory",
				"before_sysprep.path: open FOLDER/no-script.cmd: no such file or directory",
			},
		},
		{
			name:    "two answer files",
			options: map[string]any{"answer_file_path": file("one.xml", "<a/>"), "answer_file_content": "<b/>"},
			want:    []string{"answer_file_content: answer_file_path is given too; drop one of them"},
		},
		{
			name:    "an answer file that is no XML",
			options: map[string]any{"answer_file_path": file("broken.xml", "<?xml version=\"1.0\"?>\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n  <settings pass=\"specialize\">\n  </unattend>\n")},
			want:    []string{"answer_file_path: FOLDER/broken.xml:4:3: </unattend> cannot close <settings> of line 3"},
		},
		{
			name:    "an answer file that is another document",
			options: map[string]any{"answer_file_content": "<html>\n</html>\n"},
			want:    []string{"answer_file_content: answer_file_content:1:1: error: the root element is <html>, not <unattend> (root-element); use an answer file: its root element is <unattend>"},
		},
		{
			name:    "before_sysprep that says nothing",
			options: map[string]any{"before_sysprep": map[string]any{}},
			want:    []string{"before_sysprep: it says nothing; give commands or path"},
		},
		{
			name:    "before_sysprep that says two things",
			options: map[string]any{"before_sysprep": map[string]any{"path": file("a.cmd", "@echo off\r\n"), "commands": []string{"echo hello"}}},
			want:    []string{"before_sysprep.path: commands are given too; drop one of them"},
		},
		{
			name:    "a script that leaves remote desktop open",
			options: map[string]any{"before_sysprep": map[string]any{"path": file("open.cmd", "@echo off\r\ndel /q C:\\temp\\*\r\n")}},
			want:    []string{"before_sysprep.path: open.cmd does not close remote desktop: without the line that sets fDenyTSConnections to 1 an instance can be entered without a password in its first moments; keep the line, or say allow_lost_rdp_line = true"},
		},
		{
			name:    "commands that cmd.exe cannot run",
			options: map[string]any{"before_sysprep": map[string]any{"commands": []string{"", "echo größer"}}},
			want:    []string{"before_sysprep.commands: command 1 is empty", "before_sysprep.commands: command 2, column 8: the character 'ö' (U+00F6) is not ASCII; cmd.exe would read it in the guest's OEM code page"},
		},
		{
			name:    "a rule that nobody knows",
			options: map[string]any{"preflight": map[string]any{"ignore": []string{"ES-110", "ES-999"}}},
			want:    []string{`preflight.ignore: "ES-999" is no rule; the rules are ` + strings.Join(preflight.IDs(), ", ")},
		},
		{
			name:    "half of the keys for AWS and a wrong account",
			options: map[string]any{"access_key": "AKIALABLABLABLABLAB1", "allowed_account_ids": []string{"12"}},
			want:    []string{"secret_key: access_key is given, so secret_key must be given, too", `allowed_account_ids: "12" is not an account id; one has twelve digits`},
		},
		{
			name:    "an option that nobody knows",
			options: map[string]any{"winrm_hots": "10.0.0.1"},
			want:    []string{"1 error occurred:\n\t* unknown configuration key: '\"winrm_hots\"'\n\n"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := new(Provisioner)
			// Packer prepares several times.
			_ = p.Prepare(test.options)
			got := messages(p.Prepare(test.options))
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], folder, "FOLDER")
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the messages are\n  %s\nwanted\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
			for _, message := range got {
				option, _, _ := strings.Cut(message, ":")
				option, _, _ = strings.Cut(option, ".")
				if _, known := p.ConfigSpec()[option]; !known && test.name != "an option that nobody knows" {
					t.Errorf("%q does not begin with an option", message)
				}
			}
		})
	}
}

func TestDefaultsAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	p := new(Provisioner)
	if err := p.Prepare(map[string]any{"stall_timeout": "3h"}); err != nil {
		t.Fatal(err)
	}
	c := p.config
	got := []string{
		c.Transport, c.Agent, c.Shutdown, c.LogDir, c.ConnectTimeout.String(), c.ReconnectTimeout.String(), c.SysprepTimeout.String(),
		c.StallTimeout.String(), c.ShutdownTimeout.String(),
	}
	want := []string{"auto", "auto", "sealed", "ec2-sysprep-logs", "5m0s", "2m0s", "1h0m0s", "1h0m0s", "10m0s"}
	if !slices.Equal(got, want) {
		t.Errorf("the defaults are %q, wanted %q; a stall limit is never longer than the whole", got, want)
	}
}

func TestValuesThatPackerDoesNotKnowYetAreTakenAndRefusedLater(t *testing.T) {
	t.Parallel()
	options := map[string]any{}
	for _, option := range []string{
		"winrm_host", "winrm_username", "winrm_password", "winrm_ca_file", "winrm_server_name", "winrm_certificate_sha256", "region", "profile",
		"instance_id", "ami_name", "answer_file_path", "record_path", "log_dir",
	} {
		options[option] = aws.Unknown
	}
	options["before_sysprep"] = map[string]any{"path": aws.Unknown}
	p := new(Provisioner)
	if err := p.Prepare(options); err != nil {
		t.Fatalf("the placeholders are refused: %s", err)
	}
	err := p.Provision(t.Context(), &recordingUI{}, nil, map[string]any{"ConnType": "none"})
	if err == nil {
		t.Fatal("the placeholders were taken for values")
	}
	lines := strings.Split(err.Error(), "\n")
	var refused []string
	for _, line := range lines {
		option, _, _ := strings.Cut(line, ":")
		option, _, _ = strings.Cut(option, ".")
		refused = append(refused, option)
		if !strings.Contains(line, "its value is still <unknown>") || !strings.Contains(line, "use a variable or a local value instead") {
			t.Errorf("%q does not say what is wrong", line)
		}
	}
	for option := range options {
		if !slices.Contains(refused, option) {
			t.Errorf("%s was not refused", option)
		}
	}
}

func TestPreparingAgainForgetsWhatWasBefore(t *testing.T) {
	t.Parallel()
	p := new(Provisioner)
	if err := p.Prepare(map[string]any{"shutdown": "none", "ami_name": "golden", "preflight": map[string]any{"ignore": []string{"ES-110"}}}); err != nil {
		t.Fatal(err)
	}
	if err := p.Prepare(map[string]any{}); err != nil {
		t.Fatal(err)
	}
	if p.config.Shutdown != "sealed" || p.config.AMIName != "" || len(p.config.Preflight.Ignore) != 0 {
		t.Errorf("left over: %+v", p.config)
	}
}

// value is a value of an option's type that differs from its zero value.
func value(t *testing.T, of cty.Type) string {
	t.Helper()
	switch {
	case of == cty.String:
		return `"word"`
	case of == cty.Bool:
		return "true"
	case of == cty.Number:
		return "7"
	case of.IsListType() && of.ElementType() == cty.String, of.IsSetType():
		return `["word"]`
	case of.IsMapType():
		return `{ key = "word" }`
	}
	t.Fatalf("no value for %s", of.FriendlyName())
	return ""
}

// body writes an HCL body that sets every option of a specification.
func body(t *testing.T, spec hcldec.ObjectSpec, indent string) string {
	t.Helper()
	var text strings.Builder
	var names []string
	for name := range spec {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch s := spec[name].(type) {
		case *hcldec.AttrSpec:
			text.WriteString(indent + s.Name + " = " + value(t, s.Type) + "\n")
		case *hcldec.BlockSpec:
			text.WriteString(indent + s.TypeName + " {\n" + body(t, s.Nested.(hcldec.ObjectSpec), indent+"  ") + indent + "}\n")
		case *hcldec.BlockListSpec:
			text.WriteString(indent + s.TypeName + " {\n" + body(t, s.Nested.(hcldec.ObjectSpec), indent+"  ") + indent + "}\n")
		default:
			t.Fatalf("%s is a %T", name, s)
		}
	}
	return text.String()
}

func TestEveryOptionOfTheSpecificationCanBeWritten(t *testing.T) {
	t.Parallel()
	p := new(Provisioner)
	text := body(t, p.ConfigSpec(), "")
	file, problems := hclsyntax.ParseConfig([]byte(text), "options.pkr.hcl", hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatalf("%s\n%s", problems, text)
	}
	decoded, problems := hcldec.Decode(file.Body, p.ConfigSpec(), nil)
	if problems.HasErrors() {
		t.Fatalf("%s\n%s", problems, text)
	}
	for name, v := range decoded.AsValueMap() {
		if v.IsNull() {
			t.Errorf("%s was lost", name)
		}
	}
}

func TestEveryOptionIsDocumented(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs-partials", "*", "*", "*.mdx"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no documents of the options were found (%v)", err)
	}
	var documents strings.Builder
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		documents.Write(text)
	}
	var walk func(hcldec.ObjectSpec)
	walk = func(spec hcldec.ObjectSpec) {
		for name, one := range spec {
			if strings.HasPrefix(name, "packer_") {
				continue
			}
			if !strings.Contains(documents.String(), "- `"+name+"`") {
				t.Errorf("%s is not documented", name)
			}
			switch s := one.(type) {
			case *hcldec.BlockSpec:
				walk(s.Nested.(hcldec.ObjectSpec))
			case *hcldec.BlockListSpec:
				walk(s.Nested.(hcldec.ObjectSpec))
			}
		}
	}
	walk(new(Provisioner).ConfigSpec())
}
