package sysprep

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
)

// guarded is a guest on which everything is staged, with a guardian at the
// other end of a pipe.
type guarded struct {
	*bench
	pipe  *io.PipeWriter
	ended chan error
	job   *generalize.Job
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	b := newBench(t, nil)
	options := direct.Options{Host: "127.0.0.1", Port: b.machine.HTTP().Addr().Port, Username: b.machine.User(), Password: b.machine.Password()}
	client, err := direct.Dial(options)
	if err != nil {
		t.Fatal(err)
	}
	g := guest.New(guest.OverWinRM(client), 0)
	t.Cleanup(func() { _ = g.Close() })
	identity, err := guest.Fetch(t.Context(), g, guest.Hello())
	if err != nil {
		t.Fatal(err)
	}
	const token = "0123456789abcdef"
	text, err := json.Marshal(charge{Connection: options, Identity: identity, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	guarded := &guarded{bench: b, pipe: writer, ended: make(chan error, 1), job: &generalize.Job{Guest: g, Identity: identity, Token: token}}
	go func() { guarded.ended <- Guard(t.Context(), reader) }()
	if _, err := io.Copy(writer, bytes.NewReader(append(text, '\n'))); err != nil {
		t.Fatal(err)
	}
	if _, err := guarded.job.Stage(t.Context(), &guest.SealPlan{}); err != nil {
		t.Fatal(err)
	}
	return guarded
}

func TestAGuardianTidiesUpWhenTheBuildIsKilled(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if g.before.Diff(g.guest().Snapshot()) == "" {
		t.Fatal("nothing was staged")
	}
	// The pipe ends without a word, as when the plugin is killed.
	if err := g.pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-g.ended; err != nil {
		t.Fatal(err)
	}
	if diff := g.before.Diff(g.guest().Snapshot()); diff != "" {
		t.Errorf("the guest is not as it was: %s", diff)
	}
}

func TestADismissedGuardianLeavesTheGuestAlone(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	staged := g.guest().Snapshot()
	if _, err := io.WriteString(g.pipe, dismissal+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-g.ended; err != nil {
		t.Fatal(err)
	}
	if diff := staged.Diff(g.guest().Snapshot()); diff != "" {
		t.Errorf("the guest was changed: %s", diff)
	}
}

func TestAGuardianKeepsAwayFromASealerThatHasBegun(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	claim := guest.FileCreate(g.job.Folder()+`\`+guest.ClaimFile, []byte(guest.ClaimBySealer))
	if _, err := guest.Fetch(t.Context(), g.job.Guest, claim); err != nil {
		t.Fatal(err)
	}
	claimed := g.guest().Snapshot()
	if err := g.pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-g.ended; err != nil {
		t.Fatal(err)
	}
	if diff := claimed.Diff(g.guest().Snapshot()); diff != "" {
		t.Errorf("the guest was changed: %s", diff)
	}
}
