package sysprep

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// bench is a lab with one guest and a provisioner that is set up for it.
type bench struct {
	t       *testing.T
	lab     *lab.Lab
	machine *lab.Machine
	ui      *recordingUI
	options map[string]any
	data    map[string]any
	folder  string
}

// speed is how fast the lab's clock runs.
const speed = 60

func newBench(t *testing.T, change func(*lab.MachineOptions)) *bench {
	t.Helper()
	folder := t.TempDir()
	t.Setenv("PACKER_RUN_UUID", "11111111-2222-3333-4444-555555555555")
	t.Setenv("PACKER_CACHE_DIR", filepath.Join(folder, "cache"))
	t.Setenv("AWS_CA_BUNDLE", "")
	described := windows.Server2022()
	machine := lab.MachineOptions{Windows: &described}
	if change != nil {
		change(&machine)
	}
	l, err := lab.Start(t.Context(), lab.Options{Speed: speed, Machines: []lab.MachineOptions{machine}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %s", err)
		}
	})
	m := l.Machines()[0]
	b := &bench{
		t: t, lab: l, machine: m, ui: &recordingUI{}, folder: folder,
		options: map[string]any{
			"winrm_host":          "127.0.0.1",
			"winrm_username":      m.User(),
			"winrm_password":      m.Password(),
			"reconnect_timeout":   "4s",
			"log_dir":             filepath.Join(folder, "logs"),
			"record_path":         filepath.Join(folder, "record.json"),
			"packer_builder_type": "null",
			"packer_build_name":   "windows",
		},
		data: map[string]any{"ID": "Null", "ConnType": "none"},
	}
	if m.HTTPS() != nil {
		ca := filepath.Join(folder, "ca.pem")
		if err := os.WriteFile(ca, l.CA(), 0o600); err != nil {
			t.Fatal(err)
		}
		b.options["winrm_port"], b.options["winrm_ca_file"] = m.HTTPS().Addr().Port, ca
	} else {
		b.options["winrm_port"], b.options["winrm_use_ssl"] = m.HTTP().Addr().Port, false
	}
	return b
}

// withEC2 lets the provisioner ask the lab's EC2 API.
func (b *bench) withEC2(name string) *bench {
	for key, value := range map[string]any{
		"region": b.lab.Region(), "access_key": lab.AccessKey, "secret_key": lab.SecretKey, "ami_name": name,
		"custom_endpoint_ec2": b.lab.Endpoint(), "custom_endpoint_sts": b.lab.Endpoint(), "max_retries": 1,
	} {
		b.options[key] = value
	}
	return b
}

func (b *bench) provision(ctx context.Context) error {
	b.t.Helper()
	p := new(Provisioner)
	if err := p.Prepare(b.options); err != nil {
		b.t.Fatalf("the options are not accepted: %s", err)
	}
	return p.Provision(ctx, b.ui, nil, b.data)
}

func (b *bench) record() *handoff.Record {
	b.t.Helper()
	record, err := handoff.Read(filepath.Join(b.folder, "record.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return record
}

// recordingUI keeps what the user sees.
type recordingUI struct {
	packersdk.MockUi
	lines []string
}

func (u *recordingUI) Say(text string) { u.lines = append(u.lines, text) }

func (u *recordingUI) text() string { return strings.Join(u.lines, "\n") }

func TestAGuestIsSealedAndShutDown(t *testing.T) {
	for name, change := range map[string]func(*lab.MachineOptions){
		"over HTTP with Basic":               nil,
		"over HTTPS with a CA file":          func(m *lab.MachineOptions) { m.HTTPS = true },
		"with a password kept by generalize": func(m *lab.MachineOptions) { m.Windows.Network.KeepPassword = true },
		"started by WMI because tasks are denied": func(m *lab.MachineOptions) {
			m.Windows.Start.TaskDenied = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, change).withEC2("golden-windows")
			if err := b.provision(t.Context()); err != nil {
				t.Fatalf("%s\n%s", err, b.ui.text())
			}
			record := b.record()
			if record.Proof == nil || record.Proof.Kind != handoff.ProofSeen || record.Stage != handoff.StageShutdown {
				t.Errorf("the record has stage %s and proof %+v", record.Stage, record.Proof)
			}
			if state := b.machine.Guest().ImageState(); state != "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE" {
				t.Errorf("the guest's image state is %s", state)
			}
			if record.InstanceID != b.machine.InstanceID() {
				t.Errorf("the record is of %s", record.InstanceID)
			}
			b.awaitState(ec2.StateStopped)
			t.Log("\n" + b.ui.text())
		})
	}
}

// awaitState waits until EC2 says that the instance is in that state.
func (b *bench) awaitState(want string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	for {
		instance, _ := b.lab.EC2.Instance(b.machine.InstanceID())
		if instance.State == want {
			return
		}
		if err := b.lab.Clock.Wait(ctx, time.Second); err != nil {
			b.t.Fatalf("the instance is %s, not %s", instance.State, want)
		}
	}
}

var _ = errors.Is
var _ = fs.ErrNotExist
