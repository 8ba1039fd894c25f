package answerfile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a golden file, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s\nrun the test with -update if the change is meant", path, diff)
	}
}

// corpus reads the real answer files from public repositories that may lie
// beside the checkout.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpus", "unattend", "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("the corpus of real answer files is not beside this checkout (../shared/corpus/unattend)")
	}
	out := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = data
	}
	return out
}

// TestEveryCorpusFileComesOutAsItWentIn also holds the findings of every file,
// as IDs and places only.
func TestEveryCorpusFileComesOutAsItWentIn(t *testing.T) {
	shipped := shippedFile(t, "ec2launch-v2.xml")
	var b strings.Builder
	files := corpus(t)
	for _, name := range sortedKeys(files) {
		fmt.Fprintf(&b, "%s:\n", name)
		f, err := Parse(name, files[name])
		var se *SyntaxError
		if errors.As(err, &se) {
			fmt.Fprintf(&b, "  %d:%d syntax error\n", se.Line, se.Column)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.Bytes(), files[name]) {
			t.Errorf("%s does not come out as it went in", name)
		}
		for _, x := range f.Check(CheckOptions{AdministratorName: "Chef", Shipped: shipped}) {
			fmt.Fprintf(&b, "  %d:%d %s %s\n", x.Line, x.Column, x.Severity, x.ID)
		}
	}
	golden(t, "corpus.golden", b.String())
}

// TestEveryCorpusFileTakesEverySetting edits real files in all ways at once
// and reads the settings back.
func TestEveryCorpusFileTakesEverySetting(t *testing.T) {
	files := corpus(t)
	for _, name := range sortedKeys(files) {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(name, files[name])
			if err != nil {
				t.Skipf("not well-formed: %v", err)
			}
			applyAndReadBack(t, f, everySetting())
		})
	}
}
