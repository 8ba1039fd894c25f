package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// good is what every text begins with.
const good = "Set-StrictMode -Version 2\n$ErrorActionPreference = 'Stop'\n$ProgressPreference = 'SilentlyContinue'\n"

// mustParse parses a text that follows good, so its first line is the fourth.
func mustParse(t *testing.T, source string) *text {
	t.Helper()
	parsed, err := parse([]byte(good + source))
	if errors.Is(err, errNoCgo) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func describe(findings []finding) []string {
	var all []string
	for _, f := range sorted(findings) {
		all = append(all, fmt.Sprintf("%d:%d: %s", f.line-strings.Count(good, "\n"), f.column, f.rule))
	}
	return all
}

func TestFindings(t *testing.T) {
	tests := []struct {
		name, source string
		want         []string // line, column and rule
	}{
		{"a plain text has none", "function Get-A($B) {\n    try { return $B.C } catch { throw } finally { }\n}\n", nil},
		{"an unbalanced brace", "if ($a) { 1\n", []string{"1:12: syntax"}},
		{"an unbalanced parenthesis", "$a = (1 + 2\n$b = 3\n", []string{"2:1: syntax"}},
		{"a string that does not end", "$a = 'x\n", []string{"1:5: syntax", "1:8: syntax"}},
		{"a name that begins with a keyword is a name", "function Format-A { 1 }\nfunction Exit-B($C) { 2 }\n$x = Format-A\nExit-B 'c'\nExit-B (Format-A)\n", nil},
		{"try without catch or finally", "try { 1 }\n", []string{"1:1: try"}},
		{"try with finally alone", "try { 1 } finally { 2 }\n", nil},
		{"== for -eq", "if ($a == 3) { 1 }\n", []string{"1:9: operator"}},
		{"&& between commands", "Get-A && Get-B\n", []string{"1:7: operator"}},
		{"an alias", "$a | where { $_ }\nls\n", []string{"1:6: alias", "2:1: alias"}},
		{"the keyword foreach is no alias", "foreach ($a in 1, 2) { $a }\n", nil},
		{"the alias % at the head of a pipeline's part", "$a | % { $_ }\n", []string{"1:6: alias"}},
		{"$input anywhere", "$a = @($input)\n", []string{"1:8: input"}},
		{"Invoke-Expression", "Invoke-Expression $a\n", []string{"1:1: cmdlet"}},
		{"a variable swallows a colon in a string", "$a = \"$path:1 ${path}:1 $env:TEMP $script:x $($b):1\"\n", []string{"1:7: scope"}},
		{"a tab", "\t$a = 1\n", []string{"1:1: tab"}},
		{"a byte that is not ASCII", "$a = 'ü'\n", []string{"1:7: ascii"}},
		{"white space at the end", "$a = 1 \n", []string{"1:7: space"}},
		{"the new method", "$a = [Text.StringBuilder]::new()\n", []string{"1:28: version"}},
		{"the ForEach method", "$a.ForEach({ $_ })\n", []string{"1:4: version"}},
		{"a member that is called like a keyword", "$a = $b.Process + [C]::End\n$b.If()\n", nil},
		{"a property called new", "$a = $b.new\n", nil},
		{"a class", "class A { [int] $B }\n", []string{"1:1: version"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parsed := mustParse(t, tt.source)
			found := append(parsed.syntax(), parsed.traps()...)
			if got := describe(found); !slices.Equal(got, tt.want) {
				t.Errorf("findings %q, want %q\n%v", got, tt.want, found)
			}
		})
	}
}

func TestThePreambleIsWanted(t *testing.T) {
	mustParse(t, "") // skips without cgo
	parsed, err := parse([]byte("$ErrorActionPreference = 'Stop'\nfunction A {\n    Set-StrictMode -Version 2\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range parsed.preamble() {
		got = append(got, f.message)
	}
	want := []string{`there is no line "Set-StrictMode -Version 2"`, `there is no line "$ProgressPreference = 'SilentlyContinue'"`}
	if !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		name, source string
		want         string // what rows makes of them
	}{
		{"a cmdlet with its parameters", "Get-Item -LiteralPath $a -Force:$b\n", "cmdlet\tGet-Item\tForce,LiteralPath\t\t\n"},
		{"a splatted hash table's keys are parameters", "$p = @{ A = 1; 'B' = @{ C = 2 } }\nGet-Item @p\n", "cmdlet\tGet-Item\tA,B\t\t\n"},
		{"an own function is no cmdlet", "function Get-Mine { 1 }\nget-mine -A 1\n", ""},
		{"a program", "shutdown.exe /s\n", "program\tshutdown.exe\t-\t\t\n"},
		{"a class in an argument or a string", "Get-CimInstance -ClassName Win32_A\n$b = 'MSFT_B where 1'\n", "class\tMSFT_B\t-\t\t\nclass\tWin32_A\t-\t\t\ncmdlet\tGet-CimInstance\tClassName\t\t\n"},
		{"a type's static members, with System or without", "[IO.File]::Open('a')\n[System.IO.File]::Exists('a')\n", "type\tIO.File\tExists,Open\t\t\n"},
		{"a cast and an array's type", "$a = [IO.FileMode]$b\n$c = [IO.FileInfo[]]$b\n", "type\tIO.FileInfo\t-\t\t\ntype\tIO.FileMode\t-\t\t\n"},
		{"PowerShell's own type names are left out", "$a = [string]$b\n[System.Int32]$c = [byte[]]1\n", ""},
		{"a new object's type", "$a = New-Object IO.StreamReader($b)\n$c = New-Object byte[] 5\n", "cmdlet\tNew-Object\t-\t\t\ntype\tIO.StreamReader\t-\t\t\n"},
		{"a COM object", "$a = New-Object -ComObject 'Schedule.Service'\n", "cmdlet\tNew-Object\tComObject\t\t\ncom\tSchedule.Service\t-\t\t\n"},
		{"a type in a parameter's place", "function Get-A([IO.File]$b) { $b -is [IO.Path] }\n", "type\tIO.File\t-\t\t\ntype\tIO.Path\t-\t\t\n"},
		{"a name that the grammar would split", "Format-Table -AutoSize\n", "cmdlet\tFormat-Table\tAutoSize\t\t\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rows(mustParse(t, tt.source).names())
			got = strings.Replace(got, "cmdlet\tSet-StrictMode\tVersion\t\t\n", "", 1)
			if got != tt.want {
				t.Errorf("rows\n%swant\n%s", got, tt.want)
			}
		})
	}
}

const smallTable = "# names\n\ncmdlet\tGet-Item\tForce\tPowerShell 1.0\ta page\ncmdlet\tGet-Item\tStream\tPowerShell 3.0\ta page\n" +
	"type\tSystem.IO.File\tOpen\t.NET 2.0\ta page\nclass\tMSFT_Disk\t-\tWindows 2016 guarded\ta page\n"

func TestTableTellsWhatItLacks(t *testing.T) {
	names, err := readTable(smallTable)
	if err != nil {
		t.Fatal(err)
	}
	used := []name{
		{kind: "cmdlet", name: "get-item", members: []string{"FORCE", "Stream", "Filter"}, line: 1, column: 2},
		{kind: "type", name: "IO.File", members: []string{"Open"}, line: 3},
		{kind: "type", name: "IO.Path", members: []string{"Combine"}, line: 4, column: 5},
		{kind: "class", name: "MSFT_Disk", line: 6},
	}
	var got []string
	for _, f := range names.check(used) {
		got = append(got, f.String())
	}
	want := []string{
		"1:2: table: get-item's parameter Filter is not in the table of names",
		"4:5: table: the type IO.Path is not in the table of names",
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
	if got, want := rows(names.lacks(used)), "cmdlet\tget-item\tFilter\t\t\ntype\tIO.Path\tCombine\t\t\n"; got != want {
		t.Errorf("rows\n%swant\n%s", got, want)
	}
}

func TestTableMistakes(t *testing.T) {
	tests := []struct{ name, row, want string }{
		{"a column too few", "cmdlet\tGet-Item\t-\tPowerShell 1.0", "4 columns"},
		{"an unknown kind", "alias\tls\t-\tPowerShell 1.0\tpage", "unknown kind"},
		{"no source", "cmdlet\tGet-Item\t-\tPowerShell 1.0\t ", "has no source"},
		{"no version", "cmdlet\tGet-Item\t-\tlong ago\tpage", "want PowerShell, Windows or .NET"},
		{"an unknown version", "cmdlet\tGet-Item\t-\tPowerShell 2.5\tpage", "unknown version"},
		{"a version that is too new", "cmdlet\tGet-Item\t-\tPowerShell 5.0\tpage", "later than PowerShell 3.0"},
		{"a class with members", "class\tWin32_A\tB\tWindows 2000\tpage", "has no members"},
		{"a member with spaces", "cmdlet\tGet-Item\tForce, Path\tPowerShell 1.0\tpage", `wrong parameter " Path"`},
		{"a row twice", "class\tA\t-\tWindows 2000\tpage\nclass\tA\t-\tWindows 2000\tpage", "line 2: the same as line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readTable(tt.row)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
