package direct_test

import (
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

func TestACommandSaysWhatItHasToSay(t *testing.T) {
	_, _, c := lab(t, winrm.Config{})
	stdout, stderr, code := run(t, c, "echo hello", "")
	if stdout != "hello\r\n" || stderr != "" || code != 0 {
		t.Errorf("stdout %q, stderr %q, code %d", stdout, stderr, code)
	}
}
