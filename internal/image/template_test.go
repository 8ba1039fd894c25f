package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
)

func TestTheTemplateOfShapeC(t *testing.T) {
	template := Template{
		InstanceID: "i-0123456789abcdef0", Region: region, Profile: "images",
		RecordPath: `C:\Users\me\packer_cache\record.json`, JournalPath: "/cache/journal.json",
		Name: "windows-2022", Description: `say "${hello}" %{if}`,
		Tags: map[string]string{"team": "images", "a key": "b\nc"}, SnapshotTags: map[string]string{"keep": "yes"},
		CaptureUnproven: true, NotGeneralized: true, OwnCredentials: true,
	}
	path := filepath.Join("testdata", "resume.golden.pkr.hcl")
	if *update {
		if err := os.WriteFile(path, []byte(template.HCL()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), template.HCL()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheTemplateSaysWhatItWasGiven(t *testing.T) {
	for _, value := range []string{
		"plain", `C:\a\b`, `"quoted"`, "${injected}", "%{if true}", "$${", "tab\tline\nend\r", "ümlaut", "bell\a", "$", "%",
	} {
		if got := evaluate(t, Template{Name: value}.HCL()); got != value {
			t.Errorf("ami_name became %q, want %q", got, value)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`C:\${x} "y"`)
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ToValidUTF8(value, "?")
		if value == "" || strings.ContainsRune(value, 0) {
			return
		}
		if got := evaluate(t, Template{Name: value}.HCL()); normal(got) != normal(value) {
			t.Errorf("ami_name became %q, want %q", got, value)
		}
	})
}

// evaluate reads ami_name out of a template.
func evaluate(t *testing.T, text string) string {
	t.Helper()
	file, diags := hclparse.NewParser().ParseHCL([]byte(text), "resume.pkr.hcl")
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, text)
	}
	content, _, diags := file.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "build"}}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	content, _, diags = content.Blocks[0].Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "post-processor", LabelNames: []string{"type"}}}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	attributes, diags := content.Blocks[0].Body.JustAttributes()
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	value, diags := attributes["ami_name"].Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return value.AsString()
}

// normal is the text as HCL gives it back, which normalizes Unicode.
func normal(text string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7f {
			return -1
		}
		return r
	}, text)
}
