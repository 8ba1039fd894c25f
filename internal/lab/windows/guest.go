package windows

import (
	"context"
	"errors"
	"maps"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
)

// Hooks are what happens outside the guest because of it. They are called
// without any lock held, in goroutines of the guest's; nil ones are not called.
type Hooks struct {
	// PowerOff: the guest has shut itself down and is off now.
	PowerOff func()
	// Network: how WinRM can be reached has changed.
	Network func(Network)
	// DropShells: the WinRM service restarts and ends its shells.
	DropShells func()
}

// Network is how WinRM can be reached.
type Network int

// The ways.
const (
	// NetworkUp: WinRM answers.
	NetworkUp Network = iota
	// NetworkCut: nothing comes through; what runs on the guest goes on.
	NetworkCut
	// NetworkOff: WinRM's service has stopped, or the machine is off.
	NetworkOff
)

// Guest is a modelled Windows that runs.
type Guest struct {
	machine Machine
	clock   *clock.Clock
	hooks   Hooks
	agents  []launchAgent

	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	boot      *boot // nil while the machine is off
	boots     int
	offset    time.Duration
	reachable bool
	cuts      int // who keeps the network away
	authGone  bool
	shutting  bool
	disk      *disk
	hive      *hive
	accounts  map[string]Account
	services  map[string]Service
	tasks     map[string]*task
	running   map[int]*process
	nextPID   int
	serial    []byte
	started   int
	notes     []string
	setupRuns int
}

// boot is the time between switching on and switching off.
type boot struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	at     time.Time
}

// task is a scheduled task.
type task struct {
	name, file, arguments, folder, user string
}

// errOff is why a process ends when the machine goes off.
var errOff = errors.New("the machine went off")

// errKilled is why a process ends that another one ended.
var errKilled = errors.New("the process was ended")

// New returns a guest that follows the description and has been running for
// some minutes. A nil clock is real time. Close must be called.
func New(machine Machine, c *clock.Clock, hooks Hooks) *Guest {
	g := &Guest{
		machine:   machine.Clone(),
		clock:     c,
		hooks:     hooks,
		agents:    []launchAgent{ec2LaunchV2{}},
		offset:    time.Duration(machine.ClockOffset),
		accounts:  maps.Clone(machine.Accounts),
		services:  map[string]Service{},
		tasks:     map[string]*task{},
		nextPID:   4,
		reachable: true,
	}
	if g.machine.Metadata == nil {
		g.machine.Metadata = map[string]string{}
	}
	g.life, g.end = context.WithCancel(context.Background())
	g.disk = newDisk(g.nowLocked)
	g.hive = newHive(g.administratorSID())
	g.furnish()
	g.switchOn(g.nowLocked().Add(-12 * time.Minute))
	return g
}

// furnish puts the description's things into the guest.
func (g *Guest) furnish() {
	first := g.nowLocked().Add(-time.Hour)
	now := g.disk.now
	paths := make([]string, 0, len(g.machine.Files))
	for path := range g.machine.Files {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		file := g.machine.Files[path]
		at := first.Add(-time.Duration(file.Age))
		g.disk.now = func() time.Time { return at }
		switch {
		case file.Absent:
			_, _ = g.disk.remove(path, true)
		case file.Folder:
			_, _ = g.disk.makeFolder(path)
		default:
			data := file.Data
			if data == nil {
				data = []byte(file.Text)
			}
			if n := g.disk.place(path, data); n != nil {
				n.version = file.Version
			}
		}
	}
	g.disk.now = now
	for name, value := range g.machine.Registry {
		key, valueName, isValue := strings.Cut(name, "!")
		if isValue {
			g.hive.write(key, valueName, value)
		} else {
			g.hive.make(key)
		}
	}
	for _, root := range []string{"HKLM", "HKU"} {
		g.hive.make(root)
	}
	for _, key := range g.machine.DeniedKeys {
		resolved, _ := g.hive.resolve(key)
		g.hive.denied[strings.ToLower(resolved)] = true
	}
	for name, service := range g.machine.Services {
		if !service.Absent {
			g.services[name] = service
		}
	}
}

// administratorSID returns the SID of the account with the relative id 500.
func (g *Guest) administratorSID() string {
	for _, account := range g.accounts {
		if strings.HasSuffix(account.SID, "-500") {
			return account.SID
		}
	}
	return machineSID + "-500"
}

// switchOn begins a boot at the given moment. The lock is held, or nobody else
// knows the guest yet.
func (g *Guest) switchOn(at time.Time) *boot {
	ctx, cancel := context.WithCancelCause(g.life)
	g.boot = &boot{ctx: ctx, cancel: cancel, at: at}
	g.boots++
	g.shutting = false
	g.authGone = false
	g.cuts = 0
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
		if service.State == "Running" && service.StopsAfter > 0 {
			g.background(g.boot, func() { g.stopService(name, time.Duration(service.StopsAfter)) })
		}
	}
	return g.boot
}

// resident puts a process into the list that only is there.
func (g *Guest) resident(name string, pid int) {
	if pid == 0 {
		pid = g.newPID()
	}
	g.running[pid] = &process{guest: g, boot: g.boot, name: name, pid: pid}
}

func (g *Guest) newPID() int {
	g.nextPID += 4 * (1 + g.nextPID%7)
	return g.nextPID
}

// background runs something that belongs to a boot and that Close waits for.
func (g *Guest) background(b *boot, body func()) {
	if g.closed || b == nil {
		return
	}
	g.work.Add(1)
	go func() {
		defer g.work.Done()
		body()
	}()
}

func (g *Guest) stopService(name string, after time.Duration) {
	b := g.currentBoot()
	if b == nil || g.clock.Wait(b.ctx, after) != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.boot != b {
		return
	}
	service := g.services[name]
	service.State = "Stopped"
	g.services[name] = service
	for pid, p := range g.running {
		if p.cancel == nil && strings.EqualFold(p.name, service.Process) {
			delete(g.running, pid)
		}
	}
}

func (g *Guest) currentBoot() *boot {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boot
}

// nowLocked returns the guest's clock. The lock is held.
func (g *Guest) nowLocked() time.Time { return g.clock.Now().Add(g.offset) }

// stamp formats a time as PowerShell's "o" format does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

// PowerOn switches the machine on: it boots, and WinRM answers after a while.
// On a machine that is on nothing happens.
func (g *Guest) PowerOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.boot != nil {
		return
	}
	b := g.switchOn(g.nowLocked())
	g.background(b, func() { g.bootUp(b) })
}

// bootUp is what happens between switching on and the moment at which WinRM answers.
func (g *Guest) bootUp(b *boot) {
	if g.clock.Wait(b.ctx, time.Duration(g.machine.Power.BootTakes)) != nil {
		return
	}
	if !g.setUp(b) {
		return
	}
	g.mu.Lock()
	if g.boot != b {
		g.mu.Unlock()
		return
	}
	g.print("Windows is Ready to use")
	g.reachable = true
	g.mu.Unlock()
	g.tellNetwork(NetworkUp)
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

// Close ends everything that runs and waits for it.
func (g *Guest) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.end()
	g.work.Wait()
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
	if b == nil || g.boot != b || g.shutting || g.reachable || (number != 0 && number != g.cuts) {
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

// Password implements [winrm.Windows].
func (g *Guest) Password(user string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.boot == nil || g.authGone {
		return "", false
	}
	_, account, ok := g.account(user)
	if !ok || account.Disabled || account.Password == "" {
		return "", false
	}
	return account.Password, true
}

// account finds an account by its name, with or without the computer before it.
func (g *Guest) account(user string) (name string, account Account, ok bool) {
	if at := strings.LastIndexByte(user, '\\'); at >= 0 {
		user = user[at+1:]
	}
	for name, account := range g.accounts {
		if strings.EqualFold(name, user) {
			return name, account, true
		}
	}
	return user, Account{}, false
}

// print puts a line on COM1 as the launch agents do. The lock is held.
func (g *Guest) print(text string) {
	g.serial = append(g.serial, g.nowLocked().UTC().Format("2006/01/02 15:04:05Z")+": "+text+"\r\n"...)
}

// note remembers something that the lab could not carry out.
func (g *Guest) note(text string) { g.notes = append(g.notes, text) }

// expand replaces the %variables% that Windows' own programs know.
func (g *Guest) expand(text string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, found := strings.Cut(rest, "%")
		value, known := g.variables()[strings.ToLower(name)]
		switch {
		case !found:
			out.WriteString("%" + rest)
			return out.String()
		case known:
			out.WriteString(value)
			text = after
		default:
			out.WriteString("%" + name)
			text = "%" + after
		}
	}
}

func (g *Guest) variables() map[string]string {
	return map[string]string{
		"programdata":            `C:\ProgramData`,
		"allusersprofile":        `C:\ProgramData`,
		"programfiles":           `C:\Program Files`,
		"windir":                 `C:\Windows`,
		"systemroot":             `C:\Windows`,
		"systemdrive":            "C:",
		"temp":                   tempFolder,
		"tmp":                    tempFolder,
		"userprofile":            `C:\Users\Administrator`,
		"comspec":                `C:\Windows\System32\cmd.exe`,
		"os":                     "Windows_NT",
		"computername":           g.machine.Computer,
		"processor_architecture": g.machine.Architecture,
	}
}

const tempFolder = `C:\Users\Administrator\AppData\Local\Temp`

// setDword writes a number into the registry. The lock is held.
func (g *Guest) setDword(key, name string, number int) {
	g.hive.write(key, name, guest.Value{Kind: guest.KindDWord, Text: strconv.Itoa(number)})
}

func (g *Guest) setText(key, name, text string) {
	g.hive.write(key, name, guest.Value{Kind: guest.KindString, Text: text})
}

// setImageState writes the image state where Windows keeps it.
func (g *Guest) setImageState(state string) {
	g.setText(stateKey, "ImageState", state)
	g.disk.place(`C:\Windows\Setup\State\State.ini`, []byte("[State]\r\nImageState="+state+"\r\n"))
}
