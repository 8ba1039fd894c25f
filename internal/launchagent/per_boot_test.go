package launchagent

import (
	"strings"
	"testing"
)

func TestATaskThatWouldNoLongerRunAtEachBoot(t *testing.T) {
	t.Parallel()
	definition := func(arguments, enabled string) string {
		return "<Task><Settings><Enabled>" + enabled + "</Enabled></Settings><Actions><Exec><Arguments>-File InitializeInstance.ps1" + arguments + "</Arguments></Exec></Actions></Task>"
	}
	wide := func(text string) string { return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00") + "\x00" }
	for _, test := range []struct {
		name, definition string
		schedules        Schedules
		want             bool
	}{
		{"at each boot", definition(" -KeepSchedule", "true"), Schedules{}, true},
		{"at each boot, in UTF-16", wide(definition(" -KeepSchedule", "true")), Schedules{Disks: true}, true},
		{"at each boot, and so it stays", definition(" -KeepSchedule", "true"), Schedules{PerBoot: true}, false},
		{"at each boot, but disabled", definition(" -KeepSchedule", "false"), Schedules{}, false},
		{"once", definition("", "true"), Schedules{}, false},
		{"no task", "", Schedules{}, false},
	} {
		if got := (EC2LaunchV1{}).LosesPerBoot(Order{Action: ActionSysprep, Schedules: test.schedules}, []byte(test.definition)); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
