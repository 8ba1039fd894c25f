package windows

import (
	"slices"
	"strconv"
	"strings"
)

const servicesKey = `HKLM\SYSTEM\CurrentControlSet\Services\`

// startModes are the start types: sc.exe's word, CIM's, and the registry's number.
var startModes = []struct{ word, mode, number string }{
	{"auto", "Auto", "2"},
	{"demand", "Manual", "3"},
	{"disabled", "Disabled", "4"},
}

// setStart gives a service a start type, in sc.exe's words; false means that
// there is no such service or type. The lock is held.
func (g *Guest) setStart(name, word string) bool {
	word, delayed := strings.CutPrefix(word, "delayed-")
	for known, service := range g.services {
		at := slices.IndexFunc(startModes, func(m struct{ word, mode, number string }) bool { return m.word == word })
		if !strings.EqualFold(known, name) || at < 0 {
			continue
		}
		service.StartMode = startModes[at].mode
		g.services[known] = service
		g.hive.write(servicesKey+known, "Start", Word(startModes[at].number))
		if delayed {
			g.hive.write(servicesKey+known, "DelayedAutostart", Word("1"))
		} else {
			g.hive.deleteValue(servicesKey+known, "DelayedAutostart")
		}
		return true
	}
	return false
}

// runSc is sc.exe config with start=, start and stop. What else it can do, the
// model does not have.
func runSc(p *process) int {
	words := splitLine(p.arguments)
	switch {
	case len(words) == 4 && strings.EqualFold(words[0], "config") && strings.EqualFold(words[2], "start="):
		done := false
		p.do(func(g *Guest) { done = g.setStart(words[1], strings.ToLower(words[3])) })
		if !done {
			p.say("[SC] OpenService FAILED 1060:")
			return 1060
		}
		p.say("[SC] ChangeServiceConfig SUCCESS")
		return 0
	case len(words) == 2 && strings.EqualFold(words[0], "stop"):
		return p.switchService(words[1], false)
	case len(words) == 2 && strings.EqualFold(words[0], "start"):
		return p.switchService(words[1], true)
	}
	p.do(func(g *Guest) { g.note("not modelled: " + p.file + " " + p.arguments) })
	return 0
}

// switchService starts or stops a service. Without WinRM's nobody can connect
// any more; the shells that are open go with it.
func (p *process) switchService(name string, on bool) (code int) {
	network := Network(-1)
	p.do(func(g *Guest) {
		code = 1060
		for known, service := range g.services {
			if !strings.EqualFold(known, name) {
				continue
			}
			switch runs := service.State == "Running"; {
			case on && service.StartMode == "Disabled":
				code = 1058
			case on && runs:
				code = 1056
			case !on && !runs:
				code = 1062
			default:
				code = 0
				service.State = "Stopped"
				if on {
					service.State = "Running"
				}
				g.services[known] = service
			}
			if code == 0 && known == "WinRM" && g.reachable != on && !g.starting {
				g.reachable = on
				network = NetworkOff
				if on {
					network = NetworkUp
				}
			}
		}
	})
	if code != 0 {
		p.complain("The service could not be started or stopped: error " + strconv.Itoa(code) + ".")
		return code
	}
	switch network {
	case NetworkOff:
		p.guest.RestartWinRM()
		p.guest.tellNetwork(NetworkOff)
	case NetworkUp:
		p.guest.tellNetwork(NetworkUp)
	}
	return 0
}
