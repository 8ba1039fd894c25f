package sysprep

import (
	"slices"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// boot starts the machine, as the first instance from its image or once more,
// and keeps what that came to.
func (s *sealing) boot() {
	s.t.Helper()
	said := len(s.guest().COM1())
	s.guest().PowerOff()
	s.guest().PowerOn()
	s.eventually("the instance has booted", func() bool {
		var up bool
		s.first, up = s.guest().FirstBoot()
		return up
	}, func() string { return s.guest().ImageState() })
	s.console = s.guest().COM1()[said:]
}

// consoleSays wants these phrases on the instance's console, in this order.
func consoleSays(phrases ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		inOrder(t, "the console's text", s.console, phrases)
	}
}

// administratorGets wants the instance's administrator to have a password from
// there, and not the one of the machine that the image was made of.
func administratorGets(origin string, shown bool) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if s.first.Password != origin || s.first.PasswordShown != shown {
			t.Errorf("the password is %s, shown: %t; wanted %s, %t", s.first.Password, s.first.PasswordShown, origin, shown)
		}
		if s.first.PasswordIs(s.machine.Password()) {
			t.Error("the password is the one that the build used")
		}
	}
}

// administratorHas wants the instance's administrator to have a certain password.
func administratorHas(password string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if !s.first.PasswordIs(password) {
			t.Errorf("the password is another one: it is %s", s.first.Password)
		}
	}
}

// passwordPersists wants a second start of the instance to leave its password
// alone. It is for the last row of a guest's.
func passwordPersists(t *testing.T, s *sealing) {
	if s.first.Password != windows.PasswordRandom {
		t.Errorf("the first start made the password %s", s.first.Password)
	}
	s.boot()
	if s.first.SetUp || s.first.Password != windows.PasswordKept || s.first.PasswordShown {
		t.Errorf("the second start came to %+v", s.first)
	}
}

// letsRDPIn wants the instance to let remote desktop in.
func letsRDPIn(t *testing.T, s *sealing) {
	if !s.first.RDPAllowed {
		t.Error("the instance refuses remote desktop")
	}
}

// isRenamed wants Windows Setup to have given the instance a name of its own.
func isRenamed(t *testing.T, s *sealing) {
	if !s.first.SetUp || s.first.ComputerName == "" || s.first.ComputerName == s.computer {
		t.Errorf("the instance is called %q, set up: %t; the machine was called %q", s.first.ComputerName, s.first.SetUp, s.computer)
	}
}

// agentDoes wants the agent to have done these, in this order, without a fault.
func agentDoes(tasks ...string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if !slices.Equal(s.first.Tasks, tasks) || s.first.AgentFault != "" {
			t.Errorf("the agent did %q with the fault %q, wanted %q", s.first.Tasks, s.first.AgentFault, tasks)
		}
	}
}

// hasValue wants a value that a script was to write to the registry.
func hasValue(name string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if got := s.guest().Registry(scriptKey, name).Text; got != "1" {
			t.Errorf(`%s!%s is %q: the script did not run`, scriptKey, name, got)
		}
	}
}

// hasNoValue wants that script not to have run yet.
func hasNoValue(name string) func(*testing.T, *sealing) {
	return func(t *testing.T, s *sealing) {
		if s.guest().Registry(scriptKey, name).Exists {
			t.Errorf(`%s!%s is there already`, scriptKey, name)
		}
	}
}

// scriptKey is a key that scripts of these tests write to.
const scriptKey = `HKLM\SOFTWARE\Golden`

// writes is a line for a batch script that hasValue finds.
func writes(name string) string {
	return `reg add ` + scriptKey + ` /v ` + name + ` /t REG_DWORD /d 1 /f`
}
