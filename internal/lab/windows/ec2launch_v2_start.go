package windows

import (
	"fmt"
	"slices"
)

// start is EC2LaunchService: the stages of agent-config.yml. Tasks for the
// first boot run when there is no .run-once, and the others at every start.
func (ec2LaunchV2) start(s *startup) {
	var data []byte
	due, first, invalid := false, false, ""
	s.do(func(g *Guest) {
		due = g.disk.file(v2Program) != nil && g.services[v2Service].StartMode != "Disabled"
		first = g.disk.file(v2RunOnce) == nil
		invalid = g.machine.Agent.InvalidConfig
		if n := g.disk.file(v2Config); n != nil {
			data = n.data
		}
	})
	if !due {
		return
	}
	s.v2Log("Info: EC2Launch Service starting")
	config, err := readAgentConfig(data)
	if err == nil && invalid != "" {
		err = fmt.Errorf("%s", invalid)
	}
	if err != nil {
		// The service ends before its first stage.
		s.fail(err.Error())
		s.v2Log("Error: " + err.Error())
		s.v2State("failed")
		return
	}
	for _, stage := range agentStages {
		for _, one := range config.Config {
			if one.Stage != stage {
				continue
			}
			for _, task := range one.Tasks {
				s.v2Task(stage, task, first)
			}
		}
		s.v2Log("Info: Stage: " + stage + " completed.")
		if stage == "preReady" {
			s.do(func(g *Guest) { g.print("Message: Windows is Ready to use") })
		}
	}
	s.v2UserData(first)
	s.do(func(g *Guest) { g.disk.place(v2RunOnce, nil) })
	s.v2State("success")
	s.v2Log("Info: EC2Launch stopped")
}

// v2Task does one task of agent-config.yml, when it is due.
func (s *startup) v2Task(stage string, task agentTask, first bool) {
	ran := false
	switch agentTasks[task.Task].frequency {
	case once:
		ran = first
	case always:
		ran = true
	default:
		for _, item := range task.items() {
			if item["frequency"] == always || first {
				ran = true
				s.v2Item(task.Task, item)
			}
		}
	}
	if !ran {
		s.v2Log("Info: Skipping task " + stage + "-" + task.Task)
		return
	}
	s.did(stage + "/" + task.Task)
	switch task.Task {
	case "setAdminAccount":
		s.v2AdminAccount(task)
	case "setHostName":
		s.do(func(g *Guest) {
			name, ok := task.text("hostName"), true
			if name == "" {
				name, ok = g.addressName()
			}
			if ok {
				g.rename(name)
			}
		})
	case "startSsm":
		s.do(func(g *Guest) { g.runSSM() })
	}
}

// runSSM starts the SSM agent, unless its service is disabled or missing. The
// lock is held.
func (g *Guest) runSSM() {
	if service, ok := g.services[ssmService]; ok && service.StartMode != "Disabled" {
		service.State = "Running"
		g.services[ssmService] = service
	}
}

// v2AdminAccount is the task setAdminAccount.
func (s *startup) v2AdminAccount(task agentTask) {
	name := task.text("name")
	switch task.text("password", "type") {
	case "doNothing":
	case "static":
		s.adminPassword(name, task.text("password", "data"))
		s.do(func(g *Guest) {
			if n := g.disk.file(v2Config); n != nil {
				g.disk.place(v2Config, forgetPassword(n.data))
			}
		})
	case "encrypted":
		s.do(func(g *Guest) {
			g.note("setAdminAccount: the lab cannot decrypt a password; it makes one up")
			name, _ := g.administrator()
			g.setPassword(name, g.randomPassword(), PasswordSpecified)
		})
		s.showPassword()
	default:
		s.adminPassword(name, "")
	}
}

// v2Item carries out one input of executeScript, executeProgram or writeFile.
func (s *startup) v2Item(task string, item map[string]any) {
	text := func(name string) string {
		if value, ok := item[name].(string); ok {
			return value
		}
		return ""
	}
	switch {
	case task == "executeScript" && text("type") == "batch":
		s.runScript("executeScript", text("content"))
	case task == "executeScript":
		s.do(func(g *Guest) { g.note("not modelled: executeScript with PowerShell") })
	case task == "executeProgram":
		line := `"` + text("path") + `"`
		if arguments, ok := item["arguments"].([]any); ok {
			for _, one := range arguments {
				line += " " + fmt.Sprint(one)
			}
		}
		s.carryOut("executeProgram", line)
	case task == "writeFile":
		s.do(func(g *Guest) { g.disk.place(g.expand(text("destination")), []byte(text("content"))) })
	}
}

// v2UserData runs the user data: scripts once, or always when they say that
// they persist, and tasks as often as each of them says.
func (s *startup) v2UserData(first bool) {
	data, ok := s.instanceUserData()
	if !ok {
		return
	}
	if len(data.tasks) == 0 {
		if !first && !data.persist {
			return
		}
		s.v2Log("Info: Converting user-data to yaml format")
		s.v2Log("Info: Initializing user-data state")
		s.runUserData(data)
		s.v2Log("Info: Stage: postReadyUserData execution completed")
		return
	}
	ran := false
	for _, task := range data.tasks {
		for _, item := range task.items() {
			if slices.Contains([]string{"executeScript", "executeProgram", "writeFile"}, task.Task) && (first || item["frequency"] == always) {
				ran = true
				s.v2Item(task.Task, item)
			}
		}
	}
	if ran {
		s.userDataRuns++
	}
}

// v2Log adds a line to agent.log.
func (s *startup) v2Log(text string) { s.do(func(g *Guest) { g.v2Log(text) }) }

// v2Log adds a line to agent.log. The lock is held.
func (g *Guest) v2Log(text string) {
	g.disk.extend(v2Log, []byte(g.nowLocked().UTC().Format("2006-01-02 15:04:05")+" "+text+"\r\n"))
}

// v2State leaves what the run came to.
func (s *startup) v2State(status string) {
	s.do(func(g *Guest) {
		if n := g.disk.file(v2StateFile); n != nil {
			g.disk.place(v2Previous, n.data)
		}
		g.disk.place(v2StateFile, []byte(`{"status":"`+status+`"}`))
	})
}
