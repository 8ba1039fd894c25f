package sysprep

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// Provisioner is the provisioner ec2-sysprep.
type Provisioner struct {
	config Config
}

var _ packersdk.Provisioner = new(Provisioner)

// ConfigSpec returns the options for HCL.
func (p *Provisioner) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Prepare checks the options and names everything that is wrong at once. It
// touches nothing but the local files that the options name.
func (p *Provisioner) Prepare(raws ...any) error {
	p.config = Config{}
	return p.config.prepare(raws...)
}

// Provision seals the guest.
func (p *Provisioner) Provision(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, generatedData map[string]any) error {
	r, err := p.begin(ui, comm, generatedData)
	if err != nil {
		return err
	}
	err = r.seal(ctx)
	if ctx.Err() != nil {
		r.cancelled(ctx)
		err = fmt.Errorf("cancelled: %w", ctx.Err())
	}
	if closeErr := r.close(); closeErr != nil {
		log.Printf("[DEBUG] closing the connection: %s", closeErr)
	}
	return err
}

// seal is the procedure.
func (r *run) seal(ctx context.Context) error {
	resumed, err := r.resume(ctx)
	if err != nil || resumed {
		return err
	}
	for _, step := range []func(context.Context) error{
		r.connect,
		r.preflight,
		r.checkEC2,
		r.prepareFiles,
		r.plan,
		r.stage,
		r.trigger,
		r.watch,
		r.prove,
		r.shutDown,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if r.finished {
			return nil
		}
	}
	return nil
}

// run is one Provision.
type run struct {
	config *Config
	ui     packersdk.Ui
	comm   packersdk.Communicator
	build  buildData

	// client is nil over Packer's communicator.
	client   *direct.Client
	guest    *guest.Guest
	store    handoff.Store
	record   *handoff.Record
	facts    *preflight.Facts
	findings []preflight.Finding
	session  *aws.Session
	files    []generalize.Staged
	job      *generalize.Job
	sealPlan *guest.SealPlan

	starts    generalize.LogStarts
	confirmed bool
	verdict   generalize.Verdict
	// finished says that nothing is left to do although steps remain.
	finished bool
	began    time.Time
}

func (p *Provisioner) begin(ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) (*run, error) {
	r := &run{config: &p.config, ui: ui, comm: comm, build: readBuildData(data), began: time.Now()}
	if password := r.build.password(); password != "" {
		packersdk.LogSecretFilter.Set(password)
	}
	if err := p.config.unknowns(); err != nil {
		return nil, err
	}
	store, err := p.config.store()
	if err != nil {
		return nil, err
	}
	r.store = store
	r.record = &handoff.Record{
		Version: handoff.Version, Plugin: pluginVersion(), RunUUID: runUUID(),
		BuilderType: p.config.PackerBuilderType, SourceName: p.config.PackerBuildName,
		Token: newToken(), Stage: handoff.StagePlanned, Action: "sysprep", Shutdown: p.config.Shutdown,
		Limits: handoff.Limits{Sysprep: p.config.SysprepTimeout, Stall: p.config.StallTimeout, Shutdown: p.config.ShutdownTimeout},
	}
	for _, warning := range p.config.warnings {
		r.say("Warning: %s", warning)
	}
	return r, nil
}

// newToken makes this build's word: 16 hexadecimal digits.
func newToken() string {
	var word [8]byte
	_, _ = rand.Read(word[:])
	return hex.EncodeToString(word[:])
}

// say tells the user one line. No secret gets through.
func (r *run) say(format string, args ...any) {
	r.ui.Say(packersdk.LogSecretFilter.FilterString(fmt.Sprintf(format, args...)))
}

// logf writes a detail to Packer's log.
func (r *run) logf(format string, args ...any) {
	log.Printf("[DEBUG] "+format, args...)
}

// mark puts a moment into the record's timeline.
func (r *run) mark(phase, imageState, note string) {
	r.record.Mark(time.Now().UTC(), phase, imageState, note)
}

// save writes the record. A record that cannot be written before the trigger
// ends the build; afterwards it is said.
func (r *run) save(stage handoff.Stage) error {
	r.record.Stage = stage
	if err := r.store.Save(r.record, time.Now().UTC()); err != nil {
		return fmt.Errorf("writing the record of the build: %w", err)
	}
	return nil
}

func (r *run) close() error {
	if r.guest == nil {
		return nil
	}
	return r.guest.Close()
}

// cancelLimit bounds tidying up after Ctrl-C: Packer and the user wait.
const cancelLimit = 2500 * time.Millisecond

// cancelled tidies up after Ctrl-C, or says what the guest will do by itself.
func (r *run) cancelled(parent context.Context) {
	if r.job == nil || r.finished {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), cancelLimit)
	defer cancel()
	r.guest.SetReconnect(0)
	switch r.record.Stage {
	case handoff.StageSealed, handoff.StageShutdown:
		r.say("The guest is sealed and shuts down by itself.")
		r.sayResume()
		return
	case handoff.StageRefused:
		return
	}
	off, err := r.job.CallOff(ctx)
	switch {
	case err == nil && off:
		r.say("Cancelled: nothing was changed on the guest, and the working folder has been deleted.")
	case err == nil:
		r.sayGoesOn()
	case !r.job.Triggered():
		r.say("Cancelled: nothing was changed on the guest but that the working folder %s may be left behind (%s).", r.job.Folder(), err)
	default:
		r.logf("calling the sealer off: %s", err)
		r.sayGoesOn()
	}
}

// sayGoesOn says what a guest does whose sealer has begun.
func (r *run) sayGoesOn() {
	limit := r.config.SysprepTimeout
	end := "it stays up"
	if r.config.Shutdown == "sealed" {
		end = "it shuts down"
	}
	r.say("Sysprep has begun on the guest and goes on by itself: within %s %s when it has been sealed, or it puts back what was changed and stays up.", limit, end)
	r.sayResume()
}

var errNoInstance = errors.New("nobody can tell which instance the guest is: its instance metadata does not answer, and instance_id is not given")
