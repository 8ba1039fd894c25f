package diagnosis

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestAVerdictIsFoundHoweverTheLogIsCut(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "logs", "appx-two-packages.log"))
	if err != nil {
		t.Fatal(err)
	}
	logs := map[string][]byte{"UTF-8": data, "UTF-16": append([]byte{0xff, 0xfe}, utf16le(t, string(data))...)}
	for name, log := range logs {
		for _, size := range []int{1, 2, 3, 7, 64, 1000, len(log)} {
			t.Run(fmt.Sprintf("%s in pieces of %d", name, size), func(t *testing.T) {
				v := Verdicts{Log: "setuperr.log"}
				var found *Match
				for rest := log; len(rest) > 0 && found == nil; rest = rest[min(size, len(rest)):] {
					found = v.Feed(rest[:min(size, len(rest))])
				}
				if found == nil || found.Signature.ID != "rundlls-halt" || found.Line.Number != 11 {
					t.Fatalf("found %+v", found)
				}
			})
		}
	}
}

func TestAHalfWrittenLineIsNoVerdictUntilTheLogEnds(t *testing.T) {
	var v Verdicts
	if m := v.Feed([]byte(samples["rundlls-halt"])); m != nil {
		t.Fatalf("found %s in a line without an end", m)
	}
	if m := v.Close(); m == nil || m.Signature.ID != "rundlls-halt" {
		t.Fatalf("Close found %v", m)
	}
	if m := v.Close(); m != nil {
		t.Fatalf("a second Close found %v", m)
	}
}

func TestAProvidersFailureAloneIsNoVerdict(t *testing.T) {
	for _, id := range []string{"launchmodule-generic", "appx-not-provisioned", "file-ops-pending", "image-state"} {
		if m := FindVerdict(Text{Data: []byte(samples[id] + "\n")}); m != nil {
			t.Errorf("%s is taken for the verdict %s", id, m.Signature.ID)
		}
	}
}

func TestALineWithoutEndDoesNotGrowForEver(t *testing.T) {
	var v Verdicts
	piece := make([]byte, 4096)
	for i := range piece {
		piece[i] = 'x'
	}
	for range 40 {
		v.Feed(piece)
		if len(v.pending) > pendingLimit+len(piece) {
			t.Fatalf("%d bytes kept", len(v.pending))
		}
	}
}
