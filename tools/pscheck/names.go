package main

import (
	"regexp"
	"strings"
)

// accelerators are the type names that PowerShell 3.0 knows without a namespace, and keywords that look like types.
var accelerators = set(`array bool byte char ciminstance cimclass cimsession datetime decimal double float guid hashtable int int16 int32
	int64 ipaddress long mailaddress object ordered pscredential pscustomobject psobject ref regex sbyte scriptblock securestring single
	string switch timespan type uint16 uint32 uint64 uri version void wmi wmiclass wmisearcher xml cmdletbinding parameter outputtype
	validaterange validateset validatenotnull validatenotnullorempty alias`)

// classWord is a CIM class's name, wherever it stands in a text.
var classWord = regexp.MustCompile(`\b(?:(?:Win32|MSFT|CIM)_[A-Za-z0-9_]+|SoftwareLicensing(?:Product|Service))\b`)

// classNames finds the CIM classes that any text names, PowerShell or not.
func classNames(source string) []name {
	var found []name
	number := 0
	for line := range strings.Lines(source) {
		number++
		for _, place := range classWord.FindAllStringIndex(line, -1) {
			found = append(found, name{kind: "class", name: line[place[0]:place[1]], line: number, column: place[0] + 1})
		}
	}
	return found
}

// names finds everything that a text takes from outside itself. What a text computes (a variable after &, a class name that
// comes in a request) is not seen.
func (t *text) names() []name {
	own := map[string]bool{}
	splats := map[string][]string{}
	t.root.walk(func(n *node) bool {
		switch n.kind {
		case "function_name":
			own[strings.ToLower(t.of(n))] = true
		case "assignment_expression":
			t.collectSplat(n, splats)
		}
		return true
	})
	found := classNames(string(t.source))
	t.root.walk(func(n *node) bool {
		switch n.kind {
		case "command":
			found = append(found, t.commandNames(n, own, splats)...)
		case "type_literal":
			found = append(found, t.typeNames(n)...)
		}
		return true
	})
	return found
}

// collectSplat notes the keys of a hash table that a variable is set to, as they may be given to a command by @variable.
func (t *text) collectSplat(n *node, splats map[string][]string) {
	left := n.child("left_assignment_expression")
	if left == nil {
		return
	}
	variable := strings.ToLower(strings.TrimPrefix(t.of(left), "$"))
	depth := 0
	for _, right := range n.children {
		if right.kind != "pipeline" {
			continue
		}
		right.walk(func(n *node) bool {
			if n.kind == "hash_literal_expression" {
				depth++
				if depth > 1 {
					return false
				}
			}
			if n.kind == "key_expression" {
				splats[variable] = append(splats[variable], strings.Trim(t.of(n), `'"`))
				return false
			}
			return true
		})
	}
}

func (t *text) commandNames(n *node, own map[string]bool, splats map[string][]string) []name {
	head := n.child("command_name")
	if head == nil {
		return nil
	}
	called := t.of(head)
	if own[strings.ToLower(called)] || aliases[strings.ToLower(called)] || strings.HasPrefix(called, "=") {
		return nil
	}
	command := name{kind: "cmdlet", name: called, line: head.line, column: head.column}
	if strings.HasSuffix(strings.ToLower(called), ".exe") {
		command.kind = "program"
		return []name{command}
	}
	var words []*node // what is no parameter
	var com bool
	elements := n.child("command_elements")
	if elements != nil {
		for _, e := range elements.children {
			switch e.kind {
			case "command_parameter":
				parameter := strings.TrimSuffix(strings.TrimPrefix(t.of(e), "-"), ":")
				com = com || strings.EqualFold(parameter, "ComObject")
				command.members = append(command.members, parameter)
			case "array_literal_expression":
				if spelt := t.of(e); strings.HasPrefix(spelt, "@") && !strings.ContainsAny(spelt, "({'\"") {
					command.members = append(command.members, splats[strings.ToLower(spelt[1:])]...)
				}
				words = append(words, e)
			case "generic_token":
				words = append(words, e)
			}
		}
	}
	found := []name{command}
	if strings.EqualFold(called, "New-Object") && len(words) > 0 {
		made := strings.Trim(t.of(words[0]), `'"`)
		if cut := strings.IndexAny(made, "(,"); cut >= 0 {
			made = made[:cut]
		}
		made = strings.TrimSuffix(made, "[]")
		kind := "type"
		if com {
			kind = "com"
		}
		if !strings.HasPrefix(made, "$") && !accelerators[strings.ToLower(made)] {
			found = append(found, name{kind: kind, name: made, line: words[0].line, column: words[0].column})
		}
	}
	return found
}

// typeNames finds the types of a [type] and the static member that follows it.
func (t *text) typeNames(n *node) []name {
	var found []name
	n.walk(func(inner *node) bool {
		if inner.kind != "type_name" {
			return true
		}
		if spelt := t.of(inner); !accelerators[strings.ToLower(strings.TrimPrefix(spelt, "System."))] {
			found = append(found, name{kind: "type", name: spelt, line: inner.line, column: inner.column})
		}
		return false
	})
	if len(found) == 0 || n.parent == nil || n.parent.children[0] != n || n.parent.child("::") == nil {
		return found
	}
	if member := n.parent.child("member_name"); member != nil {
		found[0].members = append(found[0].members, t.of(member))
	}
	return found
}
