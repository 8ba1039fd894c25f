package image

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
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

// TemplatePath returns where the template that carries on with an instance is
// written in Packer's cache folder.
func TemplatePath(cacheDir, instanceID string) string {
	return filepath.Join(cacheDir, handoff.Folder, "resume_"+instanceID+".pkr.hcl")
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
	lines := [][2]string{
		{"instance_id", t.InstanceID},
		{"region", t.Region},
		{"profile", t.Profile},
		{"record_path", t.RecordPath},
		{"journal_path", t.JournalPath},
		{"ami_name", t.Name},
		{"ami_description", t.Description},
	}
	for i, line := range lines {
		if line[1] != "" {
			lines[i][1] = quote(line[1])
		}
	}
	if t.CaptureUnproven {
		lines = append(lines, [2]string{"require_proof", "false"})
	}
	if t.NotGeneralized {
		lines = append(lines, [2]string{"generalized", "false"})
	}
	writeAligned(&b, "    ", lines)
	writeObject(&b, "tags", t.Tags)
	writeObject(&b, "snapshot_tags", t.SnapshotTags)
	if t.OwnCredentials {
		b.WriteString("    # Put the options for your credentials here, as in the first template.\n")
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

// writeAligned writes attributes as packer fmt would. Those without a value
// stay out.
func writeAligned(b *strings.Builder, indent string, lines [][2]string) {
	width := 0
	for _, line := range lines {
		if line[1] != "" {
			width = max(width, len(line[0]))
		}
	}
	for _, line := range lines {
		if line[1] != "" {
			b.WriteString(indent + line[0] + strings.Repeat(" ", width-len(line[0])) + " = " + line[1] + "\n")
		}
	}
}

// writeObject writes an attribute that is a map, in the order of its keys. An
// empty map stays out.
func writeObject(b *strings.Builder, name string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	lines := make([][2]string, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, [2]string{quote(key), quote(values[key])})
	}
	b.WriteString("    " + name + " = {\n")
	writeAligned(b, "      ", lines)
	b.WriteString("    }\n")
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
