package agentconfig

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// splicer writes an edited file in YAML by its own lines: only the stages and
// tasks that an edit touches are written anew. The whole file written by the
// YAML library would lose its empty lines, and a script with white space at the
// end of a line would become one long line in double quotes.
type splicer struct {
	// lines are the file's, with their ends.
	lines   []string
	lineEnd string
	// compact is set when the file's lists begin in the column of their key.
	compact bool
	b       strings.Builder
}

// listItem is the part of the lines, counted from 0, that an item of a list has.
type listItem struct {
	// head is where the comments right above the item begin, body where the item
	// itself does, tail where nothing but empty lines and comments of what
	// surrounds the list are left, and end where the next item begins.
	head, body, tail, end int
}

// splice is the file's text with its stages and tasks as in another tree. It is
// not ok when the lists are laid out in a way that lines do not show, as within
// brackets. The caller has to see that the text means the tree.
func (f *EC2LaunchV2) splice(root *yaml.Node) (text string, ok bool) {
	s := &splicer{lines: strings.SplitAfter(f.text, "\n"), lineEnd: f.lineEnd(), compact: compactLists(f.doc)}
	end := lineBehind(f.root, "config", len(s.lines))
	if !s.list(member(f.root, "config"), member(root, "config"), 0, end) {
		return "", false
	}
	s.copy(end, len(s.lines))
	return s.b.String(), true
}

// lineBehind is the line of the key behind another one, or end for the last one.
func lineBehind(n *yaml.Node, key string, end int) int {
	behind := false
	for k := range members(n) {
		if behind {
			return k.Line - 1
		}
		behind = k.Value == key
	}
	return end
}

// list writes the lines from one up to another, of which a list is the last
// thing, with the list as it is to be.
func (s *splicer) list(before, after *yaml.Node, from, to int) bool {
	items, ok := s.items(before, to)
	if !ok || len(after.Content) == 0 {
		return false
	}
	indent := strings.IndexByte(s.lines[items[0].body], '-')
	s.copy(from, items[0].head)
	// What is behind the item that was written last comes behind new ones too.
	var behind []listItem
	at := 0
	skip := func(until func(n *yaml.Node) bool) {
		for ; at < len(items) && !until(before.Content[at]); at++ {
			if s.hasComment(items[at].tail, items[at].end) {
				behind = append(behind, items[at])
			}
		}
	}
	flush := func() {
		for _, item := range behind {
			s.copy(item.tail, item.end)
		}
		behind = nil
	}
	for _, n := range after.Content {
		if n.Line == 0 {
			if !s.encode(n, indent) {
				return false
			}
			continue
		}
		skip(func(old *yaml.Node) bool { return old.Line == n.Line && old.Column == n.Column })
		if at == len(items) {
			return false
		}
		flush()
		item := items[at]
		s.copy(item.head, item.body)
		if !s.item(before.Content[at], n, item, indent) {
			return false
		}
		behind = append(behind, item)
		at++
	}
	skip(func(*yaml.Node) bool { return false })
	flush()
	return true
}

// items finds the lines of a list's items; ok is false unless each begins on a
// line of its own behind its dash.
func (s *splicer) items(list *yaml.Node, end int) (items []listItem, ok bool) {
	indent := -1
	for _, n := range list.Content {
		body := n.Line - 1
		if body < 0 || body >= end || len(s.lines[body]) < n.Column || strings.Trim(s.lines[body][:n.Column-1], " ") != "-" {
			return nil, false
		}
		if dash := strings.IndexByte(s.lines[body], '-'); indent < 0 {
			indent = dash
		} else if dash != indent {
			return nil, false
		}
		head := body
		for head > 0 && s.commentAt(head-1) == indent {
			head--
		}
		if n := len(items); n > 0 {
			items[n-1].end = head
		}
		items = append(items, listItem{head: head, body: body, end: end})
	}
	for i := range items {
		item := &items[i]
		item.tail = item.end
		for item.tail > item.body+1 && s.outside(item.tail-1, indent) {
			item.tail--
		}
	}
	return items, len(items) > 0
}

// commentAt is the indentation of a line that is only a comment, and -1 for any
// other line.
func (s *splicer) commentAt(line int) int {
	text := strings.TrimLeft(s.lines[line], " ")
	if !strings.HasPrefix(text, "#") {
		return -1
	}
	return len(s.lines[line]) - len(text)
}

// outside holds for an empty line, and for a comment that is indented no more
// than the list.
func (s *splicer) outside(line, indent int) bool {
	at := s.commentAt(line)
	return strings.TrimSpace(s.lines[line]) == "" || at >= 0 && at <= indent
}

func (s *splicer) hasComment(from, to int) bool {
	for i := from; i < to; i++ {
		if s.commentAt(i) >= 0 {
			return true
		}
	}
	return false
}

// item writes an item without what is behind it. Of a stage only the tasks that
// have changed are written anew.
func (s *splicer) item(before, after *yaml.Node, at listItem, indent int) bool {
	if same(before, after) {
		s.copy(at.body, at.tail)
		return true
	}
	tasks, wanted := member(before, "tasks"), member(after, "tasks")
	if tasks != nil && wanted != nil && tasks.Kind == yaml.SequenceNode && wanted.Kind == yaml.SequenceNode && len(wanted.Content) > 0 {
		end := lineBehind(before, "tasks", at.tail)
		if _, ok := s.items(tasks, end); ok {
			if !s.list(tasks, wanted, at.body, end) {
				return false
			}
			s.copy(end, at.tail)
			return true
		}
	}
	return s.encode(after, indent)
}

// encode writes an item anew, without the comments around it: those of an item
// that was there are copied with the lines.
func (s *splicer) encode(n *yaml.Node, indent int) bool {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{clone(n)}}
	text, err := encodeYAML(list, s.compact)
	if err != nil {
		return false
	}
	for line := range strings.SplitAfterSeq(text, "\n") {
		switch text := strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(text, "#"), line == "":
		case text == "":
			s.write(s.lineEnd)
		default:
			s.write(strings.Repeat(" ", indent) + text + s.lineEnd)
		}
	}
	return true
}

// copy writes lines as they are.
func (s *splicer) copy(from, to int) {
	for _, line := range s.lines[from:max(from, to)] {
		s.write(line)
	}
}

// write adds a line; one without an end gets it when another one follows.
func (s *splicer) write(line string) {
	if text := s.b.String(); line != "" && text != "" && !strings.HasSuffix(text, "\n") {
		s.b.WriteString(s.lineEnd)
	}
	s.b.WriteString(line)
}
