package sysprep

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

const (
	agentFolder = `C:\ProgramData\Amazon\EC2Launch`
	answerPath  = agentFolder + `\sysprep\unattend.xml`
	scriptPath  = agentFolder + `\sysprep\BeforeSysprep.cmd`
	denyKey     = `HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`
	setupStatus = `HKLM\SYSTEM\Setup\Status\SysprepStatus`
)

func TestAGuestIsSealedAndShutDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*lab.MachineOptions)
		change  func(*bench)
	}{
		{name: "over HTTP with Basic"},
		{name: "over HTTPS with a CA file", machine: func(m *lab.MachineOptions) { m.HTTPS = true }},
		{
			name: "over HTTPS with a pin", machine: func(m *lab.MachineOptions) { m.HTTPS, m.Certificate = true, lab.SelfSigned },
			change: func(b *bench) {
				b.with(map[string]any{"winrm_ca_file": nil, "winrm_certificate_sha256": b.machine.CertificateSHA256()})
			},
		},
		{
			name: "over HTTPS with any certificate", machine: func(m *lab.MachineOptions) { m.HTTPS, m.Certificate = true, lab.SelfSigned },
			change: func(b *bench) { b.with(map[string]any{"winrm_ca_file": nil, "winrm_insecure": true}) },
		},
		{
			name: "over HTTPS by the certificate's own name", machine: func(m *lab.MachineOptions) { m.HTTPS, m.Certificate = true, lab.WrongName },
			change: func(b *bench) { b.with(map[string]any{"winrm_server_name": "ec2amaz-other.example"}) },
		},
		{
			name: "over HTTP with NTLM", machine: func(m *lab.MachineOptions) { m.WinRM.NoBasic = true },
			change: func(b *bench) { b.with(map[string]any{"winrm_use_ntlm": true}) },
		},
		{name: "over the build's own connection", change: func(b *bench) { b.byTheBuild("winrm") }},
		{name: "with a password that generalize keeps", machine: windowsOf(func(m *windows.Machine) { m.Network.KeepPassword = true })},
		{name: "started by WMI because tasks are denied", machine: windowsOf(func(m *windows.Machine) { m.Start.TaskDenied = true })},
		{name: "started by WMI because the task never runs", machine: windowsOf(func(m *windows.Machine) { m.Start.TaskNeverRuns = true })},
		{name: "with an agent that returns before Sysprep has ended", machine: windowsOf(func(m *windows.Machine) { m.Agent.ReturnsBeforeSysprep = true })},
		{name: "with answers in small pieces", machine: func(m *lab.MachineOptions) { m.WinRM.MaxPiece = 512 }},
		{name: "with a guest's clock that is wrong", machine: windowsOf(func(m *windows.Machine) { m.ClockOffset = windows.Seconds(-7200) })},
		{name: "with a serial port that is taken", machine: windowsOf(func(m *windows.Machine) { m.SerialTaken = true })},
		{name: "on Server 2025", machine: windowsOf(func(m *windows.Machine) {
			password := m.Accounts["Administrator"].Password
			*m = windows.Server2025()
			m.SetPassword(password)
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.machine)
			if test.change != nil {
				test.change(b)
			}
			b.succeeds()
			b.recorded(handoff.StageShutdown, handoff.ProofSeen)
			b.stopped()
			b.noResidue()
			if got := b.record().InstanceID; got != b.machine.InstanceID() {
				t.Errorf("the record is of %s", got)
			}
		})
	}
}

// The whole output of a good build, with the record that it leaves.
func TestWhatAGoodBuildSaysAndRecords(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).withEC2("golden-windows")
	b.succeeds()
	b.stopped()
	golden(t, "good.ui", b.scrubbed(b.ui.text())+"\n")
	record := b.record()
	var phases []string
	for _, moment := range record.Timeline {
		phases = append(phases, moment.Phase)
	}
	// What a look may miss is not wanted.
	for _, phase := range []string{"surveyed", "staged", "triggered", "sealer confirmed", "image state", "sealed", "down"} {
		if !slices.Contains(phases, phase) {
			t.Errorf("the timeline %q lacks %q", phases, phase)
		}
	}
	record.Timeline, record.ClockOffset = nil, 0
	golden(t, "good.record.json", b.scrubbed(indented(t, record)))
	path := filepath.Join(b.folder, "record.json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the record's mode is %v", info.Mode())
	}
	cached, err := os.ReadFile(handoff.Path(os.Getenv("PACKER_CACHE_DIR"), runID, "null", b.options["packer_build_name"].(string)))
	if err != nil {
		t.Fatalf("the record in Packer's cache folder: %s", err)
	}
	if own, _ := os.ReadFile(path); string(own) != string(cached) {
		t.Error("the two records differ")
	}
	for _, call := range b.lab.EC2.Calls() {
		switch call.Action {
		case "DescribeInstances", "DescribeImages", "DescribeInstanceAttribute", "GetCallerIdentity":
		case "CreateImage":
			if call.Params.Get("DryRun") != "true" {
				t.Error("CreateImage was called in earnest")
			}
		default:
			t.Errorf("EC2 was asked for %s", call.Action)
		}
	}
}

func TestTheAgentsOwnFilesStayInTheSealedImage(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	shipped, _ := b.guest().File(scriptPath)
	b.succeeds()
	b.stopped()
	if script, _ := b.guest().File(scriptPath); string(script) != string(shipped) {
		t.Error("BeforeSysprep.cmd was changed")
	}
	if got := b.guest().Registry(denyKey, "fDenyTSConnections").Text; got != "1" {
		t.Errorf("the sealed image lets remote desktop in: fDenyTSConnections is %s", got)
	}
	if _, there := b.guest().File(agentFolder + `\state\.run-once`); there {
		t.Error("the sealed image's agent would not run again")
	}
}

func TestFilesOfTheUsersArePutIntoPlaceWhileSealing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	shipped, _ := b.guest().File(answerPath)
	own := strings.Replace(string(shipped), "<TimeZone>", "<!-- ours --><TimeZone>", 1)
	if own == string(shipped) {
		own = strings.Replace(string(shipped), "</unattend>", "<!-- ours --></unattend>", 1)
	}
	b.with(map[string]any{
		"answer_file_path": b.write("own.xml", []byte(own)),
		"before_sysprep":   map[string]any{"commands": []string{`reg add "HKLM\SOFTWARE\Lab" /v Sealed /t REG_SZ /d yes /f`}},
	})
	b.ui.heard = func(line string) {
		if !strings.HasPrefix(line, "Starting Sysprep") {
			return
		}
		if now, _ := b.guest().File(answerPath); string(now) != string(shipped) {
			t.Error("the answer file was put into place before the trigger")
		}
	}
	b.succeeds()
	b.stopped()
	b.noResidue()
	if answers, _ := b.guest().File(answerPath); !strings.Contains(string(answers), "<!-- ours -->") {
		t.Error("the sealed image does not have our answer file")
	}
	if script, _ := b.guest().File(scriptPath); !strings.Contains(string(script), `HKLM\SOFTWARE\Lab`) || !strings.Contains(string(script), "fDenyTSConnections") {
		t.Errorf("the sealed image's BeforeSysprep.cmd is\n%s", script)
	}
	if got := b.guest().Registry(`HKLM\SOFTWARE\Lab`, "Sealed").Text; got != "yes" {
		t.Errorf("the command was not run: %q", got)
	}
	b.said("Replacing the answer file "+answerPath, "Replacing the BeforeSysprep.cmd "+scriptPath)
	var hashes int
	for _, file := range b.record().Files {
		if strings.Contains(file.Path, `\staged\`) && len(file.SHA256) == 64 {
			hashes++
		}
	}
	if hashes != 2 {
		t.Errorf("the record names %d of our files: %+v", hashes, b.record().Files)
	}
}

func TestASealedGuestStaysUpForTheBuilder(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"shutdown": "none", "packer_builder_type": "amazon-ebs"})
	b.succeeds()
	b.recorded(handoff.StageSealed, handoff.ProofSeen)
	b.said(`The sealed guest stays up: stop it without restarting it (shutdown = "none")`)
	if !b.guest().On() || !b.guest().Sealed() {
		t.Errorf("on %t, sealed %t", b.guest().On(), b.guest().Sealed())
	}
	b.eventually("the working folder is gone", func() bool {
		there, _ := b.guest().Folder(`C:\ProgramData\ec2-sysprep-` + b.record().Token)
		return !there
	}, func() string {
		return strings.Join(b.guest().Files(`C:\ProgramData\ec2-sysprep-`+b.record().Token), " ")
	})
	b.noResidue()
}

func TestASealedGuestThatDoesNotShutDownIsHandedOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.Power.ShutdownDenied, m.Network.KeepPassword = true, true
	})).withEC2("golden-windows").with(map[string]any{"shutdown_timeout": "3s"})
	b.fails("ES-260", "the guest is sealed, and did not shut down", "stop the instance")
	b.recorded(handoff.StageSealed, handoff.ProofSeen)
	golden(t, "still-up.ui", b.scrubbed(b.ui.text())+"\n")
}

// Breaks of the connection while Sysprep is at work, after which the verdict
// is seen all the same.
func TestABrokenConnectionIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		// broken is a break at the first sign of generalize, mended soon after.
		broken winrm.Break
	}{
		{name: "a WinRM service that restarts", machine: func(m *windows.Machine) { m.Network.ServiceRestartAfter = windows.Seconds(20) }},
		{name: "a listener that is closed for a while", broken: winrm.Refused},
		{name: "a network that resets connections for a while", broken: winrm.Reset},
		{name: "a listener that is starting for a while", broken: winrm.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				m.Network.KeepPassword = true
				m.Sysprep.Generalize = windows.Seconds(200)
				if test.machine != nil {
					test.machine(m)
				}
			})).with(map[string]any{"reconnect_timeout": "10s"})
			if test.broken != winrm.Healthy {
				b.generalizing(func() {
					_ = b.machine.Break(test.broken)
					_ = b.lab.Clock.Wait(t.Context(), 40*time.Second)
					_ = b.machine.Mend()
				})
			}
			b.succeeds()
			b.recorded(handoff.StageShutdown, handoff.ProofSeen)
			b.stopped()
			b.noResidue()
			b.said("looking for the guest again", "The guest is back")
			if n := b.guest().ProgramsStarted(); n != 1 {
				t.Errorf("the sealer was started %d times", n)
			}
		})
	}
}

func TestAListenerThatIsAwayForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if err := b.machine.Break(winrm.Unavailable); err != nil {
		t.Fatal(err)
	}
	b.ui.heard = func(line string) {
		if strings.HasPrefix(line, "Connecting") {
			go func() {
				_ = b.lab.Clock.Wait(t.Context(), 100*time.Second)
				_ = b.machine.Mend()
			}()
		}
	}
	b.succeeds()
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
}

// With shutdown = "agent" the launch agent has Sysprep shut the guest down, as
// soon as it has sealed it: nobody is left to show the seal or to tidy up.
func TestAGuestThatItsAgentShutsDown(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"shutdown": "agent"})
	b.succeeds()
	b.stopped()
	record := b.record()
	if record.Shutdown != "agent" {
		t.Errorf("the record says shutdown %q", record.Shutdown)
	}
	if record.Stage != handoff.StageSealerConfirmed && record.Proof == nil {
		t.Errorf("the record's stage is %q without a proof", record.Stage)
	}
}
