package image

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
)

// The tags that every AMI gets, and its snapshots with it.
const (
	// TagPrefix begins the plugin's own tags; users can not set these.
	TagPrefix = "ec2-sysprep:"
	// TagProof holds the kind of proof, or "none".
	TagProof = TagPrefix + "proof"
	// TagBuild holds the build's token, by which an AMI is recognised as made
	// from this seal of the instance.
	TagBuild = TagPrefix + "build"
)

const (
	// searches is how often EC2 is asked for an image whose answer was lost
	// before it is taken for not made.
	searches = 4
	// attempts is how often the image is asked for when answers are lost.
	attempts = 3
	// busy is how long EC2 may throttle, or say that the stopped instance is not
	// in a state for an image.
	busy = 10 * time.Minute
)

// Create has EC2 make the image, and returns its id. It asks once. When the
// journal knows the image it asks nobody. When an answer was lost, it looks
// for an image of the name, made of this instance and with this build's tag,
// before anything is repeated; the name is unique in EC2, so even then there
// can be no second one.
func (m *Maker) Create(ctx context.Context) (string, error) {
	if id, err := m.lookBack(ctx); id != "" || err != nil {
		return id, err
	}
	m.say("Creating AMI %q from instance %s...", m.Request.Name, m.InstanceID)
	if err := m.Journal.asking(time.Now(), m.Request.Name); err != nil {
		return "", err
	}
	input := m.createInput()
	var lost error
	for deadline, attempt := time.Now().Add(busy), 0; ; {
		answer, err := m.EC2.CreateImage(ctx, input, once)
		switch {
		case err == nil:
			return m.made(awssdk.ToString(answer.ImageId), "")
		case ctx.Err() != nil:
			return "", fmt.Errorf("creating AMI %q of instance %s: %w", m.Request.Name, m.InstanceID, context.Cause(ctx))
		case aws.Code(err) == aws.CodeDuplicateName:
			if found, findErr := m.find(ctx, searches); found != "" || findErr != nil {
				return found, findErr
			}
			return "", m.notMade(m.nameTaken(ctx, err))
		case aws.IsThrottle(err), aws.Code(err) == aws.CodeIncorrectInstanceState:
			if time.Now().After(deadline) {
				return "", m.notMade(m.createFailed(err))
			}
		case aws.IsAnswerLost(err):
			m.say("The answer to CreateImage was lost (%s); looking for the AMI before anything is repeated...", aws.Message(err))
			if found, findErr := m.find(ctx, searches); found != "" || findErr != nil {
				return found, findErr
			}
			lost = err
			if attempt++; attempt == attempts {
				return "", m.answerLost(lost)
			}
		default:
			return "", m.notMade(m.createFailed(err))
		}
		if err := pause(ctx, m.InstancePoll); err != nil {
			return "", fmt.Errorf("creating AMI %q of instance %s: %w", m.Request.Name, m.InstanceID, err)
		}
	}
}

// once keeps the SDK from repeating the request that makes the image.
func once(o *ec2.Options) { o.Retryer = awssdk.NopRetryer{} }

func (m *Maker) createInput() *ec2.CreateImageInput {
	input := &ec2.CreateImageInput{
		InstanceId: awssdk.String(m.InstanceID),
		Name:       awssdk.String(m.Request.Name),
		// A sealed guest must never be booted again before its image is made,
		// not even when somebody has started the instance in this moment.
		NoReboot: awssdk.Bool(true),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: tagList(m.allTags(m.Request.Tags))},
			{ResourceType: types.ResourceTypeSnapshot, Tags: tagList(m.allTags(m.Request.SnapshotTags))},
		},
	}
	if m.Request.Description != "" {
		input.Description = awssdk.String(m.Request.Description)
	}
	return input
}

// allTags returns the user's tags and the plugin's own.
func (m *Maker) allTags(tags map[string]string) map[string]string {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	all[TagProof], all[TagBuild] = string(m.Journal.proofKind()), m.Journal.Token
	return all
}

// tagList returns the tags in the order of their keys.
func tagList(tags map[string]string) []types.Tag {
	list := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: awssdk.String(key), Value: awssdk.String(tags[key])})
	}
	return list
}

// Resumes returns the image that an earlier run had EC2 make of this seal of
// the instance, or "" when there is none and the work begins with the stop. It
// is an error when that image is not the one that is asked for now.
func (m *Maker) Resumes() (string, error) {
	j := m.Journal
	if j.AskedAt.IsZero() && j.ImageID == "" {
		return "", nil
	}
	if j.Name != m.Request.Name {
		return "", &Failure{
			Code: CodeJournal,
			Problem: fmt.Sprintf("ami_name: an earlier run already asked for AMI %q (%s) of instance %s, and this one asks for %q; there is one AMI for one sealed instance",
				j.Name, orPending(j.ImageID), m.InstanceID, m.Request.Name),
			Next:  fmt.Sprintf("give ami_name = %q, or remove the journal %s to make another AMI", j.Name, j.Path()),
			Final: true,
		}
	}
	if j.ImageID == "" || j.Failed != "" {
		return "", nil
	}
	switch kind := j.proofKind(); {
	case kind == ProofNone && m.Demand.Proof:
		return "", &Failure{
			Code:    CodeUnproven,
			Problem: fmt.Sprintf("an earlier run made %s of instance %s without a proof that it was sealed", j.ImageID, m.InstanceID),
			Next:    "give require_proof = false to go on with it",
		}
	case kind == handoff.ProofNotGeneralized && m.Demand.Generalized:
		return "", notGeneralized(m.InstanceID)
	}
	m.say("Carrying on with %s, which an earlier run had made of instance %s (journal: %s)", j.ImageID, m.InstanceID, j.Path())
	return j.ImageID, nil
}

// lookBack returns the image that an earlier run asked for and whose answer it
// did not see, or "" when a new one may be made.
func (m *Maker) lookBack(ctx context.Context) (string, error) {
	j := m.Journal
	if j.AskedAt.IsZero() && j.ImageID == "" {
		return "", nil
	}
	if j.ImageID == "" {
		m.say("An earlier run asked for AMI %q at %s and saw no answer; looking for it...", j.Name, j.AskedAt.Format(time.RFC3339))
		return m.find(ctx, searches)
	}
	// The failed image of an earlier run holds the name until the user has
	// removed it.
	image, err := m.image(ctx, j.ImageID)
	switch {
	case isAbsent(err), err == nil && image.State == types.ImageStateDeregistered:
		m.say("The failed %s of an earlier run is gone", j.ImageID)
		return "", nil
	case err != nil:
		return "", askFailed(fmt.Sprintf("looking for %s", j.ImageID), err)
	}
	return j.ImageID, nil
}

// find looks for the image that this build asked for, a number of times
// because EC2 lists a new image only after a while. It returns "" when there
// is none.
func (m *Maker) find(ctx context.Context, times int) (string, error) {
	var patience patience
	for n := 0; ; {
		image, err := aws.ImageByName(ctx, m.EC2, m.Request.Name)
		if ctx.Err() != nil {
			return "", fmt.Errorf("looking for AMI %q: %w", m.Request.Name, context.Cause(ctx))
		}
		if borne := patience.bear(err, time.Now()); borne != nil {
			return "", askFailed(fmt.Sprintf("looking for AMI %q", m.Request.Name), borne)
		}
		if image != nil && m.isOurs(*image) {
			return m.made(awssdk.ToString(image.ImageId), "found by its name and tag")
		}
		if image != nil {
			return "", nil
		}
		if err == nil {
			if n++; n >= times {
				return "", nil
			}
		}
		if err := pause(ctx, m.InstancePoll); err != nil {
			return "", fmt.Errorf("looking for AMI %q: %w", m.Request.Name, err)
		}
	}
}

// isOurs says that the image was made of this instance by this build.
func (m *Maker) isOurs(image types.Image) bool {
	if source := awssdk.ToString(image.SourceInstanceId); source != "" && source != m.InstanceID {
		return false
	}
	token, tagged := tagMap(image.Tags)[TagBuild]
	return tagged && token == m.Journal.Token
}

// tagMap returns tags as a map.
func tagMap(tags []types.Tag) map[string]string {
	all := make(map[string]string, len(tags))
	for _, tag := range tags {
		all[awssdk.ToString(tag.Key)] = awssdk.ToString(tag.Value)
	}
	return all
}

// made writes the image into the journal before anybody hears of it.
func (m *Maker) made(imageID, note string) (string, error) {
	m.say("EC2 is making %s of instance %s", imageID, m.InstanceID)
	if err := m.Journal.made(time.Now(), imageID, note); err != nil {
		return "", fmt.Errorf("%s is being made of instance %s, but can not be remembered: %w", imageID, m.InstanceID, err)
	}
	return imageID, nil
}

// notMade clears the request from the journal and returns the failure.
func (m *Maker) notMade(failure error) error {
	if err := m.Journal.notMade(time.Now(), failure.Error()); err != nil {
		return fmt.Errorf("%w (and %w)", failure, err)
	}
	return failure
}

func (m *Maker) createFailed(err error) error {
	doing := fmt.Sprintf("creating AMI %q of instance %s", m.Request.Name, m.InstanceID)
	if aws.IsDenied(err) || aws.IsInvalidCredentials(err) {
		return askFailed(doing, err)
	}
	return &Failure{
		Code: CodeCreate, Problem: doing, Cause: err,
		Next: fmt.Sprintf("aws ec2 describe-instances --region %s --instance-ids %s", m.Region, m.InstanceID),
	}
}

func (m *Maker) nameTaken(ctx context.Context, cause error) error {
	failure := &Failure{
		Code:    CodeNameTaken,
		Problem: fmt.Sprintf("ami_name: creating AMI %q of instance %s: the name is taken", m.Request.Name, m.InstanceID),
		Cause:   cause,
		Next:    "give another ami_name; {{timestamp}} in it makes a name that nobody has",
	}
	if image, err := aws.ImageByName(ctx, m.EC2, m.Request.Name); err == nil && image != nil {
		failure.Problem += " by " + awssdk.ToString(image.ImageId)
		failure.Next += fmt.Sprintf("; or remove the old one: aws ec2 deregister-image --region %s --image-id %s", m.Region, awssdk.ToString(image.ImageId))
	}
	return failure
}

func (m *Maker) answerLost(err error) error {
	return &Failure{
		Code:    CodeLost,
		Problem: fmt.Sprintf("creating AMI %q of instance %s: EC2's answers were lost and no such AMI is found", m.Request.Name, m.InstanceID),
		Cause:   err,
		Next: fmt.Sprintf("wait some minutes, then carry on: the next run looks for the AMI first (aws ec2 describe-images --region %s --owners self --filters Name=name,Values='%s')",
			m.Region, strings.ReplaceAll(m.Request.Name, "'", `'\''`)),
	}
}
