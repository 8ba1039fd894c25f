// Package clock is the lab's time: everything in the lab that takes a while
// (an instance stopping, a snapshot being copied, Sysprep working) asks this
// clock, so that a demo can run faster than the world and a test inside
// testing/synctest can drive it.
package clock

import (
	"context"
	"time"
)

// Clock is a clock that may run faster than real time. The zero value runs at
// the speed of the world.
type Clock struct {
	// Origin is the real moment at which the clock's own time began to run
	// at Speed. The zero value means that the clock never left real time.
	Origin time.Time
	// Speed says how many lab seconds pass in a real second. Values of 0 and
	// below mean 1.
	Speed float64
}

// Fast returns a clock that shows the present now and runs speed times as
// fast from here on.
func Fast(speed float64) *Clock {
	return &Clock{Origin: time.Now(), Speed: speed}
}

// Now returns the clock's time, in UTC.
func (c *Clock) Now() time.Time {
	now := time.Now()
	if c == nil || c.Speed <= 0 || c.Speed == 1 || c.Origin.IsZero() {
		return now.UTC()
	}
	return c.Origin.Add(time.Duration(float64(now.Sub(c.Origin)) * c.Speed)).UTC()
}

// Real returns how long the world takes for the lab's duration d.
func (c *Clock) Real(d time.Duration) time.Duration {
	if c == nil || c.Speed <= 0 || c.Speed == 1 {
		return d
	}
	return time.Duration(float64(d) / c.Speed)
}

// Lab returns how much of the lab's time passes while the world needs d.
func (c *Clock) Lab(d time.Duration) time.Duration {
	if c == nil || c.Speed <= 0 || c.Speed == 1 {
		return d
	}
	return time.Duration(float64(d) * c.Speed)
}

// Wait blocks for the lab's duration d or until ctx is done, whichever is
// first, and returns ctx's error in the second case.
func (c *Clock) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(c.Real(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
