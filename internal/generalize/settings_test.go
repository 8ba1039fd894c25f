package generalize

import (
	"slices"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// A setting of the user's is made after the files are in place, and what was
// found is put back; one that the agent writes as well is put back once.
func TestSettingsAreMadeAndPutBack(t *testing.T) {
	t.Parallel()
	const international = `HKU\.DEFAULT\Control Panel\International`
	locale := launchagent.Setting{Path: international, Name: "LocaleName"}
	deny := launchagent.Setting{Path: `HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server`, Name: "fDenyTSConnections"}
	absent := launchagent.Setting{Path: international, Name: "Absent"}
	j, _ := newJob(t, func(m *windows.Machine) { m.SetRegistry(international+"!LocaleName", windows.Text("fr-FR")) })
	text := func(s string) guest.Value { return guest.Value{Exists: true, Kind: guest.KindString, Text: s} }
	j.Settings = []Setting{{Setting: locale, Value: text("de-DE")}, {Setting: deny, Value: windows.Word("1")}, {Setting: absent, Value: text("here")}}
	plan, _, err := j.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := func(list []guest.Act, s launchagent.Setting) []string {
		var texts []string
		for _, act := range list {
			if act.Act == guest.ActRegistry && act.Path == s.Path && act.Name == s.Name {
				if act.Set == nil || !act.Set.Exists {
					texts = append(texts, "(none)")
				} else {
					texts = append(texts, act.Set.Text)
				}
			}
		}
		return texts
	}
	for _, test := range []struct {
		setting         launchagent.Setting
		applied, undone string
	}{{locale, "de-DE", "fr-FR"}, {deny, "1", "0"}, {absent, "here", "(none)"}} {
		if got := of(plan.Apply, test.setting); !slices.Equal(got, []string{test.applied}) {
			t.Errorf("%s is set to %q", test.setting.Name, got)
		}
		if got := of(plan.Failed, test.setting); !slices.Equal(got, []string{test.undone}) {
			t.Errorf("%s is put back to %q", test.setting.Name, got)
		}
	}
}

// A file in a folder that is not there yet makes the folder, and a refusal
// takes it away again, the outermost of nested ones alone and after the file.
func TestFoldersThatAreMadeGoAwayAgain(t *testing.T) {
	t.Parallel()
	j, g := newJob(t, func(m *windows.Machine) {
		m.RemoveFile(`C:\Windows\Setup\Scripts`)
		m.SetFile(`C:\Windows\Setup\State\State.ini`, "[State]\r\n")
	})
	j.Files = []Staged{
		{Name: "SetupComplete.cmd", Path: `%windir%\Setup\Scripts\SetupComplete.cmd`, Data: []byte("@echo off\r\n")},
		{Name: "one", Path: `C:\New\Inner\one.txt`, Data: []byte("1")},
		{Name: "two", Path: `C:\New\two.txt`, Data: []byte("2")},
		{Name: "three", Path: `C:\three.txt`, Data: []byte("3")},
	}
	if there, _ := g.Folder(`C:\Windows\Setup\Scripts`); there {
		t.Fatal("the folder is there")
	}
	plan, _, err := j.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for i, act := range plan.Failed {
		switch act.Act {
		case guest.ActDeleteFolder:
			folders = append(folders, act.Path)
		case guest.ActDelete, guest.ActCopy:
			if len(folders) > 0 {
				t.Errorf("act %d comes after a folder is deleted: %+v", i, act)
			}
		}
	}
	if want := []string{`C:\Windows\Setup\Scripts`, `C:\New`}; !slices.Equal(folders, want) {
		t.Errorf("the folders are %q, wanted %q", folders, want)
	}
}
