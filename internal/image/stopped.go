package image

import (
	"context"
	"fmt"
	"regexp"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
)

// guestShutdown is the code of the StateReason of an instance that its own
// operating system shut down (EC2 API reference, type StateReason).
const guestShutdown = "Client.InstanceInitiatedShutdown"

// Stop is what EC2 said about the instance when it was found stopped.
type Stop struct {
	Instance types.Instance
	// Reason is the code and the words of EC2's StateReason.
	ReasonCode, Reason string
	// By is the earliest moment by which the instance is known to have been on
	// its way down, by the clock of this machine, or by EC2's when it names one.
	By time.Time
}

// WaitStopped waits until the instance is stopped. The record (nil: none) says
// when the sealer must have done its work, and lets a running instance that
// will not stop be told from one that takes its time.
//
// It asks EC2 at most once an interval. That EC2 does not know the instance,
// throttles or does not answer is borne for a while; an instance that was
// terminated, or started again after it was sealed, ends the wait.
func (m *Maker) WaitStopped(ctx context.Context, record *handoff.Record) (*Stop, error) {
	doing := fmt.Sprintf("waiting for instance %s to stop", m.InstanceID)
	span := m.stopLimit(record, time.Now())
	m.say("Waiting for instance %s to stop (limit %s)...", m.InstanceID, span.Round(time.Second))
	var (
		limit    = time.Now().Add(span)
		patience patience
		pulse    = pulse{every: m.InstancePoll}
		asked    time.Time
	)
	for {
		instance, err := aws.DescribeInstance(ctx, m.EC2, m.InstanceID)
		now := time.Now()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		if borne := patience.bear(err, now); borne != nil {
			return nil, m.instanceLost(doing, borne)
		}
		state := types.InstanceStateName(aws.State(instance))
		if err != nil {
			state = "unknown: " + types.InstanceStateName(aws.Message(err))
		} else if failure := m.startedAgain(record, instance); failure != nil {
			return nil, failure
		}
		switch state {
		case types.InstanceStateNameStopped, types.InstanceStateNameStopping:
			if err := m.Journal.stopSeen(now, instance); err != nil {
				return nil, err
			}
			if state == types.InstanceStateNameStopped {
				stop := newStop(instance, m.Journal.StopSeenAt)
				m.say("Instance %s is stopped (%s)", m.InstanceID, orNone(stop.Reason))
				return stop, nil
			}
		case types.InstanceStateNameTerminated, types.InstanceStateNameShuttingDown:
			return nil, m.terminated(instance)
		case types.InstanceStateNameRunning:
			if pastDeadline(record, now) && now.Sub(asked) >= heartbeat {
				asked = now
				if err := m.overdue(ctx, record, now); err != nil {
					return nil, err
				}
			}
		}
		if !now.Before(limit) {
			return nil, m.neverStopped(string(state), span, record)
		}
		if pulse.due(string(state), now) {
			m.say("Instance %s is %s", m.InstanceID, state)
		}
		if err := pause(ctx, m.InstancePoll); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// stopLimit is how long to wait: stop_timeout, counted from the moment by which
// the sealer must be done when nobody has seen its verdict.
func (m *Maker) stopLimit(record *handoff.Record, now time.Time) time.Duration {
	limit := m.StopTimeout
	if record != nil && record.Proof == nil && record.SealerDeadline.After(now) {
		limit += record.SealerDeadline.Sub(now)
	}
	return limit
}

func newStop(instance types.Instance, seen time.Time) *Stop {
	stop := &Stop{Instance: instance, By: seen}
	if reason := instance.StateReason; reason != nil {
		stop.ReasonCode = awssdk.ToString(reason.Code)
		stop.Reason = awssdk.ToString(reason.Message)
		if stop.Reason == "" {
			stop.Reason = stop.ReasonCode
		}
	}
	if at, ok := transitionTime(awssdk.ToString(instance.StateTransitionReason)); ok && at.Before(stop.By) {
		stop.By = at
	}
	return stop
}

var transitionForm = regexp.MustCompile(`\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)`)

// transitionTime reads the moment out of a StateTransitionReason like "User
// initiated (2015-05-15 20:36:25 GMT)". EC2 does not always give one.
func transitionTime(reason string) (time.Time, bool) {
	match := transitionForm.FindStringSubmatch(reason)
	if match == nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.DateTime, match[1])
	return at, err == nil
}

// startedAgain is the failure when the instance was started after it was
// sealed, and nil when it was not. An earlier start of a record that never came
// to a trigger is left to the judgement of the proof.
func (m *Maker) startedAgain(record *handoff.Record, instance types.Instance) error {
	if record == nil || instance.LaunchTime == nil {
		return nil
	}
	since, what := sealedSince(record)
	if since.IsZero() || !instance.LaunchTime.After(since) {
		return nil
	}
	return &Failure{
		Code:  CodeStarted,
		Final: true,
		Problem: fmt.Sprintf("instance %s was started at %s, after %s (%s): it is sealed no more, and every proof is void",
			m.InstanceID, instance.LaunchTime.UTC().Format(time.RFC3339), what, since.UTC().Format(time.RFC3339)),
		Next: "seal the instance again: run the template with the provisioner ec2-sysprep against it",
	}
}

// sealedSince is the last start that leaves the record's proof valid: the
// recorded one, or where nobody could tell it, the trigger.
func sealedSince(record *handoff.Record) (time.Time, string) {
	switch {
	case !record.LaunchTime.IsZero():
		// EC2 gives whole seconds; the record may have been cut to them.
		return record.LaunchTime.Add(time.Second - 1), "the start that the record knows"
	case !record.TriggeredAt.IsZero():
		return record.TriggeredAt, "the sealer was started"
	case record.Proof != nil:
		return record.Proof.SeenAt, "the seal was seen"
	}
	return time.Time{}, ""
}

// pastDeadline says that the sealer's limit is over, and so is the time that
// its last line needs to reach the console output.
func pastDeadline(record *handoff.Record, now time.Time) bool {
	return record != nil && record.Shutdown == "sealed" && !record.SealerDeadline.IsZero() &&
		now.After(record.SealerDeadline.Add(consoleWait))
}

// overdue decides about an instance that runs on although the sealer must have
// shut it down. With a verdict it only takes its time; without one a later
// stop would prove nothing.
func (m *Maker) overdue(ctx context.Context, record *handoff.Record, now time.Time) error {
	late := now.Sub(record.SealerDeadline).Round(time.Second)
	if record.Proof != nil {
		m.say("Instance %s is sealed, but still running %s after the sealer's limit; Windows may be installing updates as it shuts down", m.InstanceID, late)
		return nil
	}
	switch verdict := m.console(ctx, record.Token); {
	case verdict.Word == verdictFailed:
		return m.refusedByConsole(record)
	case verdict.Word != "":
		m.say("Instance %s is still running %s after the sealer's limit; its console output says %q, so it only takes its time", m.InstanceID, late, verdict.Word)
		return nil
	case !m.Demand.Proof:
		m.say("Instance %s is still running %s after the sealer's limit", m.InstanceID, late)
		return nil
	}
	return &Failure{
		Code: CodeOverdue,
		Problem: fmt.Sprintf("waiting for instance %s to stop: it is still running %s after the moment by which the sealer must have shut it down, and the console output holds no verdict; most likely Sysprep refused or hangs, and the guest was put back",
			m.InstanceID, late),
		Next: fmt.Sprintf("log on to the guest and read C:\\Windows\\System32\\Sysprep\\Panther\\setuperr.log; the screen: aws ec2 get-console-screenshot --region %s --instance-id %s --wake-up", m.Region, m.InstanceID),
	}
}

// neverStopped is the failure at the end of stop_timeout.
func (m *Maker) neverStopped(state string, span time.Duration, record *handoff.Record) error {
	failure := &Failure{
		Code:    CodeNeverStopped,
		Problem: fmt.Sprintf("waiting for instance %s to stop: it was still %s after %s (stop_timeout is %s)", m.InstanceID, state, span.Round(time.Second), m.StopTimeout),
		Next:    fmt.Sprintf("aws ec2 get-console-screenshot --region %s --instance-id %s --wake-up", m.Region, m.InstanceID),
	}
	switch {
	case state == string(types.InstanceStateNameStopping):
		failure.Next = fmt.Sprintf("wait, or: aws ec2 stop-instances --force --region %s --instance-ids %s", m.Region, m.InstanceID)
	case record == nil:
		failure.Problem += "; nothing says that anybody told it to stop"
		failure.Next = fmt.Sprintf("when you are sure that Windows is sealed: aws ec2 stop-instances --region %s --instance-ids %s", m.Region, m.InstanceID)
	case record.Shutdown == "none" || record.Proof != nil:
		// Sealed and up: stopping it from outside does no harm.
		failure.Next = fmt.Sprintf("aws ec2 stop-instances --region %s --instance-ids %s", m.Region, m.InstanceID)
		if record.Shutdown == "none" {
			failure.Problem += `; the provisioner was told shutdown = "none", so somebody else has to stop it`
		}
	}
	return failure
}

// terminated is the failure of an instance that is gone or going.
func (m *Maker) terminated(instance types.Instance) error {
	stop := newStop(instance, time.Now())
	failure := &Failure{
		Code:    CodeGone,
		Final:   true,
		Problem: fmt.Sprintf("waiting for instance %s to stop: it is %s (%s)", m.InstanceID, aws.State(instance), orNone(stop.Reason)),
		Next:    "start a new instance and build again",
	}
	if transition := awssdk.ToString(instance.StateTransitionReason); transition != "" && transition != stop.Reason {
		failure.Problem += ": " + transition
	}
	switch {
	case stop.ReasonCode == guestShutdown:
		failure.Problem += "; its attribute instanceInitiatedShutdownBehavior is terminate, so the guest's shutdown ended it"
		failure.Next = "start the next instance with --instance-initiated-shutdown-behavior stop and build again"
	case instance.InstanceLifecycle == types.InstanceLifecycleTypeSpot:
		failure.Problem += "; it is a spot instance"
		failure.Next = "start an on-demand instance and build again"
	}
	return failure
}

// instanceLost is the failure when EC2 can not be asked for the instance.
func (m *Maker) instanceLost(doing string, err error) error {
	if isAbsent(err) {
		return &Failure{
			Code: CodeGone, Problem: doing, Cause: err,
			Next: fmt.Sprintf("check the region and the account: aws ec2 describe-instances --region %s --instance-ids %s", m.Region, m.InstanceID),
		}
	}
	return askFailed(doing, err)
}

// orNone is EC2's reason, or words for its absence.
func orNone(reason string) string {
	if reason == "" {
		return "EC2 gives no reason"
	}
	return reason
}
