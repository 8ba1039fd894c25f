//go:build cgo

package main

import (
	"errors"
	"fmt"

	"github.com/alexaandru/go-sitter-forest/powershell"
	sitter "github.com/tree-sitter/go-tree-sitter"
)

// parse makes the syntax tree of a source; a source with mistakes has one too.
func parse(source []byte) (*text, error) {
	parser := sitter.NewParser()
	defer parser.Close()
	language := sitter.NewLanguage(powershell.GetLanguage())
	if err := parser.SetLanguage(language); err != nil {
		return nil, fmt.Errorf("setting up the grammar: %w", err)
	}
	tree := parser.Parse(masked(source), nil)
	if tree == nil {
		return nil, errors.New("the parser gave no tree")
	}
	defer tree.Close()
	return &text{source: source, root: convert(tree.RootNode(), nil)}, nil
}

func convert(from *sitter.Node, parent *node) *node {
	place := from.StartPosition()
	n := &node{
		kind:    from.Kind(),
		start:   int(from.StartByte()),
		end:     int(from.EndByte()),
		line:    int(place.Row) + 1,
		column:  int(place.Column) + 1,
		failed:  from.IsError(),
		missing: from.IsMissing(),
		parent:  parent,
	}
	for i := range from.ChildCount() {
		n.children = append(n.children, convert(from.Child(i), n))
	}
	return n
}
