package image

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

// Template is what a template of shape C needs: it takes the stopped instance,
// its record and its journal, and carries on where a build ended.
type Template struct {
	InstanceID  string
	Region      string
	Profile     string
	RecordPath  string
	JournalPath string
	Name        string
	Description string
	// Tags and SnapshotTags are the user's own.
	Tags         map[string]string
	SnapshotTags map[string]string
	// CaptureUnproven and NotGeneralized stand for require_proof = false and
	// generalized = false.
	CaptureUnproven bool
	NotGeneralized  bool
	// OwnCredentials says that the build had access_key, assume_role or other
	// options of its own, which are not repeated here.
	OwnCredentials bool
}

// HCL returns the template's text, ready to be written to a file and run with
// packer build. Empty fields stay out. It holds no secret.
func (t Template) HCL() string {
	var b strings.Builder
	b.WriteString(`packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= ` + version.Version + `"
    }
  }
}

source "null" "resume" {
  communicator = "none"
}

build {
  sources = ["source.null.resume"]

  post-processor "ec2-sysprep-ami" {
`)
	var lines [][2]string
	text := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, quote(value)})
		}
	}
	table := func(name string, values map[string]string) {
		if len(values) > 0 {
			lines = append(lines, [2]string{name, object(values)})
		}
	}
	text("instance_id", t.InstanceID)
	text("region", t.Region)
	text("profile", t.Profile)
	text("record_path", t.RecordPath)
	text("journal_path", t.JournalPath)
	text("ami_name", t.Name)
	text("ami_description", t.Description)
	table("tags", t.Tags)
	table("snapshot_tags", t.SnapshotTags)
	if t.CaptureUnproven {
		lines = append(lines, [2]string{"require_proof", "false"})
	}
	if t.NotGeneralized {
		lines = append(lines, [2]string{"generalized", "false"})
	}
	width := 0
	for _, line := range lines {
		width = max(width, len(line[0]))
	}
	for _, line := range lines {
		b.WriteString("    " + line[0] + strings.Repeat(" ", width-len(line[0])) + " = " + line[1] + "\n")
	}
	if t.OwnCredentials {
		b.WriteString("    # Put the options for your credentials here, as in the first template.\n")
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

// object is a map of strings in HCL, in the order of the keys.
func object(values map[string]string) string {
	var b strings.Builder
	b.WriteString("{\n")
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b.WriteString("      " + quote(key) + " = " + quote(values[key]) + "\n")
	}
	b.WriteString("    }")
	return b.String()
}

// quote is a string literal of HCL, in which nothing is interpolated.
func quote(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	runes := []rune(value)
	for i, r := range runes {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case (r == '$' || r == '%') && i+1 < len(runes) && runes[i+1] == '{':
			b.WriteRune(r)
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u` + strconv.FormatInt(0x10000+int64(r), 16)[1:])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
