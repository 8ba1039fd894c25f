package ec2

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of tags (EC2 User Guide, "Tag restrictions").
const (
	maxTagKey   = 128
	maxTagValue = 256
	maxTags     = 50
)

type tagXML struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// tagSet lists tags sorted by key; a resource without tags has no list.
func tagSet(tags map[string]string) *list[tagXML] {
	if len(tags) == 0 {
		return nil
	}
	out := &list[tagXML]{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out.Items = append(out.Items, tagXML{key, tags[key]})
	}
	return out
}

// readTags reads Tag.n.Key and Tag.n.Value.
func readTags(p params) (map[string]string, *Error) {
	tags := map[string]string{}
	for _, t := range p.structs("Tag") {
		key, value := t.get("Key"), t.get("Value")
		if _, twice := tags[key]; twice {
			return nil, errorf("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		tags[key] = value
	}
	if len(tags) > maxTags {
		return nil, errorf("TagLimitExceeded", "More than %d tags specified", maxTags)
	}
	return tags, nil
}

func checkTag(key, value string) *Error {
	switch {
	case key == "":
		return errorf("InvalidParameterValue", "Tag key cannot be empty")
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
	case utf8.RuneCountInString(key) > maxTagKey:
		return errorf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
	case utf8.RuneCountInString(value) > maxTagValue:
		return errorf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
	}
	return nil
}

// readTagSpecifications returns the tags of each resource type, of which only
// the given ones can be tagged by the operation.
func readTagSpecifications(p params, types ...string) (map[string]map[string]string, *Error) {
	all := map[string]map[string]string{}
	for _, spec := range p.structs("TagSpecification") {
		resourceType := spec.get("ResourceType")
		if !slices.Contains(types, resourceType) {
			return nil, errorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", resourceType)
		}
		if _, twice := all[resourceType]; twice {
			return nil, errorf("InvalidParameterValue", "Duplicate resource type '%s' specified in tag specifications", resourceType)
		}
		tags, err := readTags(spec)
		if err != nil {
			return nil, err
		}
		if len(tags) == 0 {
			return nil, errorf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		all[resourceType] = tags
	}
	return all, nil
}

// taggable finds the resource that a tag call names, by its prefix.
func (r *request) taggable(id string) (resource, *Error) {
	wrap := func(found resource, err *Error) (resource, *Error) {
		if err != nil {
			return nil, err
		}
		return found, nil
	}
	switch {
	case strings.HasPrefix(id, imageKind.prefix):
		return wrap(r.region.images.one(id))
	case strings.HasPrefix(id, snapshotKind.prefix):
		return wrap(r.region.snapshots.one(id))
	case strings.HasPrefix(id, volumeKind.prefix):
		return wrap(r.region.volumes.one(id))
	case strings.HasPrefix(id, instanceKind.prefix):
		return wrap(r.region.instances.one(id))
	}
	return nil, errorf("InvalidID", "The ID '%s' is not valid", id)
}

// tagged finds all resources of a tag call before any of them is changed.
func (r *request) tagged() ([]resource, *Error) {
	var all []resource
	for _, id := range r.params.list("ResourceId") {
		found, err := r.taggable(id)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}

func createTags(r *request) (reply, *Error) {
	tags, err := readTags(r.params)
	if err != nil {
		return nil, err
	}
	rows, err := r.tagged()
	if err != nil {
		return nil, err
	}
	for _, found := range rows {
		merged := maps.Clone(found.tags())
		maps.Copy(merged, tags)
		maps.DeleteFunc(merged, func(key, _ string) bool { return strings.HasPrefix(key, "aws:") })
		if len(merged) > maxTags {
			return nil, errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached: %s", found.key())
		}
	}
	for _, found := range rows {
		maps.Copy(found.tags(), tags)
	}
	return done(), nil
}

// deleteTags deletes tags by key, or by key and value if one is given; without
// any it deletes all tags of the user.
func deleteTags(r *request) (reply, *Error) {
	rows, err := r.tagged()
	if err != nil {
		return nil, err
	}
	wanted := r.params.structs("Tag")
	for _, found := range rows {
		maps.DeleteFunc(found.tags(), func(key, value string) bool {
			if strings.HasPrefix(key, "aws:") {
				return false
			}
			return len(wanted) == 0 || slices.ContainsFunc(wanted, func(t params) bool {
				return t.get("Key") == key && (!t.has("Value") || t.get("Value") == value)
			})
		})
	}
	return done(), nil
}

// tagRow is one tag of one resource, as DescribeTags lists them.
type tagRow struct {
	row
	resourceID, resourceType, tagKey, tagValue string
}

func (t *tagRow) key() string { return t.resourceID }

func (t *tagRow) property(name string) ([]string, bool) {
	switch name {
	case "resource-id":
		return []string{t.resourceID}, true
	case "resource-type":
		return []string{t.resourceType}, true
	case "key":
		return []string{t.tagKey}, true
	case "value":
		return []string{t.tagValue}, true
	}
	return nil, false
}

type tagDescriptionXML struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

type describeTagsAnswer struct {
	answer
	Tags      list[tagDescriptionXML] `xml:"tagSet"`
	NextToken string                  `xml:"nextToken,omitempty"`
}

func describeTags(r *request) (reply, *Error) {
	all := table[*tagRow]{blank: &tagRow{}}
	collect := func(k kind, found resource) {
		for _, key := range slices.Sorted(maps.Keys(found.tags())) {
			all.add(&tagRow{
				row:        row{seq: len(all.rows), labels: map[string]string{key: found.tags()[key]}},
				resourceID: found.key(), resourceType: k.resource, tagKey: key, tagValue: found.tags()[key],
			})
		}
	}
	for _, x := range r.region.instances.rows {
		collect(instanceKind, x)
	}
	for _, x := range r.region.volumes.rows {
		collect(volumeKind, x)
	}
	for _, x := range r.region.images.rows {
		collect(imageKind, x)
	}
	for _, x := range r.region.snapshots.rows {
		collect(snapshotKind, x)
	}
	rows, err := all.filtered(r.params, all.rows)
	if err != nil {
		return nil, err
	}
	rows, token, err := page(r, rows, (*tagRow).number, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeTagsAnswer{NextToken: token}
	for _, t := range rows {
		out.Tags.Items = append(out.Tags.Items, tagDescriptionXML{t.resourceID, t.resourceType, t.tagKey, t.tagValue})
	}
	return out, nil
}
