package sysprep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// The codes of failures to connect.
const (
	codeUnauthorized = "ES-201"
	codeRefused      = "ES-202"
	codeCertificate  = "ES-203"
	codeUnreachable  = "ES-204"
	codeNotWinRM     = "ES-205"
	codeNoWay        = "ES-206"
	codePowerShell   = "ES-102"
)

// connect opens the way to the guest and surveys it, which is the first thing
// that goes over it.
func (r *run) connect(ctx context.Context) error {
	link, address, err := r.link()
	if err != nil {
		return err
	}
	r.say("Connecting to the guest %s", address)
	r.guest = guest.New(link, 0)
	err = r.contact(ctx)
	if err == nil {
		r.guest.SetReconnect(r.config.ReconnectTimeout)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// The build's own connection may have settings that nobody tells us
	// (winrm_insecure, a proxy): Packer's communicator knows them.
	if r.client != nil && r.config.Transport == transportAuto && r.config.WinRMHost == "" && mayFallBack(err) {
		r.say("The direct connection failed (%s); going through Packer's communicator", short(err))
		_ = r.guest.Close()
		r.client = nil
		r.guest = guest.New(guest.OverCommunicator(r.comm, requestFolder), 0)
		if err := r.contact(ctx); err != nil {
			return r.explain(err, "Packer's communicator")
		}
		r.guest.SetReconnect(r.config.ReconnectTimeout)
		return nil
	}
	return r.explain(err, address)
}

// requestFolder is where the communicator puts its request files.
const requestFolder = `C:\Windows\Temp`

// link chooses the way to the guest.
func (r *run) link() (guest.Link, string, error) {
	c := r.config
	over := func() (guest.Link, string, error) {
		return guest.OverCommunicator(r.comm, requestFolder), "through Packer's communicator (" + r.build.ConnType + ")", nil
	}
	if c.Transport == transportCommunicator || (c.Transport == transportAuto && c.WinRMHost == "" && r.build.ConnType == "ssh") {
		if r.build.ConnType == "" || r.build.ConnType == "none" {
			return nil, "", &image.Failure{
				Code: codeNoWay, Problem: "there is no way to the guest: the build has no communicator",
				Next: "give winrm_host, winrm_username and winrm_password to the provisioner",
			}
		}
		return over()
	}
	options, err := c.connection(r.build)
	if err != nil {
		return nil, "", &image.Failure{
			Code: codeNoWay, Problem: "there is no way to the guest", Cause: err,
			Next: "give winrm_host, winrm_username and winrm_password to the provisioner, or use communicator = \"winrm\"",
		}
	}
	client, err := direct.Dial(options)
	if err != nil {
		return nil, "", &image.Failure{Code: codeNoWay, Problem: "the WinRM connection cannot be made", Cause: err, Next: "correct the winrm options"}
	}
	r.client = client
	scheme := "http"
	if options.UseSSL {
		scheme = "https"
	}
	return guest.OverWinRM(client), scheme + "://" + net.JoinHostPort(options.Host, strconv.Itoa(options.Port)) + " as " + options.Username, nil
}

// Pauses and patience of the first contact.
const (
	contactPause = 2 * time.Second
	// refusedPatience is how long a port may be closed: WinRM may be starting.
	refusedPatience = 6 * time.Second
)

// contact surveys the guest. A guest that does not answer is tried again;
// what trying again will not change is reported at once.
func (r *run) contact(ctx context.Context) error {
	began := time.Now()
	told := began
	for {
		facts, findings, err := preflight.Survey(ctx, r.guest, r.config.survey())
		if err == nil {
			r.facts, r.findings = facts, findings
			return nil
		}
		patience := r.config.ConnectTimeout
		var lost *guest.LostError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &lost):
			return err
		case errors.Is(err, direct.ErrUnauthorized), errors.Is(err, direct.ErrCertificate), errors.Is(err, direct.ErrNotWinRM):
			return err
		case r.client == nil:
			return err
		case errors.Is(err, direct.ErrRefused):
			patience = min(patience, refusedPatience)
		}
		if time.Since(began)+contactPause > patience {
			return err
		}
		r.logf("no contact yet: %s", err)
		if time.Since(told) > time.Minute {
			told = time.Now()
			r.say("Still waiting for the guest (%s)", short(err))
		}
		r.guest.Drop()
		if err := guest.Wait(ctx, contactPause); err != nil {
			return err
		}
	}
}

// mayFallBack says that Packer's communicator may succeed where we did not.
// A wrong password is wrong there too.
func mayFallBack(err error) bool {
	var lost *guest.LostError
	return errors.As(err, &lost) && !errors.Is(err, direct.ErrUnauthorized)
}

// short is an error's text without the word that every lost guest has.
func short(err error) string {
	var lost *guest.LostError
	if errors.As(err, &lost) {
		return lost.Err.Error()
	}
	return err.Error()
}

// explain turns a failure to connect into one that a user can act on.
func (r *run) explain(err error, address string) error {
	failure := &image.Failure{Problem: "connecting to the guest " + address, Cause: errors.New(short(err))}
	var (
		refused     *guest.RefusedError
		ended       *guest.EndedError
		certificate *direct.CertificateError
	)
	switch {
	case errors.As(err, &refused):
		failure.Code = codePowerShell
		failure.Problem = "the guest's PowerShell cannot be worked with"
		failure.Next = "use Windows Server 2012 or later, and let no AppLocker or WDAC policy restrict PowerShell for administrators while the image is built"
	case errors.As(err, &ended):
		failure.Code = codePowerShell
		failure.Problem = "the guest did not run PowerShell: is it Windows?"
		failure.Next = "give the provisioner the address of a Windows instance with PowerShell 3.0 or later"
	case errors.Is(err, direct.ErrUnauthorized):
		failure.Code = codeUnauthorized
		failure.Next = "check winrm_username and winrm_password; over HTTP the guest must allow Basic authentication and unencrypted traffic: better use HTTPS"
	case errors.As(err, &certificate):
		failure.Code = codeCertificate
		failure.Next = fmt.Sprintf("give the authority that signed it in winrm_ca_file; or, when you know that it is the guest's own certificate, winrm_certificate_sha256 = %q", certificate.SHA256)
	case errors.Is(err, direct.ErrCertificate):
		failure.Code = codeCertificate
		failure.Next = "give the authority that signed it in winrm_ca_file"
	case errors.Is(err, direct.ErrRefused):
		failure.Code = codeRefused
		failure.Next = "check winrm_host and winrm_port, and that WinRM runs on the guest: 5986 is HTTPS, 5985 HTTP"
	case errors.Is(err, direct.ErrNotWinRM):
		failure.Code = codeNotWinRM
		failure.Next = "check winrm_host, winrm_port and winrm_use_ssl"
	default:
		failure.Code = codeUnreachable
		failure.Next = "check the address, the security group (ports 5985 and 5986) and the Windows firewall; connect_timeout says how long the guest is waited for"
	}
	return failure
}
