package ec2_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

func TestCreateImageRebootsARunningInstanceUnlessTold(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		m := newMachine()
		id := add(t, s, ec2.Instance{Machine: m})
		if _, err := c.CreateImage(ctx, &sdk.CreateImageInput{InstanceId: &id, Name: aws.String("gently"), NoReboot: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		m.want(t)
		if _, err := create(ctx, c, id, "roughly"); err != nil {
			t.Fatal(err)
		}
		m.want(t, "off at 0s", "on at 0s")
	})
}

func TestACopyInAnotherRegion(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{State: ec2.StateStopped, Volumes: []ec2.Volume{{Device: "/dev/sda1"}, {Device: "xvdb", Size: 8}}})
		source := must[string](t, "creating")(create(ctx, c, id, "golden"))
		away := client(s, "us-west-2")
		in := &sdk.CopyImageInput{
			SourceImageId: &source, SourceRegion: aws.String("eu-central-1"), Name: aws.String("golden"), ClientToken: aws.String("t"),
			Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/golden"),
		}
		_, err := away.CopyImage(ctx, in)
		wantCode(t, err, "InvalidAMIID.Unavailable", source)
		pass(t, 5*time.Minute)
		out := must[*sdk.CopyImageOutput](t, "copying")(away.CopyImage(ctx, in))
		again := must[*sdk.CopyImageOutput](t, "copying again")(away.CopyImage(ctx, in))
		if *out.ImageId != *again.ImageId {
			t.Errorf("the same client token made %s and %s", *out.ImageId, *again.ImageId)
		}
		in.ClientToken = aws.String("u")
		_, err = away.CopyImage(ctx, in)
		wantCode(t, err, "InvalidAMIName.Duplicate", *out.ImageId)
		pass(t, 7*time.Minute)
		images := s.Images("us-west-2")
		if len(images) != 1 || images[0].State != ec2.ImageAvailable || images[0].SourceImageID != source || len(images[0].Mappings) != 2 {
			t.Fatalf("the images there are %+v", images)
		}
		snaps := s.Snapshots("us-west-2")
		for _, snap := range snaps {
			if !snap.Encrypted || !strings.HasPrefix(snap.KMSKeyID, "arn:aws:kms:us-west-2:123456789012:key/") || snap.State != "completed" ||
				!strings.HasPrefix(snap.Description, "Copied for DestinationAmi "+*out.ImageId+" from SourceAmi "+source) {
				t.Errorf("a copied snapshot is %+v", snap)
			}
		}
		if _, err := away.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{id}}); err == nil {
			t.Error("an instance can be seen from another region")
		}

		_, err = away.DeleteSnapshot(ctx, &sdk.DeleteSnapshotInput{SnapshotId: &snaps[0].ID})
		wantCode(t, err, "InvalidSnapshot.InUse", *out.ImageId)
		gone := must[*sdk.DeregisterImageOutput](t, "deregistering")(away.DeregisterImage(ctx, &sdk.DeregisterImageInput{ImageId: out.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)}))
		if len(gone.DeleteSnapshotResults) != 2 || len(s.Snapshots("us-west-2")) != 0 {
			t.Errorf("deregistering deleted %+v", gone.DeleteSnapshotResults)
		}
	})
}

func TestSharingAndProtection(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{State: ec2.StateStopped})
		im := must[string](t, "creating")(create(ctx, c, id, "golden"))
		share := func() error {
			_, err := c.ModifyImageAttribute(ctx, &sdk.ModifyImageAttributeInput{ImageId: &im, LaunchPermission: &types.LaunchPermissionModifications{
				Add: []types.LaunchPermission{{UserId: aws.String("210987654321")}, {Group: types.PermissionGroupAll}},
			}})
			return err
		}
		wantCode(t, share(), "InvalidAMIID.Unavailable", im)
		pass(t, 5*time.Minute)
		if err := share(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ModifyImageAttribute(ctx, &sdk.ModifyImageAttributeInput{
			ImageId: &im, Attribute: aws.String("launchPermission"), OperationType: types.OperationTypeRemove, UserGroups: []string{"all"},
		}); err != nil {
			t.Fatal(err)
		}
		got := must[*sdk.DescribeImageAttributeOutput](t, "permissions")(c.DescribeImageAttribute(ctx, &sdk.DescribeImageAttributeInput{
			ImageId: &im, Attribute: types.ImageAttributeNameLaunchPermission,
		}))
		if len(got.LaunchPermissions) != 1 || aws.ToString(got.LaunchPermissions[0].UserId) != "210987654321" || s.Images("eu-central-1")[0].Public {
			t.Errorf("the permissions are %+v", got.LaunchPermissions)
		}
		if _, err := c.EnableImageDeregistrationProtection(ctx, &sdk.EnableImageDeregistrationProtectionInput{ImageId: &im}); err != nil {
			t.Fatal(err)
		}
		_, err := c.DeregisterImage(ctx, &sdk.DeregisterImageInput{ImageId: &im})
		wantCode(t, err, "OperationNotPermitted", im)
		at := time.Now().Add(24*time.Hour + 29*time.Second)
		if _, err := c.EnableImageDeprecation(ctx, &sdk.EnableImageDeprecationInput{ImageId: &im, DeprecateAt: &at}); err != nil {
			t.Fatal(err)
		}
		out := must[*sdk.DescribeImagesOutput](t, "images")(c.DescribeImages(ctx, &sdk.DescribeImagesInput{Owners: []string{"self"}}))
		if got, want := aws.ToString(out.Images[0].DeprecationTime), at.UTC().Round(time.Minute).Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("the image is deprecated at %s, want %s", got, want)
		}
	})
}
