package image

import (
	"math/rand/v2"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/waiter"

	lab "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// The SDK's InstanceStoppedWaiter as it comes, which the Amazon plugin for
// Packer uses: random waits between 15 and 120 s that double.
const (
	sdkMinDelay = 15 * time.Second
	sdkMaxDelay = 120 * time.Second
)

// builds is how many builds the detection is measured over, and spread the time
// in which their stops come, beginning after two minutes.
const (
	builds = 60
	spread = 8 * time.Minute
)

// stopAfter spreads the builds' stops evenly, so that a measurement repeats.
func stopAfter(build int) time.Duration {
	return 2*time.Minute + spread*time.Duration(build)/builds
}

// TestAStopIsDetectedWithinSeconds measures, over real SDK clients and the
// lab's EC2 in virtual time, from the stop to CreateImage, and what the SDK's own
// waiter takes for the same stops.
func TestAStopIsDetectedWithinSeconds(t *testing.T) {
	var ours, theirs, waited time.Duration
	var questions int
	for build := range builds {
		rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
			began := time.Now()
			time.AfterFunc(stopAfter(build), func() { b.ec2.GuestShutdown(b.id) })
			stopped := began.Add(stopAfter(build) + 10*time.Second) // lab.Timing.GuestStop
			stop, err := b.maker.WaitStopped(b.ctx, b.record)
			if err == nil {
				err = b.maker.Prove(b.ctx, b.record, stop)
			}
			if err == nil {
				_, err = b.maker.Create(b.ctx)
			}
			if err != nil {
				b.Fatal(err)
			}
			ours += time.Since(stopped)
			waited += time.Since(began)
			questions += b.calls("DescribeInstances")
		})
		rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
			began := time.Now()
			time.AfterFunc(stopAfter(build), func() { b.ec2.GuestShutdown(b.id) })
			stopped := began.Add(stopAfter(build) + 10*time.Second)
			wait := sdk.NewInstanceStoppedWaiter(b.sdk())
			if err := wait.Wait(b.ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{b.id}}, time.Hour); err != nil {
				b.Fatal(err)
			}
			theirs += time.Since(stopped)
		})
	}
	mean := ours / builds
	rate := float64(questions) / (float64(waited) / float64(DefaultPoll))
	t.Logf("from the stop to CreateImage: %s on average, the SDK's waiter %s; DescribeInstances in %s: %.2f",
		mean.Round(10*time.Millisecond), (theirs / builds).Round(10*time.Millisecond), DefaultPoll, rate)
	if mean > 3*time.Second {
		t.Errorf("a stop is detected after %s on average, want at most 3s", mean)
	}
	if rate > 1 {
		t.Errorf("EC2 is asked %.2f times in %s, want at most once", rate, DefaultPoll)
	}
	if theirs < 4*ours {
		t.Errorf("the SDK's waiter takes %s, ours %s: the comparison has lost its point", theirs/builds, mean)
	}
}

// BenchmarkStopDetection simulates the pace of one wait, and the pace of the
// SDK's waiter for the same stop. Time spent in requests is left out of both.
func BenchmarkStopDetection(b *testing.B) {
	var ours, theirs, elapsed time.Duration
	var questions, sdkQuestions, n int
	for b.Loop() {
		stop := 2*time.Minute + time.Duration(rand.Int64N(int64(spread)))
		at := time.Duration(0)
		for questions++; at < stop; questions++ {
			at += jittered(DefaultPoll, rand.Float64())
		}
		ours += at - stop
		elapsed += at

		at = 0
		sdkQuestions++
		for attempt := int64(1); at < stop; attempt++ {
			delay, err := waiter.ComputeDelay(attempt, sdkMinDelay, sdkMaxDelay, time.Hour-at)
			if err != nil {
				b.Fatal(err)
			}
			at += delay
			sdkQuestions++
		}
		theirs += at - stop
		n++
	}
	b.ReportMetric(ours.Seconds()/float64(n), "s/detection")
	b.ReportMetric(theirs.Seconds()/float64(n), "sdk-s/detection")
	b.ReportMetric(float64(questions)/(elapsed.Seconds()/DefaultPoll.Seconds()), "calls/5s")
	b.ReportMetric(float64(sdkQuestions)/float64(n), "sdk-calls/wait")
}
