package windows

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// sysprepRun is one sysprep.exe with /generalize.
type sysprepRun struct {
	*process
	quiet, shutdown bool
	answerFile      string
}

// runSysprep is sysprep.exe: validation, cleanup, generalize, with the signs
// that Windows gives of each (image state, SysprepStatus, tag, logs).
func runSysprep(p *process) int {
	run := &sysprepRun{process: p}
	generalize := false
	for _, word := range splitLine(p.arguments) {
		switch lower := strings.ToLower(word); {
		case lower == "/generalize":
			generalize = true
		case lower == "/quiet":
			run.quiet = true
		case lower == "/shutdown":
			run.shutdown = true
		case strings.HasPrefix(lower, "/unattend:"):
			run.answerFile = word[len("/unattend:"):]
		}
	}
	run.network()
	if !generalize {
		run.info("WinMain:Displaying dialog box for user to choose sysprep mode...")
		<-p.ctx.Done()
		return killedCode
	}
	return run.carryOut()
}

// network has the network behave as described while Sysprep works.
func (s *sysprepRun) network() {
	s.do(func(g *Guest) {
		behaviour, b := g.machine.Network, g.boot
		later := func(after Duration, act func()) {
			if after <= 0 {
				return
			}
			g.background(b, func() {
				if g.clock.Wait(b.ctx, time.Duration(after)) == nil {
					act()
				}
			})
		}
		later(behaviour.CutAfter, func() { g.CutNetwork(time.Duration(behaviour.CutFor)) })
		later(behaviour.ServiceRestartAfter, g.RestartWinRM)
		later(g.machine.Power.RebootAfter, g.Reboot)
	})
}

// write adds a line to setupact.log, and to setuperr.log when it is an error.
// The format is Windows Setup's (reference/guest.md, 6).
func (s *sysprepRun) write(level, id, text string) {
	s.do(func(g *Guest) {
		bracket := ""
		if id != "" {
			bracket = "[" + id + "]"
		}
		line := fmt.Sprintf("%s, %-10s %-10s SYSPRP %s\r\n", g.nowLocked().UTC().Format("2006-01-02 15:04:05"), level, bracket, text)
		g.disk.extend(actionLog, []byte(line))
		if level == "Error" {
			g.disk.extend(errorLog, []byte(line))
		}
	})
}

func (s *sysprepRun) info(text string)            { s.write("Info", "", text) }
func (s *sysprepRun) infoID(id, text string)      { s.write("Info", id, text) }
func (s *sysprepRun) error(text string)           { s.write("Error", "", text) }
func (s *sysprepRun) verdict(id, text string)     { s.write("Error", id, text) }
func (s *sysprepRun) behaviour() SysprepBehaviour { return s.guest.machine.Sysprep }

func (s *sysprepRun) carryOut() int {
	s.header()
	if refusal := s.answerFileFault(); refusal != nil {
		for _, line := range refusal.Lines {
			s.error(line)
		}
		s.verdict("0x0f0036", fmt.Sprintf("spparse: Unable to initiate the unattend pass; hr = 0x%x", refusal.Code))
		s.verdict("0x0f00d8", fmt.Sprintf("WinMain:Hit failure while pre-validate sysprep generalize internal providers; hr = 0x%x", refusal.Code))
		return s.stopHere()
	}
	if !s.stateAllows() {
		return s.stopHere()
	}
	if !s.wait(time.Duration(s.behaviour().Validate) / 2) {
		return killedCode
	}
	s.info("SysprepSession::CreateXPathForSelection: Sysprep mode in registry is <null>")
	s.info("SysprepSession::CreateXPathForSelection: Processor architecture in registry is " + s.guest.machine.Architecture)
	if refusal := s.refusal(); refusal != nil {
		s.fails(refusal, "validating actions from", "Failed while validating Sysprep session actions")
		s.verdict("0x0f00d8", fmt.Sprintf("WinMain:Hit failure while pre-validate sysprep generalize internal providers; hr = 0x%x", hresult(refusal.Code)))
		return s.stopHere()
	}
	if !s.wait(time.Duration(s.behaviour().Validate) - time.Duration(s.behaviour().Validate)/2) {
		return killedCode
	}
	s.infoID("0x0f003e", "WinMain:Pre-validation has succeeded")
	if !s.cleanup() {
		return killedCode
	}
	return s.generalize()
}

func (s *sysprepRun) header() {
	s.do(func(g *Guest) { _, _ = g.disk.makeFolder(panther) })
	now := ""
	s.do(func(g *Guest) { now = g.nowLocked().UTC().Format("2006-01-02 15:04:05") })
	s.infoID("0x0f004d", "The time is now "+now)
	s.infoID("0x0f004e", "Initialized SysPrep log at "+panther)
	s.infoID("0x0f0054", "ValidatePrivileges:User has required privileges to sysprep machine")
	existed := false
	pending := false
	s.do(func(g *Guest) {
		existed, _ = g.disk.remove(tagFile, false)
		pending = len(g.hive.read(`HKLM\SYSTEM\CurrentControlSet\Control\Session Manager`, "PendingFileRenameOperations").Texts) > 0
	})
	if existed {
		s.infoID("0x0f007c", "FCreateTagFile:Tag file "+tagFile+" already exists, deleting it")
	} else {
		s.infoID("0x0f007e", "FCreateTagFile:Tag file "+tagFile+" does not already exist, no need to delete anything")
	}
	if pending {
		s.write("Warning", "", "WinMain: File operations pending")
	}
	s.infoID("0x0f005f", `ParseCommands:Found supported command line option 'GENERALIZE'`)
	s.infoID("0x0f005f", `ParseCommands:Found supported command line option 'OOBE'`)
	if s.answerFile == "" {
		s.info("SysprepSearchForUnattend: No unattend file was specified or located")
		return
	}
	s.infoID("0x0f0076", "SysprepSearchForUnattend: Using unattend file at path '"+s.answerFile+"'")
}

// answerFileFault says what is wrong with the answer file, nil when nothing is.
func (s *sysprepRun) answerFileFault() *Refusal {
	if s.answerFile == "" {
		return nil
	}
	var data []byte
	there := false
	s.do(func(g *Guest) {
		if n := g.disk.file(g.expand(s.answerFile)); n != nil {
			data, there = n.data, true
		}
	})
	if !there {
		return &Refusal{Lines: []string{"SysprepSearchForUnattend: The file '" + s.answerFile + "' cannot be opened; hr = 0x80070002"}, Code: 0x80070002}
	}
	line, column, ok := wellFormed(data)
	if ok {
		return nil
	}
	return &Refusal{Code: 0x80220001, Lines: []string{
		"UnattendSearchExplicitPath: Windows could not parse or process unattend answer file [" + s.answerFile + "]",
		fmt.Sprintf("UnattendErrorFromResults: Error text = An error was detected at line %d column %d of the answer file.", line, column),
	}}
}

// wellFormed says whether an answer file is XML with the right root, and
// where it is not.
func wellFormed(data []byte) (line, column int, ok bool) {
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	decoder.Strict = true
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	root := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && root {
			return 0, 0, true
		}
		line, column = decoder.InputPos()
		if err != nil {
			return line, column, false
		}
		start, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		if !root && (start.Name.Local != "unattend" || start.Name.Space != "urn:schemas-microsoft-com:unattend") {
			return line, column, false
		}
		root = true
		if unbound(start.Name.Space) {
			return line, column, false
		}
		for _, attribute := range start.Attr {
			if unbound(attribute.Name.Space) {
				return line, column, false
			}
		}
	}
}

// unbound says whether Go's decoder left a prefix in place of its namespace.
func unbound(space string) bool {
	return space != "" && space != "xmlns" && space != "xml" && !strings.ContainsAny(space, ":/")
}

// stateAllows checks that no earlier generalize is unfinished.
func (s *sysprepRun) stateAllows() bool {
	state := "7"
	s.do(func(g *Guest) {
		if value := g.hive.read(sysprepKey, "GeneralizationState"); value.Exists {
			state = value.Text
		}
	})
	if state == "7" {
		return true
	}
	s.verdict("0x0f0073", "RunDlls:Not running DLLs; either the machine is in an invalid state or we couldn't update the recorded state, dwRet = 0x1f")
	s.verdict("0x0f00d8", "WinMain:Hit failure while pre-validate sysprep generalize internal providers; hr = 0x8007001f")
	return false
}

// refusal returns why Sysprep refuses at validation: as described, or because
// of what is on the guest.
func (s *sysprepRun) refusal() (refusal *Refusal) {
	if described := s.behaviour().Refuse; described != nil {
		return described
	}
	s.do(func(g *Guest) {
		provisioned := map[string]bool{}
		for _, name := range g.machine.Provisioned {
			provisioned[strings.ToLower(name)] = true
		}
		for _, one := range g.machine.AppX {
			if one.Installed && !one.Framework && !one.NonRemovable && one.Signature != "System" && !provisioned[strings.ToLower(one.Name)] {
				refusal = RefuseAppX(one.FullName)
				return
			}
		}
		volumes, _ := g.instances(`root\cimv2\Security\MicrosoftVolumeEncryption`, "Win32_EncryptableVolume")
		for _, volume := range volumes {
			if property(volume, "ProtectionStatus") == "1" {
				refusal = RefuseBitLocker()
				return
			}
		}
		if active := g.hive.text(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager`, "ActiveScenario"); active != "" && active != "0" {
			refusal = RefuseReservedStorage()
		}
	})
	return refusal
}

// fails writes what a failing provider leaves.
func (s *sysprepRun) fails(refusal *Refusal, session, platform string) {
	s.info("ActionPlatform::LaunchModule: Executing method '" + refusal.Method + "' from " + refusal.Library)
	for _, line := range refusal.Lines {
		s.error(line)
	}
	code := fmt.Sprintf("0x%x", refusal.Code)
	s.error("ActionPlatform::LaunchModule: Failure occurred while executing '" + refusal.Method + "' from " + refusal.Library + "; dwRet = " + code)
	s.error("SysprepSession::Execute: Error in " + session + " " + sysprepFolder + `\ActionFiles\Generalize.xml; dwRet = ` + code)
	s.error("RunPlatformActions:" + platform + "; dwRet = " + code)
	s.verdict("0x0f0070", "RunDlls:An error occurred while running registry sysprep DLLs, halting sysprep execution. dwRet = "+code)
}

// hresult turns a Windows error code into an HRESULT.
func hresult(code uint32) uint32 {
	if code < 0x10000 {
		return 0x80070000 | code
	}
	return code
}

// stopHere is what sysprep.exe does after a failure: it ends, or waits for
// ever behind a message box.
func (s *sysprepRun) stopHere() int {
	if s.behaviour().MessageBox && !s.quiet {
		<-s.ctx.Done()
		return killedCode
	}
	return 1
}

// providers are worked through one after the other; each leaves two lines.
var cleanupProviders = []string{"spopk.dll, Sysprep_Clean_Opk", "setupapi.dll, Sysprep_Clean_Logs", "wuaueng.dll, CleanupForImaging", "capisp.dll, CryptoSysPrep_Clean"}

var generalizeProviders = []string{
	"spbcd.dll, Sysprep_Generalize_Bcd", "sppnp.dll, Sysprep_Generalize_Pnp", "msdtcprx.dll, SysPrepDtcGeneralize",
	"slc.dll, SLReArmWindows", "winshfhc.dll, MRTComponent_Generalize", "tssysprep.dll, TSSysPrepGeneralize",
	"shsetup.dll, SysprepGeneralize", "reagent.dll, WinRE_Generalize", "wuaueng.dll, GeneralizeForImaging", "scecli.dll, SceSysPrep",
}

// cleanup is the first phase that changes something.
func (s *sysprepRun) cleanup() bool {
	s.do(func(g *Guest) {
		g.setImageState(stateUndeployable)
		g.setDword(sysprepKey, "CleanupState", 1)
	})
	s.infoID("0x0f00ad", "WinMain:Processing sysprep cleanup providers")
	each := time.Duration(s.behaviour().Cleanup) / time.Duration(len(cleanupProviders))
	for _, provider := range cleanupProviders {
		s.info("ActionPlatform::LaunchModule: Executing method from " + provider)
		if !s.wait(each) {
			return false
		}
		s.info("ActionPlatform::LaunchModule: Successfully executed " + provider)
	}
	s.do(func(g *Guest) { g.setDword(sysprepKey, "CleanupState", 2) })
	s.infoID("0x0f00ac", "WinMain:Sysprep cleanup providers have finished")
	return true
}

// generalize is the phase after which the image is sealed.
func (s *sysprepRun) generalize() int {
	s.do(func(g *Guest) { g.setDword(sysprepKey, "GeneralizationState", 3) })
	s.infoID("0x0f00a7", "WinMain:Processing sysprep generalize providers")
	behaviour := s.behaviour()
	each := time.Duration(behaviour.Generalize) / time.Duration(len(generalizeProviders))
	for i, provider := range generalizeProviders {
		s.info("ActionPlatform::LaunchModule: Executing method from " + provider)
		if !s.wait(each) {
			return killedCode
		}
		if i == len(generalizeProviders)/2 {
			switch {
			case behaviour.DiesInGeneralize:
				return killedCode
			case behaviour.HangsInGeneralize:
				<-s.ctx.Done()
				return killedCode
			case behaviour.FailsInGeneralize != nil:
				s.fails(behaviour.FailsInGeneralize, "executing actions from", "Failed while executing Sysprep session actions")
				s.verdict("0x0f00a8", fmt.Sprintf("WinMain:Hit failure while processing sysprep generalize internal providers; hr = 0x%x", hresult(behaviour.FailsInGeneralize.Code)))
				return s.stopHere()
			}
		}
		switch {
		case strings.HasPrefix(provider, "spbcd"):
			s.error("BCD: BiUpdateEfiEntry failed c000000d")
			s.error("BCD: BiExportBcdObjects failed c000000d")
		case strings.HasPrefix(provider, "slc"):
			if !s.rearm() {
				return s.stopHere()
			}
		case strings.HasPrefix(provider, "shsetup"):
			s.do(func(g *Guest) { g.authGone = g.authGone || g.machine.Network.UnauthorizedInGeneralize })
		}
		s.info("ActionPlatform::LaunchModule: Successfully executed " + provider)
	}
	return s.finish()
}

// rearm uses up one of Windows' rearms, unless the answer file says SkipRearm.
func (s *sysprepRun) rearm() bool {
	left := "1"
	skip := false
	s.do(func(g *Guest) {
		if objects, _ := g.instances(`root\cimv2`, "SoftwareLicensingService"); len(objects) > 0 {
			left = property(objects[0], "RemainingWindowsReArmCount")
		}
		if n := g.disk.file(g.expand(s.answerFile)); n != nil {
			skip = bytes.Contains(n.data, []byte("<SkipRearm>1</SkipRearm>"))
		}
	})
	if left != "0" || skip {
		return true
	}
	refusal := RefuseRearm()
	s.fails(refusal, "executing actions from", "Failed while executing Sysprep session actions")
	s.verdict("0x0f00a8", fmt.Sprintf("WinMain:Hit failure while processing sysprep generalize internal providers; hr = 0x%x", refusal.Code))
	return false
}

// finish leaves the seal.
func (s *sysprepRun) finish() int {
	s.do(func(g *Guest) {
		g.setDword(sysprepKey, "GeneralizationState", 4)
		g.setDword(sysprepKey, "CleanupState", 2)
		g.setDword(setupKey, "SetupType", 2)
		g.setText(setupKey, "CmdLine", `oobe\windeploy.exe`)
		if n := g.disk.file(g.expand(s.answerFile)); n != nil {
			g.disk.place(`C:\Windows\Panther\unattend.xml`, n.data)
		}
		g.setImageState(stateGeneralized)
		if g.machine.Network.KeepPassword {
			return
		}
		b := g.boot
		g.background(b, func() {
			if g.clock.Wait(b.ctx, time.Duration(g.machine.Network.UnauthorizedAfter)) != nil {
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.authGone = g.authGone || g.boot == b
		})
	})
	if !s.wait(700 * time.Millisecond) {
		return killedCode
	}
	s.infoID("0x0f0080", "WinMain:Sysprep has finished the generalize phase")
	if !s.behaviour().NoTag {
		s.do(func(g *Guest) { g.disk.place(tagFile, nil) })
		s.infoID("0x0f0081", "FCreateTagFile:Created tag file "+tagFile)
	}
	if s.behaviour().HangsAtEnd {
		<-s.ctx.Done()
		return killedCode
	}
	if !s.wait(300 * time.Millisecond) {
		return killedCode
	}
	s.infoID("0x0f0052", "Shutting down SysPrep log")
	if s.shutdown {
		s.do(func(g *Guest) { g.shutDown(false) })
	}
	return 0
}
