package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
)

// packer is the Packer of EC2_SYSPREP_PACKER with the plugin of this checkout
// installed into a plugin folder of its own.
type packer struct {
	path    string
	plugins string
}

var installed struct {
	once   sync.Once
	packer packer
	folder string
	err    error
}

// atOnce is how many builds run at once: they wait for the lab most of the
// time, so that there may be more of them than processors.
const atOnce = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set(strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0))))
	}
	code := m.Run()
	if installed.folder != "" {
		_ = os.RemoveAll(installed.folder)
	}
	os.Exit(code)
}

// root is the checkout.
const root = "../.."

func thePacker(t *testing.T) packer {
	t.Helper()
	path := os.Getenv("EC2_SYSPREP_PACKER")
	if path == "" {
		t.Skip("EC2_SYSPREP_PACKER does not name a Packer; make test does")
	}
	installed.once.Do(func() { installed.err = install(path) })
	if installed.err != nil {
		t.Fatal(installed.err)
	}
	return installed.packer
}

// install builds the plugin and lets Packer install it.
func install(path string) error {
	folder, err := os.MkdirTemp("", "ec2-sysprep-e2e-")
	if err != nil {
		return err
	}
	installed.folder = folder
	binary := filepath.Join(folder, "packer-plugin-ec2-sysprep")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the plugin: %w\n%s", err, output)
	}
	installed.packer = packer{path: path, plugins: filepath.Join(folder, "plugins")}
	cmd := exec.Command(path, "plugins", "install", "--path", binary, "github.com/golden-ami/ec2-sysprep")
	cmd.Env = append(os.Environ(), "PACKER_PLUGIN_PATH="+installed.packer.plugins, "PACKER_CONFIG_DIR="+folder, "CHECKPOINT_DISABLE=1")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("installing the plugin: %w\n%s", err, output)
	}
	return nil
}

// bench is a lab and a folder in which Packer runs.
type bench struct {
	t      *testing.T
	packer packer
	lab    *lab.Lab
	folder string
	vars   map[string]string
}

// speed is how fast the lab's clock runs.
const speed = 60

// newBench starts a lab with one guest. change says how it differs.
func newBench(t *testing.T, change func(*lab.Options)) *bench {
	t.Helper()
	p := thePacker(t)
	described := windows.Server2022()
	options := lab.Options{Speed: speed, Machines: []lab.MachineOptions{{Windows: &described}}}
	if change != nil {
		change(&options)
	}
	l, err := lab.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %s", err)
		}
	})
	b := &bench{t: t, packer: p, lab: l, folder: t.TempDir()}
	b.use(0, "golden-windows")
	return b
}

// use sets the variables of the examples for the n-th guest.
func (b *bench) use(n int, name string) {
	b.t.Helper()
	m := b.lab.Machines()[n]
	b.vars = map[string]string{
		"host": "127.0.0.1", "password": m.Password(), "region": b.lab.Region(), "ami_name": name,
		"ec2_endpoint": b.lab.Endpoint(),
	}
	if m.HTTPS() != nil {
		ca := filepath.Join(b.folder, "ca.pem")
		if err := os.WriteFile(ca, b.lab.CA(), 0o600); err != nil {
			b.t.Fatal(err)
		}
		b.vars["port"], b.vars["ca_file"] = strconv.Itoa(m.HTTPS().Addr().Port), ca
		return
	}
	b.vars["port"], b.vars["use_ssl"] = strconv.Itoa(m.HTTP().Addr().Port), "false"
}

func (b *bench) guest() *windows.Guest { return b.lab.Machines()[0].Guest() }

func (b *bench) instance() ec2.Instance {
	instance, ok := b.lab.EC2.Instance(b.lab.Machines()[0].InstanceID())
	if !ok {
		b.t.Fatal("the lab has lost the instance")
	}
	return instance
}

// result is what became of a run of Packer's.
type result struct {
	code int
	// output is what the user saw, log is PACKER_LOG's.
	output, log string
}

// template is one of the examples, or a text of the test's own.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "example", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// write puts a template of the test's own into the folder.
func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// environment is Packer's: nothing of the machine's own AWS settings, and
// nothing outside the test's folder.
func (b *bench) environment(log string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "PACKER_") || strings.HasPrefix(name, "PKR_VAR_") {
			continue
		}
		env = append(env, entry)
	}
	// Variables travel in the environment: a command line would be logged.
	for name, value := range b.vars {
		env = append(env, "PKR_VAR_"+name+"="+value)
	}
	return append(env,
		"PACKER_PLUGIN_PATH="+b.packer.plugins, "PACKER_CONFIG_DIR="+b.folder, "PACKER_CACHE_DIR="+filepath.Join(b.folder, "cache"),
		"CHECKPOINT_DISABLE=1", "HOME="+b.folder, "TMPDIR="+b.folder, "PACKER_NO_COLOR=1",
		"PACKER_LOG=1", "PACKER_LOG_PATH="+log,
		"AWS_ACCESS_KEY_ID="+lab.AccessKey, "AWS_SECRET_ACCESS_KEY="+lab.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
	)
}

// run starts Packer and waits for its end; while it runs, during (unless nil)
// gets what is printed and may send signals.
func (b *bench) run(during func(output *watched, process *os.Process), arguments ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Minute)
	defer cancel()
	log := filepath.Join(b.t.TempDir(), "packer.log")
	cmd := exec.CommandContext(ctx, b.packer.path, arguments...)
	cmd.Dir = b.folder
	cmd.Env = b.environment(log)
	// A group of its own, so that a Ctrl-C reaches Packer and its plugins as a
	// terminal's does, and not the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	output := newWatched()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan struct{})
	if during != nil {
		go func() {
			defer close(done)
			during(output, cmd.Process)
		}()
	} else {
		close(done)
	}
	err := cmd.Wait()
	output.close()
	<-done
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("running packer: %s", err)
	}
	text, readErr := os.ReadFile(log)
	if readErr != nil {
		b.t.Fatal(readErr)
	}
	r := result{code: cmd.ProcessState.ExitCode(), output: output.text(), log: string(text)}
	b.noSecrets(r)
	return r
}

// build runs packer build on a template with the variables that it knows.
func (b *bench) build(template string, during func(*watched, *os.Process)) result {
	b.t.Helper()
	return b.run(during, "build", "-color=false", template)
}

// noSecrets looks for the password wherever somebody might read it.
func (b *bench) noSecrets(r result) {
	b.t.Helper()
	for _, secret := range []string{b.vars["password"], lab.SecretKey} {
		if secret == "" {
			continue
		}
		for where, text := range map[string]string{"the output": r.output, "PACKER_LOG": r.log} {
			if strings.Contains(text, secret) {
				b.t.Errorf("a secret stands in %s", where)
			}
		}
		err := filepath.WalkDir(b.folder, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err == nil && bytes.Contains(data, []byte(secret)) && !strings.HasSuffix(path, ".pkr.hcl") {
				b.t.Errorf("a secret stands in the file %s", path)
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			b.t.Error(err)
		}
	}
}

// watched is output that can be waited for.
type watched struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	closed bool
	more   *sync.Cond
}

func newWatched() *watched {
	w := &watched{}
	w.more = sync.NewCond(&w.mu)
	return w
}

var _ io.Writer = (*watched)(nil)

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.more.Broadcast()
	return w.buffer.Write(p)
}

func (w *watched) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.more.Broadcast()
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.String()
}

// await waits until the output holds text, and returns false when it ended without.
func (w *watched) await(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !strings.Contains(w.buffer.String(), text) {
		if w.closed {
			return false
		}
		w.more.Wait()
	}
	return true
}
