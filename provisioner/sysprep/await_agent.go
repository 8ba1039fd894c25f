package sysprep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// What waiting for a launch agent asks for.
const (
	agentPause = 3 * time.Second
	// agentTellEvery is the longest silence towards the user.
	agentTellEvery = 55 * time.Second
	// agentLogTail is what is read of the agent's log, in bytes from its end, and
	// agentLineLimit what is shown of one of its lines, in characters.
	agentLogTail   = 16 << 10
	agentLineLimit = 200
)

// awaitAgent waits for a launch agent that is still at work, when that is all
// that stands in the way: it changes nothing. An agent that has not ended within
// agent_timeout is left to preflight, with the cause that its log shows.
//
// Packer's own user data, which opens WinRM, may be what it is at work on: the
// connection may go away and come back meanwhile.
func (r *run) awaitAgent(ctx context.Context) error {
	began, told := time.Now(), time.Time{}
	for {
		finding := busyAlone(r.findings)
		if finding == nil {
			if !told.IsZero() {
				r.say("%s has ended its work (%s)", r.facts.Agent.Title(), r.since())
			}
			return nil
		}
		cause, err := r.agentCause(ctx)
		if err != nil {
			return err
		}
		if time.Since(began) >= r.config.AgentTimeout {
			finding.What += fmt.Sprintf("; it has not ended within %s (agent_timeout)%s", r.config.AgentTimeout, cause.words())
			if cause.do != "" {
				finding.Do = cause.do
			}
			return nil
		}
		if told.IsZero() {
			r.say("Waiting for %s, for %s at most: %s%s", r.facts.Agent.Title(), r.config.AgentTimeout, finding.What, cause.words())
			told = time.Now()
		} else if time.Since(told) >= agentTellEvery {
			r.say("Still waiting for %s after %s%s", r.facts.Agent.Title(), time.Since(began).Round(time.Second), cause.words())
			told = time.Now()
		}
		if err := guest.Wait(ctx, min(agentPause, r.config.AgentTimeout-time.Since(began)+time.Millisecond)); err != nil {
			return err
		}
		busy, err := preflight.AgentBusy(ctx, r.guest, r.facts)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && busy {
			continue
		}
		// Everything else may have changed as well.
		if err := r.contact(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return r.explain(err, "again, while waiting for "+r.facts.Agent.Title())
		}
	}
}

// busyAlone returns the finding of an agent that is at work when no other
// finding stops the build, and nil otherwise.
func busyAlone(findings []preflight.Finding) *preflight.Finding {
	var busy *preflight.Finding
	for i, f := range findings {
		switch {
		case f.Severity != preflight.Stop:
		case !f.Busy:
			return nil
		default:
			busy = &findings[i]
		}
	}
	return busy
}

// agentCause is what an agent's log shows of what it is at work on.
type agentCause struct {
	// why and do are empty when the log does not tell.
	why, do string
	// last is the last line of the log.
	last string
}

// words is the cause behind a sentence.
func (c agentCause) words() string {
	text := ""
	if c.why != "" {
		text += "; " + c.why
	}
	if c.last != "" {
		text += "; its log ends with: " + c.last
	}
	return text
}

// agentCause reads the end of the agent's log.
func (r *run) agentCause(ctx context.Context) (agentCause, error) {
	tail := guest.FileRead(r.facts.Agent.Logs()[0], -agentLogTail, agentLogTail)
	if err := r.guest.Ask(ctx, tail); err != nil {
		if ctx.Err() != nil {
			return agentCause{}, ctx.Err()
		}
		// The survey finds the guest again, or says what is wrong.
		r.logf("reading the agent's log: %s", err)
		return agentCause{}, nil
	}
	return causeIn(tail.Or(guest.Piece{}).Data), nil
}

// causeIn reads what an agent is at work on out of the end of its log. User data
// counts until the next stage, or the end. The lines about the serial port are
// those of AWS's page on troubleshooting EC2Launch v2 and of a real log.
func causeIn(log []byte) agentCause {
	var cause agentCause
	userData := false
	for line := range strings.Lines(diagnosis.Decode(log)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		cause.last = line
		lower := strings.ToLower(line)
		names := func(words ...string) bool {
			return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(lower, word) })
		}
		if names("starting", "stopped", "stage:", "is done") {
			userData = false
		}
		switch {
		case names("serial port is in use"):
			cause.why = "something else holds the serial port"
			cause.do = "The Special Administration Console holds it while EMS is on: turn it off with bcdedit /ems off and restart the guest, or install EC2Launch v2 2.0.1580 or later, which gives up waiting for the port."
		case names("acpi spcr table"):
			// It stands between the tries to open the port.
		case userData, names("userdata", "user data", "user-data"):
			userData = true
			cause.why = "user data is still running"
			cause.do = "Let user data end before the build: a script that waits for something of this build's never does. agent_timeout is how long it may take."
		default:
			cause.why, cause.do = "", ""
		}
	}
	if runes := []rune(cause.last); len(runes) > agentLineLimit {
		cause.last = string(runes[:agentLineLimit]) + "…"
	}
	return cause
}
