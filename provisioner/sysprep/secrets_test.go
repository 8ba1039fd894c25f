package sysprep

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// awkward is a password that every format writes in its own way.
const awkward = `Pl"nted\4:Sécret&<'>`

// spelled are the forms in which files and programs write it.
var spelled = []string{
	awkward, `Pl\"nted\\4:Sécret&<'>`, `Pl\"nted\\4:S\u00e9cret&<'>`, `Pl\"nted\\4:S\u00e9cret\u0026\u003c\u0027\u003e`,
	`Pl\"nted\\4:Sécret\u0026\u003c\u0027\u003e`, `Pl"nted\4:Sécret&<''>`, `Pl"nted\4:Sécret&amp;&lt;'&gt;`, `Pl&#34;nted\4:Sécret&amp;&lt;&#39;&gt;`,
}

func TestWhatAnAgentPrintsOfAPasswordReachesNobody(t *testing.T) {
	t.Parallel()
	inFile := func(password string) string {
		quoted, err := json.Marshal(password)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"version": "1.0", "config": [{"stage": "preReady", "tasks": [{"task": "setAdminAccount", "inputs": {"password": {"type": "static", "data": %s}}}]}]}`, quoted)
	}
	for _, test := range []struct {
		name    string
		change  func(*windows.Machine)
		options map[string]any
	}{
		{"of the options", nil, map[string]any{"administrator_password": map[string]any{"mode": "specify", "value": awkward}}},
		{"of a whole setting file", nil, map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"content": inFile(awkward)}}}},
		{
			"of a task", nil,
			map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"task": []map[string]any{
				{"stage": "preReady", "name": "setAdminAccount", "inputs": `{"password": {"type": "static", "data": "Pl\"nted\\4:S\u00e9cret&<'>"}}`},
			}}}},
		},
		{
			"of the guest's own file",
			func(m *windows.Machine) { m.Files[v2Config] = windows.File{Text: inFile(awkward)} }, nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				if test.change != nil {
					test.change(m)
				}
				m.Agent.InvalidConfig = "no such data: " + strings.Join(spelled, " or ")
				m.Files[agentFolder+`\log\error.log`] = windows.File{Data: append([]byte{0xff, 0xfe}, inUTF16(strings.Join(spelled, "\r\n"))...)}
			})).with(map[string]any{"show_changes": true}).with(test.options)
			b.fails("ES-241", "no such data: <sensitive> or <sensitive>")
			b.keepsLogs()
			for _, form := range spelled {
				if strings.Contains(b.ui.text(), form) || logged.contains(form) {
					t.Errorf("the user or the log is told %s", form)
				}
				err := filepath.WalkDir(b.folder, func(path string, entry fs.DirEntry, err error) error {
					if err != nil || entry.IsDir() {
						return err
					}
					data, err := os.ReadFile(path)
					if strings.Contains(string(data), form) || strings.Contains(string(data), string(inUTF16(form))) {
						t.Errorf("%s stands in %s", form, entry.Name())
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestASecretThatBeginsWithAnotherIsTakenOutWhole(t *testing.T) {
	t.Parallel()
	got := hiding([]string{"hunter2", "hunter2-Long", ""}).Replace("hunter2-Long, hunter2.")
	if want := "<sensitive>, <sensitive>."; got != want {
		t.Errorf("it says %q, wanted %q", got, want)
	}
}
