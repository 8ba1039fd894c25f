package e2e

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// images are the lab's images in the guest's region.
func (b *bench) images() []ec2.Image { return b.lab.EC2.Images(b.lab.Region()) }

func (b *bench) wantOneAMI(r result, proof string) {
	b.t.Helper()
	if r.code != 0 {
		b.t.Fatalf("packer ended with %d:\n%s", r.code, r.output)
	}
	images := b.images()
	if len(images) != 1 {
		b.t.Fatalf("the lab has %d images:\n%s", len(images), r.output)
	}
	if state := images[0].State; state != "available" {
		b.t.Errorf("the image is %s", state)
	}
	if got := images[0].Tags["ec2-sysprep:proof"]; got != proof {
		b.t.Errorf("the image's proof is %q, not %q:\n%s", got, proof, r.output)
	}
	if !strings.Contains(r.output, images[0].ID) {
		b.t.Errorf("the output does not name the AMI %s:\n%s", images[0].ID, r.output)
	}
	if state := b.guest().ImageState(); state != "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE" {
		b.t.Errorf("the guest's image state is %s", state)
	}
}

func (b *bench) wantFailure(r result, texts ...string) {
	b.t.Helper()
	if r.code != 1 {
		b.t.Errorf("packer ended with %d", r.code)
	}
	if n := len(b.images()); n != 0 {
		b.t.Errorf("the lab has %d images", n)
	}
	for _, text := range texts {
		if !strings.Contains(r.output, text) {
			b.t.Errorf("the output lacks %q", text)
		}
	}
	if b.t.Failed() {
		b.t.Log("\n" + r.output)
	}
}

func TestABuildMakesAnAMIOverPackersOwnConnection(t *testing.T) {
	b := newBench(t, nil)
	r := b.build(example(t, "full-job.pkr.hcl"), nil)
	b.wantOneAMI(r, "by-shutdown")
	t.Log("\n" + r.output)
}

func TestABuildMakesAnAMIOverHTTPSWithAPrivateAuthority(t *testing.T) {
	b := newBench(t, func(o *lab.Options) {
		o.Machines[0].HTTPS = true
		o.Machines[0].Windows.Network.KeepPassword = true
	})
	b.wantOneAMI(b.build(example(t, "strict-connection.pkr.hcl"), nil), "seen")
}
