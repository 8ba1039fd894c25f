package sysprep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/preflight"
)

func TestMistakesInTheAdministratorsPasswordAreSaidByValidate(t *testing.T) {
	t.Parallel()
	block := func(mode, value string) map[string]any {
		return map[string]any{"administrator_password": map[string]any{"mode": mode, "value": value}}
	}
	for _, test := range []struct {
		name    string
		options map[string]any
		want    string
	}{
		{"no such mode", block("forget", ""), `administrator_password.mode: "forget" is none of "random", "specify", "keep"`},
		{"specify without a value", block("specify", ""), "administrator_password.value: it is missing"},
		{"random with a value", block("random", plantedPassword), "administrator_password.value: with mode = \"random\""},
		{"a password that is too short", block("specify", "aB1!"), "administrator_password.value: "},
		{"a password that is too simple", block("keep", "alllowercase"), "administrator_password.value: "},
		{"a password with the account's name in it", block("specify", "My-Administrator-1"), "administrator_password.value: "},
		{
			"the password in the answer file besides",
			map[string]any{
				"administrator_password": map[string]any{"mode": "random"},
				"answer_file":            map[string]any{"administrator_password": plantedPassword},
			},
			"administrator_password: answer_file.administrator_password is given too",
		},
		{
			"a password to keep without Sysprep",
			map[string]any{"action": "shutdown", "administrator_password": map[string]any{"mode": "keep", "value": plantedPassword}},
			"administrator_password.value: without Sysprep the password stays as it is",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := map[string]any{"winrm_host": "192.0.2.1", "winrm_username": "a", "winrm_password": "b"}
			for name, value := range test.options {
				options[name] = value
			}
			got := messages(new(Provisioner).Prepare(options))
			if len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Fatalf("the errors are %q, wanted %q", got, test.want)
			}
			for _, value := range []string{plantedPassword, "aB1!", "alllowercase", "My-Administrator-1"} {
				if strings.Contains(got[0], value) {
					t.Errorf("the error holds the password: %s", got[0])
				}
			}
		})
	}
}

// What is foretold of an image comes to pass on the first boot of an instance.
func TestAnInstanceHasThePasswordThatWasForetold(t *testing.T) {
	t.Parallel()
	specify := map[string]any{"mode": "specify", "value": plantedPassword}
	keep := map[string]any{"mode": "keep"}
	for _, agent := range []struct {
		name    string
		windows func() windows.Machine
	}{
		{"EC2Launch v2", windows.Server2022},
		{"EC2Launch v1", windows.Server2019},
		{"EC2Config", windows.Server2012R2},
	} {
		for _, test := range []struct {
			name     string
			password map[string]any
			unsealed bool
			// want is the password as the modelled Windows names it, is the password
			// itself, "own" for that of the connection.
			want, is string
			said     string
		}{
			{"as shipped", nil, false, "random", "", "makes a random one up"},
			{"random", map[string]any{"mode": "random"}, false, "random", "", "makes a random one up"},
			{"specified", specify, false, "specified", plantedPassword, ""},
			{"specified in awkward characters", map[string]any{"mode": "specify", "value": awkward}, false, "specified", awkward, ""},
			{"kept in awkward characters", map[string]any{"mode": "keep", "value": awkward}, false, "specified", awkward, ""},
			{"kept", keep, false, "specified", "own", "Windows Setup sets the one in the answer file"},
			{"kept by its value", map[string]any{"mode": "keep", "value": plantedPassword}, false, "specified", plantedPassword, "Windows Setup sets the one in the answer file"},
			{"random without Sysprep", map[string]any{"mode": "random"}, true, "random", "", "makes a random one up"},
			{"kept without Sysprep", keep, true, "kept", "own", "it stays as it is on this machine"},
		} {
			t.Run(agent.name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				shutOff := (*bench).stopped
				b := newBench(t, windowsOf(runs(agent.windows)))
				if test.unsealed {
					b, shutOff = withoutSysprep(t, runs(agent.windows)), (*bench).off
				}
				b.with(map[string]any{"show_changes": true})
				if test.password != nil {
					b.with(map[string]any{"administrator_password": test.password})
				}
				own := b.machine.Password()
				b.succeeds()
				shutOff(b)
				b.said("password: ", test.said)
				for _, secret := range append([]string{plantedPassword, own}, spelled...) {
					record, _ := os.ReadFile(filepath.Join(b.folder, "record.json"))
					if strings.Contains(b.ui.text(), secret) || logged.contains(secret) || strings.Contains(string(record), secret) {
						t.Error("the password is in an output")
					}
				}
				boot := b.firstBoot()
				if boot.Password != test.want {
					t.Errorf("the instance's password is %s, wanted %s", boot.Password, test.want)
				}
				is := test.is
				if is == "own" {
					is = own
				}
				if is != "" && !boot.PasswordIs(is) {
					t.Error("the instance has another password")
				}
			})
		}
	}
}

// firstBoot starts the sealed guest as an instance of its image would start.
func (b *bench) firstBoot() windows.FirstBoot {
	b.t.Helper()
	b.guest().PowerOn()
	var boot windows.FirstBoot
	b.eventually("the instance has set itself up", func() bool {
		found, ok := b.guest().FirstBoot()
		boot = found
		return ok
	}, func() string { return b.guest().ImageState() })
	return boot
}

func TestAPasswordThatCannotBeWhatWasWantedEndsTheBuild(t *testing.T) {
	t.Parallel()
	builder := func(m *windows.Machine) {
		administrator := m.Accounts["Administrator"]
		m.Accounts["builder"] = windows.Account{
			SID: strings.TrimSuffix(administrator.SID, "-500") + "-1001", Password: administrator.Password, Administrator: true,
		}
	}
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		options map[string]any
		want    []string
	}{
		{
			"a password to keep that nobody knows",
			runs(windows.Server2022, builder),
			map[string]any{"winrm_username": "builder", "administrator_password": map[string]any{"mode": "keep"}},
			[]string{"the password cannot be kept", "is not the built-in administrator", "give administrator_password.value"},
		},
		{
			"a password that EC2Config sets through Sysprep alone",
			runs(windows.Server2012R2),
			map[string]any{"action": "shutdown", "administrator_password": map[string]any{"mode": "specify", "value": plantedPassword}},
			[]string{"EC2Config sets a password that is specified only through Sysprep"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).with(test.options)
			b.fails("ES-216", test.want...)
			b.untouched()
			b.noResidue()
		})
	}
}

// On a member of a domain the connection may be that of the domain's
// administrator, whose identifier ends with 500 too.
func TestOnlyTheGuestsOwnAdministratorsPasswordIsKept(t *testing.T) {
	t.Parallel()
	const own, domain = "S-1-5-21-1713042563-2043160183-3206215862-500", "S-1-5-21-1004336348-1177238915-682003330-500"
	for _, test := range []struct {
		name, connected, local, want string
	}{
		{"the guest's own administrator", own, own, plantedPassword},
		{"a domain's administrator", domain, own, ""},
		{"a guest that does not say who its administrator is", own, "", ""},
	} {
		r := &run{
			config: &Config{AdministratorPassword: &AdministratorPasswordConfig{Mode: "keep"}, WinRMHost: "192.0.2.1", WinRMPassword: plantedPassword},
			facts:  &preflight.Facts{Identity: guest.Identity{User: "Administrator", SID: test.connected}, AdministratorSID: test.local},
		}
		got, err := r.keptPassword(nil)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: the right password was kept: %v (%v)", test.name, got == test.want, err)
		}
		if err != nil {
			wantFailure(t, err, "ES-216", "is not the built-in administrator", "give administrator_password.value")
		}
	}
}

func TestAPasswordForInstancesDoesNotGoThroughPackersOwnWinRM(t *testing.T) {
	t.Parallel()
	for _, machine := range []func() windows.Machine{windows.Server2022, windows.Server2019, windows.Server2012R2} {
		b := newBench(t, windowsOf(runs(machine))).byTheBuild("winrm").with(map[string]any{
			"transport": "communicator", "administrator_password": map[string]any{"mode": "specify", "value": plantedPassword},
		})
		b.comm = packers(t, b)
		b.fails("ES-212", `transport = "winrm"`)
		if _, err := os.Stat(filepath.Join(b.folder, "record.json")); err == nil {
			b.recorded(handoff.StagePlanned, "")
		}
	}
}
