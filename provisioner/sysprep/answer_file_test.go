package sysprep

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// prepared are the messages of a Prepare, with the test's folder taken out.
func prepared(t *testing.T, folder string, options map[string]any) []string {
	t.Helper()
	got := messages(new(Provisioner).Prepare(options))
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], folder, "FOLDER")
	}
	return got
}

// own is a small answer file of a user's.
const own = `<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend">
  <settings pass="specialize">
    <component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">
      <ComputerName>*</ComputerName>
    </component>
  </settings>
</unattend>
`

func TestMistakesInTheAnswerFilesSettingsAreSaidByValidate(t *testing.T) {
	t.Parallel()
	const secret = "not-a-key-but-secret"
	folder := t.TempDir()
	file := filepath.Join(folder, "own.xml")
	twice := filepath.Join(folder, "twice.xml")
	for path, text := range map[string]string{
		file:  own,
		twice: strings.Replace(own, "<ComputerName>*</ComputerName>", "<TimeZone>UTC</TimeZone><TimeZone>UTC</TimeZone>", 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		options map[string]any
		want    []string
	}{
		{name: "an empty block", options: map[string]any{"answer_file": map[string]any{}}},
		{
			name: "every setting at once", options: map[string]any{"answer_file_path": file, "answer_file": everySetting()},
		},
		{
			name: "values that Windows does not take",
			options: map[string]any{"answer_file": map[string]any{
				"computer_name": "a-name-that-is-too-long", "time_zone": "", "user_locale": "german!", "protect_your_pc": 4, "network_location": "Office",
				"product_key": secret, "administrator_password": "",
			}},
			want: []string{
				`answer_file.computer_name: "a-name-that-is-too-long" must have 1 to 15 characters, or be "*" for a random name`,
				"answer_file.product_key: the value does not have the form XXXXX-XXXXX-XXXXX-XXXXX-XXXXX",
				`answer_file.user_locale: "german!" is no language tag such as en-US`,
				`answer_file.network_location: "Office" is not one of Home, Work, Other`,
				`answer_file.protect_your_pc: "4" is not one of 1, 2, 3`,
				`answer_file.time_zone: "" must not be empty or have white space around it`,
				"answer_file.administrator_password: the password is empty",
			},
		},
		{
			name: "commands that cannot run",
			options: map[string]any{"answer_file": map[string]any{"run_synchronous": []map[string]any{
				{"path": "cmd.exe /c " + strings.Repeat("x", 260)}, {"path": "a.exe", "order": 501}, {"path": "b.exe", "will_reboot": "Maybe"},
			}}},
			want: []string{
				"answer_file.run_synchronous 1: the command has 271 characters, and Windows allows 259; call a script file instead",
				"answer_file.run_synchronous 2: the order 501 is not between 1 and 500",
				`answer_file.run_synchronous 3: "Maybe" is not one of Always, Never, OnRequest`,
			},
		},
		{
			name:    "a user's file that is wrong before it is edited",
			options: map[string]any{"answer_file_path": twice, "answer_file": map[string]any{"time_zone": "UTC"}},
			want:    []string{"answer_file_path: FOLDER/twice.xml:5:31: error: <TimeZone> stands in line 5 of the same element already (duplicate-setting); keep one of them"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := prepared(t, folder, test.options)
			if !slices.Equal(got, test.want) {
				t.Errorf("the messages are\n  %s\nwanted\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
			if strings.Contains(strings.Join(got, "\n"), secret) {
				t.Error("a message shows a secret")
			}
		})
	}
}

// Secrets that nothing but the answer file may hold.
const (
	plantedKey      = "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY"
	plantedPassword = "Planted-For-Clones!1"
)

// everySetting gives every setting of the block a value that AWS's own file
// does not have.
func everySetting() map[string]any {
	return map[string]any{
		"copy_profile": false, "time_zone": "W. Europe Standard Time", "input_locale": "de-DE", "system_locale": "de-DE", "ui_language": "de-DE",
		"user_locale": "de-DE", "registered_organization": "Golden & Sons", "registered_owner": "Build", "persist_all_device_installs": false,
		"do_not_clean_up_non_present_devices": false, "hide_eula_page": false, "hide_wireless_setup_in_oobe": false, "protect_your_pc": 1,
		"network_location": "Work", "bluetooth_taskbar_icon_enabled": true, "computer_name": "GOLDEN", "product_key": plantedKey,
		"administrator_password": plantedPassword,
		"run_synchronous": []map[string]any{
			{"order": 7, "description": "ours", "path": `cmd.exe /c echo 7`, "will_reboot": "Never"},
			{"path": `cmd.exe /c echo 8`},
		},
	}
}

func TestEverySettingOfTheAnswerFileIsMadeInTheAgentsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil).with(map[string]any{"answer_file": everySetting(), "show_changes": true})
	before, _ := b.guest().File(answerPath)
	b.succeeds()
	b.stopped()
	b.noResidue()
	after, _ := b.guest().File(answerPath)
	golden(t, "every-setting.xml", string(after))
	golden(t, "every-setting.ui", b.scrubbed(b.ui.text())+"\n")
	was, err := answerfile.Parse("before", before)
	if err != nil {
		t.Fatal(err)
	}
	is, err := answerfile.Parse("after", after)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range answerfile.Options() {
		old, _ := was.Value(option)
		now, set := is.Value(option)
		if !set || now == old {
			t.Errorf("%s was %q and is %q", option, old, now)
		}
	}
	for _, secret := range []string{plantedKey, plantedPassword} {
		record, _ := os.ReadFile(filepath.Join(b.folder, "record.json"))
		if strings.Contains(b.ui.text(), secret) || logged.contains(secret) || strings.Contains(string(record), secret) {
			t.Errorf("%s is in an output", secret)
		}
	}
	if got := b.guest().Registry(localeName.Path, localeName.Name).Text; got != "de-DE" {
		t.Errorf("the sealed image's LocaleName is %s", got)
	}
}

func TestSettingsAreMadeInTheUsersAnswerFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.with(map[string]any{
		"answer_file_content": own, "show_changes": true,
		"answer_file": map[string]any{"computer_name": "GOLDEN", "registered_owner": "Build"},
	})
	b.succeeds()
	b.stopped()
	after, _ := b.guest().File(answerPath)
	want := strings.Replace(own, "<ComputerName>*</ComputerName>", "<ComputerName>GOLDEN</ComputerName>", 1)
	if head, _, _ := strings.Cut(want, "  </settings>"); !strings.HasPrefix(string(after), head) {
		t.Errorf("the sealed image's answer file does not begin as the user's:\n%s", after)
	}
	b.said("Replacing the answer file", `~ specialize/Microsoft-Windows-Shell-Setup/ComputerName: "*" -> "GOLDEN"`, `~ oobeSystem/Microsoft-Windows-Shell-Setup/RegisteredOwner: "EC2" -> "Build"`)
}

func TestWhatTheSettingsChangeIsPutBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, windowsOf(func(m *windows.Machine) { m.Sysprep.Refuse = windows.RefuseBitLocker() })).with(map[string]any{
		"answer_file":    map[string]any{"user_locale": "fr-FR", "time_zone": "Romance Standard Time"},
		"setup_complete": map[string]any{"commands": []string{"echo hello"}},
		"before_sysprep": map[string]any{"commands": []string{"echo hello"}},
	})
	b.fails("ES-316")
	b.recorded(handoff.StageRefused, "")
	b.said(`Setting HKU\.DEFAULT\Control Panel\International!LocaleName to "fr-FR"`, `Adding the SetupComplete.cmd C:\Windows\Setup\Scripts\SetupComplete.cmd`)
	b.asBefore()
	b.noResidue()
}

// EC2Launch v2 takes the locale for its answer file from the registry.
func TestTheLocaleThatEC2LaunchV2IsToWrite(t *testing.T) {
	t.Parallel()
	german := strings.Replace(own, "</unattend>", `  <settings pass="oobeSystem">
    <component name="Microsoft-Windows-International-Core" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS">
      <SystemLocale>de-DE</SystemLocale>
      <UserLocale>de-CH</UserLocale>
    </component>
  </settings>
</unattend>`, 1)
	const sets = `Setting HKU\.DEFAULT\Control Panel\International!LocaleName to `
	for _, test := range []struct {
		name    string
		options map[string]any
		said    string
		locale  string
	}{
		{
			name: "where there are keyboards alone", options: map[string]any{"answer_file": map[string]any{"input_locale": "0407:00000407"}}, locale: "en-US",
			said: "Warning: EC2Launch v2 writes the guest's own locale, en-US, into its answer file, so that 0407:00000407 gets lost; give user_locale",
		},
		{
			name: "where there are two", options: map[string]any{"answer_file": map[string]any{"user_locale": "de-AT", "ui_language": "en-US"}}, locale: "de-AT",
			said: "Warning: EC2Launch v2 writes one locale, de-AT, into all four settings of its answer file; en-US may get lost",
		},
		{name: "where the guest has it already", options: map[string]any{"answer_file": map[string]any{"user_locale": "en-US"}}, locale: "en-US"},
		{
			name: "where it stands in the user's own file", options: map[string]any{"answer_file_content": german}, locale: "de-CH",
			said: "Warning: EC2Launch v2 writes one locale, de-CH, into all four settings of its answer file; de-DE may get lost",
		},
		{
			name: "where a setting changes the user's own file", locale: "de-DE", said: sets + `"de-DE"`,
			options: map[string]any{"answer_file_content": german, "answer_file": map[string]any{"user_locale": "de-DE"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil).with(test.options)
			b.succeeds()
			b.said(test.said)
			if set := strings.Contains(b.ui.text(), sets); set != (test.locale != "en-US") {
				t.Errorf("the locale was set: %t", set)
			}
			if got := b.guest().Registry(localeName.Path, localeName.Name).Text; got != test.locale {
				t.Errorf("the sealed image's LocaleName is %s", got)
			}
		})
	}
}

func TestSettingsThatDoNotFitTheGuestEndTheBuild(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		change  func(*bench)
		code    string
		phrases []string
	}{
		{
			name: "an order that is taken", change: func(b *bench) {
				b.with(map[string]any{"answer_file": map[string]any{"run_synchronous": []map[string]any{{"order": 2, "path": "a.exe"}}}})
			},
			code: "ES-210", phrases: []string{"the order 2 is taken already", "answer_file_path"},
		},
		{
			name: "a command about an account that the guest has renamed", change: func(b *bench) {
				b.with(map[string]any{"answer_file": map[string]any{"time_zone": "UTC"}})
			},
			code: "ES-210", phrases: []string{"renamed-administrator"},
		},
		{
			name: "an answer file that is too large", change: func(b *bench) {
				b.guest().PutFile(answerPath, append([]byte(own), make([]byte, maxGuestFile)...))
				b.before = b.guest().Snapshot()
			},
			code: "ES-210", phrases: []string{"it is too large"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(func(m *windows.Machine) {
				if test.phrases[0] == "renamed-administrator" {
					account := m.Accounts["Administrator"]
					delete(m.Accounts, "Administrator")
					m.Accounts["root"] = account
				}
			}))
			test.change(b)
			b.fails(test.code, test.phrases...)
			b.untouched()
		})
	}
}

func TestASecretOfTheSettingsDoesNotGoThroughPackersOwnWinRM(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options map[string]any
		phrase  string
	}{
		{name: "in the answer file", options: map[string]any{"answer_file": map[string]any{"product_key": plantedKey}}, phrase: "the answer file holds a password or a product key"},
		{
			name: "in a script", options: map[string]any{
				"answer_file_content": own, "answer_file": map[string]any{},
				"winrm_password": "Planted-Again-Secret!", "setup_complete": map[string]any{"commands": []string{"net use \\\\server Planted-Again-Secret!"}},
			}, phrase: "SetupComplete.cmd holds a secret of this build's options",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil).byTheBuild("winrm").with(map[string]any{"transport": "communicator"}).with(test.options)
			b.comm = packers(t, b)
			b.fails("ES-212", test.phrase, `transport = "winrm"`)
			b.untouched()
		})
	}
}

func TestSettingsThatPackerDoesNotKnowYetAreRefusedLater(t *testing.T) {
	t.Parallel()
	p := new(Provisioner)
	err := p.Prepare(map[string]any{
		"answer_file": map[string]any{
			"computer_name": aws.Unknown, "product_key": aws.Unknown, "administrator_password": aws.Unknown,
			"run_synchronous": []map[string]any{{"path": aws.Unknown}},
		},
		"setup_complete": map[string]any{"commands": []string{aws.Unknown}},
		"post_sysprep":   map[string]any{"path": aws.Unknown},
	})
	if err != nil {
		t.Fatalf("the placeholders are refused: %s", err)
	}
	err = p.Provision(t.Context(), &recordingUI{}, nil, map[string]any{"ConnType": "none"})
	if err == nil {
		t.Fatal("the placeholders were taken for values")
	}
	for _, option := range []string{
		"answer_file.computer_name", "answer_file.product_key", "answer_file.administrator_password", "answer_file.run_synchronous",
		"setup_complete.commands", "post_sysprep.path",
	} {
		if !strings.Contains(err.Error(), option+": its value is still") {
			t.Errorf("%s was not refused: %s", option, err)
		}
	}
}
