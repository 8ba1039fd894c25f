package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// guestOf makes a lab with one guest of that description, whose verdict is seen.
func guestOf(describe func() windows.Machine) func(*lab.Options) {
	return func(o *lab.Options) {
		described := describe()
		described.Network.KeepPassword = true
		o.Machines[0].Windows = &described
	}
}

func TestEachWindowsIsBuiltFromItsExample(t *testing.T) {
	for _, test := range []struct {
		example  string
		describe func() windows.Machine
		// files are texts that the image has to hold, by path.
		files map[string]string
		said  []string
	}{
		{
			"server-2012-r2-ec2config.pkr.hcl", windows.Server2012R2,
			map[string]string{
				`C:\Program Files\Amazon\Ec2ConfigService\Settings\DriveLetterConfig.xml`: "<DriveLetter>M:</DriveLetter>",
				`C:\Program Files\Amazon\Ec2ConfigService\Settings\BundleConfig.xml`:      "/shutdown",
				`C:\Program Files\Amazon\Ec2ConfigService\Scripts\PostSysprep.cmd`:        "first-boot.txt",
			},
			[]string{"password: EC2Config makes a random one up", "user data: EC2Config runs it"},
		},
		{
			"server-2012-r2-ec2config.pkr.hcl", windows.Server2012,
			map[string]string{`C:\Program Files\Amazon\Ec2ConfigService\Settings\DriveLetterConfig.xml`: "<VolumeName>Data</VolumeName>"},
			nil,
		},
		{
			"server-2016-ec2launch-v1.pkr.hcl", windows.Server2016,
			map[string]string{
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\LaunchConfig.json`:             `"setWallpaper": false`,
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\DriveLetterMappingConfig.json`: `"driveLetter": "M"`,
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\EventLogConfig.json`:           `"numEntries": 5`,
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Sysprep\SysprepSpecialize.cmd`:        "specialized.txt",
			},
			[]string{"password: EC2Launch v1 makes a random one up"},
		},
		{
			"server-2019-ec2launch-v1.pkr.hcl", windows.Server2019,
			map[string]string{
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\LaunchConfig.json`: `"setComputerName":true`,
				`C:\ProgramData\Amazon\EC2-Windows\Launch\Sysprep\Unattend.xml`:     "<TimeZone>W. Europe Standard Time</TimeZone>",
				`C:\Windows\Setup\Scripts\SetupComplete.cmd`:                        `WSMAN\Listener`,
			},
			[]string{"host name: EC2Launch v1 names each instance after its private address", "WinRM: SetupComplete.cmd closes it"},
		},
		{
			"server-2022-ec2launch-v2.pkr.hcl", windows.Server2022,
			map[string]string{
				`C:\ProgramData\Amazon\EC2Launch\config\agent-config.yml`: "task: enableJumboFrames",
				`C:\ProgramData\Amazon\EC2Launch\sysprep\unattend.xml`:    "<RegisteredOrganization>Golden Images</RegisteredOrganization>",
			},
			[]string{"password: EC2Launch v2 makes a random one up", "+       - task: executeScript"},
		},
		{
			"server-2025-ec2launch-v2.pkr.hcl", windows.Server2025,
			map[string]string{
				`C:\ProgramData\Amazon\EC2Launch\config\agent-config.yml`: "setAdminAccount",
				`C:\Windows\Setup\Scripts\SetupComplete.cmd`:              "set-up.txt",
			},
			[]string{"WinRM: SetupComplete.cmd closes it"},
		},
	} {
		name := strings.TrimSuffix(test.example, ".pkr.hcl") + " on " + test.describe().Computer
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, guestOf(test.describe))
			r := b.build(example(t, test.example), nil)
			b.wantOneAMI(r, "seen")
			for path, text := range test.files {
				if data, _ := b.guest().File(path); !strings.Contains(string(data), text) {
					t.Errorf("the image's %s lacks %s:\n%s", path, text, data)
				}
			}
			for _, text := range test.said {
				if !strings.Contains(r.output, text) {
					t.Errorf("the output lacks %q:\n%s", text, r.output)
				}
			}
		})
	}
}

// everyAnswer is every setting of the answer file.
const everyAnswer = `
    answer_file {
      copy_profile                        = false
      time_zone                           = "W. Europe Standard Time"
      input_locale                        = "0407:00000407"
      system_locale                       = "de-DE"
      ui_language                         = "de-DE"
      user_locale                         = "de-DE"
      registered_organization             = "Golden Images"
      registered_owner                    = "Build"
      persist_all_device_installs         = false
      do_not_clean_up_non_present_devices = false
      hide_eula_page                      = true
      hide_wireless_setup_in_oobe         = true
      protect_your_pc                     = 1
      network_location                    = "Work"
      bluetooth_taskbar_icon_enabled      = true
      computer_name                       = "GOLDEN"
      product_key                         = "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"

      run_synchronous {
        description = "ours"
        path        = "cmd.exe /c echo specialized > C:\\specialized.txt"
        will_reboot = "Never"
      }
    }
    setup_complete {
      commands = ["echo set up > C:\\set-up.txt"]
    }
    close_winrm  = true
    show_changes = true
    administrator_password {
      mode  = "specify"
      value = "Planted-For-Clones!1"
    }
    before_sysprep {`

// everySetting is every setting that an agent has, with what the image and its
// first instance have to show of it.
var everySetting = []struct {
	name     string
	describe func() windows.Machine
	options  string
	files    map[string][]string
	// written are files that the instance's first boot leaves.
	written []string
}{
	{
		"EC2Launch v2", windows.Server2022, `
    agent_config {
      ec2launch_v2 {
        remove_tasks = ["preReady/setWallpaper"]
        task {
          stage  = "postReady"
          name   = "setHostName"
          inputs = jsonencode({ hostName = "APP", reboot = false })
        }
        task {
          stage = "postReady"
          name  = "optimizeEna"
        }
      }
    }`,
		map[string][]string{
			`C:\ProgramData\Amazon\EC2Launch\config\agent-config.yml`: {"hostName: APP", "task: optimizeEna", "type: static"},
			`C:\ProgramData\Amazon\EC2Launch\sysprep\unattend.xml`:    {"<UserLocale>de-DE</UserLocale>", "<ComputerName>GOLDEN</ComputerName>", "<NetworkLocation>Work</NetworkLocation>"},
		},
		[]string{`C:\specialized.txt`, `C:\set-up.txt`},
	},
	{
		"EC2Launch v1", windows.Server2019, `
    sysprep_specialize {
      commands = ["echo specialized > C:\\agent-specialized.txt"]
    }
    agent_config {
      ec2launch_v1 {
        set_computer_name       = false
        set_monitor_always_on   = false
        set_wallpaper           = false
        add_dns_suffix_list     = false
        extend_boot_volume_size = false
        handle_user_data        = false
        run_on_every_boot       = true
        initialize_disks        = true
        send_event_logs         = true
        send_windows_is_ready   = true
        drive_letter {
          volume = "Data"
          letter = "M"
        }
        event_log {
          log   = "Application"
          level = "Warning"
        }
      }
    }`,
		map[string][]string{
			`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\LaunchConfig.json`:             {`"setMonitorAlwaysOn": false`, `"handleUserData": false`, `"adminPasswordType": "Specify"`},
			`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\DriveLetterMappingConfig.json`: {`"volumeName": "Data"`},
			`C:\ProgramData\Amazon\EC2-Windows\Launch\Config\EventLogConfig.json`:           {`"logName": "Application"`, `"numEntries": 3`},
			`C:\ProgramData\Amazon\EC2-Windows\Launch\Sysprep\Unattend.xml`:                 {"<UserLocale>de-DE</UserLocale>", "<ComputerName>GOLDEN</ComputerName>"},
		},
		[]string{`C:\specialized.txt`, `C:\agent-specialized.txt`, `C:\set-up.txt`},
	},
	{
		"EC2Config", windows.Server2012R2, `
    sysprep_specialize {
      commands = ["echo specialized > C:\\agent-specialized.txt"]
    }
    post_sysprep {
      commands = ["echo post > C:\\post-sysprep.txt"]
    }
    agent_config {
      ec2config {
        plugins         = { Ec2SetComputerName = false, Ec2HandleUserData = true, Ec2SetDriveLetter = true, Ec2EventLog = true }
        global_settings = { ManageShutdown = true, SetDnsSuffixList = false, WaitForMetaDataAvailable = true, ShouldAddRoutes = true }

        auto_sysprep        = false
        set_rdp_certificate = true
        drive_letter {
          volume = "Data"
          letter = "M"
        }
        event_log {
          log     = "System"
          entries = 4
        }
      }
    }`,
		map[string][]string{
			`C:\Program Files\Amazon\Ec2ConfigService\Settings\BundleConfig.xml`:      {"/shutdown", "<Name>SetRDPCertificate</Name>"},
			`C:\Program Files\Amazon\Ec2ConfigService\Settings\DriveLetterConfig.xml`: {"<DriveLetter>M:</DriveLetter>"},
			`C:\Program Files\Amazon\Ec2ConfigService\Settings\EventLogConfig.xml`:    {"System"},
			`C:\Program Files\Amazon\Ec2ConfigService\sysprep2008.xml`:                {"<UserLocale>de-DE</UserLocale>", "<ComputerName>GOLDEN</ComputerName>"},
		},
		[]string{`C:\specialized.txt`, `C:\agent-specialized.txt`, `C:\post-sysprep.txt`, `C:\set-up.txt`},
	},
}

// Every setting reaches the image through a real Packer, and the first boot of
// an instance, as the lab models it by itself, does what was foretold.
func TestEverySettingOfEachAgentReachesTheImage(t *testing.T) {
	for _, test := range everySetting {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, guestOf(test.describe))
			r := b.build(b.edited("full-job.pkr.hcl", "\n    before_sysprep {", test.options+everyAnswer), nil)
			b.wantOneAMI(r, "seen")
			if strings.Contains(r.output, planted) || strings.Contains(r.log, planted) || strings.Contains(r.log, "AAAAA-BBBBB") {
				t.Error("a secret was shown")
			}
			for path, texts := range test.files {
				data, _ := b.guest().File(path)
				for _, text := range texts {
					if !strings.Contains(string(data), text) {
						t.Errorf("the image's %s lacks %s:\n%s", path, text, data)
					}
				}
			}
			boot := b.firstBoot()
			if boot.Password != "specified" || !boot.PasswordIs(planted) {
				t.Errorf("the instance's password is %s", boot.Password)
			}
			if boot.WinRMListens || !boot.RDPAllowed {
				t.Errorf("the instance lets in by remote desktop: %v, by WinRM: %v", boot.RDPAllowed, boot.WinRMListens)
			}
			for _, path := range test.written {
				if _, there := b.guest().File(path); !there {
					t.Errorf("the first boot did not leave %s", path)
				}
			}
			if t.Failed() {
				t.Log("\n" + r.output)
			}
		})
	}
}

// Whole files of the user's take the places of the guest's, and the build's own
// password is kept.
func TestWholeFilesOfTheUsersReachTheImage(t *testing.T) {
	const (
		v2     = `C:\ProgramData\Amazon\EC2Launch`
		v1     = `C:\ProgramData\Amazon\EC2-Windows\Launch`
		config = `C:\Program Files\Amazon\Ec2ConfigService`
	)
	for _, test := range []struct {
		name     string
		describe func() windows.Machine
		// files are the options for whole files and the guest's own, whose text old
		// gets new.
		files []struct{ option, path, old, new string }
		// block is around the options of agent_config.
		block, answers string
	}{
		{
			"EC2Launch v2", windows.Server2025,
			[]struct{ option, path, old, new string }{{"path", v2 + `\config\agent-config.yml`, "extendRootPartition", "extendRootPartition # ours"}},
			"ec2launch_v2", v2 + `\sysprep\unattend.xml`,
		},
		{
			"EC2Launch v1", windows.Server2016,
			[]struct{ option, path, old, new string }{
				{"path", v1 + `\Config\LaunchConfig.json`, `"setWallpaper": true`, `"setWallpaper": false`},
				{"drive_letter_mapping_path", v1 + `\Config\DriveLetterMappingConfig.json`, "Sample Volume", "Our Volume"},
				{"event_log_path", v1 + `\Config\EventLogConfig.json`, `"Error"`, `"Warning"`},
			},
			"ec2launch_v1", v1 + `\Sysprep\Unattend.xml`,
		},
		{
			"EC2Config", windows.Server2012R2,
			[]struct{ option, path, old, new string }{
				{"config_path", config + `\Settings\Config.xml`, "<Ec2ConfigurationSettings>", "<Ec2ConfigurationSettings><!-- ours -->"},
				{"bundle_config_path", config + `\Settings\BundleConfig.xml`, "<BundleConfig>", "<BundleConfig><!-- ours -->"},
				{"drive_letter_config_path", config + `\Settings\DriveLetterConfig.xml`, "<DriveLetterMapping>", "<DriveLetterMapping><!-- ours -->"},
				{"event_log_config_path", config + `\Settings\EventLogConfig.xml`, "<EventLogConfig>", "<EventLogConfig><!-- ours -->"},
			},
			"ec2config", config + `\sysprep2008.xml`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, guestOf(test.describe))
			own := func(name, path, old, text string) (local string) {
				data, there := b.guest().File(path)
				if !there || !strings.Contains(string(data), old) {
					t.Fatalf("the guest's %s has no %q:\n%s", path, old, data)
				}
				return b.write(name, strings.Replace(string(data), old, text, 1))
			}
			options := "    answer_file_path = \"" + own("answers.xml", test.answers, "<CopyProfile>true<", "<CopyProfile>false<") + "\"\n" +
				"    administrator_password {\n      mode = \"keep\"\n    }\n    agent_config {\n      " + test.block + " {\n"
			for _, file := range test.files {
				options += "        " + file.option + " = \"" + own(file.option, file.path, file.old, file.new) + "\"\n"
			}
			options += "      }\n    }\n"
			r := b.build(b.edited("full-job.pkr.hcl", "\n    before_sysprep {", "\n"+options+"    before_sysprep {"), nil)
			b.wantOneAMI(r, "seen")
			for _, file := range test.files {
				if data, _ := b.guest().File(file.path); !strings.Contains(string(data), file.new) {
					t.Errorf("the image's %s is not the user's:\n%s", file.path, data)
				}
			}
			if data, _ := b.guest().File(test.answers); !strings.Contains(string(data), "<CopyProfile>false<") {
				t.Errorf("the image's answer file is not the user's:\n%s", data)
			}
			password := b.lab.Machines()[0].Password()
			if strings.Contains(r.output, password) || strings.Contains(r.log, password) {
				t.Error("the password that is kept was shown")
			}
			if boot := b.firstBoot(); !boot.PasswordIs(password) {
				t.Errorf("the instance has another password (%s):\n%s", boot.Password, r.output)
			}
		})
	}
}

// The other ways to shut down, in a build that ends with the provisioner.
func TestTheOtherWaysToShutDownOfEachAgent(t *testing.T) {
	for name, describe := range map[string]func() windows.Machine{
		"EC2Launch v2": windows.Server2022, "EC2Launch v1": windows.Server2019, "EC2Config": windows.Server2012R2,
	} {
		for _, shutdown := range []string{"agent", "none"} {
			t.Run(name+", "+shutdown, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, guestOf(describe))
				template, err := os.ReadFile(b.edited("full-job.pkr.hcl", "\n    before_sysprep {", "\n    shutdown = \""+shutdown+"\"\n    reconnect_timeout = \"8s\"\n    before_sysprep {"))
				if err != nil {
					t.Fatal(err)
				}
				provisioner, _, cut := strings.Cut(string(template), "  post-processor")
				if !cut {
					t.Fatal("the example has no post-processor")
				}
				r := b.build(b.write("provisioner.pkr.hcl", provisioner+"}\n"), nil)
				if r.code != 0 {
					t.Fatalf("packer ended with %d:\n%s", r.code, r.output)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				for up := shutdown == "none"; b.guest().On() != up; {
					select {
					case <-time.After(10 * time.Millisecond):
					case <-ctx.Done():
						t.Fatalf("the guest is up: %t, wanted %t:\n%s", !up, up, r.output)
					}
				}
				if state := b.guest().ImageState(); state != "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE" {
					t.Errorf("the guest's image state is %s:\n%s", state, r.output)
				}
				if n := len(b.images()); n != 0 {
					t.Errorf("the lab has %d images", n)
				}
			})
		}
	}
}

// firstBoot starts the stopped guest as an instance of its image would start.
func (b *bench) firstBoot() windows.FirstBoot {
	b.t.Helper()
	b.guest().PowerOn()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if boot, done := b.guest().FirstBoot(); done {
			return boot
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			b.t.Fatalf("the instance did not set itself up; its image state is %s", b.guest().ImageState())
		}
	}
}
