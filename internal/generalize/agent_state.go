package generalize

import (
	"fmt"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// agentState is what the agent changes on its way to Sysprep besides files and
// registry values, as it is before: scheduled tasks and the start types of
// services.
type agentState struct {
	job      *Job
	tasks    map[string]*guest.Call[guest.Stat]
	services map[string]*guest.Call[guest.Key]
}

const (
	// tasksFolder is where Windows keeps the definitions of scheduled tasks, in
	// the form that schtasks.exe imports.
	tasksFolder = `%windir%\System32\Tasks`
	// servicesKey is where it keeps the start types of services.
	servicesKey = `HKLM\SYSTEM\CurrentControlSet\Services\`
	// actLimit bounds a program that puts something back, in seconds.
	actLimit = 60
)

// agentState returns the questions after the state.
func (j *Job) agentState() (*agentState, []guest.Asker) {
	s := &agentState{job: j, tasks: make(map[string]*guest.Call[guest.Stat]), services: make(map[string]*guest.Call[guest.Key])}
	var calls []guest.Asker
	for _, name := range j.Agent.Tasks(j.Order) {
		s.tasks[name] = guest.FileStat(j.taskFile(name))
		calls = append(calls, s.tasks[name])
	}
	for _, name := range j.Agent.StartTypes() {
		s.services[name] = guest.RegistryKey(servicesKey + name)
		calls = append(calls, s.services[name])
	}
	return s, calls
}

// putBack adds to a plan what keeps the state and what puts it back after a failure.
func (s *agentState) putBack(plan *guest.SealPlan) error {
	for i, name := range s.job.Agent.Tasks(s.job.Order) {
		found, err := s.tasks[name].Answer()
		if err != nil {
			return fmt.Errorf("looking at the scheduled task %s on the guest: %w", name, err)
		}
		file := s.job.taskFile(name)
		if !found.Exists {
			plan.Failed = append(plan.Failed, s.job.windowsProgram("cmd.exe", `/d /c if exist "`+file+`" schtasks.exe /delete /f /tn "`+name+`"`))
			continue
		}
		kept := s.job.inFolder(fmt.Sprintf(`kept\task-%d.xml`, i+1))
		plan.Apply = append(plan.Apply, guest.Act{Act: guest.ActCopy, From: file, Path: kept})
		plan.Failed = append(plan.Failed, s.job.windowsProgram("schtasks.exe", `/create /f /tn "`+name+`" /xml "`+kept+`"`))
	}
	for _, name := range s.job.Agent.StartTypes() {
		found, err := s.services[name].Answer()
		if err != nil {
			return fmt.Errorf("reading the start type of the service %s on the guest: %w", name, err)
		}
		if start := startType(found); start != "" {
			plan.Failed = append(plan.Failed, s.job.windowsProgram("sc.exe", "config "+name+" start= "+start))
		}
	}
	return nil
}

func (j *Job) taskFile(name string) string { return j.expand(tasksFolder) + `\` + name }

// windowsProgram is the run of a program of Windows' own.
func (j *Job) windowsProgram(name, arguments string) guest.Act {
	return guest.Act{Act: guest.ActRun, Path: j.expand(`%windir%\System32\`) + name, Arguments: arguments, Seconds: actLimit}
}

// startType is a service's start type as sc.exe spells it, empty for a service
// that is not there. The numbers are those of Microsoft's documentation of
// CreateService.
func startType(service guest.Key) string {
	switch service.Value("Start").Text {
	case "2":
		if service.Value("DelayedAutostart").Text == "1" {
			return "delayed-auto"
		}
		return "auto"
	case "3":
		return "demand"
	case "4":
		return "disabled"
	}
	return ""
}

// removeTemporary puts into the sealed image what has to be there in the place
// of the temporary files: their lasting content, or else what they replaced, by
// the same acts as after a failure.
func (j *Job) removeTemporary(plan *guest.SealPlan) {
	for i, f := range j.Files {
		switch {
		case !f.Temporary:
			continue
		case f.Lasting != nil:
			plan.Sealed = append(plan.Sealed, guest.Act{Act: guest.ActCopy, From: j.lastingPath(i), Path: j.expand(f.Path)})
			continue
		}
		for _, act := range plan.Failed {
			if strings.EqualFold(act.Path, j.expand(f.Path)) {
				plan.Sealed = append(plan.Sealed, act)
			}
		}
	}
}
