package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// Credentials that the lab's EC2 API is used with. It accepts any.
const (
	AccessKey = "AKIALABLABLABLABLAB1"
	SecretKey = "lab-secret-access-key"
)

// Options say what the lab consists of. The zero value is one Windows Server
// 2022 behind an HTTP listener, at the speed of the world.
type Options struct {
	// Speed says how many of the lab's seconds pass in a real one, 1 by default.
	Speed float64
	// Machines are the guests; none means one that is all default.
	Machines []MachineOptions
	// Region is where the instances are, [ec2.DefaultRegion] by default.
	Region string
	// EC2 are further settings of the EC2 API. Clock and Launch are the lab's.
	EC2 ec2.Options
}

// MachineOptions describe one guest with its instance.
type MachineOptions struct {
	// Windows is the guest; nil means [windows.Server2022].
	Windows *windows.Machine
	// Instance is how EC2 has it: tags, shutdown behavior, lifecycle and so
	// on. Region and Machine are the lab's.
	Instance ec2.Instance
	// HTTP opens an HTTP listener, HTTPS an HTTPS one. Neither means HTTP.
	HTTP, HTTPS bool
	// Certificate is what the HTTPS listener shows.
	Certificate Certificate
	// WinRM are further settings of the listeners. Windows, Clock, Address,
	// TLS and Machine are the lab's. Unless SealedOnly is set, an HTTP
	// listener takes messages that are not encrypted, as Packer's own
	// communicator needs it.
	WinRM      winrm.Config
	SealedOnly bool
	// Spare keeps the guest switched off and without an instance until
	// RunInstances launches one, which then runs on it: for the amazon-ebs
	// builder, which makes its instance itself.
	Spare bool
}

// Certificate is what an HTTPS listener shows.
type Certificate int

const (
	// Trusted is a certificate of the lab's own authority, see [Lab.CA], for
	// 127.0.0.1 and localhost.
	Trusted Certificate = iota
	// SelfSigned is a certificate signed by itself, as WinRM on EC2 mostly has it.
	SelfSigned
	// WrongName is a certificate of the lab's authority for another host.
	WrongName
)

// Lab is a running lab.
type Lab struct {
	// Clock is the lab's time.
	Clock *clock.Clock
	// EC2 is the EC2 API.
	EC2 *ec2.Server

	region    string
	account   string
	endpoint  string
	server    *http.Server
	served    chan struct{}
	authority *winrm.Authority

	mu       sync.Mutex
	machines []*Machine
	spares   []*Machine
}

// Start starts a lab. It lives until Close or the end of ctx. The error says
// that a port could not be opened or that a description makes no sense.
func Start(ctx context.Context, options Options) (_ *Lab, err error) {
	if len(options.Machines) == 0 {
		options.Machines = []MachineOptions{{}}
	}
	l := &Lab{Clock: &clock.Clock{}, region: options.Region, account: options.EC2.AccountID, served: make(chan struct{})}
	if options.Speed > 0 && options.Speed != 1 {
		l.Clock = clock.Fast(options.Speed)
	}
	if l.region == "" {
		l.region = ec2.DefaultRegion
	}
	if l.account == "" {
		l.account = ec2.DefaultAccountID
	}
	if l.authority, err = winrm.NewAuthority(time.Now()); err != nil {
		return nil, fmt.Errorf("starting the lab: %w", err)
	}
	options.EC2.Clock, options.EC2.Launch = l.Clock, l.launch
	l.EC2 = ec2.New(options.EC2)
	if err := l.listen(ctx); err != nil {
		l.EC2.Close()
		return nil, fmt.Errorf("starting the lab's EC2 API: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for i, machine := range options.Machines {
		if err := l.add(ctx, machine); err != nil {
			return nil, fmt.Errorf("starting machine %d of the lab: %w", i+1, err)
		}
	}
	return l, nil
}

// listen opens the EC2 API.
func (l *Lab) listen(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.endpoint = "http://" + listener.Addr().String()
	l.server = &http.Server{Handler: l.EC2, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() {
		defer close(l.served)
		// Serve ends when Close closes the listener.
		_ = l.server.Serve(listener)
	}()
	return nil
}

// add makes a guest with its listeners, and its instance unless it is a spare.
func (l *Lab) add(ctx context.Context, options MachineOptions) error {
	m, err := newMachine(ctx, l, options)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.machines = append(l.machines, m)
	if options.Spare {
		l.spares = append(l.spares, m)
	}
	l.mu.Unlock()
	if options.Spare {
		m.guest.PowerOff()
		return nil
	}
	instance := options.Instance
	instance.Region, instance.Machine = l.region, m.guest
	id, err := l.EC2.AddInstance(instance)
	if err != nil {
		return err
	}
	m.attach(l, id)
	if instance.State == ec2.StateStopped {
		m.guest.PowerOff()
	}
	return nil
}

// launch gives a spare guest to an instance that RunInstances made.
func (l *Lab) launch(instance ec2.Instance) ec2.Machine {
	l.mu.Lock()
	if len(l.spares) == 0 {
		l.mu.Unlock()
		return nil
	}
	m := l.spares[0]
	l.spares = l.spares[1:]
	l.mu.Unlock()
	m.identify(l, instance)
	return m.guest
}

// Close stops everything and waits for it.
func (l *Lab) Close() error {
	var failures []error
	if l.server != nil {
		failures = append(failures, l.server.Close())
		<-l.served
	}
	l.EC2.Close()
	for _, m := range l.Machines() {
		failures = append(failures, m.close())
	}
	return errors.Join(failures...)
}

// Endpoint is the address of the EC2 API, for `custom_endpoint_ec2` and
// AWS_ENDPOINT_URL_EC2.
func (l *Lab) Endpoint() string { return l.endpoint }

// Region is the region of the instances.
func (l *Lab) Region() string { return l.region }

// CA is the certificate of the authority that signs the HTTPS listeners'
// certificates, in PEM.
func (l *Lab) CA() []byte { return l.authority.PEM() }

// Machines are the guests in the order of the options.
func (l *Lab) Machines() []*Machine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Machine(nil), l.machines...)
}
