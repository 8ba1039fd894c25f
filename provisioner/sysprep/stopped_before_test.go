package sysprep

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// What ends a build before anything on the guest is changed: the code, the key
// phrases, and a guest that is as it was.
func TestABuildEndsBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	const encryptable = `root\cimv2\Security\MicrosoftVolumeEncryption:Win32_EncryptableVolume`
	secure := func(certificate lab.Certificate) func(*lab.MachineOptions) {
		return func(m *lab.MachineOptions) { m.HTTPS, m.Certificate = true, certificate }
	}
	instance := func(change func(*ec2.Instance)) func(*lab.MachineOptions) {
		return func(m *lab.MachineOptions) { change(&m.Instance) }
	}
	// silent is an instance whose guest cannot ask its metadata service.
	silent := func(change func(*ec2.Instance)) func(*lab.MachineOptions) {
		return func(m *lab.MachineOptions) {
			m.Windows.MetadataOff = true
			change(&m.Instance)
		}
	}
	named := func(b *bench) { b.withEC2("golden").with(map[string]any{"instance_id": b.machine.InstanceID()}) }
	administrator := func(change func(*windows.Account)) func(*lab.MachineOptions) {
		return windowsOf(func(m *windows.Machine) {
			account := m.Accounts["Administrator"]
			change(&account)
			m.Accounts["Administrator"] = account
		})
	}
	tests := []struct {
		name    string
		machine func(*lab.MachineOptions)
		change  func(*bench)
		code    string
		phrases []string
	}{
		// The way to the guest.
		{
			name:   "a wrong password",
			change: func(b *bench) { b.with(map[string]any{"winrm_password": "not-the-password"}) },
			code:   "ES-201", phrases: []string{"connecting to the guest http://127.0.0.1:", "unauthorized", "check winrm_username and winrm_password"},
		},
		{
			name:    "a listener that wants sealed messages",
			machine: func(m *lab.MachineOptions) { m.SealedOnly = true },
			code:    "ES-201", phrases: []string{"unauthorized", "HTTPS"},
		},
		{
			name: "a closed port", change: func(b *bench) { b.with(map[string]any{"winrm_port": closedPort(b.t)}) },
			code: "ES-202", phrases: []string{"refused", "check winrm_host and winrm_port"},
		},
		{
			name: "a certificate that nobody trusts", machine: secure(lab.SelfSigned),
			code: "ES-203", phrases: []string{"certificate", "winrm_ca_file", "winrm_certificate_sha256 = "},
		},
		{
			name: "a certificate for another host", machine: secure(lab.WrongName),
			code: "ES-203", phrases: []string{"certificate", "ec2amaz-other.example"},
		},
		{
			name: "a certificate with another pin", machine: secure(lab.SelfSigned),
			change: func(b *bench) {
				b.with(map[string]any{"winrm_ca_file": nil, "winrm_certificate_sha256": strings.Repeat("ab", 32)})
			},
			code: "ES-203", phrases: []string{"certificate"},
		},
		{
			name:    "a guest that does not answer",
			machine: func(m *lab.MachineOptions) {},
			change: func(b *bench) {
				_ = b.machine.Break(winrm.Unavailable)
				b.with(map[string]any{"connect_timeout": "3s"})
			},
			code: "ES-204", phrases: []string{"503", "connect_timeout"},
		},
		{
			name:   "something that is no WinRM listener",
			change: func(b *bench) { b.with(map[string]any{"winrm_port": webServer(b.t)}) },
			code:   "ES-205", phrases: []string{"check winrm_host, winrm_port and winrm_use_ssl"},
		},
		{
			name: "no connection at all", change: func(b *bench) { b.byTheBuild("none") },
			code: "ES-206", phrases: []string{"there is no way to the guest", "give winrm_host, winrm_username and winrm_password"},
		},
		{
			name: "Packer's communicator where there is none", change: func(b *bench) { b.byTheBuild("none").with(map[string]any{"transport": "communicator"}) },
			code: "ES-206", phrases: []string{"the build has no communicator"},
		},
		{
			name: "a restricted language mode", machine: windowsOf(func(m *windows.Machine) { m.Language = "ConstrainedLanguage" }),
			code: "ES-102", phrases: []string{"ConstrainedLanguage", "AppLocker", "WDAC"},
		},
		{
			name: "a PowerShell that is too old", machine: windowsOf(func(m *windows.Machine) { m.PowerShell = "2.0" }),
			code: "ES-102", phrases: []string{"version 2.0", "3.0 is needed", "Windows Server 2012"},
		},

		// The guest.
		{
			name: "no launch agent", machine: windowsOf(func(m *windows.Machine) { m.RemoveFile(`C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`) }),
			code: "ES-103", phrases: []string{"no launch agent is installed", "EC2Launch.exe", "Ec2Launch.psd1", "Ec2Config.exe", "install EC2Launch v2"},
		},
		{
			name: "a wanted agent that is not there", change: func(b *bench) { b.with(map[string]any{"agent": "ec2config"}) },
			code: "ES-103", phrases: []string{`agent "ec2config" is not installed; the guest has EC2Launch v2`},
		},
		{
			name: "an administrator that is none", machine: administrator(func(a *windows.Account) { a.Administrator = false }),
			code: "ES-104", phrases: []string{"is not an administrator", "LocalAccountTokenFilterPolicy"},
		},
		{
			name: "an image state that is not complete", machine: windowsOf(func(m *windows.Machine) {
				m.SetRegistry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State!ImageState`, windows.Text("IMAGE_STATE_UNDEPLOYABLE"))
			}),
			code: "ES-105", phrases: []string{"IMAGE_STATE_UNDEPLOYABLE", "begin again with a fresh instance"},
		},
		{
			name: "a Sysprep that runs already", machine: windowsOf(func(m *windows.Machine) { m.Processes = append(m.Processes, "sysprep") }),
			code: "ES-108", phrases: []string{"sysprep.exe is running already"},
		},
		{
			name: "an agent at work", machine: windowsOf(func(m *windows.Machine) {
				m.Services["Amazon EC2Launch"] = windows.Service{State: "Running", StartMode: "Auto", Process: "EC2LaunchService"}
			}),
			change: func(b *bench) { b.with(map[string]any{"agent_timeout": "1s"}) },
			code:   "ES-109", phrases: []string{"still at work", "user data", "agent_timeout"},
		},
		{
			name: "a pending reboot", machine: windowsOf(func(m *windows.Machine) {
				m.SetRegistry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`, guest.Value{})
			}),
			code: "ES-110", phrases: []string{"a reboot is pending", "windows-restart"},
		},
		{
			name: "a spot instance that says so itself", machine: instance(func(i *ec2.Instance) { i.Lifecycle = "spot" }),
			code: "ES-114", phrases: []string{"spot instance", "on-demand"},
		},
		{
			name: "BitLocker", machine: windowsOf(func(m *windows.Machine) { m.SetCIM(encryptable, "ProtectionStatus", "1") }),
			code: "ES-119", phrases: []string{"BitLocker", "manage-bde -off"},
		},
		{
			name: "several things at once", machine: windowsOf(func(m *windows.Machine) {
				m.SetCIM(encryptable, "ProtectionStatus", "1")
				m.Processes = append(m.Processes, "sysprep", "TiWorker")
			}),
			code: "ES-100", phrases: []string{"3 things stand in the way", "nothing was changed on the guest", "ES-108: ", "ES-112: ", "ES-119: "},
		},
		{
			name:   "another instance than the one that is meant",
			change: func(b *bench) { b.with(map[string]any{"instance_id": "i-0000000000000000a"}) },
			code:   "ES-207", phrases: []string{"instance_id is i-0000000000000000a, but the guest says that it is i-"},
		},
		{
			name: "another instance than the builder's", change: func(b *bench) { b.data["ID"] = "i-0000000000000000b" },
			code: "ES-207", phrases: []string{"the builder's instance is i-0000000000000000b, but the guest says"},
		},
		{
			name: "another region", change: func(b *bench) { b.withEC2("golden").with(map[string]any{"region": "eu-central-1"}) },
			code: "ES-207", phrases: []string{"region is eu-central-1, but the guest says that it is us-east-1"},
		},
		{
			name:    "no metadata and no instance_id",
			machine: windowsOf(func(m *windows.Machine) { m.MetadataOff = true }), change: func(b *bench) { b.withEC2("golden") },
			code: "ES-207", phrases: []string{"EC2 cannot be asked", "give instance_id"},
		},
		{
			name: "a broken answer file on the guest",
			machine: windowsOf(func(m *windows.Machine) {
				m.SetFile(answerPath, "<?xml version=\"1.0\"?>\r\n<unattend>\r\n<settings>\r\n</unattend>")
			}),
			code: "ES-210", phrases: []string{"the answer file on the guest is broken", `unattend.xml:4:1`, "answer_file_path"},
		},
		{
			name: "no answer file on the guest", machine: windowsOf(func(m *windows.Machine) { m.RemoveFile(answerPath) }),
			code: "ES-210", phrases: []string{"is not there", "answer_file_path"},
		},

		// EC2.
		{
			name: "an ami_name that is taken", change: func(b *bench) {
				if _, err := b.lab.EC2.AddImage(ec2.Image{ID: "ami-0aaaaaaaaaaaaaaa1", Name: "golden", Region: b.lab.Region()}); err != nil {
					b.t.Fatal(err)
				}
				b.withEC2("golden")
			},
			code: "ES-220", phrases: []string{`ami_name: the name "golden" is taken by ami-0aaaaaaaaaaaaaaa1`, "nothing was changed on the guest"},
		},
		{
			name: "CreateImage that is denied", change: func(b *bench) {
				b.lab.EC2.FailNext("CreateImage", 9, "UnauthorizedOperation", "You are not authorized to perform this operation.")
				b.withEC2("golden")
			},
			code: "ES-220", phrases: []string{"may not call CreateImage", "allow ec2:CreateImage"},
		},
		{
			name: "a shutdown that terminates", machine: instance(func(i *ec2.Instance) { i.ShutdownBehavior = "terminate" }),
			change: func(b *bench) { b.withEC2("golden") },
			code:   "ES-220", phrases: []string{"would terminate the instance", "modify-instance-attribute --instance-initiated-shutdown-behavior stop"},
		},
		{
			name: "an Auto Scaling group that the guest knows of", machine: instance(func(i *ec2.Instance) { i.Tags = map[string]string{"aws:autoscaling:groupName": "web"} }),
			code: "ES-115", phrases: []string{"Auto Scaling group", "detach it"},
		},
		{
			name: "a spot instance", machine: silent(func(i *ec2.Instance) { i.Lifecycle = "spot" }),
			change: named,
			code:   "ES-220", phrases: []string{"spot instance", "on-demand"},
		},
		{
			name: "an Auto Scaling group", machine: silent(func(i *ec2.Instance) { i.Tags = map[string]string{"aws:autoscaling:groupName": "web"} }),
			change: named,
			code:   "ES-220", phrases: []string{"the Auto Scaling group web"},
		},
		{
			name: "several things that EC2 says", machine: silent(func(i *ec2.Instance) { i.Lifecycle, i.ShutdownBehavior = "spot", "terminate" }),
			change: named,
			code:   "ES-220", phrases: []string{"the instance cannot become an AMI; nothing was changed on the guest:\n", "spot instance", "would terminate"},
		},
		{
			name: "an instance that EC2 does not know", machine: windowsOf(func(m *windows.Machine) { m.MetadataOff = true }),
			change: func(b *bench) { b.withEC2("golden").with(map[string]any{"instance_id": "i-0000000000000000c"}) },
			code:   "ES-220", phrases: []string{"asking EC2 about i-0000000000000000c in us-east-1", "check region"},
		},

		// The trigger.
		{
			name: "a guest that starts nothing outside the session", machine: windowsOf(func(m *windows.Machine) { m.Start.TaskDenied, m.Start.CIMRefused = true, true }),
			code: "ES-230", phrases: []string{"nothing was changed on the guest", "task: ", "cim: ", "right to log on as a batch job"},
		},
		{
			name: "a guest that says yes and starts nothing", machine: windowsOf(func(m *windows.Machine) { m.Start.TaskNeverRuns, m.Start.CIMNeverRuns = true, true }),
			code: "ES-230", phrases: []string{"nothing was changed on the guest", "task: it was started and showed nothing within 30s", "cim: it was started and showed nothing within 30s"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.machine)
			if test.change != nil {
				test.change(b)
			}
			b.fails(test.code, test.phrases...)
			_ = b.machine.Mend()
			b.untouched()
			b.noResidue()
		})
	}
}

// closedPort is a port on which nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// webServer is the port of a server that speaks HTTP and knows no WinRM.
func webServer(t *testing.T) int {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "<html>It works!</html>")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

func TestAnIgnoredRuleIsAWarning(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		m.SetRegistry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`, guest.Value{})
	})).with(map[string]any{"preflight": map[string]any{"ignore": []string{"es-110"}}})
	b.succeeds()
	b.said("Warning: ES-110: a reboot is pending (Windows Update says RebootRequired), and Sysprep would refuse (ignored by preflight)")
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
}

func TestARecordOfAnotherInstanceIsNotOverwritten(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	other := &handoff.Record{
		Version: handoff.Version, RunUUID: "99999999-2222-3333-4444-555555555555", BuilderType: "null", SourceName: "other",
		Token: "00112233445566ff", Stage: handoff.StageSealed, InstanceID: "i-0000000000000000d",
	}
	path := b.options["record_path"].(string)
	if err := (handoff.Store{RecordPath: path}).Save(other, time.Now()); err != nil {
		t.Fatal(err)
	}
	err := b.provision(t.Context())
	if err == nil || !strings.Contains(err.Error(), "record_path") || !strings.Contains(err.Error(), "i-0000000000000000d") {
		t.Errorf("the error is %v", err)
	}
	b.untouched()
	b.noResidue()
	if record := b.record(); record.InstanceID != "i-0000000000000000d" {
		t.Errorf("the record is now of %s", record.InstanceID)
	}
}

func TestAWarningOfEC2DoesNotEndTheBuild(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).withEC2("golden")
	b.lab.EC2.FailNext("DescribeInstanceAttribute", 9, "UnauthorizedOperation", "You are not authorized to perform this operation.")
	b.succeeds()
	b.said("Warning: EC2 could not be asked everything")
}
