package image

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	lab "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestASealedInstanceBecomesAnAMI(t *testing.T) {
	rehearse(t, lab.Options{Timing: lab.Timing{Image: 10 * time.Minute}}, lab.Instance{}, func(b *bench) {
		time.AfterFunc(95*time.Second, func() { b.ec2.GuestShutdown(b.id) })
		ami := b.must()
		b.oneAMI()
		made := b.ec2.Images(region)[0]
		if ami.ID != made.ID || ami.Region != region || len(ami.Snapshots) != 1 || ami.Name != "windows-2022" {
			b.Errorf("got %+v, made was %+v", ami, made)
		}
		if made.SourceInstanceID != b.id || !made.NoReboot || made.Description != "golden" {
			b.Errorf("the image was made wrongly: %+v", made)
		}
		want := map[string]string{"team": "images", TagProof: "seen", TagBuild: "token-1"}
		if diff := cmp.Diff(want, made.Tags); diff != "" {
			b.Errorf("the image's tags (-want +got):\n%s", diff)
		}
		if b.calls("CreateTags") != 0 {
			b.Errorf("tags were added afterwards")
		}
		golden(b, "made.golden")
	})
}

func TestTheSecondRunMakesNoSecondAMI(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		first := b.must()
		b.again()
		second := b.must()
		if first.ID != second.ID || b.calls("CreateImage") != 1 {
			b.Errorf("the runs gave %s and %s with %d calls of CreateImage", first.ID, second.ID, b.calls("CreateImage"))
		}
		b.oneAMI()

		b.again()
		b.maker.Request.Name = "another-name"
		b.fails(CodeJournal, "ami_name", first.ID, "windows-2022", b.journal)

		b.record.Token = "token-2"
		b.again()
		b.maker.Request.Name = "another-name"
		if third := b.must(); third.ID == first.ID {
			b.Error("a newly sealed instance gave the old AMI")
		}
	})
}

func TestAnImageThatEC2CanNotFinishIsNamedAndStays(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		b.ec2.FailNextImage("Client.InternalError", "Client error on snapshot")
		failure := b.fails(CodeImageFailed, "Client error on snapshot", "deregister-image")
		failed := b.ec2.Images(region)[0].ID
		if failure.Final || !strings.Contains(failure.Error(), failed) {
			b.Errorf("the failure should name %s and be resumable: %v", failed, failure)
		}
		b.again()
		b.fails(CodeImageFailed, failed)
		if n := b.calls("CreateImage"); n != 1 {
			b.Errorf("CreateImage was called %d times while the failed image was there, want once", n)
		}
		b.again()
		if _, err := b.maker.EC2.DeregisterImage(b.ctx, &sdk.DeregisterImageInput{ImageId: &failed}); err != nil {
			b.Fatal(err)
		}
		if ami := b.must(); ami.ID == failed {
			b.Error("the failed image was taken for a good one")
		}
		b.oneAMI()
	})
}

func TestAStuckImageEndsTheWaitAndIsCarriedOnWith(t *testing.T) {
	rehearse(t, lab.Options{Timing: lab.Timing{Image: 3 * time.Hour}}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		b.fails(CodeImageTimeout, "ami_timeout", "2h0m0s", "image-available")
		if n := strings.Count(b.said(), "is pending"); n < 110 || n > 190 {
			b.Errorf("in two hours %d lines were said, want one or a little more a minute", n)
		}
		if !regexp.MustCompile(`is pending, snap-[0-9a-f]+ at [0-9]+%`).MatchString(b.said()) {
			b.Errorf("the snapshot's progress was not said:\n%s", b.said())
		}
		b.again()
		b.must()
		b.oneAMI()
		if n := b.calls("CreateImage"); n != 1 {
			b.Errorf("CreateImage was called %d times", n)
		}
	})
}

func TestTheStopIsWaitedFor(t *testing.T) {
	tests := []struct {
		name     string
		instance lab.Instance
		prepare  func(b *bench)
		code     string
		words    []string
	}{
		{
			name:    "until stop_timeout, though the guest is sealed",
			prepare: func(b *bench) {},
			code:    CodeNeverStopped, words: []string{"still running", "30m0s", "aws ec2 stop-instances --region eu-central-1 --instance-ids i-"},
		},
		{
			name: "until the sealer's limit when nobody saw the verdict",
			prepare: func(b *bench) {
				b.record.Proof, b.record.Stage = nil, handoff.StageSealerConfirmed
			},
			code: CodeOverdue, words: []string{"still running", "console output holds no verdict", "setuperr.log"},
		},
		{
			name: "until the console says that Sysprep refused",
			prepare: func(b *bench) {
				b.record.Proof, b.record.Stage = nil, handoff.StageSealerConfirmed
				b.guest.prints("boot\r\n" + handoff.ConsoleLine("token-1", "failed") + "\r\n")
			},
			code: CodeRefused, words: []string{"Sysprep did not seal"},
		},
		{
			name: `and who has to stop it is said when shutdown = "none"`,
			prepare: func(b *bench) {
				b.record.Shutdown = "none"
			},
			code: CodeNeverStopped, words: []string{`shutdown = "none"`, "stop-instances"},
		},
		{
			name:     "not when the guest's shutdown terminates the instance",
			instance: lab.Instance{ShutdownBehavior: "terminate"},
			prepare:  func(b *bench) { b.ec2.GuestShutdown(b.id) },
			code:     CodeGone, words: []string{"Client.InstanceInitiatedShutdown", "instanceInitiatedShutdownBehavior is terminate", "--instance-initiated-shutdown-behavior stop"},
		},
		{
			name: "not when somebody terminates the instance",
			prepare: func(b *bench) {
				b.ec2.GuestShutdown(b.id)
				b.guestTerminated()
			},
			code: CodeGone, words: []string{"is shutting-down (Client.UserInitiatedShutdown", "start a new instance"},
		},
		{
			name:    "not when EC2 does not know the instance",
			prepare: func(b *bench) { b.maker.InstanceID = "i-00000000000000000" },
			code:    CodeGone, words: []string{"InvalidInstanceID.NotFound", "2m0s", "describe-instances --region eu-central-1"},
		},
		{
			name:    "not when it was started after it was sealed",
			prepare: func(b *bench) { b.record.LaunchTime = b.record.LaunchTime.Add(-time.Hour) },
			code:    CodeStarted, words: []string{"sealed no more"},
		},
		{
			name: "not when it was started after the trigger, and the record knows no start",
			prepare: func(b *bench) {
				b.record.LaunchTime, b.record.TriggeredAt = time.Time{}, b.record.LaunchTime.Add(-time.Minute)
			},
			code: CodeStarted, words: []string{"sealed no more"},
		},
		{
			name: "not when the credentials may not look",
			prepare: func(b *bench) {
				b.ec2.FailNext("DescribeInstances", -1, "UnauthorizedOperation", "not authorized to perform: ec2:DescribeInstances")
			},
			code: CodeDenied, words: []string{"ec2:DescribeInstances"},
		},
		{
			name: "not when the credentials have expired",
			prepare: func(b *bench) {
				b.ec2.FailNext("DescribeInstances", -1, "RequestExpired", "Request has expired.")
			},
			code: CodeAccess, words: []string{"expired", "get-caller-identity"},
		},
		{
			name: "not for ever when EC2 only throttles",
			prepare: func(b *bench) {
				b.ec2.Throttle("DescribeInstances", -1)
			},
			code: CodeAccess, words: []string{"RequestLimitExceeded", "10m0s"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, test.instance, func(b *bench) {
				test.prepare(b)
				b.fails(test.code, test.words...)
				if len(b.ec2.Images(region)) != 0 {
					b.Error("an image was made")
				}
			})
		})
	}
}

func TestBadDaysAreBorne(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(b *bench)
	}{
		{"throttling everywhere", func(b *bench) {
			for _, action := range []string{"DescribeInstances", "CreateImage", "DescribeImages", "DescribeSnapshots"} {
				b.ec2.Throttle(action, 7)
			}
		}},
		{"server errors while waiting", func(b *bench) {
			b.ec2.FailNext("DescribeInstances", 7, "InternalError", "")
			b.ec2.FailNext("DescribeImages", 7, "Unavailable", "")
		}},
		{"connections that break while waiting", func(b *bench) {
			b.ec2.Inject(lab.Fault{Action: "DescribeInstances", Times: 7, Drop: true}, lab.Fault{Action: "DescribeImages", Times: 7, Drop: true})
		}},
		{"the answer to CreateImage is lost", func(b *bench) { b.ec2.LoseAnswer("CreateImage") }},
		{"the answer is lost, and the image can not be seen at first", func(b *bench) {
			b.ec2.HideNew(2)
			b.ec2.LoseAnswer("CreateImage")
		}},
		{"the answer is lost, and looking for the image is throttled", func(b *bench) {
			b.ec2.LoseAnswer("CreateImage")
			b.ec2.Throttle("DescribeImages", 5)
		}},
		{"the answer is lost, and the image can not be seen for long", func(b *bench) {
			b.ec2.HideNew(6)
			b.ec2.LoseAnswer("CreateImage")
		}},
		{"the request never reaches EC2", func(b *bench) { b.ec2.Inject(lab.Fault{Action: "CreateImage", Drop: true}) }},
		{"EC2 fails before it makes the image", func(b *bench) { b.ec2.FailNext("CreateImage", 1, "InternalError", "") }},
		{"the image can not be seen at first", func(b *bench) { b.ec2.HideNew(5) }},
		{"the instance is not ready for an image at first", func(b *bench) {
			b.ec2.FailNext("CreateImage", 3, "IncorrectInstanceState", "Instance is not in state 'running' or 'stopped'.")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
				test.prepare(b)
				b.ec2.GuestShutdown(b.id)
				b.must()
				b.oneAMI()
			})
		})
	}
}

func TestALostAnswerIsLookedForByTheNextRun(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		b.ec2.GuestShutdown(b.id)
		ctx, cancel := context.WithCancel(b.ctx)
		ask := b.maker.EC2.CreateImage
		b.maker.EC2.CreateImage = func(_ context.Context, in *sdk.CreateImageInput, _ ...func(*sdk.Options)) (*sdk.CreateImageOutput, error) {
			if _, err := ask(b.ctx, in); err != nil {
				b.Error(err)
			}
			cancel() // as if Packer was ended in this moment
			return nil, context.Canceled
		}
		b.ctx, ctx = ctx, b.ctx
		if _, err := b.run(); !errors.Is(err, context.Canceled) {
			b.Fatalf("got %v, want a cancelled run", err)
		}
		b.ctx = ctx
		b.again()
		b.must()
		b.oneAMI()
		if n := b.calls("CreateImage"); n != 1 {
			b.Errorf("CreateImage was called %d times", n)
		}
	})
}

func TestCreateEnds(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(b *bench)
		code    string
		words   []string
	}{
		{"when another image has the name", func(b *bench) {
			if _, err := b.ec2.AddImage(lab.Image{Region: region, Name: "windows-2022", OwnerID: lab.DefaultAccountID}); err != nil {
				b.Fatal(err)
			}
		}, CodeNameTaken, []string{"ami_name", "InvalidAMIName.Duplicate", "deregister-image"}},
		{"when CreateImage is not allowed", func(b *bench) {
			b.ec2.FailNext("CreateImage", -1, "UnauthorizedOperation", "not authorized to perform: ec2:CreateImage")
		}, CodeDenied, []string{"ec2:CreateImage", "permission"}},
		{"when EC2 does not take the request", func(b *bench) {
			b.ec2.FailNext("CreateImage", -1, "InvalidParameterValue", "it is wrong")
		}, CodeCreate, []string{"it is wrong"}},
		{"when answers are lost again and again", func(b *bench) {
			b.ec2.Inject(lab.Fault{Action: "CreateImage", Times: -1, Drop: true})
		}, CodeLost, []string{"answers were lost", "carry on"}},
		{"when EC2 throttles for long", func(b *bench) { b.ec2.Throttle("CreateImage", -1) }, CodeCreate, []string{"RequestLimitExceeded"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
				test.prepare(b)
				b.ec2.GuestShutdown(b.id)
				failure := b.fails(test.code, test.words...)
				if failure.Final {
					b.Error("the failure can be put right, but is called final")
				}
				// And when the cause is put right, the next run succeeds.
				b.ec2.ClearFaults()
				b.again()
				if test.code == CodeNameTaken {
					b.maker.Request.Name = "free"
				}
				b.must()
			})
		})
	}
}

func TestEveryWaitEndsWithItsContext(t *testing.T) {
	for _, after := range []time.Duration{0, 30 * time.Second, 2 * time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			rehearse(t, lab.Options{Timing: lab.Timing{Image: time.Hour}}, lab.Instance{}, func(b *bench) {
				time.AfterFunc(time.Minute, func() { b.ec2.GuestShutdown(b.id) })
				ctx, cancel := context.WithTimeout(b.ctx, after)
				defer cancel()
				b.ctx = ctx
				began := time.Now()
				if _, err := b.run(); !errors.Is(err, context.DeadlineExceeded) {
					b.Errorf("got %v, want the context's error", err)
				}
				if late := time.Since(began) - after; late > 0 {
					b.Errorf("the run ended %s after its context", late)
				}
			})
		})
	}
}

// guestTerminated ends the instance by the API.
func (b *bench) guestTerminated() {
	b.Helper()
	client := b.sdk()
	if _, err := client.TerminateInstances(b.ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{b.id}}); err != nil {
		b.Fatal(err)
	}
}

var (
	ids      = regexp.MustCompile(`\b(i|ami|snap)-[0-9a-f]+`)
	percents = regexp.MustCompile(`\b[0-9]+%`)
)

// golden compares what was said with a file. Ids and percentages are replaced,
// and lines that repeat themselves, as a wait's do, are there once.
func golden(b *bench, name string) {
	b.Helper()
	lines := strings.Split(percents.ReplaceAllString(ids.ReplaceAllString(b.said(), "$1-X"), "N%"), "\n")
	text := strings.Join(slices.Compact(lines), "\n") + "\n"
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		b.Errorf("what was said (-want +got):\n%s", diff)
	}
}

// stopByAPI stops the instance as a user would.
func (b *bench) stopByAPI() {
	b.Helper()
	if _, err := b.sdk().StopInstances(b.ctx, &sdk.StopInstancesInput{InstanceIds: []string{b.id}}); err != nil {
		b.Fatal(err)
	}
}
