package diagnosis

import (
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

// TestEveryCorpusLogHasTheExplanationThatIsOnRecord reads real logs from
// public threads. The golden file names signatures and line numbers only.
func TestEveryCorpusLogHasTheExplanationThatIsOnRecord(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "corpus", "logs")
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("the corpus of real logs is not beside this checkout (../shared/corpus/logs)")
	}
	var b strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		e := Explain(Text{Name: name, Data: data})
		fmt.Fprintf(&b, "%s: %s %s\n", name, e.Code, e.Class)
		fmt.Fprintf(&b, "  cause   %s\n  verdict %s\n  names   %d\n", place(e.Cause), place(e.Verdict), len(e.Subjects))
		for _, m := range e.Also {
			fmt.Fprintf(&b, "  also    %s\n", place(&m))
		}
		fmt.Fprintf(&b, "  watch   %s\n", place(FindVerdict(Text{Data: data})))
	}
	golden(t, "corpus.golden", b.String())
}

// place is a match as a signature and a line number, without the log's text.
func place(m *Match) string {
	switch {
	case m == nil:
		return "-"
	case m.Signature.ID == "":
		return fmt.Sprintf("line %d, unknown", m.Line.Number)
	default:
		return fmt.Sprintf("line %d, %s", m.Line.Number, m.Signature.ID)
	}
}
