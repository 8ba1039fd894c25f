package image

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
)

// ProofNone is the word in the AMI's tag when an instance is captured without
// a proof, because the user said so.
const ProofNone handoff.ProofKind = "none"

// sealedState is Windows' ImageState after Sysprep with /generalize and /oobe
// (Microsoft: "Windows Setup States", HKLM\SOFTWARE\Microsoft\Windows\
// CurrentVersion\Setup\State).
const sealedState = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"

// The sealer's verdicts, see handoff.ConsoleLine.
const (
	verdictSealed         = "sealed"
	verdictFailed         = "failed"
	verdictNotGeneralized = "not-generalized"
)

// consoleWait is how long to wait for the console output of a stopped instance
// when nothing else can prove the seal: EC2 posts it a little later.
const consoleWait = 3 * time.Minute

// Prove decides whether the stopped instance may become an AMI, and writes into
// the journal on which proof. The record may be nil when no proof is demanded.
func (m *Maker) Prove(ctx context.Context, record *handoff.Record, stop *Stop) error {
	if record == nil {
		if m.Demand.Proof {
			return &Failure{
				Code:    CodeUnproven,
				Problem: fmt.Sprintf("instance %s has no record of the provisioner, so nothing proves that Windows was sealed", m.InstanceID),
				Next:    "give record_path, or require_proof = false when you know that it was",
			}
		}
		return m.unproven("there is no record of the provisioner")
	}
	if failure := m.startedAgain(record, stop.Instance); failure != nil {
		return failure
	}
	proof, why, err := recordedProof(record, m.Demand)
	if err != nil {
		return err
	}
	if proof == nil && why == "" {
		proof, why, err = m.proofFromEC2(ctx, record, stop)
		if err != nil {
			return err
		}
	}
	switch {
	case proof == nil && m.Demand.Proof:
		return unprovenFailure(m.InstanceID, why)
	case proof == nil:
		return m.unproven(why)
	case proof.Kind == handoff.ProofNotGeneralized && m.Demand.Generalized:
		return notGeneralized(m.InstanceID)
	}
	m.say("Instance %s may become an AMI, proof: %s", m.InstanceID, describeProof(*proof))
	return m.Journal.proven(time.Now(), *proof)
}

// unproven is the proof of an instance that the user captures without one. It
// is said aloud, and stands in the AMI's tags.
func (m *Maker) unproven(why string) error {
	proof := handoff.Proof{Kind: ProofNone, SeenAt: time.Now().UTC(), Detail: why}
	m.say("WARNING: instance %s is captured although nothing proves that it was sealed (%s), because require_proof = false; the AMI's tag %s says %q", m.InstanceID, why, TagProof, ProofNone)
	return m.Journal.proven(time.Now(), proof)
}

// unprovenFailure is the failure of a guest that nothing proves sealed.
func unprovenFailure(instanceID, why string) error {
	return &Failure{
		Code:    CodeUnproven,
		Problem: fmt.Sprintf("nothing proves that instance %s was sealed: %s", orSome(instanceID), why),
		Next:    "start the instance and seal it again with the provisioner ec2-sysprep; or give require_proof = false when you know that it is sealed",
	}
}

// orSome is the instance's id, or a word for one that nobody knows.
func orSome(instanceID string) string {
	if instanceID == "" {
		return "(id not known)"
	}
	return instanceID
}

// notGeneralized is the failure of a guest that was shut down without Sysprep.
func notGeneralized(instanceID string) error {
	return &Failure{
		Code:    CodeNotGeneralized,
		Problem: fmt.Sprintf(`instance %s was shut down without Sysprep (action = "shutdown"), so every copy of its AMI would have the same identity`, orSome(instanceID)),
		Next:    "give generalized = false in the post-processor when that is what you want",
	}
}

// describeProof is a proof in words.
func describeProof(proof handoff.Proof) string {
	text := map[handoff.ProofKind]string{
		handoff.ProofSeen:           "the seal was seen on the guest",
		handoff.ProofConsole:        "the sealer's verdict stands in EC2's console output",
		handoff.ProofByShutdown:     "the confirmed sealer, which shuts down only a sealed guest, shut it down within its limit",
		handoff.ProofNotGeneralized: "it was shut down without Sysprep, as asked",
	}[proof.Kind]
	return fmt.Sprintf("%s (%s, %s)", proof.Kind, text, proof.SeenAt.UTC().Format(time.RFC3339))
}

// CheckRecord tells from the record alone that the instance must not become an
// AMI, before anybody waits for its stop. The record may be nil.
func CheckRecord(record *handoff.Record, demand Demand) error {
	if record == nil {
		return nil
	}
	proof, why, err := recordedProof(record, demand)
	switch {
	case err != nil:
		return err
	case proof == nil && why != "" && demand.Proof:
		return unprovenFailure(record.InstanceID, why)
	}
	return nil
}

// RecordedProof returns the proof that the record itself holds, for an AMI that
// a builder made and whose instance is gone. It is an error when there is none.
func RecordedProof(record *handoff.Record, demand Demand) (*handoff.Proof, error) {
	proof, why, err := recordedProof(record, demand)
	switch {
	case err != nil:
		return nil, err
	case proof != nil:
		return proof, nil
	case why == "":
		why = fmt.Sprintf("the record ends at the stage %q without a proof", record.Stage)
	}
	return nil, unprovenFailure(record.InstanceID, why)
}

// recordedProof returns the proof that the provisioner recorded. Without one it
// says why there can be none, or nothing when EC2 may still tell. A guest that
// Sysprep refused is an error whatever is demanded.
func recordedProof(record *handoff.Record, demand Demand) (*handoff.Proof, string, error) {
	switch record.Stage {
	case handoff.StageRefused:
		return nil, "", refused(record)
	case handoff.StagePlanned, handoff.StageStaged:
		return nil, fmt.Sprintf("the record ends at the stage %q, so the sealer was never started", record.Stage), nil
	}
	proof := record.Proof
	switch {
	case proof == nil && record.Action == "shutdown" && demand.Generalized:
		return nil, "", notGeneralized(record.InstanceID)
	case proof == nil:
		return nil, "", nil
	case proof.Kind == handoff.ProofNotGeneralized && demand.Generalized:
		return nil, "", notGeneralized(record.InstanceID)
	case proof.Kind != handoff.ProofSeen:
		return proof, "", nil
	}
	var missing []string
	if proof.ImageState != sealedState {
		missing = append(missing, fmt.Sprintf("its image state is %q and not %s", proof.ImageState, sealedState))
	}
	if !proof.Tag {
		missing = append(missing, "Sysprep_succeeded.tag was not there")
	}
	if !proof.SysprepEnded {
		missing = append(missing, "sysprep.exe was not seen to end")
	}
	if len(missing) > 0 {
		return nil, "the record's proof is incomplete: " + strings.Join(missing, ", "), nil
	}
	return proof, "", nil
}

// proofFromEC2 looks for what EC2 can prove after the verdict was lost: the
// sealer's line in the console output, or else a shutdown by the guest while
// the confirmed sealer was at work.
func (m *Maker) proofFromEC2(ctx context.Context, record *handoff.Record, stop *Stop) (*handoff.Proof, string, error) {
	byShutdown, why := shutdownProof(record, stop)
	verdict := m.console(ctx, record.Token)
	for end := time.Now().Add(consoleWait); verdict.Word == "" && byShutdown == nil && !verdict.Denied && time.Now().Before(end); {
		if err := pause(ctx, ImagePoll); err != nil {
			return nil, "", fmt.Errorf("reading the console output of instance %s: %w", m.InstanceID, err)
		}
		verdict = m.console(ctx, record.Token)
	}
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("reading the console output of instance %s: %w", m.InstanceID, context.Cause(ctx))
	}
	proof := &handoff.Proof{Kind: handoff.ProofConsole, SeenAt: time.Now().UTC(), Detail: verdict.Line}
	switch {
	case verdict.Word == verdictFailed:
		return nil, "", m.refusedByConsole(record)
	case verdict.Word == verdictSealed && record.Action == "sysprep":
		return proof, "", nil
	case verdict.Word == verdictNotGeneralized:
		proof.Kind = handoff.ProofNotGeneralized
		return proof, "", nil
	case byShutdown != nil:
		return byShutdown, "", nil
	}
	return nil, why + "; the console output holds no verdict of this build" + verdict.Trouble, nil
}

// shutdownProof is the proof that the stop itself gives, or why it gives none.
func shutdownProof(record *handoff.Record, stop *Stop) (*handoff.Proof, string) {
	switch {
	case record.Stage != handoff.StageSealerConfirmed:
		return nil, fmt.Sprintf("the record ends at the stage %q without a proof, so nobody saw the sealer at work", record.Stage)
	case record.Shutdown != "sealed":
		return nil, fmt.Sprintf("with shutdown = %q a stop says nothing about the seal", record.Shutdown)
	case stop.ReasonCode != guestShutdown:
		return nil, fmt.Sprintf("the guest did not shut itself down (EC2's reason is %s)", orNone(stop.Reason))
	case record.SealerDeadline.IsZero():
		return nil, "the record does not say until when the sealer was at work"
	case stop.By.After(record.SealerDeadline):
		return nil, fmt.Sprintf("the stop was seen at %s, after the sealer's limit %s",
			stop.By.UTC().Format(time.RFC3339), record.SealerDeadline.UTC().Format(time.RFC3339))
	}
	proof := &handoff.Proof{
		Kind: handoff.ProofByShutdown, SeenAt: stop.By.UTC(),
		Detail: fmt.Sprintf("%s, before the sealer's limit %s", stop.ReasonCode, record.SealerDeadline.UTC().Format(time.RFC3339)),
	}
	if record.Action != "sysprep" {
		proof.Kind = handoff.ProofNotGeneralized
	}
	return proof, ""
}

// refused is the failure of a guest that Sysprep did not seal.
func refused(record *handoff.Record) error {
	why := "the provisioner saw it"
	if n := len(record.Timeline); n > 0 && record.Timeline[n-1].Note != "" {
		why = record.Timeline[n-1].Note
	}
	what := "Sysprep did not seal instance"
	if record.Action == "shutdown" {
		what = "the provisioner failed to shut down instance"
	}
	return &Failure{
		Code:    CodeRefused,
		Final:   true,
		Problem: fmt.Sprintf("%s %s (%s), and no AMI is made of it", what, orSome(record.InstanceID), why),
		Next:    "put the cause right on the guest and run the template with the provisioner ec2-sysprep again",
	}
}

func (m *Maker) refusedByConsole(record *handoff.Record) error {
	if record.Action == "shutdown" {
		return &Failure{
			Code:    CodeRefused,
			Final:   true,
			Problem: fmt.Sprintf("the provisioner failed to shut down instance %s, as the sealer says in the console output, and no AMI is made of it", m.InstanceID),
			Next:    "start the instance, read the launch agent's log, put the cause right and build again",
		}
	}
	return &Failure{
		Code:    CodeRefused,
		Final:   true,
		Problem: fmt.Sprintf("Sysprep did not seal instance %s, as the sealer says in the console output, and no AMI is made of it", m.InstanceID),
		Next:    `start the instance, read C:\Windows\System32\Sysprep\Panther\setuperr.log, put the cause right and build again`,
	}
}

// consoleVerdict is what the console output says about this build.
type consoleVerdict struct {
	Word, Line string
	// Denied says that asking again is no use; Trouble is why, for a message.
	Denied  bool
	Trouble string
}

// console looks for the sealer's verdict in the console output: the latest
// (Nitro instances only), then the posted one. Trouble is no failure, because
// the console is only one of the ways.
func (m *Maker) console(ctx context.Context, token string) consoleVerdict {
	var verdict consoleVerdict
	for _, latest := range []bool{true, false} {
		answer, err := m.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{
			InstanceId: awssdk.String(m.InstanceID), Latest: awssdk.Bool(latest),
		})
		if err != nil {
			log.Printf("[DEBUG] console output of %s (latest: %t): %v", m.InstanceID, latest, err)
			verdict.Denied = aws.IsDenied(err)
			if !latest || verdict.Denied {
				verdict.Trouble = " (" + aws.Message(err) + ")"
			}
			continue
		}
		text, err := base64.StdEncoding.DecodeString(awssdk.ToString(answer.Output))
		if err != nil {
			verdict.Trouble = " (it is not base64)"
			continue
		}
		if word := findVerdict(string(text), token); word != "" {
			return consoleVerdict{Word: word, Line: handoff.ConsoleLine(token, word)}
		}
	}
	return verdict
}

// findVerdict returns the verdict that the build with the token wrote into the
// console text, or "". Where several stand there, the bad one counts.
func findVerdict(text, token string) string {
	if token == "" {
		return ""
	}
	for _, word := range []string{verdictFailed, verdictNotGeneralized, verdictSealed} {
		line := handoff.ConsoleLine(token, word)
		for rest := text; ; {
			_, after, found := strings.Cut(rest, line)
			if !found {
				break
			}
			if after == "" || strings.ContainsAny(after[:1], " \t\r\n\x00") {
				return word
			}
			rest = after
		}
	}
	return ""
}
