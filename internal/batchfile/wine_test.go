package batchfile

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestComposedScriptsRunUnderCmd runs composed scripts under wine's cmd.exe,
// where wine is installed, all from one driver script, since wine takes seconds
// to start. wine 8.0 does not know && and || in batch files, and its net,
// netsh, sc and powershell do nothing, so only echo and reg tell.
func TestComposedScriptsRunUnderCmd(t *testing.T) {
	wine, err := exec.LookPath("wine")
	if err != nil {
		t.Skip("wine is not installed (apt-get install wine), so there is no cmd.exe to run batch files")
	}
	dir := t.TempDir()
	const query = `reg query "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections`
	driver := []string{"@echo off"}
	locks := map[string]bool{}
	for i, s := range scripts {
		if strings.ContainsAny(s.shipped, "&|") {
			continue
		}
		out, err := Append(BeforeSysprep, []byte(s.shipped), []string{"echo the appended command ran"})
		if err != nil {
			continue
		}
		name := fmt.Sprintf("script%d.cmd", i)
		if err := os.WriteFile(filepath.Join(dir, name), out, 0o600); err != nil {
			t.Fatal(err)
		}
		locks[s.name] = ClosesRDP(out)
		driver = append(driver, unlock, "echo BEGIN "+s.name, "call "+name, "@echo off", "echo CODE %errorlevel%", query, "echo END")
	}
	if err := os.WriteFile(filepath.Join(dir, "driver.cmd"), join(append(driver, exitLine)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, wine, "cmd.exe", "/c", "driver.cmd")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "WINEDEBUG=-all")
	if os.Getenv("WINEPREFIX") == "" {
		// A prefix of its own keeps the registry of the user's.
		cmd.Env = append(cmd.Env, "WINEPREFIX="+filepath.Join(dir, "prefix"))
	}
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("the driver failed: %v\n%s", err, output)
	}
	text := strings.ReplaceAll(string(output), "\r\n", "\n")
	for name, locked := range locks {
		t.Run(name, func(t *testing.T) {
			_, got, _ := strings.Cut(text, "BEGIN "+name+"\n")
			got, _, ended := strings.Cut(got, "END\n")
			if !ended || !strings.Contains(got, "the appended command ran") || !strings.Contains(got, "CODE 0\n") {
				t.Errorf("the appended command did not run, or the script did not end with 0:\n%s", got)
			}
			if strings.Contains(got, "0x1") != locked {
				t.Errorf("ClosesRDP says %v:\n%s", locked, got)
			}
		})
	}
}
