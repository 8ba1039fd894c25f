// Package preflight decides whether a guest may be sealed: facts in, findings
// out. A rule is one entry of a table, with a stable ID, the questions that it
// puts to the guest and the judgement of their answers side by side. All rules
// ask in one round trip; nothing on the guest is changed.
//
// Rules report; what is done about a finding is the provisioner's matter. The
// facts behind the rules, with their sources, are AWS's documents on Sysprep
// and Microsoft's on its errors.
package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// Severity says what a finding means for the build.
type Severity int

// The severities.
const (
	// Info is shown in the log.
	Info Severity = iota
	// Warning is shown to the user; the build goes on.
	Warning
	// Stop ends the build before anything is changed.
	Stop
)

func (s Severity) String() string {
	return [...]string{"info", "warning", "stop"}[s]
}

// Finding is something that a rule found.
type Finding struct {
	// ID is the rule's stable ID, ES-1NN.
	ID       string
	Severity Severity
	// What was found, and Do what to do about it; whole sentences without a
	// full stop at the end of What.
	What string
	Do   string
	// Busy says that the obstacle goes away by itself when the launch agent has
	// ended what it is at work on.
	Busy bool
}

func (f Finding) String() string {
	text := f.ID + ": " + f.What
	if f.Do != "" {
		text += ". " + f.Do
	}
	return text
}

// Facts are what everything after the survey builds upon.
type Facts struct {
	// Action is what is going to be done to the guest.
	Action   launchagent.Action
	Identity guest.Identity
	// Agents are the installed launch agents, in order; Agent is the chosen one.
	Agents []launchagent.Found
	Agent  launchagent.Found
	// InstanceID, Region and Lifecycle come from the instance metadata, empty
	// when the guest cannot reach it.
	InstanceID, Region, Lifecycle string
	// AutoScaling says that the instance belongs to an Auto Scaling group.
	AutoScaling bool
	Caption     string
	Version     string
	Build       string
	// Edition is the installation type: "Server", "Server Core", "Client".
	Edition string
	// ImageState is what Setup says of the image.
	ImageState string
	// Administrator is the name of the built-in administrator, the account with
	// the relative id 500; empty when nobody could tell.
	Administrator string
	// AdministratorSID is its security identifier. That of a domain's
	// administrator ends alike.
	AdministratorSID string
	// ClockOffset is the guest's clock minus ours.
	ClockOffset time.Duration
}

// Options narrow what a survey does.
type Options struct {
	// Agent is the wanted agent's ID, or "auto".
	Agent string
	// Action is what is going to be done to the guest; empty is Sysprep.
	Action launchagent.Action
	// Ignore are IDs of rules whose findings do not stop the build.
	Ignore []string
}

// judge says what a rule makes of the answers.
type judge func(*Facts) []Finding

// rule is one entry of the table.
type rule struct {
	id string
	// ask returns the questions and the judgement of their answers.
	ask   func() ([]guest.Asker, judge)
	about concern
}

// concern says for which actions a rule speaks.
type concern int

// IDs returns the IDs of all rules.
func IDs() []string {
	var ids []string
	for _, r := range rules {
		ids = append(ids, r.id)
	}
	return ids
}

// Survey asks the guest everything in one round trip and returns the facts and
// the findings, the ones that stop first. The error is about the conversation,
// or says that the guest is not a Windows that can be worked with at all.
func Survey(ctx context.Context, g *guest.Guest, options Options) (*Facts, []Finding, error) {
	hello := guest.Hello()
	agents := launchagent.NewSearch()
	state := guest.RegistryValue(setupState, "ImageState")
	windows := guest.RegistryKey(currentVersion)
	metadata := guest.Metadata(time.Second, metadataInstance, metadataRegion, metadataLifecycle, metadataAutoScaling)

	calls := append([]guest.Asker{hello, state, windows, metadata}, agents.Calls()...)
	type pending struct {
		rule
		judge judge
	}
	var judges []pending
	for _, r := range rules {
		asks, judge := r.ask()
		calls = append(calls, asks...)
		judges = append(judges, pending{r, judge})
	}
	sent := time.Now()
	if err := g.Ask(ctx, calls...); err != nil {
		return nil, nil, err
	}
	identity, err := hello.Answer()
	if err != nil {
		return nil, nil, fmt.Errorf("asking the guest who it is: %w", err)
	}
	facts := &Facts{Action: options.Action, Identity: identity, Agents: agents.Found(), ImageState: state.Or(guest.Value{}).Text}
	if !identity.Windows {
		return facts, []Finding{notWindows()}, nil
	}
	facts.readVersion(windows.Or(guest.Key{}))
	facts.readMetadata(metadata.Or(guest.MetadataItems{}))
	if at, err := time.Parse(time.RFC3339Nano, identity.Time); err == nil {
		facts.ClockOffset = at.Sub(sent.Add(time.Since(sent) / 2)).Round(time.Second)
	}

	var findings []Finding
	agent, err := launchagent.Choose(options.Agent, facts.Agents)
	switch {
	case err != nil:
		findings = append(findings, Finding{
			ID: "ES-103", Severity: Stop, What: err.Error(),
			Do: "Start from an AMI of AWS's, or install EC2Launch v2 before this provisioner.",
		})
	default:
		facts.Agent = agent
	}
	for _, p := range judges {
		// A rule may tell a fact, too: it is asked in any case.
		found := p.judge(facts)
		if p.about == ofSysprep && !facts.sysprep() {
			continue
		}
		for _, finding := range found {
			finding.ID = p.id
			if finding.Severity == Stop && slices.ContainsFunc(options.Ignore, func(id string) bool { return strings.EqualFold(id, p.id) }) {
				finding.Severity = Warning
				finding.What += " (ignored by preflight)"
			}
			findings = append(findings, finding)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return facts, findings, nil
}

// AgentBusy asks the guest again whether its launch agent is still at work. The
// facts are those of a survey.
func AgentBusy(ctx context.Context, g *guest.Guest, facts *Facts) (bool, error) {
	asks, judge := agentService()
	if err := g.Ask(ctx, asks...); err != nil {
		return false, err
	}
	return slices.ContainsFunc(judge(facts), func(f Finding) bool { return f.Busy }), nil
}

// Stops returns the findings that end the build.
func Stops(findings []Finding) []Finding {
	var stops []Finding
	for _, f := range findings {
		if f.Severity == Stop {
			stops = append(stops, f)
		}
	}
	return stops
}

// sysprep says that Sysprep is going to run.
func (f *Facts) sysprep() bool { return f.Action != launchagent.ActionShutdown }

const (
	setupState     = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State`
	currentVersion = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion`

	metadataInstance    = "meta-data/instance-id"
	metadataRegion      = "meta-data/placement/region"
	metadataLifecycle   = "meta-data/instance-life-cycle"
	metadataAutoScaling = "meta-data/autoscaling/target-lifecycle-state"
)

func (f *Facts) readVersion(key guest.Key) {
	f.Caption = key.Value("ProductName").Text
	f.Build = key.Value("CurrentBuildNumber").Text
	f.Edition = key.Value("InstallationType").Text
	f.Version = key.Value("DisplayVersion").Text
	if f.Version == "" {
		f.Version = key.Value("ReleaseId").Text
	}
}

func (f *Facts) readMetadata(items guest.MetadataItems) {
	f.InstanceID = items.Body(metadataInstance)
	f.Region = items.Body(metadataRegion)
	f.Lifecycle = items.Body(metadataLifecycle)
	f.AutoScaling = items.Body(metadataAutoScaling) != ""
}

func notWindows() Finding {
	return Finding{
		ID: "ES-101", Severity: Stop, What: "the guest is not Windows",
		Do: "This provisioner seals Windows instances; give it the address of one.",
	}
}

// Describe is a line for people about the guest.
func (f *Facts) Describe() string {
	parts := []string{f.Caption}
	if f.Build != "" {
		parts = append(parts, "build "+f.Build)
	}
	if f.Agent.Agent != nil {
		parts = append(parts, strings.TrimSpace(f.Agent.Title()+" "+f.Agent.Version))
	}
	if f.InstanceID != "" {
		parts = append(parts, f.InstanceID)
	}
	return strings.Join(parts, ", ")
}
