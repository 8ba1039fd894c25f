package sysprep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
)

// The codes of what happens after the trigger. What Sysprep's logs explain has
// its own code, ES-3NN.
const (
	codeLost      = "ES-250"
	codeRestarted = "ES-251"
	codeStillUp   = "ES-260"
)

// nullBuilder is the builder that does nothing with the guest afterwards.
const nullBuilder = "null"

// watch looks on until the verdict is known, or cannot be known.
func (r *run) watch(ctx context.Context) error {
	verdict, err := r.job.Watch(ctx, r.confirmed, r.starts)
	r.verdict = verdict
	if err != nil {
		return err
	}
	if verdict.Confirmed && !r.confirmed {
		r.confirmed = true
		if verdict.Outcome != generalize.Sealed {
			return r.saveLate(handoff.StageSealerConfirmed)
		}
	}
	return nil
}

// saveLate writes the record after the trigger: a record that cannot be
// written must not hide what happened on the guest.
func (r *run) saveLate(stage handoff.Stage) error {
	if err := r.save(stage); err != nil {
		r.say("Warning: %s", err)
	}
	return nil
}

// prove takes the verdict for what it is worth.
func (r *run) prove(ctx context.Context) error {
	v := r.verdict
	switch v.Outcome {
	case generalize.Sealed:
		for _, trouble := range v.State.Troubles {
			r.logf("the sealer noted: %s", trouble)
		}
		if !r.config.generalizes() {
			return r.notGeneralized()
		}
		r.record.Proof = &handoff.Proof{
			Kind: handoff.ProofSeen, SeenAt: v.SeenAt.UTC(), ImageState: v.State.ImageState,
			Tag: v.State.Tag, SysprepEnded: !v.State.SysprepRuns,
			Detail: sealerDetail(v.State),
		}
		if err := r.save(handoff.StageSealed); err != nil {
			return err
		}
		r.say("Sealed: ImageState is %s, Sysprep_succeeded.tag is there, sysprep.exe has ended (%s)", v.State.ImageState, r.since())
		return nil
	case generalize.Refused:
		r.finish()
		_ = r.saveLate(handoff.StageRefused)
		return r.refused(ctx)
	case generalize.Restarted:
		r.finish()
		_ = r.saveLate(handoff.StageRefused)
		return &image.Failure{
			Code: codeRestarted, Problem: "the guest was restarted while " + r.config.deed() + " was at work, which ended it half-way",
			Next: "begin again with a fresh instance, and let nothing restart the guest (Windows Update, EC2 maintenance)",
		}
	}
	return r.lost(ctx)
}

// notGeneralized takes the verdict of a shutdown without Sysprep: the launch
// agent has been told to set up the instances from the image.
func (r *run) notGeneralized() error {
	r.record.Proof = &handoff.Proof{
		Kind: handoff.ProofNotGeneralized, SeenAt: r.verdict.SeenAt.UTC(), ImageState: r.verdict.State.ImageState, Detail: sealerDetail(r.verdict.State),
	}
	if err := r.save(handoff.StageSealed); err != nil {
		return err
	}
	r.say("Ready to be shut down without Sysprep, as asked; the image is not generalized: every instance has this machine's SID and name (%s)", r.since())
	return nil
}

func sealerDetail(state guest.SealState) string {
	return fmt.Sprintf("the sealer's state %d after %s", state.Seq, time.Duration(state.Elapsed)*time.Millisecond)
}

// lost decides what a verdict is worth that nobody saw. The sealer goes on by
// itself; EC2 will show what came of it.
func (r *run) lost(ctx context.Context) error {
	r.mark("verdict lost", r.verdict.ImageState, r.verdict.Reason.Error())
	stage := handoff.StageTriggered
	if r.confirmed {
		stage = handoff.StageSealerConfirmed
	}
	if err := r.save(stage); err != nil {
		return err
	}
	r.finish()
	if r.config.PackerBuilderType == nullBuilder {
		r.say("The guest was lost before its verdict was seen (%s).", lostReason(r.verdict.Reason))
		r.sayUnseen()
		return nil
	}
	if r.session == nil && r.config.asksEC2() {
		// An earlier attempt has checked what EC2 says of the instance.
		if err := r.connectEC2(ctx); err != nil {
			return err
		}
	}
	if r.session == nil {
		return &image.Failure{
			Code: codeLost, Problem: "the guest was lost before its verdict was seen, and the builder must not stop it in the middle", Cause: r.verdict.Reason,
			Next: "give the options for AWS (region and credentials) to the provisioner, so that EC2 can be asked; or use the null builder",
		}
	}
	return r.awaitStopped(ctx)
}

func (r *run) sayUnseen() {
	result, verdict := "Whether the guest is sealed", "the seal"
	if !r.config.generalizes() {
		result, verdict = "What came of it", "its verdict"
	}
	if r.confirmed {
		r.say("The sealer was seen at work and goes on by itself. %s is for the post-processor to find out from EC2.", result)
		return
	}
	r.say("Nobody saw the sealer at work. The post-processor makes no AMI unless EC2's console output shows %s.", verdict)
}

func lostReason(err error) string {
	if errors.Is(err, direct.ErrUnauthorized) {
		return "WinRM answers 401, as usual after generalize"
	}
	return short(err)
}

// awaitStopped waits until EC2 says that the guest has shut itself down, for
// builders that would stop it otherwise.
func (r *run) awaitStopped(ctx context.Context) error {
	if !r.confirmed || r.config.Shutdown != "sealed" {
		return &image.Failure{
			Code: codeLost, Problem: "the guest was lost before its verdict was seen", Cause: r.verdict.Reason,
			Next: "begin again with a fresh instance",
		}
	}
	id := r.record.InstanceID
	kind, only, verdict := handoff.ProofByShutdown, "which only a sealed guest does", "Sealed: the guest has shut itself down, which it does only when it is sealed"
	failed := "Sysprep failed behind the lost connection"
	if !r.config.generalizes() {
		kind, only = handoff.ProofNotGeneralized, "which it does only when all is ready"
		verdict = "The guest has shut itself down without Sysprep, as asked; the image is not generalized: every instance has this machine's SID and name"
		failed = "the launch agent failed behind the lost connection"
	}
	r.say("Waiting for EC2 to say that %s has shut itself down, %s", id, only)
	const pause = 5 * time.Second
	told := time.Now()
	for {
		instance, err := aws.DescribeInstance(ctx, r.session.EC2, id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !aws.IsTransient(err):
			return &image.Failure{Code: codeLost, Problem: "asking EC2 about " + id, Cause: err}
		case err != nil:
			r.logf("asking EC2 about %s: %s", id, err)
		case aws.State(instance) == string(ec2types.InstanceStateNameStopped):
			code := ""
			if instance.StateReason != nil && instance.StateReason.Code != nil {
				code = *instance.StateReason.Code
			}
			if code != "Client.InstanceInitiatedShutdown" {
				return &image.Failure{Code: codeLost, Problem: fmt.Sprintf("%s was stopped from outside (%s) before its verdict was seen", id, code), Next: "begin again with a fresh instance"}
			}
			r.record.Proof = &handoff.Proof{Kind: kind, SeenAt: time.Now().UTC(), Detail: code}
			r.mark("stopped", "", code)
			r.say("%s", verdict)
			return r.save(handoff.StageShutdown)
		case aws.State(instance) == string(ec2types.InstanceStateNameTerminated):
			return &image.Failure{Code: codeLost, Problem: id + " was terminated before its verdict was seen"}
		}
		if time.Now().After(r.record.SealerDeadline) {
			return &image.Failure{
				Code: codeLost, Problem: fmt.Sprintf("%s has not shut itself down within the sealer's limit: %s", id, failed),
				Cause: r.verdict.Reason, Next: "look at the logs on the guest, or begin again with a fresh instance",
			}
		}
		if time.Since(told) >= time.Minute {
			told = time.Now()
			r.say("Still waiting for %s to shut itself down", id)
		}
		if err := guest.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// shutDown waits for the end of the sealed guest, where that is to be seen.
func (r *run) shutDown(ctx context.Context) error {
	defer r.finish()
	switch {
	case r.config.Shutdown == "none" && !r.config.generalizes():
		r.say("The guest stays up: stop it without restarting it (shutdown = \"none\")")
		return nil
	case r.config.Shutdown == "none":
		r.say("The sealed guest stays up: stop it without restarting it (shutdown = \"none\")")
		return nil
	case r.client == nil:
		// Packer's communicator must not be asked any more: it would hang.
		r.guest.Abandon()
		r.say("The guest is shutting down")
		return r.saveLate(handoff.StageShutdown)
	}
	r.say("Waiting for the guest to shut down")
	r.guest.Drop()
	if err := r.job.AwaitDown(ctx, r.alive); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.sayResume()
		problem := "the guest is sealed, and did not shut down"
		if !r.config.generalizes() {
			problem = "all is ready, and the guest did not shut down"
		}
		return &image.Failure{
			Code: codeStillUp, Problem: problem, Cause: err,
			Next: "stop the instance, and make the AMI with the template above",
		}
	}
	r.mark("down", "", "")
	r.say("The guest is down (%s in all)", r.since())
	return r.saveLate(handoff.StageShutdown)
}

// alive asks WinRM once; 401 is an answer too. When WinRM is silent and EC2 can
// be asked, EC2 knows best.
func (r *run) alive(ctx context.Context) error {
	err := r.client.Alive(ctx)
	switch {
	case err == nil, errors.Is(err, direct.ErrUnauthorized):
		return nil
	case direct.Classify(err) == direct.LossForbidden:
		return nil
	}
	if r.session == nil {
		return err
	}
	instance, ec2Err := aws.DescribeInstance(ctx, r.session.EC2, r.record.InstanceID)
	if ec2Err == nil && aws.State(instance) != string(ec2types.InstanceStateNameRunning) {
		return fmt.Errorf("%w: EC2 says that it is %s", generalize.ErrDown, aws.State(instance))
	}
	return err
}

// finish says that nothing is left to be done, also not after Ctrl-C.
func (r *run) finish() { r.finished = true }

func (r *run) since() string { return time.Since(r.began).Round(time.Second).String() }

// sayResume prints a template of shape C that carries on from here.
func (r *run) sayResume() {
	template := image.Template{
		InstanceID: r.record.InstanceID, Region: firstOf(r.record.Region, r.config.Region), Profile: r.config.Profile,
		RecordPath: r.store.Place(), Name: firstOf(r.config.AMIName, "NAME-OF-THE-AMI"),
		OwnCredentials: r.config.AccessKey != "" || len(r.config.AssumeRole) > 0,
		NotGeneralized: !r.config.generalizes(),
	}
	when := "sealed and stopped"
	if !r.config.generalizes() {
		when = "stopped"
	}
	r.say("To carry on with this guest, when it is %s, save this template and run packer build on it:\n%s", when, template.HCL())
}

// resume takes up a sealing that an earlier attempt of this build began: it
// must never be begun twice.
func (r *run) resume(ctx context.Context) (bool, error) {
	if r.record.RunUUID == "" {
		return false, nil
	}
	earlier, err := r.store.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if earlier.RunUUID != r.record.RunUUID {
		return false, nil
	}
	switch earlier.Stage {
	case handoff.StageSealed, handoff.StageShutdown:
		done := "sealed the guest"
		if !r.config.generalizes() {
			done = "made the guest ready"
		}
		r.say("This build has %s already; nothing is left to do", done)
		r.finish()
		return true, nil
	case handoff.StageTriggered, handoff.StageSealerConfirmed:
	default:
		return false, nil
	}
	r.say("An earlier attempt of this build started %s on the guest; watching it, not starting it again", r.config.deed())
	fresh := r.record
	r.record = earlier
	if err := r.connect(ctx); err != nil {
		// The sealer may have taken WinRM away by now: EC2 will tell.
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		r.confirmed = earlier.Stage == handoff.StageSealerConfirmed
		r.verdict = generalize.Verdict{Outcome: generalize.Lost, Confirmed: r.confirmed, Reason: err}
		return true, r.lost(ctx)
	}
	r.record.Limits = fresh.Limits
	r.adopt(earlier)
	r.confirmed = earlier.Stage == handoff.StageSealerConfirmed
	for _, step := range []func(context.Context) error{r.watch, r.prove, r.shutDown} {
		if err := step(ctx); err != nil || r.finished {
			return true, err
		}
	}
	return true, nil
}
