package windows

import (
	"context"
	"sort"
	"time"
)

// switchOn begins a boot at the given moment. The lock is held, or nobody else
// knows the guest yet.
func (g *Guest) switchOn(at time.Time) *boot {
	ctx, cancel := context.WithCancelCause(g.life)
	g.boot = &boot{ctx: ctx, cancel: cancel, at: at}
	g.boots++
	g.shutting = false
	g.authGone = false
	g.cuts = 0
	g.first = nil
	g.running = map[int]*process{}
	g.resident("System", 4)
	for _, name := range g.machine.Processes {
		g.resident(name, 0)
	}
	names := make([]string, 0, len(g.services))
	for name := range g.services {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		service := g.services[name]
		if service.State == "Running" && service.Process != "" {
			g.resident(service.Process, 0)
		}
		if service.State == "Running" && name == v2Service {
			g.v2Busy()
		}
		if service.State == "Running" && service.StopsAfter > 0 {
			g.background(g.boot, func() { g.stopService(name, time.Duration(service.StopsAfter)) })
		}
	}
	return g.boot
}

// PowerOn switches the machine on: it boots, and WinRM answers after a while.
// On a machine that is on nothing happens.
func (g *Guest) PowerOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.boot != nil {
		return
	}
	b := g.switchOn(g.nowLocked())
	g.starting = true
	g.background(b, func() { g.bootUp(b) })
}

// bootUp is what happens between switching on and the moment at which WinRM
// answers: Windows Setup on a sealed guest, then what the launch agents do.
func (g *Guest) bootUp(b *boot) {
	if g.clock.Wait(b.ctx, time.Duration(g.machine.Power.BootTakes)) != nil {
		return
	}
	s := g.beginStartup(b)
	if s == nil {
		return
	}
	listens, up := false, s.setUp()
	if up {
		s.agents()
		listens, up = s.finish()
	}
	s.leave(0)
	if up && listens {
		g.tellNetwork(NetworkUp)
	}
}

// PowerOff switches the machine off at once, as EC2 does when a shutdown takes
// too long: everything that runs ends, what is on the disk stays.
func (g *Guest) PowerOff() { g.switchOff(nil) }

// switchOff ends a boot (any, when of is nil) and says whether it did.
func (g *Guest) switchOff(of *boot) bool {
	g.mu.Lock()
	b := g.boot
	if b == nil || (of != nil && of != b) {
		g.mu.Unlock()
		return false
	}
	g.boot = nil
	was := g.reachable
	g.reachable = false
	g.running = map[int]*process{}
	g.disk.held = map[string]bool{}
	g.mu.Unlock()
	b.cancel(errOff)
	if was {
		g.tellNetwork(NetworkOff)
	}
	return true
}

func (g *Guest) tellNetwork(network Network) {
	if g.hooks.Network != nil {
		g.hooks.Network(network)
	}
}

// shutDown shuts the machine down: the network goes first, then everything
// ends, then the machine is off. With reboot it comes up again. The lock is held.
func (g *Guest) shutDown(reboot bool) {
	b := g.boot
	if b == nil || g.shutting {
		return
	}
	g.shutting = true
	takes := time.Duration(g.machine.Power.ShutdownTakes)
	g.background(b, func() {
		if g.clock.Wait(b.ctx, takes/3) != nil {
			return
		}
		g.mu.Lock()
		was := g.reachable && g.boot == b
		g.reachable = false
		g.mu.Unlock()
		if was {
			g.RestartWinRM()
			g.tellNetwork(NetworkOff)
		}
		if g.machine.Power.NeverOff {
			<-b.ctx.Done()
			return
		}
		if g.clock.Wait(b.ctx, takes-takes/3) != nil {
			return
		}
		if !g.switchOff(b) {
			return
		}
		if reboot {
			g.PowerOn()
			return
		}
		if g.hooks.PowerOff != nil {
			g.hooks.PowerOff()
		}
	})
}

// Reboot reboots the machine, as Windows does after an update.
func (g *Guest) Reboot() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutDown(true)
}

// CutNetwork takes the network away, for a while or (0) until MendNetwork.
// What runs on the guest goes on.
func (g *Guest) CutNetwork(d time.Duration) {
	g.mu.Lock()
	b := g.boot
	if b == nil {
		g.mu.Unlock()
		return
	}
	was := g.reachable
	g.reachable = false
	g.cuts++
	mine := g.cuts
	if d > 0 {
		g.background(b, func() {
			if g.clock.Wait(b.ctx, d) == nil {
				g.mend(b, mine)
			}
		})
	}
	g.mu.Unlock()
	if was {
		g.tellNetwork(NetworkCut)
	}
}

// MendNetwork ends every cut.
func (g *Guest) MendNetwork() { g.mend(g.currentBoot(), 0) }

// mend ends the cut with the given number unless another one came later.
func (g *Guest) mend(b *boot, number int) {
	g.mu.Lock()
	if b == nil || g.boot != b || g.shutting || g.reachable || !g.winRMListens() || (number != 0 && number != g.cuts) {
		g.mu.Unlock()
		return
	}
	g.reachable = true
	g.mu.Unlock()
	g.tellNetwork(NetworkUp)
}

// RestartWinRM restarts the WinRM service: the shells are gone.
func (g *Guest) RestartWinRM() {
	if g.hooks.DropShells != nil {
		g.hooks.DropShells()
	}
}
