package guest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// vector is one test of the protocol, as testdata/protocol/README.md describes it.
type vector struct {
	Name  string `json:"name"`
	Needs string `json:"needs"`
	// Given are calls that bring about the starting state; all must succeed.
	Given []json.RawMessage `json:"given"`
	// Ask are the calls of one request, Want their answers.
	Ask  []json.RawMessage `json:"ask"`
	Want []any             `json:"want"`
	// Follow is a Follow with the events that it must send.
	Follow *followVector `json:"follow"`
}

type followVector struct {
	Args json.RawMessage `json:"args"`
	// During are calls that another conversation puts after the first event.
	During []json.RawMessage `json:"during"`
	// Events are looked for one after the other; others may come between.
	Events []any `json:"events"`
	// Limit says that the Follow must end by its limit; otherwise it is
	// stopped once all events have come.
	Limit bool `json:"limit"`
}

// vectorFile is one file of vectors.
type vectorFile struct {
	name    string
	vectors []vector
}

func readVectors(t *testing.T) []vectorFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "protocol", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	sort.Strings(paths)
	var files []vectorFile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file := vectorFile{name: strings.TrimSuffix(filepath.Base(path), ".json")}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&file.vectors); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		files = append(files, file)
	}
	return files
}

// places are what the placeholders of one vector stand for.
type places struct {
	folder, separator, key, word string
}

func newPlaces(folder, separator string) places {
	var random [6]byte
	_, _ = rand.Read(random[:])
	word := "ec2-sysprep-conformance-" + hex.EncodeToString(random[:])
	return places{folder: folder + separator + word, separator: separator, key: `HKCU\Software\` + word, word: word}
}

var placeholder = regexp.MustCompile(`\{\{([a-z0-9-]+)(?:([ /\\])([^{}]*))?\}\}`)

// fill replaces the placeholders in a JSON text. What they stand for is
// escaped as JSON wants it inside a string.
func (p places) fill(text []byte) ([]byte, error) {
	var failure error
	out := placeholder.ReplaceAllFunc(text, func(found []byte) []byte {
		parts := placeholder.FindSubmatch(found)
		value, err := p.value(string(parts[1]), string(parts[3]))
		if err != nil {
			failure = fmt.Errorf("%s: %w", found, err)
		}
		quoted, _ := json.Marshal(value)
		return quoted[1 : len(quoted)-1]
	})
	return out, failure
}

func (p places) value(name, rest string) (string, error) {
	var text string
	if err := json.Unmarshal([]byte(`"`+rest+`"`), &text); err != nil {
		return "", err
	}
	switch name {
	case "folder":
		if text == "" {
			return p.folder, nil
		}
		return p.folder + p.separator + strings.ReplaceAll(text, "/", p.separator), nil
	case "key":
		if text == "" {
			return p.key, nil
		}
		return p.key + `\` + strings.ReplaceAll(text, "/", `\`), nil
	case "word":
		return p.word, nil
	case "base64":
		return base64.StdEncoding.EncodeToString([]byte(text)), nil
	case "sha256":
		return hash([]byte(text)), nil
	case "pattern", "pattern-sha256":
		n, err := strconv.Atoi(text)
		if err != nil {
			return "", err
		}
		data := pattern(n)
		if name == "pattern-sha256" {
			return hash(data), nil
		}
		return base64.StdEncoding.EncodeToString(data), nil
	}
	return "", fmt.Errorf("unknown placeholder %s", name)
}

// pattern returns n bytes that repeat only after a long while.
func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7919 >> 5)
	}
	return data
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// mismatch says where got differs from want, empty when it does not. got may
// hold more fields than want. In want "*" is anything that is there, "~EXPR" a
// text that the regular expression matches, "=NUMBER.." a number that is at
// least so large; false, 0, "" and [] are also met by a missing field, and
// {"any order": [...]} by a list with these entries, and others, in any order.
func mismatch(where string, want, got any) string {
	if empty(want) && empty(got) {
		return ""
	}
	switch want := want.(type) {
	case map[string]any:
		if entries, ok := want["any order"].([]any); ok && len(want) == 1 {
			return mismatchAnyOrder(where, entries, got)
		}
		object, ok := got.(map[string]any)
		if !ok {
			return differs(where, want, got)
		}
		for name, value := range want {
			if found := mismatch(where+"."+name, value, object[name]); found != "" {
				return found
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return differs(where, want, got)
		}
		for i := range want {
			if found := mismatch(fmt.Sprintf("%s[%d]", where, i), want[i], list[i]); found != "" {
				return found
			}
		}
		return ""
	case string:
		switch expression, isExpression := strings.CutPrefix(want, "~"); {
		case want == "*" && got != nil:
			return ""
		case isExpression:
			if text, ok := got.(string); ok && regexp.MustCompile("(?s)^(?:"+expression+")$").MatchString(text) {
				return ""
			}
			return differs(where, want, got)
		}
		if number, ok := strings.CutSuffix(want, ".."); ok && strings.HasPrefix(number, "=") {
			least, err := strconv.ParseFloat(number[1:], 64)
			if is, ok := got.(float64); ok && err == nil && is >= least {
				return ""
			}
			return differs(where, want, got)
		}
	}
	if want == got {
		return ""
	}
	return differs(where, want, got)
}

func mismatchAnyOrder(where string, entries []any, got any) string {
	list, ok := got.([]any)
	if !ok {
		return differs(where, entries, got)
	}
	taken := make([]bool, len(list))
next:
	for _, entry := range entries {
		for i, candidate := range list {
			if !taken[i] && mismatch(where, entry, candidate) == "" {
				taken[i] = true
				continue next
			}
		}
		return differs(where, entry, got)
	}
	return ""
}

func empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case bool:
		return !value
	case float64:
		return value == 0
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	}
	return false
}

func differs(where string, want, got any) string {
	wanted, found := inJSON(want), inJSON(got)
	const most = 400
	if len(found) > most {
		found = append(found[:most:most], "..."...)
	}
	return fmt.Sprintf("%s: want %s, got %s", where, wanted, found)
}

// inJSON shows a value of decoded JSON, which can always be encoded again.
func inJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func TestMismatch(t *testing.T) {
	for name, test := range map[string]struct {
		want, got string
		same      bool
	}{
		"a field that is not wanted does no harm":      {`{"a":1}`, `{"a":1,"b":2}`, true},
		"a wanted field must be there":                 {`{"a":1}`, `{"b":2}`, false},
		"false is met by nothing":                      {`{"a":false}`, `{}`, true},
		"false is not met by true":                     {`{"a":false}`, `{"a":true}`, false},
		"an empty list is met by null":                 {`{"a":[]}`, `{"a":null}`, true},
		"an empty list is not met by an object":        {`{"a":[]}`, `{"a":{}}`, false},
		"a list of one is not its entry":               {`{"a":["x"]}`, `{"a":"x"}`, false},
		"a list must have the same length":             {`[1]`, `[1,2]`, false},
		"a star is anything":                           {`{"a":"*"}`, `{"a":0}`, true},
		"a star is not nothing":                        {`{"a":"*"}`, `{}`, false},
		"an expression must match the whole text":      {`"~ab"`, `"abc"`, false},
		"a matching expression":                        {`"~[0-9]+"`, `"42"`, true},
		"a number that is large enough":                {`"=3.."`, `4`, true},
		"a number that is too small":                   {`"=3.."`, `2`, false},
		"entries in another order":                     {`{"any order":[1,2]}`, `[2,3,1]`, true},
		"an entry counts once":                         {`{"any order":[1,1]}`, `[1,2]`, false},
		"a text is compared with its case":             {`"A"`, `"a"`, false},
		"an error is no answer with the wanted fields": {`{"exists":true}`, `{"error":{"kind":"failed"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var want, got any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(test.got), &got); err != nil {
				t.Fatal(err)
			}
			if found := mismatch("", want, got); (found == "") != test.same {
				t.Errorf("mismatch %q, want none: %v", found, test.same)
			}
		})
	}
}
