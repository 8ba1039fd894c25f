// Command demo rehearses a whole build: it starts the lab, has the real Packer
// install the plugin into a folder of its own and run the example of shape A,
// and tells in the end which AMI came out, what proves it, and where the time
// went. Everything happens on this machine's loopback; nothing outside its
// folder is touched.
//
//	go run ./tools/demo -packer PACKER -plugin bin/packer-plugin-ec2-sysprep -folder bin/demo
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
)

func main() { os.Exit(start()) }

func start() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var d demo
	flag.StringVar(&d.packer, "packer", "", "path of Packer, 1.11 or later")
	flag.StringVar(&d.plugin, "plugin", "", "path of the plugin's program")
	flag.StringVar(&d.folder, "folder", "bin/demo", "folder for everything that the demo makes")
	flag.StringVar(&d.template, "template", "example/full-job.pkr.hcl", "the template to build")
	flag.Float64Var(&d.speed, "speed", 20, "how many of the lab's seconds pass in a real one")
	flag.Parse()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

type demo struct {
	packer, plugin, folder, template string
	speed                            float64
	// variables are the template's, in the environment, where no list of
	// processes shows them.
	variables []string
}

// amiName is the name of the demo's AMI.
const amiName = "golden-windows-2022"

func (d *demo) run(ctx context.Context) (err error) {
	if d.packer == "" || d.plugin == "" {
		return errors.New("-packer and -plugin are needed; make demo gives them")
	}
	if d.folder, err = filepath.Abs(d.folder); err != nil {
		return err
	}
	// Each demo begins anew: an old journal is of an instance that is gone.
	if err := os.RemoveAll(d.folder); err != nil {
		return err
	}
	if err := os.MkdirAll(d.folder, 0o700); err != nil {
		return err
	}
	if err := d.packerRuns(ctx, "plugins", "install", "--path", d.plugin, "github.com/golden-ami/ec2-sysprep"); err != nil {
		return fmt.Errorf("installing the plugin: %w", err)
	}
	l, err := lab.Start(ctx, lab.Options{Speed: d.speed})
	if err != nil {
		return fmt.Errorf("starting the lab: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	machine := l.Machines()[0]
	fmt.Printf("The lab runs %g times as fast as the world: EC2 at %s, and the instance %s, Windows Server 2022 with WinRM at %s.\n\n",
		d.speed, l.Endpoint(), machine.InstanceID(), machine.HTTP().Addr())

	began := time.Now()
	d.variables = []string{
		"PKR_VAR_host=127.0.0.1", "PKR_VAR_port=" + strconv.Itoa(machine.HTTP().Addr().Port), "PKR_VAR_use_ssl=false",
		"PKR_VAR_password=" + machine.Password(), "PKR_VAR_region=" + l.Region(), "PKR_VAR_ami_name=" + amiName,
		"PKR_VAR_ec2_endpoint=" + l.Endpoint(),
	}
	err = d.packerRuns(ctx, "build", "-color=false", d.template)
	if err != nil {
		return fmt.Errorf("packer build: %w", err)
	}
	return d.summary(l, time.Since(began))
}

// packerRuns runs Packer with an environment in which nothing of the user's own
// Packer or AWS settings counts.
func (d *demo) packerRuns(ctx context.Context, arguments ...string) error {
	cmd := exec.CommandContext(ctx, d.packer, arguments...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "PACKER_") && !strings.HasPrefix(name, "PKR_VAR_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env,
		"PACKER_PLUGIN_PATH="+filepath.Join(d.folder, "plugins"), "PACKER_CONFIG_DIR="+d.folder, "PACKER_CACHE_DIR="+d.cache(), "CHECKPOINT_DISABLE=1",
		"AWS_ACCESS_KEY_ID="+lab.AccessKey, "AWS_SECRET_ACCESS_KEY="+lab.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
	)
	cmd.Env = append(cmd.Env, d.variables...)
	return cmd.Run()
}

func (d *demo) cache() string { return filepath.Join(d.folder, "cache") }

// summary says what came out, from what the plugin itself has written down.
func (d *demo) summary(l *lab.Lab, took time.Duration) error {
	images := l.EC2.Images(l.Region())
	if len(images) != 1 {
		return fmt.Errorf("the lab has %d images after the build, not 1", len(images))
	}
	record, err := d.record()
	if err != nil {
		return err
	}
	journal, err := d.journal()
	if err != nil {
		return err
	}
	made := images[0]
	fmt.Printf("\nAMI    %s %q in %s, %s\n", made.ID, made.Name, l.Region(), made.State)
	if journal.Proof != nil {
		fmt.Printf("Proof  %s", journal.Proof.Kind)
		if journal.Proof.ImageState != "" {
			fmt.Printf(": %s", journal.Proof.ImageState)
		}
		if journal.Proof.Detail != "" {
			fmt.Printf(" (%s)", journal.Proof.Detail)
		}
		fmt.Println()
	}
	fmt.Printf("Time   %s in all, of which\n", took.Round(time.Second))
	type moment struct {
		at   time.Time
		what string
	}
	var moments []moment
	for _, m := range record.Timeline {
		what := m.Phase
		if m.ImageState != "" && m.Phase == "image state" {
			what = m.ImageState
		}
		moments = append(moments, moment{m.At, what})
	}
	for _, s := range journal.Steps {
		moments = append(moments, moment{s.At, "EC2: " + s.Step})
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return a.at.Compare(b.at) })
	last := moments[0].at
	for _, m := range moments[1:] {
		// What takes no time is not where it went.
		if spent := m.at.Sub(last); spent >= 50*time.Millisecond {
			fmt.Printf("  %6.1f s  until %s\n", spent.Seconds(), m.what)
			last = m.at
		}
	}
	return nil
}

func (d *demo) record() (*handoff.Record, error) {
	paths, err := filepath.Glob(filepath.Join(d.cache(), handoff.Folder, "record_*.json"))
	if err != nil || len(paths) != 1 {
		return nil, fmt.Errorf("the build left %d records in %s", len(paths), d.cache())
	}
	return handoff.Read(paths[0])
}

func (d *demo) journal() (*image.Journal, error) {
	paths, err := filepath.Glob(filepath.Join(d.cache(), handoff.Folder, "journal_*.json"))
	if err != nil || len(paths) != 1 {
		return nil, fmt.Errorf("the build left %d journals in %s", len(paths), d.cache())
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		return nil, err
	}
	var journal image.Journal
	if err := json.Unmarshal(data, &journal); err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	return &journal, nil
}
