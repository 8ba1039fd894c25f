package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
)

// AMI is the finished image.
type AMI struct {
	ID     string
	Region string
	Name   string
	// Snapshots are the ids of its snapshots, sorted.
	Snapshots []string
	// Encrypted says that its root snapshot is encrypted, with KMSKeyID.
	Encrypted bool
	KMSKeyID  string
	// SourceAMI is the image that the instance was started from, or "".
	SourceAMI string
	Tags      map[string]string
}

// Verify checks that the available image is what was asked for: its name, its
// source, its root snapshot, its volumes, its encryption, its tags. Missing
// tags are added; everything else that differs is an error, and the image
// stays. When somebody started the instance before its snapshots began, the
// image is not of the sealed instance, and that is an error, too.
func (m *Maker) Verify(ctx context.Context, image types.Image) (*AMI, error) {
	imageID := awssdk.ToString(image.ImageId)
	m.say("Verifying %s...", imageID)
	copies, err := m.describeSnapshots(ctx, snapshots(image))
	if err != nil {
		return nil, askFailed(fmt.Sprintf("verifying %s: describing its snapshots", imageID), err)
	}
	instance, err := m.source(ctx)
	if err != nil {
		return nil, err
	}
	differences := m.differences(image, copies)
	if instance != nil {
		differences = append(differences, m.sourceDifferences(*instance, image, copies)...)
	}
	if len(differences) > 0 {
		return nil, m.imageDiffers(imageID, differences)
	}
	if err := m.completeTags(ctx, image, copies); err != nil {
		return nil, err
	}
	ami := &AMI{
		ID: imageID, Region: m.Region, Name: awssdk.ToString(image.Name), Snapshots: snapshots(image),
		SourceAMI: awssdk.ToString(image.SourceImageId), Tags: m.allTags(m.Request.Tags),
	}
	if instance != nil {
		ami.SourceAMI = awssdk.ToString(instance.ImageId)
	}
	if root := rootSnapshot(image, copies); root != nil {
		ami.Encrypted, ami.KMSKeyID = awssdk.ToBool(root.Encrypted), awssdk.ToString(root.KmsKeyId)
	}
	return ami, m.Journal.verified(time.Now(), ami.Snapshots)
}

// differences lists what about the image is not what was asked for.
func (m *Maker) differences(image types.Image, copies map[string]types.Snapshot) []string {
	var list []string
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if image.State != types.ImageStateAvailable {
		differ("its state is %s", image.State)
	}
	if name := awssdk.ToString(image.Name); name != m.Request.Name {
		differ("its name is %q, asked for was %q", name, m.Request.Name)
	}
	if source := awssdk.ToString(image.SourceInstanceId); source != "" && source != m.InstanceID {
		differ("it was made of instance %s", source)
	}
	if token := tagMap(image.Tags)[TagBuild]; token != "" && token != m.Journal.Token {
		differ("it is another build's")
	}
	switch root := rootSnapshot(image, copies); {
	case root == nil:
		differ("its root device %s has no snapshot", awssdk.ToString(image.RootDeviceName))
	case root.State != "" && root.State != types.SnapshotStateCompleted:
		differ("its root snapshot %s is %s", awssdk.ToString(root.SnapshotId), root.State)
	}
	for _, device := range image.BlockDeviceMappings {
		name := awssdk.ToString(device.DeviceName)
		if device.Ebs == nil || device.Ebs.Encrypted == nil {
			continue
		}
		if copied, ok := copies[awssdk.ToString(device.Ebs.SnapshotId)]; ok && awssdk.ToBool(copied.Encrypted) != *device.Ebs.Encrypted {
			differ("%s: the image says encrypted %t, its snapshot %t", name, *device.Ebs.Encrypted, awssdk.ToBool(copied.Encrypted))
		}
	}
	return list
}

// sourceDifferences lists what about the image does not fit the instance that
// it was made of.
func (m *Maker) sourceDifferences(instance types.Instance, image types.Image, copies map[string]types.Snapshot) []string {
	var list []string
	differ := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if instance.Architecture != "" && image.Architecture != "" && string(instance.Architecture) != string(image.Architecture) {
		differ("its architecture is %s, the instance's is %s", image.Architecture, instance.Architecture)
	}
	mapped := map[string]bool{}
	for _, device := range image.BlockDeviceMappings {
		mapped[awssdk.ToString(device.DeviceName)] = true
	}
	for _, device := range instance.BlockDeviceMappings {
		if name := awssdk.ToString(device.DeviceName); device.Ebs != nil && !mapped[name] {
			differ("the instance's volume %s is not in it", name)
		}
	}
	// A snapshot holds what its volume held in the moment in which it began
	// (EC2 user guide, "Amazon EBS snapshots"), so a later start does no harm.
	launched := awssdk.ToTime(instance.LaunchTime)
	if m.Journal.LaunchTime.IsZero() || !launched.After(m.Journal.LaunchTime) {
		return list
	}
	for _, id := range slices.Sorted(maps.Keys(copies)) {
		if began := awssdk.ToTime(copies[id].StartTime); began.IsZero() || !launched.After(began) {
			differ("the instance was started at %s, before its snapshot %s began", launched.UTC().Format(time.RFC3339), id)
		}
	}
	return list
}

// rootSnapshot returns the snapshot of the image's root device, or nil.
func rootSnapshot(image types.Image, copies map[string]types.Snapshot) *types.Snapshot {
	for _, device := range image.BlockDeviceMappings {
		if device.Ebs == nil || awssdk.ToString(device.DeviceName) != awssdk.ToString(image.RootDeviceName) {
			continue
		}
		if snapshot, ok := copies[awssdk.ToString(device.Ebs.SnapshotId)]; ok {
			return &snapshot
		}
	}
	return nil
}

// describeSnapshots asks EC2 for the snapshots, and again while it does not
// know them all yet.
func (m *Maker) describeSnapshots(ctx context.Context, ids []string) (map[string]types.Snapshot, error) {
	found := make(map[string]types.Snapshot, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	var patience patience
	for {
		answer, err := m.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: ids})
		if err == nil {
			for _, snapshot := range answer.Snapshots {
				found[awssdk.ToString(snapshot.SnapshotId)] = snapshot
			}
			return found, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := patience.bear(err, time.Now()); err != nil {
			return nil, err
		}
		if err := pause(ctx, m.InstancePoll); err != nil {
			return nil, err
		}
	}
}

// source returns the instance as it is now, or nil when it is gone, which is
// no harm once the snapshots are complete.
func (m *Maker) source(ctx context.Context) (*types.Instance, error) {
	doing := fmt.Sprintf("verifying that instance %s was not started again", m.InstanceID)
	var patience patience
	for {
		instance, err := aws.DescribeInstance(ctx, m.EC2, m.InstanceID)
		switch {
		case err == nil:
			return &instance, nil
		case isAbsent(err):
			return nil, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		if err := patience.bear(err, time.Now()); err != nil {
			return nil, askFailed(doing, err)
		}
		if err := pause(ctx, m.InstancePoll); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// completeTags adds the tags that the image or its snapshots lack.
func (m *Maker) completeTags(ctx context.Context, image types.Image, copies map[string]types.Snapshot) error {
	missing := map[string][]types.Tag{}
	note := func(id string, have []types.Tag, want map[string]string) {
		if lack := lacking(have, want); len(lack) > 0 {
			missing[id] = tagList(lack)
		}
	}
	note(awssdk.ToString(image.ImageId), image.Tags, m.allTags(m.Request.Tags))
	for id, snapshot := range copies {
		note(id, snapshot.Tags, m.allTags(m.Request.SnapshotTags))
	}
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		m.say("Tagging %s...", id)
		if _, err := m.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: missing[id]}); err != nil {
			return askFailed(fmt.Sprintf("tagging %s", id), err)
		}
	}
	return nil
}

// lacking returns the wanted tags that are not there, or have another value.
func lacking(have []types.Tag, want map[string]string) map[string]string {
	there := tagMap(have)
	lack := map[string]string{}
	for key, value := range want {
		if is, ok := there[key]; !ok || is != value {
			lack[key] = value
		}
	}
	return lack
}

func (m *Maker) imageDiffers(imageID string, differences []string) error {
	errs := make([]error, len(differences))
	for i, difference := range differences {
		errs[i] = errors.New(difference)
	}
	return &Failure{
		Code:    CodeImageDiffers,
		Problem: fmt.Sprintf("verifying %s: it is not what was asked for", imageID),
		Cause:   errors.Join(errs...),
		Next:    fmt.Sprintf("do not use it; look at it: aws ec2 describe-images --region %s --image-ids %s", m.Region, imageID),
		Final:   true,
	}
}
