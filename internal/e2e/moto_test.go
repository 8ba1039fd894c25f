package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
)

const unproven = `
packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}
source "null" "windows" {
  communicator = "none"
}
build {
  sources = ["source.null.windows"]
  post-processor "ec2-sysprep-ami" {
    instance_id         = "%s"
    region              = "us-east-1"
    ami_name            = "golden-moto"
    require_proof       = false
    custom_endpoint_ec2 = "%s"
    custom_endpoint_sts = "%s"
    tags = {
      Role = "golden"
    }
    snapshot_tags = {
      Role = "snapshot"
    }
  }
}
`

// moto is somebody else's EC2: what the post-processor takes for granted about
// the API has to hold there, too.
func TestThePostProcessorMakesAnAMIInMoto(t *testing.T) {
	t.Parallel()
	p := thePacker(t)
	server := filepath.Join(os.Getenv("EC2_SYSPREP_PEERS"), "bin", "moto_server")
	if _, err := os.Stat(server); err != nil {
		if server, err = exec.LookPath("moto_server"); err != nil {
			t.Skip("there is no moto_server; make peers installs one")
		}
	}
	endpoint := withoutSnapshotTags(t, startMoto(t, server))
	client := ec2.New(ec2.Options{
		Region: "us-east-1", BaseEndpoint: awssdk.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(lab.AccessKey, lab.SecretKey, ""),
	})
	id := stoppedInstance(t, client)

	b := &bench{t: t, packer: p, folder: t.TempDir()}
	r := b.build(b.write("unproven.pkr.hcl", fmt.Sprintf(unproven, id, endpoint, endpoint)), nil)
	if r.code != 0 {
		t.Fatalf("packer ended with %d:\n%s", r.code, r.output)
	}
	images, err := client.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{{Name: awssdk.String("name"), Values: []string{"golden-moto"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(images.Images) != 1 {
		t.Fatalf("moto has %d images:\n%s", len(images.Images), r.output)
	}
	made := images.Images[0]
	if !strings.Contains(r.output, "us-east-1: "+*made.ImageId) {
		t.Errorf("the output does not name %s:\n%s", *made.ImageId, r.output)
	}
	tags := make(map[string]string)
	for _, tag := range made.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags["Role"] != "golden" || tags["ec2-sysprep:proof"] != "none" {
		t.Errorf("the image has the tags %v", tags)
	}
	for _, text := range []string{"require_proof", "none"} {
		if !strings.Contains(r.output, text) {
			t.Errorf("the output does not say %q aloud:\n%s", text, r.output)
		}
	}
}

// startMoto starts moto_server on a port of its own.
func startMoto(t *testing.T, server string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, server, "-H", "127.0.0.1", "-p", port)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "AWS_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		var ended *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &ended) {
			t.Errorf("moto_server: %s", err)
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
		if (&clock.Clock{}).Wait(waiting, 100*time.Millisecond) != nil {
			t.Fatal("moto_server does not answer within a minute")
		}
	}
}

// withoutSnapshotTags stands before moto, which answers CreateImage with HTTP
// 500 when it is given tags for the snapshots (moto 5.2.1), and takes them out.
// The post-processor has to notice that they are missing, and to add them.
func withoutSnapshotTags(t *testing.T, moto string) string {
	t.Helper()
	target, err := url.Parse(moto)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") == "CreateImage" {
			for key := range form {
				if strings.HasPrefix(key, "TagSpecification.2.") {
					delete(form, key)
				}
			}
			body = []byte(form.Encode())
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// stoppedInstance starts an instance in moto and stops it.
func stoppedInstance(t *testing.T, client *ec2.Client) string {
	t.Helper()
	catalogue, err := client.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"amazon"}})
	if err != nil || len(catalogue.Images) == 0 {
		t.Fatalf("moto has no images to start from: %v", err)
	}
	run, err := client.RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: catalogue.Images[0].ImageId, InstanceType: types.InstanceTypeM5Large, MinCount: awssdk.Int32(1), MaxCount: awssdk.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := *run.Instances[0].InstanceId
	if _, err := client.StopInstances(t.Context(), &ec2.StopInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	return id
}
