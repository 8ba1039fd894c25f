package windows

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

func (p *process) hello() (any, error) {
	var identity guest.Identity
	ok := p.do(func(g *Guest) {
		_, account, _ := g.account(p.user)
		sid := account.SID
		if sid == "" {
			sid = "S-1-5-18"
		}
		folders := map[string]string{}
		for _, name := range []string{"ProgramData", "ProgramFiles", "windir", "SystemDrive", "TEMP"} {
			folders[name] = g.expand("%" + name + "%")
		}
		identity = guest.Identity{
			Protocol: guest.ProtocolVersion, PowerShell: g.machine.PowerShell, Edition: "Desktop",
			Language: g.machine.Language, Windows: true, OS64: true, Process64: true,
			Architecture: g.machine.Architecture, Computer: g.computer(),
			User: g.computer() + `\` + p.user, SID: sid, Administrator: account.Administrator || sid == "S-1-5-18",
			Culture: g.machine.Culture, Time: stamp(g.nowLocked()), Boot: stamp(g.boot.at), Folders: folders,
		}
	})
	if !ok {
		return nil, failed("the process was ended")
	}
	return identity, nil
}

func (g *Guest) processes(args guest.ProcessArgs) (any, error) {
	return guest.RunningProcesses{Processes: g.list(args.Names)}, nil
}

// capture keeps what a program prints: the last 64 KiB are told.
type capture struct {
	mu   sync.Mutex
	data []byte
}

func (c *capture) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = append(c.data, data...)
	return len(data), nil
}

func (c *capture) tail() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.data[max(0, len(c.data)-65536):])
}

func (p *process) run(args guest.RunArgs) (any, error) {
	if args.File == "" {
		return nil, invalid("no file")
	}
	var input io.Reader = bytes.NewReader(args.Input)
	stdout, stderr := &capture{}, &capture{}
	child, err := p.start(p.job, &process{file: args.File, arguments: args.Arguments, stdin: input, stdout: stdout, stderr: stderr})
	if err != nil {
		return nil, err
	}
	limit := time.NewTimer(p.guest.clock.Real(time.Duration(args.Milliseconds) * time.Millisecond))
	defer limit.Stop()
	ran := guest.Ran{}
	select {
	case <-child.done:
		ran.Code = child.code
	case <-p.ctx.Done():
		return nil, failed("the process was ended")
	case <-limit.C:
		p.do(func(g *Guest) { g.killProcess(child) })
		ran.Code, ran.TimedOut = killedCode, true
	}
	ran.Stdout, ran.Stderr = stdout.tail(), stderr.tail()
	return ran, nil
}

func (p *process) startDetached(args guest.StartArgs) (any, error) {
	var started guest.Started
	var err error
	if args.Via != guest.ViaTask && !p.wait(300*time.Millisecond) {
		return nil, failed("the process was ended")
	}
	p.do(func(g *Guest) {
		t := &task{name: args.Name, file: args.File, arguments: args.Arguments, folder: args.Folder, user: p.user}
		behaviour := g.machine.Start
		if args.Via == guest.ViaTask {
			if service := g.services["Schedule"]; service.State != "Running" {
				err = failed("The service is not available. (Exception from HRESULT: 0x80041315)")
				return
			}
			if behaviour.TaskDenied {
				err = &guest.CallError{Kind: guest.KindDenied, Message: "Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))"}
				return
			}
			g.addTask(t)
			if !behaviour.TaskNeverRuns {
				g.startOutside(t)
			}
			return
		}
		if behaviour.CIMRefused {
			err = failed("Win32_Process.Create returned 2")
			return
		}
		if behaviour.CIMNeverRuns {
			started.PID = g.newPID()
			return
		}
		started.PID = g.startOutside(t)
	})
	if err != nil {
		return nil, err
	}
	return started, nil
}

func (p *process) metadata(args guest.MetadataArgs) (any, error) {
	if p.guest.machine.MetadataOff {
		p.wait(time.Duration(args.Milliseconds) * time.Millisecond)
		return guest.MetadataItems{}, nil
	}
	answer := guest.MetadataItems{Reachable: true, Items: []guest.MetadataItem{}}
	p.do(func(g *Guest) {
		for _, path := range args.Paths {
			item := guest.MetadataItem{Path: path, Status: 404}
			if body, ok := g.machine.Metadata[path]; ok {
				item.Status, item.Body = 200, body
			}
			answer.Items = append(answer.Items, item)
		}
	})
	return answer, nil
}

func (g *Guest) installed(args guest.InstalledArgs) (any, error) {
	var answer guest.Packages
	if args.AppX && !g.machine.NoAppX {
		answer.AppXKnown, answer.AppX, answer.Provisioned = true, g.machine.AppX, g.machine.Provisioned
	}
	if args.Features && g.machine.Features != nil {
		answer.FeaturesKnown, answer.Features = true, g.machine.Features
	}
	return answer, nil
}

func (g *Guest) exposure(struct{}) (any, error) {
	exposure := g.machine.WinRM
	exposure.Listeners = g.listeners()
	if g.services["WinRM"].State != "Running" {
		return guest.Exposure{Certificates: exposure.Certificates}, nil
	}
	return exposure, nil
}
