package windows

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// launchConfig is LaunchConfig.json as EC2Launch v1 understood it.
type launchConfig struct {
	SetComputerName      bool
	SetMonitorAlwaysOn   any
	SetWallpaper         bool
	AddDnsSuffixList     bool //nolint:revive,staticcheck // The name in the file.
	ExtendBootVolumeSize bool
	HandleUserData       any
	AdminPasswordType    string
	AdminPassword        any
}

// defaultLaunchConfig is what the agent takes when the file has a fault.
func defaultLaunchConfig() launchConfig {
	return launchConfig{
		SetMonitorAlwaysOn: true, SetWallpaper: true, AddDnsSuffixList: true, ExtendBootVolumeSize: true,
		HandleUserData: true, AdminPasswordType: "Random", AdminPassword: "",
	}
}

// readLaunchConfig reads LaunchConfig.json by the rules of the agent's
// Confirm-LaunchConfig: four settings must be there and be true or false, the
// kind of password must be a known one, and the other three are not looked at
// (reference/guest.md, 2). Names have no case.
func readLaunchConfig(data []byte, encrypted bool) (launchConfig, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(narrow(data)), &object); err != nil {
		return launchConfig{}, fmt.Errorf("it cannot be parsed: %w", err)
	}
	fields := map[string]any{}
	for name, value := range object {
		lower := strings.ToLower(name)
		if _, twice := fields[lower]; twice {
			return launchConfig{}, errors.New("it holds " + lower + " twice")
		}
		fields[lower] = value
	}
	config := launchConfig{
		SetMonitorAlwaysOn: fields["setmonitoralwayson"], HandleUserData: fields["handleuserdata"], AdminPassword: fields["adminpassword"],
	}
	for name, into := range map[string]*bool{
		"setcomputername": &config.SetComputerName, "setwallpaper": &config.SetWallpaper,
		"adddnssuffixlist": &config.AddDnsSuffixList, "extendbootvolumesize": &config.ExtendBootVolumeSize,
	} {
		// PowerShell takes a number for a boolean, but no text.
		switch value := fields[name].(type) {
		case bool:
			*into = value
		case float64:
			*into = value != 0
		default:
			return launchConfig{}, errors.New(name + " is neither true nor false")
		}
	}
	kinds := []string{"Random", "Specify", "DoNothing"}
	if encrypted {
		kinds = append(kinds, "Encrypted")
	}
	given, _ := fields["adminpasswordtype"].(string)
	for _, kind := range kinds {
		if strings.EqualFold(kind, given) {
			config.AdminPasswordType = kind
			return config, nil
		}
	}
	return launchConfig{}, errors.New("adminpasswordtype is none of " + strings.Join(kinds, ", "))
}

// truthy says whether PowerShell takes a value for true.
func truthy(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case string:
		return value != ""
	case float64:
		return value != 0
	}
	return true
}

// start is what EC2Launch v1's scheduled tasks do at a start of Windows.
func (ec2LaunchV1) start(s *startup) {
	for _, name := range []string{v1InitializeTask, v1UserDataTask, v1DisksTask, v1EventsTask, v1ReadyTask} {
		arguments, due := "", false
		s.do(func(g *Guest) {
			t := g.tasks[strings.ToLower(name)]
			if t == nil || t.disabled {
				return
			}
			arguments, due = t.arguments, true
		})
		if !due {
			continue
		}
		s.did(name)
		switch name {
		case v1InitializeTask:
			s.v1Initialize(strings.Contains(arguments, "-KeepSchedule"))
		case v1UserDataTask:
			s.v1Persisted()
		case v1ReadyTask:
			s.do(func(g *Guest) { g.print("Message: Windows is Ready to use") })
		}
	}
}

// v1Initialize is InitializeInstance.ps1 as its task starts it.
func (s *startup) v1Initialize(keep bool) {
	metadata := true
	s.do(func(g *Guest) { metadata = !g.machine.MetadataOff })
	if !metadata {
		s.fail("it waits for the instance metadata")
		return
	}
	config := s.v1Config()
	if config.SetComputerName {
		s.do(func(g *Guest) {
			if name, ok := g.addressName(); ok {
				g.rename(name)
			}
		})
	}
	switch config.AdminPasswordType {
	case "Specify":
		specified, _ := config.AdminPassword.(string)
		config.AdminPassword = ""
		s.v1Save(config)
		if classes(specified) < 3 {
			specified = ""
		}
		s.adminPassword("", specified)
	case "Encrypted":
		s.do(func(g *Guest) {
			g.note("adminPasswordType Encrypted: the lab cannot decrypt a password; it makes one up")
			name, _ := g.administrator()
			g.setPassword(name, g.randomPassword(), PasswordSpecified)
		})
		s.showPassword()
	case "Random":
		s.adminPassword("", "")
	}
	s.do(func(g *Guest) {
		g.setStart(ssmService, "auto")
		g.v1Log("Message: Windows is Ready to use")
		g.print("Message: Windows is Ready to use")
		if t := g.tasks[strings.ToLower(v1InitializeTask)]; t != nil && !keep {
			done := *t
			done.disabled = true
			g.addTask(&done)
		}
	})
	persists := s.v1UserData(config, keep)
	s.do(func(g *Guest) { g.runSSM() })
	if keep {
		config.AdminPasswordType, config.SetMonitorAlwaysOn = "DoNothing", false
		if !persists {
			config.HandleUserData = false
		}
		s.v1Save(config)
	}
}

// v1Config returns the settings: those of LaunchConfig.json, or the defaults
// when it has a fault.
func (s *startup) v1Config() launchConfig {
	var data []byte
	there := false
	s.do(func(g *Guest) {
		if n := g.disk.file(v1Config); n != nil {
			data, there = n.data, true
		}
	})
	config, err := readLaunchConfig(data, v1{s.process}.version() >= 2004891)
	if err == nil && there {
		return config
	}
	if !there {
		err = errors.New("it is not there")
	}
	s.fail("LaunchConfig.json: " + err.Error() + "; all defaults are taken")
	s.do(func(g *Guest) {
		g.v1Log("Failed to read launch config: " + err.Error())
		g.v1Log("Using default config values")
	})
	return defaultLaunchConfig()
}

// v1Save writes LaunchConfig.json as the agent does: all settings, in its own spelling.
func (s *startup) v1Save(config launchConfig) {
	text, err := json.MarshalIndent(config, "", "    ")
	s.do(func(g *Guest) {
		if err != nil {
			g.note("LaunchConfig.json cannot be written: " + err.Error())
			return
		}
		g.disk.place(v1Config, []byte(strings.ReplaceAll(string(text), "\n", "\r\n")+"\r\n"))
	})
}

// v1UserData runs the user data of a first boot, and schedules it for the next
// ones when it says that it persists.
func (s *startup) v1UserData(config launchConfig, keep bool) (persists bool) {
	if !truthy(config.HandleUserData) {
		return false
	}
	data, ok := s.instanceUserData()
	if !ok || len(data.tasks) > 0 {
		s.do(func(g *Guest) { g.dropTask(v1UserDataTask) })
		return false
	}
	s.do(func(g *Guest) {
		switch {
		case keep:
		case data.persist:
			g.addTask(&task{name: v1UserDataTask, file: cmdProgram, arguments: v1UserDataAction, user: systemUser})
		default:
			g.dropTask(v1UserDataTask)
		}
	})
	s.runUserData(data)
	return data.persist
}

// v1Persisted is the task that runs the user data at every start, until it
// persists no more.
func (s *startup) v1Persisted() {
	if s.userDataRuns > 0 || !truthy(s.v1Config().HandleUserData) {
		return
	}
	data, ok := s.instanceUserData()
	if !ok || !data.persist {
		s.do(func(g *Guest) { g.dropTask(v1UserDataTask) })
		return
	}
	s.runUserData(data)
}
