package diagnosis

import (
	"strings"
	"testing"
)

// samples holds one line of our own for every signature of the catalogue.
var samples = map[string]string{
	"bcd-efi-noise":              `2026-01-01 00:00:00, Error                 SYSPRP BCD: BiExportBcdObjects failed c000000d`,
	"mrt-noise":                  `2026-01-01 00:00:00, Error                 SYSPRP setupdigetclassdevs failed with error 0`,
	"ec2l2-block-flag":           `Flag --block has been deprecated, it is always on`,
	"sense-senseguid":            `2026-01-01 00:00:00, Error                 SYSPRP ActionPlatform::DeleteValue: Error from RegDeleteValueW for value senseGuid under key X; dwRet = 0x5`,
	"access-denied-registry":     `2026-01-01 00:00:00, Error                 SYSPRP ActionPlatform::DeleteKey: Error from RegDeleteTreeW for key HKLM\Contoso; dwRet = 0x5`,
	"appx-not-provisioned":       `2026-01-01 00:00:00, Error                 SYSPRP Package A.B_1.0_x64__c was installed for a user, but not provisioned for all users.`,
	"appx-remove-unsupported":    `error 0x80070032: AppX Deployment Remove operation on package A.B_1.0_x64__c`,
	"appx-remove-failed":         `2026-01-01 00:00:00, Error                 SYSPRP Failed to remove apps for the current user: 0x80073cf2.`,
	"appx-thread-exit":           `2026-01-01 00:00:00, Error                 SYSPRP Exit code of RemoveAllApps thread was 0x3cf2.`,
	"reserved-storage":           `2026-01-01 00:00:00, Error                 SYSPRP Sysprep_Clean_Validate_Opk: Audit mode cannot be turned on if reserved storage is in use.; hr = 0x800F0975`,
	"cbs-query-failed":           `2026-01-01 00:00:00, Error      [0x0f00b0] SYSPRP spopk.dll:: Failed to query pending CBS operations; hr = 0x80080005`,
	"cbs-pending":                `2026-01-01 00:00:00, Error      [0x0f00b0] SYSPRP spopk.dll:: A reboot is needed for a servicing operation`,
	"upgraded-os":                `Sysprep will not run on an upgraded OS.`,
	"rearm-exhausted":            `Error      [0x0f0082] SYSPRP LaunchDll: Failure occurred while executing 'C:\Windows\System32\slc.dll, SLReArmWindows', returned error code -1073425657`,
	"rearm-provider":             `Error      [0x0f0082] SYSPRP LaunchDll: Failure occurred while executing 'C:\Windows\System32\slc.dll,SLReArmWindows', returned error code -1073422315`,
	"invalid-state":              `Error      [0x0f0073] SYSPRP RunExternalDlls:Not running DLLs; either the machine is in an invalid state or we could not write it, dwRet = 31`,
	"wmp-sharing":                `Error      [0x0f0082] SYSPRP ActionPlatform::LaunchModule: Failure occurred while executing 'Sysprep_Generalize_WMP' from C:\Windows\System32\spwmp.dll; dwRet = 0x1f`,
	"bitlocker":                  `Error                 SYSPRP BitLocker-Sysprep: BitLocker is on for the OS volume. (0x80310039)`,
	"dsccore":                    `Error      [0x0f0082] SYSPRP LaunchDll:Failure occurred while executing 'DscCore.dll,SysPrep_Cleanup', returned error code 0x2`,
	"wslicense":                  `Error                 SYSPRP WSLicenseCleanUpState failed with hr=c0020017`,
	"bcd-generalize":             `Error      [0x0f0082] SYSPRP LaunchDll:Failure occurred while executing 'C:\Windows\System32\spbcd.dll,Sysprep_Generalize_Bcd', returned error code 2`,
	"dll-not-loaded":             `Error                 SYSPRP LaunchDll:Could not load DLL C:\Windows\SysWOW64\iesysprep.dll[gle=0x000000c1]`,
	"msdtc":                      `Error      [0x0f0082] SYSPRP LaunchDll:Failure occurred while executing 'C:\Windows\System32\msdtcprx.dll,SysPrepDtcGeneralize', returned error code 1`,
	"ec2l2-not-found":            `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe : The term is not recognized as the name of a cmdlet`,
	"copyprofile-path":           `2026-01-01 00:00:00, Error      [Shell Unattend] _FindLatestProfile failed (0x80070003) [gle=0x00000003]`,
	"copyprofile-other":          `2026-01-01 00:00:00, Error      [Shell Unattend] CopyProfile failed (0x80070020) [gle=0x00000020]`,
	"unattend-linecol":           `An error was detected at line 12 column 7 of the answer file.`,
	"unattend-duplicate":         `Windows could not parse or process the unattend answer file for pass [specialize]. A component or non-list setting is specified more than once in the answer file.`,
	"unattend-unknown-component": `A component or setting specified in the answer file does not exist.`,
	"unattend-value":             `2026-01-01 00:00:00, Error      80220005 from CWcmScalarInstanceCore::PutValue`,
	"unattend-cbs":               `2026-01-01 00:00:00, Error      [0x060431] IBS    Callback_UnattendInitiatePass: An error occurred while initiating unattend passes; hr = 0x80004005`,
	"unattend-localized":         `2026-01-01 00:00:00, Error      [setup.exe] UnattendErrorFromResults: Error text = Die Antwortdatei …`,
	"unattend-parse":             `Windows could not parse or process unattend answer file [C:\Windows\Panther\unattend.xml] for pass [specialize].`,
	"specialize-loop":            `2026-01-01 00:00:00, Info                  Unattend action requested immediate reboot and recall`,
	"c000021a":                   `STOP: c000021a {Fatal System Error}`,
	"opk-validate":               `Error      [0x0f0082] SYSPRP ActionPlatform::LaunchModule: Failure occurred while executing 'Sysprep_Clean_Validate_Opk' from C:\Windows\System32\spopk.dll; dwRet = 0x5`,
	"launchmodule-generic":       `Error      [0x0f0082] SYSPRP ActionPlatform::LaunchModule: Failure occurred while executing 'Do' from C:\Windows\System32\contoso.dll; dwRet = 0x1`,
	"launchdll-generic":          `Error      [0x0f0082] SYSPRP LaunchDll:Failure occurred while executing 'C:\Windows\System32\contoso.dll,Do', returned error code 5`,
	"action-error":               `Error                 SYSPRP ActionPlatform::ExecuteAction: Error in executing action; dwRet = 0x5`,
	"winmain-hit-failure":        `Error      [0x0f00a8] SYSPRP WinMain:Hit failure while processing sysprep generalize internal providers; hr = 0x80070005`,
	"rundlls-halt":               `Error      [0x0f0070] SYSPRP RunExternalDlls:An error occurred while running registry sysprep DLLs, halting sysprep execution. dwRet = 0x5`,
	"dialog-returned-false":      `2026-01-01 00:00:00, Info       [0x0f0043] SYSPRP WinMain:The sysprep dialog box returned FALSE`,
	"dialog-shown":               `2026-01-01 00:00:00, Info       [0x0f0059] SYSPRP WinMain:Displaying dialog box for user to choose sysprep mode...`,
	"fatal-box":                  `A fatal error occurred while trying to sysprep the machine.`,
	"image-state":                `SetupType=0 ImageState=IMAGE_STATE_COMPLETE`,
	"no-unattend":                `2026-01-01 00:00:00, Info                  SYSPRP SysprepSearchForUnattend: No unattend file was specified or located; skipping unattend generalize pass.`,
	"ec2l2-blocked":              `2026-01-01 00:00:00 Info: EC2Launch service is still running...checking again in 10 seconds`,
	"ec2l2-serial":               `2026-01-01 00:00:00 Info: Serial port is in use. Waiting for Serial Port...`,
	"packer-lost":                `Script exited with code: 16001`,
	"file-ops-pending":           `2026-01-01 00:00:00, Warning               SYSPRP WinMain: File operations pending`,
	"cached-unattend":            `2026-01-01 00:00:00, Info       [sysprep.exe] UnattendSearchExplicitPath: Found unattend file at [C:\Windows\Panther\unattend.xml]; examining for applicability.`,
	"msdtc-cleanup":              `01-01-2026 00:00 : DTC Install error = 0, SysPrepDtcCleanup : Enter, deployment.cpp (1)`,
	"ec2l2-skipping":             `2026-01-01 00:00:00 Warning: Skipping task preReady-setAdminAccount-0`,
	"ec2l1-answer-warning":       `WARNING: Failed to update the custom answer file. Ignore this message if you modified the file.`,
	"ec2l-still-config":          `2026/01/01 00:00:00Z: Windows is being configured. SysprepState=IMAGE_STATE_UNDEPLOYABLE`,
}

func TestEverySignatureExplainsALineOfItsOwn(t *testing.T) {
	c, err := Load(catalogueJSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range c.Signatures() {
		sample, ok := samples[want.ID]
		if !ok {
			t.Errorf("signature %s has no sample line in this test", want.ID)
			continue
		}
		got, _ := c.match(ParseLine(sample, 1))
		if got == nil || got.ID != want.ID {
			t.Errorf("%s: the line is explained by %v\n%s", want.ID, got, sample)
		}
	}
	if len(samples) != len(c.Signatures()) {
		t.Errorf("%d samples for %d signatures", len(samples), len(c.Signatures()))
	}
}

func TestInfoLinesNeverCountAsAFailureOfAProvider(t *testing.T) {
	c := Default()
	for _, s := range c.Signatures() {
		if s.Level == "any" {
			continue
		}
		l := ParseLine(samples[s.ID], 1)
		l.Level = LevelInfo
		if got, _ := c.match(l); got != nil {
			t.Errorf("%s counts on an Info line, as %s", s.ID, got.ID)
		}
	}
}

func TestNoiseLinesAreNoCauseAndNoVerdict(t *testing.T) {
	for _, s := range Default().Signatures() {
		if s.Class != ClassNoise {
			continue
		}
		text := Text{Name: "setuperr.log", Data: []byte(samples[s.ID] + "\r\n")}
		if e := Explain(text); e.Known() || e.Cause != nil || e.Fatal() {
			t.Errorf("%s explains a failure: %s", s.ID, e)
		}
		if m := FindVerdict(text); m != nil {
			t.Errorf("%s is taken for a verdict", s.ID)
		}
	}
}

func TestTheCatalogueUsesOnlyKnownWordsAndExpressionsThatDotNetReads(t *testing.T) {
	classes := map[Class]bool{ClassFatal: true, ClassFatalAtDeploy: true, ClassFatalConfig: true, ClassHang: true, ClassMaybeOK: true, ClassWarn: true, ClassInfo: true, ClassNoise: true}
	roles := map[Role]bool{RoleCause: true, RoleGeneric: true, RoleFollowUp: true, RoleVerdict: true, RoleState: true, RoleNoise: true}
	evidence := map[Evidence]bool{EvidenceSeen: true, EvidenceDocumented: true, EvidenceGeneral: true}
	for _, s := range Default().Signatures() {
		if !classes[s.Class] || !roles[s.Role] || !evidence[s.Evidence] || (s.Level != "" && s.Level != "any") || s.Source == "" {
			t.Errorf("%s: class %q, role %q, level %q, evidence %q or source %q is not allowed", s.ID, s.Class, s.Role, s.Level, s.Evidence, s.Source)
		}
		if !strings.HasPrefix(s.Code, "ES-3") || len(s.Code) != len("ES-300") {
			t.Errorf("%s: code %q is not ES-3NN", s.ID, s.Code)
		}
		for _, foreign := range []string{"(?P<", `\z`, `\C`, `\pN`, "[[:", "(?U"} {
			if strings.Contains(s.Match, foreign) {
				t.Errorf("%s: %s is read by Go only", s.ID, foreign)
			}
		}
	}
	if n := len(Default().VerdictPatterns()); n < 3 {
		t.Errorf("only %d verdict patterns", n)
	}
}

func TestLookupFindsAnEntryByIDAndByCode(t *testing.T) {
	for _, key := range []string{"appx-not-provisioned", "ES-303", "es-303"} {
		if s, ok := Default().Lookup(key); !ok || s.ID != "appx-not-provisioned" {
			t.Errorf("Lookup(%q) = %q, %v", key, s.ID, ok)
		}
	}
	if _, ok := Default().Lookup("ES-399"); ok {
		t.Error("Lookup found a code that nobody has")
	}
}

func TestLoadRefuses(t *testing.T) {
	entry := `{"id":"a","code":"ES-301","match":"x","meaning":"m","remedy":"r"}`
	for name, data := range map[string]string{
		"what is no JSON":      `{`,
		"another version":      `{"version":2}`,
		"an entry without ID":  `{"version":1,"signatures":[{"code":"ES-301"}]}`,
		"a code given twice":   `{"version":1,"signatures":[` + entry + `,` + strings.Replace(entry, `"a"`, `"b"`, 1) + `]}`,
		"a broken expression":  `{"version":1,"signatures":[` + strings.Replace(entry, `"x"`, `"("`, 1) + `]}`,
		"an entry given twice": `{"version":1,"signatures":[` + entry + `,` + strings.Replace(entry, "301", "302", 1) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Load([]byte(data)); err == nil {
				t.Error("no error")
			}
		})
	}
}
