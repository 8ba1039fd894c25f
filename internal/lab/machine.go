package lab

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// Machine is a guest with its WinRM listeners and its instance.
type Machine struct {
	guest       *windows.Guest
	http, https *winrm.Server
	user        string
	password    string
	certificate string // SHA-256 of the HTTPS listener's certificate

	mu       sync.Mutex
	instance string
	off      func() // tells EC2 that the guest has shut itself down
}

func newMachine(ctx context.Context, l *Lab, options MachineOptions) (*Machine, error) {
	described := windows.Server2022()
	if options.Windows != nil {
		described = options.Windows.Clone()
	}
	m := &Machine{}
	for name, account := range described.Accounts {
		if strings.HasSuffix(account.SID, "-500") {
			m.user, m.password = name, account.Password
		}
	}
	if m.user == "" {
		return nil, errors.New("the description has no account with the relative id 500")
	}
	if !options.HTTPS {
		options.HTTP = true
	}
	config := options.WinRM
	config.Clock, config.Machine = l.Clock, described.Computer
	var certificate tls.Certificate
	if options.HTTPS {
		var err error
		if certificate, err = l.issue(options.Certificate); err != nil {
			return nil, err
		}
		m.certificate = winrm.Fingerprint(certificate)
	}
	described.WinRM = exposed(described.WinRM, options, m.certificate)
	m.guest = windows.New(described, l.Clock, windows.Hooks{PowerOff: m.poweredOff, Network: m.network, DropShells: m.dropShells})
	config.Windows = m.guest
	open := func(secure *tls.Config) (*winrm.Server, error) {
		listener := config
		listener.TLS = secure
		listener.AllowUnencrypted = !options.SealedOnly
		return winrm.Start(ctx, listener)
	}
	var err error
	if options.HTTP {
		m.http, err = open(nil)
	}
	if err == nil && options.HTTPS {
		m.https, err = open(winrm.ServerTLS(certificate))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening WinRM: %w", err), m.close())
	}
	return m, nil
}

// issue makes the certificate of an HTTPS listener.
func (l *Lab) issue(kind Certificate) (tls.Certificate, error) {
	switch kind {
	case SelfSigned:
		return winrm.SelfSigned(time.Now(), "127.0.0.1", "localhost")
	case WrongName:
		return l.authority.Issue("ec2amaz-other.example")
	}
	return l.authority.Issue("127.0.0.1", "localhost")
}

// exposed is how the guest itself sees its listeners.
func exposed(described guest.Exposure, options MachineOptions, thumbprint string) guest.Exposure {
	described.Listeners = nil
	if options.HTTP {
		described.Listeners = append(described.Listeners, guest.Listener{Transport: "HTTP", Port: "5985", Address: "*", Enabled: true})
	}
	if options.HTTPS {
		thumbprint := strings.ToUpper(strings.ReplaceAll(thumbprint, ":", ""))
		thumbprint = thumbprint[:min(40, len(thumbprint))]
		described.Listeners = append(described.Listeners, guest.Listener{Transport: "HTTPS", Port: "5986", Address: "*", Enabled: true, Thumbprint: thumbprint})
	}
	described.Known = true
	described.Basic = !options.WinRM.NoBasic
	described.Unencrypted = !options.SealedOnly
	return described
}

// attach ties the guest to its instance.
func (m *Machine) attach(l *Lab, id string) {
	if instance, ok := l.EC2.Instance(id); ok {
		m.identify(l, instance)
	}
}

// identify lets the guest's metadata service know its instance.
func (m *Machine) identify(l *Lab, instance ec2.Instance) {
	m.mu.Lock()
	m.instance = instance.ID
	m.off = func() { l.EC2.GuestShutdown(instance.ID) }
	m.mu.Unlock()
	if data, err := base64.StdEncoding.DecodeString(instance.UserData); err == nil && len(data) > 0 {
		m.guest.SetMetadata("user-data", string(data))
	}
	lifecycle := "on-demand"
	if instance.Lifecycle != "" {
		lifecycle = instance.Lifecycle
	}
	if instance.Tags["aws:autoscaling:groupName"] != "" {
		m.guest.SetMetadata("meta-data/autoscaling/target-lifecycle-state", "InService")
	}
	for path, value := range map[string]string{
		"meta-data/instance-life-cycle":         lifecycle,
		"meta-data/instance-id":                 instance.ID,
		"meta-data/ami-id":                      instance.ImageID,
		"meta-data/instance-type":               instance.Type,
		"meta-data/local-ipv4":                  instance.PrivateIP,
		"meta-data/placement/region":            instance.Region,
		"meta-data/placement/availability-zone": instance.AvailabilityZone,
		"dynamic/instance-identity/document": fmt.Sprintf(
			`{"accountId":%q,"architecture":"x86_64","availabilityZone":%q,"imageId":%q,"instanceId":%q,"instanceType":%q,"privateIp":%q,"region":%q,"version":"2017-09-30"}`,
			l.account, instance.AvailabilityZone, instance.ImageID, instance.ID, instance.Type, instance.PrivateIP, instance.Region),
	} {
		m.guest.SetMetadata(path, value)
	}
}

// Guest is the modelled Windows.
func (m *Machine) Guest() *windows.Guest { return m.guest }

// HTTP is the HTTP listener, nil when there is none.
func (m *Machine) HTTP() *winrm.Server { return m.http }

// HTTPS is the HTTPS listener, nil when there is none.
func (m *Machine) HTTPS() *winrm.Server { return m.https }

// User is the built-in administrator's name, Password the password that it had
// at the start.
func (m *Machine) User() string { return m.user }

// Password is the built-in administrator's password at the start.
func (m *Machine) Password() string { return m.password }

// CertificateSHA256 is the fingerprint of the HTTPS listener's certificate.
func (m *Machine) CertificateSHA256() string { return m.certificate }

// InstanceID is what EC2 calls the machine; empty for a spare one that has not
// been launched.
func (m *Machine) InstanceID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instance
}

// Port returns the port of a listener.
func Port(s *winrm.Server) string { return strconv.Itoa(s.Addr().Port) }

// listeners are those that there are.
func (m *Machine) listeners() []*winrm.Server {
	var all []*winrm.Server
	for _, s := range []*winrm.Server{m.http, m.https} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Break puts every listener out of order until Mend. What runs on the guest
// goes on.
func (m *Machine) Break(how winrm.Break) error {
	var failures []error
	for _, s := range m.listeners() {
		failures = append(failures, s.Break(how))
	}
	return errors.Join(failures...)
}

// Mend puts every listener in order again.
func (m *Machine) Mend() error { return m.Break(winrm.Healthy) }

// CutNetwork takes the network away for a while of the lab's time, or (0)
// until the guest's MendNetwork.
func (m *Machine) CutNetwork(d time.Duration) { m.guest.CutNetwork(d) }

func (m *Machine) poweredOff() {
	m.mu.Lock()
	off := m.off
	m.mu.Unlock()
	if off != nil {
		off()
	}
}

// network follows what the guest's network does. A listener that cannot take
// its port again stays away, which a client sees as a guest that is gone.
func (m *Machine) network(state windows.Network) {
	for _, s := range m.listeners() {
		switch state {
		case windows.NetworkUp:
			_ = s.PowerOn()
		case windows.NetworkCut:
			_ = s.Break(winrm.BlackHole)
		case windows.NetworkOff:
			_ = s.PowerOff(winrm.Refused)
		}
	}
}

func (m *Machine) dropShells() {
	for _, s := range m.listeners() {
		s.DropShells()
	}
}

// close ends the guest first, so that its programs' ends unblock the listeners.
func (m *Machine) close() error {
	m.guest.Close()
	var failures []error
	for _, s := range m.listeners() {
		failures = append(failures, s.Close())
	}
	return errors.Join(failures...)
}
