package diagnosis

import (
	"strings"
	"testing"
)

// BenchmarkExplainALargeLog is a setupact.log of some 4 MB, nearly all Info.
func BenchmarkExplainALargeLog(b *testing.B) {
	line := `2026-03-02 10:15:04, Info                  SYSPRP ActionPlatform::LaunchModule: Executing method 'ValidateBitLockerState' from C:\Windows\System32\BdeSysprep.dll` + "\r\n"
	text := Text{Name: "setupact.log", Data: []byte(strings.Repeat(line, 25000) + samples["winmain-hit-failure"])}
	b.SetBytes(int64(len(text.Data)))
	for b.Loop() {
		if e := Explain(text); e.Verdict == nil {
			b.Fatal("no verdict")
		}
	}
}
