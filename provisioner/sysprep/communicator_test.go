package sysprep

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	communicator "github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// sshLike is a communicator that runs commands on a modelled Windows, as
// Packer's over SSH does.
type sshLike struct {
	guest *windows.Guest
	user  string
	// linux says that there is no Windows at the other end.
	linux bool
	calls atomic.Int64
	// cut says that the connection is broken.
	cut atomic.Bool
	// down counts the calls after the guest had been switched off.
	down atomic.Int64
}

func (c *sshLike) count() error {
	c.calls.Add(1)
	if c.cut.Load() {
		return errors.New("ssh: the connection was reset")
	}
	if !c.guest.Reachable() {
		c.down.Add(1)
		return errors.New("ssh: the connection was closed")
	}
	return nil
}

func (c *sshLike) Start(ctx context.Context, command *packersdk.RemoteCmd) error {
	if err := c.count(); err != nil {
		return err
	}
	if c.linux {
		_, _ = io.WriteString(command.Stderr, "bash: powershell.exe: command not found\n")
		command.SetExited(127)
		return nil
	}
	go func() {
		code := c.guest.Run(ctx, &winrm.Command{
			Line: command.Command, User: c.user, Stdin: bytes.NewReader(nil), Stdout: command.Stdout, Stderr: command.Stderr,
		})
		command.SetExited(code)
	}()
	return nil
}

func (c *sshLike) Upload(path string, data io.Reader, _ *os.FileInfo) error {
	if err := c.count(); err != nil {
		return err
	}
	content, err := io.ReadAll(data)
	if err == nil && !c.linux {
		c.guest.PutFile(path, content)
	}
	return err
}

func (c *sshLike) UploadDir(string, string, []string) error   { return errors.ErrUnsupported }
func (c *sshLike) Download(string, io.Writer) error           { return errors.ErrUnsupported }
func (c *sshLike) DownloadDir(string, string, []string) error { return errors.ErrUnsupported }

func newSSH(t *testing.T, change func(*windows.Machine)) (*bench, *sshLike) {
	t.Helper()
	b := newBench(t, windowsOf(func(m *windows.Machine) {
		if change != nil {
			change(m)
		}
	})).byTheBuild("ssh")
	comm := &sshLike{guest: b.guest(), user: b.machine.User()}
	b.comm = comm
	return b, comm
}

func TestAGuestIsSealedOverSSH(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"auto", "communicator"} {
		t.Run("with transport "+transport, func(t *testing.T) {
			t.Parallel()
			b, comm := newSSH(t, nil)
			b.with(map[string]any{"transport": transport, "before_sysprep": map[string]any{"commands": []string{"echo hello"}}})
			b.succeeds()
			b.said("Connecting to the guest through Packer's communicator (ssh)")
			b.recorded(handoff.StageShutdown, handoff.ProofSeen)
			b.stopped()
			b.noResidue()
			if n := comm.down.Load(); n != 0 {
				t.Errorf("the communicator was asked %d times after the guest had gone", n)
			}
		})
	}
}

func TestAGuestBehindSSHThatIsNoWindows(t *testing.T) {
	t.Parallel()
	b, comm := newSSH(t, nil)
	comm.linux = true
	b.fails("ES-102", "is it Windows?", "code 127", "powershell.exe: command not found")
	b.untouched()
}

func TestARefusalOverSSHIsPutBack(t *testing.T) {
	t.Parallel()
	b, _ := newSSH(t, func(m *windows.Machine) { m.Sysprep.Refuse = windows.RefuseBitLocker() })
	b.fails("ES-316", "BitLocker")
	b.recorded(handoff.StageRefused, "")
	b.asBefore()
	b.noResidue()
	b.keepsLogs()
}

func TestARefusalBehindABrokenSSHLeavesNoRequests(t *testing.T) {
	t.Parallel()
	b, comm := newSSH(t, func(m *windows.Machine) {
		m.Sysprep.Refuse, m.Sysprep.Validate = windows.RefuseBitLocker(), windows.Seconds(240)
	})
	b.with(map[string]any{"administrator_password": map[string]any{"mode": "specify", "value": plantedPassword}})
	requests := func() (paths []string) {
		for _, path := range b.guest().Files(`C:\Windows\Temp`) {
			if strings.Contains(path, "ec2-sysprep") {
				paths = append(paths, path)
			}
		}
		return paths
	}
	found := make(chan int, 1)
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-b.t.Context().Done():
				return
			}
			record, err := handoff.Read(filepath.Join(b.folder, "record.json"))
			if err == nil && record.Stage == handoff.StageSealerConfirmed {
				comm.cut.Store(true)
				found <- len(requests())
				return
			}
		}
	}()
	if err := b.provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-found; n == 0 {
		t.Error("there were no requests to be left behind")
	}
	b.eventually("the guest has deleted the requests", func() bool { return len(requests()) == 0 }, func() string { return strings.Join(requests(), ", ") })
}

func TestRestrictedLanguageOverSSH(t *testing.T) {
	t.Parallel()
	b, _ := newSSH(t, func(m *windows.Machine) { m.Language = "ConstrainedLanguage" })
	b.fails("ES-102", "ConstrainedLanguage")
	b.asBefore()
}

// packers is Packer's own WinRM communicator against the lab's listener.
func packers(t *testing.T, b *bench) packersdk.Communicator {
	t.Helper()
	comm, err := communicator.New(&communicator.Config{
		Host: "127.0.0.1", Port: b.machine.HTTP().Addr().Port, Username: b.machine.User(), Password: b.machine.Password(), Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return comm
}

func TestAGuestIsSealedThroughPackersOwnWinRM(t *testing.T) {
	t.Parallel()
	// Its uploads take their time, whatever the lab's clock says: a quick guest
	// on a slow clock.
	b := newBenchAt(t, 2, windowsOf(func(m *windows.Machine) {
		m.Network.KeepPassword = true
		m.Agent.Prepares, m.Sysprep.Validate, m.Sysprep.Cleanup, m.Sysprep.Generalize = windows.Seconds(1), windows.Seconds(1), windows.Seconds(2), windows.Seconds(6)
	})).byTheBuild("winrm").with(map[string]any{"transport": "communicator"})
	b.comm = packers(t, b)
	b.succeeds()
	b.said("Connecting to the guest through Packer's communicator (winrm)")
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
	b.stopped()
	b.noResidue()
}

func TestASecretDoesNotGoThroughPackersOwnWinRM(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).byTheBuild("winrm")
	shipped, _ := b.guest().File(answerPath)
	own := strings.Replace(string(shipped), "<OOBE>", "<UserAccounts><AdministratorPassword><Value>Another-Secret-1</Value><PlainText>true</PlainText></AdministratorPassword></UserAccounts><OOBE>", 1)
	if own == string(shipped) {
		t.Fatal("the shipped answer file has no OOBE element")
	}
	b.with(map[string]any{"transport": "communicator", "answer_file_content": own})
	b.comm = packers(t, b)
	b.fails("ES-212", "would put it into command lines", `transport = "winrm"`)
	b.asBefore()
}

func TestTheBuildsOwnConnectionFallsBackToPackers(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(m *lab.MachineOptions) { m.HTTPS, m.HTTP, m.Certificate = true, true, lab.SelfSigned }).byTheBuild("winrm")
	b.data["Port"] = b.machine.HTTPS().Addr().Port
	b.with(map[string]any{"winrm_ca_file": nil, "winrm_use_ssl": true})
	b.comm = &sshLike{guest: b.guest(), user: b.machine.User()}
	b.succeeds()
	b.said("The direct connection failed", "going through Packer's communicator")
	b.recorded(handoff.StageShutdown, handoff.ProofSeen)
	b.stopped()
}
