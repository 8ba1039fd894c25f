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

// TestComposedScriptsRunUnderCmd runs composed scripts of every kind under wine's cmd.exe,
// where wine is installed, all from one driver script, since wine takes seconds
// to start. wine 8.0 does not know && and || in batch files, and its net,
// netsh, sc and powershell do nothing, so only echo and reg tell.
func TestComposedScriptsRunUnderCmd(t *testing.T) {
	wine, err := exec.LookPath("wine")
	if err != nil {
		t.Skip("wine is not installed (apt-get install wine64 wine), so there is no cmd.exe to run batch files")
	}
	dir := t.TempDir()
	const query = `reg query "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections`
	driver := []string{"@echo off"}
	want := map[string]func(string) string{}
	add := func(name string, script []byte, before []string, asks []string, check func(string) string) {
		file := fmt.Sprintf("script%d.cmd", len(want))
		if err := os.WriteFile(filepath.Join(dir, file), script, 0o600); err != nil {
			t.Fatal(err)
		}
		want[name] = check
		driver = append(driver, before...)
		driver = append(driver, "echo BEGIN "+name, "call "+file, "@echo off", "echo CODE %errorlevel%")
		driver = append(append(driver, asks...), "echo END")
	}
	for _, s := range scripts {
		if strings.ContainsAny(s.shipped, "&|") {
			continue
		}
		out, err := Append(BeforeSysprep, []byte(s.shipped), []string{"echo the appended command ran"})
		if err != nil {
			continue
		}
		locked := ClosesRDP(out)
		add(s.name, out, []string{unlock}, []string{query}, func(got string) string {
			if strings.Contains(got, "0x1") != locked {
				return fmt.Sprintf("ClosesRDP says %v", locked)
			}
			return ""
		})
	}
	for _, kind := range []Kind{SysprepSpecialize, SysprepSpecializePhase} {
		out := compose(t, kind, strings.ReplaceAll(lock, "/d 1", "/d 0")+"\r\n", "echo the appended command ran")
		add("the line that opens RDP in "+string(kind), out, []string{lock}, []string{query}, func(got string) string {
			if !strings.Contains(got, "0x0") || !OpensRDP(out) {
				return "RDP is not open again"
			}
			return ""
		})
	}
	add("PostSysprep.cmd with a command", compose(t, PostSysprep, "@echo off\r\nwmic useraccount set PasswordExpires=FALSE >nul 2>nul\r\n", "echo the appended command ran"), nil, nil,
		func(string) string { return "" })
	closing := compose(t, SetupComplete, "", append([]string{"echo the appended command ran"}, CloseWinRM()...)...)
	const wsman = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN`
	add("SetupComplete.cmd that closes WinRM", closing,
		[]string{
			`reg add "` + wsman + `\Listener\*+HTTP" /v Port /t REG_DWORD /d 5985 /f >nul`,
			`reg add "` + wsman + `\Listener\*+HTTPS" /v Port /t REG_DWORD /d 5986 /f >nul`,
			`reg add "` + wsman + `\Service" /v allow_unencrypted /t REG_DWORD /d 1 /f >nul`,
			`reg query "` + wsman + `\Listener\*+HTTP" /v Port`,
		},
		[]string{
			`reg query "` + wsman + `\Service" /v allow_unencrypted`,
			`reg query "` + wsman + `\Listener\*+HTTP" /v Port`, `reg query "` + wsman + `\Listener\*+HTTPS" /v Port`,
		},
		func(got string) string {
			if strings.Contains(got, "0x1761") || strings.Contains(got, "0x1762") || !strings.Contains(got, "0x0") {
				return "WinRM is not closed"
			}
			return ""
		})
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
	if !strings.Contains(text, "0x1761") {
		t.Fatalf("the listener that was to be deleted was never there:\n%s", text)
	}
	for name, check := range want {
		t.Run(name, func(t *testing.T) {
			_, got, _ := strings.Cut(text, "BEGIN "+name+"\n")
			got, _, ended := strings.Cut(got, "END\n")
			if !ended || !strings.Contains(got, "the appended command ran") || !strings.Contains(got, "CODE 0\n") {
				t.Errorf("the appended command did not run, or the script did not end with 0:\n%s", got)
			}
			if fault := check(got); fault != "" {
				t.Errorf("%s:\n%s", fault, got)
			}
		})
	}
}

// compose appends commands to a script.
func compose(t *testing.T, kind Kind, shipped string, commands ...string) []byte {
	t.Helper()
	out, err := Append(kind, []byte(shipped), commands)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
