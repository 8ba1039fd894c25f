package agentconfig

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The tree of a file in YAML or JSON is one of yaml.Nodes, whose lines and
// columns both readers set.

// fromJSON is a JSON value as a tree of nodes.
func fromJSON(v *jsonValue, text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: v.text, Line: v.line, Column: v.column}
	switch v.kind {
	case jsonObject:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		for _, m := range v.members {
			n.Content = append(n.Content, fromJSON(m.key, text), fromJSON(m.value, text))
		}
	case jsonArray:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range v.items {
			n.Content = append(n.Content, fromJSON(item, text))
		}
	case jsonString:
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	case jsonBool:
		n.Tag = "!!bool"
	case jsonNull:
		n.Tag = "!!null"
	case jsonNumber:
		n.Tag = "!!int"
		if strings.ContainsAny(v.text, ".eE") {
			n.Tag = "!!float"
		}
	}
	if n.Kind != yaml.ScalarNode && !strings.Contains(text[v.start:v.end], "\n") {
		n.Style = yaml.FlowStyle
	}
	return n
}

// jsonStyle is how a JSON file is laid out.
type jsonStyle struct {
	// indent is empty for a file on one line.
	indent string
	// colon and comma separate keys from values and, on one line, items.
	colon, comma string
	lineEnd      string
}

// jsonStyleOf looks at the first member of a JSON file.
func (f *textFile) jsonStyleOf(v *jsonValue) jsonStyle {
	s := jsonStyle{indent: "  ", colon: ": ", comma: ", ", lineEnd: f.lineEnd()}
	if v.kind != jsonObject || len(v.members) == 0 {
		return s
	}
	first := v.members[0]
	s.colon = f.text[first.key.end:first.value.start]
	if strings.Contains(s.colon, "\n") {
		s.colon = ": "
	}
	before := f.text[v.start+1 : first.key.start]
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		if s.indent = before[i+1:]; s.indent == "" {
			s.indent = "  "
		}
		return s
	}
	s.indent = ""
	if s.colon == ":" {
		s.comma = ","
	}
	return s
}

// write appends a tree as JSON text.
func (s jsonStyle) write(b *strings.Builder, n *yaml.Node, depth int) {
	if n.Kind == yaml.ScalarNode {
		b.WriteString(scalarJSON(n))
		return
	}
	open, shut := "[", "]"
	step := 1
	if n.Kind == yaml.MappingNode {
		open, shut, step = "{", "}", 2
	}
	b.WriteString(open)
	oneLine := s.indent == "" || n.Style&yaml.FlowStyle != 0
	for i := 0; i+step <= len(n.Content); i += step {
		switch {
		case !oneLine && i > 0:
			b.WriteString(",")
		case i > 0:
			b.WriteString(s.comma)
		}
		if !oneLine {
			b.WriteString(s.lineEnd + strings.Repeat(s.indent, depth+1))
		}
		if step == 2 {
			b.WriteString(quoteJSON(n.Content[i].Value) + s.colon)
		}
		s.write(b, n.Content[i+step-1], depth+1)
	}
	if !oneLine && len(n.Content) > 0 {
		b.WriteString(s.lineEnd + strings.Repeat(s.indent, depth))
	}
	b.WriteString(shut)
}

// scalarJSON writes a scalar, which may come from YAML, as JSON. A number that
// JSON can write so stays as it is written.
func scalarJSON(n *yaml.Node) string {
	if tag := n.ShortTag(); (tag == "!!int" || tag == "!!float") && isJSONNumber(n.Value) {
		return n.Value
	}
	switch v := plain(n).(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return quoteJSON(n.Value)
}

func isJSONNumber(s string) bool {
	r := newJSONReader(&textFile{text: s})
	_, err := r.number()
	return err == nil && r.at == len(s)
}

// plain is a tree as maps, slices, texts, whole numbers, floats, truth values
// and nil.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for k, v := range members(n) {
			m[k.Value] = plain(v)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var v bool
		if n.Decode(&v) == nil {
			return v
		}
	case "!!int":
		var v int
		if n.Decode(&v) == nil {
			return v
		}
	case "!!float":
		var v float64
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}

// members are the keys of a map with their values, in order. Anything else has
// none.
func members(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// member is the value of a key of a map; nil when there is none.
func member(n *yaml.Node, key string) *yaml.Node {
	for k, v := range members(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// setMember gives a key of a map its value, as the last one when it is new.
func setMember(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, textNode(key), value)
}

// dropMember removes a key from a map.
func dropMember(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// textNode is a text as a new node.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

// mapNode is a new map of keys and values in turn.
func mapNode(content ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: content}
}

// empty holds for nothing at all: no node, or null.
func empty(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// same holds when two trees mean the same, keys in the same order.
func same(a, b *yaml.Node) bool {
	switch {
	case a == nil || b == nil:
		return a == b
	case a.Kind != b.Kind:
		return false
	case a.Kind == yaml.ScalarNode && empty(a):
		return empty(b)
	case a.Kind == yaml.ScalarNode:
		return a.Value == b.Value && a.ShortTag() == b.ShortTag()
	}
	return slices.EqualFunc(a.Content, b.Content, same)
}

// clone copies a tree.
func clone(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = clone(n.Content[i])
	}
	return &c
}

// notAWord are texts that are one to YAML 1.2 and something else, a truth value
// or a number to the base of 60, to the older YAML 1.1, which an agent may read.
var notAWord = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?)$`)

// restyle makes a tree look as AWS writes it: one thing a line, texts without
// quotes where they need none, longer texts as blocks.
func restyle(n *yaml.Node) {
	n.Style &= yaml.TaggedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		switch {
		case strings.Contains(n.Value, "\n"):
			n.Style = yaml.LiteralStyle
		case notAWord.MatchString(n.Value):
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		restyle(c)
	}
}
