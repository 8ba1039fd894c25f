package batchfile

// CloseWinRM are the commands that shut WinRM on a clone's first boot, for a
// script that runs there as SYSTEM: SetupComplete.cmd, or a script of the
// specialize pass. They delete both listeners, take back what builds usually
// allow (unencrypted traffic, basic authentication), and stop and disable the
// service. A clone's user data may open WinRM again: winrm quickconfig.
//
// The listeners lie in the registry, so the commands need no running service,
// no PowerShell and no name that Windows translates. Their failures do not
// count; a script made by Append ends in exit /b 0.
func CloseWinRM() []string {
	const wsman = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN`
	return []string{
		`sc.exe stop WinRM >nul 2>&1`,
		`sc.exe config WinRM start= disabled >nul 2>&1`,
		`reg.exe delete "` + wsman + `\Listener\*+HTTP" /f >nul 2>&1`,
		`reg.exe delete "` + wsman + `\Listener\*+HTTPS" /f >nul 2>&1`,
		`reg.exe add "` + wsman + `\Service" /v allow_unencrypted /t REG_DWORD /d 0 /f >nul 2>&1`,
		`reg.exe add "` + wsman + `\Service" /v auth_basic /t REG_DWORD /d 0 /f >nul 2>&1`,
	}
}
