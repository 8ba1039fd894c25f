package sysprep

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// Ctrl-C ends a build within seconds: before the sealer has begun nothing stays
// on the guest, afterwards the user learns what the guest does by itself.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		// at is the line at which the user gives up, after is how long later;
		// without a line it is while generalize is at work.
		at     string
		after  time.Duration
		before func(*bench)
		said   []string
		// begun says that the sealer has begun by then.
		begun bool
	}{
		{name: "while connecting", at: "Connecting", before: func(b *bench) { _ = b.machine.Break(winrm.BlackHole) }, after: 300 * time.Millisecond},
		{name: "while surveying", at: "Connecting", after: 5 * time.Millisecond},
		{name: "while checking", at: "Found Windows"},
		{name: "while staging", at: "Staging the sealer"},
		{name: "while triggering", at: "Starting Sysprep", machine: func(m *windows.Machine) { m.Start.Delay = windows.Seconds(20) }, said: []string{"Cancelled: the sealer is being called off, if it has not begun"}},
		{name: "while watching", begun: true, machine: slowly, said: []string{"Cancelled. Once Sysprep has begun, the guest goes on by itself"}},
		{name: "while waiting for the shutdown", at: "Waiting for the guest to shut down", begun: true, said: []string{"Cancelled: the guest is sealed and shuts down by itself"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				if test.machine != nil {
					test.machine(m)
				}
			}))
			if test.before != nil {
				test.before(b)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var at atomic.Int64
			giveUp := func() {
				at.CompareAndSwap(0, time.Now().UnixNano())
				cancel()
			}
			if test.at == "" {
				b.generalizing(giveUp)
			}
			b.ui.heard = func(line string) {
				if test.at == "" || !strings.Contains(line, test.at) {
					return
				}
				if test.after == 0 {
					giveUp()
					return
				}
				time.AfterFunc(test.after, giveUp)
			}
			err := b.provision(ctx)
			if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "cancelled") {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(time.Unix(0, at.Load())); took > 6*time.Second {
				t.Errorf("it took %s to end", took)
			}
			b.said(test.said...)
			_ = b.machine.Mend()
			if test.begun {
				b.stopped()
				b.noResidue()
				return
			}
			b.eventually("the guest is as it was", func() bool { return b.before.Diff(b.guest().Snapshot()) == "" },
				func() string { return b.before.Diff(b.guest().Snapshot()) })
			b.noResidue()
			// A sealer that was called off does not begin later.
			_ = b.lab.Clock.Wait(t.Context(), 40*time.Second)
			if b.guest().ImageState() != "IMAGE_STATE_COMPLETE" || b.guest().Runs("sysprep") {
				t.Error("the sealer has begun all the same")
			}
			b.asBefore()
		})
	}
}

func TestARecordTellsHowFarACancelledBuildCame(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(slowly))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.generalizing(cancel)
	if err := b.provision(ctx); err == nil {
		t.Fatal("a cancelled build succeeded")
	}
	b.recorded(handoff.StageSealerConfirmed, "")
	b.stopped()
}
