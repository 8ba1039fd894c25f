package lab_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// start opens a lab that ends with the test.
func start(t *testing.T, options lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	return l
}

// connect opens a conversation with a machine's guest over WinRM.
func connect(t *testing.T, l *lab.Lab, m *lab.Machine) *guest.Guest {
	t.Helper()
	options := direct.Options{Host: "127.0.0.1", Username: m.User(), Password: m.Password()}
	if m.HTTPS() != nil {
		options.Port, options.UseSSL, options.CACertificates = m.HTTPS().Addr().Port, true, l.CA()
	} else {
		options.Port, options.UseNTLM = m.HTTP().Addr().Port, true
	}
	client, err := direct.Dial(options)
	if err != nil {
		t.Fatal(err)
	}
	g := guest.New(guest.OverWinRM(client), 10*time.Second)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

const folder = `C:\ProgramData\packer-ec2-sysprep`

// sealing is a plan for the sealer, as short as it can be.
func sealing() guest.SealPlan {
	return guest.SealPlan{
		Version: 1, Token: "token-1", Folder: folder, Task: "ec2-sysprep-token-1",
		Commands:   []guest.Command{{File: `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`, Arguments: "sysprep"}},
		Generalize: true, Process: "sysprep", ImageState: "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE",
		Tag:           `C:\Windows\System32\Sysprep\Sysprep_succeeded.tag`,
		ErrorLog:      `C:\Windows\System32\Sysprep\Panther\setuperr.log`,
		ActionLog:     `C:\Windows\System32\Sysprep\Panther\setupact.log`,
		GiveUp:        []string{`\[0x0f0070\]`},
		Limits:        guest.SealLimits{Appear: 60, Grace: 20, Stall: 600, Total: 3600, Seen: 15},
		ConsoleSealed: "packer-plugin-ec2-sysprep token-1 sealed", ConsoleFailed: "packer-plugin-ec2-sysprep token-1 failed",
		Shutdown: "sealed",
	}
}

func TestASealedGuestStopsItsInstance(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "over HTTP with NTLM", true: "over HTTPS with Basic"}[secure], func(t *testing.T) {
			t.Parallel()
			l := start(t, lab.Options{Speed: 60, Machines: []lab.MachineOptions{{HTTPS: secure}}})
			m := l.Machines()[0]
			g := connect(t, l, m)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()

			identity, err := guest.Fetch(ctx, g, guest.Hello())
			if err != nil {
				t.Fatal(err)
			}
			if !identity.Administrator || identity.Computer != "EC2AMAZ-LAB2022" {
				t.Errorf("identity %+v", identity)
			}
			items, err := guest.Fetch(ctx, g, guest.Metadata(time.Second, "meta-data/instance-id"))
			if err != nil || items.Body("meta-data/instance-id") != m.InstanceID() {
				t.Errorf("the guest says it is %q, EC2 says %q (%v)", items.Body("meta-data/instance-id"), m.InstanceID(), err)
			}

			plan, err := sealing().Encode()
			if err != nil {
				t.Fatal(err)
			}
			calls := []guest.Asker{guest.PrivateFolder(folder)}
			for name, data := range map[string][]byte{guest.PlanFile: plan, guest.ScriptFile: []byte(guest.SealScript)} {
				for _, call := range guest.FileWrite(folder+`\`+name, data) {
					calls = append(calls, call)
				}
			}
			if err := g.Ask(ctx, calls...); err != nil {
				t.Fatal(err)
			}
			file, arguments := guest.Starter(folder, identity.Folders["windir"])
			if _, err := guest.Fetch(ctx, g, guest.Start(guest.StartArgs{Via: guest.ViaTask, Name: "ec2-sysprep-token-1", File: file, Arguments: arguments, Folder: folder})); err != nil {
				t.Fatal(err)
			}
			sealed := false
			err = g.Follow(ctx, guest.FollowArgs{Milliseconds: 1000, Heartbeat: 20000, Limit: 600000, Documents: []string{folder + `\` + guest.StateFile}}, func(event guest.Event) bool {
				for _, document := range event.Documents {
					if state, err := guest.ParseSealState(document.Data); err == nil && state.Phase == guest.PhaseSealed {
						sealed = true
					}
				}
				return !sealed
			})
			if err != nil || !sealed {
				t.Fatalf("sealed %t: %v", sealed, err)
			}
			seen := guest.FileCreate(folder+`\`+guest.SeenFile, nil)
			if err := g.Ask(ctx, seen); err != nil {
				t.Errorf("acknowledging: %v", err)
			}
			waitFor(ctx, t, "the stop", func() bool {
				instance, _ := l.EC2.Instance(m.InstanceID())
				return instance.State == ec2.StateStopped
			})
			instance, _ := l.EC2.Instance(m.InstanceID())
			if instance.StateReasonCode != "Client.InstanceInitiatedShutdown" {
				t.Errorf("stopped because of %s", instance.StateReasonCode)
			}
			if !m.Guest().Sealed() || m.Guest().On() {
				t.Error("the guest is not sealed, or not off")
			}
			if text := m.Guest().COM1(); !strings.Contains(text, "packer-plugin-ec2-sysprep token-1 sealed") {
				t.Errorf("COM1 says %q", text)
			}
		})
	}
}

func TestACutNetworkComesBack(t *testing.T) {
	l := start(t, lab.Options{Speed: 60})
	m := l.Machines()[0]
	g := connect(t, l, m)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := guest.Fetch(ctx, g, guest.Hello()); err != nil {
		t.Fatal(err)
	}
	m.CutNetwork(time.Minute)
	waitFor(ctx, t, "the network", m.Guest().Reachable)
	g.Drop()
	if _, err := guest.Fetch(ctx, g, guest.Hello()); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

func TestAfterGeneralizeWinRMSaysNo(t *testing.T) {
	described := windows.Server2022()
	described.Sysprep.HangsAtEnd = true
	l := start(t, lab.Options{Speed: 60, Machines: []lab.MachineOptions{{Windows: &described}}})
	m := l.Machines()[0]
	m.Guest().Execute(`C:\Windows\System32\Sysprep\sysprep.exe`, "/oobe /generalize /quit /quiet")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waitFor(ctx, t, "the end of the password", func() bool {
		_, ok := m.Guest().Password(m.User())
		return !ok && m.Guest().Sealed()
	})
	client, err := direct.Dial(direct.Options{Host: "127.0.0.1", Port: m.HTTP().Addr().Port, Username: m.User(), Password: m.Password()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Probe(ctx); !errors.Is(err, direct.ErrUnauthorized) {
		t.Errorf("error %v, want unauthorized", err)
	}
}

func TestASpareMachineRunsALaunchedInstance(t *testing.T) {
	l := start(t, lab.Options{Speed: 100, Machines: []lab.MachineOptions{{Spare: true}}})
	m := l.Machines()[0]
	if m.InstanceID() != "" || m.Guest().On() {
		t.Fatal("a spare machine runs before it was launched")
	}
	id := launch(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waitFor(ctx, t, "WinRM", m.Guest().Reachable)
	if m.InstanceID() != id {
		t.Errorf("the machine is %q, EC2 launched %q", m.InstanceID(), id)
	}
	g := connect(t, l, m)
	items, err := guest.Fetch(ctx, g, guest.Metadata(time.Second, "meta-data/instance-id"))
	if err != nil || items.Body("meta-data/instance-id") != id {
		t.Errorf("the guest says it is %q (%v)", items.Body("meta-data/instance-id"), err)
	}
}

// waitFor looks until a condition holds.
func waitFor(ctx context.Context, t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s did not happen: %v", what, ctx.Err())
		}
	}
}
