package sysprep

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// What is foretold in words comes to pass on the first boot of an instance, as
// the lab's Windows has it by itself.
func TestWhatIsForetoldComesToPass(t *testing.T) {
	t.Parallel()
	withUserData := func(m *windows.Machine) {
		m.Metadata["user-data"] = "<script>echo hello</script>"
	}
	script := func(t *testing.T, b *bench, text string) string {
		t.Helper()
		return b.write("own.cmd", []byte(text))
	}
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		options func(*testing.T, *bench) map[string]any
		said    []string
		want    func(windows.FirstBoot) bool
	}{
		{
			"user data runs once by EC2Launch v2", runs(windows.Server2022, withUserData), nil,
			[]string{"user data: EC2Launch v2 runs it at the first boot"},
			func(f windows.FirstBoot) bool { return f.UserDataRuns == 1 },
		},
		{
			"user data does not run by EC2Launch v1", runs(windows.Server2019, withUserData),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{"handle_user_data": false}}}
			},
			[]string{"user data: EC2Launch v1 does NOT run it (handleUserData: false)"},
			func(f windows.FirstBoot) bool { return f.UserDataRuns == 0 },
		},
		{
			"user data runs by EC2Config", runs(windows.Server2012R2, withUserData),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"agent_config": map[string]any{"ec2config": map[string]any{"plugins": map[string]any{"Ec2HandleUserData": true}}}}
			},
			[]string{"user data: EC2Config runs it at the first boot (Ec2HandleUserData: Enabled)"},
			func(f windows.FirstBoot) bool { return f.UserDataRuns == 1 },
		},
		{
			"nobody sets a password with EC2Launch v2", runs(windows.Server2025),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{"content": strings.Replace(goodV2, "random", "doNothing", 1)}}}
			},
			[]string{"Warning: password: the administrator's account ends DISABLED"},
			func(f windows.FirstBoot) bool { return f.Password == windows.PasswordNone && !f.PasswordShown },
		},
		{
			"nobody sets a password with EC2Launch v1", runs(windows.Server2016),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"agent_config": map[string]any{"ec2launch_v1": map[string]any{"content": strings.Replace(goodV1, "Random", "DoNothing", 1)}}}
			},
			[]string{"Warning: password: the administrator's account ends DISABLED"},
			func(f windows.FirstBoot) bool { return f.Password == windows.PasswordNone && !f.PasswordShown },
		},
		{
			"the agent calls every instance the same", runs(windows.Server2022),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"agent_config": map[string]any{"ec2launch_v2": map[string]any{
					"task": []map[string]any{{"stage": "postReady", "name": "setHostName", "inputs": `{"hostName": "APP", "reboot": false}`}},
				}}}
			},
			[]string{"Warning: host name: EC2Launch v2 calls every instance APP"},
			func(f windows.FirstBoot) bool { return f.Ran("postReady/setHostName") },
		},
		{
			"the answer file calls every instance the same", runs(windows.Server2022),
			func(*testing.T, *bench) map[string]any {
				return map[string]any{"answer_file": map[string]any{"computer_name": "GOLDEN"}}
			},
			[]string{"Warning: host name: the answer file calls every instance GOLDEN"},
			func(f windows.FirstBoot) bool { return f.ComputerName == "GOLDEN" },
		},
		{
			"remote desktop is open and WinRM listens", runs(windows.Server2022), nil,
			[]string{"remote desktop: it is refused until the specialize pass opens it again", "WinRM: it goes on listening (HTTP on "},
			func(f windows.FirstBoot) bool { return f.RDPAllowed && f.WinRMListens },
		},
		{
			"WinRM is closed", runs(windows.Server2019),
			func(*testing.T, *bench) map[string]any { return map[string]any{"close_winrm": true} },
			[]string{"WinRM: SetupComplete.cmd closes it"},
			func(f windows.FirstBoot) bool { return f.RDPAllowed && !f.WinRMListens },
		},
		{
			"nothing opens remote desktop again", runs(windows.Server2012R2),
			func(t *testing.T, b *bench) map[string]any {
				return map[string]any{"sysprep_specialize": map[string]any{
					"path": script(t, b, "echo hello\r\nexit /b 0\r\n"), "allow_lost_rdp_line": true,
				}}
			},
			[]string{"Warning: remote desktop: it stays REFUSED"},
			func(f windows.FirstBoot) bool { return !f.RDPAllowed },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine))
			if test.options != nil {
				b.with(test.options(t, b))
			}
			b.succeeds()
			b.stopped()
			b.said(test.said...)
			if boot := b.firstBoot(); !test.want(boot) {
				t.Errorf("the first boot came to %+v", boot)
			}
		})
	}
}

func TestAForecastIsSaidBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	told := false
	b.ui.heard = func(line string) {
		if strings.HasPrefix(line, "What an instance from this image does at its first boot") {
			told = true
			if diff := b.before.Diff(b.guest().Snapshot()); diff != "" {
				t.Errorf("the guest was changed before: %s", diff)
			}
		}
		if strings.HasPrefix(line, "Staging") && !told {
			t.Error("the guest is changed before the forecast")
		}
	}
	b.succeeds()
	if !told {
		t.Error("nothing was foretold")
	}
}
