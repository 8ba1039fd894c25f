package windows

import (
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// What a start made of the built-in administrator's password.
const (
	// PasswordKept: it is the one that the account had before.
	PasswordKept = "kept"
	// PasswordRandom: an agent made one up.
	PasswordRandom = "random"
	// PasswordSpecified: it stood in the answer file, in an agent's settings or
	// in a script.
	PasswordSpecified = "specified"
	// PasswordNone: nobody knows one, and the account is disabled.
	PasswordNone = "none"
)

// passwordScrambled is a password that the specialize pass made up and nobody
// was told. Where nobody sets another one, the account ends up disabled.
const passwordScrambled = "scrambled"

// FirstBoot is what Windows and its launch agent made of a start of the
// machine: of the first boot of an instance, when the guest had been sealed or
// its agent had been told to begin anew, otherwise of an ordinary start. No
// password is in it.
type FirstBoot struct {
	// SetUp says that Windows Setup ran (specialize and OOBE).
	SetUp bool
	// ComputerName is the computer's name now.
	ComputerName string
	// Password says where the built-in administrator's password comes from: one
	// of the Password constants. See [FirstBoot.PasswordIs].
	Password string
	// PasswordShown says that the agent printed the password, encrypted, on the
	// console, where GetPasswordData finds it.
	PasswordShown bool
	// UserDataRuns is how often the user data was run at this start.
	UserDataRuns int
	// RDPAllowed says that Remote Desktop lets people in (fDenyTSConnections is 0).
	RDPAllowed bool
	// WinRMListens says that WinRM runs and has a listener.
	WinRMListens bool
	// SSMStart is the start mode of the SSM agent's service, in CIM's words:
	// "Auto", "Manual", "Disabled". SSMRuns says that it runs.
	SSMStart string
	SSMRuns  bool
	// Tasks are what the agent did, in order: tasks of agent-config.yml as
	// "preReady/setAdminAccount", scheduled tasks of EC2Launch v1 by their
	// name, plug-ins of EC2Config by theirs.
	Tasks []string
	// AgentFault says why the agent did not do its work, or fell back to its
	// defaults; empty when it did what its settings say.
	AgentFault string

	// password is the hash of the password.
	password string
}

// PasswordIs says whether the built-in administrator can log on with a password.
func (f FirstBoot) PasswordIs(text string) bool {
	return f.password != "" && f.password == hash([]byte(text))
}

// Ran says whether the agent did a task, named as in Tasks.
func (f FirstBoot) Ran(task string) bool {
	for _, one := range f.Tasks {
		if strings.EqualFold(one, task) {
			return true
		}
	}
	return false
}

// FirstBoot returns what the latest start of the machine came to; false while
// it has not been started again, or has not come up yet.
func (g *Guest) FirstBoot() (FirstBoot, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == nil {
		return FirstBoot{}, false
	}
	return *g.first, true
}

// startup is a start of the machine while it goes on. It is a process that
// stands for Windows itself: what it starts runs as SYSTEM.
type startup struct {
	*process
	tasks        []string
	shown        bool
	userDataRuns int
	fault        string
	setUpRan     bool
}

// beginStartup enters the process of a start; nil when the machine is off.
func (g *Guest) beginStartup(b *boot) *startup {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.boot != b || g.closed {
		return nil
	}
	s := &startup{process: &process{name: "wininit", file: `C:\Windows\System32\wininit.exe`, folder: `C:\Windows\System32`, user: systemUser, stdin: emptyInput{}}}
	g.enter(b.ctx, s.process)
	g.first, g.origin = nil, PasswordKept
	return s
}

// systemUser is the account of services.
const systemUser = "SYSTEM"

// agents lets the launch agents work. Each waits until Windows says that it is
// installed: after a restart in the middle of generalize, for ever.
func (s *startup) agents() {
	state := ""
	s.do(func(g *Guest) { state = g.hive.text(stateKey, "ImageState") })
	if state != stateComplete {
		s.fail("it waits for " + stateComplete + ", and the image state is " + state)
		s.do(func(g *Guest) { g.printSetUp(state) })
		return
	}
	for _, agent := range s.guest.agents {
		agent.start(s)
	}
}

// fail notes why the agent did not do its work. The first reason counts.
func (s *startup) fail(reason string) {
	if s.fault == "" {
		s.fault = reason
	}
}

// did notes a task of the agent's.
func (s *startup) did(task string) { s.tasks = append(s.tasks, task) }

// carryOut runs a command line of the answer file's or of a script's, as
// CreateProcess does, and notes a code other than 0.
func (s *startup) carryOut(what, line string) {
	file, arguments := "", ""
	s.do(func(g *Guest) { file, arguments = g.splitProgram(line) })
	if file == "" {
		return
	}
	code, err := s.callSilently(file, arguments)
	s.do(func(g *Guest) {
		switch {
		case err != nil:
			g.note(what + ": " + asCallError(err).Message)
		case code != 0:
			g.note(what + ": " + base(file) + " ended with another code than 0")
		}
	})
}

// splitProgram splits a command line into the program and its arguments as
// CreateProcess does: a path with spaces that is not quoted is tried from the
// left until it is a file. The lock is held.
func (g *Guest) splitProgram(line string) (file, arguments string) {
	line = strings.TrimSpace(g.expand(line))
	if strings.HasPrefix(line, `"`) {
		return firstWord(line)
	}
	for at := range len(line) + 1 {
		if at < len(line) && line[at] != ' ' {
			continue
		}
		for _, path := range []string{line[:at], line[:at] + ".exe"} {
			if absolute(path) && g.disk.file(path) != nil {
				return path, strings.TrimSpace(line[at:])
			}
		}
	}
	return firstWord(line)
}

// finish ends a start and says what it came to. It returns whether WinRM
// listens, and false for up when the machine went off meanwhile.
func (s *startup) finish() (listens, up bool) {
	up = s.do(func(g *Guest) {
		g.authGone = false
		g.startServices(s.setUpRan)
		_, administrator := g.administrator()
		listens = g.winRMListens()
		ssm := g.services[ssmService]
		result := FirstBoot{
			SetUp: s.setUpRan, ComputerName: g.computer(),
			Password: g.origin, PasswordShown: s.shown, UserDataRuns: s.userDataRuns,
			RDPAllowed:   g.hive.text(terminalKey, "fDenyTSConnections") == "0",
			WinRMListens: listens, SSMStart: ssm.StartMode, SSMRuns: ssm.State == "Running",
			Tasks: s.tasks, AgentFault: s.fault,
		}
		if !administrator.Disabled && administrator.Password != "" {
			result.password = hash([]byte(administrator.Password))
		}
		g.first, g.starting = &result, false
		g.reachable = listens
	})
	return listens, up
}

// administrator returns the built-in administrator, whatever it is called. The
// lock is held.
func (g *Guest) administrator() (name string, account Account) {
	for name, account := range g.accounts {
		if strings.HasSuffix(account.SID, "-500") {
			return name, account
		}
	}
	return "Administrator", Account{}
}

// setPassword gives an account a password and enables it; false means that
// there is no such account. The lock is held.
func (g *Guest) setPassword(user, password, origin string) bool {
	name, account, ok := g.account(user)
	if !ok {
		return false
	}
	account.Password, account.Disabled = password, false
	g.accounts[name] = account
	if strings.HasSuffix(account.SID, "-500") {
		g.origin = origin
	}
	return true
}

// madeUp returns a text that nobody can foresee and that is another one each time. The lock is held.
func (g *Guest) madeUp() string {
	g.invented++
	return hash([]byte(stamp(g.nowLocked()) + string(rune(g.invented)) + g.computer()))
}

// randomPassword makes a password up. The lock is held.
func (g *Guest) randomPassword() string { return g.madeUp()[:20] + "Aa1!" }

// strong says whether a password meets Windows' default policy: six characters
// of three of the four classes, without the account's name. Source: Microsoft,
// "Password must meet complexity requirements".
func strong(password, user string) bool {
	if len([]rune(password)) < 6 || len(user) > 2 && strings.Contains(strings.ToLower(password), strings.ToLower(user)) {
		return false
	}
	return classes(password) >= 3
}

// classes counts the classes of characters in a password: capitals, small
// letters, digits and the rest.
func classes(password string) (n int) {
	var capital, small, digit, other bool
	for _, c := range password {
		switch {
		case c >= 'A' && c <= 'Z':
			capital = true
		case c >= 'a' && c <= 'z':
			small = true
		case c >= '0' && c <= '9':
			digit = true
		default:
			other = true
		}
	}
	for _, there := range []bool{capital, small, digit, other} {
		if there {
			n++
		}
	}
	return n
}

// rename gives the computer another name. The lock is held.
func (g *Guest) rename(name string) {
	g.name.Store(&name)
	g.setText(computerKey+`\ComputerName`, "ComputerName", name)
	g.setText(computerKey+`\ActiveComputerName`, "ComputerName", name)
}

// computer returns the computer's name.
func (g *Guest) computer() string { return *g.name.Load() }

// Keys that a start reads and writes.
const (
	computerKey = `HKLM\SYSTEM\CurrentControlSet\Control\ComputerName`
	terminalKey = `HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`
	listenerKey = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Listener`
)

// startServices lets services run as their start type says: those that are
// disabled do not, and those that start by themselves and did so when the guest
// was made do again. EC2Launch v2 does its work in a moment and ends; after
// Windows Setup the SSM agent waits for its task startSsm. The lock is held.
func (g *Guest) startServices(setUp bool) {
	for name, service := range g.services {
		described := g.machine.Services[name]
		held := name == v2Service || name == ssmService && setUp && g.disk.file(v2Program) != nil
		switch {
		case service.StartMode == "Disabled":
			service.State = "Stopped"
		case service.StartMode == "Auto" && described.State == "Running" && !held:
			service.State = "Running"
		}
		g.services[name] = service
	}
}

// winRMListens says whether the service runs and has a listener. The lock is held.
func (g *Guest) winRMListens() bool {
	return g.services["WinRM"].State == "Running" && len(g.listeners()) > 0
}

// listeners returns WinRM's listeners: the described ones whose key in the
// registry is still there. The lock is held.
func (g *Guest) listeners() []guest.Listener {
	var found []guest.Listener
	for _, one := range g.machine.WinRM.Listeners {
		if g.hive.key(listenerPath(one)) != nil {
			found = append(found, one)
		}
	}
	return found
}

func listenerPath(l guest.Listener) string {
	return listenerKey + `\` + l.Address + "+" + l.Transport
}
