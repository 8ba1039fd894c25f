package windows

import (
	"slices"
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

// runSc is sc.exe config with start=. What else it can do, the model does not have.
func runSc(p *process) int {
	words := splitLine(p.arguments)
	if len(words) == 4 && strings.EqualFold(words[0], "config") && strings.EqualFold(words[2], "start=") {
		done := false
		p.do(func(g *Guest) { done = g.setStart(words[1], strings.ToLower(words[3])) })
		if !done {
			p.say("[SC] OpenService FAILED 1060:")
			return 1060
		}
		p.say("[SC] ChangeServiceConfig SUCCESS")
		return 0
	}
	p.do(func(g *Guest) { g.note("not modelled: " + p.file + " " + p.arguments) })
	return 0
}
