package ec2

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The API model, as far as the checks need it.
type apiModel struct {
	Metadata struct {
		Protocol string `json:"protocol"`
	} `json:"metadata"`
	Operations map[string]struct {
		Input  *shapeRef `json:"input"`
		Output *struct {
			shapeRef
			ResultWrapper string `json:"resultWrapper"`
		} `json:"output"`
	} `json:"operations"`
	Shapes  map[string]apiShape  `json:"shapes"`
	Waiters map[string]apiWaiter `json:"waiters"`
}

type shapeRef struct {
	Shape        string `json:"shape"`
	LocationName string `json:"locationName"`
	QueryName    string `json:"queryName"`
}

type apiShape struct {
	Type     string              `json:"type"`
	Required []string            `json:"required"`
	Members  map[string]shapeRef `json:"members"`
	Member   shapeRef            `json:"member"`
	Enum     []string            `json:"enum"`
}

type apiWaiter struct {
	Operation   string        `json:"operation"`
	Delay       int           `json:"delay"`
	MaxAttempts int           `json:"maxAttempts"`
	Acceptors   []apiAcceptor `json:"acceptors"`
}

type apiAcceptor struct {
	State    string `json:"state"`
	Matcher  string `json:"matcher"`
	Argument string `json:"argument"`
	Expected any    `json:"expected"`
}

func loadModel(t *testing.T, name string) *apiModel {
	t.Helper()
	file, err := os.Open("testdata/model.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var models map[string]*apiModel
	if err := json.NewDecoder(unpacked).Decode(&models); err != nil {
		t.Fatal(err)
	}
	return models[name]
}

// newer are elements that EC2 has got since the model was published; the type
// of the newer SDK and its field vouch for them.
var newer = map[string]map[string]struct {
	in    reflect.Type
	field string
}{
	"Image": {
		"sourceImageId":     {reflect.TypeFor[types.Image](), "SourceImageId"},
		"sourceImageRegion": {reflect.TypeFor[types.Image](), "SourceImageRegion"},
	},
}

// sayings are values that the model's enumerations lack and EC2 sends.
var sayings = map[string][]string{"PlatformValues": {"windows"}}

// node is an element of an answer.
type node struct {
	XMLName  xml.Name
	Text     string `xml:",chardata"`
	Children []node `xml:",any"`
}

// reader checks an answer against the model and turns it into the values that
// a client would see.
type reader struct {
	model *apiModel
	wrong []string
}

func (r *reader) fault(path, format string, args ...any) {
	r.wrong = append(r.wrong, path+": "+fmt.Sprintf(format, args...))
}

// answer checks the whole answer of an action.
func (r *reader) answer(action string, body []byte) map[string]any {
	var root node
	if err := xml.Unmarshal(body, &root); err != nil {
		r.fault(action, "the answer is no XML: %v", err)
		return nil
	}
	if want := action + "Response"; root.XMLName.Local != want {
		r.fault(action, "the root is %s, want %s", root.XMLName.Local, want)
	}
	namespace := apiNamespace
	if r.model.Metadata.Protocol == "query" {
		namespace = stsNamespace
	}
	if root.XMLName.Space != namespace {
		r.fault(action, "the namespace is %s", root.XMLName.Space)
	}
	output := r.model.Operations[action].Output
	if r.model.Metadata.Protocol == "query" {
		if len(root.Children) != 2 || root.Children[0].XMLName.Local != output.ResultWrapper || root.Children[1].XMLName.Local != "ResponseMetadata" {
			r.fault(action, "the answer is not %s and ResponseMetadata", output.ResultWrapper)
			return nil
		}
		value, _ := r.value(action, root.Children[0], output.Shape).(map[string]any)
		return value
	}
	if len(root.Children) == 0 || root.Children[0].XMLName.Local != "requestId" || root.Children[0].Text == "" {
		r.fault(action, "the answer does not begin with a requestId")
		return nil
	}
	root.Children = root.Children[1:]
	if output == nil {
		if len(root.Children) != 1 || root.Children[0].XMLName.Local != "return" || root.Children[0].Text != "true" {
			r.fault(action, "the answer is not <return>true</return>")
		}
		return nil
	}
	value, _ := r.value(action, root, output.Shape).(map[string]any)
	return value
}

func (r *reader) value(path string, n node, shapeName string) any {
	shape := r.model.Shapes[shapeName]
	text := strings.TrimSpace(n.Text)
	if shape.Type == "structure" || shape.Type == "list" {
		if text != "" {
			r.fault(path, "text %q between elements", text)
		}
	} else if len(n.Children) > 0 {
		r.fault(path, "a %s has elements", shape.Type)
	}
	switch shape.Type {
	case "structure":
		return r.structure(path, n, shapeName, shape)
	case "list":
		name := shape.Member.LocationName
		if name == "" {
			name = "member"
		}
		values := []any{}
		for i, child := range n.Children {
			if child.XMLName.Local != name {
				r.fault(path, "the list has an element %s, want %s", child.XMLName.Local, name)
			}
			values = append(values, r.value(fmt.Sprintf("%s[%d]", path, i), child, shape.Member.Shape))
		}
		return values
	case "string":
		if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, n.Text) && !slices.Contains(sayings[shapeName], n.Text) {
			r.fault(path, "%q is none of the values of %s", n.Text, shapeName)
		}
		return n.Text
	case "integer", "long":
		number, err := strconv.ParseInt(n.Text, 10, 64)
		if err != nil {
			r.fault(path, "%q is no %s", n.Text, shape.Type)
		}
		return number
	case "boolean":
		if n.Text != "true" && n.Text != "false" {
			r.fault(path, "%q is no boolean", n.Text)
		}
		return n.Text == "true"
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, n.Text); err != nil || !strings.HasSuffix(n.Text, "Z") {
			r.fault(path, "%q is no timestamp", n.Text)
		}
		return n.Text
	case "blob":
		if _, err := base64.StdEncoding.DecodeString(n.Text); err != nil {
			r.fault(path, "%q is no base64", n.Text)
		}
		return n.Text
	}
	r.fault(path, "the shape %s of type %q is not checked", shapeName, shape.Type)
	return nil
}

func (r *reader) structure(path string, n node, shapeName string, shape apiShape) map[string]any {
	values := map[string]any{}
	seen := map[string]bool{}
	for _, child := range n.Children {
		name := child.XMLName.Local
		if seen[name] {
			r.fault(path, "the element %s comes twice", name)
		}
		seen[name] = true
		member, ref, ok := memberOf(shape, name)
		if !ok {
			if later, known := newer[shapeName][name]; known {
				if _, has := later.in.FieldByName(later.field); !has {
					r.fault(path, "the SDK has no field %s for %s", later.field, name)
				}
				continue
			}
			r.fault(path, "%s has no element %s", shapeName, name)
			continue
		}
		values[member] = r.value(path+"."+name, child, ref.Shape)
	}
	return values
}

func memberOf(shape apiShape, element string) (string, shapeRef, bool) {
	for name, ref := range shape.Members {
		if ref.LocationName == element || ref.LocationName == "" && name == element {
			return name, ref, true
		}
	}
	return "", shapeRef{}, false
}

// inputs returns the names of all parameters below a shape as the EC2 protocol
// writes them, with # for an index.
func (m *apiModel) inputs(shapeName, prefix string) []string {
	shape := m.Shapes[shapeName]
	switch shape.Type {
	case "structure":
		var all []string
		for name, ref := range shape.Members {
			switch {
			case ref.QueryName != "":
				name = ref.QueryName
			case ref.LocationName != "":
				name = strings.ToUpper(ref.LocationName[:1]) + ref.LocationName[1:]
			}
			all = append(all, m.inputs(ref.Shape, prefix+"."+name)...)
		}
		return all
	case "list":
		return m.inputs(shape.Member.Shape, prefix+".#")
	}
	return []string{strings.TrimPrefix(prefix, ".")}
}

// laterInputs are parameters that the operations have got since the model was
// published; the newer SDK sends them.
var laterInputs = map[string][]string{
	"CopyImage":       {"SnapshotCopyCompletionDurationMinutes"},
	"DeregisterImage": {"DeleteAssociatedSnapshots"},
}

func TestEveryParameterIsOneOfTheModel(t *testing.T) {
	model := loadModel(t, "ec2")
	for action, op := range operations() {
		described, ok := model.Operations[action]
		if !ok {
			t.Errorf("the model has no operation %s: make it again, see testdata/README.md", action)
			continue
		}
		inputs := append(model.inputs(described.Input.Shape, ""), laterInputs[action]...)
		for _, name := range op.params {
			if !slices.Contains(inputs, name) {
				t.Errorf("%s has no parameter %s", action, name)
			}
		}
		for _, name := range op.required {
			if !slices.ContainsFunc(op.params, func(p string) bool { return p == name || strings.HasPrefix(p, name+".") }) {
				t.Errorf("%s requires %s, which it does not have", action, name)
			}
		}
		for _, member := range model.Shapes[described.Input.Shape].Required {
			ref := model.Shapes[described.Input.Shape].Members[member]
			name := member
			if ref.LocationName != "" {
				name = strings.ToUpper(ref.LocationName[:1]) + ref.LocationName[1:]
			}
			if !slices.Contains(op.required, name) {
				t.Errorf("%s does not require %s", action, name)
			}
		}
	}
	for action := range model.Operations {
		if !slices.Contains(Actions(), action) {
			t.Errorf("the model has the operation %s, the server does not", action)
		}
	}
}
