package winrm_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func TestPowerOffAndOn(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true})
	c := talk(t, s)
	shell, address := c.open(), s.URL()
	for _, how := range []winrm.Break{winrm.Refused, winrm.Reset, winrm.BlackHole} {
		if err := s.PowerOff(how); err != nil {
			t.Fatal(err)
		}
		if open := s.Stats().OpenShells; open != 0 {
			t.Errorf("%d shells have survived", open)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := c.http.Do(request); err == nil {
			response.Body.Close()
			t.Errorf("mode %d: it answers", how)
		}
		cancel()
		if err := s.PowerOn(); err != nil {
			t.Fatal(err)
		}
		if s.URL() != address {
			t.Fatalf("back at %s", s.URL())
		}
		c := talk(t, s)
		c.fault(command(shell, "exit 0").String(), winrm.CodeNotFound)
		shell = c.open()
	}
}

func TestDelaysAndHooks(t *testing.T) {
	s := start(t, winrm.Config{AllowUnencrypted: true, Clock: clock.Fast(1000), Delays: winrm.Delays{
		RoundTrip: 10 * time.Second, ShellStart: 20 * time.Second,
		ProcessStart: func(line string) time.Duration { return time.Duration(len(line)) * time.Second },
	}})
	c := talk(t, s)
	began := time.Now()
	shell := c.open()
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("a shell took %s, want 30 s of the lab", took)
	}
	s.SetDelays(winrm.Delays{})
	var seen []string
	s.Intercept(func(w http.ResponseWriter, r *http.Request, action string) bool {
		seen = append(seen, action)
		if action == winrm.ActionSignal {
			w.WriteHeader(http.StatusTeapot)
			return true
		}
		return false
	})
	id := c.start(shell, "exit 0")
	if status, _, _ := c.post(signal(shell, id, "x").String()); status != http.StatusTeapot {
		t.Errorf("HTTP %d", status)
	}
	if got := strings.Join(seen, " "); got != "Command Signal" {
		t.Errorf("the hook saw %s", got)
	}
	s.Intercept(nil)
	s.Fail(winrm.ActionReceive, 2, winrm.FaultShutdown())
	other := c.start(shell, "wait")
	c.ok(receive(shell, id))
	c.fault(receive(shell, other).String(), winrm.CodeShutdown)
}

func TestTheEndOfItsContextEndsTheEndpoint(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := winrm.Start(ctx, winrm.Config{Windows: machine{}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	var dialer net.Dialer
	until(t, func() bool {
		c, err := dialer.DialContext(t.Context(), "tcp", s.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	for name, config := range map[string]winrm.Config{
		"without a Windows":     {},
		"beyond loopback":       {Windows: machine{}, Address: "0.0.0.0:0"},
		"without a port":        {Windows: machine{}, Address: "127.0.0.1"},
		"on a port that is not": {Windows: machine{}, Address: "127.0.0.1:99999"},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := winrm.Start(t.Context(), config); err == nil {
				t.Error("it starts")
				_ = s.Close()
			}
		})
	}
}
