package sysprep

import (
	"context"
	"slices"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// checkAgent says what the agent cannot do of what is wanted.
func (r *run) checkAgent(context.Context) error {
	if err := launchagent.Allow(r.facts.Agent, r.config.order()); err != nil {
		return &image.Failure{Code: codeAgentShutdown, Problem: err.Error() + "; nothing was changed on the guest"}
	}
	return r.checkPassword(r.facts.Agent)
}

// prepareShutdown has those of the agent's files staged that must differ while
// the guest is being sealed, so that the agent shuts it down as wanted. settings
// are the agent's setting files that were looked at, made what they will be in
// the image.
func (r *run) prepareShutdown(settings []wantedSetting, made madeSettings) error {
	files := make(map[string][]byte)
	for _, setting := range settings {
		if file, ok := made[setting.kind]; ok {
			files[setting.place] = file.Bytes()
		} else if piece, err := wholeFile(setting.read, setting.place); err == nil && piece.Exists {
			files[setting.place] = piece.Data
		}
	}
	edits, err := r.facts.Agent.Edits(r.config.order(), files)
	if err != nil {
		return &image.Failure{Code: codeAgentShutdown, Problem: r.expand(err.Error()) + "; nothing was changed on the guest"}
	}
	for _, edit := range edits {
		at := slices.IndexFunc(r.files, func(f generalize.Staged) bool { return f.Path == edit.Path })
		if at >= 0 {
			// The image gets the user's own settings.
			r.files[at].Lasting = r.files[at].Data
			r.files[at].Data = edit.Data
		} else {
			r.place("settings for the time of sealing in", edit.Path, edit.Data, lineChanges(files[edit.Path], edit.Data))
			at = len(r.files) - 1
		}
		r.files[at].Temporary = true
	}
	return nil
}
