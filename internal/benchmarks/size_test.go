package benchmarks

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// maxSize is 22 MB in the smaller unit: 22 times 10^6 bytes.
const maxSize = 22_000_000

// release builds the plugin as a release does and returns its path.
func release(tb testing.TB, system, architecture string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "packer-plugin-ec2-sysprep")
	build := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-tags", "codec.notfastpath", "-gcflags=github.com/...=-l", "-ldflags", "-s -w", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture, "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("building the plugin: %s\n%s", err, output)
	}
	return path
}

func size(tb testing.TB, path string) int64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

func TestPluginIsAtMost22MB(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out building the plugin as a release does")
	}
	if n := size(t, release(t, "linux", "amd64")); n > maxSize {
		t.Errorf("the stripped plugin for linux/amd64 has %d bytes, want %d at most", n, maxSize)
	}
}

func BenchmarkPluginSize(b *testing.B) {
	var n int64
	for b.Loop() {
		n = size(b, release(b, "linux", "amd64"))
	}
	b.ReportMetric(float64(n)/1e6, "MB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDescribe starts the plugin as "packer init" and "packer validate" do.
func BenchmarkDescribe(b *testing.B) {
	path := release(b, runtime.GOOS, runtime.GOARCH)
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := exec.CommandContext(b.Context(), path, "describe").Run(); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
}
