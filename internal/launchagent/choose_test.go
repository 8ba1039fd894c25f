package launchagent

import (
	"slices"
	"strings"
	"testing"
)

func TestTheNewestInstalledAgentIsChosen(t *testing.T) {
	t.Parallel()
	v2, v1, config := Found{Agent: EC2LaunchV2{}}, Found{Agent: EC2LaunchV1{}}, Found{Agent: EC2Config{}}
	for _, test := range []struct {
		name, wanted string
		found        []Found
		want, fails  string
	}{
		{name: "the only one", wanted: "auto", found: []Found{v1}, want: "ec2launch-v1"},
		{name: "the newer of two", found: []Found{v2, v1}, want: "ec2launch-v2"},
		{name: "the wanted one", wanted: "ec2launch-v1", found: []Found{v2, v1}, want: "ec2launch-v1"},
		{name: "none at all", wanted: "auto", fails: "no launch agent is installed: neither %ProgramFiles%"},
		{name: "another than the wanted one", wanted: "ec2launch-v2", found: []Found{v1, config}, fails: `agent "ec2launch-v2" is not installed; the guest has EC2Launch v1 and EC2Config`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Choose(test.wanted, test.found)
			switch {
			case test.fails == "" && (err != nil || got.ID() != test.want):
				t.Errorf("chosen: %v (%v), wanted %s", got, err, test.want)
			case test.fails != "" && (err == nil || !strings.HasPrefix(err.Error(), test.fails)):
				t.Errorf("the error is %v, wanted %s", err, test.fails)
			}
		})
	}
}

func TestAgentsAreFoundByTheirIDs(t *testing.T) {
	t.Parallel()
	if want := []string{"ec2launch-v2", "ec2launch-v1", "ec2config"}; !slices.Equal(IDs(), want) {
		t.Errorf("the ids are %q, wanted %q", IDs(), want)
	}
	for _, id := range IDs() {
		if agent, ok := ByID(id); !ok || agent.ID() != id {
			t.Errorf("%s is %v", id, agent)
		}
	}
	if _, ok := ByID("cloud-init"); ok {
		t.Error("an agent that nobody knows was found")
	}
}

func TestVariablesOfTheGuestAreReplaced(t *testing.T) {
	t.Parallel()
	folders := map[string]string{"ProgramData": `D:\Data`, "windir": "", "ProgramFiles": `C:\Program Files`}
	for path, want := range map[string]string{
		`%ProgramData%\Amazon`:           `D:\Data\Amazon`,
		`%windir%\System32`:              `%windir%\System32`,
		EC2LaunchV2{}.Program():          `C:\Program Files\Amazon\EC2Launch\EC2Launch.exe`,
		`C:\100%\%ProgramFiles%\%Other%`: `C:\100%\C:\Program Files\%Other%`,
	} {
		if got := Expand(path, folders); got != want {
			t.Errorf("%s became %s, wanted %s", path, got, want)
		}
	}
}
