package windows

import (
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

func TestSingleActs(t *testing.T) {
	const key = `HKLM\SOFTWARE\Lab`
	number := Word("7")
	tests := []struct {
		name     string
		machine  func(m *Machine)
		act      guest.Act
		held     string
		trouble  string
		expected func(b *bench) bool
	}{
		{
			name: "a file is copied over another one", act: guest.Act{Act: guest.ActCopy, From: `C:\Windows\explorer.exe`, Path: `C:\New\copy.exe`},
			expected: func(b *bench) bool { content, _ := b.File(`C:\New\copy.exe`); return string(content) == "MZ" },
		},
		{name: "a file to copy is missing", act: guest.Act{Act: guest.ActCopy, From: `C:\nothing`, Path: `C:\x`}, trouble: `copy C:\x: C:\nothing does not exist`},
		{name: "a file to copy to is in use", act: guest.Act{Act: guest.ActCopy, From: `C:\Windows\explorer.exe`, Path: tagFile}, held: tagFile, trouble: "being used by another process"},
		{
			name: "a file is deleted", act: guest.Act{Act: guest.ActDelete, Path: `C:\Windows\explorer.exe`},
			expected: func(b *bench) bool { _, there := b.File(`C:\Windows\explorer.exe`); return !there },
		},
		{name: "a file to delete is missing", act: guest.Act{Act: guest.ActDelete, Path: `C:\nothing`}},
		{
			name: "a folder is deleted", act: guest.Act{Act: guest.ActDeleteFolder, Path: `C:\Users\Default`},
			expected: func(b *bench) bool { there, _ := b.Folder(`C:\Users\Default`); return !there },
		},
		{name: "a folder holds a file that is in use", act: guest.Act{Act: guest.ActDeleteFolder, Path: `C:\Users\Default`}, held: `C:\Users\Default\ntuser.dat`, trouble: "being used by another process"},
		{
			name: "a value is written", act: guest.Act{Act: guest.ActRegistry, Path: key, Name: "x", Set: &number},
			expected: func(b *bench) bool { return b.Registry(key, "x").Text == "7" },
		},
		{
			name: "a value is deleted", act: guest.Act{Act: guest.ActRegistry, Path: setupKey, Name: "SetupType", Set: &guest.Value{}},
			expected: func(b *bench) bool { return !b.Registry(setupKey, "SetupType").Exists },
		},
		{name: "a value of no kind", act: guest.Act{Act: guest.ActRegistry, Path: key, Name: "x", Set: &guest.Value{Exists: true, Kind: "None"}}, trouble: "unknown kind of value None"},
		{
			name: "a program runs", act: guest.Act{Act: guest.ActRun, Path: `C:\Windows\System32\powercfg.exe`, Arguments: "/hibernate off"},
			expected: func(b *bench) bool { return b.Registry(powerKey, "HibernateEnabled").Text == "0" },
		},
		{name: "a program fails", act: guest.Act{Act: guest.ActRun, Path: `C:\Windows\System32\cmd.exe`, Arguments: "/d /c exit 3"}, trouble: "cmd.exe ended with code 3"},
		{name: "a program is missing", act: guest.Act{Act: guest.ActRun, Path: `C:\nothing.exe`}, trouble: "nothing.exe ended with code 1"},
		{name: "a program does not end", act: guest.Act{Act: guest.ActRun, Path: sysprepFolder + `\sysprep.exe`, Seconds: 5}, trouble: "did not end within 5 s"},
		{name: "an act that nobody knows", act: guest.Act{Act: "fly", Path: `C:\x`}, trouble: `fly C:\x: unknown act fly`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			if test.machine != nil {
				test.machine(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				if test.held != "" {
					b.Hold(test.held, true)
				}
				p := plan()
				p.Generalize, p.Shutdown = false, "none"
				p.Commands = []guest.Command{{File: `C:\Windows\System32\hostname.exe`}}
				p.Sealed = []guest.Act{test.act}
				b.seal(p)
				b.until(2*minute, "the end", func() bool { return b.state().Phase == guest.PhaseStayingUp })
				troubles := strings.Join(b.state().Troubles, "\n")
				if test.trouble == "" && troubles != "" || !strings.Contains(troubles, test.trouble) {
					t.Errorf("troubles %q, want %q", troubles, test.trouble)
				}
				if test.expected != nil && !test.expected(b) {
					t.Error("the act did nothing")
				}
				if test.held != "" {
					b.Hold(test.held, false)
				}
			})
		})
	}
}

func TestShuttingDownWithoutSysprep(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		p := plan()
		p.Generalize = false
		p.Commands = []guest.Command{{File: v2Program, Arguments: "reset"}}
		b.seal(p)
		b.until(2*minute, "the end", func() bool { return !b.On() })
		if b.ImageState() != stateComplete || b.Sealed() {
			t.Errorf("image state %s", b.ImageState())
		}
		if _, there := b.File(v2RunOnce); there {
			t.Error("the command did not run")
		}
	})
}

func TestAnOptionalActMayFail(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		p := plan()
		p.Apply = []guest.Act{{Act: guest.ActCopy, From: `C:\nothing`, Path: `C:\x`, Optional: true}}
		p.Sealed, p.Shutdown = []guest.Act{}, "none"
		b.seal(p)
		b.until(10*minute, "the end", func() bool { return b.state().Phase == guest.PhaseStayingUp })
		if state := b.state(); len(state.Troubles) != 1 || !b.Sealed() {
			t.Errorf("state %+v", state)
		}
		if n := b.ProgramsStarted(); n != 1 {
			t.Errorf("%d programs were started outside the session", n)
		}
	})
}

func TestASerialPortThatIsTakenIsOnlyATrouble(t *testing.T) {
	m := Server2022()
	m.SerialTaken = true
	bubble(t, m, func(t *testing.T, b *bench) {
		p := plan()
		p.Sealed, p.Shutdown = []guest.Act{}, "none"
		b.seal(p)
		b.until(10*minute, "the end", func() bool { return b.state().Phase == guest.PhaseStayingUp })
		if troubles := b.state().Troubles; len(troubles) != 1 || !strings.HasPrefix(troubles[0], "COM1: ") || b.COM1() != "" {
			t.Errorf("troubles %q, COM1 %q", troubles, b.COM1())
		}
	})
}

func TestAClockThatIsSetDoesNotMoveTheLimits(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.seal(plan())
		b.until(minute, "the start", func() bool { return b.Runs("sysprep") })
		b.SetClock(-48 * time.Hour)
		b.until(10*minute, "the end", func() bool { return !b.On() })
		if !b.Sealed() {
			t.Errorf("image state %s", b.ImageState())
		}
	})
}

func TestAMessageBoxIsEndedWithItsProcess(t *testing.T) {
	m := Server2022()
	m.SetRegistry(`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\ReserveManager!ActiveScenario`, Word("1"))
	bubble(t, m, func(t *testing.T, b *bench) {
		ended := make(chan int, 1)
		go func() {
			_, _, code := b.shell(`"` + v2Program + `" sysprep`)
			ended <- code
		}()
		b.until(minute, "the refusal", func() bool { return strings.Contains(b.mustFile(errorLog), "0x800F0975") })
		wait := time.NewTimer(10 * minute)
		<-wait.C
		if !b.Runs("sysprep") {
			t.Fatal("sysprep.exe did not stay")
		}
		b.Kill("sysprep")
		if code := <-ended; code != 1 {
			t.Errorf("the agent ended with %d", code)
		}
	})
}

func TestTheRegistryMayBeSlowWhileGeneralizing(t *testing.T) {
	m := Server2022()
	m.SlowWhileGeneralizing = Seconds(20)
	bubble(t, m, func(t *testing.T, b *bench) {
		s := b.open()
		defer s.close()
		read := func() time.Duration {
			began := time.Now()
			s.ask(`{"op":"registry.read","path":"HKLM\\SYSTEM\\Setup","name":"SetupType"}`)
			return time.Since(began)
		}
		if took := read(); took != 0 {
			t.Errorf("a read took %s before", took)
		}
		b.Execute(sysprepFolder+`\sysprep.exe`, "/oobe /generalize /quit /quiet")
		if took := read(); took != 20*time.Second {
			t.Errorf("a read took %s meanwhile", took)
		}
	})
}

func TestACutIsMended(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		b.CutNetwork(minute)
		b.MendNetwork()
		b.CutNetwork(0)
		wait := time.NewTimer(2 * minute)
		<-wait.C
		if b.Reachable() {
			t.Error("an earlier cut's end mended a later cut")
		}
		b.MendNetwork()
		if got := b.happened(); got != "network cut, network up, network cut, network up" {
			t.Errorf("happened: %s", got)
		}
	})
}
