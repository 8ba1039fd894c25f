package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	header = "---\ndescription: What it does.\npage_title: Thing - Provisioners\nnav_title: Thing\n---\n\n# Thing\n\n"
	meta   = `integration {
  name        = "Thing"
  description = "Does things."
  identifier  = "packer/org/thing"
  component {
    type = "provisioner"
    name = "Thing"
    slug = "thing"
  }
  component {
    type = "post-processor"
    name = "Thing AMI"
    slug = "thing-ami"
  }
}
`
)

// checkout is a checkout with the given files in place of its own; an empty text removes one.
func checkout(changes map[string]string) fstest.MapFS {
	files := map[string]string{
		".web-docs/metadata.hcl":             meta,
		"docs/README.md":                     "The plugin, see [the thing](provisioners/thing.mdx).\n",
		"docs/provisioners/thing.mdx":        header + "Text.\n",
		"docs/post-processors/thing-ami.mdx": header + "Text.\n",
		"docs/design.md":                     "How it works.\n",
		"docs-partials/p/Config.mdx": "<!-- Code generated from the comments of the Config struct in p/config.go; DO NOT EDIT MANUALLY -->\n\n" +
			"- `a` (string) - The a.\n\n<!-- End of code generated from the comments of the Config struct in p/config.go; -->\n",
	}
	for name, text := range changes {
		files[name] = text
	}
	out := fstest.MapFS{}
	for name, text := range files {
		if text != "" {
			out[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return out
}

func TestPages(t *testing.T) {
	tests := []struct {
		name, body, want string
	}{
		{"front matter and title are left out", "First.\n\nLast.\n", "First.\n\nLast.\n"},
		{"a partial takes its line's place without its marks", "## Options\n\n@include 'p/Config.mdx'\n\nLast.\n", "## Options\n\n- `a` (string) - The a.\n\nLast.\n"},
		{"a link to a page leads to the registry", "[x](../post-processors/thing-ami.mdx#options)\n", "[x](/packer/integrations/org/thing/latest/components/post-processor/thing-ami#options)\n"},
		{"a link to the plugin's page leads to the registry", "[x](../README.md)\n", "[x](/packer/integrations/org/thing)\n"},
		{"a link to another file leads to the repository", "[x](../design.md)\n", "[x](" + repository + "docs/design.md)\n"},
		{"absolute links and anchors stay", "[x](https://example.com/y.md) [y](#z) [z](/packer/docs)\n", "[x](https://example.com/y.md) [y](#z) [z](/packer/docs)\n"},
		{"code is no place for links", "```\n[x](nowhere.md)\n~~~\n```\n", "```\n[x](nowhere.md)\n~~~\n```\n"},
		{"line ends become line feeds", "One.\r\nTwo.\r\n\r\n", "One.\nTwo.\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := renderThing(checkout(map[string]string{"docs/provisioners/thing.mdx": header + tt.body}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesAreErrors(t *testing.T) {
	const thing = "docs/provisioners/thing.mdx"
	tests := []struct {
		name, file, text, want string
	}{
		{"no front matter", thing, "# Thing\n\nText.\n", "begins with front matter"},
		{"front matter that does not end", thing, "---\ndescription: x\n", "begins with front matter"},
		{"front matter without a description", thing, strings.Replace(header, "description", "note", 1) + "Text.\n", thing + ":1: the front matter has no description"},
		{"no blank line before the title", thing, strings.Replace(header, "\n\n# ", "\n# ", 1) + "Text.\n", "followed by a blank line"},
		{"no title", thing, strings.Replace(header, "# Thing\n\n", "", 1) + "Text.\n\nMore.\n", "followed by a blank line"},
		{"an include in double quotes", thing, header + "@include \"p/Config.mdx\"\n", thing + ":9: an include is written"},
		{"an include of nothing", thing, header + "\n@include 'p/Other.mdx'\n", thing + ":10: including"},
		{"options that no page includes", "docs-partials/q/Config-not-required.mdx", "- `b` (string) - The b.\n", "no page includes docs-partials/q/Config-not-required.mdx"},
		{"a link to nothing", thing, header + "[x](other.mdx)\n", thing + ":9: a link leads to other.mdx"},
		{"code that does not end", thing, header + "```hcl\n", "a block of code does not end"},
		{"a component without a page", "docs/post-processors/thing-ami.mdx", "", "component post-processor thing-ami has no page"},
		{"a page without a component", "docs/builders/other.mdx", header + "Text.\n", "does not name builder other"},
		{"an identifier of another form", metadataPath, strings.Replace(meta, "packer/org/thing", "org/thing", 1), "want packer/ORGANIZATION/NAME"},
		{"metadata that is no HCL", metadataPath, "integration {", "reading the site's metadata"},
		{"an attribute that the registry does not know", metadataPath, strings.Replace(meta, "name ", "title = \"x\"\nname ", 1), "Unsupported argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := renderThing(checkout(map[string]string{tt.file: tt.text}))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestRunReplacesOldPages(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, checkout(map[string]string{".web-docs/components/builder/gone/README.md": "Old.\n"})); err != nil {
		t.Fatal(err)
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(filepath.Join(root, ".web-docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(root, path)
			got = append(got, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".web-docs/README.md",
		".web-docs/components/post-processor/thing-ami/README.md",
		".web-docs/components/provisioner/thing/README.md",
		".web-docs/metadata.hcl",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// renderThing renders the provisioner's page.
func renderThing(files fs.FS) (string, error) {
	s, err := openSite(files)
	if err != nil {
		return "", err
	}
	for _, p := range s.pages {
		if strings.HasPrefix(p.source, "docs/provisioners/") {
			text, err := s.render(p)
			return text, errors.Join(err, s.undocumented())
		}
	}
	return "", fs.ErrNotExist
}
