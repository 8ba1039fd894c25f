package ec2_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

func pass(t *testing.T, d time.Duration) {
	t.Helper()
	if err := (&clock.Clock{}).Wait(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func stop(ctx context.Context, t *testing.T, c *sdk.Client, id string) *sdk.StopInstancesOutput {
	t.Helper()
	return must[*sdk.StopInstancesOutput](t, "stopping")(c.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{id}}))
}

func start(ctx context.Context, t *testing.T, c *sdk.Client, id string) *sdk.StartInstancesOutput {
	t.Helper()
	return must[*sdk.StartInstancesOutput](t, "starting")(c.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: []string{id}}))
}

func create(ctx context.Context, c *sdk.Client, id, name string) (string, error) {
	out, err := c.CreateImage(ctx, &sdk.CreateImageInput{InstanceId: &id, Name: &name})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ImageId), nil
}

func TestPages(t *testing.T) {
	bubble(t, ec2.Options{PageSize: 2}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		var ids []string
		for range 5 {
			ids = append(ids, add(t, s, ec2.Instance{}))
		}
		var seen []string
		pages := 0
		for p := sdk.NewDescribeInstancesPaginator(c, &sdk.DescribeInstancesInput{}); p.HasMorePages(); pages++ {
			out := must[*sdk.DescribeInstancesOutput](t, "page")(p.NextPage(ctx))
			for _, res := range out.Reservations {
				seen = append(seen, *res.Instances[0].InstanceId)
			}
		}
		if !slices.Equal(seen, ids) || pages != 3 {
			t.Errorf("%d pages showed %v, want 3 with %v", pages, seen, ids)
		}
	})
}

func TestFilters(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		golden := add(t, s, ec2.Instance{Tags: map[string]string{"Name": "golden", "aws:autoscaling:groupName": "web"}})
		other := add(t, s, ec2.Instance{State: ec2.StateStopped, Platform: "linux", Tags: map[string]string{"Name": "other"}})
		for _, test := range []struct {
			name   string
			filter map[string][]string
			want   []string
		}{
			{"a tag's value", map[string][]string{"tag:Name": {"golden"}}, []string{golden}},
			{"either value", map[string][]string{"tag:Name": {"golden", "oth*"}}, []string{golden, other}},
			{"a tag's key", map[string][]string{"tag-key": {"aws:autoscaling:groupName"}}, []string{golden}},
			{"a state", map[string][]string{"instance-state-name": {"stopped"}}, []string{other}},
			{"a platform", map[string][]string{"platform": {"windows"}}, []string{golden}},
			{"two filters", map[string][]string{"platform": {"windows"}, "instance-state-name": {"stopped"}}, nil},
		} {
			in := &sdk.DescribeInstancesInput{}
			for name, values := range test.filter {
				in.Filters = append(in.Filters, types.Filter{Name: &name, Values: values})
			}
			var got []string
			for _, res := range must[*sdk.DescribeInstancesOutput](t, test.name)(c.DescribeInstances(ctx, in)).Reservations {
				got = append(got, *res.Instances[0].InstanceId)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: found %v, want %v", test.name, got, test.want)
			}
		}
	})
}

func TestWhoMayDoWhat(t *testing.T) {
	opts := ec2.Options{
		Deny:      func(action, key string) bool { return action == "CreateImage" && key == "AKIADENIED" },
		Authentic: func(key string) bool { return key != "AKIAUNKNOWN" },
	}
	bubble(t, opts, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{})
		as := func(key string) *sdk.Client {
			return client(s, "eu-central-1", func(o *sdk.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(key, "s", "") })
		}
		try := func(key string) error {
			_, err := as(key).CreateImage(ctx, &sdk.CreateImageInput{InstanceId: &id, Name: aws.String("golden"), DryRun: aws.Bool(true)})
			return err
		}
		wantCode(t, try("AKIALAB"), "DryRunOperation", "would have succeeded")
		wantCode(t, try("AKIADENIED"), "UnauthorizedOperation", "not authorized to perform: ec2:CreateImage")
		wantCode(t, try("AKIAUNKNOWN"), "AuthFailure", "")
		if n := len(s.Images("eu-central-1")); n != 0 {
			t.Errorf("dry runs made %d images", n)
		}

		asSTS := func(key string) *sts.Client {
			return sts.New(sts.Options{
				Region: "eu-central-1", BaseEndpoint: aws.String("http://ec2.lab.test"), HTTPClient: wire{s}, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider(key, "s", ""),
			})
		}
		caller := func(key string) (*sts.GetCallerIdentityOutput, error) {
			return asSTS(key).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		}
		who := must[*sts.GetCallerIdentityOutput](t, "caller")(caller("AKIALAB"))
		if aws.ToString(who.Account) != ec2.DefaultAccountID || aws.ToString(who.Arn) != "arn:aws:iam::123456789012:user/AKIALAB" {
			t.Errorf("the caller is %s of %s", aws.ToString(who.Arn), aws.ToString(who.Account))
		}
		role := must[*sts.AssumeRoleOutput](t, "assuming a role")(asSTS("AKIALAB").AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::210987654321:role/build"), RoleSessionName: aws.String("packer"),
		}))
		who = must[*sts.GetCallerIdentityOutput](t, "caller")(caller(aws.ToString(role.Credentials.AccessKeyId)))
		if aws.ToString(who.Account) != "210987654321" || aws.ToString(who.Arn) != "arn:aws:sts::210987654321:assumed-role/build/packer" {
			t.Errorf("the caller in a role is %s of %s", aws.ToString(who.Arn), aws.ToString(who.Account))
		}
		_, err := caller("AKIAUNKNOWN")
		wantCode(t, err, "InvalidClientTokenId", "")
	})
}

func TestATerminatedInstanceIsForgottenAfterAnHour(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		id := add(t, s, ec2.Instance{Volumes: []ec2.Volume{{Device: "/dev/sda1"}, {Device: "xvdb", KeepOnTermination: true}}})
		if _, err := c.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
		pass(t, time.Minute)
		if in, ok := s.Instance(id); !ok || in.State != ec2.StateTerminated {
			t.Errorf("the instance is %+v", in)
		}
		volumes := must[*sdk.DescribeVolumesOutput](t, "volumes")(c.DescribeVolumes(ctx, &sdk.DescribeVolumesInput{}))
		if len(volumes.Volumes) != 1 || volumes.Volumes[0].State != types.VolumeStateAvailable {
			t.Errorf("the volumes left are %+v", volumes.Volumes)
		}
		pass(t, time.Hour)
		_, err := c.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{id}})
		wantCode(t, err, "InvalidInstanceID.NotFound", id)
	})
}

func TestAFastClockAndManyClients(t *testing.T) {
	s := ec2.New(ec2.Options{Clock: clock.Fast(2000)})
	defer s.Close()
	server := httptest.NewServer(s)
	defer server.Close()
	base, err := s.AddImage(ec2.Image{Region: "eu-central-1", Name: "base"})
	if err != nil {
		t.Fatal(err)
	}
	overTheNetwork := func(o *sdk.Options) { o.BaseEndpoint, o.HTTPClient = &server.URL, server.Client() }
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			ctx, c := t.Context(), client(s, "eu-central-1", overTheNetwork)
			ran, err := c.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: &base, MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
			if err != nil {
				t.Error(err)
				return
			}
			id := *ran.Instances[0].InstanceId
			in := &sdk.DescribeInstancesInput{InstanceIds: []string{id}}
			if err := sdk.NewInstanceRunningWaiter(c, func(o *sdk.InstanceRunningWaiterOptions) {
				o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
			}).Wait(ctx, in, time.Minute); err != nil {
				t.Error(err)
			}
			s.GuestShutdown(id)
			if err := sdk.NewInstanceStoppedWaiter(c, func(o *sdk.InstanceStoppedWaiterOptions) {
				o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
			}).Wait(ctx, in, time.Minute); err != nil {
				t.Error(err)
			}
			im, err := create(ctx, c, id, fmt.Sprintf("golden %d", n))
			if err != nil {
				t.Error(err)
				return
			}
			if err := sdk.NewImageAvailableWaiter(c, func(o *sdk.ImageAvailableWaiterOptions) {
				o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
			}).Wait(ctx, &sdk.DescribeImagesInput{ImageIds: []string{im}}, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestAddInstanceRefuses(t *testing.T) {
	s := ec2.New(ec2.Options{})
	defer s.Close()
	add(t, s, ec2.Instance{ID: "i-0123456789abcdef0"})
	for name, in := range map[string]ec2.Instance{
		"a malformed id":        {ID: "i-xyz"},
		"an id that exists":     {ID: "i-0123456789abcdef0"},
		"a state that will end": {State: ec2.StateStopping},
	} {
		if _, err := s.AddInstance(in); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, im := range map[string]ec2.Image{
		"a malformed id": {ID: "ami", Name: "base"},
		"no name":        {},
	} {
		if _, err := s.AddImage(im); err == nil {
			t.Errorf("an image with %s is accepted", name)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := ec2.New(ec2.Options{})
	defer s.Close()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("PUT is answered with %d", w.Code)
	}
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?Action=DescribeRegions&Version=2016-11-15", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "us-east-1") {
		t.Errorf("GET is answered with %d %s", w.Code, w.Body)
	}
}
