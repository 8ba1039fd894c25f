package sysprep

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// The codes of refusals that Sysprep's logs do not explain.
const (
	codeApply     = "ES-240"
	codeCommand   = "ES-241"
	codeNeverSeen = "ES-242"
	codeStalled   = "ES-243"
	codeTimeout   = "ES-244"
	codeSealer    = "ES-245"
)

// collectLimit bounds the fetching of logs from a guest that was not sealed.
const collectLimit = 90 * time.Second

// refused fetches the logs, tidies up and explains why the guest is not sealed.
func (r *run) refused(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	folder, logs := r.collect(bounded)
	if err := r.job.Clean(bounded); err != nil {
		r.logf("%s", err)
	}
	state := r.verdict.State
	explanation := diagnosis.Explain(
		diagnosis.Text{Name: `Sysprep\Panther\setuperr.log`, Data: r.verdict.Errors},
		diagnosis.Text{Name: `Sysprep\Panther\setupact.log`, Data: r.verdict.Actions},
		diagnosis.Text{Name: "the agent's output", Data: r.verdict.Agent},
	)
	failure := &image.Failure{Code: explanation.Code, Next: explanation.Remedy, Final: true}
	var lines []string
	notStarted := "Sysprep was not started"
	if !r.config.generalizes() {
		notStarted = "the guest was not shut down"
	}
	switch state.Reason {
	case guest.ReasonApply:
		failure.Code, failure.Next = codeApply, notStarted+"; look at the act that failed"
		lines = append(lines, "the files could not be put into place: "+state.Detail)
	case guest.ReasonCommand:
		failure.Code, failure.Next = codeCommand, notStarted+"; run the agent's command by hand on the guest to see what it says"
		lines = append(lines, "the launch agent's command failed: "+state.Detail)
		if strings.Contains(strings.ToLower(state.Detail), `\schtasks.exe `) {
			failure.Next = notStarted + "; run InitializeInstance.ps1 -Schedule by hand on the guest, and see the Task Scheduler's log"
			lines = append(lines, "EC2Launch v1 ended well and did not register the task by which it sets up each instance: no instance from the image would get a password.")
		}
	case guest.ReasonError:
		failure.Code, failure.Next = codeSealer, "please report this with the logs"
		lines = append(lines, "the sealer itself failed: "+state.Detail)
	case guest.ReasonNeverSeen:
		if !explanation.Fatal() {
			failure.Code, failure.Next = codeNeverSeen, "look at the launch agent's log: "+launchagent.Expand(r.job.Agent.Logs()[0], r.facts.Identity.Folders)
		}
		lines = append(lines, "the launch agent ended and Sysprep never appeared ("+state.Detail+")")
	default:
		if !r.config.generalizes() {
			failure.Code, failure.Next = codeTimeout, "look at the launch agent's log for what took so long; sysprep_timeout is the limit"
			lines = append(lines, "the guest was not shut down within "+r.config.SysprepTimeout.String()+": "+state.Detail)
			break
		}
		what := "Sysprep did not seal the guest: ImageState is " + firstOf(state.ImageState, "unknown")
		if state.ImageState == generalize.SealedState && !state.Tag {
			what += ", but Sysprep_succeeded.tag is not there"
		}
		lines = append(lines, what)
		if !explanation.Fatal() {
			switch state.Reason {
			case guest.ReasonStalled:
				failure.Code, failure.Next = codeStalled, "look at the logs for what Sysprep was waiting for; stall_timeout says how long it may be silent"
				lines = append(lines, fmt.Sprintf("Nothing had moved for %s.", r.config.StallTimeout))
			case guest.ReasonTimeout:
				failure.Code, failure.Next = codeTimeout, "look at the logs for what took so long; sysprep_timeout is the limit"
				lines = append(lines, fmt.Sprintf("It had not ended after %s.", r.config.SysprepTimeout))
			}
		}
	}
	if explanation.Cause != nil {
		lines = append(lines, "First fatal line: "+explanation.Cause.String())
		if explanation.Fatal() {
			lines = append(lines, explanation.Meaning)
			if len(explanation.Subjects) > 1 {
				lines = append(lines, "All that it complained about: "+strings.Join(explanation.Subjects, ", "))
			}
		}
	} else if explanation.Verdict != nil {
		lines = append(lines, "Verdict: "+explanation.Verdict.String())
	}
	if output := lastLines(r.verdict.Agent, 3); output != "" && explanation.Cause == nil {
		lines = append(lines, "The agent's last words: "+output)
	}
	lines = append(lines, r.putBack(state)...)
	if logs > 0 {
		lines = append(lines, fmt.Sprintf("%d logs of the guest are in %s.", logs, folder))
	}
	failure.Problem = strings.Join(lines, "\n")
	return failure
}

// putBack says what the guest is like now.
func (r *run) putBack(state guest.SealState) []string {
	var lines []string
	if len(state.Troubles) == 0 {
		lines = append(lines, "What was changed on the guest has been put back.")
	} else {
		lines = append(lines, "What was changed on the guest has been put back, but for: "+strings.Join(state.Troubles, "; "))
	}
	if r.facts != nil && r.facts.Agent.Agent != nil {
		for _, what := range r.facts.Agent.Irreversible(r.job.Order.Action) {
			lines = append(lines, "It could not put back "+what+".")
		}
	}
	switch {
	case strings.Contains(state.ImageState, "UNDEPLOYABLE"):
		lines = append(lines, "Windows itself was left half-way and is not fit for use: throw this instance away.")
	case state.ImageState == generalize.SealedState:
		lines = append(lines, "Windows itself has been generalized, which nobody can undo: throw this instance away.")
	}
	return lines
}

func lastLines(data []byte, count int) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(diagnosis.Decode(data), "\r\n", "\n")), "\n")
	return strings.TrimSpace(strings.Join(lines[max(0, len(lines)-count):], " | "))
}

// collect fetches the logs into log_dir and returns the folder and how many.
func (r *run) collect(ctx context.Context) (folder string, count int) {
	name := firstOf(r.record.InstanceID, "guest") + "-" + r.record.Token
	folder = filepath.Join(r.config.LogDir, name)
	paths := []string{r.job.Folder() + `\` + guest.OutputFile, r.job.Folder() + `\acts.txt`, r.job.Folder() + `\` + guest.StateFile}
	if r.config.generalizes() {
		paths = append(paths,
			`%windir%\System32\Sysprep\Panther\setuperr.log`, `%windir%\System32\Sysprep\Panther\setupact.log`,
			`%windir%\Panther\setuperr.log`, `%windir%\Panther\setupact.log`)
	}
	paths = append(paths, r.job.Agent.Logs()...)
	r.say("Fetching the guest's logs")
	pieces := make([]*guest.Call[guest.Piece], len(paths))
	var calls []guest.Asker
	for i, path := range paths {
		pieces[i] = guest.FileRead(path, -guest.MaxPiece, guest.MaxPiece)
		calls = append(calls, pieces[i])
	}
	if err := r.guest.Ask(ctx, calls...); err != nil {
		r.say("Warning: the guest's logs could not be fetched: %s", short(err))
		return folder, 0
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		r.say("Warning: log_dir: %s", err)
		return folder, 0
	}
	for i, path := range paths {
		piece, err := pieces[i].Answer()
		if err != nil || !piece.Exists || len(piece.Data) == 0 {
			continue
		}
		file := strings.NewReplacer("%", "", ":", "", `\`, "_").Replace(strings.TrimPrefix(path, r.job.Folder()+`\`))
		if err := os.WriteFile(filepath.Join(folder, file), r.redact(piece.Data), 0o600); err != nil {
			r.say("Warning: log_dir: %s", err)
			continue
		}
		count++
	}
	return folder, count
}

// adopt makes the job of an earlier attempt's sealing.
func (r *run) adopt(earlier *handoff.Record) {
	agent, ok := launchagent.ByID(earlier.Agent.Name)
	if !ok {
		agent = launchagent.EC2LaunchV2{}
	}
	r.job = generalize.Adopt(generalize.Job{
		Guest: r.guest, Agent: agent, Identity: r.facts.Identity,
		Token: earlier.Token, Order: launchagent.Order{Action: launchagent.Action(earlier.Action), Shutdown: launchagent.Shutdown(earlier.Shutdown)},
		Limits:    generalize.Limits{Sysprep: earlier.Limits.Sysprep, Stall: earlier.Limits.Stall, Shutdown: earlier.Limits.Shutdown},
		Reconnect: r.config.ReconnectTimeout,
		Say:       r.say, Log: r.logf, Note: r.mark,
	})
}
