package sysprep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
)

// codeDryRun ends a dry run with a builder that would go on.
const codeDryRun = "ES-270"

// dryRun says what would be done from here on, and ends the build before
// anything is.
func (r *run) dryRun(ctx context.Context) error {
	if !r.config.DryRun {
		return nil
	}
	if err := r.sayFiles(ctx); err != nil {
		return err
	}
	plan := r.sealPlan
	done := []string{
		"make the working folder " + plan.Folder + " with the sealer, its plan and the files, for SYSTEM and Administrators alone",
		"start the sealer by the scheduled task " + plan.Task + ", which deletes itself",
	}
	r.sayList("Dry run: what would be done on the guest, in this order:", slices.Concat(done, acts(plan.Apply, plan.Folder), commands(plan.Commands)))
	fails, ready := "Sysprep refuses", "the guest is sealed"
	irreversible := append([]string{"generalize itself, once Sysprep has begun it"}, r.facts.Agent.Irreversible(r.job.Order.Action)...)
	if !r.config.generalizes() {
		fails, ready = "a command fails", "all is ready"
		irreversible = r.facts.Agent.Irreversible(r.job.Order.Action)
	}
	r.sayList("Dry run: what would be put back when "+fails+":", append(acts(plan.Failed, plan.Folder), "delete the working folder "+plan.Folder))
	sealed := acts(plan.Sealed, plan.Folder)
	switch r.config.Shutdown {
	case "none":
		sealed = append(sealed, "the guest stays up for the builder to stop")
	case "agent":
		sealed = append(sealed, r.facts.Agent.Title()+" has the guest shut down")
	default:
		sealed = append(sealed, "shut the guest down")
	}
	r.sayList("Dry run: what would be removed and done once "+ready+":", sealed)
	if len(irreversible) > 0 {
		r.sayList("Dry run: what nobody could put back:", irreversible)
	}
	r.finish()
	if r.config.PackerBuilderType != nullBuilder {
		return &image.Failure{
			Code: codeDryRun, Problem: fmt.Sprintf("the dry run found nothing in the way of sealing; nothing was changed or sealed, and the build ends here because the builder %s would go on and make an AMI of a guest that is not sealed", r.config.PackerBuilderType),
			Next: "take dry_run = true out of the template to seal the guest",
		}
	}
	r.say("Dry run: nothing was changed on the guest, and nothing was sealed. No AMI can be made from this run.")
	return nil
}

// sayFiles names each file that would be placed, beside what is there now.
func (r *run) sayFiles(ctx context.Context) error {
	if len(r.files) == 0 {
		r.say("Dry run: no file of the agent's would be replaced.")
		return nil
	}
	hashes := make([]*guest.Call[guest.Stat], len(r.files))
	var calls []guest.Asker
	for i, file := range r.files {
		hashes[i] = guest.FileHash(r.expand(file.Path))
		calls = append(calls, hashes[i])
	}
	if err := r.guest.Ask(ctx, calls...); err != nil {
		return err
	}
	r.say("Dry run: the files that would be placed on the guest:")
	for i, file := range r.files {
		now, err := hashes[i].Answer()
		if err != nil {
			return fmt.Errorf("looking at %s on the guest: %w", file.Path, err)
		}
		data := file.Data
		if file.Lasting != nil {
			data = file.Lasting
		}
		sum := sha256.Sum256(data)
		r.say("  %s %s: %d bytes, SHA-256 %s", file.Name, r.expand(file.Path), len(data), hex.EncodeToString(sum[:]))
		if now.Exists {
			r.say("    now %d bytes, SHA-256 %s", now.Size, now.SHA256)
		} else {
			r.say("    not there now")
		}
		r.sayDifference(file, "    ")
		if file.Lasting == nil {
			continue
		}
		r.say("    and while the guest is being sealed:")
		for _, line := range lineChanges(file.Lasting, file.Data) {
			r.say("    %s", line)
		}
	}
	return nil
}

func (r *run) sayList(title string, lines []string) {
	r.say("%s", title)
	for _, line := range lines {
		r.say("  %s", line)
	}
}

// acts are the sealer's acts in words. Copies into and out of the working
// folder are named by the file that they are about.
func acts(list []guest.Act, folder string) []string {
	inFolder := func(path string) bool {
		return strings.HasPrefix(strings.ToLower(path), strings.ToLower(folder)+`\`)
	}
	var lines []string
	for _, act := range list {
		switch act.Act {
		case guest.ActCopy:
			switch {
			case inFolder(act.Path):
				lines = append(lines, "keep a copy of "+act.From)
			case strings.HasPrefix(strings.ToLower(act.From), strings.ToLower(folder)+`\kept\`):
				lines = append(lines, "put back "+act.Path+" as it is now")
			default:
				lines = append(lines, "place "+act.Path)
			}
		case guest.ActDelete:
			lines = append(lines, "delete "+act.Path+", which is not there now")
		case guest.ActDeleteFolder:
			if strings.EqualFold(act.Path, folder) {
				lines = append(lines, "delete the working folder "+act.Path)
			} else {
				lines = append(lines, "delete the folder "+act.Path+", which is not there now")
			}
		case guest.ActRegistry:
			if act.Set != nil && act.Set.Exists {
				lines = append(lines, "set "+act.Path+"!"+act.Name+" to "+valueText(*act.Set))
			} else {
				lines = append(lines, "delete "+act.Path+"!"+act.Name+", which is not there now")
			}
		case guest.ActRun:
			lines = append(lines, strings.TrimSpace("run "+act.Path+" "+act.Arguments))
		default:
			lines = append(lines, strings.TrimSpace(act.Act+" "+act.Path))
		}
	}
	return lines
}

func commands(list []guest.Command) []string {
	var lines []string
	for _, command := range list {
		lines = append(lines, strings.TrimSpace(`run "`+command.File+`" `+command.Arguments))
	}
	return lines
}
