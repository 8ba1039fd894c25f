package sysprep

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

const (
	setupPath = `C:\Windows\Setup\Scripts\SetupComplete.cmd`
	openRDP   = `reg add "HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server" /v fDenyTSConnections /t REG_DWORD /d 0 /f`
)

func TestMistakesInScriptsAreSaidByValidate(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := func(option, path string, more ...any) map[string]any {
		block := map[string]any{"path": path}
		for i := 0; i+1 < len(more); i += 2 {
			block[more[i].(string)] = more[i+1]
		}
		return map[string]any{option: block}
	}
	silent := file("silent.cmd", "@echo off\r\necho hello\r\n")
	tests := []struct {
		name    string
		options map[string]any
		want    []string
	}{
		{name: "scripts without a word on remote desktop where there need be none", options: script("setup_complete", silent)},
		{name: "EC2Config's last script", options: script("post_sysprep", silent)},
		{name: "a script that opens remote desktop again", options: script("sysprep_specialize", file("open.cmd", openRDP+"\r\n"))},
		{
			name: "a script that does not open remote desktop again", options: script("sysprep_specialize", silent),
			want: []string{"sysprep_specialize.path: silent.cmd does not open remote desktop again: without the line that sets fDenyTSConnections to 0 nobody can log on to an instance unless its answer file lets them; keep the line, or say allow_lost_rdp_line = true"},
		},
		{name: "a lost line that is allowed", options: script("sysprep_specialize", silent, "allow_lost_rdp_line", true)},
		{name: "another lost line that is allowed", options: script("before_sysprep", silent, "allow_lost_rdp_line", true)},
		{
			name: "a line that there never was", options: script("setup_complete", silent, "allow_lost_rdp_line", true),
			want: []string{"setup_complete.allow_lost_rdp_line: this script has no line about remote desktop; drop the option"},
		},
		{
			name: "nothing at all", options: map[string]any{"sysprep_specialize": map[string]any{}, "setup_complete": map[string]any{}, "post_sysprep": map[string]any{}},
			want: []string{
				"sysprep_specialize: it says nothing; give commands or path", "setup_complete: it says nothing; give commands or path",
				"post_sysprep: it says nothing; give commands or path",
			},
		},
		{
			name: "two things", options: script("post_sysprep", silent, "commands", []string{"echo hello"}),
			want: []string{"post_sysprep.path: commands are given too; drop one of them"},
		},
		{
			name: "a file that is not there", options: script("setup_complete", filepath.Join(folder, "none.cmd")),
			want: []string{"setup_complete.path: open FOLDER/none.cmd: no such file or directory"},
		},
		{
			name: "a script that waits for a key and takes the machine away", options: script("setup_complete", file("bad.cmd", "pause\r\nshutdown /r /t 0\r\n")),
			want: []string{
				"setup_complete.path: FOLDER/bad.cmd:1:1: error: pause waits for somebody at a keyboard, and there is nobody (waits-for-input); remove it",
				"setup_complete.path: FOLDER/bad.cmd:2:1: error: shutdown /r takes the machine away in the middle of Sysprep (shuts-down); remove it; the plugin shuts the guest down when it is sealed",
			},
		},
		{
			name: "commands that cmd.exe cannot run", options: map[string]any{"setup_complete": map[string]any{"commands": []string{"echo one\necho two"}}},
			want: []string{"setup_complete.commands: command 1, column 9: a line end; write one command a line"},
		},
		{
			name: "a script that jumps past what closes WinRM",
			options: map[string]any{
				"close_winrm": true, "setup_complete": map[string]any{"path": file("jumps.cmd", "@echo off\r\ngoto end\r\n:end\r\necho end\r\nexit /b 0\r\n")},
			},
			want: []string{"close_winrm: appending to SetupComplete.cmd: line 2 of the script on the guest jumps elsewhere, so there is no sure place to append commands; replace the script by one of your own"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := prepared(t, folder, test.options); !slices.Equal(got, test.want) {
				t.Errorf("the messages are\n  %s\nwanted\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}

func TestEachAgentKeepsItsScriptsInAPlaceOfItsOwn(t *testing.T) {
	t.Parallel()
	const (
		v2     = `%ProgramData%\Amazon\EC2Launch\sysprep\`
		v1     = `%ProgramData%\Amazon\EC2-Windows\Launch\Sysprep\`
		config = `%ProgramFiles%\Amazon\Ec2ConfigService\Scripts\`
		setup  = `%windir%\Setup\Scripts\SetupComplete.cmd`
	)
	for _, test := range []struct {
		agent launchagent.Agent
		// want are the paths of the four blocks in their order, "" for none.
		want []string
	}{
		{launchagent.EC2LaunchV2{}, []string{v2 + "BeforeSysprep.cmd", "", setup, ""}},
		{launchagent.EC2LaunchV1{}, []string{v1 + "BeforeSysprep.cmd", v1 + "SysprepSpecialize.cmd", setup, ""}},
		{launchagent.EC2Config{}, []string{config + "BeforeSysprep.cmd", config + "SysprepSpecializePhase.cmd", setup, config + "PostSysprep.cmd"}},
	} {
		t.Run(test.agent.Title(), func(t *testing.T) {
			t.Parallel()
			for i, block := range scriptBlocks {
				path, ok := block.place(test.agent)
				if path != test.want[i] || ok != (test.want[i] != "") {
					t.Errorf("%s is %q (%t), wanted %q", block.option, path, ok, test.want[i])
				}
				if !ok && block.instead == "" {
					t.Errorf("nobody says what to use instead of %s", block.option)
				}
			}
		})
	}
}

func TestTheOlderAgentsScriptsGetTheirCommands(t *testing.T) {
	t.Parallel()
	const (
		v1Specialize     = v1Data + `\Sysprep\SysprepSpecialize.cmd`
		configSpecialize = configFolder + `\Scripts\SysprepSpecializePhase.cmd`
		configPost       = configFolder + `\Scripts\PostSysprep.cmd`
		useless          = "Warning: SetupComplete.cmd does not call PostSysprep.cmd"
	)
	says := func(word string) map[string]any { return map[string]any{"commands": []string{"echo " + word}} }
	alone := filepath.Join(t.TempDir(), "SetupComplete.cmd")
	if err := os.WriteFile(alone, []byte("echo alone\r\nexit /b 0\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		windows func() windows.Machine
		change  func(*windows.Machine)
		options map[string]any
		// want is what the scripts of the sealed image hold, by their paths.
		want    map[string][]string
		useless bool
	}{
		{
			name: "EC2Launch v1's", windows: windows.Server2019,
			options: map[string]any{"sysprep_specialize": says("specialized"), "setup_complete": says("complete")},
			want:    map[string][]string{v1Specialize: {"fDenyTSConnections", "echo specialized"}, setupPath: {"echo complete"}},
		},
		{
			name: "EC2Config's", windows: windows.Server2012R2,
			change: func(m *windows.Machine) {
				m.SetFile(setupPath, `call "`+configPost+`"`+"\r\n")
				m.SetFile(configPost, "net stop wuauserv\r\n")
			},
			options: map[string]any{"sysprep_specialize": says("specialized"), "post_sysprep": says("last"), "close_winrm": true},
			want: map[string][]string{
				configSpecialize: {"fDenyTSConnections", "echo specialized"}, configPost: {"net stop wuauserv", "echo last"}, setupPath: {"call ", "Listener"},
			},
		},
		{
			name: "EC2Config's where nothing calls the last one", windows: windows.Server2012R2,
			change:  func(m *windows.Machine) { m.RemoveFile(setupPath) },
			options: map[string]any{"post_sysprep": says("last")},
			want:    map[string][]string{configPost: {"echo last"}, setupPath: {`call "%ProgramFiles%\Amazon\Ec2ConfigService\Scripts\PostSysprep.cmd"`}},
		},
		{
			name: "EC2Config's where the user's own script does not call the last one", windows: windows.Server2012R2,
			options: map[string]any{"post_sysprep": says("last"), "setup_complete": map[string]any{"path": alone}},
			want:    map[string][]string{configPost: {"echo last"}, setupPath: {"echo alone"}}, useless: true,
		},
		{
			name: "EC2Config's where the user calls the last one", windows: windows.Server2012R2,
			change:  func(m *windows.Machine) { m.RemoveFile(setupPath) },
			options: map[string]any{"post_sysprep": says("last"), "setup_complete": map[string]any{"commands": []string{`call "` + configPost + `"`}}},
			want:    map[string][]string{configPost: {"echo last"}, setupPath: {"call "}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(runs(test.windows, func(m *windows.Machine) {
				if test.change != nil {
					test.change(m)
				}
			}))).with(test.options)
			b.succeeds()
			b.stopped()
			b.noResidue()
			for path, phrases := range test.want {
				script, _ := b.guest().File(path)
				for _, phrase := range phrases {
					if !strings.Contains(string(script), phrase) {
						t.Errorf("%s lacks %q:\n%s", path, phrase, script)
					}
				}
			}
			if _, there := b.guest().File(setupPath); there && test.want[setupPath] == nil {
				t.Error("SetupComplete.cmd was made for nothing")
			}
			if strings.Contains(b.ui.text(), useless) != test.useless {
				t.Errorf("a warning of a useless script: %t", !test.useless)
			}
		})
	}
}

func TestAScriptThatTheAgentDoesNotHaveEndsTheBuild(t *testing.T) {
	t.Parallel()
	for option, instead := range map[string]string{"sysprep_specialize": "use run_synchronous in the block answer_file", "post_sysprep": "use setup_complete"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil).with(map[string]any{option: map[string]any{"commands": []string{"echo hello"}}})
			b.fails("ES-214", option+": EC2Launch v2 has no such script", instead)
			b.untouched()
		})
	}
}

func TestALostLineAboutRemoteDesktopEndsTheBuild(t *testing.T) {
	t.Parallel()
	opens := map[string]any{"commands": []string{openRDP}}
	b := newBench(t, nil).with(map[string]any{"before_sysprep": opens})
	b.fails("ES-211", "BeforeSysprep.cmd does not close remote desktop", "allow_lost_rdp_line = true in before_sysprep")
	b.untouched()

	opens["allow_lost_rdp_line"] = true
	b.with(map[string]any{"before_sysprep": opens})
	b.succeeds()
	b.stopped()
	b.said("Warning: BeforeSysprep.cmd: warning: the script does not lock RDP")
	if got := b.guest().Registry(denyKey, "fDenyTSConnections").Text; got != "0" {
		t.Errorf("the sealed image's fDenyTSConnections is %s", got)
	}
}

func TestSetupCompleteIsComposed(t *testing.T) {
	t.Parallel()
	const shipped = "call \"C:\\Program Files\\Shipped\\PostSysprep.cmd\"\r\n"
	for _, test := range []struct {
		name    string
		shipped string
		options func(*bench) map[string]any
		golden  string
		// keeps says that the guest's own script is part of the new one.
		keeps bool
	}{
		{
			name: "of commands alone", golden: "commands.cmd",
			options: func(*bench) map[string]any {
				return map[string]any{"setup_complete": map[string]any{"commands": []string{`reg add HKLM\SOFTWARE\Lab /v First /d yes /f`}}}
			},
		},
		{
			name: "of what closes WinRM alone", golden: "close-winrm.cmd",
			options: func(*bench) map[string]any { return map[string]any{"close_winrm": true} },
		},
		{
			name: "of the guest's, commands and what closes WinRM", shipped: shipped, keeps: true, golden: "all.cmd",
			options: func(*bench) map[string]any {
				return map[string]any{"close_winrm": true, "setup_complete": map[string]any{"commands": []string{"echo hello"}}}
			},
		},
		{
			name: "of the user's and what closes WinRM", shipped: shipped, golden: "replaced.cmd",
			options: func(b *bench) map[string]any {
				return map[string]any{"close_winrm": true, "setup_complete": map[string]any{"path": b.write("own.cmd", []byte("@echo off\necho ours\n"))}}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				m.SetRegistry(listenerKey+"!Port", word("5985"))
				if test.shipped != "" {
					m.SetFile(setupPath, test.shipped)
				}
			}))
			b.with(test.options(b))
			b.succeeds()
			b.stopped()
			b.noResidue()
			script, _ := b.guest().File(setupPath)
			golden(t, "setup-complete-"+test.golden, string(script))
			if strings.Contains(string(script), strings.TrimSpace(shipped)) != test.keeps {
				t.Errorf("the guest's own script is part of it: %t", !test.keeps)
			}
			if got := b.guest().Registry(listenerKey, "Port"); !got.Exists {
				t.Error("the build closed WinRM itself")
			}
			runOnAClone(t, script, strings.Contains(string(script), "Listener"))
		})
	}
}

const (
	wsman       = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN`
	listenerKey = wsman + `\Listener\*+HTTP`
)

// runOnAClone runs a SetupComplete.cmd on another modelled Windows, as an
// instance from the image does.
func runOnAClone(t *testing.T, script []byte, closes bool) {
	t.Helper()
	b := newBench(t, func(*lab.MachineOptions) {})
	b.guest().PutFile(setupPath, script)
	b.guest().PutRegistry(listenerKey, "Port", word("5985"))
	if b.guest().Execute(setupPath, "") == 0 {
		t.Fatal("the script cannot be run")
	}
	b.eventually("the script has ended", func() bool { return !b.guest().Runs("cmd") && !b.guest().Runs("SetupComplete") }, func() string { return strings.Join(b.guest().Processes(), " ") })
	if closes {
		b.eventually("WinRM is closed", func() bool { return !b.guest().HasKey(listenerKey) }, func() string { return "the listener is there" })
	} else if !b.guest().HasKey(listenerKey) {
		t.Error("the script closed WinRM")
	}
}
