package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A name is something that a text takes from PowerShell or Windows, with the parameters or static members it uses.
type name struct {
	kind         string // one of kinds
	name         string
	members      []string
	line, column int
}

// kinds are the kinds of names and what their members are.
var kinds = map[string]string{
	"cmdlet":  "parameter",
	"class":   "",              // a CIM class
	"type":    "static member", // of .NET
	"com":     "",              // a COM object's program ID
	"program": "",
}

// A table holds the names that may be used. It is a text of lines with five columns, separated by tabs:
//
//	kind  name  members  since  source
//
// kind is cmdlet, class, type, com or program. members are the cmdlet's parameters or the type's static members that may be
// used, separated by commas, or "-". since is what brought the name and all these members: "PowerShell 3.0", "Windows 2012" or
// ".NET 4.0"; where that is later than what the texts must run on, it ends in " guarded", which says that the text asks first.
// source is where that stands. A name may have several rows, each with members that came together. Empty lines and
// lines that begin with # are left out.
type table struct {
	known map[string]map[string]bool // kind and lower-case name, to lower-case members
}

func key(kind, name string) string {
	name = strings.ToLower(name)
	if kind == "type" {
		name = strings.TrimPrefix(name, "system.")
	}
	return kind + " " + name
}

var member = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readTable(source string) (*table, error) {
	t := &table{known: map[string]map[string]bool{}}
	var errs []error
	seen := map[string]int{}
	number := 0
	for line := range strings.Lines(source) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := t.add(line); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
		}
		if first := seen[line]; first != 0 {
			errs = append(errs, fmt.Errorf("line %d: the same as line %d", number, first))
		}
		seen[line] = number
	}
	return t, errors.Join(errs...)
}

func (t *table) add(line string) error {
	columns := strings.Split(line, "\t")
	if len(columns) != 5 {
		return fmt.Errorf("%d columns, want kind, name, members, since and source, separated by tabs", len(columns))
	}
	kind, name, members, since, source := columns[0], columns[1], columns[2], columns[3], columns[4]
	noun, known := kinds[kind]
	switch {
	case !known:
		return fmt.Errorf("unknown kind %q", kind)
	case name == "" || strings.TrimSpace(name) != name:
		return fmt.Errorf("wrong name %q", name)
	case strings.TrimSpace(source) == "":
		return fmt.Errorf("%s has no source", name)
	case members != "-" && noun == "":
		return fmt.Errorf("a %s has no members: write -", kind)
	}
	if err := checkSince(since); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	k := key(kind, name)
	if t.known[k] == nil {
		t.known[k] = map[string]bool{}
	}
	if members == "-" {
		return nil
	}
	for m := range strings.SplitSeq(members, ",") {
		if !member.MatchString(m) {
			return fmt.Errorf("%s: wrong %s %q", name, noun, m)
		}
		t.known[k][strings.ToLower(m)] = true
	}
	return nil
}

// versions are the versions in their order, up to the last that the texts may take for granted, and those after it.
var versions = map[string]struct{ granted, later []string }{
	"PowerShell": {[]string{"1.0", "2.0", "3.0"}, []string{"4.0", "5.0", "5.1", "6.0", "7.0", "7.2", "7.4"}},
	"Windows": {
		[]string{"2000", "XP", "2003", "Vista", "2008", "7", "2008 R2", "8", "2012"},
		[]string{"8.1", "2012 R2", "10", "2016", "2019", "11", "2022", "2025"},
	},
	".NET": {[]string{"1.0", "1.1", "2.0", "3.0", "3.5", "4.0"}, []string{"4.5", "4.5.2", "4.6", "4.7", "4.8"}},
}

// checkSince tells whether a text may use what came with that version.
func checkSince(since string) error {
	rest, guarded := strings.CutSuffix(since, " guarded")
	product, version, _ := strings.Cut(rest, " ")
	order, known := versions[product]
	switch {
	case !known:
		return fmt.Errorf("since %q: want PowerShell, Windows or .NET and a version", since)
	case slices.Contains(order.granted, version):
		return nil
	case !slices.Contains(order.later, version):
		return fmt.Errorf("since %q: unknown version", since)
	case !guarded:
		return fmt.Errorf("since %q: that is later than %s %s; where the text asks first, say so with \"guarded\"",
			since, product, order.granted[len(order.granted)-1])
	}
	return nil
}

// lacks returns the names, with only those members, that the table does not have.
func (t *table) lacks(used []name) []name {
	var out []name
	for _, n := range used {
		known, listed := t.known[key(n.kind, n.name)]
		lacking := n
		lacking.members = nil
		for _, m := range n.members {
			if !known[strings.ToLower(m)] {
				lacking.members = append(lacking.members, m)
			}
		}
		if !listed || len(lacking.members) > 0 {
			out = append(out, lacking)
		}
	}
	return out
}

// check finds names and members that are not in the table.
func (t *table) check(used []name) []finding {
	var found []finding
	for _, n := range t.lacks(used) {
		if _, listed := t.known[key(n.kind, n.name)]; !listed {
			found = append(found, finding{n.line, n.column, "table", fmt.Sprintf("the %s %s is not in the table of names", n.kind, n.name)})
			continue
		}
		for _, m := range n.members {
			found = append(found, finding{n.line, n.column, "table", fmt.Sprintf("%s's %s %s is not in the table of names", n.name, kinds[n.kind], m)})
		}
	}
	return found
}

// rows are lines for the table: each name once, with all its members, and two columns for a person to fill in.
func rows(names []name) string {
	merged := map[string]*name{}
	var order []string
	for _, n := range names {
		k := key(n.kind, n.name)
		if merged[k] == nil {
			merged[k] = &name{kind: n.kind, name: n.name}
			order = append(order, k)
		}
		for _, m := range n.members {
			if !slices.ContainsFunc(merged[k].members, func(have string) bool { return strings.EqualFold(have, m) }) {
				merged[k].members = append(merged[k].members, m)
			}
		}
	}
	slices.Sort(order)
	var out strings.Builder
	for _, k := range order {
		n := merged[k]
		slices.Sort(n.members)
		members := strings.Join(n.members, ",")
		if members == "" {
			members = "-"
		}
		fmt.Fprintf(&out, "%s\t%s\t%s\t\t\n", n.kind, n.name, members)
	}
	return out.String()
}
