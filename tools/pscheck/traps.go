package main

import (
	"fmt"
	"regexp"
	"strings"
)

// aliases are the names of Windows PowerShell's own aliases that somebody might write. In PowerShell 7 on Linux several of them
// are programs instead, and an administrator can change them all.
var aliases = set(`% ? ac asnp cat cd chdir clc clear clhy cli clp cls clv cnsn compare copy cp cpi cpp curl cvpa dbp del diff dir dnsn
	ebp echo epal epcsv epsn erase etsn exsn fc fl foreach ft fw gal gbp gc gci gcm gcs gdr ghy gi gin gjb gl gm gmo gp gps gpv group
	gsn gsnp gsv gtz gu gv gwmi h history icm iex ihy ii ipal ipcsv ipmo ipsn irm ise iwmi iwr kill lp ls man md measure mi mount move
	mp mv nal ndr ni nmo npssc nsn nv ogv oh popd ps pushd pwd r rbp rcjb rcsn rd rdr ren ri rjb rm rmdir rmo rni rnp rp rsn rsnp rujb
	rv rvpa rwmi sajb sal saps sasv sbp sc scb select set shcm si sl sleep sls sort sp spjb spps spsv start stz sujb sv swmi tee trcm
	type wget where wjb write`)

// unwanted are cmdlets that have no place in a text that talks to a program.
var unwanted = map[string]string{
	"invoke-expression": "it runs whatever a value holds, and security products flag it",
	"write-host":        "it formats and wraps; write a line with [Console]::Out",
	"read-host":         "nobody is there to answer",
	"out-host":          "it formats and wraps; write a line with [Console]::Out",
	"get-wmiobject":     "PowerShell 7 has it no more; use Get-CimInstance",
	"invoke-wmimethod":  "PowerShell 7 has it no more; use Invoke-CimMethod",
	"invoke-webrequest": "it asks a proxy, and Internet Explorer's first run on old systems",
	"invoke-restmethod": "it asks a proxy, and Internet Explorer's first run on old systems",
}

// foreignOperators are other languages' operators, which PowerShell 3.0 to 5.1 take for something else or not at all.
var foreignOperators = map[string]string{
	"==": "-eq", "!=": "-ne", "&&": "-and, or a statement of its own", "||": "-or, or a statement of its own",
	"??": "an if", "?.": "an if", "===": "-ceq", "<=": "-le", ">=": "-ge",
}

// scopes are what may stand before the colon of a variable's name.
var scopes = set("env global local private script using variable function alias")

// laterStatements came with PowerShell 5.0.
var laterStatements = set("class_statement enum_statement")

// laterMethods came after PowerShell 3.0.
var laterMethods = map[string]string{
	"::new":    "PowerShell 5.0; use New-Object",
	".foreach": "PowerShell 4.0; use foreach",
	".where":   "PowerShell 4.0; use Where-Object",
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for _, word := range strings.Fields(words) {
		all[word] = true
	}
	return all
}

// traps finds what parses and is still wrong, or not allowed in the project's texts.
func (t *text) traps() []finding {
	found := append(t.bytes(), t.preamble()...)
	t.root.walk(func(n *node) bool {
		found = append(found, t.trap(n)...)
		return true
	})
	return found
}

// bytes finds bytes that a code page could change, or a reader not see.
func (t *text) bytes() []finding {
	var found []finding
	for i, line := range strings.Split(string(t.source), "\n") {
		line = strings.TrimSuffix(line, "\r")
		for j := range len(line) {
			place := finding{line: i + 1, column: j + 1}
			switch c := line[j]; {
			case c == '\t':
				place.rule, place.message = "tab", "indent with spaces"
			case c > 0x7e || c < 0x20:
				place.rule, place.message = "ascii", fmt.Sprintf("byte %#02x: Windows PowerShell reads a text without a byte order mark in the system's code page", c)
			default:
				continue
			}
			found = append(found, place)
			break // one a line is enough
		}
		if strings.TrimRight(line, " ") != line {
			found = append(found, finding{i + 1, len(strings.TrimRight(line, " ")) + 1, "space", "white space at the end of the line"})
		}
	}
	return found
}

var (
	strictMode = regexp.MustCompile(`(?m)^Set-StrictMode -Version 2(\.0)?\s*$`)
	stopOnFail = regexp.MustCompile(`(?m)^\$ErrorActionPreference = 'Stop'\s*$`)
	noProgress = regexp.MustCompile(`(?m)^\$ProgressPreference = 'SilentlyContinue'\s*$`)
)

// preamble finds missing lines that every text has at its top level.
func (t *text) preamble() []finding {
	var found []finding
	for _, want := range []struct {
		form *regexp.Regexp
		line string
	}{
		{strictMode, "Set-StrictMode -Version 2"},
		{stopOnFail, "$ErrorActionPreference = 'Stop'"},
		{noProgress, "$ProgressPreference = 'SilentlyContinue'"},
	} {
		if !want.form.Match(t.source) {
			found = append(found, finding{1, 1, "preamble", fmt.Sprintf("there is no line %q", want.line)})
		}
	}
	return found
}

func (t *text) trap(n *node) []finding {
	switch n.kind {
	case "try_statement":
		if n.child("catch_clauses") == nil && n.child("finally_clause") == nil {
			return []finding{n.finding("try", "try without catch or finally")}
		}
	case "command":
		return t.trapInCommand(n)
	case "foreach_command":
		return []finding{n.finding("alias", "an alias of ForEach-Object: write the cmdlet's name")}
	case "variable":
		return t.trapInVariable(n)
	case "invokation_expression", "member_access":
		return t.trapInMember(n)
	case "generic_token", "ERROR":
		// An operator that is none ends up as a word of a command, or as nothing.
		for word := range strings.FieldsSeq(t.of(n)) {
			if instead, foreign := foreignOperators[word]; foreign && n.kind == "generic_token" {
				return []finding{n.finding("operator", "%s is no operator: use %s", word, instead)}
			}
		}
	}
	if laterStatements[n.kind] {
		return []finding{n.finding("version", "%s came with PowerShell 5.0", strings.TrimSuffix(n.kind, "_statement"))}
	}
	return nil
}

func (t *text) trapInCommand(n *node) []finding {
	head := n.child("command_name")
	if head == nil {
		return nil
	}
	name := strings.ToLower(t.of(head))
	// "$a == $b" is an assignment of the output of the command "=".
	if strings.HasPrefix(name, "=") {
		return []finding{head.finding("operator", "== is no operator: use -eq")}
	}
	if instead, foreign := foreignOperators[name]; foreign {
		return []finding{head.finding("operator", "%s is no operator: use %s", name, instead)}
	}
	if aliases[name] {
		return []finding{head.finding("alias", "%s is an alias: write the cmdlet's name", t.of(head))}
	}
	if why, is := unwanted[name]; is {
		return []finding{head.finding("cmdlet", "%s: %s", t.of(head), why)}
	}
	return nil
}

func (t *text) trapInVariable(n *node) []finding {
	spelt := t.of(n)
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimLeft(spelt, "$@"), "{"), "}"))
	if name == "input" {
		return []finding{n.finding("input", "the host reads standard input by itself where a text mentions $input")}
	}
	if scope, _, scoped := strings.Cut(name, ":"); scoped && !scopes[scope] {
		return []finding{n.finding("scope", "%s is a variable of a scope or drive called %q: write ${%s} before a colon", spelt, scope, scope)}
	}
	return nil
}

func (t *text) trapInMember(n *node) []finding {
	member := n.child("member_name")
	if member == nil {
		return nil
	}
	separator := "."
	if n.child("::") != nil {
		separator = "::"
	}
	called := n.kind == "invokation_expression"
	if since, later := laterMethods[separator+strings.ToLower(t.of(member))]; later && called {
		return []finding{member.finding("version", "%s%s came with %s", separator, t.of(member), since)}
	}
	return nil
}
