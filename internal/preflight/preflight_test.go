package preflight

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

var update = flag.Bool("update", false, "write the golden file anew")

// link is a way to a modelled Windows without a network: each exchange has a
// process of its own.
type link struct {
	guest     *windows.Guest
	user      string
	exchanges int
}

func (l *link) Exchange(ctx context.Context, requests []byte, each func([]byte) bool) error {
	l.exchanges++
	output, input := io.Pipe()
	defer func() { _ = output.Close() }()
	go func() {
		l.guest.Run(ctx, &winrm.Command{
			Line: guest.Bootstrap(), User: l.user, Stdin: bytes.NewReader(append(guest.Preamble(), requests...)), Stdout: input, Stderr: io.Discard,
		})
		_ = input.Close()
	}()
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if each(lines.Bytes()) {
			return nil
		}
	}
	return &guest.LostError{Err: errors.New("the process ended")}
}

func (l *link) Listens() bool                   { return false }
func (l *link) Interrupt(context.Context) error { return errors.ErrUnsupported }
func (l *link) Drop()                           {}
func (l *link) Close() error                    { return nil }

// survey surveys a Server 2022 that change makes a different one.
func survey(t *testing.T, change func(*windows.Machine), user string, options Options) (*Facts, []Finding) {
	t.Helper()
	m := windows.Server2022()
	if change != nil {
		change(&m)
	}
	g := windows.New(m, clock.Fast(100), windows.Hooks{})
	t.Cleanup(g.Close)
	before := g.Fingerprint()
	l := &link{guest: g, user: user}
	if user == "" {
		l.user = "Administrator"
	}
	facts, findings, err := Survey(t.Context(), guest.New(l, 0), options)
	if err != nil {
		t.Fatalf("the survey failed: %s", err)
	}
	if l.exchanges != 1 {
		t.Errorf("the survey took %d round trips", l.exchanges)
	}
	if g.Fingerprint() != before {
		t.Error("the survey has changed the guest")
	}
	return facts, findings
}

func registry(name string, value guest.Value) func(*windows.Machine) {
	return func(m *windows.Machine) { m.SetRegistry(name, value) }
}

func cim(class, property, value string) func(*windows.Machine) {
	return func(m *windows.Machine) { m.SetCIM(class, property, value) }
}

func service(s windows.Service) func(*windows.Machine) {
	return func(m *windows.Machine) { m.Services["Amazon EC2Launch"] = s }
}

func TestOneFactOneFinding(t *testing.T) {
	t.Parallel()
	const (
		setup    = `HKLM\SYSTEM\Setup`
		winlogon = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon`
		names    = `HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\`
		volumes  = `root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`
		cbs      = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing`
		machine  = "S-1-5-21-1713042563-2043160183-3206215862"
	)
	tests := []struct {
		name   string
		change func(*windows.Machine)
		user   string
		agent  string
		id     string
		// severity is of the only finding; none is wanted where id is empty.
		severity Severity
	}{
		{name: "a healthy Server 2022"},
		{name: "a healthy Server 2025", change: func(m *windows.Machine) { *m = windows.Server2025() }},
		{name: "no agent", change: func(m *windows.Machine) { m.RemoveFile(`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`) }, id: "ES-103", severity: Stop},
		{name: "the folder of an agent alone", change: func(m *windows.Machine) {
			m.RemoveFile(`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`)
			m.Files[`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`] = windows.File{Folder: true}
		}, id: "ES-103", severity: Stop},
		{name: "EC2Launch v1 alone", change: func(m *windows.Machine) { *m = windows.Server2019() }},
		{name: "EC2Config alone, whose service runs", change: func(m *windows.Machine) { *m = windows.Server2012R2() }},
		{name: "EC2Config whose service is disabled", change: func(m *windows.Machine) {
			*m = windows.Server2012R2()
			m.Services["Ec2Config"] = windows.Service{State: "Stopped", StartMode: "Disabled"}
		}, id: "ES-109", severity: Stop},
		{name: "EC2Config without its service", change: func(m *windows.Machine) {
			*m = windows.Server2012R2()
			delete(m.Services, "Ec2Config")
		}, id: "ES-109", severity: Stop},
		{name: "EC2Launch v1, which looks a renamed administrator up", user: "Boss", change: func(m *windows.Machine) {
			*m = windows.Server2019()
			m.Accounts["Boss"] = m.Accounts["Administrator"]
			delete(m.Accounts, "Administrator")
		}},
		{name: "EC2Launch v1 left beside v2", change: func(m *windows.Machine) {
			m.SetFile(`C:\ProgramData\Amazon\EC2-Windows\Launch\Module\Ec2Launch.psd1`, "@{}")
		}},
		{name: "an agent that is not the wanted one", agent: "ec2launch-v1", id: "ES-103", severity: Stop},
		{name: "SYSTEM", user: "SYSTEM", change: func(m *windows.Machine) {
			m.Accounts["SYSTEM"] = windows.Account{SID: "S-1-5-18", Administrator: true}
		}, id: "ES-104", severity: Stop},
		{name: "a user who is no administrator", user: "builder", change: func(m *windows.Machine) {
			m.Accounts["builder"] = windows.Account{SID: machine + "-1001"}
		}, id: "ES-104", severity: Stop},
		{name: "another administrator", user: "builder", change: func(m *windows.Machine) {
			m.Accounts["builder"] = windows.Account{SID: machine + "-1001", Administrator: true}
		}, id: "ES-104", severity: Warning},
		{name: "an image state in audit mode", change: registry(setupState+"!ImageState", windows.Text("IMAGE_STATE_GENERALIZE_RESEAL_TO_AUDIT")), id: "ES-105", severity: Stop},
		{name: "an image that is sealed already", change: registry(setupState+"!ImageState", windows.Text("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE")), id: "ES-105", severity: Stop},
		{name: "no image state", change: registry(setupState+"!ImageState", guest.Value{}), id: "ES-105", severity: Stop},
		{name: "an earlier generalize that broke off", change: registry(setup+`\Status\SysprepStatus!GeneralizationState`, windows.Word("3")), id: "ES-106", severity: Stop},
		{name: "no earlier generalize", change: registry(setup+`\Status\SysprepStatus!GeneralizationState`, guest.Value{})},
		{name: "Windows Setup at work", change: registry(setup+"!SystemSetupInProgress", windows.Word("1")), id: "ES-107", severity: Stop},
		{name: "OOBE at work", change: registry(setup+"!OOBEInProgress", windows.Word("1")), id: "ES-107", severity: Stop},
		{name: "Sysprep at work", change: func(m *windows.Machine) { m.Processes = append(m.Processes, "sysprep") }, id: "ES-108", severity: Stop},
		{name: "the agent's service at work", change: service(windows.Service{State: "Running", StartMode: "Auto"}), id: "ES-109", severity: Stop},
		{name: "the agent's service disabled", change: service(windows.Service{State: "Stopped", StartMode: "Disabled"}), id: "ES-109", severity: Stop},
		{name: "no service of the agent", change: func(m *windows.Machine) { delete(m.Services, "Amazon EC2Launch") }, id: "ES-109", severity: Stop},
		{name: "a reboot that servicing wants", change: registry(cbs+`\RebootPending`, guest.Value{}), id: "ES-110", severity: Stop},
		{name: "packages that are pending", change: registry(cbs+`\PackagesPending`, guest.Value{}), id: "ES-110", severity: Stop},
		{name: "a reboot that Windows Update wants", change: registry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`, guest.Value{}), id: "ES-110", severity: Stop},
		{name: "files that are renamed at the next start", change: registry(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager!PendingFileRenameOperations`, guest.Value{Kind: guest.KindMultiString, Texts: []string{`\??\C:\a`, ``, `\??\C:\b`, `\??\C:\c`}}), id: "ES-111", severity: Warning},
		{name: "an update at work", change: func(m *windows.Machine) { m.Processes = append(m.Processes, "TiWorker") }, id: "ES-112", severity: Stop},
		{name: "reserved storage in use", change: registry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager!ActiveScenario`, windows.Word("2")), id: "ES-112", severity: Stop},
		{name: "reserved storage at rest", change: registry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager!ActiveScenario`, windows.Word("0"))},
		{name: "a rename that waits", change: registry(names+"ComputerName!ComputerName", windows.Text("GOLDEN")), id: "ES-113", severity: Warning},
		{name: "a spot instance", change: func(m *windows.Machine) { m.Metadata["meta-data/instance-life-cycle"] = "spot" }, id: "ES-114", severity: Stop},
		{name: "an on-demand instance", change: func(m *windows.Machine) { m.Metadata["meta-data/instance-life-cycle"] = "on-demand" }},
		{name: "an Auto Scaling group", change: func(m *windows.Machine) { m.Metadata["meta-data/autoscaling/target-lifecycle-state"] = "InService" }, id: "ES-115", severity: Stop},
		{name: "no metadata at all", change: func(m *windows.Machine) { m.MetadataOff = true }},
		{name: "a domain controller", change: cim("Win32_ComputerSystem", "DomainRole", "5"), id: "ES-116", severity: Stop},
		{name: "a member of a domain", change: cim("Win32_ComputerSystem", "DomainRole", "3"), id: "ES-116", severity: Warning},
		{name: "a full disk", change: cim("Win32_LogicalDisk", "FreeSpace", "104857600"), id: "ES-117", severity: Stop},
		{name: "a disk that is nearly full", change: cim("Win32_LogicalDisk", "FreeSpace", "1073741824"), id: "ES-117", severity: Warning},
		{name: "no rearm left", change: cim("SoftwareLicensingService", "RemainingWindowsReArmCount", "0"), id: "ES-118", severity: Stop},
		{name: "the last rearm", change: cim("SoftwareLicensingService", "RemainingWindowsReArmCount", "1"), id: "ES-118", severity: Warning},
		{name: "BitLocker", change: cim(volumes, "ProtectionStatus", "1"), id: "ES-119", severity: Stop},
		{name: "no BitLocker class", change: func(m *windows.Machine) { delete(m.CIM, volumes) }},
		{name: "automatic logon with a password", change: func(m *windows.Machine) {
			m.SetRegistry(winlogon+"!AutoAdminLogon", windows.Text("1"))
			m.SetRegistry(winlogon+"!DefaultPassword", windows.Text("Planted-Secret-1"))
		}, id: "ES-120", severity: Stop},
		{name: "a password that is left behind", change: registry(winlogon+"!DefaultPassword", windows.Text("Planted-Secret-1")), id: "ES-120", severity: Warning},
		{name: "automatic logon without a password", change: registry(winlogon+"!AutoAdminLogon", windows.Text("1"))},
		{name: "a Windows that was upgraded in place", change: registry(setup+"!Upgrade", windows.Word("1")), id: "ES-121", severity: Stop},
		{name: "an administrator of another name", user: "Boss", change: func(m *windows.Machine) {
			m.Accounts["Boss"] = m.Accounts["Administrator"]
			delete(m.Accounts, "Administrator")
		}, id: "ES-122", severity: Warning},
	}
	var texts strings.Builder
	covered := make(map[string]bool)
	for _, test := range tests {
		_, findings := survey(t, test.change, test.user, Options{Agent: test.agent})
		fmt.Fprintf(&texts, "%s\n", test.name)
		for _, f := range findings {
			fmt.Fprintf(&texts, "  %s %s\n", f.Severity, f)
		}
		covered[test.id] = true
		switch {
		case test.id == "" && len(findings) > 0:
			t.Errorf("%s: %d findings, wanted none: %v", test.name, len(findings), findings)
		case test.id != "" && (len(findings) != 1 || findings[0].ID != test.id || findings[0].Severity != test.severity):
			t.Errorf("%s: the findings are %v, wanted one %s %s", test.name, findings, test.severity, test.id)
		}
	}
	if strings.Contains(texts.String(), "Planted-Secret") {
		t.Error("a password is in the findings")
	}
	golden(t, "findings.txt", texts.String())

	// Every rule has a row, but for those that the lab's Windows cannot show.
	for _, id := range IDs() {
		if !covered[id] && id != "ES-123" {
			t.Errorf("the rule %s has no row", id)
		}
	}
}

// A shutdown without Sysprep is not kept by what only Sysprep stumbles over.
func TestWhatAShutdownWithoutSysprepFinds(t *testing.T) {
	t.Parallel()
	const machine = "S-1-5-21-1713042563-2043160183-3206215862"
	for _, test := range []struct {
		name     string
		change   func(*windows.Machine)
		user     string
		id       string
		severity Severity
		busy     bool
	}{
		{name: "a healthy guest"},
		{name: "an earlier generalize that broke off", change: registry(`HKLM\SYSTEM\Setup\Status\SysprepStatus!GeneralizationState`, windows.Word("3"))},
		{name: "a full disk", change: cim("Win32_LogicalDisk", "FreeSpace", "104857600")},
		{name: "no rearm left", change: cim("SoftwareLicensingService", "RemainingWindowsReArmCount", "0")},
		{name: "BitLocker", change: cim(`root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`, "ProtectionStatus", "1")},
		{name: "a Windows that was upgraded in place", change: registry(`HKLM\SYSTEM\Setup!Upgrade`, windows.Word("1"))},
		{name: "reserved storage in use", change: registry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager!ActiveScenario`, windows.Word("2"))},
		{name: "another administrator", user: "builder", change: func(m *windows.Machine) {
			m.Accounts["builder"] = windows.Account{SID: machine + "-1001", Administrator: true}
		}},
		{name: "a user who is no administrator", user: "builder", change: func(m *windows.Machine) {
			m.Accounts["builder"] = windows.Account{SID: machine + "-1001"}
		}, id: "ES-104", severity: Stop},
		{name: "an image that is sealed already", change: registry(setupState+"!ImageState", windows.Text("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE")), id: "ES-105", severity: Stop},
		{name: "the agent's service at work", change: service(windows.Service{State: "Running", StartMode: "Auto"}), id: "ES-109", severity: Stop, busy: true},
		{name: "the agent's service disabled", change: service(windows.Service{State: "Stopped", StartMode: "Disabled"}), id: "ES-109", severity: Stop},
		{name: "a reboot that is pending", change: registry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`, guest.Value{}), id: "ES-110", severity: Warning},
		{name: "files that are renamed at the next start", change: registry(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager!PendingFileRenameOperations`, guest.Value{Kind: guest.KindMultiString, Texts: []string{`\??\C:\a`}}), id: "ES-111", severity: Warning},
		{name: "an update at work", change: func(m *windows.Machine) { m.Processes = append(m.Processes, "TiWorker") }, id: "ES-112", severity: Stop},
		{name: "a spot instance", change: func(m *windows.Machine) { m.Metadata["meta-data/instance-life-cycle"] = "spot" }, id: "ES-114", severity: Stop},
		{name: "a domain controller", change: cim("Win32_ComputerSystem", "DomainRole", "5"), id: "ES-116", severity: Warning},
		{name: "a member of a domain", change: cim("Win32_ComputerSystem", "DomainRole", "3"), id: "ES-116", severity: Warning},
		{name: "a password that is left behind", change: registry(`HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon!DefaultPassword`, windows.Text("Planted-Secret-1")), id: "ES-120", severity: Warning},
	} {
		facts, findings := survey(t, test.change, test.user, Options{Action: launchagent.ActionShutdown})
		switch {
		case test.id == "" && len(findings) > 0:
			t.Errorf("%s: the findings are %v", test.name, findings)
		case test.id != "" && (len(findings) != 1 || findings[0].ID != test.id || findings[0].Severity != test.severity || findings[0].Busy != test.busy):
			t.Errorf("%s: the findings are %+v, wanted one %s %s", test.name, findings, test.severity, test.id)
		case facts.Administrator == "":
			t.Errorf("%s: nobody looked up what the administrator is called", test.name)
		}
		for _, f := range findings {
			if strings.Contains(f.String(), "Sysprep would") || strings.Contains(f.String(), "Sysprep goes on") {
				t.Errorf("%s: it speaks of Sysprep: %s", test.name, f)
			}
		}
	}
}

func TestAProcessOf32BitsOnAWindowsOf64(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		os64, process64 bool
		findings        int
	}{{true, true, 0}, {true, false, 1}, {false, false, 0}} {
		_, judge := sixtyFourBit()
		got := judge(&Facts{Identity: guest.Identity{OS64: test.os64, Process64: test.process64}})
		if len(got) != test.findings || (len(got) == 1 && got[0].Severity != Stop) {
			t.Errorf("OS64 %t, Process64 %t: %v", test.os64, test.process64, got)
		}
	}
}

func TestEverythingThatStopsIsFoundAtOnceAndFirst(t *testing.T) {
	t.Parallel()
	_, findings := survey(t, func(m *windows.Machine) {
		m.Processes = append(m.Processes, "sysprep", "dism")
		m.SetCIM("Win32_LogicalDisk", "FreeSpace", "1073741824")
		m.SetCIM("SoftwareLicensingService", "RemainingWindowsReArmCount", "0")
		m.SetRegistry(`HKLM\SYSTEM\Setup!Upgrade`, windows.Word("1"))
	}, "", Options{})
	var ids []string
	for _, f := range findings {
		ids = append(ids, f.ID)
	}
	if want := []string{"ES-108", "ES-112", "ES-118", "ES-121", "ES-117"}; !slices.Equal(ids, want) {
		t.Errorf("the findings are %q, wanted %q", ids, want)
	}
	if stops := Stops(findings); len(stops) != 4 {
		t.Errorf("%d findings stop the build: %v", len(stops), stops)
	}
}

func TestAnIgnoredRuleIsShownAndDoesNotStop(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"ES-108", "es-108"} {
		_, findings := survey(t, func(m *windows.Machine) { m.Processes = append(m.Processes, "sysprep", "dism") }, "", Options{Ignore: []string{id}})
		if stops := Stops(findings); len(stops) != 1 || stops[0].ID != "ES-112" {
			t.Errorf("ignoring %s leaves %v", id, stops)
		}
		if last := findings[len(findings)-1]; last.ID != "ES-108" || last.Severity != Warning || !strings.HasSuffix(last.What, "(ignored by preflight)") {
			t.Errorf("ignoring %s shows %v", id, last)
		}
	}
}

func TestFactsOfAServer2022(t *testing.T) {
	t.Parallel()
	facts, _ := survey(t, func(m *windows.Machine) { m.ClockOffset = windows.Seconds(3600) }, "", Options{Agent: "auto"})
	if got, want := facts.Describe(), "Windows Server 2022 Datacenter, build 20348, EC2Launch v2 2.0.2107.0, i-0123456789abcdef0"; got != want {
		t.Errorf("the guest is described as %q, wanted %q", got, want)
	}
	if facts.Region != "us-east-1" || facts.Edition != "Server" || facts.ImageState != "IMAGE_STATE_COMPLETE" || facts.Version != "2009" {
		t.Errorf("the facts are %+v", facts)
	}
	if d := (facts.ClockOffset - time.Hour).Abs(); d > time.Minute {
		t.Errorf("the guest's clock is ahead by %s", facts.ClockOffset)
	}
}

func TestIDsAreUniqueAndInOrder(t *testing.T) {
	t.Parallel()
	ids := IDs()
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("the ids are %q", ids)
	}
	for _, id := range ids {
		if len(id) != 6 || !strings.HasPrefix(id, "ES-1") {
			t.Errorf("%q is no id of a rule", id)
		}
	}
}

// elsewhere is a guest that is not Windows: PowerShell 7 on another system.
type elsewhere struct{ link }

func (elsewhere) Exchange(_ context.Context, _ []byte, each func([]byte) bool) error {
	each([]byte(guest.RefusedPrefix + "ConstrainedLanguage 5.1\n"))
	return nil
}

func TestAGuestThatRefusesTheProtocolIsAnError(t *testing.T) {
	t.Parallel()
	_, _, err := Survey(t.Context(), guest.New(&elsewhere{}, 0), Options{})
	var refused *guest.RefusedError
	if !errors.As(err, &refused) || refused.Language != "ConstrainedLanguage" {
		t.Errorf("the error is %v", err)
	}
}

// golden compares a whole output with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; it is now:\n%s", name, got)
	}
}
