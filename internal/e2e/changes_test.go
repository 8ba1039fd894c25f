package e2e

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// changes are options that change every kind of file.
const changes = `
    answer_file {
      copy_profile           = true
      time_zone              = "W. Europe Standard Time"
      user_locale            = "de-DE"
      protect_your_pc        = 1
      administrator_password = "Planted-For-Clones!1"

      run_synchronous {
        order       = 7
        description = "ours"
        path        = "cmd.exe /c echo 7"
        will_reboot = "Never"
      }
      run_synchronous {
        path = "cmd.exe /c echo 8"
      }
    }
    setup_complete {
      commands = ["echo hello"]
    }
    close_winrm  = true
    show_changes = true
    before_sysprep {`

const planted = "Planted-For-Clones!1"

func TestABuildChangesTheAnswerFileAndTheScripts(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *lab.Options) { o.Machines[0].Windows.Network.KeepPassword = true })
	r := b.build(b.edited("full-job.pkr.hcl", "\n    before_sysprep {", changes), nil)
	b.wantOneAMI(r, "seen")
	answers, _ := b.guest().File(`C:\ProgramData\Amazon\EC2Launch\sysprep\unattend.xml`)
	for _, text := range []string{"W. Europe Standard Time", "<UserLocale>de-DE</UserLocale>", "<Path>cmd.exe /c echo 8</Path>", "<ProtectYourPC>1</ProtectYourPC>"} {
		if !strings.Contains(string(answers), text) {
			t.Errorf("the image's answer file lacks %s:\n%s", text, answers)
		}
	}
	script, _ := b.guest().File(`C:\Windows\Setup\Scripts\SetupComplete.cmd`)
	if !strings.Contains(string(script), "echo hello") || !strings.Contains(string(script), `WSMAN\Listener`) {
		t.Errorf("the image's SetupComplete.cmd is\n%s", script)
	}
	if !strings.Contains(r.output, "AdministratorPassword/Value: (hidden)") {
		t.Errorf("the changes were not shown:\n%s", r.output)
	}
	if strings.Contains(r.output, planted) || strings.Contains(r.log, planted) {
		t.Error("the password for instances was shown")
	}
}

func TestADryRunThroughPackerMakesNoAMI(t *testing.T) {
	for name, describe := range map[string]func() windows.Machine{
		"EC2Launch v2": windows.Server2022, "EC2Launch v1": windows.Server2019, "EC2Config": windows.Server2012R2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, guestOf(describe))
			before := b.guest().Fingerprint()
			r := b.build(b.edited("full-job.pkr.hcl", "\n    before_sysprep {", "\n    dry_run = true\n"+changes), nil)
			b.wantFailure(r, "What an instance from this image does at its first boot", "Dry run: nothing was changed on the guest, and nothing was sealed.", "ES-504", "the sealer was never started")
			b.wantUnchanged(before, r)
			if strings.Contains(r.output, planted) || strings.Contains(r.log, planted) {
				t.Error("the password for instances was shown")
			}
		})
	}
}
