package ec2

import "time"

// Timing says how long things take, on the lab's clock. A zero field means its
// default, a negative one that the thing happens at once.
type Timing struct {
	// Pending is the time from RunInstances or StartInstances to running.
	// Default 15 s.
	Pending time.Duration
	// Stop is the time from StopInstances to stopped. Default 20 s.
	Stop time.Duration
	// GuestStop is the time from the guest's own shutdown to stopped, or to
	// terminated. Default 10 s.
	GuestStop time.Duration
	// Terminate is the time from TerminateInstances to terminated. Default
	// 30 s.
	Terminate time.Duration
	// Forget is the time for which a terminated instance can still be
	// described. Default 1 h.
	Forget time.Duration
	// StatusChecks is the time from running to passed status checks. Default
	// 2 min.
	StatusChecks time.Duration
	// SnapshotStart is the time from CreateImage or CopyImage to the moment
	// at which the image's snapshots exist; before it the image lists no
	// block devices. Default 5 s.
	SnapshotStart time.Duration
	// Image is the time from CreateImage to available or failed. The
	// snapshots are complete after nine tenths of it. Default 4 min.
	Image time.Duration
	// Copy is the same for CopyImage. Default 6 min.
	Copy time.Duration
	// ConsoleLag is the age of the newest console text that GetConsoleOutput
	// shows without Latest. Default 2 min.
	ConsoleLag time.Duration
}

// complete returns the timing with its defaults filled in.
func (t Timing) complete() Timing {
	for field, fallback := range map[*time.Duration]time.Duration{
		&t.Pending:       15 * time.Second,
		&t.Stop:          20 * time.Second,
		&t.GuestStop:     10 * time.Second,
		&t.Terminate:     30 * time.Second,
		&t.Forget:        time.Hour,
		&t.StatusChecks:  2 * time.Minute,
		&t.SnapshotStart: 5 * time.Second,
		&t.Image:         4 * time.Minute,
		&t.Copy:          6 * time.Minute,
		&t.ConsoleLag:    2 * time.Minute,
	} {
		switch {
		case *field == 0:
			*field = fallback
		case *field < 0:
			*field = 0
		}
	}
	return t
}
