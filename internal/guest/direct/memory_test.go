package direct_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// wire is a network in memory, for tests that drive the clock.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case w.conns <- server:
		return client, nil
	case <-w.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5985} }

// bubble is the lab inside testing/synctest.
func bubble(t *testing.T, config winrm.Config) (*winrm.Server, *machine, *direct.Client) {
	t.Helper()
	m := newMachine()
	config.Windows, config.AllowUnencrypted = m, true
	w := newWire()
	s, err := winrm.Serve(t.Context(), config, w)
	if err != nil {
		t.Fatal(err)
	}
	c, err := direct.Dial(direct.Options{Host: "guest.example", Username: user, Password: password, Dial: w.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, m, c
}
