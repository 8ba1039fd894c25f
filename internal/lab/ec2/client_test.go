package ec2_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// wire is an HTTP client that hands requests to a handler without a network,
// so that everything can happen inside a synctest bubble.
type wire struct{ handler http.Handler }

func (w wire) Do(r *http.Request) (*http.Response, error) {
	out := &hangable{ResponseRecorder: httptest.NewRecorder()}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w.handler.ServeHTTP(out, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if out.hungUp {
		return nil, io.ErrUnexpectedEOF
	}
	return out.Result(), nil
}

// hangable is a response whose connection the handler can take and close.
type hangable struct {
	*httptest.ResponseRecorder
	hungUp bool
}

func (h *hangable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.hungUp = true
	ours, theirs := net.Pipe()
	return ours, nil, theirs.Close()
}

// client returns an SDK client of a region that does not retry.
func client(s *ec2.Server, region string, change ...func(*sdk.Options)) *sdk.Client {
	return sdk.New(sdk.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://ec2.lab.test"),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIALAB", "secret", ""),
		HTTPClient:   wire{s},
		Retryer:      aws.NopRetryer{},
	}, change...)
}

// patient lets a client retry as the SDK does by default.
func patient(o *sdk.Options) { o.Retryer = retry.NewStandard() }

// bubble runs a test in a synctest bubble with a server of its own.
func bubble(t *testing.T, opts ec2.Options, test func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := ec2.New(opts)
		defer s.Close()
		test(t, t.Context(), s, client(s, "eu-central-1"))
	})
}

func add(t *testing.T, s *ec2.Server, in ec2.Instance) string {
	t.Helper()
	if in.Region == "" {
		in.Region = "eu-central-1"
	}
	id, err := s.AddInstance(in)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func must[T any](t *testing.T, what string) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

// wantCode checks that err is an API error with this code, whose message
// contains text.
func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("error is %v, want API error %s", err, code)
	}
	if api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Errorf("error is %s: %s, want %s with %q", api.ErrorCode(), api.ErrorMessage(), code, text)
	}
}

func TestTheWayOfAnInstanceToAnImage(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{PublicIP: "203.0.113.7", Volumes: []ec2.Volume{{Device: "/dev/sda1", Encrypted: true}}, Tags: map[string]string{"Name": "golden"}})
		s.GuestShutdown(id)
		begin := time.Now()
		stopped := sdk.NewInstanceStoppedWaiter(c, func(o *sdk.InstanceStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second })
		out := must[*sdk.DescribeInstancesOutput](t, "waiting for stopped")(
			stopped.WaitForOutput(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{id}}, time.Hour))
		if took := time.Since(begin); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("stopping took %v, want 10 s", took)
		}
		in := out.Reservations[0].Instances[0]
		if got := aws.ToString(in.StateReason.Code); got != ec2.ReasonGuest {
			t.Errorf("state reason is %s, want %s", got, ec2.ReasonGuest)
		}
		if aws.ToString(in.StateReason.Message) != "Client.InstanceInitiatedShutdown: Instance initiated shutdown" || aws.ToString(in.StateTransitionReason) != "" {
			t.Errorf("reasons are %q and %q", aws.ToString(in.StateReason.Message), aws.ToString(in.StateTransitionReason))
		}
		if in.PublicIpAddress != nil {
			t.Errorf("a stopped instance shows the public address %s", *in.PublicIpAddress)
		}

		made := must[*sdk.CreateImageOutput](t, "creating")(c.CreateImage(ctx, &sdk.CreateImageInput{
			InstanceId: &id, Name: aws.String("golden-1"), Description: aws.String("made by a test"),
			TagSpecifications: []types.TagSpecification{
				{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}},
				{ResourceType: types.ResourceTypeSnapshot, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}},
			},
		}))
		begin = time.Now()
		available := sdk.NewImageAvailableWaiter(c, func(o *sdk.ImageAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second })
		images := must[*sdk.DescribeImagesOutput](t, "waiting for available")(
			available.WaitForOutput(ctx, &sdk.DescribeImagesInput{ImageIds: []string{*made.ImageId}}, time.Hour))
		if took := time.Since(begin); took < 4*time.Minute || took > 4*time.Minute+2*time.Second {
			t.Errorf("the image took %v, want 4 min", took)
		}
		im := images.Images[0]
		if aws.ToString(im.Name) != "golden-1" || aws.ToString(im.SourceInstanceId) != id || string(im.Platform) != "windows" ||
			len(im.Tags) != 1 || aws.ToString(im.Tags[0].Value) != "b" {
			t.Errorf("the image is %+v", im)
		}
		if len(im.BlockDeviceMappings) != 1 || im.BlockDeviceMappings[0].Ebs.SnapshotId == nil {
			t.Fatalf("the image has the devices %+v", im.BlockDeviceMappings)
		}
		snaps := must[*sdk.DescribeSnapshotsOutput](t, "snapshots")(c.DescribeSnapshots(ctx, &sdk.DescribeSnapshotsInput{
			SnapshotIds: []string{*im.BlockDeviceMappings[0].Ebs.SnapshotId},
		}))
		snap := snaps.Snapshots[0]
		if snap.State != types.SnapshotStateCompleted || aws.ToString(snap.Progress) != "100%" || !*snap.Encrypted ||
			!strings.HasPrefix(aws.ToString(snap.KmsKeyId), "arn:aws:kms:eu-central-1:123456789012:key/") || aws.ToString(snap.Tags[0].Key) != "c" {
			t.Errorf("the snapshot is %+v", snap)
		}
	})
}
