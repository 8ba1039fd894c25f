// Package docs holds the pages for users. The tests here keep them true.
package docs

import (
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the catalogue's table of errors.md anew")

const errorsPage = "errors.md"

// root is the checkout, seen from this package's folder.
const root = ".."

var (
	// literal is a code that stands alone in a Go or JSON string.
	literal = regexp.MustCompile(`"(ES-\d{3})"`)
	// row is the beginning of a code's row in the page.
	row = regexp.MustCompile(`(?m)^\| (ES-\d{3}) \|`)
	// table is that of the catalogue.
	table = regexp.MustCompile(`(?s)(<!-- catalogue -->\n).*(<!-- /catalogue -->)`)
)

// tableHead begins the catalogue's table; ES-300 is for what it does not know.
const tableHead = "| code | class | meaning | remedy |\n| --- | --- | --- | --- |\n" +
	"| ES-300 | – | Nothing in the logs is known as a cause. | Read the logs in `log_dir`, setuperr.log first; please report what it was. |\n"

// TestTheErrorsPageListsEveryCode compares the codes in the sources with those
// that have a row.
func TestTheErrorsPageListsEveryCode(t *testing.T) {
	used := codesInSources(t)
	if len(used) < 50 {
		t.Fatalf("only %d codes were found in the sources", len(used))
	}
	listed := map[string]int{}
	for _, match := range row.FindAllStringSubmatch(readPage(t), -1) {
		listed[match[1]]++
	}
	for _, code := range slices.Sorted(maps.Keys(used)) {
		if listed[code] == 0 {
			t.Errorf("%s has no row for %s of %s", errorsPage, code, used[code])
		}
	}
	for _, code := range slices.Sorted(maps.Keys(listed)) {
		if used[code] == "" {
			t.Errorf("%s has a row for %s, which no source knows", errorsPage, code)
		}
		if listed[code] > 1 {
			t.Errorf("%s has %d rows for %s", errorsPage, listed[code], code)
		}
	}
}

// TestTheErrorsPageSaysWhatTheCatalogueSays compares the rows of ES-3NN.
func TestTheErrorsPageSaysWhatTheCatalogueSays(t *testing.T) {
	page := readPage(t)
	want := table.ReplaceAllStringFunc(page, func(string) string {
		return "<!-- catalogue -->\n" + catalogueTable(t) + "<!-- /catalogue -->"
	})
	if !table.MatchString(page) {
		t.Fatalf("%s has no place for the catalogue's table", errorsPage)
	}
	if page == want {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the catalogue; go test ./docs -update writes it anew (-page +catalogue):\n%s",
			errorsPage, cmp.Diff(strings.Split(page, "\n"), strings.Split(want, "\n")))
	}
	if err := os.WriteFile(errorsPage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// codesInSources returns every code that a component can give, and a file that
// names it. The lab and the tools give none of their own.
func codesInSources(t *testing.T) map[string]string {
	t.Helper()
	codes := map[string]string{}
	for _, folder := range []string{"provisioner", "post-processor", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "lab"):
				return fs.SkipDir
			case entry.IsDir(), strings.HasSuffix(path, "_test.go"),
				filepath.Ext(path) != ".go" && filepath.Ext(path) != ".json":
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, match := range literal.FindAllStringSubmatch(string(data), -1) {
				codes[match[1]] = path
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return codes
}

// catalogueTable is the table of the failure signatures, in the order of their codes.
func catalogueTable(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "internal", "diagnosis", "catalogue.json"))
	if err != nil {
		t.Fatal(err)
	}
	var catalogue struct {
		Signatures []struct{ Code, Class, Meaning, Remedy string }
	}
	if err := json.Unmarshal(data, &catalogue); err != nil {
		t.Fatal(err)
	}
	// What Markdown would take for its own.
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, `\`, `\\`)
	var lines []string
	for _, s := range catalogue.Signatures {
		lines = append(lines, "| "+strings.Join([]string{s.Code, s.Class, cell.Replace(s.Meaning), cell.Replace(s.Remedy)}, " | ")+" |\n")
	}
	slices.Sort(lines)
	return tableHead + strings.Join(lines, "")
}
