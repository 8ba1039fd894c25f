package sysprep

import (
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/batchfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/forecast"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// outlook is what the forecast asks of the guest besides what is read anyway.
type outlook struct {
	before, specialize *guest.Call[guest.Piece]
	beforePath         string
	specializePath     string
	deny               *guest.Call[guest.Value]
	winRM              *guest.Call[guest.Exposure]
}

func newOutlook(agent launchagent.Found) *outlook {
	o := &outlook{deny: guest.RegistryValue(launchagent.DenyRDP.Path, launchagent.DenyRDP.Name), winRM: guest.WinRM()}
	o.beforePath, _ = agent.Script(launchagent.BeforeSysprep)
	o.specializePath, _ = agent.Script(launchagent.Specialize)
	if o.beforePath != "" {
		o.before = guest.FileRead(o.beforePath, 0, maxGuestFile)
	}
	if o.specializePath != "" {
		o.specialize = guest.FileRead(o.specializePath, 0, maxGuestFile)
	}
	return o
}

func (o *outlook) calls() []guest.Asker {
	calls := []guest.Asker{o.deny, o.winRM}
	for _, read := range []*guest.Call[guest.Piece]{o.before, o.specialize} {
		if read != nil {
			calls = append(calls, read)
		}
	}
	return calls
}

// script is a script as it will be when the guest is sealed.
func (r *run) script(path string, read *guest.Call[guest.Piece]) []byte {
	for _, file := range r.files {
		if file.Path == path {
			return file.Data
		}
	}
	if read == nil {
		return nil
	}
	return read.Or(guest.Piece{}).Data
}

// foretell works out what an instance from the image will do. answers is the
// answer file that Sysprep gets, nil when it does not run.
func (r *run) foretell(o *outlook, made madeSettings, answers *answerfile.File) {
	exposure, err := o.winRM.Answer()
	image := forecast.Image{
		Agent: r.agentPlan(made, answers != nil), Computer: r.facts.Identity.Computer,
		DenyRDP: o.deny.Or(guest.Value{}).Text == "1", WinRMUnknown: err != nil || !exposure.Known,
	}
	for _, listener := range exposure.Listeners {
		if listener.Enabled {
			image.WinRM = append(image.WinRM, listener.Transport+" on "+listener.Port)
		}
	}
	if answers != nil {
		component, script := answers.OpensRDP()
		name, _ := answers.Value("computer_name")
		image.Setup = &forecast.Setup{
			Password: answers.SetsAdministratorPassword(), Scrambles: answers.ScramblesPassword(), ComputerName: name,
			ClosesRDP:   batchfile.ClosesRDP(r.script(o.beforePath, o.before)),
			OpensRDP:    component || script && (o.specializePath == "" || batchfile.OpensRDP(r.script(o.specializePath, o.specialize))),
			ClosesWinRM: r.config.CloseWinRM,
		}
	}
	r.forecast = forecast.Of(image)
}

// agentPlan is what the launch agent will do by its settings.
func (r *run) agentPlan(made madeSettings, generalized bool) forecast.Agent {
	switch main := made[launchagent.MainConfig].(type) {
	case *agentconfig.EC2LaunchV2:
		return forecast.EC2LaunchV2(main)
	case *agentconfig.LaunchConfig:
		return forecast.EC2LaunchV1(main)
	case *agentconfig.EC2Config:
		if bundle, ok := made[launchagent.BundleConfig].(*agentconfig.BundleConfig); ok {
			return forecast.EC2Config(bundle, main, generalized)
		}
	}
	return forecast.Agent{Title: r.facts.Agent.Title(), Invalid: "its settings are missing or broken"}
}

// sayForecast tells the user, while there is still time to change one's mind.
func (r *run) sayForecast() {
	r.say("What an instance from this image does at its first boot, as far as its files say:")
	for _, line := range r.forecast.Lines() {
		if line.Warning {
			r.say("  Warning: %s", line)
		} else {
			r.say("  %s", line)
		}
	}
}
