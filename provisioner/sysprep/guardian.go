package sysprep

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
)

// The guardian is a process of the plugin's own program that outlives the
// plugin. Packer ends a cancelled build at once and kills its plugins: nobody
// could delete the working folder then, or call a sealer off that has not
// begun. The guardian waits at the other end of a pipe. When the pipe ends
// without the word of dismissal, because Packer was interrupted or killed, it
// tidies the guest up, and ends within GuardianLimit.
//
// It gets what it needs to know, the password included, through the pipe, and
// has neither output nor files.

// GuardianCommand is the argument that makes the plugin's program a guardian.
const GuardianCommand = "guard"

// GuardianLimit is how long a guardian works after the pipe has ended.
const GuardianLimit = 4 * time.Second

// dismissal is the line that lets the guardian go.
const dismissal = "dismissed"

// charge is what a guardian has to know.
type charge struct {
	Connection direct.Options `json:"connection"`
	Identity   guest.Identity `json:"identity"`
	Token      string         `json:"token"`
}

// Guard is the guardian: it reads its charge and waits. It is called by main.
func Guard(ctx context.Context, in io.Reader) error {
	reader := bufio.NewReader(in)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the charge: %w", err)
	}
	var c charge
	if err := json.Unmarshal(line, &c); err != nil {
		return errors.New("the charge cannot be read")
	}
	if word, _ := reader.ReadString('\n'); word == dismissal+"\n" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, GuardianLimit)
	defer cancel()
	client, err := direct.Dial(c.Connection)
	if err != nil {
		return err
	}
	g := guest.New(guest.OverWinRM(client), 0)
	job := generalize.Adopt(generalize.Job{Guest: g, Identity: c.Identity, Token: c.Token})
	err = callOff(ctx, job)
	return errors.Join(err, g.Close())
}

// callOff tidies up until it has succeeded once. The request that makes the
// working folder may still be on its way when the pipe ends.
func callOff(ctx context.Context, job *generalize.Job) error {
	const pause = 300 * time.Millisecond
	for {
		_, err := job.CallOff(ctx)
		if err == nil {
			return nil
		}
		if guest.Wait(ctx, pause) != nil {
			return err
		}
	}
}

// guardian is the provisioner's end of the pipe.
type guardian struct {
	process *exec.Cmd
	pipe    io.WriteCloser
}

// post starts a guardian for this run. Without one a build is as good, unless
// it is interrupted in the second between staging and the sealer's claim.
func (r *run) post() {
	if r.client == nil || !r.config.guards {
		return
	}
	program, err := os.Executable()
	if err != nil {
		r.logf("no guardian: %s", err)
		return
	}
	options, err := r.config.connection(r.build)
	if err != nil {
		return
	}
	text, err := json.Marshal(charge{Connection: options, Identity: r.facts.Identity, Token: r.record.Token})
	if err != nil {
		r.logf("no guardian: %s", err)
		return
	}
	// It must outlive the plugin, so no context governs it; the pipe does.
	process := exec.Command(program, GuardianCommand) //nolint:noctx // see above
	pipe, err := process.StdinPipe()
	if err != nil {
		r.logf("no guardian: %s", err)
		return
	}
	if err := process.Start(); err != nil {
		r.logf("no guardian: %s", err)
		return
	}
	if _, err := pipe.Write(append(text, '\n')); err != nil {
		r.logf("the guardian did not take its charge: %s", err)
	}
	r.guardian = &guardian{process: process, pipe: pipe}
}

// dismiss lets the guardian go: the guest has been tidied up, or the sealer has
// begun and does so by itself.
func (r *run) dismiss() {
	if r.guardian == nil {
		return
	}
	g := r.guardian
	r.guardian = nil
	_, _ = io.WriteString(g.pipe, dismissal+"\n")
	_ = g.pipe.Close()
	_ = g.process.Wait()
}
