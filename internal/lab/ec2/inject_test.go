package ec2_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

func TestFaults(t *testing.T) {
	images := func(ctx context.Context, c *sdk.Client) error {
		_, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{})
		return err
	}
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{})

		s.Throttle("DescribeImages", 2)
		wantCode(t, images(ctx, c), "RequestLimitExceeded", "")
		if err := images(ctx, client(s, "eu-central-1", patient)); err != nil {
			t.Errorf("a patient client is told %v", err)
		}
		if n := s.Count("DescribeImages"); n != 3 {
			t.Errorf("there were %d calls, want 3", n)
		}

		s.FailNext("DescribeImages", 1, "InternalError", "")
		wantCode(t, images(ctx, c), "InternalError", "")
		s.Inject(ec2.Fault{Action: "DescribeImages", Skip: 1, Code: "Unavailable"})
		if err := images(ctx, c); err != nil {
			t.Errorf("the call before the fault is told %v", err)
		}
		wantCode(t, images(ctx, c), "Unavailable", "")

		s.LoseAnswer("CreateImage")
		if _, err := create(ctx, c, id, "lost"); err == nil || errors.As(err, new(smithy.APIError)) {
			t.Errorf("a lost answer ends with %v, want a broken connection", err)
		}
		if all := s.Images("eu-central-1"); len(all) != 1 || all[0].Name != "lost" {
			t.Errorf("the images after a lost answer are %+v", all)
		}
		_, err := create(ctx, c, id, "lost")
		wantCode(t, err, "InvalidAMIName.Duplicate", "is already in use by AMI "+s.Images("eu-central-1")[0].ID)

		s.Inject(ec2.Fault{Action: "CreateImage", Drop: true})
		if _, err := create(ctx, c, id, "dropped"); err == nil {
			t.Error("a dropped request has an answer")
		}
		if n := len(s.Images("eu-central-1")); n != 1 {
			t.Errorf("there are %d images after a dropped request, want 1", n)
		}

		s.Delay("DescribeImages", 1, time.Minute)
		begin := time.Now()
		if err := images(ctx, c); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("a delayed call took %v and ended with %v", time.Since(begin), err)
		}

		s.HideNew(2)
		hidden := must[string](t, "creating")(create(ctx, c, id, "hidden"))
		for range 2 {
			_, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: []string{hidden}})
			wantCode(t, err, "InvalidAMIID.NotFound", hidden)
		}
		if _, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: []string{hidden}}); err != nil {
			t.Errorf("the third look at the image ends with %v", err)
		}

		s.Inject(ec2.Fault{Times: -1, Code: "Unavailable"})
		s.ClearFaults()
		if err := images(ctx, c); err != nil {
			t.Errorf("after all faults were cleared: %v", err)
		}
	})
}

func TestALostAnswerOverARealConnection(t *testing.T) {
	s := ec2.New(ec2.Options{})
	defer s.Close()
	server := httptest.NewServer(s)
	defer server.Close()
	c := client(s, "eu-central-1", func(o *sdk.Options) {
		o.BaseEndpoint, o.HTTPClient = &server.URL, server.Client()
	})
	id := add(t, s, ec2.Instance{})
	s.LoseAnswer("CreateImage")
	if name, err := create(t.Context(), c, id, "lost"); err == nil || errors.As(err, new(smithy.APIError)) {
		t.Errorf("the client has %q and %v, want a broken connection", name, err)
	}
	calls := s.Calls()
	if len(calls) != 1 || calls[0].Status != 0 || calls[0].Region != "eu-central-1" || calls[0].AccessKey != "AKIALAB" || calls[0].Params.Get("Name") != "lost" {
		t.Errorf("the calls are %+v", calls)
	}
}

func TestAFailedImageSaysWhy(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{})
		s.FailNextImage("Client.InternalError", "Client.InternalError: the snapshot broke")
		made := must[string](t, "creating")(create(ctx, c, id, "golden"))
		var progress []string
		for range 5 {
			out := must[*sdk.DescribeSnapshotsOutput](t, "snapshots")(c.DescribeSnapshots(ctx, &sdk.DescribeSnapshotsInput{OwnerIds: []string{"self"}}))
			for _, snap := range out.Snapshots {
				progress = append(progress, string(snap.State)+" "+aws.ToString(snap.Progress))
			}
			pass(t, time.Minute)
		}
		if want := []string{"pending 26%", "pending 54%", "pending 82%", "error 99%"}; !slices.Equal(progress, want) {
			t.Errorf("the snapshot went through %q, want %q", progress, want)
		}
		out := must[*sdk.DescribeImagesOutput](t, "images")(c.DescribeImages(ctx, &sdk.DescribeImagesInput{ImageIds: []string{made}}))
		im := out.Images[0]
		if im.State != types.ImageStateFailed || aws.ToString(im.StateReason.Message) != "Client.InternalError: the snapshot broke" {
			t.Errorf("the image is %s, %+v", im.State, im.StateReason)
		}
		_, err := create(ctx, c, id, "golden")
		wantCode(t, err, "InvalidAMIName.Duplicate", made)
	})
}
