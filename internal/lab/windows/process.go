package windows

import (
	"context"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// process is a program that runs.
type process struct {
	guest *Guest
	boot  *boot
	name  string
	pid   int
	// parent is the number of the process that started this one.
	parent int
	user   string

	file, arguments, folder string

	stdin          io.Reader
	stdout, stderr io.Writer

	// job ends everything that was started here: the session, or the boot.
	job    context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc // nil for a process that only is there
	done   chan struct{}
	code   int
}

// program is what a process does; it returns the exit code.
type program func(p *process) int

// killedCode is the exit code of a process that was ended by another one.
const killedCode = -1

// do carries out one step with the guest's lock held, unless the process has
// been ended meanwhile: nothing happens after the machine went off.
func (p *process) do(step func(g *Guest)) bool {
	p.guest.mu.Lock()
	defer p.guest.mu.Unlock()
	if p.guest.boot != p.boot || p.ctx.Err() != nil {
		return false
	}
	step(p.guest)
	return true
}

// wait lets the process work for a while; false means that it was ended.
func (p *process) wait(d time.Duration) bool { return p.guest.clock.Wait(p.ctx, d) == nil }

// say writes a line to the process's stdout.
func (p *process) say(text string) {
	if p.stdout != nil {
		_, _ = io.WriteString(p.stdout, text+"\r\n")
	}
}

// complain writes a line to the process's stderr.
func (p *process) complain(text string) {
	if p.stderr != nil {
		_, _ = io.WriteString(p.stderr, text+"\r\n")
	}
}

// enter puts a process into the guest's list. The parent's end does not end
// it; ctx does. The lock is held.
func (g *Guest) enter(ctx context.Context, p *process) {
	p.guest, p.boot = g, g.boot
	p.pid = g.newPID()
	p.done = make(chan struct{})
	p.job = ctx
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	g.running[p.pid] = p
}

// leave takes a process out of the list.
func (p *process) leave(code int) {
	p.guest.mu.Lock()
	if context.Cause(p.ctx) != nil {
		code = killedCode
	}
	if p.guest.boot == p.boot {
		delete(p.guest.running, p.pid)
	}
	p.code = code
	p.guest.mu.Unlock()
	p.cancel(nil)
	close(p.done)
}

// spawn starts a program in a process of its own, which ends with ctx. The
// lock is held.
func (g *Guest) spawn(ctx context.Context, p *process, body program) *process {
	g.enter(ctx, p)
	g.work.Add(1)
	go func() {
		defer g.work.Done()
		p.leave(body(p))
	}()
	return p
}

// start finds a program and starts it as a child of p, within ctx.
func (p *process) start(ctx context.Context, child *process) (*process, error) {
	g := p.guest
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.boot != p.boot || g.closed {
		return nil, failed("the machine is off")
	}
	body, err := g.findProgram(child)
	if err != nil {
		return nil, err
	}
	if child.user == "" {
		child.user = p.user
	}
	child.parent = p.pid
	return g.spawn(ctx, child, body), nil
}

// await waits for a child's end and returns its exit code; false means that p
// was ended before.
func (p *process) await(child *process) (code int, ok bool) {
	select {
	case <-child.done:
		return child.code, true
	case <-p.ctx.Done():
		return killedCode, false
	}
}

// kill ends every process of a name. The lock is held.
func (g *Guest) kill(name string) {
	for _, p := range g.named(name) {
		g.killProcess(p)
	}
}

// killTree ends a process with all that it started, as taskkill /t does. The
// lock is held.
func (g *Guest) killTree(p *process) {
	for _, child := range g.named("*") {
		if child.parent == p.pid && child != p {
			g.killTree(child)
		}
	}
	g.killProcess(p)
}

// killProcess ends a process. The lock is held.
func (g *Guest) killProcess(p *process) {
	if p.cancel != nil {
		p.cancel(errKilled)
	}
	delete(g.running, p.pid)
}

// named returns the running processes of a name, which may hold wildcards,
// sorted by their number. The lock is held.
func (g *Guest) named(name string) []*process {
	var found []*process
	for _, p := range g.running {
		if wildcard(name, p.name) {
			found = append(found, p)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].pid < found[j].pid })
	return found
}

// list returns the running processes of the given names as the protocol tells
// them, sorted by name and number. The lock is held.
func (g *Guest) list(names []string) []guest.Running {
	seen := map[int]bool{}
	found := []guest.Running{}
	for _, name := range names {
		for _, p := range g.named(name) {
			if !seen[p.pid] {
				seen[p.pid] = true
				found = append(found, guest.Running{Name: p.name, PID: p.pid})
			}
		}
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := strings.ToLower(found[i].Name), strings.ToLower(found[j].Name)
		if a != b {
			return a < b
		}
		return found[i].PID < found[j].PID
	})
	return found
}
