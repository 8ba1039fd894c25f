package agentconfig

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestTheRealFilesOfEC2LaunchComeOutAsTheyWentIn also holds the findings of every file,
// without what stands in it.
func TestTheRealFilesOfEC2LaunchComeOutAsTheyWentIn(t *testing.T) {
	kinds := []struct {
		pattern string
		parse   func(name string, data []byte) (settingFile, error)
	}{
		{"agent-config-*", func(n string, d []byte) (settingFile, error) { return ParseEC2LaunchV2(n, d) }},
		{"LaunchConfig-*", func(n string, d []byte) (settingFile, error) { return ParseLaunchConfig(n, d) }},
		{"DriveLetterMappingConfig-*", func(n string, d []byte) (settingFile, error) { return ParseDriveLetterMapping(n, d) }},
		{"EventLogConfig-*", func(n string, d []byte) (settingFile, error) { return ParseEventLog(n, d) }},
	}
	var b strings.Builder
	for _, kind := range kinds {
		files := corpus(t, kind.pattern)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(&b, "%s:\n", name)
			f, err := kind.parse(name, files[name])
			var se *SyntaxError
			if errors.As(err, &se) {
				fmt.Fprintf(&b, "  %v\n", err)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Bytes(), files[name]) {
				t.Errorf("%s does not come out as it went in", name)
			}
			for _, x := range f.Check() {
				fmt.Fprintf(&b, "  %d:%d %s %s\n", x.Line, x.Column, x.Severity, x.ID)
			}
		}
	}
	golden(t, "ec2launch-corpus.golden", b.String())
}

// TestTheRealFilesOfEC2LaunchTakeAPassword edits the real files and finds nothing in
// them that was not there before.
func TestTheRealFilesOfEC2LaunchTakeAPassword(t *testing.T) {
	for _, p := range []Password{{Mode: Random}, {Mode: Specify, Value: planted}, {Mode: Keep}} {
		for name, data := range corpus(t, "agent-config-*") {
			if f, err := ParseEC2LaunchV2(name, data); err == nil {
				appliesCleanly(t, f, EC2LaunchV2Settings{Password: &p})
			}
		}
		for name, data := range corpus(t, "LaunchConfig-*") {
			f, err := ParseLaunchConfig(name, data)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Apply(LaunchConfigSettings{Password: &p}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := errorIDs(f.Check()); len(got) > 0 {
				t.Errorf("%s with the password %s: %v", name, p.Mode, got)
			}
		}
	}
}
