package sysprep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

var update = flag.Bool("update", false, "write the golden files anew")

// runID is the PACKER_RUN_UUID of the whole package. Tests run in parallel and
// are kept apart by packer_build_name.
const runID = "11111111-2222-3333-4444-555555555555"

// atOnce is how many tests run at once: they wait for the lab's guests, so
// that there may be many more of them than processors.
const atOnce = 16

// logged is everything that the package has written to the log.
var logged journal

// TestMain takes the surroundings away that a test must not depend on.
func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set(strconv.Itoa(atOnce))
	}
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "ec2-sysprep-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(folder) }()
		for _, entry := range os.Environ() {
			name, _, _ := strings.Cut(entry, "=")
			if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "PACKER_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
				_ = os.Unsetenv(name)
			}
		}
		for name, value := range map[string]string{
			"HOME": folder, "PACKER_CACHE_DIR": filepath.Join(folder, "cache"), "PACKER_RUN_UUID": runID,
			"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(folder, "none"),
		} {
			_ = os.Setenv(name, value)
		}
		log.SetOutput(&logged)
		return m.Run()
	}())
}

// journal keeps what is written to it.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) contains(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Contains(j.text.Bytes(), []byte(text))
}

// bench is a lab with one guest and a provisioner that is set up for it.
type bench struct {
	t       *testing.T
	lab     *lab.Lab
	machine *lab.Machine
	ui      *recordingUI
	options map[string]any
	data    map[string]any
	folder  string
	// comm is Packer's communicator, nil where the build has none.
	comm   packersdk.Communicator
	before windows.Snapshot
}

var benches atomic.Int64

// newBench opens a lab with one guest, a healthy Server 2022 that change makes
// a different one. The guest's administrator has a password of its own, and no
// output of the test may show it.
func newBench(t *testing.T, change func(*lab.MachineOptions)) *bench {
	t.Helper()
	return newBenchAt(t, speed, change)
}

// newBenchAt is newBench with a clock of another speed.
func newBenchAt(t *testing.T, speed float64, change func(*lab.MachineOptions)) *bench {
	t.Helper()
	number := benches.Add(1)
	described := windows.Server2022()
	described.SetPassword(fmt.Sprintf("Planted-%d-Secret!", number))
	options := lab.MachineOptions{Windows: &described}
	if change != nil {
		change(&options)
	}
	l, err := lab.Start(t.Context(), lab.Options{Speed: speed, Machines: []lab.MachineOptions{options}})
	if err != nil {
		t.Fatal(err)
	}
	m := l.Machines()[0]
	folder := t.TempDir()
	b := &bench{
		t: t, lab: l, machine: m, ui: &recordingUI{}, folder: folder,
		options: map[string]any{
			"winrm_host":          "127.0.0.1",
			"winrm_username":      m.User(),
			"winrm_password":      m.Password(),
			"connect_timeout":     "8s",
			"reconnect_timeout":   "4s",
			"log_dir":             filepath.Join(folder, "logs"),
			"record_path":         filepath.Join(folder, "record.json"),
			"packer_builder_type": "null",
			"packer_build_name":   fmt.Sprintf("windows-%d", number),
		},
		data:   map[string]any{"ID": "Null", "ConnType": "none"},
		before: m.Guest().Snapshot(),
	}
	if m.HTTPS() != nil {
		ca := b.write("ca.pem", l.CA())
		b.options["winrm_port"], b.options["winrm_ca_file"] = m.HTTPS().Addr().Port, ca
	} else {
		b.options["winrm_port"], b.options["winrm_use_ssl"] = m.HTTP().Addr().Port, false
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %s", err)
		}
		b.keepsTheSecret()
		if t.Failed() {
			t.Logf("what the user saw:\n%s", b.ui.text())
		}
	})
	return b
}

// windowsOf makes a change of the modelled Windows one of the whole machine.
func windowsOf(change func(*windows.Machine)) func(*lab.MachineOptions) {
	return func(o *lab.MachineOptions) { change(o.Windows) }
}

// with sets options.
func (b *bench) with(options map[string]any) *bench {
	for name, value := range options {
		if value == nil {
			delete(b.options, name)
		} else {
			b.options[name] = value
		}
	}
	return b
}

// withEC2 lets the provisioner ask the lab's EC2 API.
func (b *bench) withEC2(name string) *bench {
	return b.with(map[string]any{
		"region": b.lab.Region(), "access_key": lab.AccessKey, "secret_key": lab.SecretKey, "ami_name": name,
		"custom_endpoint_ec2": b.lab.Endpoint(), "custom_endpoint_sts": b.lab.Endpoint(), "max_retries": 1,
	})
}

// byTheBuild lets the build bring the connection, as with communicator = "winrm".
func (b *bench) byTheBuild(connType string) *bench {
	for _, option := range []string{"winrm_host", "winrm_username", "winrm_password", "winrm_port", "winrm_use_ssl"} {
		delete(b.options, option)
	}
	b.data = map[string]any{
		"ID": "Null", "ConnType": connType, "Host": "127.0.0.1", "User": b.machine.User(), "Password": b.machine.Password(),
	}
	if b.machine.HTTP() != nil {
		b.data["Port"] = b.machine.HTTP().Addr().Port
	}
	return b
}

func (b *bench) write(name string, data []byte) string {
	b.t.Helper()
	path := filepath.Join(b.folder, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) guest() *windows.Guest { return b.machine.Guest() }

// provision prepares and runs the provisioner, within a minute.
func (b *bench) provision(ctx context.Context) error {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errTooLong)
	defer cancel()
	p := new(Provisioner)
	if err := p.Prepare(b.options); err != nil {
		b.t.Fatalf("the options are not accepted: %s", err)
	}
	err := p.Provision(ctx, b.ui, b.comm, b.data)
	if errors.Is(context.Cause(ctx), errTooLong) {
		b.t.Fatalf("the provisioner did not come to an end: %v", err)
	}
	if err != nil {
		b.ui.Say("ERROR " + err.Error())
	}
	return err
}

var errTooLong = errors.New("longer than a test may take")

// succeeds provisions and wants success.
func (b *bench) succeeds() {
	b.t.Helper()
	if err := b.provision(b.t.Context()); err != nil {
		b.t.Fatalf("the provisioner failed: %s", err)
	}
}

// fails provisions and wants a failure with that code, whose text holds all the phrases.
func (b *bench) fails(code string, phrases ...string) {
	b.t.Helper()
	err := b.provision(b.t.Context())
	if err == nil {
		b.t.Fatal("the provisioner succeeded")
	}
	wantFailure(b.t, err, code, phrases...)
}

func wantFailure(t *testing.T, err error, code string, phrases ...string) {
	t.Helper()
	var failure *image.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("%q is not a failure with a code", err)
	}
	if failure.Code != code {
		t.Errorf("the code is %s, not %s: %s", failure.Code, code, err)
	}
	for _, phrase := range phrases {
		if !strings.Contains(err.Error(), phrase) {
			t.Errorf("%q is not in the failure:\n%s", phrase, err)
		}
	}
}

// untouched wants the guest to be as it was, with nothing of ours left on it,
// and no sealer ever started.
func (b *bench) untouched() {
	b.t.Helper()
	b.asBefore()
	if n := b.guest().ProgramsStarted(); n != 0 {
		b.t.Errorf("%d programs were started on the guest", n)
	}
}

// asBefore wants the guest to be up and as it was.
func (b *bench) asBefore() {
	b.t.Helper()
	if !b.guest().On() {
		b.t.Error("the guest is off")
	}
	b.eventually("the guest is as it was", func() bool { return b.before.Diff(b.guest().Snapshot()) == "" },
		func() string { return b.before.Diff(b.guest().Snapshot()) })
	b.noImage()
}

// noImage wants EC2 to have been asked for no image.
func (b *bench) noImage() {
	b.t.Helper()
	for _, call := range b.lab.EC2.Calls() {
		if call.Action == "CreateImage" && call.Params.Get("DryRun") != "true" {
			b.t.Errorf("an image was made")
		}
	}
}

// eventually waits for a condition; say tells what is the case instead.
func (b *bench) eventually(what string, condition func() bool, say func() string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			b.t.Fatalf("it did not come to pass that %s: %s", what, say())
		}
	}
}

// generalizing calls do once the sealer has been confirmed and generalize is at work.
func (b *bench) generalizing(do func()) {
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-b.t.Context().Done():
				return
			}
			record, err := handoff.Read(filepath.Join(b.folder, "record.json"))
			if err == nil && record.Stage == handoff.StageSealerConfirmed && b.guest().ImageState() == "IMAGE_STATE_UNDEPLOYABLE" {
				do()
				return
			}
		}
	}()
}

// breaks breaks the listeners while generalize is at work.
func (b *bench) breaks(how winrm.Break) {
	b.generalizing(func() { _ = b.machine.Break(how) })
}

// slowly gives generalize the time that a test needs to do something meanwhile.
func slowly(m *windows.Machine) { m.Sysprep.Generalize = windows.Seconds(240) }

// stopped wants the instance to have been stopped by its guest, sealed.
func (b *bench) stopped() {
	b.t.Helper()
	b.eventually("the instance is stopped", func() bool { return b.state() == ec2.StateStopped }, b.state)
	if !b.guest().Sealed() {
		b.t.Errorf("the guest is not sealed: %s", b.guest().ImageState())
	}
}

func (b *bench) state() string {
	instance, _ := b.lab.EC2.Instance(b.machine.InstanceID())
	return instance.State
}

// noResidue wants nothing of ours on the guest's disk and among its tasks.
func (b *bench) noResidue() {
	b.t.Helper()
	for _, path := range b.guest().Files(`C:\`) {
		if strings.Contains(strings.ToLower(path), "ec2-sysprep") {
			b.t.Errorf("left behind on the guest: %s", path)
		}
	}
	for name := range b.guest().Snapshot() {
		if strings.HasPrefix(name, "folder ") && strings.Contains(name, "ec2-sysprep") {
			b.t.Errorf("left behind on the guest: %s", name)
		}
	}
	for _, task := range b.guest().Tasks() {
		if strings.HasPrefix(task, "ec2-sysprep") {
			b.t.Errorf("left behind on the guest: the task %s", task)
		}
	}
}

// record reads the build's record.
func (b *bench) record() *handoff.Record {
	b.t.Helper()
	record, err := handoff.Read(filepath.Join(b.folder, "record.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return record
}

// recorded wants a stage and a kind of proof, "" for none.
func (b *bench) recorded(stage handoff.Stage, kind handoff.ProofKind) {
	b.t.Helper()
	record := b.record()
	got := handoff.ProofKind("")
	if record.Proof != nil {
		got = record.Proof.Kind
	}
	if record.Stage != stage || got != kind {
		b.t.Errorf("the record says stage %q and proof %q, wanted %q and %q", record.Stage, got, stage, kind)
	}
}

// said wants a line of the UI to hold each phrase.
func (b *bench) said(phrases ...string) {
	b.t.Helper()
	for _, phrase := range phrases {
		if !strings.Contains(b.ui.text(), phrase) {
			b.t.Errorf("the user was not told %q", phrase)
		}
	}
}

// keepsTheSecret looks for the password everywhere that something was written.
func (b *bench) keepsTheSecret() {
	b.t.Helper()
	secret := b.machine.Password()
	if strings.Contains(b.ui.text(), secret) {
		b.t.Error("the password is in what the user saw, or in the error")
	}
	if logged.contains(secret) {
		b.t.Error("the password is in the log")
	}
	err := filepath.WalkDir(b.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(data, []byte(secret)) || bytes.Contains(data, inUTF16(secret))) {
			b.t.Errorf("the password is in the file %s", entry.Name())
		}
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
	for _, path := range b.guest().Files(`C:\`) {
		data, _ := b.guest().File(path)
		if bytes.Contains(data, []byte(secret)) && !strings.Contains(path, "Panther") {
			b.t.Errorf("the password is in the guest's file %s", path)
		}
	}
}

// recordingUI keeps what the user sees.
type recordingUI struct {
	packersdk.MockUi

	mu    sync.Mutex
	lines []string
	// heard is called with each line.
	heard func(line string)
}

func (u *recordingUI) Say(text string) {
	u.mu.Lock()
	u.lines = append(u.lines, text)
	heard := u.heard
	u.mu.Unlock()
	if heard != nil {
		heard(text)
	}
}

func (u *recordingUI) text() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.lines, "\n")
}

var imageStateLine = regexp.MustCompile(`(?m)^Image state is now .*\n`)

// varying is what differs from run to run, with the word that stands for it.
var varying = []struct {
	expression *regexp.Regexp
	word       string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\bi-[0-9a-f]{17}\b`), "INSTANCE"},
	{regexp.MustCompile(`\bwindows-\d+\b`), "SOURCE"},
	{regexp.MustCompile(`state \d+ after [0-9.msh]+`), "state N after DURATION"},
	{regexp.MustCompile(`\((\d+m)?\d+s( in all)?\)`), "(DURATION$2)"},
	{regexp.MustCompile(`"(clock_offset|size)": -?\d+`), `"$1": 0`},
	{regexp.MustCompile(`"plugin": "[^"]*"`), `"plugin": "VERSION"`},
	{regexp.MustCompile(`">= \d+\.\d+\.\d+"`), `">= VERSION"`},
	{regexp.MustCompile(`\(process \d+\)`), "(process N)"},
}

// scrubbed takes out of a text what differs from run to run.
func (b *bench) scrubbed(text string) string {
	text = strings.ReplaceAll(text, b.folder, "FOLDER")
	if record, err := handoff.Read(filepath.Join(b.folder, "record.json")); err == nil {
		text = strings.ReplaceAll(text, record.Token, "TOKEN")
	}
	// A watch may miss a state.
	text = imageStateLine.ReplaceAllString(text, "")
	for _, v := range varying {
		text = v.expression.ReplaceAllString(text, v.word)
	}
	return text
}

// golden compares a whole output with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; it is now:\n%s", name, got)
	}
}

// indented is a value as JSON.
func indented(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// text is a registry value.
func word(value string) guest.Value { return guest.Value{Exists: true, Kind: "dword", Text: value} }
