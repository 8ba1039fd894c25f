package windows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestADescriptionSaysOnlyHowItDiffers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machine.json")
	text := `{
		"base": "server-2025",
		"computer": "EC2AMAZ-OTHER",
		"clock_offset": "3h",
		"registry": {"hklm\\system\\setup!SETUPTYPE": {"kind": "DWord", "text": "1"}, "HKLM\\SYSTEM\\Setup!CmdLine": {}, "HKLM\\SOFTWARE\\Empty": {}},
		"files": {"C:\\new.txt": {"text": "new"}, "C:\\Windows\\explorer.exe": {"absent": true}},
		"services": {"wuauserv": {"state": "Running", "start_mode": "Auto"}},
		"sysprep": {"generalize": "30s", "hangs_in_generalize": true}
	}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := LoadMachine(path)
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, m, func(t *testing.T, b *bench) {
		if b.Registry(setupKey, "SetupType").Text != "1" || b.Registry(setupKey, "CmdLine").Exists || !b.HasKey(`HKLM\SOFTWARE\Empty`) {
			t.Error("the registry did not take the difference")
		}
		if b.Registry(versionKey, "CurrentBuildNumber").Text != "26100" {
			t.Error("the base was not taken")
		}
		if content, _ := b.File(`C:\new.txt`); string(content) != "new" {
			t.Errorf("the new file holds %q", content)
		}
		if _, there := b.File(`C:\Windows\explorer.exe`); there {
			t.Error("the absent file is there")
		}
		if b.Service("wuauserv").State != "Running" || b.Service("WinRM").State != "Running" {
			t.Error("the services did not take the difference")
		}
		if ahead := time.Until(b.Time()); ahead != 3*time.Hour {
			t.Errorf("the clock is %s ahead", ahead)
		}
		if !b.machine.Sysprep.HangsInGeneralize || !b.machine.Sysprep.MessageBox || b.machine.Sysprep.Generalize != Seconds(30) {
			t.Errorf("Sysprep's behaviour is %+v", b.machine.Sysprep)
		}
	})
}

func TestADescriptionWithAMistakeIsRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a field that is none", `{"computr": "x"}`, "computr"},
		{"a base that is none", `{"base": "server-1999"}`, "server-1999"},
		{"a duration that is none", `{"clock_offset": "soon"}`, "soon"},
		{"no JSON", `computer = "x"`, "invalid character"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "machine.json")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadMachine(path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestAMachineSurvivesJSON(t *testing.T) {
	for _, one := range Catalogue() {
		t.Run(one.Name, func(t *testing.T) {
			text, err := json.Marshal(one.Make())
			if err != nil {
				t.Fatal(err)
			}
			var again Machine
			if err := again.Overlay(text); err != nil {
				t.Fatal(err)
			}
			repeated, err := json.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if string(repeated) != string(text) {
				t.Errorf("it came back as another one: %s", cmp.Diff(string(text), string(repeated)))
			}
		})
	}
}

func TestGuestsDoNotShareWhatTheyAreMadeOf(t *testing.T) {
	m := Server2022()
	bubble(t, m, func(t *testing.T, b *bench) {
		b.PutFile(`C:\Windows\explorer.exe`, []byte("changed"))
		b.PutRegistry(setupKey, "SetupType", Word("2"))
		b.SetMetadata("meta-data/instance-id", "i-1")
		other := New(m, nil, Hooks{})
		defer other.Close()
		if content, _ := other.File(`C:\Windows\explorer.exe`); string(content) != "MZ" {
			t.Error("a file is shared")
		}
		if other.Registry(setupKey, "SetupType").Text != "0" || m.Metadata["meta-data/instance-id"] == "i-1" {
			t.Error("the registry or the metadata are shared")
		}
	})
}
