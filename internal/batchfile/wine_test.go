package batchfile

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestComposedScriptsRunUnderCmd runs composed scripts under wine's cmd.exe,
// where wine is installed. wine 8.0 does not know && and || in batch files,
// and its net, netsh, sc and powershell do nothing, so only echo and reg tell.
func TestComposedScriptsRunUnderCmd(t *testing.T) {
	wine, err := exec.LookPath("wine")
	if err != nil {
		t.Skip("wine is not installed (apt-get install wine), so there is no cmd.exe to run batch files")
	}
	for _, s := range scripts {
		if strings.ContainsAny(s.shipped, "&|") {
			continue
		}
		out, err := Append(BeforeSysprep, []byte(s.shipped), []string{"echo the appended command ran"})
		if err != nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "script.cmd")
			if err := os.WriteFile(path, out, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, wine, "cmd.exe", "/c", "script.cmd")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "WINEDEBUG=-all")
			got, err := cmd.Output()
			if err != nil {
				t.Fatalf("the script failed: %v\n%s", err, got)
			}
			if !strings.Contains(string(got), "the appended command ran") {
				t.Errorf("the appended command did not run:\n%s", got)
			}
		})
	}
}
