package image

import (
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	lab "github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// lost makes the record that of a build whose verdict nobody saw.
func lost(b *bench) { b.record.Stage, b.record.Proof = handoff.StageSealerConfirmed, nil }

func TestProofsThatAreAccepted(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(b *bench)
		want    handoff.ProofKind
	}{
		{"seen on the guest", func(b *bench) {}, handoff.ProofSeen},
		{"seen on the guest, and it went down afterwards", func(b *bench) { b.record.Stage = handoff.StageShutdown }, handoff.ProofSeen},
		{"the console's line, found by the provisioner", func(b *bench) {
			b.record.Proof = &handoff.Proof{Kind: handoff.ProofConsole, SeenAt: time.Now()}
		}, handoff.ProofConsole},
		{"the console's line after the verdict was lost", func(b *bench) {
			lost(b)
			b.guest.prints("Windows is Ready\r\n" + handoff.ConsoleLine("token-1", "sealed") + "\r\n")
		}, handoff.ProofConsole},
		{"the console's line even though nobody saw the sealer start", func(b *bench) {
			lost(b)
			b.record.Stage = handoff.StageTriggered
			b.guest.prints(handoff.ConsoleLine("token-1", "sealed"))
		}, handoff.ProofConsole},
		{"the console's line that EC2 posts late", func(b *bench) {
			lost(b)
			b.record.Shutdown = "agent"
			time.AfterFunc(90*time.Second, func() { b.guest.prints(handoff.ConsoleLine("token-1", "sealed") + "\n") })
		}, handoff.ProofConsole},
		{"the shutdown by the confirmed sealer", lost, handoff.ProofByShutdown},
		{"the shutdown by the confirmed sealer, though the console can not be read", func(b *bench) {
			lost(b)
			b.ec2.FailNext("GetConsoleOutput", -1, "UnauthorizedOperation", "not authorized to perform: ec2:GetConsoleOutput")
		}, handoff.ProofByShutdown},
		{"not generalized, as asked", func(b *bench) {
			b.record.Action = "shutdown"
			b.record.Proof = &handoff.Proof{Kind: handoff.ProofNotGeneralized, SeenAt: time.Now()}
			b.maker.Demand.Generalized = false
		}, handoff.ProofNotGeneralized},
		{"not generalized, as asked, by its shutdown", func(b *bench) {
			lost(b)
			b.record.Action = "shutdown"
			b.maker.Demand.Generalized = false
		}, handoff.ProofNotGeneralized},
		{"none, when the user asks for none", func(b *bench) {
			b.record = nil
			b.again()
			b.maker.Demand.Proof = false
		}, ProofNone},
		{"none, when the record holds none and the user asks for none", func(b *bench) {
			lost(b)
			b.record.Shutdown = "agent"
			b.maker.Demand.Proof = false
		}, ProofNone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
				test.prepare(b)
				b.ec2.GuestShutdown(b.id)
				ami := b.must()
				if got := ami.Tags[TagProof]; got != string(test.want) {
					b.Errorf("the tag says %q, want %q", got, test.want)
				}
				if got := b.ec2.Images(region)[0].Tags[TagProof]; got != string(test.want) {
					b.Errorf("the AMI's tag says %q, want %q", got, test.want)
				}
				word := string(test.want)
				if test.want == ProofNone {
					word = "WARNING"
				}
				if !strings.Contains(b.said(), word) {
					b.Errorf("%q was not said:\n%s", word, b.said())
				}
			})
		})
	}
}

func TestProofsThatAreRefused(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(b *bench)
		code    string
		words   []string
	}{
		{"there is no record", func(b *bench) { b.record = nil }, CodeUnproven, []string{"no record"}},
		{"the sealer was never started", func(b *bench) {
			b.record.Proof, b.record.Stage = nil, handoff.StageStaged
		}, CodeUnproven, []string{"never started"}},
		{"nobody saw the sealer run", func(b *bench) {
			lost(b)
			b.record.Stage = handoff.StageTriggered
		}, CodeUnproven, []string{`stage "triggered"`, "console output holds no verdict"}},
		{"the agent, not the sealer, shut the guest down", func(b *bench) {
			lost(b)
			b.record.Shutdown = "agent"
		}, CodeUnproven, []string{`shutdown = "agent"`}},
		{"the stop came after the sealer's limit", func(b *bench) {
			lost(b)
			b.record.SealerDeadline = time.Now().Add(-time.Second)
		}, CodeUnproven, []string{"after the sealer's limit"}},
		{"the record knows no limit", func(b *bench) {
			lost(b)
			b.record.SealerDeadline = time.Time{}
		}, CodeUnproven, []string{"until when"}},
		{"somebody else stopped the instance", func(b *bench) {
			lost(b)
			b.stopByAPI()
		}, CodeUnproven, []string{"did not shut itself down", "User initiated"}},
		{"the console's line is another build's", func(b *bench) {
			lost(b)
			b.record.Shutdown = "agent"
			b.guest.prints(handoff.ConsoleLine("token-0", "sealed") + "\n" + handoff.ConsoleLine("token-1", "sealedish") + "\n")
		}, CodeUnproven, []string{"no verdict of this build"}},
		{"the console says that it failed, whatever the stop looks like", func(b *bench) {
			lost(b)
			b.guest.prints(handoff.ConsoleLine("token-1", "failed") + "\n")
		}, CodeRefused, []string{"console output"}},
		{"Sysprep refused", func(b *bench) {
			b.record.Stage = handoff.StageRefused
			b.record.Mark(time.Now(), "refused", "", "package X was installed for one user")
		}, CodeRefused, []string{"package X"}},
		{"Sysprep refused, and the user asks for no proof", func(b *bench) {
			b.record.Stage = handoff.StageRefused
			b.maker.Demand.Proof = false
		}, CodeRefused, nil},
		{"the proof lacks the tag", func(b *bench) { b.record.Proof.Tag = false }, CodeUnproven, []string{"Sysprep_succeeded.tag"}},
		{"the proof lacks the image state", func(b *bench) { b.record.Proof.ImageState = "IMAGE_STATE_COMPLETE" }, CodeUnproven, []string{"IMAGE_STATE_COMPLETE"}},
		{"the proof lacks the end of sysprep.exe", func(b *bench) { b.record.Proof.SysprepEnded = false }, CodeUnproven, []string{"sysprep.exe"}},
		{"the guest is not generalized", func(b *bench) {
			b.record.Action = "shutdown"
			b.record.Proof = &handoff.Proof{Kind: handoff.ProofNotGeneralized, SeenAt: time.Now()}
		}, CodeNotGeneralized, []string{"generalized = false"}},
		{"the guest is not generalized, as its console says", func(b *bench) {
			lost(b)
			b.guest.prints(handoff.ConsoleLine("token-1", "not-generalized") + "\n")
		}, CodeNotGeneralized, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
				test.prepare(b)
				b.ec2.GuestShutdown(b.id)
				b.fails(test.code, test.words...)
				if n := b.calls("CreateImage"); n != 0 {
					b.Errorf("CreateImage was called %d times", n)
				}
			})
		})
	}
}

func TestAnEarlierRunSawTheStopInTime(t *testing.T) {
	rehearse(t, lab.Options{}, lab.Instance{}, func(b *bench) {
		lost(b)
		b.ec2.GuestShutdown(b.id)
		if _, err := b.maker.WaitStopped(b.ctx, b.record); err != nil {
			b.Fatal(err)
		}
		// Packer was ended, and a user comes back later.
		if err := sleep(b.ctx, 2*time.Hour); err != nil {
			b.Fatal(err)
		}
		b.again()
		if ami := b.must(); ami.Tags[TagProof] != string(handoff.ProofByShutdown) {
			b.Errorf("got the proof %q", ami.Tags[TagProof])
		}
	})
}

func TestTheRecordAloneIsCheckedBeforeAnyWait(t *testing.T) {
	sealed := handoff.Record{Stage: handoff.StageSealed, Action: "sysprep", Proof: &handoff.Proof{Kind: handoff.ProofSeen, ImageState: sealedState, Tag: true, SysprepEnded: true}}
	change := func(f func(r *handoff.Record)) *handoff.Record {
		record, proof := sealed, *sealed.Proof
		record.Proof = &proof
		f(&record)
		return &record
	}
	strict := Demand{Proof: true, Generalized: true}
	tests := []struct {
		name   string
		record *handoff.Record
		demand Demand
		code   string // of CheckRecord, "" for none
		proven bool   // by RecordedProof
	}{
		{"sealed", change(func(*handoff.Record) {}), strict, "", true},
		{"confirmed without a proof may yet be proven by EC2", change(func(r *handoff.Record) { r.Stage, r.Proof = handoff.StageSealerConfirmed, nil }), strict, "", false},
		{"refused", change(func(r *handoff.Record) { r.Stage = handoff.StageRefused }), Demand{}, CodeRefused, false},
		{"staged", change(func(r *handoff.Record) { r.Stage = handoff.StageStaged }), strict, CodeUnproven, false},
		{"staged, and no proof is asked for", change(func(r *handoff.Record) { r.Stage = handoff.StageStaged }), Demand{Generalized: true}, "", false},
		{"shut down without Sysprep", change(func(r *handoff.Record) { r.Action, r.Proof = "shutdown", nil }), strict, CodeNotGeneralized, false},
		{"shut down without Sysprep, as asked", change(func(r *handoff.Record) {
			r.Action, r.Proof = "shutdown", &handoff.Proof{Kind: handoff.ProofNotGeneralized}
		}), Demand{Proof: true}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := CheckRecord(test.record, test.demand)
			if got := codeOf(err); got != test.code {
				t.Errorf("CheckRecord gave %v, want code %q", err, test.code)
			}
			proof, err := RecordedProof(test.record, test.demand)
			if (proof != nil) != test.proven || (err == nil) != test.proven {
				t.Errorf("RecordedProof gave %v and %v, want proven: %t", proof, err, test.proven)
			}
		})
	}
	if err := CheckRecord(nil, strict); err != nil {
		t.Errorf("without a record CheckRecord gave %v", err)
	}
}

func FuzzFindVerdict(f *testing.F) {
	f.Add("boot\r\n"+handoff.ConsoleLine("t", "sealed")+"\r\n", "t")
	f.Add(handoff.ConsoleLine("t", "failed"), "t")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, text, token string) {
		word := findVerdict(text, token)
		if word != "" && !strings.Contains(text, handoff.ConsoleLine(token, word)) {
			t.Errorf("found %q, which is not there", word)
		}
		if token != "" && !strings.ContainsAny(token, " \r\n") {
			if got := findVerdict(text+"\n"+handoff.ConsoleLine(token, "failed")+"\n", token); got != "failed" {
				t.Errorf("a failed line was read as %q", got)
			}
		}
	})
}

func FuzzTransitionTime(f *testing.F) {
	f.Add("User initiated (2015-05-15 20:36:25 GMT)")
	f.Add("Server.SpotInstanceTermination")
	f.Fuzz(func(t *testing.T, reason string) {
		if at, ok := transitionTime(reason); ok && !strings.Contains(reason, at.Format(time.DateTime)) {
			t.Errorf("%q was read as %s", reason, at)
		}
	})
}
