package image

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	lab "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

const region = "eu-central-1"

// bench is a maker before the lab's EC2, inside a synctest bubble: the real SDK
// client, the lab's answers, no network and no waiting.
type bench struct {
	*testing.T
	ctx     context.Context
	ec2     *lab.Server
	guest   *guest
	id      string
	record  *handoff.Record
	maker   *Maker
	lines   []string
	journal string
}

// guest is the machine in the instance, as far as EC2 sees it.
type guest struct {
	mu   sync.Mutex
	text string
}

func (*guest) PowerOn()  {}
func (*guest) PowerOff() {}

func (g *guest) Console() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return []byte(g.text)
}

// prints puts the text onto the console.
func (g *guest) prints(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.text += text
}

// rehearse runs a test in a bubble with a running instance and a record of a
// sealed guest.
func rehearse(t *testing.T, opts lab.Options, instance lab.Instance, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, ctx: t.Context(), ec2: lab.New(opts), guest: &guest{}, journal: filepath.Join(t.TempDir(), "journal.json")}
		defer b.ec2.Close()
		instance.Region, instance.Machine = region, b.guest
		id, err := b.ec2.AddInstance(instance)
		if err != nil {
			t.Fatal(err)
		}
		b.id = id
		described, _ := b.ec2.Instance(id)
		b.record = &handoff.Record{
			Version: handoff.Version, Token: "token-1", Stage: handoff.StageSealed, Action: "sysprep", Shutdown: "sealed",
			InstanceID: id, Region: region, LaunchTime: described.LaunchTime,
			TriggeredAt: time.Now(), SealerDeadline: time.Now().Add(20 * time.Minute),
			Proof: &handoff.Proof{Kind: handoff.ProofSeen, SeenAt: time.Now(), ImageState: sealedState, Tag: true, SysprepEnded: true},
		}
		b.again()
		test(b)
	})
}

// again makes a maker as a new run of the post-processor would.
func (b *bench) again() {
	b.Helper()
	token := ""
	if b.record != nil {
		token = b.record.Token
	}
	journal, err := OpenJournal(b.journal, lab.DefaultAccountID, region, b.id, token)
	if err != nil {
		b.Fatal(err)
	}
	b.maker = &Maker{
		EC2: b.client(), Region: region, InstanceID: b.id,
		Request: Request{
			Name: "windows-2022", Description: "golden",
			Tags: map[string]string{"team": "images"}, SnapshotTags: map[string]string{"keep": "yes"},
		},
		Demand:      Demand{Proof: true, Generalized: true},
		Journal:     journal,
		Say:         func(line string) { b.lines = append(b.lines, line) },
		StopTimeout: DefaultStopTimeout, ImageTimeout: DefaultImageTimeout,
		InstancePoll: DefaultPoll, ImagePoll: ImagePoll,
	}
}

// run is the post-processor's procedure.
func (b *bench) run() (*AMI, error) {
	imageID, err := b.maker.Resumes()
	if err != nil {
		return nil, err
	}
	if imageID == "" {
		stop, err := b.maker.WaitStopped(b.ctx, b.record)
		if err != nil {
			return nil, err
		}
		if err := b.maker.Prove(b.ctx, b.record, stop); err != nil {
			return nil, err
		}
		if imageID, err = b.maker.Create(b.ctx); err != nil {
			return nil, err
		}
	}
	finished, err := b.maker.WaitAvailable(b.ctx, imageID)
	if err != nil {
		return nil, err
	}
	return b.maker.Verify(b.ctx, finished)
}

// must is run, which has to succeed.
func (b *bench) must() *AMI {
	b.Helper()
	ami, err := b.run()
	if err != nil {
		b.Fatalf("no AMI: %v\nsaid:\n%s", err, b.said())
	}
	return ami
}

// fails is run, which has to fail with the code and the words.
func (b *bench) fails(code string, words ...string) *Failure {
	b.Helper()
	ami, err := b.run()
	var failure *Failure
	if !errors.As(err, &failure) {
		b.Fatalf("got %+v and error %v, want a failure %s\nsaid:\n%s", ami, err, code, b.said())
	}
	if failure.Code != code {
		b.Errorf("got failure %v, want code %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			b.Errorf("failure %q does not hold %q", err, word)
		}
	}
	if failure.Next == "" {
		b.Errorf("failure %q does not say what to do next", err)
	}
	return failure
}

func (b *bench) said() string { return strings.Join(b.lines, "\n") }

// calls counts the requests of an action.
func (b *bench) calls(action string) int {
	n := 0
	for _, call := range b.ec2.Calls() {
		if call.Action == action {
			n++
		}
	}
	return n
}

// oneAMI checks that there is exactly one image.
func (b *bench) oneAMI() {
	b.Helper()
	if images := b.ec2.Images(region); len(images) != 1 {
		b.Errorf("there are %d images, want one: %+v", len(images), images)
	}
}

func (b *bench) sdk() *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: awssdk.String("http://ec2.lab.test"),
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "secret", ""),
		HTTPClient:  wire{b.ec2},
		Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 3 }),
	})
}

func (b *bench) client() aws.EC2 {
	client := b.sdk()
	return aws.EC2{
		DescribeInstances: client.DescribeInstances, DescribeInstanceAttribute: client.DescribeInstanceAttribute,
		GetConsoleOutput: client.GetConsoleOutput, CreateImage: client.CreateImage, DescribeImages: client.DescribeImages,
		DescribeSnapshots: client.DescribeSnapshots, CreateTags: client.CreateTags,
		DeregisterImage: client.DeregisterImage, DeleteSnapshot: client.DeleteSnapshot,
	}
}

// wire hands requests to the lab without a network.
type wire struct{ handler http.Handler }

func (w wire) Do(r *http.Request) (*http.Response, error) {
	out := &recorder{ResponseRecorder: httptest.NewRecorder()}
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

// recorder is an answer whose connection the lab can close.
type recorder struct {
	*httptest.ResponseRecorder
	hungUp bool
}

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.hungUp = true
	ours, theirs := net.Pipe()
	return ours, nil, theirs.Close()
}
