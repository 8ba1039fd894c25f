package sysprep

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/forecast"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

// Provisioner is the provisioner ec2-sysprep.
type Provisioner struct {
	// Guards says that the program knows GuardianCommand, so that a guardian
	// can be started for the time in which an interrupted build would leave
	// something behind on the guest. main sets it.
	Guards bool
	// Hide is told every secret, for a log's filter. nil: there is none.
	Hide func(secrets ...string)

	config Config
}

var _ packersdk.Provisioner = new(Provisioner)

// ConfigSpec returns the options for HCL.
func (p *Provisioner) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Prepare checks the options and names everything that is wrong at once. It
// touches nothing but the local files that the options name.
func (p *Provisioner) Prepare(raws ...any) error {
	p.config = Config{guards: p.Guards, hide: p.Hide}
	return p.config.prepare(raws...)
}

// Provision seals the guest.
func (p *Provisioner) Provision(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, generatedData map[string]any) error {
	r, err := p.begin(ui, comm, generatedData)
	if err != nil {
		return err
	}
	// Packer does not wait for a cancelled provisioner: what is to be said has
	// to be said at once, and the guardian does what takes longer.
	stop := context.AfterFunc(ctx, r.announce)
	defer stop()
	err = r.veil(r.seal(ctx))
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
		r.awaitAgent,
		r.preflight,
		r.checkEC2,
		r.checkSchedules,
		r.checkAgent,
		r.prepareFiles,
		r.plan,
		r.dryRun,
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
	forecast forecast.Forecast
	settings []generalize.Setting
	// differences are what changes in a file on the guest, by its path.
	differences map[string][]string
	job         *generalize.Job
	sealPlan    *guest.SealPlan

	starts    generalize.LogStarts
	confirmed bool
	verdict   generalize.Verdict
	// finished says that nothing is left to do although steps remain.
	finished bool
	began    time.Time
	guardian *guardian

	// secrets takes the secrets out of what the user sees.
	secrets *strings.Replacer
	// known are these secrets.
	known []string

	mu      sync.Mutex
	reached handoff.Stage
}

func (p *Provisioner) begin(ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) (*run, error) {
	r := &run{config: &p.config, ui: ui, comm: comm, build: readBuildData(data), began: time.Now()}
	r.hide(p.config.secrets()...)
	if password := r.build.password(); password != "" {
		r.hide(password)
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
		Token: newToken(), Stage: handoff.StagePlanned, Action: p.config.Action, Shutdown: p.config.Shutdown,
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
	r.ui.Say(r.secrets.Replace(fmt.Sprintf(format, args...)))
}

// logf writes a detail to Packer's log. No secret gets through.
func (r *run) logf(format string, args ...any) {
	log.Printf("[DEBUG] %s", r.secrets.Replace(fmt.Sprintf(format, args...)))
}

// mark puts a moment into the record's timeline.
func (r *run) mark(phase, imageState, note string) {
	r.record.Mark(time.Now().UTC(), phase, imageState, r.secrets.Replace(note))
}

// save writes the record. A record that cannot be written before the trigger
// ends the build; afterwards it is said.
func (r *run) save(stage handoff.Stage) error {
	r.mu.Lock()
	r.reached = stage
	r.mu.Unlock()
	r.record.Stage = stage
	if err := r.store.Save(r.record, time.Now().UTC()); err != nil {
		return fmt.Errorf("writing the record of the build: %w", err)
	}
	return nil
}

func (r *run) close() error {
	r.dismiss()
	if r.guest == nil {
		return nil
	}
	return r.guest.Close()
}

// cancelLimit bounds tidying up after Ctrl-C: Packer and the user wait.
const cancelLimit = 2500 * time.Millisecond

// announce says, the moment that a build is cancelled, what becomes of the guest.
func (r *run) announce() {
	r.mu.Lock()
	stage := r.reached
	r.mu.Unlock()
	sealed := "sealed"
	if !r.config.generalizes() {
		sealed = "ready"
	}
	switch stage {
	case handoff.StageStaged:
		r.say("Cancelled: the working folder is being deleted from the guest, on which nothing else was changed.")
	case handoff.StageTriggered:
		r.say("Cancelled: the sealer is being called off, if it has not begun. %s", r.goesOn())
	case handoff.StageSealerConfirmed:
		r.say("Cancelled. %s", r.goesOn())
	case handoff.StageSealed:
		r.say("Cancelled: the guest is %s and shuts down by itself.", sealed)
	}
}

// goesOn says what a guest does whose sealer has begun.
func (r *run) goesOn() string {
	end := "stays up"
	if r.config.Shutdown != "none" {
		end = "shuts down"
	}
	if !r.config.generalizes() {
		return fmt.Sprintf("Once the sealer has begun, the guest goes on by itself: within %s it %s, or puts back what was changed and stays up after a failure. The record of this build is %s.",
			r.config.SysprepTimeout, end, r.store.Place())
	}
	return fmt.Sprintf("Once Sysprep has begun, the guest goes on by itself: within %s it %s when it has been sealed, or puts back what was changed and stays up. The record of this build is %s.",
		r.config.SysprepTimeout, end, r.store.Place())
}

// cancelled tidies up after Ctrl-C.
func (r *run) cancelled(parent context.Context) {
	defer r.dismiss()
	if r.job == nil || r.finished {
		return
	}
	switch r.record.Stage {
	case handoff.StageStaged, handoff.StageTriggered, handoff.StagePlanned:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), cancelLimit)
	defer cancel()
	r.guest.SetReconnect(0)
	if _, err := r.job.CallOff(ctx); err != nil {
		r.logf("tidying up after the cancellation: %s", err)
	}
}

var errNoInstance = errors.New("nobody can tell which instance the guest is: its instance metadata does not answer, and instance_id is not given")
