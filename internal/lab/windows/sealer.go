package windows

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// sealer is seal.ps1 over the modelled Windows. It does what the text does, in
// the same order, with the same words in its state.
type sealer struct {
	*process
	folder string
	plan   guest.SealPlan
	state  guest.SealState
	began  time.Time

	errorFrom, actionFrom int64
	// command is the last command that was started.
	command *process
}

// errEnded is what a step returns when the sealer's process has been ended.
var errEnded = failed("the sealer was ended")

// seal is powershell.exe with the starter of seal.ps1.
func (p *process) seal(folder string) int {
	s := &sealer{process: p, folder: clean(folder), began: p.guest.clock.Now()}
	p.folder = s.folder
	var text []byte
	known := false
	p.do(func(g *Guest) {
		script := g.disk.file(s.path(guest.ScriptFile))
		if script == nil {
			return
		}
		known = strings.ReplaceAll(string(script.data), "\r\n", "\n") == strings.ReplaceAll(guest.SealScript, "\r\n", "\n")
		if plan := g.disk.file(s.path(guest.PlanFile)); plan != nil {
			text = plan.data
		}
	})
	if !known {
		p.complain("the lab cannot run this command: powershell.exe with a script that is not the plugin's seal.ps1")
		p.do(func(g *Guest) { g.note("the text of " + s.path(guest.ScriptFile) + " is not the plugin's seal.ps1") })
		return 1
	}
	if err := json.Unmarshal(text, &s.plan); err != nil {
		p.do(func(g *Guest) { g.note("the sealer cannot read its plan: " + err.Error()) })
		return 1
	}
	s.state.Token, s.state.PID = s.plan.Token, p.pid
	if !s.claim() {
		return 2
	}
	return s.work()
}

func (s *sealer) path(name string) string { return s.folder + `\` + name }

func (s *sealer) elapsed() time.Duration { return s.guest.clock.Now().Sub(s.began) }

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// claim creates the exclusive file; false means that it was there.
func (s *sealer) claim() (mine bool) {
	s.do(func(g *Guest) {
		if g.disk.find(s.path(guest.ClaimFile)) != nil {
			return
		}
		_, err := g.disk.write(s.path(guest.ClaimFile), []byte(guest.ClaimBySealer))
		mine = err == nil
	})
	return mine
}

// save replaces state.json.
func (s *sealer) save(phase string) {
	s.state.Phase = phase
	s.state.Seq++
	s.state.Elapsed = s.elapsed().Milliseconds()
	for range 5 {
		written := false
		alive := s.do(func(g *Guest) {
			s.state.Time = stamp(g.nowLocked())
			data, err := json.Marshal(s.state)
			if err != nil {
				return
			}
			_, err = g.disk.write(s.path(guest.StateFile), data)
			written = err == nil
		})
		if written || !alive || !s.wait(100*time.Millisecond) {
			return
		}
	}
}

func (s *sealer) trouble(text string) { s.state.Troubles = append(s.state.Troubles, text) }

// console puts a line on COM1.
func (s *sealer) console(line string) {
	s.do(func(g *Guest) {
		if g.machine.SerialTaken {
			s.trouble("COM1: Access to the port 'COM1' is denied.")
			return
		}
		g.serial = append(g.serial, line+"\r\n"...)
	})
}

func (s *sealer) work() int {
	s.save(guest.PhaseStarted)
	if s.plan.Task != "" {
		s.do(func(g *Guest) {
			if !g.dropTask(s.plan.Task) {
				s.trouble("deleting the task: The system cannot find the file specified. (Exception from HRESULT: 0x80070002)")
			}
		})
	}
	s.save(guest.PhaseApplying)
	if failure := s.acts(s.plan.Apply, false); failure != "" {
		return s.fail(guest.ReasonApply, failure)
	}
	if s.plan.Generalize {
		s.do(func(g *Guest) {
			_, _ = g.disk.remove(s.plan.Tag, false)
			s.errorFrom = g.length(s.plan.ErrorLog)
			s.actionFrom = g.length(s.plan.ActionLog)
		})
	}
	s.look()
	s.save(guest.PhaseCommand)
	var last *process
	for i, command := range s.plan.Commands {
		child, err := s.launch(command.File, command.Arguments, s.path(guest.OutputFile))
		if err != nil {
			return s.fail(guest.ReasonCommand, asCallError(err).Message)
		}
		last, s.command = child, child
		if i == len(s.plan.Commands)-1 && s.plan.Generalize {
			break
		}
		left := max(time.Second, seconds(s.plan.Limits.Total)-s.elapsed())
		code, ended := s.awaitFor(child, left)
		if s.ctx.Err() != nil {
			return killedCode
		}
		if !ended {
			return s.fail(guest.ReasonTimeout, command.File+" did not end")
		}
		if code != 0 {
			s.state.CommandCode = code
			return s.fail(guest.ReasonCommand, command.File+" ended with code "+strconv.Itoa(code))
		}
	}
	if s.plan.Generalize {
		reason, err := s.watch(last)
		if err != nil {
			return killedCode
		}
		if reason != "" {
			return s.fail(reason, "")
		}
	} else {
		s.state.CommandEnded = true
	}
	return s.sealed()
}

// leastWait is how much of the world's time the sealer waits for the
// acknowledgement at least: the watch lives in the world, whose machine may be
// busy, and not on a clock that runs fast.
const leastWait = time.Second

// sealed says the verdict, waits for its acknowledgement, and shuts down.
func (s *sealer) sealed() int {
	s.save(guest.PhaseSealed)
	s.console(s.plan.ConsoleSealed)
	sealedAt := s.elapsed()
	limit := max(seconds(s.plan.Limits.Seen), s.guest.clock.Lab(leastWait))
	for {
		seen := false
		s.do(func(g *Guest) { seen = g.disk.file(s.path(guest.SeenFile)) != nil })
		if seen || s.elapsed()-sealedAt >= limit {
			break
		}
		if !s.wait(250 * time.Millisecond) {
			return killedCode
		}
	}
	s.acts(s.plan.Sealed, true)
	if s.plan.Shutdown != "sealed" {
		s.save(guest.PhaseStayingUp)
		return 0
	}
	return s.stopWindows()
}

// stopWindows is Stop-Windows: shutdown.exe, and CIM where that is refused.
func (s *sealer) stopWindows() int {
	s.save(guest.PhaseShutdown)
	child, err := s.start(s.job, &process{file: `C:\Windows\System32\shutdown.exe`, arguments: "/s /t 0 /f /d p:2:4", folder: `C:\Windows`, stdin: emptyInput{}})
	if err == nil {
		code, ended := s.awaitFor(child, 30*time.Second)
		if ended && (code == 0 || code == 1115 || code == 1190) {
			return 0
		}
		if s.do(func(g *Guest) {
			if g.machine.Power.ShutdownDenied {
				err = failed("Win32Shutdown returned 1314")
				return
			}
			g.shutDown(false)
		}) && err == nil {
			return 0
		}
	}
	if err != nil {
		s.trouble("shutting down: " + asCallError(err).Message)
		s.save(guest.PhaseStayingUp)
	}
	return 0
}

// fail says why, puts back what was changed and stays up.
func (s *sealer) fail(reason, detail string) int {
	if s.ctx.Err() != nil {
		return killedCode
	}
	s.state.Reason = reason
	if detail != "" {
		s.state.Detail = detail
	}
	s.save(guest.PhaseFailed)
	s.console(s.plan.ConsoleFailed)
	// An agent that goes on would start Sysprep after all has been put back.
	s.do(func(g *Guest) {
		if s.command != nil && g.running[s.command.pid] == s.command {
			g.killTree(s.command)
		}
	})
	if s.plan.Generalize {
		s.do(func(g *Guest) { g.kill(s.plan.Process) })
	}
	s.acts(s.plan.Failed, true)
	s.do(func(g *Guest) { s.state.ImageState = g.hive.text(stateKey, "ImageState") })
	s.save(guest.PhasePutBack)
	return 1
}

// look reads the image state.
func (s *sealer) look() {
	s.do(func(g *Guest) { s.state.ImageState = g.hive.text(stateKey, "ImageState") })
}

// launch is Start-Program: through cmd.exe, the output into a file.
func (s *sealer) launch(file, arguments, output string) (*process, error) {
	return s.start(s.job, &process{
		file: `C:\Windows\System32\cmd.exe`, folder: s.folder, stdin: emptyInput{},
		arguments: `/d /s /c ""` + file + `" ` + arguments + ` >> "` + output + `" 2>&1"`,
	})
}

// awaitFor waits for a child's end, for at most d.
func (s *sealer) awaitFor(child *process, d time.Duration) (code int, ended bool) {
	limit := time.NewTimer(s.guest.clock.Real(d))
	defer limit.Stop()
	select {
	case <-child.done:
		return child.code, true
	case <-limit.C:
	case <-s.ctx.Done():
	}
	return 0, false
}

// watch is Wait-Seal: the reason why Sysprep did not seal, or nothing.
func (s *sealer) watch(command *process) (reason string, err error) {
	endedAt, wrongSince := time.Duration(-1), time.Duration(-1)
	rightSince := time.Duration(-1)
	shown, moved := "", ""
	movedAt := s.elapsed()
	for {
		now := s.elapsed()
		select {
		case <-command.done:
			if !s.state.CommandEnded {
				s.state.CommandEnded, s.state.CommandCode = true, command.code
				endedAt = now
			}
		default:
		}
		var newErrors, newActions string
		var lengths string
		if !s.do(func(g *Guest) {
			s.state.SysprepRuns = len(g.named(s.plan.Process)) > 0
			s.state.ImageState = g.hive.text(stateKey, "ImageState")
			s.state.Tag = g.disk.file(s.plan.Tag) != nil
			newErrors = g.news(s.plan.ErrorLog, s.errorFrom)
			newActions = g.news(s.plan.ActionLog, s.actionFrom)
			lengths = strconv.FormatInt(g.length(s.plan.ErrorLog), 10) + "|" + strconv.FormatInt(g.length(s.plan.ActionLog), 10)
		}) {
			return "", errEnded
		}
		s.state.SysprepSeen = s.state.SysprepSeen || s.state.SysprepRuns
		text := strings.Join([]string{
			yesNo(s.state.CommandEnded), yesNo(s.state.SysprepSeen), yesNo(s.state.SysprepRuns), s.state.ImageState, yesNo(s.state.Tag),
		}, " ")
		if text != shown {
			shown = text
			s.save(guest.PhaseCommand)
		}
		if text += "|" + lengths; text != moved {
			moved, movedAt = text, now
		}
		gone := !s.state.SysprepRuns && (s.state.SysprepSeen || s.state.CommandEnded)
		right := s.state.ImageState == s.plan.ImageState && s.state.Tag
		gaveUp := !right && (s.givenUp(newErrors) || s.givenUp(newActions))
		switch {
		case !gone || !right:
			rightSince = -1
		case rightSince < 0:
			rightSince = now
		case now-rightSince >= time.Second && (s.state.CommandEnded || now-rightSince >= seconds(s.plan.Limits.Grace)):
			return "", nil
		}
		wrong := !right && (gaveUp || !s.state.SysprepRuns && s.state.SysprepSeen)
		switch {
		case !wrong:
			wrongSince = -1
		case wrongSince < 0:
			wrongSince = now
		case now-wrongSince >= seconds(s.plan.Limits.Grace):
			if gaveUp {
				return guest.ReasonGaveUp, nil
			}
			return guest.ReasonState, nil
		}
		if !right && !s.state.SysprepSeen && endedAt >= 0 && now-endedAt >= seconds(s.plan.Limits.Appear) {
			s.state.Detail = "the agent ended with code " + strconv.Itoa(s.state.CommandCode)
			return guest.ReasonNeverSeen, nil
		}
		if now-movedAt >= seconds(s.plan.Limits.Stall) {
			return guest.ReasonStalled, nil
		}
		if now >= seconds(s.plan.Limits.Total) {
			return guest.ReasonTimeout, nil
		}
		if !s.wait(500 * time.Millisecond) {
			return "", errEnded
		}
	}
}

func (s *sealer) givenUp(text string) bool {
	if text == "" {
		return false
	}
	for _, pattern := range s.plan.GiveUp {
		expression, err := regexp.Compile(pattern)
		if err != nil {
			continue
		}
		if found := expression.FindString(text); found != "" {
			s.state.Detail = found
			return true
		}
	}
	return false
}

// length returns how long a file is, 0 when there is none. The lock is held.
func (g *Guest) length(path string) int64 {
	if n := g.disk.file(path); n != nil {
		return int64(len(n.data))
	}
	return 0
}

// news returns what was added to a log since it was from bytes long. The lock is held.
func (g *Guest) news(path string, from int64) string {
	n := g.disk.file(path)
	if n == nil {
		return ""
	}
	size := int64(len(n.data))
	if size < from {
		from = 0
	}
	return string(bytes.ReplaceAll(n.data[max(from, size-1<<20):], []byte{0}, nil))
}
