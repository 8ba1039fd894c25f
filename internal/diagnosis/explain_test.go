package diagnosis

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheExplanationsReadAsTheGoldenFileSays shows whole explanations of logs
// that we wrote.
func TestTheExplanationsReadAsTheGoldenFileSays(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "logs", "*.log"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no logs in testdata: %v", err)
	}
	var b strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		e := Explain(Text{Name: "setuperr.log", Data: data})
		fmt.Fprintf(&b, "== %s (known %v, fatal %v)\n%s\n", filepath.Base(path), e.Known(), e.Fatal(), e)
	}
	golden(t, "explanations.golden", b.String())
}

func TestTheFirstLogWithACauseWins(t *testing.T) {
	e := Explain(
		Text{Name: "setuperr.log", Data: []byte(samples["winmain-hit-failure"])},
		Text{Name: "setupact.log", Data: []byte(samples["file-ops-pending"] + "\n" + samples["bitlocker"])},
		Text{Name: "agent.log", Data: []byte(samples["ec2l2-serial"])},
	)
	if e.Code != "ES-316" || e.Cause.Log != "setupact.log" || e.Cause.Line.Number != 2 || e.Verdict.Log != "setuperr.log" {
		t.Errorf("explained as %s", e)
	}
	var also []string
	for _, m := range e.Also {
		also = append(also, m.Signature.ID)
	}
	if got := strings.Join(also, " "); got != "file-ops-pending ec2l2-serial" {
		t.Errorf("also = %q", got)
	}
}

func TestNoLogAtAllIsUnknownAndNotFatal(t *testing.T) {
	if e := Explain(); e.Code != CodeUnknown || e.Fatal() || e.Meaning == "" || e.Remedy == "" {
		t.Errorf("explained as %+v", e)
	}
}

func TestALongLineIsCut(t *testing.T) {
	line := samples["bitlocker"] + strings.Repeat("ä", 2000)
	e := Explain(Text{Name: "x", Data: []byte(line)})
	if n := len([]rune(e.Cause.String())); n > quoteLimit+10 {
		t.Errorf("the quoted line has %d characters", n)
	}
}

func FuzzExplain(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := Text{Name: "x", Data: data}
		e := Explain(text)
		if e.Code == "" || e.Meaning == "" || e.Remedy == "" {
			t.Errorf("an empty explanation: %+v", e)
		}
		if e.Known() && e.Cause == nil && e.Verdict == nil {
			t.Error("known, but by no line")
		}
		if m := FindVerdict(text); m != nil && m.Signature.Role != RoleVerdict {
			t.Errorf("%s is no verdict", m.Signature.ID)
		}
	})
}
