package windows

import (
	"context"
	"errors"
	"maps"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
)

// Hooks are what happens outside the guest because of it. They are called
// without any lock held, in the goroutine that caused them; nil ones are not
// called.
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
	// name is the computer's name, which Windows Setup changes.
	name atomic.Pointer[string]
	// origin says where the built-in administrator's password comes from.
	origin string
	// invented counts what was made up.
	invented int
	// starting says that the machine has been switched on and is not ready yet.
	starting bool
	// first is what the latest start came to, nil until it has.
	first *FirstBoot
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
	disabled                            bool
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
		agents:    []launchAgent{ec2LaunchV2{}, ec2LaunchV1{}, ec2Config{}},
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
	g.name.Store(&g.machine.Computer)
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
	for _, listener := range g.machine.WinRM.Listeners {
		g.setDword(listenerPath(listener), "enabled", 1)
	}
	for _, folder := range []string{`C:\ProgramData`, tasksFolder} {
		_, _ = g.disk.makeFolder(folder)
	}
	for name, t := range g.machine.Tasks {
		g.addTask(&task{name: name, file: t.File, arguments: t.Arguments, user: t.User, disabled: t.Disabled})
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
	if name == v2Service {
		if !g.machine.SerialTaken {
			g.v2Log("Info: Stage: postReadyUserData execution completed")
		}
		g.v2Log("Info: EC2Launch stopped")
	}
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

// Close ends everything that runs and waits for it.
func (g *Guest) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.end()
	g.work.Wait()
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
		"computername":           g.computer(),
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
