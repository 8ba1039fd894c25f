package image

import (
	"context"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	lab "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

func TestTagsThatEC2DidNotSetAreAdded(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		ask := b.maker.EC2.CreateImage
		b.maker.EC2.CreateImage = func(ctx context.Context, in *sdk.CreateImageInput, o ...func(*sdk.Options)) (*sdk.CreateImageOutput, error) {
			bare := *in
			bare.TagSpecifications = nil
			return ask(ctx, &bare, o...)
		}
		b.ec2.GuestShutdown(b.id)
		ami := b.must()
		want := map[string]string{"team": "images", TagProof: "seen", TagBuild: "token-1"}
		if diff := cmp.Diff(want, b.ec2.Images(region)[0].Tags); diff != "" {
			b.Errorf("the image's tags (-want +got):\n%s", diff)
		}
		answer, err := b.maker.EC2.DescribeSnapshots(b.ctx, &sdk.DescribeSnapshotsInput{SnapshotIds: ami.Snapshots})
		if err != nil {
			b.Fatal(err)
		}
		want = map[string]string{"keep": "yes", TagProof: "seen", TagBuild: "token-1"}
		if diff := cmp.Diff(want, tagMap(answer.Snapshots[0].Tags)); diff != "" {
			b.Errorf("the snapshot's tags (-want +got):\n%s", diff)
		}
	})
}

func TestAnImageThatIsNotWhatWasAskedForIsNoSuccess(t *testing.T) {
	tests := []struct {
		name  string
		image func(image *types.Image)
		snap  func(snapshot *types.Snapshot)
		inst  func(instance *types.Instance)
		want  string
	}{
		{"another name", func(i *types.Image) { i.Name = awssdk.String("other") }, nil, nil, `name is "other"`},
		{"another source", func(i *types.Image) { i.SourceInstanceId = awssdk.String("i-other") }, nil, nil, "made of instance i-other"},
		{"another build", func(i *types.Image) {
			i.Tags = []types.Tag{{Key: awssdk.String(TagBuild), Value: awssdk.String("token-0")}}
		}, nil, nil, "another build's"},
		{"another architecture", func(i *types.Image) { i.Architecture = types.ArchitectureValuesArm64 }, nil, nil, "architecture is arm64"},
		{"no root snapshot", func(i *types.Image) { i.RootDeviceName = awssdk.String("/dev/sdz") }, nil, nil, "/dev/sdz has no snapshot"},
		{"a root snapshot that is not done", nil, func(s *types.Snapshot) { s.State = types.SnapshotStateError }, nil, "is error"},
		{"another encryption", func(i *types.Image) { i.BlockDeviceMappings[0].Ebs.Encrypted = awssdk.Bool(true) }, func(s *types.Snapshot) { s.Encrypted = awssdk.Bool(false) }, nil, "encrypted"},
		{"a volume that is missing", nil, nil, func(i *types.Instance) {
			i.BlockDeviceMappings = append(i.BlockDeviceMappings, types.InstanceBlockDeviceMapping{DeviceName: awssdk.String("xvdd"), Ebs: &types.EbsInstanceBlockDevice{}})
		}, "volume xvdd is not in it"},
		{"an instance that was started too early", nil, nil, func(i *types.Instance) {
			i.LaunchTime = awssdk.Time(i.LaunchTime.Add(11 * time.Second))
		}, "before its snapshot"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
				b.ec2.GuestShutdown(b.id)
				stop, err := b.maker.WaitStopped(b.ctx, b.record)
				if err == nil {
					err = b.maker.Prove(b.ctx, b.record, stop)
				}
				if err != nil {
					b.Fatal(err)
				}
				imageID, err := b.maker.Create(b.ctx)
				if err != nil {
					b.Fatal(err)
				}
				finished, err := b.maker.WaitAvailable(b.ctx, imageID)
				if err != nil {
					b.Fatal(err)
				}
				if test.image != nil {
					test.image(&finished)
				}
				b.distort(test.snap, test.inst)
				_, err = b.maker.Verify(b.ctx, finished)
				if codeOf(err) != CodeImageDiffers || !strings.Contains(err.Error(), test.want) {
					b.Errorf("got %v, want %s with %q", err, CodeImageDiffers, test.want)
				}
				b.oneAMI() // it stays
			})
		})
	}
}

func TestALaterStartDoesNoHarm(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		b.distort(nil, func(i *types.Instance) {
			if len(b.ec2.Images(region)) > 0 && i.LaunchTime != nil {
				i.LaunchTime = awssdk.Time(time.Now().Add(time.Hour))
			}
		})
		b.must()
	})
}

func TestAnInstanceThatIsGoneDoesNoHarm(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		b.must()
		b.maker.Journal.DoneAt = time.Time{}
		b.again()
		b.maker.EC2.DescribeInstances = func(context.Context, *sdk.DescribeInstancesInput, ...func(*sdk.Options)) (*sdk.DescribeInstancesOutput, error) {
			return &sdk.DescribeInstancesOutput{}, nil
		}
		b.must()
	})
}

func TestAnImageThatSomebodyRemovedIsNotMadeAgain(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		ami := b.must()
		if _, err := b.maker.EC2.DeregisterImage(b.ctx, &sdk.DeregisterImageInput{ImageId: &ami.ID}); err != nil {
			b.Fatal(err)
		}
		b.again()
		b.fails(CodeImageGone, ami.ID, b.journal)
		if n := b.calls("CreateImage"); n != 1 {
			b.Errorf("CreateImage was called %d times", n)
		}
	})
}

// distort changes what EC2 says about snapshots and instances.
func (b *bench) distort(snap func(*types.Snapshot), inst func(*types.Instance)) {
	snapshots, instances := b.maker.EC2.DescribeSnapshots, b.maker.EC2.DescribeInstances
	b.maker.EC2.DescribeSnapshots = func(ctx context.Context, in *sdk.DescribeSnapshotsInput, o ...func(*sdk.Options)) (*sdk.DescribeSnapshotsOutput, error) {
		out, err := snapshots(ctx, in, o...)
		if err == nil && snap != nil {
			for i := range out.Snapshots {
				snap(&out.Snapshots[i])
			}
		}
		return out, err
	}
	b.maker.EC2.DescribeInstances = func(ctx context.Context, in *sdk.DescribeInstancesInput, o ...func(*sdk.Options)) (*sdk.DescribeInstancesOutput, error) {
		out, err := instances(ctx, in, o...)
		if err == nil && inst != nil {
			for r := range out.Reservations {
				for i := range out.Reservations[r].Instances {
					inst(&out.Reservations[r].Instances[i])
				}
			}
		}
		return out, err
	}
}
