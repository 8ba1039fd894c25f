package sysprep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// The codes of what is found before anything is changed. Rules of preflight
// have their own, ES-1NN.
const (
	codePreflight  = "ES-100"
	codeInstance   = "ES-207"
	codeAnswerFile = "ES-210"
	codeBatchFile  = "ES-211"
	codeSecret     = "ES-212"
	codeNoScript   = "ES-214"
	// codeAgentShutdown: the launch agent cannot shut down as wanted.
	codeAgentShutdown = "ES-213"
	codeEC2           = "ES-220"
	codeNotStarted    = "ES-230"
)

// preflight ends the build when a rule found something that Sysprep would
// stumble over. Nothing on the guest has been changed.
func (r *run) preflight(context.Context) error {
	r.say("Found %s", r.facts.Describe())
	for _, f := range r.findings {
		switch f.Severity {
		case preflight.Warning:
			r.say("Warning: %s", f)
		case preflight.Info:
			r.logf("%s", f)
		}
	}
	if stops := preflight.Stops(r.findings); len(stops) > 0 {
		return preflightFailure(r.config.deed(), stops)
	}
	r.fillRecord()
	return nil
}

func preflightFailure(of string, stops []preflight.Finding) error {
	if len(stops) == 1 {
		return &image.Failure{Code: stops[0].ID, Problem: stops[0].What, Next: stops[0].Do}
	}
	lines := make([]string, 0, len(stops))
	for _, f := range stops {
		lines = append(lines, "  "+f.String())
	}
	return &image.Failure{
		Code: codePreflight, Problem: fmt.Sprintf("%d things stand in the way of %s; nothing was changed on the guest:\n%s", len(stops), of, strings.Join(lines, "\n")),
	}
}

func (r *run) fillRecord() {
	f := r.facts
	r.record.InstanceID = firstOf(f.InstanceID, r.config.InstanceID, r.build.instanceID())
	r.record.Region = firstOf(f.Region, r.config.Region)
	r.record.Agent = handoff.Agent{Name: f.Agent.ID(), Version: f.Agent.Version}
	r.record.Windows = handoff.Windows{
		Caption: f.Caption, Version: f.Version, Build: f.Build,
		Architecture: f.Identity.Architecture, Hostname: f.Identity.Computer,
	}
	r.record.ClockOffset = f.ClockOffset
	if at, err := time.Parse(time.RFC3339Nano, f.Identity.Boot); err == nil {
		r.record.BootTime = at
	}
	r.mark("surveyed", f.ImageState, "")
}

func firstOf(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}

// checkEC2 asks EC2 what can be known before the two hours of work are risked:
// the name, the permission, and whether the instance is one that survives its
// own shutdown.
func (r *run) checkEC2(ctx context.Context) error {
	for _, wanted := range []struct{ name, value, found string }{
		{"instance_id", r.config.InstanceID, r.facts.InstanceID},
		{"the builder's instance", r.build.instanceID(), r.facts.InstanceID},
		{"region", r.config.Region, r.facts.Region},
	} {
		if wanted.value != "" && wanted.found != "" && wanted.value != wanted.found {
			return &image.Failure{
				Code: codeInstance, Problem: fmt.Sprintf("%s is %s, but the guest says that it is %s", wanted.name, wanted.value, wanted.found),
				Next: "give the address of the instance that is meant, or correct the option",
			}
		}
	}
	if !r.config.asksEC2() {
		return nil
	}
	if r.record.InstanceID == "" {
		return &image.Failure{Code: codeInstance, Problem: "EC2 cannot be asked", Cause: errNoInstance, Next: "give instance_id"}
	}
	if err := r.connectEC2(ctx); err != nil {
		return err
	}
	r.say("Asking EC2 about %s in %s", r.record.InstanceID, r.record.Region)
	capture, err := aws.CheckCapture(ctx, r.session, r.record.InstanceID, r.config.AMIName)
	if err != nil {
		return &image.Failure{
			Code: codeEC2, Problem: fmt.Sprintf("asking EC2 about %s in %s", r.record.InstanceID, r.record.Region), Cause: err,
			Next: "check region, profile and the other options for AWS: they have to lead to the instance's account",
		}
	}
	r.record.AccountID = capture.AccountID
	r.record.LaunchTime = capture.LaunchTime
	for _, err := range capture.Unanswered {
		r.say("Warning: EC2 could not be asked everything: %s", err)
	}
	if len(capture.Findings) == 0 {
		return nil
	}
	var lines []string
	for _, f := range capture.Findings {
		lines = append(lines, obstacle(f, r.config.AMIName))
	}
	if len(lines) == 1 {
		return &image.Failure{Code: codeEC2, Problem: lines[0] + " (nothing was changed on the guest)"}
	}
	return &image.Failure{Code: codeEC2, Problem: "the instance cannot become an AMI; nothing was changed on the guest:\n  " + strings.Join(lines, "\n  ")}
}

// connectEC2 makes the session in which EC2 is asked.
func (r *run) connectEC2(ctx context.Context) error {
	access := r.config.AccessConfig
	access.Region = r.record.Region
	session, err := aws.Connect(ctx, access)
	if err != nil {
		return &image.Failure{Code: codeEC2, Problem: "connecting to EC2", Cause: err, Next: "check the credentials and the region"}
	}
	r.session = session
	r.record.Region = session.Region
	return nil
}

// obstacle words what EC2 said.
func obstacle(f aws.Finding, name string) string {
	switch f.Obstacle {
	case aws.ObstacleName:
		return fmt.Sprintf("ami_name: the name %q is taken by %s in this account and region; choose another, or deregister that AMI", name, f.Value)
	case aws.ObstacleDenied:
		return "the credentials may not call CreateImage: " + f.Value + "; allow ec2:CreateImage for the instance and for images and snapshots"
	case aws.ObstacleTerminates:
		return "the guest's shutdown would terminate the instance and delete its volumes; set its shutdown behaviour to stop: aws ec2 modify-instance-attribute --instance-initiated-shutdown-behavior stop"
	case aws.ObstacleSpot:
		return "it is a spot instance, which EC2 may end in the middle; build on an on-demand instance"
	case aws.ObstacleAutoScaling:
		return "it belongs to the Auto Scaling group " + f.Value + ", which replaces it as soon as it stops; build on an instance of its own"
	case aws.ObstacleInstanceStore:
		return "its root volume is an instance store, which is lost when it stops; build on an instance with an EBS root volume"
	case aws.ObstacleState:
		return "EC2 says that the instance is " + f.Value
	case aws.ObstaclePlatform:
		return "EC2 does not take the instance for Windows (" + f.Value + ")"
	}
	return string(f.Obstacle) + ": " + f.Value
}

// maxGuestFile bounds what is read of an answer file or a script on the guest.
const maxGuestFile = guest.MaxPiece

// prepareFiles checks the files that will be used, those of the agent's and the
// user's own, composes the ones that replace the agent's, and foretells what an
// instance will do by them. Everything that it wants to know of the guest is
// asked at once.
func (r *run) prepareFiles(ctx context.Context) error {
	agent := r.facts.Agent
	settings, err := r.wantedSettings(agent)
	if err != nil {
		return err
	}
	view := newOutlook(agent)
	calls := view.calls()
	for _, setting := range settings {
		calls = append(calls, setting.read)
	}
	// Without Sysprep nobody reads an answer file, or runs a script.
	var scripts []wantedScript
	answer := guest.FileRead(agent.AnswerFile(), 0, maxGuestFile)
	locale := guest.RegistryValue(localeName.Path, localeName.Name)
	if r.config.generalizes() {
		if scripts, err = r.wantedScripts(agent); err != nil {
			return err
		}
		calls = append(calls, answer, locale)
		for _, script := range scripts {
			calls = append(calls, script.read)
		}
	}
	if err := r.guest.Ask(ctx, calls...); err != nil {
		return err
	}
	made, err := r.prepareSettings(settings)
	if err != nil {
		return err
	}
	if err := r.prepareShutdown(settings, made); err != nil {
		return err
	}
	var answers *answerfile.File
	if r.config.generalizes() {
		if answers, err = r.prepareAnswerFile(agent, answer, locale.Or(guest.Value{})); err != nil {
			return err
		}
		if err := r.prepareScripts(scripts); err != nil {
			return err
		}
	}
	r.foretell(view, made, answers)
	return nil
}

// plan works out what will change, and what is put back after a failure.
func (r *run) plan(ctx context.Context) error {
	r.job = &generalize.Job{
		Guest: r.guest, Agent: r.facts.Agent.Agent, Identity: r.facts.Identity,
		Token: r.record.Token, Order: r.config.order(), Files: r.files, Settings: r.settings,
		Limits: generalize.Limits{Sysprep: r.config.SysprepTimeout, Stall: r.config.StallTimeout, Shutdown: r.config.ShutdownTimeout},
		GiveUp: diagnosis.Default().VerdictPatterns(), Reconnect: r.config.ReconnectTimeout,
		Say: r.say, Log: r.logf, Note: r.mark,
	}
	plan, starts, err := r.job.Plan(ctx)
	if err != nil {
		return err
	}
	r.sealPlan, r.starts = plan, starts
	if err := r.save(handoff.StagePlanned); err != nil {
		return err
	}
	r.sayChanges()
	r.sayForecast()
	return nil
}

// stage puts everything into one folder on the guest.
func (r *run) stage(ctx context.Context) error {
	r.say("Staging the sealer in %s", r.job.Folder())
	r.post()
	files, err := r.job.Stage(ctx, r.sealPlan)
	if err != nil {
		r.giveUp(ctx)
		return err
	}
	r.record.Files = files
	r.mark("staged", "", "")
	if err := r.save(handoff.StageStaged); err != nil {
		r.giveUp(ctx)
		return err
	}
	return nil
}

// giveUp deletes the working folder after a failure before the trigger.
func (r *run) giveUp(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if err := r.job.Clean(ctx); err != nil {
		r.say("Warning: the working folder could not be deleted: %s", err)
	}
}

// trigger starts the sealer. The record says so before it happens: a build
// that dies now must not be taken for one that has not begun.
func (r *run) trigger(ctx context.Context) error {
	now := time.Now().UTC()
	r.record.TriggeredAt = now
	// The sealer's own limit, its wait for the watch, the shutdown, and a
	// minute for the task to start.
	r.record.SealerDeadline = now.Add(r.config.SysprepTimeout + r.job.SeenLimit() + r.config.ShutdownTimeout + time.Minute)
	r.mark("triggered", "", "")
	if err := r.save(handoff.StageTriggered); err != nil {
		r.giveUp(ctx)
		return err
	}
	r.say("Starting %s through %s", r.config.deed(), r.facts.Agent.Title())
	r.say("%s", r.goesOn())
	confirmed, err := r.job.Trigger(ctx)
	r.confirmed = confirmed
	if ctx.Err() == nil {
		// From here on the sealer tidies up by itself, or has been called off.
		r.dismiss()
	}
	var lost *guest.LostError
	switch {
	case err == nil:
	case errors.Is(err, generalize.ErrNotStarted):
		return &image.Failure{
			Code: codeNotStarted, Problem: "nothing was changed on the guest", Cause: err,
			Next: "the connecting administrator needs the right to log on as a batch job; see the Task Scheduler's log on the guest",
		}
	case errors.As(err, &lost):
		r.say("The connection was lost while %s was being started (%s)", r.config.deed(), short(err))
	default:
		return err
	}
	if confirmed {
		r.mark("sealer confirmed", "", "")
		return r.save(handoff.StageSealerConfirmed)
	}
	return nil
}
