package forecast

import (
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
)

// EC2LaunchV2 is what EC2Launch v2 does with an agent-config.yml.
func EC2LaunchV2(file *agentconfig.EC2LaunchV2) Agent {
	agent := Agent{Title: "EC2Launch v2", UserData: true, Invalid: firstError(file.Check())}
	for _, task := range file.Tasks() {
		inputs, _ := task.Inputs.(map[string]any)
		switch task.Name {
		case "setAdminAccount":
			password, _ := inputs["password"].(map[string]any)
			kind, _ := password["type"].(string)
			agent.By = "setAdminAccount: " + kind
			switch strings.ToLower(kind) {
			case "random":
				agent.Password = agentconfig.Random
			case "static", "encrypted":
				agent.Password = agentconfig.Specify
			case "donothing":
				agent.Password = agentconfig.Keep
			}
		case "setHostName":
			agent.Names = true
			agent.Name, _ = inputs["hostName"].(string)
			agent.Restarts, _ = inputs["reboot"].(bool)
		}
	}
	return agent
}

// EC2LaunchV1 is what EC2Launch v1 does with a LaunchConfig.json. With a file in
// which it finds a mistake it takes its defaults without a word: a random
// password, and user data.
func EC2LaunchV1(file *agentconfig.LaunchConfig) Agent {
	agent := Agent{Title: "EC2Launch v1"}
	if fault := firstError(file.Check()); fault != "" {
		agent.Password, agent.By = agentconfig.Random, "its default, because LaunchConfig.json is wrong"
		agent.UserData, agent.UserDataBy = true, agent.By
		return agent
	}
	kind, _ := file.Value("adminPasswordType")
	agent.By = "adminPasswordType: " + kind
	switch strings.ToLower(kind) {
	case "random":
		agent.Password = agentconfig.Random
	case "specify", "encrypted":
		agent.Password = agentconfig.Specify
	default:
		agent.Password = agentconfig.Keep
	}
	handles, ok := file.Value("handleUserData")
	agent.UserData = ok && strings.EqualFold(handles, "true")
	agent.UserDataBy = "handleUserData: " + orMissing(handles)
	names, _ := file.Value("setComputerName")
	agent.Names = strings.EqualFold(names, "true")
	agent.Restarts = agent.Names
	return agent
}

// EC2Config is what EC2Config does with its Config.xml, once Sysprep has run
// through it or, with generalized false, without that: its Sysprep enables the
// plug-in for the password when BundleConfig.xml says so.
func EC2Config(bundle *agentconfig.BundleConfig, config *agentconfig.EC2Config, generalized bool) Agent {
	agent := Agent{Title: "EC2Config", Password: agentconfig.Keep, By: "Ec2SetPassword: Disabled"}
	if enabled, _ := config.Plugin("Ec2SetPassword"); enabled {
		agent.Password, agent.By = agentconfig.Random, "Ec2SetPassword: Enabled"
	}
	if after, _ := bundle.Property("SetPasswordAfterSysprep"); generalized && strings.EqualFold(after, "Yes") {
		agent.Password, agent.By = agentconfig.Random, "SetPasswordAfterSysprep: Yes"
	}
	state := "Disabled"
	if agent.UserData, _ = config.Plugin("Ec2HandleUserData"); agent.UserData {
		state = "Enabled"
	}
	agent.UserDataBy = "Ec2HandleUserData: " + state
	agent.Names, _ = config.Plugin("Ec2SetComputerName")
	agent.Restarts = agent.Names
	return agent
}

func orMissing(value string) string {
	if value == "" {
		return "missing"
	}
	return value
}

// firstError is the first thing for which an agent refuses a file, "" for none.
func firstError(findings []agentconfig.Finding) string {
	for _, f := range findings {
		if f.Severity == finding.Error {
			return f.Message
		}
	}
	return ""
}
