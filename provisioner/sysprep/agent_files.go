package sysprep

import (
	"context"
	"fmt"
	"slices"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// prepareAgent checks that the agent can shut the guest down as wanted, and has
// those of its files staged that must differ for that while the guest is sealed.
func (r *run) prepareAgent(ctx context.Context) error {
	agent, order := r.facts.Agent, r.config.order()
	if err := launchagent.Allow(agent, order); err != nil {
		return &image.Failure{Code: codeAgentShutdown, Problem: err.Error() + "; nothing was changed on the guest"}
	}
	paths := agent.Reads()
	reads := make([]*guest.Call[guest.Piece], len(paths))
	var calls []guest.Asker
	for i, path := range paths {
		reads[i] = guest.FileRead(path, 0, maxGuestFile)
		calls = append(calls, reads[i])
	}
	if len(calls) == 0 {
		return nil
	}
	if err := r.guest.Ask(ctx, calls...); err != nil {
		return err
	}
	files := make(map[string][]byte)
	for i, path := range paths {
		piece, err := wholeFile(reads[i], path)
		if err != nil {
			return fmt.Errorf("reading %s on the guest: %w", path, err)
		}
		if piece.Exists {
			files[path] = piece.Data
		}
	}
	edits, err := agent.Edits(order, files)
	if err != nil {
		return &image.Failure{Code: codeAgentShutdown, Problem: r.expand(err.Error()) + "; nothing was changed on the guest"}
	}
	for _, edit := range edits {
		path := edit.Path
		r.place("settings for the time of sealing in", path, edit.Data, lineChanges(files[path], edit.Data))
		at := slices.IndexFunc(r.files, func(f generalize.Staged) bool { return f.Path == path })
		r.files[at].Temporary = true
	}
	return nil
}
