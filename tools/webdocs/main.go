// The program webdocs makes .web-docs, which the integrations registry publishes, from the pages under docs.
//
//	docs/README.md                    the plugin's page
//	docs/provisioners/NAME.mdx        the page of a component, likewise docs/post-processors, docs/builders, docs/data-sources
//	.web-docs/metadata.hcl            written by hand; names every component that has a page, and no other
//
// A component's page begins with front matter, a blank line, "# Title" and a blank line; the registry shows a title of its own,
// so all of that is left out. A line "@include 'path'" is replaced by the file of that path under docs-partials. A relative link to
// another page leads to that page in the registry, one to another file to the file in the repository. Options that no page
// includes, and whatever else does not fit, are errors with their place: the registry would show the result without a word.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes .web-docs anew in the checkout root.
func run(root string) error {
	site, err := openSite(os.DirFS(root))
	if err != nil {
		return err
	}
	var errs []error
	pages := map[string]string{}
	for _, p := range site.pages {
		text, err := site.render(p)
		errs = append(errs, err)
		pages[p.target] = text
	}
	if err := errors.Join(append(errs, site.undocumented())...); err != nil {
		return err
	}
	return write(root, pages)
}
