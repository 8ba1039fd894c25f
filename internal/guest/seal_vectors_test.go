package guest_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// sealVector is a run of the sealer without Sysprep: testdata/seal/plans.json.
type sealVector struct {
	Name string `json:"name"`
	// Files lie in the working folder beside plan and text.
	Files map[string]string `json:"files"`
	Plan  json.RawMessage   `json:"plan"`
	// Code is the sealer's exit code.
	Code int `json:"code"`
	// State is what the last state must hold, in the form of the protocol's
	// vectors; nil when there must be none.
	State any `json:"state"`
	// Left are files of the folder afterwards, as State; null for those that
	// are gone.
	Left map[string]*string `json:"left"`
}

// sealMachine is where the sealer runs.
type sealMachine interface {
	put(path, content string)
	read(path string) (content string, there bool)
	run(file, arguments string) (code int)
}

func TestSealVectors(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "seal", "plans.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []sealVector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run("lab/"+v.Name, func(t *testing.T) {
			machine := windows.New(windows.Server2022(), nil, windows.Hooks{})
			t.Cleanup(machine.Close)
			v.check(t, newPlaces(`C:\ProgramData`, `\`), labMachine{t, machine})
		})
		t.Run("powershell.exe/"+v.Name, func(t *testing.T) {
			if runtime.GOOS != "windows" {
				t.Skip("the sealer needs a Windows")
			}
			v.check(t, newPlaces(t.TempDir(), `\`), realMachine{t})
		})
	}
}

func (v sealVector) check(t *testing.T, at places, machine sealMachine) {
	text, err := at.fill(v.Plan)
	if err != nil {
		t.Fatal(err)
	}
	plan := guest.SealPlan{
		Version: guest.ProtocolVersion, Token: "t", Folder: at.folder, Shutdown: "none",
		Limits: guest.SealLimits{Appear: 5, Grace: 1, Stall: 30, Total: 60, Seen: 0},
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	encoded, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	inFolder := func(name string) string { return at.folder + `\` + strings.ReplaceAll(name, "/", `\`) }
	for name, content := range v.Files {
		machine.put(inFolder(name), content)
	}
	machine.put(inFolder(guest.PlanFile), string(encoded))
	machine.put(inFolder(guest.ScriptFile), guest.SealScript)
	if code := machine.run(guest.Starter(at.folder, `C:\Windows`)); code != v.Code {
		t.Errorf("exit code %d, want %d", code, v.Code)
	}
	state, there := machine.read(inFolder(guest.StateFile))
	if v.State != nil {
		var got any
		if err := json.Unmarshal([]byte(state), &got); err != nil {
			t.Fatalf("the state %q: %v", state, err)
		}
		if found := mismatch("state", v.State, withoutConsole(got)); found != "" {
			t.Error(found)
		}
		if _, err := guest.ParseSealState([]byte(state)); err != nil {
			t.Error(err)
		}
	} else if there {
		t.Errorf("there is a state: %s", state)
	}
	for name, want := range v.Left {
		got, there := machine.read(inFolder(name))
		switch {
		case want == nil && there:
			t.Errorf("%s is there: %q", name, got)
		case want != nil && !there:
			t.Errorf("%s is not there", name)
		case want != nil:
			if found := mismatch(name, *want, got); found != "" {
				t.Error(found)
			}
		}
	}
}

// withoutConsole leaves out the trouble with COM1, which not every machine has.
func withoutConsole(state any) any {
	object, ok := state.(map[string]any)
	if !ok {
		return state
	}
	troubles, _ := object["troubles"].([]any)
	kept := []any{}
	for _, trouble := range troubles {
		if text, ok := trouble.(string); !ok || !strings.HasPrefix(text, "COM1: ") {
			kept = append(kept, trouble)
		}
	}
	object["troubles"] = kept
	return object
}

type labMachine struct {
	t     *testing.T
	guest *windows.Guest
}

func (m labMachine) put(path, content string) { m.guest.PutFile(path, []byte(content)) }

func (m labMachine) read(path string) (string, bool) {
	data, there := m.guest.File(path)
	return string(data), there
}

func (m labMachine) run(file, arguments string) int {
	return m.guest.Run(m.t.Context(), &winrm.Command{
		Line: file + " " + arguments, User: "Administrator", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
	})
}

type realMachine struct{ t *testing.T }

func (m realMachine) put(path, content string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m realMachine) read(path string) (string, bool) {
	data, err := os.ReadFile(path)
	return string(data), err == nil
}

func (m realMachine) run(file, arguments string) int {
	//nolint:gosec // the program is Windows PowerShell
	err := exec.CommandContext(m.t.Context(), file, strings.Fields(arguments)...).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return 0
}
