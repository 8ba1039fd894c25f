package diagnosis

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseLineTakesApart(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 15, 1, 0, time.UTC)
	tests := map[string]struct {
		raw  string
		want Line
	}{
		"a Panther line with everything": {
			"2026-03-02 10:15:01, Error      [0x0f0082] SYSPRP LaunchDll:failed[gle=0x000000C1]\r\n",
			Line{Time: at, Level: LevelError, ID: "0x0f0082", Component: "SYSPRP", Text: "LaunchDll:failed", GLE: "0x000000c1"},
		},
		"a Panther line without a message number": {
			"2026-03-02 10:15:01, Info                  SYSPRP Entering",
			Line{Time: at, Level: LevelInfo, Component: "SYSPRP", Text: "Entering"},
		},
		"a Panther line whose bracket is a program": {
			"2026-03-02 10:15:01, Warning    [oobeldr.exe] Waiting",
			Line{Time: at, Level: LevelWarning, Component: "[oobeldr.exe]", Text: "Waiting"},
		},
		"a Panther line without a time": {
			"Error [Shell Unattend] CopyProfile failed (0x80070003) [gle=0x00000003]",
			Line{Level: LevelError, Component: "[Shell Unattend]", Text: "CopyProfile failed (0x80070003)", GLE: "0x00000003"},
		},
		"a Panther line that another program quotes": {
			"2026-04-01T00:00:00Z: ==> windows: 2026-03-02 10:15:01, Error                 SYSPRP x",
			Line{Time: at, Level: LevelError, Component: "SYSPRP", Text: "x"},
		},
		"a line of Configuration Manager's viewer": {
			"03-02-2026 10:15:01.000 SYSPRP 983152 (0xf0070) RunDlls:halting",
			Line{Time: at, ID: "0x0f0070", Component: "SYSPRP", Text: "RunDlls:halting"},
		},
		"a line of EC2Launch v2": {
			"2026-03-02 10:15:01 Info: Stage: postReady completed.",
			Line{Time: at, Level: LevelInfo, Text: "Stage: postReady completed."},
		},
		"a line of EC2Launch v2 since 2.4.0": {
			"2026-03-02 10:15:01.250 Error: x",
			Line{Time: at.Add(250 * time.Millisecond), Level: LevelError, Text: "x"},
		},
		"a line of EC2Launch v1": {
			"2026/03/02 10:15:01Z: Message: y",
			Line{Time: at, Text: "Message: y"},
		},
		"a line of EC2Config": {
			"2026-03-02T10:15:01.000Z: SysprepUtils: z",
			Line{Time: at, Text: "SysprepUtils: z"},
		},
		"a bare sentence": {"Error or not, a sentence", Line{Level: LevelUnknown, Text: "Error or not, a sentence"}},
		"a bare SYSPRP excerpt": {
			"SYSPRP Package x",
			Line{Component: "SYSPRP", Text: "Package x"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := ParseLine(tt.raw, 7)
			tt.want.Number, tt.want.Raw = 7, got.Raw
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLevelsAreNamedAsTheLogsNameThem(t *testing.T) {
	for level, want := range map[Level]string{LevelUnknown: "", LevelInfo: "Info", LevelWarning: "Warning", LevelError: "Error"} {
		if got := level.String(); got != want {
			t.Errorf("Level(%d) = %q, want %q", level, got, want)
		}
	}
}
