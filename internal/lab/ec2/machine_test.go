package ec2_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// machine records what happens to it and when.
type machine struct {
	mu      sync.Mutex
	begin   time.Time
	log     []string
	console strings.Builder
	onOff   func()
}

func newMachine() *machine { return &machine{begin: time.Now()} }

func (m *machine) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, fmt.Sprintf("%s at %v", what, time.Since(m.begin).Round(time.Second)))
}

func (m *machine) PowerOn() { m.note("on") }

func (m *machine) PowerOff() {
	m.note("off")
	if m.onOff != nil {
		m.onOff()
	}
}

func (m *machine) Console() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []byte(m.console.String())
}

func (m *machine) print(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.console.WriteString(text)
}

func (m *machine) want(t *testing.T, events ...string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.log, events) {
		t.Errorf("the machine saw %q, want %q", m.log, events)
	}
}

func TestAMachineFollowsItsInstance(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		m := newMachine()
		id := add(t, s, ec2.Instance{Machine: m})
		stop(ctx, t, c, id)
		pass(t, time.Minute)
		launched := time.Now().UTC().Truncate(time.Second)
		start(ctx, t, c, id)
		m.want(t, "off at 0s")
		pass(t, time.Minute)
		m.want(t, "off at 0s", "on at 1m15s")
		if _, err := c.RebootInstances(ctx, &sdk.RebootInstancesInput{InstanceIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
		m.want(t, "off at 0s", "on at 1m15s", "off at 2m0s", "on at 2m0s")
		in, _ := s.Instance(id)
		if !in.LaunchTime.Equal(launched) {
			t.Errorf("the launch time is %v, want that of the start, %v, and not that of the reboot", in.LaunchTime, launched)
		}
		s.GuestShutdown(id)
		pass(t, time.Minute)
		start(ctx, t, c, id)
		pass(t, 10*time.Second)
		stop(ctx, t, c, id) // before the machine was ever switched on
		pass(t, time.Minute)
		m.want(t, "off at 0s", "on at 1m15s", "off at 2m0s", "on at 2m0s")
	})
}

func TestAMachineMayCallBack(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		m := newMachine()
		id := add(t, s, ec2.Instance{Machine: m})
		m.onOff = func() { s.GuestShutdown(id) }
		stop(ctx, t, c, id)
		pass(t, time.Minute)
		in, _ := s.Instance(id)
		if in.State != ec2.StateStopped || in.StateReasonCode != ec2.ReasonUser {
			t.Errorf("the instance is %s because of %s, want stopped because of %s", in.State, in.StateReasonCode, ec2.ReasonUser)
		}
		if want := "User initiated (2000-01-01 00:00:00 GMT)"; in.TransitionReason != want {
			t.Errorf("the transition reason is %q, want %q", in.TransitionReason, want)
		}
	})
}

func TestLaunchGivesMachines(t *testing.T) {
	m := (*machine)(nil)
	opts := ec2.Options{Launch: func(in ec2.Instance) ec2.Machine {
		if in.Platform != "windows" || in.Tags["Name"] != "golden" || len(in.Volumes) != 1 {
			return nil
		}
		return m
	}}
	bubble(t, opts, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		m = newMachine()
		base, err := s.AddImage(ec2.Image{Region: "eu-central-1", Name: "base"})
		if err != nil {
			t.Fatal(err)
		}
		in := &sdk.RunInstancesInput{
			ImageId: &base, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ClientToken: aws.String("once"),
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("golden")}}}},
		}
		first := must[*sdk.RunInstancesOutput](t, "running")(c.RunInstances(ctx, in))
		second := must[*sdk.RunInstancesOutput](t, "running again")(c.RunInstances(ctx, in))
		if a, b := aws.ToString(first.Instances[0].InstanceId), aws.ToString(second.Instances[0].InstanceId); a != b {
			t.Errorf("the same client token made %s and %s", a, b)
		}
		in.MaxCount = aws.Int32(2)
		_, err = c.RunInstances(ctx, in)
		wantCode(t, err, "IdempotentParameterMismatch", "once")
		pass(t, time.Minute)
		m.want(t, "on at 15s")
	})
}

func TestConsoleOutputLagsUnlessTheLatestIsAsked(t *testing.T) {
	bubble(t, ec2.Options{}, func(t *testing.T, ctx context.Context, s *ec2.Server, c *sdk.Client) {
		m := newMachine()
		id := add(t, s, ec2.Instance{Machine: m})
		read := func(latest bool) string {
			out := must[*sdk.GetConsoleOutputOutput](t, "console")(c.GetConsoleOutput(ctx, &sdk.GetConsoleOutputInput{InstanceId: &id, Latest: &latest}))
			return aws.ToString(out.Output)
		}
		if got := read(true); got != "" {
			t.Errorf("the console of a silent machine is %q", got)
		}
		m.print("sealed")
		if got := read(true); got != "c2VhbGVk" {
			t.Errorf("the latest console is %q", got)
		}
		if got := read(false); got != "" {
			t.Errorf("the console is %q, want nothing yet", got)
		}
		pass(t, 3*time.Minute)
		if got := read(false); got != "c2VhbGVk" {
			t.Errorf("the console after the lag is %q", got)
		}
		m.print(strings.Repeat("x", 70<<10))
		if got := len(read(true)); got != (64<<10+2)/3*4 {
			t.Errorf("a long console is answered in %d characters of base64, want 64 KiB", got)
		}
	})
}
