package sysprep

import (
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

func TestAGuestThatIsSetUpAtEachBootIsWarnedOf(t *testing.T) {
	t.Parallel()
	const warning = "Warning: EC2Launch v1 sets this guest up at every boot"
	for name, test := range map[string]struct {
		machine func(*windows.Machine)
		warns   bool
	}{
		"at each boot":         {runs(windows.Server2016, perBoot), true},
		"once":                 {runs(windows.Server2016), false},
		"without EC2Launch v1": {runs(windows.Server2022), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, windowsOf(test.machine)).with(map[string]any{"dry_run": true})
			b.succeeds()
			if got := strings.Contains(b.ui.text(), warning); got != test.warns {
				t.Errorf("warned: %t", got)
			}
		})
	}
}
