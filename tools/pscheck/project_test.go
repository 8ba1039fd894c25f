package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	root      = "../.."
	guest     = root + "/internal/guest"
	tablePath = guest + "/testdata/cmdlets.tsv"
)

// projectFiles are the project's own files whose names end so, but for tests' data.
func projectFiles(t *testing.T, suffix string, folders ...string) []string {
	t.Helper()
	var files []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case !entry.IsDir():
				if strings.HasSuffix(path, suffix) {
					files = append(files, path)
				}
				return nil
			}
			switch entry.Name() {
			case "testdata", ".git", "bin", "dist", "lab":
				return filepath.SkipDir
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func projectTable(t *testing.T) *table {
	t.Helper()
	source, err := os.ReadFile(tablePath)
	if err != nil {
		t.Fatalf("the table of names: %v (pscheck -missing prints the rows to begin with)", err)
	}
	names, err := readTable(string(source))
	if err != nil {
		t.Fatalf("%s: %v", tablePath, err)
	}
	return names
}

func TestTheProjectsTexts(t *testing.T) {
	texts := projectFiles(t, ".ps1", root)
	if len(texts) == 0 {
		t.Fatal("found no PowerShell text in the project")
	}
	for _, path := range texts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parse(source)
			if errors.Is(err, errNoCgo) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range sorted(append(parsed.syntax(), parsed.traps()...)) {
				t.Errorf("%s:%v", path, f)
			}
		})
	}
}

func TestNamesInTheProjectsTextsAreInTheTable(t *testing.T) {
	for _, path := range projectFiles(t, ".ps1", guest) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parse(source)
			if errors.Is(err, errNoCgo) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range projectTable(t).check(parsed.names()) {
				t.Errorf("%s:%v", path, f)
			}
		})
	}
}

// What the guest is asked for is in Go: the classes there stand in the same table.
func TestClassesThatGoAsksForAreInTheTable(t *testing.T) {
	names := projectTable(t)
	for _, path := range projectFiles(t, ".go", root+"/internal", root+"/provisioner", root+"/post-processor") {
		for _, literal := range stringLiterals(t, path) {
			for _, f := range names.check(classNames(literal.Value)) {
				t.Errorf("%s: %s", path, f.message)
			}
		}
	}
}

// A text in a Go string is not read by the other tests: the bootstrap is one.
func TestStringsOfTheGuestPackageHoldNoTrap(t *testing.T) {
	traps := regexp.MustCompile(`(?i)\$\{?input\b|\binvoke-expression\b|\biex\b`)
	files := projectFiles(t, ".go", guest)
	if len(files) == 0 {
		t.Fatal("found no Go file in the guest package")
	}
	for _, path := range files {
		for _, literal := range stringLiterals(t, path) {
			if found := traps.FindString(literal.Value); found != "" {
				t.Errorf("%s: a string holds %s", path, found)
			}
		}
	}
}

func stringLiterals(t *testing.T, path string) []*ast.BasicLit {
	t.Helper()
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var literals []*ast.BasicLit
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, is := n.(*ast.BasicLit); is && literal.Kind == token.STRING {
			literals = append(literals, literal)
		}
		return true
	})
	return literals
}
