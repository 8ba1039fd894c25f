package aws

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// rehearsal is a session over the network with the lab's EC2.
func rehearsal(t *testing.T, opts ec2.Options) (*ec2.Server, *Session) {
	t.Helper()
	quietEnvironment(t)
	lab := ec2.New(opts)
	t.Cleanup(lab.Close)
	server := httptest.NewServer(lab)
	t.Cleanup(server.Close)
	session, err := Connect(t.Context(), AccessConfig{
		AccessKey: "AKIALAB", SecretKey: "secret", Region: "eu-central-1", MaxRetries: 1,
		CustomEndpointEc2: server.URL, CustomEndpointSts: server.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return lab, session
}

func TestCheckCaptureFinds(t *testing.T) {
	deny := func(denied string) func(string, string) bool {
		return func(action, _ string) bool { return action == denied }
	}
	tests := []struct {
		name       string
		options    ec2.Options
		instance   ec2.Instance
		prepare    func(t *testing.T, lab *ec2.Server, id string)
		want       []Obstacle
		value      string
		unanswered string
	}{
		{name: "nothing in the way of a running Windows instance"},
		{
			name: "a name that is taken",
			prepare: func(t *testing.T, lab *ec2.Server, id string) {
				if _, err := lab.AddImage(ec2.Image{Region: "eu-central-1", Name: "golden", OwnerID: ec2.DefaultAccountID}); err != nil {
					t.Fatal(err)
				}
			},
			want: []Obstacle{ObstacleName}, value: "ami-",
		},
		{name: "that CreateImage is denied", options: ec2.Options{Deny: deny("CreateImage")}, want: []Obstacle{ObstacleDenied}, value: "UnauthorizedOperation"},
		{name: "that a shutdown terminates", instance: ec2.Instance{ShutdownBehavior: "terminate"}, want: []Obstacle{ObstacleTerminates}, value: "terminate"},
		{name: "a spot instance", instance: ec2.Instance{Lifecycle: "spot"}, want: []Obstacle{ObstacleSpot}},
		{name: "an Auto Scaling group", instance: ec2.Instance{Tags: map[string]string{"aws:autoscaling:groupName": "web"}}, want: []Obstacle{ObstacleAutoScaling}, value: "web"},
		{name: "an instance store", instance: ec2.Instance{RootDeviceType: "instance-store"}, want: []Obstacle{ObstacleInstanceStore}},
		{name: "another platform", instance: ec2.Instance{Platform: "linux"}, want: []Obstacle{ObstaclePlatform}},
		{
			name:    "several at once, in a fixed order",
			options: ec2.Options{Deny: deny("CreateImage")}, instance: ec2.Instance{ShutdownBehavior: "terminate", Lifecycle: "spot"},
			want: []Obstacle{ObstacleDenied, ObstacleTerminates, ObstacleSpot},
		},
		{name: "no answer about the shutdown, for want of a permission", options: ec2.Options{Deny: deny("DescribeInstanceAttribute")}, unanswered: "what a shutdown does"},
		{name: "no answer about the name, for want of a permission", options: ec2.Options{Deny: deny("DescribeImages")}, unanswered: "golden"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			lab, session := rehearsal(t, test.options)
			test.instance.Region = "eu-central-1"
			id, err := lab.AddInstance(test.instance)
			if err != nil {
				t.Fatal(err)
			}
			if test.prepare != nil {
				test.prepare(t, lab, id)
			}
			capture, err := CheckCapture(t.Context(), session, id, "golden")
			if err != nil {
				t.Fatal(err)
			}
			var got []Obstacle
			for _, finding := range capture.Findings {
				got = append(got, finding.Obstacle)
				if !strings.Contains(finding.Value, test.value) {
					t.Errorf("the finding %s shows %q, want %q in it", finding.Obstacle, finding.Value, test.value)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if test.unanswered == "" && len(capture.Unanswered) > 0 || test.unanswered != "" && (len(capture.Unanswered) != 1 || !strings.Contains(capture.Unanswered[0].Error(), test.unanswered)) {
				t.Errorf("unanswered: %v, want %q", capture.Unanswered, test.unanswered)
			}
			if capture.State != "running" || capture.LaunchTime.IsZero() || capture.AccountID != ec2.DefaultAccountID || capture.Region != "eu-central-1" {
				t.Errorf("got %+v", capture)
			}
			if n := len(lab.Images("eu-central-1")); n > 0 && test.prepare == nil {
				t.Errorf("the check made %d images", n)
			}
		})
	}
}

func TestCheckCaptureOfAnUnknownInstanceIsAnError(t *testing.T) {
	_, session := rehearsal(t, ec2.Options{})
	if _, err := CheckCapture(t.Context(), session, "i-00000000000000000", "golden"); !IsNotFound(err) {
		t.Errorf("got %v, want InvalidInstanceID.NotFound", err)
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	lab, session := rehearsal(t, ec2.Options{})
	tests := []struct {
		name                                                 string
		fault                                                ec2.Fault
		code                                                 string
		notFound, denied, credentials, throttle, lost, later bool
	}{
		{name: "throttling", fault: ec2.Fault{Code: "RequestLimitExceeded"}, code: "RequestLimitExceeded", throttle: true, later: true},
		{name: "a failure of AWS", fault: ec2.Fault{Code: "InternalError"}, code: "InternalError", lost: true, later: true},
		{name: "a broken connection", fault: ec2.Fault{Drop: true}, lost: true, later: true},
		{name: "a denial", fault: ec2.Fault{Code: "UnauthorizedOperation"}, code: "UnauthorizedOperation", denied: true},
		{name: "expired credentials", fault: ec2.Fault{Code: "RequestExpired"}, code: "RequestExpired", credentials: true},
		{name: "a thing that is not there", fault: ec2.Fault{Code: "InvalidAMIID.NotFound"}, code: "InvalidAMIID.NotFound", notFound: true},
		{name: "a wrong request", fault: ec2.Fault{Code: "InvalidParameterValue"}, code: "InvalidParameterValue"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.fault.Action, test.fault.Times = "DescribeImages", -1
			lab.ClearFaults()
			lab.Inject(test.fault)
			_, err := ImageByName(t.Context(), session.EC2, "golden")
			if err == nil {
				t.Fatal("no error")
			}
			if Code(err) != test.code {
				t.Errorf("the code is %q, want %q", Code(err), test.code)
			}
			for _, class := range []struct {
				name      string
				got, want bool
			}{
				{"IsNotFound", IsNotFound(err), test.notFound},
				{"IsDenied", IsDenied(err), test.denied},
				{"IsInvalidCredentials", IsInvalidCredentials(err), test.credentials},
				{"IsThrottle", IsThrottle(err), test.throttle},
				{"IsAnswerLost", IsAnswerLost(err), test.lost},
				{"IsTransient", IsTransient(err), test.later},
			} {
				if class.got != class.want {
					t.Errorf("%s is %t, want %t: %v", class.name, class.got, class.want, err)
				}
			}
		})
	}
}
