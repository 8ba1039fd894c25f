package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
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
	t.Parallel()
	b := newBench(t, keepPassword)
	r := b.build(example(t, "full-job.pkr.hcl"), nil)
	b.wantOneAMI(r, "seen")
	b.listsWithAWSCLI()

	// The same template on a fresh guest, with the same name.
	b.use(1, "golden-windows")
	fresh := b.lab.Machines()[1].Guest()
	before := fresh.Fingerprint()
	r = b.build(example(t, "full-job.pkr.hcl"), nil)
	if r.code != 1 || !strings.Contains(r.output, "ami_name") || !strings.Contains(r.output, "golden-windows") {
		t.Errorf("the second build ended with %d:\n%s", r.code, r.output)
	}
	if after := fresh.Fingerprint(); after != before {
		t.Error("the second guest was changed")
	}
	if n := len(b.images()); n != 1 {
		t.Errorf("the lab has %d images", n)
	}
}

// keepPassword makes a lab with two guests whose WinRM still answers after
// generalize, so that the verdict is always seen.
func keepPassword(o *lab.Options) {
	o.Machines[0].Windows.Network.KeepPassword = true
	second := *o.Machines[0].Windows
	o.Machines = append(o.Machines, lab.MachineOptions{Windows: &second})
}

func TestABuildMakesAnAMIOverHTTPSWithAPrivateAuthority(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) {
		o.Machines[0].HTTPS = true
		o.Machines[0].Windows.Network.KeepPassword = true
	})
	b.wantOneAMI(b.build(example(t, "strict-connection.pkr.hcl"), nil), "seen")
}

func TestABuildMakesAnAMIOfEachWindowsWithItsAgent(t *testing.T) {
	for name, described := range map[string]windows.Machine{
		"Server 2025 with EC2Launch v2": windows.Server2025(),
		"Server 2019 with EC2Launch v1": windows.Server2019(),
		"Server 2012 R2 with EC2Config": windows.Server2012R2(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) {
				described.Network.KeepPassword = true
				o.Machines[0].Windows = &described
			})
			r := b.build(example(t, "full-job.pkr.hcl"), nil)
			b.wantOneAMI(r, "seen")
			_, agent, _ := strings.Cut(name, " with ")
			if !strings.Contains(r.output, "Starting Sysprep through "+agent) {
				t.Errorf("the build did not use %s:\n%s", agent, r.output)
			}
		})
	}
}

func TestABuildMakesAnAMIThroughPackersCommunicator(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) { o.Machines[0].Windows.Network.KeepPassword = true })
	b.wantOneAMI(b.build(b.edited("full-job.pkr.hcl", "winrm_insecure      = var.use_ssl", `transport = "communicator"`), nil), "seen")
}

// edited writes an example with one text replaced.
func (b *bench) edited(name string, pairs ...string) string {
	b.t.Helper()
	text, err := os.ReadFile(example(b.t, name))
	if err != nil {
		b.t.Fatal(err)
	}
	edited := string(text)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(edited, pairs[i]) {
			b.t.Fatalf("%s does not hold %q", name, pairs[i])
		}
		edited = strings.Replace(edited, pairs[i], pairs[i+1], 1)
	}
	return b.write(name, edited)
}

// quick makes a build give a lost guest up sooner than a user would want.
var quick = []string{"winrm_use_ssl       = var.use_ssl", "winrm_use_ssl = var.use_ssl\n    reconnect_timeout = \"4s\""}

func TestAVerdictThatNobodySawIsProvenByTheShutdown(t *testing.T) {
	for name, change := range map[string]func(*windows.Machine){
		"because WinRM was cut right after the trigger": func(m *windows.Machine) { m.Network.CutAfter = windows.Seconds(20) },
		"because WinRM went away during generalize":     func(m *windows.Machine) { m.Network.CutAfter = windows.Seconds(60) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) {
				change(o.Machines[0].Windows)
				// Nobody can write to COM1, so that EC2's console says nothing.
				o.Machines[0].Windows.SerialTaken = true
			})
			b.wantOneAMI(b.build(b.edited("full-job.pkr.hcl", quick...), nil), "by-shutdown")
		})
	}
}

func TestAVerdictThat401HidesIsProvenByTheShutdown(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) { o.Machines[0].Windows.SerialTaken = true })
	r := b.build(example(t, "full-job.pkr.hcl"), func(output *watched, _ *os.Process) {
		if output.await("IMAGE_STATE_UNDEPLOYABLE") {
			if err := b.lab.Machines()[0].Break(winrm.Unauthorized); err != nil {
				t.Error(err)
			}
		}
	})
	b.wantOneAMI(r, "by-shutdown")
	if !strings.Contains(r.output, "401") {
		t.Errorf("the output does not say why the verdict was not seen:\n%s", r.output)
	}
}

func TestABuildWhoseSysprepFailsEndsWithoutAnAMI(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*windows.Machine)
		wants  []string
	}{
		"and says which package stands in the way": {
			change: func(m *windows.Machine) {
				m.Sysprep.Refuse, m.Sysprep.MessageBox = windows.RefuseAppX("Contoso.Store_1.2.3.4_x64__abcdefgh12345"), true
			},
			wants: []string{"Contoso.Store", "First fatal line", "put back", "ES-3", "logs of the guest are in"},
		},
		"and says that Windows was left half-way": {
			change: func(m *windows.Machine) { m.Sysprep.DiesInGeneralize = true },
			wants:  []string{"UNDEPLOYABLE", "throw this instance away"},
		},
		"and says so when the agent never starts it": {
			change: func(m *windows.Machine) { m.Agent.NeverStartsSysprep = true },
			wants:  []string{"Sysprep never appeared", "ES-242"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) { test.change(o.Machines[0].Windows) })
			r := b.build(example(t, "full-job.pkr.hcl"), nil)
			b.wantFailure(r, test.wants...)
			if state := b.instance().State; state != ec2.StateRunning {
				t.Errorf("the instance is %s", state)
			}
		})
	}
}

func TestSysprepThatFailsBehindACutConnectionMakesNoAMI(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) {
		m := o.Machines[0].Windows
		m.Network.CutAfter = windows.Seconds(20)
		m.Sysprep.FailsInGeneralize = windows.RefuseBitLocker()
	})
	r := b.build(b.edited("full-job.pkr.hcl", append(quick,
		`before_sysprep {`, "sysprep_timeout = \"8s\"\n shutdown_timeout = \"2s\"\n before_sysprep {",
		`ami_description     = "Windows, sealed with Sysprep"`, "stop_timeout = \"75s\"")...), nil)
	b.wantFailure(r)
	if state := b.instance().State; state != ec2.StateRunning {
		t.Errorf("the instance is %s:\n%s", state, r.output)
	}
}

// A build that made its seal and failed later prints a template that carries on.
func TestTheTemplateOfAFailedBuildCarriesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) {
		o.Machines[0].Windows.Network.KeepPassword = true
		o.EC2.Timing.Image = 40 * time.Minute
	})
	r := b.build(b.edited("full-job.pkr.hcl", `ami_description     = "Windows, sealed with Sysprep"`, "ami_timeout = \"2s\""), nil)
	if r.code != 1 {
		t.Fatalf("packer ended with %d:\n%s", r.code, r.output)
	}
	made := b.images()
	if len(made) != 1 {
		t.Fatalf("the lab has %d images:\n%s", len(made), r.output)
	}
	template := templateIn(t, r.output)
	// The lab's address is no option of a user's own credentials, so the
	// template does not repeat it.
	template = strings.Replace(template, "post-processor \"ec2-sysprep-ami\" {",
		"post-processor \"ec2-sysprep-ami\" {\n custom_endpoint_ec2 = \""+b.lab.Endpoint()+"\"\n custom_endpoint_sts = \""+b.lab.Endpoint()+"\"", 1)
	r = b.build(b.write("resume.pkr.hcl", template), nil)
	b.wantOneAMI(r, "seen")
	if images := b.images(); len(images) == 1 && images[0].ID != made[0].ID {
		t.Errorf("a second image was made: %s after %s", images[0].ID, made[0].ID)
	}
}

// templateIn cuts the template out of Packer's output.
func templateIn(t *testing.T, output string) string {
	t.Helper()
	var lines []string
	inside := false
	for _, line := range strings.Split(output, "\n") {
		text := line
		if _, after, found := strings.Cut(line, "(ec2-sysprep-ami): "); found {
			text = after
		}
		text = strings.TrimPrefix(text, "==> null.windows: ")
		if strings.HasPrefix(strings.TrimSpace(text), "packer {") || strings.HasPrefix(strings.TrimSpace(text), "source ") {
			inside = true
		}
		if inside {
			if strings.HasPrefix(text, "Build 'null.windows'") || strings.HasPrefix(text, "==>") {
				break
			}
			lines = append(lines, text)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("the output holds no template:\n%s", output)
	}
	return strings.Join(lines, "\n")
}

func TestTheThirdShapeTakesASealedInstance(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) { o.Machines[0].Windows.Network.KeepPassword = true })
	record := filepath.Join(b.folder, "record.json")
	only := b.edited("full-job.pkr.hcl", `before_sysprep {`, "record_path = "+strconv.Quote(record)+"\n before_sysprep {")
	text, err := os.ReadFile(only)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "  post-processor ")
	r := b.build(b.write("seal-only.pkr.hcl", before+"}\n"), nil)
	if r.code != 0 {
		t.Fatalf("packer ended with %d:\n%s", r.code, r.output)
	}
	b.vars["instance_id"], b.vars["record_path"] = b.instance().ID, record
	b.wantOneAMI(b.build(example(t, "resume.pkr.hcl"), nil), "seen")
}

func TestCtrlCEndsABuildWithinFiveSeconds(t *testing.T) {
	for name, test := range map[string]struct {
		after string
		wants string
		same  bool
	}{
		"while Packer connects":      {after: "Using WinRM communicator", same: true},
		"before anything is staged":  {after: "Asking EC2", same: true},
		"while the files are staged": {after: "Staging the sealer", same: true},
		"while Sysprep is at work":   {after: "IMAGE_STATE_UNDEPLOYABLE", wants: "goes on by itself"},
		"while the instance stops":   {after: "Waiting for instance", wants: "goes on by itself"},
		"while EC2 makes the AMI":    {after: "is pending", wants: "ami-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *lab.Options) {
				o.Machines[0].Windows.Network.KeepPassword = true
				o.Machines[0].Windows.Sysprep.Generalize = windows.Seconds(300)
				if test.same {
					// The sealer takes a while to begin: an interrupt that comes
					// before it has to be in time.
					o.Machines[0].Windows.Start.Delay = windows.Seconds(600)
				}
			})
			before := b.guest().Fingerprint()
			var took time.Duration
			var pressed time.Time
			r := b.build(example(t, "full-job.pkr.hcl"), func(output *watched, process *os.Process) {
				if output.await(test.after) {
					pressed = time.Now()
					_ = syscall.Kill(-process.Pid, syscall.SIGINT)
				}
			})
			if pressed.IsZero() {
				t.Fatalf("the build never said %q:\n%s", test.after, r.output)
			}
			took = time.Since(pressed)
			if r.code == 0 {
				t.Errorf("packer ended with 0:\n%s", r.output)
			}
			if took > 5*time.Second {
				t.Errorf("it took %s:\n%s", took, r.output)
			}
			if !strings.Contains(r.output, test.wants) {
				t.Errorf("the output lacks %q:\n%s", test.wants, r.output)
			}
			if test.same {
				b.wantUnchanged(before, r)
			}
		})
	}
}

// listsWithAWSCLI lets an independent client list the AMI.
func (b *bench) listsWithAWSCLI() {
	b.t.Helper()
	aws := filepath.Join(os.Getenv("EC2_SYSPREP_PEERS"), "bin", "aws")
	if _, err := os.Stat(aws); err != nil {
		if aws, err = exec.LookPath("aws"); err != nil {
			b.t.Log("there is no AWS CLI to list the AMI with (make peers installs one)")
			return
		}
	}
	cmd := exec.CommandContext(b.t.Context(), aws, "--endpoint-url", b.lab.Endpoint(), "--region", b.lab.Region(), "--output", "text",
		"ec2", "describe-images", "--owners", "self", "--query", "Images[].[ImageId,Name,State]")
	cmd.Env = b.environment(os.DevNull)
	output, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Errorf("the AWS CLI: %s\n%s", err, output)
		return
	}
	if want := b.images()[0].ID + "\tgolden-windows\tavailable"; strings.TrimSpace(string(output)) != want {
		b.t.Errorf("the AWS CLI lists %q, not %q", output, want)
	}
}

// guardianLimit is how long the guardian of an interrupted build may work.
const guardianLimit = 5 * time.Second

// wantUnchanged waits, as long as the guardian may work, until the guest is as
// it was.
func (b *bench) wantUnchanged(before string, r result) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), guardianLimit)
	defer cancel()
	for b.guest().Fingerprint() != before {
		if b.lab.Clock.Wait(ctx, time.Second) != nil {
			b.t.Errorf("the guest was changed, and not put back:\n%s", r.output)
			return
		}
	}
}
