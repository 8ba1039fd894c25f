package direct_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// discreet checks that an error gives no credential away.
func discreet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{password, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))} {
		if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%#v", err), secret) {
			t.Errorf("the error holds a credential: %v", err)
		}
	}
}

// polling starts a command and returns once its long poll is under way.
func polling(t *testing.T, s *winrm.Server, c *direct.Client, line string) *direct.Process {
	t.Helper()
	p, err := c.Start(t.Context(), line)
	if err != nil {
		t.Fatal(err)
	}
	if line == "forever" {
		if ready, err := bufio.NewReader(p.Stdout()).ReadString('\n'); ready != "ready\n" {
			t.Fatalf("got %q, %v", ready, err)
		}
		await(t, func() bool { return s.Stats().ByAction["Receive"] == 2 })
		return p
	}
	await(t, func() bool { return s.Stats().ByAction["Receive"] == 1 })
	return p
}

func TestASessionThatBreaksInItsLongPoll(t *testing.T) {
	fail := func(fault *winrm.Fault) func(*testing.T, *winrm.Server) {
		// The poll under way brings the output, the next one the fault.
		return func(t *testing.T, s *winrm.Server) { s.Fail(winrm.ActionReceive, 1, fault) }
	}
	breaking := func(b winrm.Break) func(*testing.T, *winrm.Server) {
		return func(t *testing.T, s *winrm.Server) {
			if err := s.Break(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		do   func(*testing.T, *winrm.Server)
		poke bool // by input
		want direct.Loss
		next direct.Loss // of a new session before the endpoint is mended
		http int         // status in the error
		code uint32      // of the fault
	}{
		{name: "the service stops and closes its connections", do: breaking(winrm.Refused), want: direct.LossReset, next: direct.LossRefused},
		{name: "the connection is reset", do: breaking(winrm.Reset), want: direct.LossReset, next: direct.LossReset},
		{
			name: "the service restarts", do: func(_ *testing.T, s *winrm.Server) { s.DropShells() },
			want: direct.LossStopping, http: 500, code: 995,
		},
		{name: "the shell is gone", do: fail(winrm.FaultShellNotFound("X")), poke: true, want: direct.LossShellGone, http: 500, code: 2150858843},
		{name: "the command is gone", do: fail(winrm.FaultCommandNotFound("X")), poke: true, want: direct.LossShellGone, http: 500, code: 2150858843},
		{name: "the poll is aborted", do: fail(winrm.FaultAborted()), poke: true, want: direct.LossStopping, http: 500, code: 995},
		{name: "Windows shuts down", do: fail(winrm.FaultShutdown()), poke: true, want: direct.LossShutdown, http: 500, code: 2147943515},
		{name: "the profile is unloaded", do: fail(winrm.FaultKeyDeleted()), poke: true, want: direct.LossProfile, http: 500, code: 2147943418},
		{name: "the account is reset", do: breaking(winrm.Unauthorized), poke: true, want: direct.LossUnauthorized, next: direct.LossUnauthorized, http: 401},
		{name: "http.sys is up and WinRM is not", do: breaking(winrm.Unavailable), poke: true, want: direct.LossStopping, next: direct.LossStopping, http: 503},
		{name: "the answer breaks off after its header", do: breaking(winrm.ResetAfterHeaders), poke: true, want: direct.LossReset, next: direct.LossReset},
		{name: "the answer is no XML", do: breaking(winrm.Malformed), poke: true, want: direct.LossNotWinRM, next: direct.LossNotWinRM, http: 200},
		{name: "the answer is empty", do: breaking(winrm.Empty), poke: true, want: direct.LossNotWinRM, next: direct.LossNotWinRM, http: 200},
		{
			name: "the machine goes off", do: func(t *testing.T, s *winrm.Server) {
				if err := s.PowerOff(winrm.Reset); err != nil {
					t.Fatal(err)
				}
			}, want: direct.LossReset, next: direct.LossReset,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _, c := lab(t, winrm.Config{})
			p := polling(t, s, c, "cat")
			test.do(t, s)
			if test.poke {
				// Its own error, if any, is the same loss.
				_, err := p.Write([]byte("x\n"))
				discreet(t, err)
			}
			_, err := p.Wait(t.Context())
			discreet(t, err)
			if !errors.Is(err, direct.ErrLost) || direct.Classify(err) != test.want {
				t.Fatalf("lost as %q, want %q: %v", direct.Classify(err), test.want, err)
			}
			var exchange *direct.ExchangeError
			if errors.As(err, &exchange) && exchange.HTTPStatus != test.http {
				t.Errorf("HTTP status %d, want %d", exchange.HTTPStatus, test.http)
			}
			var fault *direct.Fault
			if errors.As(err, &fault) && (fault.Code != test.code || fault.HTTPStatus != test.http || fault.Reason == "") {
				t.Errorf("fault %+v", fault)
			}
			if errors.As(err, &fault) != (test.code != 0) {
				t.Errorf("a fault with code %d was expected: %v", test.code, err)
			}

			// What is lost stays lost, at no further cost.
			requests := c.Stats().Requests
			if _, again := p.Write([]byte("x\n")); !errors.Is(again, direct.ErrLost) {
				t.Errorf("writing afterwards: %v", again)
			}
			if _, again := io.ReadAll(p.Stdout()); !errors.Is(again, direct.ErrLost) {
				t.Errorf("reading afterwards: %v", again)
			}
			_ = p.Close(5 * time.Second)
			if n := c.Stats().Requests; n != requests {
				t.Errorf("%d requests after the loss", n-requests)
			}

			if test.next != direct.LossNone {
				_, err := c.Start(t.Context(), "echo")
				discreet(t, err)
				if got := direct.Classify(err); got != test.next {
					t.Errorf("a new session fails with %q, want %q: %v", got, test.next, err)
				}
			}
			if err := s.Mend(); err != nil {
				t.Fatal(err)
			}
			if stdout, _, _ := run(t, c, "echo again", ""); stdout != "again\r\n" {
				t.Errorf("got %q", stdout)
			}
			// A shell whose id never reached us can not be deleted.
			if open, unknown := s.Stats().OpenShells, s.Stats().Shells-c.Stats().Shells; open > unknown {
				t.Errorf("%d shells are left on the guest, %d of them unknown to the client", open, unknown)
			}
		})
	}
}

func TestAGuestThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, c := bubble(t, winrm.Config{})
		p, err := c.Start(t.Context(), "forever")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := s.Break(winrm.BlackHole); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = p.Wait(t.Context())
		if !errors.Is(err, direct.ErrLost) || direct.Classify(err) != direct.LossTimeout {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("noticed after %s, want the 20 s of the poll and 10 s", took)
		}
		began = time.Now()
		_ = p.Close(5 * time.Second)
		if took := time.Since(began); took != 0 {
			t.Errorf("closing what is lost took %s", took)
		}
		if _, err := c.Start(t.Context(), "echo"); direct.Classify(err) != direct.LossTimeout || !errors.Is(err, direct.ErrUnreachable) {
			t.Errorf("a new session: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("gave up after %s, want the limit of an action", took)
		}
	})
}

func TestAQuietGuestIsPolledWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, c := bubble(t, winrm.Config{})
		p, err := c.Start(t.Context(), "forever")
		if err != nil {
			t.Fatal(err)
		}
		<-m.started
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := p.Wait(ctx); direct.Classify(err) != direct.LossCancelled {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if n := s.Stats().ByAction["Receive"]; n != 32 {
			t.Errorf("%d Receives in ten minutes, want one for the output and one each 20 s", n)
		}
		if err := p.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestAnEndlessFloodOfEmptyAnswersIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, c := bubble(t, winrm.Config{MaxTimeout: time.Nanosecond})
		p, err := c.Start(t.Context(), "cat")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := p.Wait(ctx); direct.Classify(err) != direct.LossCancelled {
			t.Errorf("got %v", err)
		}
		if n := s.Stats().ByAction["Receive"]; n > 51 {
			t.Errorf("%d Receives in ten seconds", n)
		}
		if err := p.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestCancellingReturnsAtOnce(t *testing.T) {
	for name, black := range map[string]bool{"in a long poll": false, "when nothing answers": true} {
		t.Run(name, func(t *testing.T) {
			s, m, c := lab(t, winrm.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p, err := c.Start(ctx, "forever")
			if err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { return s.Stats().ByAction["Receive"] == 2 })
			if black {
				if err := s.Break(winrm.BlackHole); err != nil {
					t.Fatal(err)
				}
			}
			written, started := make(chan error, 1), make(chan error, 1)
			if black {
				go func() {
					_, err := p.Write([]byte("x"))
					written <- err
				}()
				go func() {
					_, err := c.Start(ctx, "echo")
					started <- err
				}()
				await(t, func() bool { return c.Stats().ByAction["Create"] == 2 && c.Stats().ByAction["Send"] == 1 })
			}
			began := time.Now()
			cancel()
			_, err = p.Wait(t.Context())
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("Wait took %s", took)
			}
			if direct.Classify(err) != direct.LossCancelled || errors.Is(err, direct.ErrLost) {
				t.Errorf("got %v", err)
			}
			if black {
				for _, ch := range []chan error{written, started} {
					if err := <-ch; direct.Classify(err) != direct.LossCancelled {
						t.Errorf("got %v", err)
					}
				}
				if took := time.Since(began); took > 50*time.Millisecond {
					t.Errorf("the others took %s", took)
				}
			}
			// Tidying up has a limit of its own.
			began = time.Now()
			err = p.Close(100 * time.Millisecond)
			if black && direct.Classify(err) != direct.LossTimeout || !black && err != nil {
				t.Errorf("closing: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("closing took %s", took)
			}
			if !black {
				if cause := <-m.ended; !errors.Is(cause, winrm.ErrTerminated) {
					t.Errorf("the command ended with %v", cause)
				}
			}
		})
	}
}

func TestTheShellOfALostSessionIsDeletedByTheNextOne(t *testing.T) {
	s, m, c := lab(t, winrm.Config{})
	p := polling(t, s, c, "forever")
	if err := s.Break(winrm.Reset); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); !errors.Is(err, direct.ErrLost) {
		t.Fatal(err)
	}
	_ = p.Close(time.Second)
	if err := s.Mend(); err != nil {
		t.Fatal(err)
	}
	if open := s.Stats().OpenShells; open != 1 {
		t.Fatalf("%d shells are open, want the orphan", open)
	}
	run(t, c, "echo", "")
	if cause := <-m.ended; !errors.Is(cause, winrm.ErrTerminated) {
		t.Errorf("the orphan ended with %v", cause)
	}
	if open := s.Stats().OpenShells; open != 0 {
		t.Errorf("%d shells are open", open)
	}
}

func TestACommandThatIsRefusedLeavesNoShell(t *testing.T) {
	s, _, c := lab(t, winrm.Config{})
	s.Fail(winrm.ActionCommand, 1, &winrm.Fault{Code: 2150859174, Subcode: "w:QuotaLimit", Reason: "too many"})
	if _, err := c.Start(t.Context(), "echo"); direct.Classify(err) != direct.LossQuota {
		t.Errorf("got %v", err)
	}
	if open := s.Stats().OpenShells; open != 0 {
		t.Errorf("%d shells are open", open)
	}
}

func TestAMessageThatIsTooLarge(t *testing.T) {
	_, _, c := lab(t, winrm.Config{MaxEnvelopeSizekb: 32})
	p, err := c.Start(t.Context(), "sum")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(make([]byte, 100000)); direct.Classify(err) != direct.LossTooLarge || !errors.Is(err, direct.ErrLost) {
		t.Errorf("input that did not arrive must not pass for sent: %v", err)
	}
	_ = p.Close(time.Second)
}

func TestProbe(t *testing.T) {
	t.Run("a healthy listener costs one request", func(t *testing.T) {
		s, _, c := lab(t, winrm.Config{})
		if err := c.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		if stats := s.Stats(); stats.Requests != 1 || stats.Shells != 0 {
			t.Errorf("%+v", stats)
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{}, func(o *direct.Options) { o.Password = "wrong-" + password })
		err := c.Probe(t.Context())
		discreet(t, err)
		if !errors.Is(err, direct.ErrUnauthorized) || direct.Classify(err) != direct.LossUnauthorized {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an account that generalize has disabled", func(t *testing.T) {
		_, m, c := lab(t, winrm.Config{})
		m.lock()
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrUnauthorized) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a listener without Basic says what it offers", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{NoBasic: true})
		err := c.Probe(t.Context())
		var exchange *direct.ExchangeError
		if !errors.Is(err, direct.ErrUnauthorized) || !errors.As(err, &exchange) || strings.Join(exchange.Offered, " ") != "Negotiate" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		s, _, c := lab(t, winrm.Config{})
		if err := s.Break(winrm.Refused); err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrRefused) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a name that nobody knows", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{}, func(o *direct.Options) {
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: o.Host, IsNotFound: true}}
			}
		})
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrUnreachable) || direct.Classify(err) != direct.LossUnreachable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the kernel's dial timeout", func(t *testing.T) {
		_, _, c := lab(t, winrm.Config{}, func(o *direct.Options) {
			o.DialTimeout = time.Nanosecond
		})
		if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrUnreachable) || direct.Classify(err) != direct.LossTimeout {
			t.Errorf("got %v", err)
		}
	})
	for name, handler := range map[string]http.HandlerFunc{
		"a web server": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") },
		"a web server without that page": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not found", http.StatusNotFound)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"SOAP that is not WS-Man": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/soap+xml")
			fmt.Fprint(w, `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>`)
		},
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/soap+xml")
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name+" is not WinRM", func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, port, err := net.SplitHostPort(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, func(o *direct.Options) { fmt.Sscan(port, &o.Port) })
			if err := c.Probe(t.Context()); !errors.Is(err, direct.ErrNotWinRM) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAliveNeedsNoCredentials(t *testing.T) {
	for _, ntlm := range []bool{false, true} {
		s, m, c := lab(t, winrm.Config{}, func(o *direct.Options) { o.UseNTLM = ntlm })
		m.lock()
		if err := c.Alive(t.Context()); err != nil {
			t.Errorf("NTLM %t: %v", ntlm, err)
		}
		if stats := s.Stats(); stats.Requests != 1 || stats.Unauthorized != 0 {
			t.Errorf("NTLM %t: %+v", ntlm, stats)
		}
		if err := s.Break(winrm.Refused); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return errors.Is(c.Alive(t.Context()), direct.ErrRefused) })
	}
}

func TestNoErrorIsNoLoss(t *testing.T) {
	if got := direct.Classify(nil); got != direct.LossNone {
		t.Errorf("got %q", got)
	}
	if got := direct.Classify(errors.New("anything")); got != direct.LossOther {
		t.Errorf("got %q", got)
	}
}

// dial makes a client for something that is not the lab.
func dial(t *testing.T, change func(*direct.Options)) *direct.Client {
	t.Helper()
	opts := direct.Options{Host: "127.0.0.1", Username: user, Password: password}
	change(&opts)
	c, err := direct.Dial(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
