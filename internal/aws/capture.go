package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Obstacle is the name of something that keeps an instance from becoming an AMI.
type Obstacle string

// The obstacles. Each can be told before anything on the guest is changed.
const (
	// ObstacleName: an AMI of this account has the name in this region already.
	// AMI names are unique in an account and region.
	ObstacleName Obstacle = "name-taken"
	// ObstacleDenied: the credentials may not call CreateImage.
	ObstacleDenied Obstacle = "create-image-denied"
	// ObstacleTerminates: the guest's shutdown would terminate the instance and
	// delete its volumes (instanceInitiatedShutdownBehavior is "terminate").
	ObstacleTerminates Obstacle = "shutdown-terminates"
	// ObstacleSpot: the instance is a spot instance; EC2 may take it away, and a
	// one-time spot instance can not be stopped.
	ObstacleSpot Obstacle = "spot"
	// ObstacleAutoScaling: the instance belongs to an Auto Scaling group, which
	// replaces and terminates it as soon as it stops.
	ObstacleAutoScaling Obstacle = "auto-scaling"
	// ObstacleInstanceStore: the root volume is an instance store, which is lost
	// when the instance stops.
	ObstacleInstanceStore Obstacle = "instance-store"
	// ObstacleState: the instance is neither running nor on its way to stopped.
	ObstacleState Obstacle = "state"
	// ObstaclePlatform: EC2 does not take the instance for Windows.
	ObstaclePlatform Obstacle = "platform"
)

// Finding is one obstacle, with the value that shows it: the AMI id, the
// group's name, the state, AWS's own words.
type Finding struct {
	Obstacle Obstacle
	Value    string
}

// Capture is what EC2 says about an instance that is to become an AMI.
type Capture struct {
	InstanceID string
	AccountID  string
	Region     string
	// State is the instance's state, like "running".
	State string
	// LaunchTime is when the instance was started for the last time. It moves
	// with every start, so that a later one voids a seal.
	LaunchTime time.Time
	// Hostname is the private DNS name, for messages.
	Hostname string
	// Findings lists what stands in the way, in the order of the obstacles
	// above. Empty: the instance can be captured as far as EC2 tells.
	Findings []Finding
	// Unanswered lists what could not be asked, for want of a permission. The
	// caller decides whether to go on without.
	Unanswered []error
}

// CheckCapture asks EC2 all that can be known beforehand about making an AMI
// called amiName of the instance. It changes nothing: CreateImage is asked as
// a dry run. It is an error when the instance itself can not be described.
func CheckCapture(ctx context.Context, session *Session, instanceID, amiName string) (*Capture, error) {
	instance, owner, err := describe(ctx, session.EC2, instanceID)
	if err != nil {
		return nil, err
	}
	capture := &Capture{
		InstanceID: instanceID,
		AccountID:  owner,
		Region:     session.Region,
		State:      State(instance),
		LaunchTime: awssdk.ToTime(instance.LaunchTime),
		Hostname:   awssdk.ToString(instance.PrivateDnsName),
	}
	unanswered := func(err error) { capture.Unanswered = append(capture.Unanswered, err) }
	found := func(obstacle Obstacle, value string) {
		capture.Findings = append(capture.Findings, Finding{Obstacle: obstacle, Value: value})
	}

	if taken, err := ImageByName(ctx, session.EC2, amiName); err != nil {
		unanswered(err)
	} else if taken != nil {
		found(ObstacleName, awssdk.ToString(taken.ImageId))
	}
	switch err := dryRunCreateImage(ctx, session.EC2, instanceID, amiName); {
	case IsDenied(err):
		found(ObstacleDenied, Message(err))
	case err != nil && Code(err) != CodeDuplicateName:
		unanswered(fmt.Errorf("asking whether CreateImage is allowed: %w", err))
	}
	if behavior, err := shutdownBehavior(ctx, session.EC2, instanceID); err != nil {
		unanswered(err)
	} else if behavior == string(types.ShutdownBehaviorTerminate) {
		found(ObstacleTerminates, behavior)
	}
	capture.Findings = append(capture.Findings, instanceFindings(instance)...)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return capture, nil
}

// instanceFindings is what the description of the instance alone shows.
func instanceFindings(instance types.Instance) []Finding {
	var findings []Finding
	found := func(obstacle Obstacle, value string) {
		findings = append(findings, Finding{Obstacle: obstacle, Value: value})
	}
	if instance.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		found(ObstacleSpot, awssdk.ToString(instance.SpotInstanceRequestId))
	}
	for _, tag := range instance.Tags {
		if awssdk.ToString(tag.Key) == "aws:autoscaling:groupName" {
			found(ObstacleAutoScaling, awssdk.ToString(tag.Value))
		}
	}
	if instance.RootDeviceType == types.DeviceTypeInstanceStore {
		found(ObstacleInstanceStore, string(instance.RootDeviceType))
	}
	switch state := types.InstanceStateName(State(instance)); state {
	case types.InstanceStateNameRunning, types.InstanceStateNameStopping, types.InstanceStateNameStopped:
	default:
		found(ObstacleState, string(state))
	}
	if platform := string(instance.Platform); !strings.EqualFold(platform, "windows") {
		if platform == "" {
			platform = awssdk.ToString(instance.PlatformDetails)
		}
		found(ObstaclePlatform, platform)
	}
	return findings
}

// ErrNoInstance says that EC2 knows no instance of the id in this region.
var ErrNoInstance = errors.New("EC2 knows no such instance in this region")

// DescribeInstance asks EC2 for one instance. The error is ErrNoInstance when
// the answer is empty; IsNotFound tells the other way of not being there.
func DescribeInstance(ctx context.Context, api EC2, instanceID string) (types.Instance, error) {
	instance, _, err := describe(ctx, api, instanceID)
	return instance, err
}

// Owner asks EC2 for the account that the instance, and so its AMI, belongs to.
// Unlike Session.AccountID it does not need STS.
func Owner(ctx context.Context, api EC2, instanceID string) (string, error) {
	_, owner, err := describe(ctx, api, instanceID)
	return owner, err
}

func describe(ctx context.Context, api EC2, instanceID string) (instance types.Instance, owner string, err error) {
	answer, err := api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{instanceID}})
	if err != nil {
		return types.Instance{}, "", fmt.Errorf("describing instance %s: %w", instanceID, err)
	}
	for _, reservation := range answer.Reservations {
		for _, instance := range reservation.Instances {
			if awssdk.ToString(instance.InstanceId) == instanceID {
				return instance, awssdk.ToString(reservation.OwnerId), nil
			}
		}
	}
	return types.Instance{}, "", fmt.Errorf("describing instance %s: %w", instanceID, ErrNoInstance)
}

// ImageByName asks EC2 for this account's AMI of the name. It returns nil when
// there is none. AMIs in every state are found, also failed ones: they hold
// their name until they are deregistered.
func ImageByName(ctx context.Context, api EC2, name string) (*types.Image, error) {
	answer, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:          []string{"self"},
		Filters:         []types.Filter{{Name: awssdk.String("name"), Values: []string{filterValue(name)}}},
		IncludeDisabled: awssdk.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("looking for an AMI called %q: %w", name, err)
	}
	for _, image := range answer.Images {
		if awssdk.ToString(image.Name) == name {
			return &image, nil
		}
	}
	return nil, nil
}

// filterValue makes the text of a filter mean itself: EC2 reads * and ? as
// wildcards, and the backslash takes their meaning away.
func filterValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(text)
}

// State returns the name of the instance's state, or "".
func State(instance types.Instance) string {
	if instance.State == nil {
		return ""
	}
	return string(instance.State.Name)
}

// dryRunCreateImage returns nil when CreateImage would be allowed.
func dryRunCreateImage(ctx context.Context, api EC2, instanceID, name string) error {
	_, err := api.CreateImage(ctx, &ec2.CreateImageInput{
		InstanceId: awssdk.String(instanceID),
		Name:       awssdk.String(name),
		NoReboot:   awssdk.Bool(true),
		DryRun:     awssdk.Bool(true),
	})
	if Code(err) == CodeDryRunOperation {
		return nil
	}
	if err == nil {
		return errors.New("EC2 answered the dry run as if it had made an image")
	}
	return err
}

// shutdownBehavior asks what the guest's own shutdown does to the instance.
func shutdownBehavior(ctx context.Context, api EC2, instanceID string) (string, error) {
	answer, err := api.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: awssdk.String(instanceID),
		Attribute:  types.InstanceAttributeNameInstanceInitiatedShutdownBehavior,
	})
	if err != nil {
		return "", fmt.Errorf("asking what a shutdown does to instance %s: %w", instanceID, err)
	}
	if answer.InstanceInitiatedShutdownBehavior == nil {
		return "", nil
	}
	return awssdk.ToString(answer.InstanceInitiatedShutdownBehavior.Value), nil
}
