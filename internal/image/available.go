package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// WaitAvailable waits until EC2 has finished the image and returns it. At least
// once a minute it says how far the snapshots are. That EC2 does not know the
// image yet, throttles or does not answer is borne for a while. A failed image
// is an error with EC2's reason; it is not removed.
func (m *Maker) WaitAvailable(ctx context.Context, imageID string) (types.Image, error) {
	doing := fmt.Sprintf("waiting for %s to become available", imageID)
	m.say("Waiting for %s to become available (limit %s)...", imageID, m.ImageTimeout)
	var (
		limit    = time.Now().Add(m.ImageTimeout)
		patience patience
		pulse    = pulse{every: m.ImagePoll}
	)
	for {
		image, err := m.image(ctx, imageID)
		now := time.Now()
		if ctx.Err() != nil {
			return types.Image{}, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		if borne := patience.bear(err, now); borne != nil {
			return types.Image{}, m.imageLost(doing, borne)
		}
		switch image.State {
		case types.ImageStateAvailable:
			m.say("%s is available", imageID)
			return image, nil
		case types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid:
			return types.Image{}, m.imageFailed(image)
		case types.ImageStateDeregistered, types.ImageStateDisabled:
			return types.Image{}, m.imageLost(doing, fmt.Errorf("%w: it is %s", errNoImage, image.State))
		}
		if !now.Before(limit) {
			return types.Image{}, &Failure{
				Code:    CodeImageTimeout,
				Problem: fmt.Sprintf("%s: it was still %s at the end of ami_timeout (%s)", doing, orUnborn(image.State), m.ImageTimeout),
				Next:    fmt.Sprintf("carry on when it is done: aws ec2 wait image-available --region %s --image-ids %s", m.Region, imageID),
			}
		}
		if pulse.due(string(image.State), now) {
			m.say("%s is %s%s", imageID, orUnborn(image.State), m.progress(ctx, image))
		}
		if err := pause(ctx, m.ImagePoll); err != nil {
			return types.Image{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// errNoImage says that an image is not, or is no more, among the account's.
var errNoImage = errors.New("EC2 knows no such image in this region")

// image asks EC2 for one image of this account.
func (m *Maker) image(ctx context.Context, imageID string) (types.Image, error) {
	answer, err := m.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{imageID}, IncludeDisabled: awssdk.Bool(true)})
	if err != nil {
		return types.Image{}, fmt.Errorf("describing %s: %w", imageID, err)
	}
	for _, image := range answer.Images {
		if awssdk.ToString(image.ImageId) == imageID {
			return image, nil
		}
	}
	return types.Image{}, fmt.Errorf("describing %s: %w", imageID, errNoImage)
}

// orUnborn is the image's state, or words for an image that EC2 does not list yet.
func orUnborn(state types.ImageState) string {
	if state == "" {
		return "not listed yet"
	}
	return string(state)
}

// snapshots returns the ids of the image's snapshots in the order of the devices.
func snapshots(image types.Image) []string {
	var ids []string
	for _, device := range image.BlockDeviceMappings {
		if device.Ebs != nil && awssdk.ToString(device.Ebs.SnapshotId) != "" {
			ids = append(ids, awssdk.ToString(device.Ebs.SnapshotId))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// progress says how far the image's snapshots are. It is a comfort: when EC2
// does not tell, it says nothing.
func (m *Maker) progress(ctx context.Context, image types.Image) string {
	ids := snapshots(image)
	if len(ids) == 0 {
		return ""
	}
	answer, err := m.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids})
	if err != nil {
		return ""
	}
	var parts []string
	for _, snapshot := range answer.Snapshots {
		progress := awssdk.ToString(snapshot.Progress)
		if progress == "" {
			progress = "0%"
		}
		parts = append(parts, fmt.Sprintf("%s at %s", awssdk.ToString(snapshot.SnapshotId), progress))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// imageFailed is the failure of an image that EC2 could not finish.
func (m *Maker) imageFailed(image types.Image) error {
	imageID, reason := awssdk.ToString(image.ImageId), "EC2 gives no reason"
	if image.StateReason != nil {
		reason = strings.TrimPrefix(awssdk.ToString(image.StateReason.Code)+": "+awssdk.ToString(image.StateReason.Message), ": ")
	}
	failure := &Failure{
		Code:    CodeImageFailed,
		Problem: fmt.Sprintf("%s of instance %s is %s: %s", imageID, m.InstanceID, image.State, reason),
		Next:    fmt.Sprintf("aws ec2 deregister-image --region %s --image-id %s, then carry on: a new one is made when the failed one is gone", m.Region, imageID),
	}
	if err := m.Journal.failed(time.Now(), reason); err != nil {
		return fmt.Errorf("%w (and %w)", failure, err)
	}
	return failure
}

// imageLost is the failure when EC2 can not be asked for the image.
func (m *Maker) imageLost(doing string, err error) error {
	if isAbsent(err) {
		return &Failure{
			Code: CodeImageGone, Problem: doing, Cause: err,
			Next: fmt.Sprintf("somebody has removed it; remove the journal %s to make another AMI of instance %s", m.Journal.Path(), m.InstanceID),
		}
	}
	return askFailed(doing, err)
}
