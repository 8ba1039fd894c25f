package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsimple"
)

const metadataPath = ".web-docs/metadata.hcl"

// kinds are the component types of metadata.hcl and their folders under docs.
var kinds = []struct{ kind, folder string }{
	{"builder", "builders"},
	{"data-source", "data-sources"},
	{"post-processor", "post-processors"},
	{"provisioner", "provisioners"},
}

// metadata is .web-docs/metadata.hcl, as the registry reads it.
type metadata struct {
	Integration struct {
		Name        string   `hcl:"name"`
		Description string   `hcl:"description"`
		Identifier  string   `hcl:"identifier"`
		Flags       []string `hcl:"flags,optional"`
		DocsOnly    bool     `hcl:"docs_only,optional"`
		Components  []struct {
			Type string `hcl:"type"`
			Name string `hcl:"name"`
			Slug string `hcl:"slug"`
		} `hcl:"component,block"`
	} `hcl:"integration,block"`
}

// A page is a text under docs and its place under .web-docs.
type page struct {
	source, target string
	link           string // in the registry
	component      bool
}

// A site is all pages and where they come from.
type site struct {
	files    fs.FS
	pages    []page
	included map[string]bool // the partials that pages have taken in
}

// openSite finds the pages and makes sure that they are those that metadata.hcl names.
func openSite(files fs.FS) (*site, error) {
	text, err := fs.ReadFile(files, metadataPath)
	if err != nil {
		return nil, fmt.Errorf("reading the site's metadata: %w", err)
	}
	var meta metadata
	if err := hclsimple.Decode(metadataPath, text, nil, &meta); err != nil {
		return nil, fmt.Errorf("reading the site's metadata: %w", err)
	}
	product, rest, _ := strings.Cut(meta.Integration.Identifier, "/")
	if product != "packer" || strings.Count(rest, "/") != 1 {
		return nil, fmt.Errorf("%s: the identifier is %q, want packer/ORGANIZATION/NAME", metadataPath, meta.Integration.Identifier)
	}
	base := "/packer/integrations/" + rest

	s := &site{
		files:    files,
		pages:    []page{{source: "docs/README.md", target: ".web-docs/README.md", link: base}},
		included: map[string]bool{},
	}
	var named, found []string
	for _, c := range meta.Integration.Components {
		named = append(named, c.Type+" "+c.Slug)
	}
	for _, k := range kinds {
		sources, err := fs.Glob(files, "docs/"+k.folder+"/*.mdx")
		if err != nil {
			return nil, fmt.Errorf("looking for pages: %w", err)
		}
		for _, source := range sources {
			slug := strings.TrimSuffix(path.Base(source), ".mdx")
			found = append(found, k.kind+" "+slug)
			place := "components/" + k.kind + "/" + slug
			s.pages = append(s.pages, page{
				source:    source,
				target:    ".web-docs/" + place + "/README.md",
				link:      base + "/latest/" + place,
				component: true,
			})
		}
	}
	var errs []error
	for _, c := range named {
		if !slices.Contains(found, c) {
			errs = append(errs, fmt.Errorf("%s: component %s has no page", metadataPath, c))
		}
	}
	for _, c := range found {
		if !slices.Contains(named, c) {
			errs = append(errs, fmt.Errorf("%s: does not name %s, which has a page", metadataPath, c))
		}
	}
	return s, errors.Join(errs...)
}

// undocumented finds options that no page tells of: partials with a struct's options that were not included.
func (s *site) undocumented() error {
	var errs []error
	err := fs.WalkDir(s.files, "docs-partials", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(file, "required.mdx") && !s.included[file] {
			errs = append(errs, fmt.Errorf("no page includes %s", file))
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// write replaces what .web-docs holds beside the files written by hand.
func write(root string, pages map[string]string) error {
	if err := os.RemoveAll(filepath.Join(root, ".web-docs", "components")); err != nil {
		return fmt.Errorf("removing old pages: %w", err)
	}
	for target, text := range pages {
		file := filepath.Join(root, filepath.FromSlash(target))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("making the folder of %s: %w", target, err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", target, err)
		}
	}
	return nil
}
