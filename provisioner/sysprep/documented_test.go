package sysprep

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// document is one of the two AWS documents on Sysprep that the plugin follows.
type document string

const (
	// guide is "Use Sysprep to create a standard Amazon Machine Image", of the
	// user guide: EC2Launch v2, EC2Launch v1 and EC2Config.
	guide document = "seed-000-sysprep-ami-ec2launch-v2.md"
	// article is the older "Create a Standard Amazon Machine Image Using
	// Sysprep": EC2Config and its troubleshooting.
	article document = "seed-001-sysprep-ami-ec2config.md"
)

// documented is a default that AWS documents, and how it is found again on a
// guest that the plugin has sealed.
type documented struct {
	// name is the default as a sentence.
	name string
	// in are the documents that state it.
	in []document
	// quote is what they say, without the marks of Markdown.
	quote string
	// deviates says in what the files that the agents really bring, or the
	// plugin on purpose, differ from the quote. The files win.
	deviates string
	// sealed reads the default in the image, before anything boots from it.
	sealed func(t *testing.T, s *sealing)
	// booted reads it in the first instance from the image.
	booted func(t *testing.T, s *sealing)
}

// documentedGuest is a guest of an agent's, and the defaults that it has to show.
type documentedGuest struct {
	name    string
	windows func() windows.Machine
	// change makes the guest differ from the shipped one, so that a default
	// that would show itself by chance does not.
	change func(*windows.Machine)
	// options differ from the plugin's own defaults where the row is about that.
	options map[string]any
	// answer is where the agent keeps its answer file.
	answer string
	// dryRun says that nothing is done to the guest; only what the user is
	// told counts.
	dryRun bool
	// refused is the code with which the plugin refuses such a guest, so that what
	// is documented never comes to pass; the rows say why.
	refused string
	rows    []documented
}

// sealing is a guest with what was seen while the provisioner worked on it.
type sealing struct {
	*bench
	// answer is the agent's answer file in the image.
	answer *answerfile.File
	// plan is what the sealer was told to do.
	plan guest.SealPlan
	// line is the command line of sysprep.exe, as the guest's process list had it.
	line string
	// states are those of the EC2 instance, in order.
	states []string
	// computer is the machine's name in the image.
	computer string
	// enabled are EC2Config's plug-ins that are enabled in the image.
	enabled []string
	// first is what the latest start came to, and console what it printed.
	first   windows.FirstBoot
	console string
}

// documentedGuests are all the tables, one agent after the other.
func documentedGuests() []documentedGuest {
	return slices.Concat(documentedForV2(), documentedForV1(), documentedForEC2Config())
}

// TestWhatAWSDocumentsHolds seals a guest of each agent and looks for every
// default of the two documents.
//
// Some statements nothing here can check, because neither the plugin nor the
// lab has what they are about:
//   - the dialogs (EC2Launch settings, EC2LaunchSettings, Ec2 Service
//     Properties), logging off, and the confirmations on the way;
//   - that Plug and Play finds devices in specialize, and that drivers, event
//     logs and the SID go in generalize: Windows' own work. What steers it, the
//     answer file, has its rows;
//   - what CopyProfile does to profiles: Windows' own work too;
//   - the routes to the metadata service and to KMS, which the lab's Windows
//     does not have. That they are set anew rests on the task of EC2Launch v1,
//     which has its row;
//   - the self-signed certificate of SetRDPCertificate = Yes, and what a
//     password's encryption with the key pair comes to;
//   - that EC2Config's plug-ins run at the same time, and what those do that
//     are not about password, name and user data;
//   - what PostSysprep.cmd does to the account's expiry and to SQL Server. That
//     it runs has its row;
//   - what AMIs before April 2015 held, Server 2003 to 2008, the advice on
//     accounts and server roles, and the links.
func TestWhatAWSDocumentsHolds(t *testing.T) {
	t.Parallel()
	for _, guest := range documentedGuests() {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			if guest.refused != "" {
				b := newBench(t, windowsOf(runs(guest.windows, guest.change)))
				b.fails(guest.refused)
				b.untouched()
				return
			}
			s := seal(t, guest)
			t.Run("image", func(t *testing.T) {
				for _, row := range guest.rows {
					if row.sealed != nil {
						t.Run(row.name, func(t *testing.T) { row.sealed(t, s) })
					}
				}
			})
			if !slices.ContainsFunc(guest.rows, func(row documented) bool { return row.booted != nil }) {
				return
			}
			s.boot()
			t.Run("instance", func(t *testing.T) {
				for _, row := range guest.rows {
					if row.booted != nil {
						t.Run(row.name, func(t *testing.T) { row.booted(t, s) })
					}
				}
			})
		})
	}
}

// seal has the provisioner work on a guest and watches it.
func seal(t *testing.T, described documentedGuest) *sealing {
	t.Helper()
	generalizes := described.options["action"] == nil
	pace := float64(speed)
	if !generalizes {
		// Such a build takes no time; see withoutSysprep.
		pace = 10
	}
	b := newBenchAt(t, pace, windowsOf(runs(described.windows, func(m *windows.Machine) {
		m.Power.BootTakes, m.Power.SetupTakes = windows.Seconds(1), windows.Seconds(4)
		// There has to be time to look at sysprep.exe.
		m.Sysprep.Generalize = windows.Seconds(120)
		if described.change != nil {
			described.change(m)
		}
	}))).with(described.options)
	s := &sealing{bench: b}
	if described.dryRun {
		b.with(map[string]any{"dry_run": true}).succeeds()
		b.untouched()
		return s
	}
	b.ui.heard = func(line string) {
		if !strings.HasPrefix(line, "Starting ") {
			return
		}
		for _, path := range b.guest().Files(`C:\ProgramData`) {
			if encoded, ok := b.guest().File(path); ok && strings.HasSuffix(path, `\`+guest.PlanFile) {
				if err := json.Unmarshal(encoded, &s.plan); err != nil {
					b.ui.Say("the plan on the guest: " + err.Error())
				}
			}
		}
	}
	states := b.states()
	lines := make(chan string, 1)
	if generalizes {
		b.generalizing(func() { lines <- b.sysprepLine() })
	} else {
		lines <- ""
	}
	b.succeeds()
	if generalizes {
		b.stopped()
	} else {
		b.off()
	}
	s.states = <-states
	s.computer = b.guest().Registry(`HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\ComputerName`, "ComputerName").Text
	data, ok := b.guest().File(described.answer)
	if !ok {
		t.Fatalf("there is no %s", described.answer)
	}
	var err error
	if s.answer, err = answerfile.Parse(described.answer, data); err != nil {
		t.Fatal(err)
	}
	plugins, names := s.plugins()
	for _, name := range names {
		if plugins[name] == "Enabled" {
			s.enabled = append(s.enabled, name)
		}
	}
	select {
	case s.line = <-lines:
	case <-t.Context().Done():
	}
	return s
}

// states follows the instance until it is stopped.
func (b *bench) states() <-chan []string {
	seen := make(chan []string, 1)
	states := []string{b.state()}
	go func() {
		defer func() { seen <- states }()
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for states[len(states)-1] != ec2.StateStopped {
			select {
			case <-ticker.C:
			case <-b.t.Context().Done():
				return
			}
			if state := b.state(); state != states[len(states)-1] {
				states = append(states, state)
			}
		}
	}()
	return seen
}

// sysprepLine asks the guest, as somebody else who is connected would, by which
// command line sysprep.exe runs. It returns the error's text where it cannot.
func (b *bench) sysprepLine() string {
	client, err := direct.Dial(direct.Options{Host: "127.0.0.1", Port: b.machine.HTTP().Addr().Port, Username: b.machine.User(), Password: b.machine.Password()})
	if err != nil {
		return err.Error()
	}
	g := guest.New(guest.OverWinRM(client), 0)
	defer func() { _ = g.Close() }()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	found, err := guest.Fetch(ctx, g, guest.Query("Win32_Process", "Name='sysprep.exe'", "CommandLine"))
	if err != nil {
		return err.Error()
	}
	if len(found.Objects) != 1 {
		return "there is no sysprep.exe"
	}
	return strings.TrimPrefix(found.Objects[0]["CommandLine"], `C:\Windows\System32\Sysprep\`)
}

// TestEveryDocumentedDefaultIsQuotedAndChecked holds the tables against
// themselves: a row without a check has no place in them.
func TestEveryDocumentedDefaultIsQuotedAndChecked(t *testing.T) {
	t.Parallel()
	for _, guest := range documentedGuests() {
		names := map[string]bool{}
		for _, row := range guest.rows {
			switch {
			case names[row.name]:
				t.Errorf("%s: two rows are called %q", guest.name, row.name)
			case row.sealed == nil && row.booted == nil:
				t.Errorf("%s, %s: nothing is checked", guest.name, row.name)
			case len(row.in) == 0 || row.quote == "":
				t.Errorf("%s, %s: nothing is quoted", guest.name, row.name)
			}
			names[row.name] = true
		}
	}
}

// TestTheQuotesStandInTheDocuments holds the tables against the documents,
// where they are.
func TestTheQuotesStandInTheDocuments(t *testing.T) {
	t.Parallel()
	texts := map[document]string{}
	for _, name := range []document{guide, article} {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "reference", string(name)))
		if err != nil {
			t.Skip("the two documents are not beside this checkout (../shared/reference)")
		}
		texts[name] = string(data)
	}
	texts[guide] = unmarked(texts[guide])
	for name, text := range texts {
		texts[name] = spaced(text)
	}
	for _, guest := range documentedGuests() {
		for _, row := range guest.rows {
			for _, name := range row.in {
				if !strings.Contains(texts[name], spaced(row.quote)) {
					t.Errorf("%s, %s: %s does not say %q", guest.name, row.name, name, row.quote)
				}
			}
		}
	}
}

// unmarked takes Markdown's marks off a text: the backslash before punctuation,
// but for code, the back quotes around code, and the stars of bold text.
func unmarked(text string) string {
	var out strings.Builder
	code := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '`':
			for i+1 < len(text) && text[i+1] == '`' {
				i++
			}
			code = !code
		case code:
			out.WriteByte(c)
		case c == '\\' && i+1 < len(text) && text[i+1] < 0x80 && strings.ContainsRune("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", rune(text[i+1])):
			i++
			out.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "**"):
			i++
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// spaced makes every run of white space one space.
func spaced(text string) string {
	return strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ")
}
