package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/sdk-internals/communicator/winrm"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	labwinrm "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/provisioner/sysprep"
)

// The promises.
const (
	pushRequests    = 8
	pushProcesses   = 1
	triggerRequests = 20
	// A second process may be started to watch.
	triggerProcesses = 2
)

// distant is a guest as far away as one in a neighbouring region.
func distant() labwinrm.Delays {
	return labwinrm.Delays{
		RoundTrip: 30 * time.Millisecond, ShellStart: 50 * time.Millisecond,
		ProcessStart: func(line string) time.Duration {
			if strings.Contains(strings.ToLower(line), "powershell") {
				return 600 * time.Millisecond
			}
			return 60 * time.Millisecond
		},
	}
}

func open(tb testing.TB, options lab.Options) (*lab.Lab, *lab.Machine) {
	tb.Helper()
	l, err := lab.Start(tb.Context(), options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("closing the lab: %s", err)
		}
	})
	return l, l.Machines()[0]
}

// cost is what was sent to a guest.
type cost struct {
	requests, processes, bytes float64
	took                       time.Duration
}

func (c *cost) add(other cost) {
	c.requests += other.requests
	c.processes += other.processes
	c.bytes += other.bytes
	c.took += other.took
}

func (c cost) report(b *testing.B, who string, n float64) {
	b.ReportMetric(c.requests/n, who+"-requests/op")
	b.ReportMetric(c.processes/n, who+"-processes/op")
	b.ReportMetric(c.bytes/n, who+"-bytes/op")
	b.ReportMetric(float64(c.took.Milliseconds())/n, who+"-ms/op")
}

func since(before, after labwinrm.Stats) cost {
	return cost{
		requests: float64(after.Requests - before.Requests), processes: float64(after.Commands - before.Commands),
		bytes: float64(after.BytesIn - before.BytesIn + after.BytesOut - before.BytesOut),
	}
}

func measure(tb testing.TB, m *lab.Machine, what func() error) cost {
	tb.Helper()
	before, began := m.HTTP().Stats(), time.Now()
	if err := what(); err != nil {
		tb.Fatal(err)
	}
	took := time.Since(began)
	c := since(before, m.HTTP().Stats())
	c.took = took
	return c
}

const folder = `C:\ProgramData\packer-ec2-sysprep-bench`

// files are four of 6 KiB, as the plan, the sealer and two answer files are.
func files() map[string][]byte {
	all := map[string][]byte{}
	for i := range 4 {
		all[fmt.Sprintf(`%s\file-%d.xml`, folder, i)] = bytes.Repeat([]byte(fmt.Sprintf("line of file %d\r\n", i)), 6<<10/16)
	}
	return all
}

// push carries the files as the provisioner does, from the first request to
// the end of the connection.
func push(tb testing.TB, m *lab.Machine, ntlm bool) cost {
	tb.Helper()
	return measure(tb, m, func() error {
		client, err := direct.Dial(direct.Options{Host: "127.0.0.1", Port: m.HTTP().Addr().Port, Username: m.User(), Password: m.Password(), UseNTLM: ntlm})
		if err != nil {
			return err
		}
		g := guest.New(guest.OverWinRM(client), 0)
		calls := []guest.Asker{guest.PrivateFolder(folder)}
		for path, data := range files() {
			for _, call := range guest.FileWrite(path, data) {
				calls = append(calls, call)
			}
		}
		if err := g.Ask(tb.Context(), calls...); err != nil {
			return err
		}
		return g.Close()
	})
}

// pushLikePacker carries them through Packer's own communicator.
func pushLikePacker(tb testing.TB, m *lab.Machine) cost {
	tb.Helper()
	return measure(tb, m, func() error {
		comm, err := winrm.New(&winrm.Config{Host: "127.0.0.1", Port: m.HTTP().Addr().Port, Username: m.User(), Password: m.Password(), Timeout: time.Minute})
		if err != nil {
			return err
		}
		for path, data := range files() {
			if err := comm.Upload(path, bytes.NewReader(data), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// arrived wants the files to be on the guest, byte for byte.
func arrived(tb testing.TB, m *lab.Machine) {
	tb.Helper()
	for path, data := range files() {
		if got, ok := m.Guest().File(path); !ok || !bytes.Equal(got, data) {
			tb.Errorf("%s did not arrive", path)
		}
	}
}

func TestPushTakesAtMostEightRequestsAndOneProcess(t *testing.T) {
	_, m := open(t, lab.Options{})
	c := push(t, m, false)
	arrived(t, m)
	if c.requests > pushRequests || c.processes > pushProcesses {
		t.Errorf("four files took %v requests and %v processes, want %d and %d at most", c.requests, c.processes, pushRequests, pushProcesses)
	}
}

func BenchmarkPushOfFourFiles(b *testing.B) {
	_, m := open(b, lab.Options{Machines: []lab.MachineOptions{{WinRM: labwinrm.Config{Delays: distant()}}}})
	var ours, packers cost
	n := 0.0
	for b.Loop() {
		ours.add(push(b, m, false))
		arrived(b, m)
		packers.add(pushLikePacker(b, m))
		arrived(b, m)
		n++
	}
	ours.report(b, "ours", n)
	packers.report(b, "packer", n)
	b.ReportMetric(packers.requests/ours.requests, "fewer-requests-x")
	b.ReportMetric(packers.took.Seconds()/ours.took.Seconds(), "faster-x")
}

// toTrigger runs the provisioner in real time until the sealer runs on the
// guest, returns what had been sent by then, and ends the build.
func toTrigger(tb testing.TB, name string, ntlm bool) cost {
	tb.Helper()
	tb.Setenv("PACKER_RUN_UUID", "22222222-2222-3333-4444-555555555555")
	_, m := open(tb, lab.Options{})
	home := tb.TempDir()
	tb.Setenv("PACKER_CACHE_DIR", home)
	p := new(sysprep.Provisioner)
	if err := p.Prepare(map[string]any{
		"winrm_host": "127.0.0.1", "winrm_port": m.HTTP().Addr().Port, "winrm_use_ssl": false, "winrm_use_ntlm": ntlm,
		"winrm_username": m.User(), "winrm_password": m.Password(), "reconnect_timeout": "4s",
		"log_dir": filepath.Join(home, "logs"), "record_path": filepath.Join(home, "record.json"),
		"packer_builder_type": "null", "packer_build_name": name,
	}); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		ended <- p.Provision(ctx, new(packersdk.MockUi), nil, map[string]any{"ID": "Null", "ConnType": "none"})
	}()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for m.Guest().ProgramsStarted() == 0 {
		select {
		case <-ticker.C:
		case err := <-ended:
			tb.Fatalf("the provisioner ended before the sealer was started: %v", err)
		}
	}
	stats := m.HTTP().Stats()
	c := since(labwinrm.Stats{}, stats)
	c.took = time.Since(began)
	if _, test := tb.(*testing.T); test {
		tb.Logf("by action: %v", stats.ByAction)
	}
	cancel()
	<-ended
	return c
}

func TestTheWayToTheTriggerTakesAtMostTwentyRequestsAndTwoProcesses(t *testing.T) {
	c := toTrigger(t, "test", false)
	if c.requests > triggerRequests || c.processes > triggerProcesses {
		t.Errorf("from connecting to the trigger it took %v requests and %v processes, want %d and %d at most",
			c.requests, c.processes, triggerRequests, triggerProcesses)
	}
	t.Logf("%v requests, %v processes, %v bytes", c.requests, c.processes, c.bytes)
}

func BenchmarkConnectToTrigger(b *testing.B) {
	for name, ntlm := range map[string]bool{"Basic": false, "NTLM": true} {
		b.Run(name, func(b *testing.B) {
			n, sum := 0.0, cost{}
			for b.Loop() {
				c := toTrigger(b, fmt.Sprintf("%s-%v", name, n), ntlm)
				sum.add(c)
				n++
			}
			b.ReportMetric(sum.requests/n, "requests/op")
			b.ReportMetric(sum.processes/n, "processes/op")
			b.ReportMetric(sum.bytes/n, "bytes/op")
		})
	}
}
