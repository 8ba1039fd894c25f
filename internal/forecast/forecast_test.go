package forecast

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/agentconfig"
)

var update = flag.Bool("update", false, "write the golden files anew")

// setup is what AWS's own files make of Windows Setup.
func setup(change func(*Setup)) *Setup {
	s := &Setup{Scrambles: true, ComputerName: "*", ClosesRDP: true, OpensRDP: true}
	if change != nil {
		change(s)
	}
	return s
}

var v2 = Agent{Title: "EC2Launch v2", Password: agentconfig.Random, By: "setAdminAccount: random", UserData: true}

func agent(change func(*Agent)) Agent {
	a := v2
	change(&a)
	return a
}

var cases = []struct {
	name  string
	image Image
	want  Forecast
}{
	{
		"an image of AWS's own files",
		Image{Agent: v2, Setup: setup(nil), WinRM: []string{"HTTP on 5985"}},
		Forecast{Password: Retrievable, UserData: true, RDP: true, WinRM: true},
	},
	{
		"a password that was specified for the agent",
		Image{Agent: agent(func(a *Agent) { a.Password, a.By = agentconfig.Specify, "setAdminAccount: static" }), Setup: setup(nil)},
		Forecast{Password: Given, UserData: true, RDP: true},
	},
	{
		"a password that is kept by the answer file",
		Image{Agent: agent(func(a *Agent) { a.Password = agentconfig.Keep }), Setup: setup(func(s *Setup) { s.Password, s.Scrambles = true, false })},
		Forecast{Password: FromAnswerFile, UserData: true, RDP: true},
	},
	{
		"an answer file's password comes after the scrambling",
		Image{Agent: agent(func(a *Agent) { a.Password = agentconfig.Keep }), Setup: setup(func(s *Setup) { s.Password = true })},
		Forecast{Password: FromAnswerFile, UserData: true, RDP: true},
	},
	{
		"an agent that leaves a scrambled password alone",
		Image{Agent: agent(func(a *Agent) { a.Password = agentconfig.Keep }), Setup: setup(nil)},
		Forecast{Password: Disabled, UserData: true, RDP: true},
	},
	{
		"settings that say nothing about the password leave the scrambled one",
		Image{Agent: agent(func(a *Agent) { a.Password = "" }), Setup: setup(nil)},
		Forecast{Password: Disabled, UserData: true, RDP: true},
	},
	{
		"neither a password nor a scrambling",
		Image{Agent: agent(func(a *Agent) { a.Password = agentconfig.Keep }), Setup: setup(func(s *Setup) { s.Scrambles = false })},
		Forecast{Password: Disabled, UserData: true, RDP: true},
	},
	{
		"settings that the agent cannot read",
		Image{Agent: agent(func(a *Agent) { a.Password, a.Invalid = "", "a tab begins line 4" }), Setup: setup(nil)},
		Forecast{Password: Unknown, UserData: true, RDP: true},
	},
	{
		"a machine that is not generalized keeps its password and its name",
		Image{Agent: agent(func(a *Agent) { a.Password = agentconfig.Keep }), Computer: "BUILD-1"},
		Forecast{Password: Unchanged, UserData: true, ComputerName: "BUILD-1", RDP: true},
	},
	{
		"a machine that is not generalized gets a random password all the same",
		Image{Agent: v2, Computer: "BUILD-1", DenyRDP: true},
		Forecast{Password: Retrievable, UserData: true, ComputerName: "BUILD-1"},
	},
	{
		"user data that does not run",
		Image{Agent: agent(func(a *Agent) { a.UserData, a.UserDataBy = false, "handleUserData: false" }), Setup: setup(nil)},
		Forecast{Password: Retrievable, RDP: true},
	},
	{
		"one name for every instance by the answer file",
		Image{Agent: v2, Setup: setup(func(s *Setup) { s.ComputerName = "WEB" })},
		Forecast{Password: Retrievable, UserData: true, ComputerName: "WEB", RDP: true},
	},
	{
		"one name for every instance by the agent, which decides",
		Image{Agent: agent(func(a *Agent) { a.Names, a.Name, a.Restarts = true, "APP", true }), Setup: setup(func(s *Setup) { s.ComputerName = "WEB" })},
		Forecast{Password: Retrievable, UserData: true, ComputerName: "APP", RDP: true},
	},
	{
		"a name after the address",
		Image{Agent: agent(func(a *Agent) { a.Names = true }), Setup: setup(nil)},
		Forecast{Password: Retrievable, UserData: true, RDP: true},
	},
	{
		"remote desktop that nobody opens again",
		Image{Agent: v2, Setup: setup(func(s *Setup) { s.OpensRDP = false })},
		Forecast{Password: Retrievable, UserData: true},
	},
	{
		"remote desktop that nobody closes",
		Image{Agent: v2, Setup: setup(func(s *Setup) { s.ClosesRDP = false })},
		Forecast{Password: Retrievable, UserData: true, RDP: true},
	},
	{
		"remote desktop that was refused before and stays so",
		Image{Agent: v2, DenyRDP: true, Setup: setup(func(s *Setup) { s.ClosesRDP, s.OpensRDP = false, false })},
		Forecast{Password: Retrievable, UserData: true},
	},
	{
		"WinRM that is closed at the first boot",
		Image{Agent: v2, WinRM: []string{"HTTP on 5985"}, Setup: setup(func(s *Setup) { s.ClosesWinRM = true })},
		Forecast{Password: Retrievable, UserData: true, RDP: true},
	},
	{
		"WinRM with a certificate of this machine's",
		Image{Agent: v2, WinRM: []string{"HTTP on 5985", "HTTPS on 5986"}, Setup: setup(nil)},
		Forecast{Password: Retrievable, UserData: true, RDP: true, WinRM: true},
	},
	{
		"WinRM of which nobody knows",
		Image{Agent: v2, WinRMUnknown: true, Setup: setup(nil)},
		Forecast{Password: Retrievable, UserData: true, RDP: true},
	},
}

func TestAForecastFollowsFromWhatIsInTheImage(t *testing.T) {
	var told strings.Builder
	for _, c := range cases {
		got := Of(c.image)
		if lines := len(got.Lines()); lines != 5 {
			t.Errorf("%s: %d lines, not one for each subject", c.name, lines)
		}
		fmt.Fprintf(&told, "%s\n", c.name)
		for _, line := range got.Lines() {
			mark := " "
			if line.Warning {
				mark = "!"
			}
			fmt.Fprintf(&told, "  %s %s\n", mark, line)
		}
		got.lines = nil
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Forecast{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
	golden(t, "forecasts.txt", told.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}
