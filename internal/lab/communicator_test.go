package lab_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
)

// packers is Packer's own WinRM communicator, connected to a machine.
func packers(t *testing.T, m *lab.Machine) *winrm.Communicator {
	t.Helper()
	comm, err := winrm.New(&winrm.Config{
		Host: "127.0.0.1", Port: m.HTTP().Addr().Port, Username: m.User(), Password: m.Password(), Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return comm
}

func TestPackersCommunicatorWorks(t *testing.T) {
	l := start(t, lab.Options{Speed: 60})
	m := l.Machines()[0]
	comm := packers(t, m)

	content := bytes.Repeat([]byte("a line of a file\r\n\x00\xff"), 900)
	if err := comm.Upload(`C:\Windows\Temp\lab\file.bin`, bytes.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	if got, ok := m.Guest().File(`C:\Windows\Temp\lab\file.bin`); !ok || !bytes.Equal(got, content) {
		t.Errorf("%d bytes arrived, %d were sent", len(got), len(content))
	}
	var back bytes.Buffer
	if err := comm.Download(`C:\Windows\Temp\lab\file.bin`, &back); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(back.Bytes(), content) {
		t.Errorf("%d bytes came back", back.Len())
	}

	var stdout, stderr bytes.Buffer
	command := &packersdk.RemoteCmd{Command: "somebody-elses.exe", Stdout: &stdout, Stderr: &stderr}
	if err := comm.Start(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	if code := command.Wait(); code != 1 || stderr.String() != "the lab cannot run this command: somebody-elses.exe\r\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestTheProtocolWorksThroughPackersCommunicator(t *testing.T) {
	l := start(t, lab.Options{Speed: 60})
	m := l.Machines()[0]
	before := m.Guest().Snapshot()
	g := guest.New(guest.OverCommunicator(packers(t, m), `C:\Windows\Temp`), 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	identity, err := guest.Fetch(ctx, g, guest.Hello())
	if err != nil || identity.Computer != "EC2AMAZ-LAB2022" {
		t.Errorf("identity %+v: %v", identity, err)
	}
	events := 0
	err = g.Follow(ctx, guest.FollowArgs{Milliseconds: 1000, Heartbeat: 5000, Limit: 20000, Processes: []string{"sysprep"}}, func(guest.Event) bool {
		events++
		return true
	})
	if err != nil || events < 3 {
		t.Errorf("%d events: %v", events, err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if left := m.Guest().Files(`C:\Windows\Temp`); len(left) != 0 {
		t.Errorf("left on the guest: %q", left)
	}
	if diff := before.Diff(m.Guest().Snapshot()); diff != "" {
		t.Errorf("the guest is not as it was:\n%s", diff)
	}
}
