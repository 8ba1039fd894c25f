package ec2_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// peersVariable names a folder whose bin holds the programs that the tests
// below compare with; those that are not there are looked for on PATH.
const peersVariable = "EC2_SYSPREP_PEERS"

// peer returns the path of a program that really runs, or skips the test.
func peer(t *testing.T, name string, probe ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("%s starts slowly, and the test run is short", name)
	}
	path, err := exec.LookPath(name)
	if folder := os.Getenv(peersVariable); folder != "" {
		if installed, missing := exec.LookPath(filepath.Join(folder, "bin", name)); missing == nil {
			path, err = installed, nil
		}
	}
	if err != nil {
		t.Skipf("%s is neither on PATH nor in the folder that %s names: %v", name, peersVariable, err)
	}
	probing := exec.CommandContext(t.Context(), path, probe...)
	probing.Env = peerEnv()
	if out, err := probing.CombinedOutput(); err != nil {
		t.Skipf("%s does not run: %v\n%s", path, err, out)
	}
	return path
}

// peerEnv is the environment of the programs: nothing of AWS but what the
// tests set.
func peerEnv(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		upper := strings.ToUpper(v)
		return strings.HasPrefix(upper, "AWS_") || strings.HasPrefix(upper, "MOTO_") || strings.HasPrefix(upper, "HTTP_PROXY=") || strings.HasPrefix(upper, "HTTPS_PROXY=")
	})
	return append(env, append([]string{
		"AWS_ACCESS_KEY_ID=AKIALAB", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
	}, more...)...)
}

const peerImage = "ami-0123456789abcdef0"

// peerStep is one command of the AWS CLI. {name} in its arguments stands for
// what an earlier step has kept under that name.
type peerStep struct {
	name string
	args string
	keep map[string][]string // name to the path of the value to keep
	code string              // the error that is wanted
}

// peerScenario is the way of an instance to a shared image, and some mistakes.
var peerScenario = []peerStep{
	{name: "who", args: "sts get-caller-identity"},
	{
		name: "run", args: "ec2 run-instances --image-id " + peerImage + " --instance-type t3.large --tag-specifications ResourceType=instance,Tags=[{Key=Name,Value=golden}]",
		keep: map[string][]string{"instance": {"Instances", "0", "InstanceId"}},
	},
	{name: "wait for running", args: "ec2 wait instance-running --instance-ids {instance}"},
	{name: "describe the running instance", args: "ec2 describe-instances --instance-ids {instance}"},
	{name: "shutdown behavior", args: "ec2 describe-instance-attribute --instance-id {instance} --attribute instanceInitiatedShutdownBehavior"},
	{name: "stop", args: "ec2 stop-instances --instance-ids {instance}"},
	{name: "wait for stopped", args: "ec2 wait instance-stopped --instance-ids {instance}"},
	{name: "describe the stopped instance", args: "ec2 describe-instances --filters Name=tag:Name,Values=gold* Name=instance-state-name,Values=stopped"},
	{name: "dry run", args: "ec2 create-image --instance-id {instance} --name golden-1 --dry-run", code: "DryRunOperation"},
	{
		name: "create", args: "ec2 create-image --instance-id {instance} --name golden-1 --description made --tag-specifications ResourceType=image,Tags=[{Key=a,Value=b}]",
		keep: map[string][]string{"image": {"ImageId"}},
	},
	{name: "wait for available", args: "ec2 wait image-available --image-ids {image}"},
	{
		name: "describe the image", args: "ec2 describe-images --owners self --filters Name=name,Values=golden-*",
		keep: map[string][]string{"snapshot": {"Images", "0", "BlockDeviceMappings", "0", "Ebs", "SnapshotId"}},
	},
	{name: "describe the snapshot", args: "ec2 describe-snapshots --snapshot-ids {snapshot}"},
	{name: "share", args: "ec2 modify-image-attribute --image-id {image} --launch-permission Add=[{UserId=210987654321}]"},
	{name: "describe permissions", args: "ec2 describe-image-attribute --image-id {image} --attribute launchPermission"},
	{name: "tag", args: "ec2 create-tags --resources {image} {snapshot} --tags Key=c,Value=d"},
	{name: "describe tags", args: "ec2 describe-tags --filters Name=resource-id,Values={image}"},
	{name: "name twice", args: "ec2 create-image --instance-id {instance} --name golden-1", code: "InvalidAMIName.Duplicate"},
	{name: "snapshot in use", args: "ec2 delete-snapshot --snapshot-id {snapshot}", code: "InvalidSnapshot.InUse"},
	{name: "no such instance", args: "ec2 describe-instances --instance-ids i-0123456789abcdef9", code: "InvalidInstanceID.NotFound"},
	{name: "no such image", args: "ec2 describe-images --image-ids ami-0123456789abcdef9", code: "InvalidAMIID.NotFound"},
	{name: "deregister", args: "ec2 deregister-image --image-id {image}"},
	{name: "terminate", args: "ec2 terminate-instances --instance-ids {instance}"},
}

// answerOf is the outcome of a step: what the CLI printed, or the error's
// code.
type answerOf struct {
	value any
	code  string
}

var errorCodeOf = regexp.MustCompile(`An error occurred \(([\w.]+)\)`)

// play runs the scenario against an endpoint.
func play(t *testing.T, cli, endpoint string) map[string]answerOf {
	t.Helper()
	outcome := map[string]answerOf{}
	kept := map[string]string{}
	for _, step := range peerScenario {
		args := step.args
		for name, value := range kept {
			args = strings.ReplaceAll(args, "{"+name+"}", value)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		command := exec.CommandContext(ctx, cli, append(strings.Fields(args), "--endpoint-url", endpoint, "--output", "json")...)
		command.Env = peerEnv()
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		err := command.Run()
		cancel()
		var got answerOf
		switch {
		case err == nil && stdout.Len() > 0:
			if err := json.Unmarshal(stdout.Bytes(), &got.value); err != nil {
				t.Fatalf("%s: %v\n%s", step.name, err, stdout.String())
			}
		case err != nil:
			found := errorCodeOf.FindStringSubmatch(stderr.String())
			if found == nil {
				t.Fatalf("%s: %v\n%s", step.name, err, stderr.String())
			}
			got.code = found[1]
		}
		outcome[step.name] = got
		if got.code != "" {
			continue
		}
		for name, path := range step.keep {
			value, ok := dig(got.value, path).(string)
			if !ok {
				t.Fatalf("%s: there is no %s in %v", step.name, strings.Join(path, "."), got.value)
			}
			kept[name] = value
		}
	}
	return outcome
}

func dig(value any, path []string) any {
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			n := int(step[0] - '0')
			if n >= len(v) {
				return nil
			}
			value = v[n]
		}
	}
	return value
}

// playOurs runs the scenario against the double, whose time runs so fast that
// every state has ended before the CLI has started for the next step.
func playOurs(t *testing.T, cli string) map[string]answerOf {
	t.Helper()
	s := ec2.New(ec2.Options{Clock: clock.Fast(5000)})
	defer s.Close()
	server := httptest.NewServer(s)
	defer server.Close()
	if _, err := s.AddImage(ec2.Image{ID: peerImage, Region: "eu-central-1", Name: "Windows_Server-2022", OwnerID: "801119661308", OwnerAlias: "amazon", Public: true}); err != nil {
		t.Fatal(err)
	}
	return play(t, cli, server.URL)
}

func TestOtherProgramsAgree(t *testing.T) {
	cli := peer(t, "aws", "--version")
	var ours, theirs map[string]answerOf
	t.Run("playing", func(t *testing.T) {
		t.Run("here", func(t *testing.T) {
			t.Parallel()
			ours = playOurs(t, cli)
		})
		t.Run("there", func(t *testing.T) {
			t.Parallel()
			theirs = play(t, cli, startMoto(t, peer(t, "moto_server", "--help")))
		})
	})
	if ours == nil {
		t.FailNow()
	}
	t.Run("the AWS CLI is content", func(t *testing.T) { checkOurs(t, ours) })
	t.Run("moto tells the same story", func(t *testing.T) {
		if theirs == nil {
			t.Skip("moto has not told its story")
		}
		c := &comparison{T: t, met: map[string]bool{}}
		for _, step := range peerScenario {
			a, b := ours[step.name], theirs[step.name]
			if a.code != b.code {
				c.differ(step.name, a.code, b.code)
				continue
			}
			c.compare(step.name, a.value, b.value)
		}
		if c.fields < 150 {
			t.Errorf("only %d fields could be compared", c.fields)
		}
		for end, why := range differences {
			if !c.met[end] {
				t.Errorf("there is no difference in %s any more (%s)", end, why)
			}
		}
	})
}

func checkOurs(t *testing.T, outcome map[string]answerOf) {
	t.Helper()
	for _, step := range peerScenario {
		if got := outcome[step.name]; got.code != step.code {
			t.Errorf("%s ends with %q, want %q", step.name, got.code, step.code)
		}
	}
	for _, test := range []struct {
		step string
		path string
		want any
	}{
		{"who", "Account", ec2.DefaultAccountID},
		{"describe the running instance", "Reservations.0.Instances.0.State.Name", "running"},
		{"describe the running instance", "Reservations.0.Instances.0.Platform", "windows"},
		{"shutdown behavior", "InstanceInitiatedShutdownBehavior.Value", "stop"},
		{"stop", "StoppingInstances.0.CurrentState.Name", "stopping"},
		{"stop", "StoppingInstances.0.PreviousState.Name", "running"},
		{"describe the stopped instance", "Reservations.0.Instances.0.StateReason.Code", ec2.ReasonUser},
		{"describe the image", "Images.0.State", "available"},
		{"describe the image", "Images.0.Tags.0.Key", "a"},
		{"describe the snapshot", "Snapshots.0.Progress", "100%"},
		{"describe permissions", "LaunchPermissions.0.UserId", "210987654321"},
		{"describe tags", "Tags.1.Value", "d"},
		{"terminate", "TerminatingInstances.0.CurrentState.Name", "terminated"},
	} {
		if got := dig(outcome[test.step].value, strings.Split(test.path, ".")); got != test.want {
			t.Errorf("%s: %s is %v, want %v", test.step, test.path, got, test.want)
		}
	}
}

// differences are where moto and the double differ, by the end of the path,
// with the reason.
var differences = map[string]string{
	"who.UserId":                            "moto has an access key there",
	"run.Instances.0.StateReason.Code":      "moto leaves it empty, EC2 says pending",
	"run.Instances.0.StateReason.Message":   "moto leaves it empty, EC2 says pending",
	".PublicDnsName":                        "moto gives every instance a public address",
	".RootDeviceType":                       "moto calls it standard, which is no value of the model",
	".BlockDeviceMappings.0.Ebs.VolumeSize": "the default volumes differ",
	".BlockDeviceMappings.0.Ebs.VolumeType": "the default volumes differ",
	".Ebs.DeleteOnTermination":              "the default volumes differ",
	".Snapshots.0.VolumeSize":               "the default volumes differ",
	"name twice":                            "moto does not check that names are unique",
	".CurrentState.Code":                    "moto lets a stopped instance shut down before it is terminated",
	".CurrentState.Name":                    "moto lets a stopped instance shut down before it is terminated",
}

// varying are the parts of values that differ from run to run: ids, times,
// addresses, and the names made of them.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\b(i|r|ami|vol|snap|eni|sg|subnet|vpc)-[0-9a-f]{8,17}\b`), "$1-ID"},
	{regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( GMT|Z|\+00:00| UTC)`), "TIME"},
	{regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`), "ADDRESS"},
	{regexp.MustCompile(`^(ip|ec2)(-\d+){4}\.`), "$1-ADDRESS."},
	{regexp.MustCompile(`^arn:aws:(iam|sts)::123456789012:.*`), "ARN"},
}

// comparison walks over the fields that both stories have.
type comparison struct {
	*testing.T
	fields int
	met    map[string]bool
}

func (c *comparison) differ(path string, ours, theirs any) {
	c.Helper()
	for end := range differences {
		if strings.HasSuffix(path, end) {
			c.met[end] = true
			return
		}
	}
	c.Errorf("%s: %v here, %v there", path, ours, theirs)
}

func (c *comparison) compare(path string, ours, theirs any) {
	c.Helper()
	switch a := ours.(type) {
	case map[string]any:
		b, ok := theirs.(map[string]any)
		if !ok {
			c.differ(path, ours, theirs)
			return
		}
		for name := range a {
			if _, both := b[name]; both {
				c.compare(path+"."+name, a[name], b[name])
			}
		}
		return
	case []any:
		b, ok := theirs.([]any)
		if !ok || len(a) != len(b) {
			c.differ(path, ours, theirs)
			return
		}
		for n := range a {
			c.compare(fmt.Sprintf("%s.%d", path, n), a[n], b[n])
		}
		return
	case string:
		b, _ := theirs.(string)
		for _, v := range varying {
			a, b = v.pattern.ReplaceAllString(a, v.name), v.pattern.ReplaceAllString(b, v.name)
		}
		ours, theirs = a, b
	}
	c.fields++
	if !reflect.DeepEqual(ours, theirs) {
		c.differ(path, ours, theirs)
	}
}

// startMoto starts moto with the scenario's image and returns its address.
func startMoto(t *testing.T, program string) string {
	t.Helper()
	catalogue := filepath.Join(t.TempDir(), "amis.json")
	text, err := json.Marshal([]map[string]any{{
		"ami_id": peerImage, "name": "Windows_Server-2022", "description": "", "owner_id": "801119661308", "public": true,
		"virtualization_type": "hvm", "architecture": "x86_64", "state": "available", "platform": "windows", "image_type": "machine",
		"hypervisor": "xen", "root_device_name": "/dev/sda1", "root_device_type": "ebs", "sriov": "simple",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(catalogue, text, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, "-H", "127.0.0.1", "-p", port)
	command.Env = peerEnv("MOTO_AMIS_PATH=" + catalogue)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		var ended *exec.ExitError
		if err := command.Wait(); err != nil && !errors.As(err, &ended) {
			t.Errorf("moto_server: %v", err)
		}
	})
	address := "http://127.0.0.1:" + port
	waiting, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		request, err := http.NewRequestWithContext(waiting, http.MethodGet, address+"/moto-api/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			return address
		}
		if err := (&clock.Clock{}).Wait(waiting, 100*time.Millisecond); err != nil {
			t.Fatalf("moto_server does not answer\n%s", output.String())
		}
	}
}
