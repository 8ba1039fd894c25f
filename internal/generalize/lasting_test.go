package generalize

import (
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// A temporary file with lasting content is in neither form where it must not
// be: the sealed image has the lasting one, a refused guest what it had before.
func TestTheLastingContentOfATemporaryFile(t *testing.T) {
	t.Parallel()
	const path = `C:\ProgramData\Amazon\EC2Launch\own.xml`
	for _, test := range []struct {
		name    string
		machine func(*windows.Machine)
		outcome Outcome
		want    string
	}{
		{"in a sealed image", func(*windows.Machine) {}, Sealed, "lasting"},
		{"after a refusal", func(m *windows.Machine) { m.Sysprep.Refuse = windows.RefuseBitLocker() }, Refused, "before"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			off := make(chan struct{})
			j, g := newJobWith(t, func(m *windows.Machine) {
				m.SetFile(path, "before")
				test.machine(m)
			}, windows.Hooks{PowerOff: func() { close(off) }})
			j.Files = []Staged{{Name: "settings", Path: path, Data: []byte("while sealing"), Temporary: true, Lasting: []byte("lasting")}}
			plan, starts, err := j.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			files, err := j.Stage(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != 4 || files[3].Size != int64(len("lasting")) {
				t.Errorf("the confirmed files are %+v", files)
			}
			confirmed, err := j.Trigger(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			verdict, err := j.Watch(t.Context(), confirmed, starts)
			if err != nil || verdict.Outcome != test.outcome {
				t.Fatalf("the outcome is %d (%v), %+v", verdict.Outcome, err, verdict.State)
			}
			if test.outcome == Sealed {
				<-off
			}
			if got, _ := g.File(path); string(got) != test.want {
				t.Errorf("the file says %q, wanted %q", got, test.want)
			}
		})
	}
}
