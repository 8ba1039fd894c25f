package ec2

import (
	"maps"
	"slices"
	"strings"
)

// resource is a row of a region's table.
type resource interface {
	key() string
	number() int
	// visible says whether the API can see the resource yet. Each question
	// counts, see [Server.HideNew].
	visible() bool
	tags() map[string]string
	// property returns the values that a filter of this name is compared
	// with, and false if there is no such filter.
	property(name string) ([]string, bool)
}

// row is what all resources share.
type row struct {
	seq    int
	hidden int
	labels map[string]string
}

func (r *row) number() int             { return r.seq }
func (r *row) tags() map[string]string { return r.labels }

func (r *row) visible() bool {
	if r.hidden > 0 {
		r.hidden--
		return false
	}
	return true
}

func (r *row) setTags(tags map[string]string) {
	if r.labels == nil {
		r.labels = map[string]string{}
	}
	maps.Copy(r.labels, tags)
}

// table holds the resources of one kind in the order of their creation.
type table[T resource] struct {
	kind  kind
	blank T // knows the names of the kind's filters
	rows  []T
}

func (t *table[T]) add(r T) { t.rows = append(t.rows, r) }

func (t *table[T]) remove(id string) {
	t.rows = slices.DeleteFunc(t.rows, func(r T) bool { return r.key() == id })
}

// find returns a resource whether or not the API can see it.
func (t *table[T]) find(id string) (T, bool) {
	for _, r := range t.rows {
		if r.key() == id {
			return r, true
		}
	}
	var none T
	return none, false
}

// one returns the resource that a request names.
func (t *table[T]) one(id string) (T, *Error) {
	all, err := t.named([]string{id})
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// named returns the resources that a request names, or all of them if it names
// none.
func (t *table[T]) named(ids []string) ([]T, *Error) {
	for _, id := range ids {
		if err := t.kind.check(id); err != nil {
			return nil, err
		}
	}
	var found []T
	var missing []string
	if len(ids) == 0 {
		for _, r := range t.rows {
			if r.visible() {
				found = append(found, r)
			}
		}
		return found, nil
	}
	for _, id := range ids {
		if r, ok := t.find(id); ok && r.visible() {
			found = append(found, r)
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return nil, t.kind.missing(missing...)
	}
	slices.SortFunc(found, func(a, b T) int { return a.number() - b.number() })
	return slices.CompactFunc(found, func(a, b T) bool { return a.key() == b.key() }), nil
}

// filtered returns the rows that all filters of the request accept.
func (t *table[T]) filtered(p params, rows []T) ([]T, *Error) {
	for _, f := range p.structs("Filter") {
		name, values := f.get("Name"), f.list("Value")
		if name == "" {
			return nil, missingParameter("Filter.Name")
		}
		if len(values) == 0 {
			return nil, errorf("InvalidParameterValue", "The filter '%s' has no value", name)
		}
		if _, ok := tagProperty(name, nil); !ok {
			if _, ok = t.blank.property(name); !ok {
				return nil, errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
			}
		}
		var kept []T
		for _, r := range rows {
			have, ok := tagProperty(name, r.tags())
			if !ok {
				have, _ = r.property(name)
			}
			if slices.ContainsFunc(have, func(h string) bool {
				return slices.ContainsFunc(values, func(pattern string) bool { return wildcard(pattern, h) })
			}) {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	return rows, nil
}

// tagProperty returns what the filters on tags are compared with.
func tagProperty(name string, tags map[string]string) ([]string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if value, there := tags[key]; there {
			return []string{value}, true
		}
		return nil, true
	}
	switch name {
	case "tag-key":
		return slices.Sorted(maps.Keys(tags)), true
	case "tag-value":
		return slices.Sorted(maps.Values(tags)), true
	}
	return nil, false
}

// wildcard compares a filter's value with a text: * stands for any characters,
// ? for one, a backslash takes the special meaning away. Case matters.
func wildcard(pattern, text string) bool {
	p, t := 0, 0
	star, from := -1, 0 // the last * and where in text it ends so far
	for t < len(text) {
		literal, width := byte(0), 0
		if p < len(pattern) {
			literal, width = pattern[p], 1
			if literal == '\\' && p+1 < len(pattern) {
				literal, width = pattern[p+1], 2
			}
		}
		switch {
		case width == 1 && literal == '*':
			star, from = p, t
			p++
		case width > 0 && (literal == text[t] || width == 1 && literal == '?'):
			p, t = p+width, t+1
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
