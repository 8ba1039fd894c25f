package sysprep

import (
	"context"
	"fmt"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// checkSchedules warns when EC2Launch v1 sets this guest up at every boot, and
// the instances from the image would be set up once.
func (r *run) checkSchedules(ctx context.Context) error {
	agent, ok := r.facts.Agent.Agent.(launchagent.EC2LaunchV1)
	if !ok {
		return nil
	}
	task := guest.FileRead(launchagent.PerBootTask, 0, maxGuestFile)
	if err := r.guest.Ask(ctx, task); err != nil {
		return err
	}
	definition, err := task.Answer()
	if err != nil {
		return fmt.Errorf("reading the scheduled task of EC2Launch v1 on the guest: %w", err)
	}
	if agent.LosesPerBoot(r.config.order(), definition.Data) {
		r.say("Warning: EC2Launch v1 sets this guest up at every boot (InitializeInstance.ps1 -SchedulePerBoot), and sets up each instance from the image at its first boot alone; run_on_every_boot = true in agent_config.ec2launch_v1 keeps it")
	}
	return nil
}
