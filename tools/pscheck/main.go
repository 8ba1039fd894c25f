// The program pscheck reads PowerShell texts as strictly as can be done without a PowerShell: it finds what no version would
// parse, the traps that Windows PowerShell 3.0 to 5.1 set to a careful author, and every cmdlet, parameter, class, type and
// program that is not in the table of names with the version that brought them.
//
//	pscheck FILE.ps1 ...       print findings as FILE:LINE:COLUMN: rule: message, and fail if there are any
//	pscheck -table FILE ...    take the table of names from FILE
//	pscheck -missing ...       print the rows that the table lacks, for a person to complete
//
// It is a lint, not an oracle: the grammar (tree-sitter's) accepts things that PowerShell does not. It needs cgo.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("pscheck", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tablePath := flags.String("table", "", "the `file` with the names that may be used")
	missing := flags.Bool("missing", false, "print the rows that the table lacks")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(stderr, "pscheck: no files given")
		return 2
	}
	names := &table{}
	if *tablePath != "" {
		text, err := os.ReadFile(*tablePath)
		if err != nil {
			fmt.Fprintln(stderr, "pscheck:", err)
			return 2
		}
		if names, err = readTable(string(text)); err != nil {
			fmt.Fprintf(stderr, "pscheck: %s: %v\n", *tablePath, err)
			return 2
		}
	}
	code := 0
	var unlisted []name
	for _, path := range flags.Args() {
		source, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(stderr, "pscheck:", err)
			return 2
		}
		t, err := parse(source)
		if err != nil {
			fmt.Fprintf(stderr, "pscheck: %s: %v\n", path, err)
			return 2
		}
		if *missing {
			unlisted = append(unlisted, names.lacks(t.names())...)
			continue
		}
		found := append(t.syntax(), t.traps()...)
		if *tablePath != "" {
			found = append(found, names.check(t.names())...)
		}
		for _, f := range sorted(found) {
			fmt.Fprintf(stdout, "%s:%v\n", path, f)
			code = 1
		}
	}
	if *missing {
		fmt.Fprint(stdout, rows(unlisted))
	}
	return code
}
