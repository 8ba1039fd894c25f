package lab_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func TestCertificatesThatAreNotToBeTrusted(t *testing.T) {
	for name, certificate := range map[string]lab.Certificate{"signed by itself": lab.SelfSigned, "for another host": lab.WrongName} {
		t.Run(name, func(t *testing.T) {
			l := start(t, lab.Options{Machines: []lab.MachineOptions{{HTTPS: true, Certificate: certificate}}})
			m := l.Machines()[0]
			if m.HTTP() != nil {
				t.Error("there is an HTTP listener, too")
			}
			dial := func(options direct.Options) error {
				options.Host, options.Port, options.UseSSL = "127.0.0.1", m.HTTPS().Addr().Port, true
				options.Username, options.Password = m.User(), m.Password()
				client, err := direct.Dial(options)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				return client.Probe(t.Context())
			}
			if err := dial(direct.Options{CACertificates: l.CA()}); !errors.Is(err, direct.ErrCertificate) {
				t.Errorf("with the lab's authority: %v", err)
			}
			if err := dial(direct.Options{CertificateSHA256: m.CertificateSHA256()}); err != nil {
				t.Errorf("with its fingerprint: %v", err)
			}
		})
	}
}

func TestListenersCanBeBroken(t *testing.T) {
	l := start(t, lab.Options{Machines: []lab.MachineOptions{{HTTP: true, HTTPS: true}}})
	m := l.Machines()[0]
	probe := func(secure bool) error {
		options := direct.Options{Host: "127.0.0.1", Username: m.User(), Password: m.Password(), Port: m.HTTP().Addr().Port}
		if secure {
			options.Port, options.UseSSL, options.CACertificates = m.HTTPS().Addr().Port, true, l.CA()
		}
		client, err := direct.Dial(options)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		return client.Probe(t.Context())
	}
	for _, step := range []struct {
		how  winrm.Break
		want error
	}{{winrm.Refused, direct.ErrRefused}, {winrm.Unauthorized, direct.ErrUnauthorized}, {winrm.Healthy, nil}} {
		if err := m.Break(step.how); err != nil {
			t.Fatal(err)
		}
		for _, secure := range []bool{false, true} {
			if err := probe(secure); !errors.Is(err, step.want) || step.want == nil && err != nil {
				t.Errorf("break %d, HTTPS %t: %v", step.how, secure, err)
			}
		}
	}
}

func TestEC2SwitchesTheGuestOffAndOn(t *testing.T) {
	described := windows.Server2022()
	described.Power.SetupTakes = windows.Seconds(10)
	l := start(t, lab.Options{Speed: 100, Machines: []lab.MachineOptions{{Windows: &described}}})
	m := l.Machines()[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	api, ids := client(l), []string{m.InstanceID()}
	if _, err := api.StopInstances(ctx, &awsec2.StopInstancesInput{InstanceIds: ids}); err != nil {
		t.Fatal(err)
	}
	waitFor(ctx, t, "the stop", func() bool {
		instance, _ := l.EC2.Instance(ids[0])
		return instance.State == ec2.StateStopped && !m.Guest().On()
	})
	if _, err := api.StartInstances(ctx, &awsec2.StartInstancesInput{InstanceIds: ids}); err != nil {
		t.Fatal(err)
	}
	waitFor(ctx, t, "the start", m.Guest().Reachable)
	if m.Guest().Boots() != 2 || m.Guest().SetupRuns() != 0 {
		t.Errorf("%d boots, %d setups", m.Guest().Boots(), m.Guest().SetupRuns())
	}
	if _, err := api.RebootInstances(ctx, &awsec2.RebootInstancesInput{InstanceIds: ids}); err != nil {
		t.Fatal(err)
	}
	waitFor(ctx, t, "the reboot", func() bool { return m.Guest().Boots() == 3 && m.Guest().Reachable() })
}

func TestTheGuestKnowsWhatKindOfInstanceItIs(t *testing.T) {
	l := start(t, lab.Options{Machines: []lab.MachineOptions{
		{Instance: ec2.Instance{Lifecycle: "spot"}},
		{Instance: ec2.Instance{Tags: map[string]string{"aws:autoscaling:groupName": "web"}}},
	}})
	const lifecycle, scaling = "meta-data/instance-life-cycle", "meta-data/autoscaling/target-lifecycle-state"
	for i, want := range [][2]string{{"spot", ""}, {"on-demand", "InService"}} {
		items, err := guest.Fetch(t.Context(), connect(t, l, l.Machines()[i]), guest.Metadata(time.Second, lifecycle, scaling))
		if err != nil || items.Body(lifecycle) != want[0] || items.Body(scaling) != want[1] {
			t.Errorf("machine %d says %+v (%v)", i, items, err)
		}
	}
}

func TestTheGuestRunsItsInstancesUserData(t *testing.T) {
	described := windows.Server2022()
	described.RemoveFile(`C:\ProgramData\Amazon\EC2Launch\state\.run-once`)
	script := base64.StdEncoding.EncodeToString([]byte("<script>echo hello</script>"))
	l := start(t, lab.Options{Speed: 100, Machines: []lab.MachineOptions{{Windows: &described, Instance: ec2.Instance{UserData: script}}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g := l.Machines()[0].Guest()
	g.Reboot()
	waitFor(ctx, t, "the start", func() bool { _, done := g.FirstBoot(); return done })
	if first, _ := g.FirstBoot(); first.UserDataRuns != 1 || first.SetUp || first.Password != windows.PasswordRandom {
		t.Errorf("%+v", first)
	}
}

func TestAStoppedInstanceHasAGuestThatIsOff(t *testing.T) {
	l := start(t, lab.Options{Machines: []lab.MachineOptions{{Instance: ec2.Instance{State: ec2.StateStopped}}}})
	if m := l.Machines()[0]; m.Guest().On() || m.InstanceID() == "" {
		t.Error("the guest of a stopped instance is on")
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	nobody := windows.Server2022()
	nobody.Accounts = nil
	for name, options := range map[string]lab.Options{
		"a guest without an administrator":   {Machines: []lab.MachineOptions{{Windows: &nobody}}},
		"an instance with a malformed id":    {Machines: []lab.MachineOptions{{Instance: ec2.Instance{ID: "server"}}}},
		"a listener that is not on loopback": {Machines: []lab.MachineOptions{{WinRM: winrm.Config{Address: "0.0.0.0:0"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if l, err := lab.Start(t.Context(), options); err == nil {
				_ = l.Close()
				t.Error("it started")
			}
		})
	}
}
