package windows

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// condition says whether an instance, given by its properties, is meant.
type condition func(property func(name string) string) bool

// parseFilter reads the part of WQL behind WHERE: comparisons with =, !=, <>,
// <, >, <=, >=, LIKE and IS [NOT] NULL, joined by AND, OR, NOT and parentheses.
func parseFilter(text string) (condition, error) {
	if strings.TrimSpace(text) == "" {
		return func(func(string) string) bool { return true }, nil
	}
	words, err := wqlWords(text)
	if err != nil {
		return nil, err
	}
	parser := &wqlParser{words: words}
	parsed, err := parser.or()
	if err != nil {
		return nil, err
	}
	if len(parser.words) > 0 {
		return nil, fmt.Errorf("unexpected %q", parser.words[0].text)
	}
	return parsed, nil
}

// wqlWord is a word of a filter; a quoted one is a value whatever it spells.
type wqlWord struct {
	text   string
	quoted bool
}

func wqlWords(text string) ([]wqlWord, error) {
	var words []wqlWord
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '\'' || c == '"':
			var value strings.Builder
			i++
			for {
				if i >= len(text) {
					return nil, errors.New("a string without its end")
				}
				if text[i] == '\\' && i+1 < len(text) {
					value.WriteByte(text[i+1])
					i += 2
					continue
				}
				if text[i] == c {
					i++
					break
				}
				value.WriteByte(text[i])
				i++
			}
			words = append(words, wqlWord{value.String(), true})
		case strings.IndexByte("()", c) >= 0:
			words = append(words, wqlWord{string(c), false})
			i++
		case strings.IndexByte("=<>!", c) >= 0:
			end := i + 1
			if end < len(text) && (text[end] == '=' || text[end] == '>') {
				end++
			}
			words = append(words, wqlWord{text[i:end], false})
			i = end
		default:
			end := i
			for end < len(text) && strings.IndexByte(" \t\r\n()=<>!'\"", text[end]) < 0 {
				end++
			}
			words = append(words, wqlWord{text[i:end], false})
			i = end
		}
	}
	return words, nil
}

type wqlParser struct{ words []wqlWord }

func (p *wqlParser) next() (wqlWord, bool) {
	if len(p.words) == 0 {
		return wqlWord{}, false
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word, true
}

// take removes the next word when it is the given keyword.
func (p *wqlParser) take(keyword string) bool {
	if len(p.words) > 0 && !p.words[0].quoted && strings.EqualFold(p.words[0].text, keyword) {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *wqlParser) or() (condition, error) {
	left, err := p.and()
	for err == nil && p.take("OR") {
		var right condition
		before := left
		if right, err = p.and(); err == nil {
			left = func(get func(string) string) bool { return before(get) || right(get) }
		}
	}
	return left, err
}

func (p *wqlParser) and() (condition, error) {
	left, err := p.one()
	for err == nil && p.take("AND") {
		var right condition
		before := left
		if right, err = p.one(); err == nil {
			left = func(get func(string) string) bool { return before(get) && right(get) }
		}
	}
	return left, err
}

func (p *wqlParser) one() (condition, error) {
	if p.take("NOT") {
		inner, err := p.one()
		return func(get func(string) string) bool { return !inner(get) }, err
	}
	if p.take("(") {
		inner, err := p.or()
		if err == nil && !p.take(")") {
			err = errors.New("a parenthesis without its end")
		}
		return inner, err
	}
	name, ok := p.next()
	if !ok || name.quoted || name.text == "" {
		return nil, errors.New("a property's name is missing")
	}
	if p.take("IS") {
		not := p.take("NOT")
		if !p.take("NULL") {
			return nil, errors.New("IS without NULL")
		}
		return func(get func(string) string) bool { return (get(name.text) == "") != not }, nil
	}
	operator, ok := p.next()
	if !ok {
		return nil, errors.New("a comparison is missing")
	}
	value, ok := p.next()
	if !ok {
		return nil, errors.New("a value is missing")
	}
	compare, err := comparison(strings.ToUpper(operator.text), value.text)
	if err != nil {
		return nil, err
	}
	return func(get func(string) string) bool { return compare(get(name.text)) }, nil
}

func comparison(operator, value string) (func(string) bool, error) {
	order := func(found string) int {
		a, errA := strconv.ParseInt(found, 10, 64)
		b, errB := strconv.ParseInt(value, 10, 64)
		if errA == nil && errB == nil {
			switch {
			case a < b:
				return -1
			case a > b:
				return 1
			}
			return 0
		}
		return strings.Compare(strings.ToLower(found), strings.ToLower(value))
	}
	switch operator {
	case "=":
		return func(found string) bool { return order(found) == 0 }, nil
	case "!=", "<>":
		return func(found string) bool { return order(found) != 0 }, nil
	case "<":
		return func(found string) bool { return order(found) < 0 }, nil
	case ">":
		return func(found string) bool { return order(found) > 0 }, nil
	case "<=":
		return func(found string) bool { return order(found) <= 0 }, nil
	case ">=":
		return func(found string) bool { return order(found) >= 0 }, nil
	case "LIKE":
		pattern := strings.NewReplacer("%", "*", "_", "?").Replace(value)
		return func(found string) bool { return wildcard(pattern, found) }, nil
	}
	return nil, fmt.Errorf("unknown comparison %q", operator)
}
