package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
)

// value is something that goes into a template.
type value struct {
	name, text string
	// bare values are written without quotes.
	bare bool
}

// values are what a template needs to use the lab.
type values []value

// describe collects what a template needs.
func describe(l *lab.Lab, caFile string) values {
	m := l.Machines()[0]
	listener := m.HTTP()
	if m.HTTPS() != nil {
		listener = m.HTTPS()
	}
	all := values{
		{name: "custom_endpoint_ec2", text: l.Endpoint()},
		{name: "region", text: l.Region()},
		{name: "access_key", text: lab.AccessKey},
		{name: "secret_key", text: lab.SecretKey},
		{name: "instance_id", text: m.InstanceID()},
		{name: "winrm_host", text: "127.0.0.1"},
		{name: "winrm_port", text: lab.Port(listener), bare: true},
		{name: "winrm_username", text: m.User()},
		{name: "winrm_password", text: m.Password()},
		{name: "winrm_use_ssl", text: strconv.FormatBool(m.HTTPS() != nil), bare: true},
	}
	if caFile != "" {
		all = append(all, value{name: "winrm_ca_file", text: caFile})
	}
	return all
}

func (v values) get(name string) string {
	for _, one := range v {
		if one.name == name {
			return one.text
		}
	}
	return ""
}

// pkrvars returns the values as a variables file of Packer's.
func (v values) pkrvars() string {
	var text strings.Builder
	for _, one := range v {
		shown := one.text
		if !one.bare {
			shown = hcl(one.text)
		}
		fmt.Fprintf(&text, "%-19s = %s\n", one.name, shown)
	}
	return text.String()
}

// hcl quotes a text as HCL does.
func hcl(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{", "\n", `\n`).Replace(text) + `"`
}

// text returns what the program prints.
func (v values) text(s settings) string {
	var text strings.Builder
	fmt.Fprintf(&text, "The lab runs %g times as fast as the world, with the guest %s. Ctrl-C ends it.\n\n", s.speed, s.machine)
	text.WriteString("For the AWS tools and SDKs:\n\n")
	for _, variable := range []struct{ name, text string }{
		{"AWS_ENDPOINT_URL", v.get("custom_endpoint_ec2")},
		{"AWS_REGION", v.get("region")},
		{"AWS_ACCESS_KEY_ID", v.get("access_key")},
		{"AWS_SECRET_ACCESS_KEY", v.get("secret_key")},
	} {
		fmt.Fprintf(&text, "  export %s=%s\n", variable.name, variable.text)
	}
	text.WriteString("\nFor a template:\n\n")
	for line := range strings.Lines(v.pkrvars()) {
		text.WriteString("  " + line)
	}
	if s.vars != "" {
		fmt.Fprintf(&text, "\nThe same stands in %s: packer build -var-file=%s …\n", s.vars, s.vars)
	}
	text.WriteString("\nWhat happens, by the lab's clock:\n\n")
	return text.String()
}

// look is what the program tells of a machine.
type look struct {
	instance string
	state    string
	on       bool
	network  bool
	image    string
	sysprep  bool
}

// watch tells what happens until ctx ends.
func watch(ctx context.Context, l *lab.Lab, stdout io.Writer) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	last := make([]look, len(l.Machines()))
	for {
		for i, m := range l.Machines() {
			now := look{instance: m.InstanceID(), on: m.Guest().On(), network: m.Guest().Reachable(), image: m.Guest().ImageState(), sysprep: m.Guest().Runs("sysprep")}
			if instance, ok := l.EC2.Instance(now.instance); ok {
				now.state = instance.State
			}
			if now != last[i] {
				last[i] = now
				if _, err := fmt.Fprintf(stdout, "  %s  %s\n", l.Clock.Now().Format("15:04:05"), now); err != nil {
					return err
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// String says it in a line.
func (l look) String() string {
	parts := []string{l.instance, l.state}
	if l.instance == "" {
		parts = []string{"not launched"}
	}
	switch {
	case !l.on:
		parts = append(parts, "off")
	case !l.network:
		parts = append(parts, "on, WinRM away")
	default:
		parts = append(parts, "on, WinRM answers")
	}
	parts = append(parts, l.image)
	if l.sysprep {
		parts = append(parts, "sysprep.exe runs")
	}
	return strings.Join(parts, "  ")
}
