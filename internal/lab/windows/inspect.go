package windows

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// Console returns all that has been printed to COM1. With PowerOn and PowerOff
// it makes the guest a machine of the EC2 double's.
func (g *Guest) Console() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Clone(g.serial)
}

// COM1 is Console as text.
func (g *Guest) COM1() string { return string(g.Console()) }

// Time returns the guest's clock.
func (g *Guest) Time() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nowLocked()
}

// SetClock sets how far the guest's clock is ahead of the lab's.
func (g *Guest) SetClock(offset time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offset = offset
}

// On says whether the machine is on.
func (g *Guest) On() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boot != nil
}

// Reachable says whether WinRM can be reached.
func (g *Guest) Reachable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boot != nil && g.reachable
}

// Boots counts how often the machine was switched on.
func (g *Guest) Boots() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boots
}

// SetupRuns counts how often the guest went through specialize and OOBE.
func (g *Guest) SetupRuns() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.setupRuns
}

// ProgramsStarted counts the programs that were started outside any session.
func (g *Guest) ProgramsStarted() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.started
}

// Notes are what the guest was asked for and the lab could not carry out.
func (g *Guest) Notes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.notes...)
}

// File returns a file's content; ok is false when there is none.
func (g *Guest) File(path string) (content []byte, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := g.disk.file(g.expand(path)); n != nil {
		return bytes.Clone(n.data), true
	}
	return nil, false
}

// Folder says whether a folder is there, and whether only SYSTEM and
// Administrators may enter it.
func (g *Guest) Folder(path string) (there, private bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.disk.find(g.expand(path))
	return n != nil && n.folder, n != nil && n.folder && n.private
}

// Files returns the paths of the files below a folder.
func (g *Guest) Files(folder string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var paths []string
	for _, n := range g.disk.below(g.expand(folder)) {
		if !n.folder {
			paths = append(paths, n.path)
		}
	}
	return paths
}

// PutFile writes a file, as somebody else on the guest would.
func (g *Guest) PutFile(path string, content []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.disk.place(g.expand(path), content)
}

// RemoveFile deletes a file or folder.
func (g *Guest) RemoveFile(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = g.disk.remove(g.expand(path), true)
}

// Hold keeps a file in use, so that it can neither be written, moved nor
// deleted, or lets it go.
func (g *Guest) Hold(path string, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if held {
		g.disk.held[fold(path)] = true
	} else {
		delete(g.disk.held, fold(path))
	}
}

// Registry returns a registry value.
func (g *Guest) Registry(path, name string) guest.Value {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hive.read(path, name)
}

// HasKey says whether a registry key is there.
func (g *Guest) HasKey(path string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hive.key(path) != nil
}

// PutRegistry writes a registry value; one that does not exist deletes it.
func (g *Guest) PutRegistry(path, name string, value guest.Value) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value.Exists {
		g.hive.write(path, name, value)
	} else {
		g.hive.deleteValue(path, name)
	}
}

// ImageState returns the image state.
func (g *Guest) ImageState() string { return g.Registry(stateKey, "ImageState").Text }

// Sealed says whether the guest is sealed: generalized, with the tag, and not
// booted since.
func (g *Guest) Sealed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hive.text(stateKey, "ImageState") == stateGeneralized && g.disk.file(tagFile) != nil &&
		g.hive.text(setupKey, "SetupType") == "2"
}

// Processes returns the names of the running processes, sorted.
func (g *Guest) Processes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.running))
	for _, p := range g.running {
		names = append(names, p.name)
	}
	sort.Strings(names)
	return names
}

// Runs says whether a process of that name runs.
func (g *Guest) Runs(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.named(name)) > 0
}

// Kill ends the processes of a name.
func (g *Guest) Kill(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kill(name)
}

// Tasks returns the names of the scheduled tasks, sorted.
func (g *Guest) Tasks() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.tasks))
	for _, t := range g.tasks {
		names = append(names, t.name)
	}
	sort.Strings(names)
	return names
}

// Service returns a service.
func (g *Guest) Service(name string) Service {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.services[name]
}

// SetMetadata changes an answer of the instance metadata service.
func (g *Guest) SetMetadata(path, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.machine.Metadata[path] = body
}

// Snapshot is all that could differ between a guest and itself later: one line
// for each file, registry value, task and service, by its name. Logs, temporary
// files and times are not in it.
type Snapshot map[string]string

// Snapshot returns how the guest is now.
func (g *Guest) Snapshot() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	snapshot := Snapshot{}
	for key, n := range g.disk.nodes {
		switch {
		case volatile(key):
		case n.folder:
			snapshot["folder "+key] = fmt.Sprintf("private=%t", n.private)
		default:
			snapshot["file "+key] = hash(n.data)
		}
	}
	for key, k := range g.hive.keys {
		snapshot["key "+key] = ""
		for name, value := range k.values {
			snapshot["value "+key+"!"+name] = fmt.Sprintf("%s %s %q", value.Kind, value.Text, value.Texts)
		}
	}
	for name, t := range g.tasks {
		snapshot["task "+name] = fmt.Sprintf("%s %s disabled=%t", t.file, t.arguments, t.disabled)
	}
	for name, service := range g.services {
		snapshot["service "+name] = service.StartMode
	}
	return snapshot
}

// volatile says whether a file changes without anybody having meant it.
func volatile(key string) bool {
	return strings.HasSuffix(key, ".log") || strings.Contains(key, `\temp\`) || strings.HasPrefix(key, fold(panther)) ||
		strings.HasPrefix(key, fold(v2Data+`\log`)) || strings.HasPrefix(key, fold(configFolder+`\logs`)) || strings.HasPrefix(key, `c:\windows\setup\state`)
}

// Fingerprint is one word for all that is in a snapshot.
func (s Snapshot) Fingerprint() string {
	lines := make([]string, 0, len(s))
	for name, value := range s {
		lines = append(lines, name+"="+value)
	}
	sort.Strings(lines)
	return hash([]byte(strings.Join(lines, "\n")))
}

// Fingerprint is one word for all files, registry values, tasks and services.
func (g *Guest) Fingerprint() string { return g.Snapshot().Fingerprint() }

// Diff says how the guest of the second snapshot differs from the first's, a
// line for each difference, sorted; empty when nothing does.
func (s Snapshot) Diff(later Snapshot) string {
	var lines []string
	for name, value := range s {
		after, there := later[name]
		if !there {
			lines = append(lines, "- "+name)
		} else if after != value {
			lines = append(lines, "~ "+name+": "+value+" -> "+after)
		}
	}
	for name, value := range later {
		if _, there := s[name]; !there {
			lines = append(lines, "+ "+name+": "+value)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// Execute starts a program outside any session, as the built-in administrator
// at the console would, and returns its process number; 0 when there is no such
// program or the machine is off.
func (g *Guest) Execute(file, arguments string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.boot == nil || g.closed {
		return 0
	}
	p := &process{file: file, arguments: arguments, user: "Administrator", stdin: emptyInput{}}
	body, err := g.findProgram(p)
	if err != nil {
		return 0
	}
	return g.spawn(g.boot.ctx, p, body).pid
}
