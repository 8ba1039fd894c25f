// Package image is the life of the AMI: it waits for the sealed instance to
// stop, judges the proof that Windows is sealed, has EC2 make the image, waits
// for it, and checks that it is what was asked for.
//
// Each of these is a method of Maker; the post-processor calls them in order,
// and reads like the procedure. A Journal remembers every step on disk, so
// that a second run takes up where the first one ended and never makes a
// second AMI of the same sealed instance. Nothing here deletes an AMI.
//
// All waits poll at a fixed pace with a wall-clock limit. Errors that a user can
// act on are a Failure, with a stable code and the next command to type.
package image

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
)

// The defaults of the options stop_timeout, ami_timeout and poll_interval.
const (
	DefaultStopTimeout  = 30 * time.Minute
	DefaultImageTimeout = 120 * time.Minute
	// DefaultPoll is how often EC2 is asked for the instance. Its stop is what
	// everything waits for, and one DescribeInstances in 5 s is far below EC2's
	// limits (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html).
	DefaultPoll = 5 * time.Second
	// ImagePoll is how often EC2 is asked for the image, which takes minutes.
	ImagePoll = 15 * time.Second
)

const (
	// heartbeat is how long a wait may say nothing.
	heartbeat = time.Minute
	// absence is how long EC2 may say that it does not know what it has just
	// made or what the user named: its answers become consistent after a while
	// (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
	absence = 2 * time.Minute
	// unrest is how long only transient errors may come, on top of the SDK's
	// own retries.
	unrest = 10 * time.Minute
)

// Request is the AMI that is asked for.
type Request struct {
	Name        string
	Description string
	// Tags are the AMI's tags and SnapshotTags its snapshots'. The maker adds its
	// own, see TagProof and TagBuild.
	Tags         map[string]string
	SnapshotTags map[string]string
}

// Demand is what the user wants to be sure of.
type Demand struct {
	// Proof is the option require_proof.
	Proof bool
	// Generalized is the option generalized.
	Generalized bool
}

// Maker makes one AMI of one instance.
type Maker struct {
	EC2        aws.EC2
	Region     string
	InstanceID string
	Request    Request
	Demand     Demand
	// Journal remembers the steps. It is never nil.
	Journal *Journal
	// Say takes one line for the user.
	Say func(line string)

	// StopTimeout limits the wait for the stop, ImageTimeout the wait for the image.
	StopTimeout  time.Duration
	ImageTimeout time.Duration
	// InstancePoll and ImagePoll are the waits between two questions.
	InstancePoll time.Duration
	ImagePoll    time.Duration
}

func (m *Maker) say(format string, args ...any) {
	if m.Say != nil {
		m.Say(fmt.Sprintf(format, args...))
	}
}

// pause blocks until the next question is due, or until ctx is done, whose
// error it then returns.
func pause(ctx context.Context, interval time.Duration) error {
	return sleep(ctx, jittered(interval, rand.Float64()))
}

// jittered is the interval plus up to a tenth of it, so that builds which began
// together do not ask together; random is from 0 to 1. It is never shorter than
// the interval: EC2 is asked at most once in it.
func jittered(interval time.Duration, random float64) time.Duration {
	return interval + time.Duration(random*float64(interval)/10)
}

// sleep blocks for d, or until ctx is done, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patience bears errors that pass, each kind for a while.
type patience struct {
	absentSince time.Time
	unrestSince time.Time
}

// bear returns nil when it is worth asking again after err, and err when not.
// A nil error ends the bad time.
func (p *patience) bear(err error, now time.Time) error {
	switch {
	case err == nil:
		*p = patience{}
		return nil
	case isAbsent(err):
		p.unrestSince = time.Time{}
		return bearSince(&p.absentSince, now, absence, err)
	case aws.IsTransient(err):
		p.absentSince = time.Time{}
		return bearSince(&p.unrestSince, now, unrest, err)
	}
	return err
}

func bearSince(since *time.Time, now time.Time, limit time.Duration, err error) error {
	if since.IsZero() {
		*since = now
	}
	if now.Sub(*since) >= limit {
		return fmt.Errorf("for %s now: %w", limit, err)
	}
	return nil
}

// pulse says when the next line for the user is due.
type pulse struct {
	// every is the time from one poll to the next.
	every time.Duration
	last  string
	at    time.Time
}

// due reports whether something has to be said: the state has changed, or the
// next poll would come after a minute of silence.
func (p *pulse) due(state string, now time.Time) bool {
	if state == p.last && now.Add(p.every*5/4).Sub(p.at) < heartbeat {
		return false
	}
	p.last, p.at = state, now
	return true
}
