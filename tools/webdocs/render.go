package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// repository is where a link leads that leads to no page of the site.
const repository = "https://github.com/golden-ami/packer-plugin-ec2-sysprep/blob/main/"

var (
	includeLine = regexp.MustCompile(`^@include '([^']+)'\s*$`)
	// markerLine is what struct-markdown writes around its text.
	markerLine = regexp.MustCompile(`^<!-- (End of code|Code) generated .* -->\s*$`)
	inlineLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	scheme     = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// A lines is a text cut in lines, with the place where each was written.
type lines []line

type line struct {
	text, file string
	number     int
}

// errorf names the line's place.
func (l line) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", l.file, l.number, fmt.Errorf(format, args...))
}

func (s *site) read(file string) (lines, error) {
	text, err := fs.ReadFile(s.files, file)
	if err != nil {
		return nil, err
	}
	var all lines
	for text := range strings.Lines(string(text)) {
		all = append(all, line{strings.TrimRight(text, "\r\n"), file, len(all) + 1})
	}
	return all, nil
}

// render makes a page's text; its error holds everything that is wrong with the page.
func (s *site) render(p page) (string, error) {
	all, err := s.read(p.source)
	if err != nil {
		return "", err
	}
	if p.component {
		if all, err = body(all); err != nil {
			return "", err
		}
	}
	var out strings.Builder
	var errs []error
	included, err := s.include(all)
	errs = append(errs, err)
	fence := ""
	for _, l := range included {
		if mark := fenceOf(l.text); mark != "" && (fence == "" || fence == mark) {
			if fence == "" {
				fence = mark
			} else {
				fence = ""
			}
		} else if fence == "" {
			l.text, err = s.links(l)
			errs = append(errs, err)
		}
		out.WriteString(l.text)
		out.WriteByte('\n')
	}
	if fence != "" {
		errs = append(errs, fmt.Errorf("%s: a block of code does not end", p.source))
	}
	return strings.TrimRight(out.String(), "\n") + "\n", errors.Join(errs...)
}

// body leaves out the front matter and the title of a component's page.
func body(all lines) (lines, error) {
	end := -1
	for i, l := range all {
		if i > 0 && l.text == "---" {
			end = i
			break
		}
	}
	if len(all) == 0 || all[0].text != "---" || end < 0 {
		return nil, errors.New(all.name() + ": a component's page begins with front matter between two lines of ---")
	}
	for _, key := range []string{"description:", "page_title:", "nav_title:"} {
		if !all[1:end].have(key) {
			return nil, all[0].errorf("the front matter has no %s", strings.TrimSuffix(key, ":"))
		}
	}
	rest := all[end+1:]
	if len(rest) < 4 || rest[0].text != "" || !strings.HasPrefix(rest[1].text, "# ") || rest[2].text != "" {
		return nil, all[end].errorf("the front matter is followed by a blank line, a line \"# Title\", a blank line and text")
	}
	return rest[3:], nil
}

func (ls lines) name() string {
	if len(ls) == 0 {
		return "an empty page"
	}
	return ls[0].file
}

func (ls lines) have(prefix string) bool {
	for _, l := range ls {
		if strings.HasPrefix(l.text, prefix) {
			return true
		}
	}
	return false
}

// include puts the partials in their places, without the marks of the program that made them.
func (s *site) include(all lines) (lines, error) {
	var out lines
	var errs []error
	for _, l := range all {
		if !strings.HasPrefix(l.text, "@include") {
			out = append(out, l)
			continue
		}
		match := includeLine.FindStringSubmatch(l.text)
		if match == nil {
			errs = append(errs, l.errorf("an include is written @include 'path', in single quotes"))
			continue
		}
		file := path.Join("docs-partials", match[1])
		partial, err := s.read(file)
		if err != nil {
			errs = append(errs, l.errorf("including: %w", err))
			continue
		}
		s.included[file] = true
		var kept lines
		for _, l := range partial {
			if !markerLine.MatchString(l.text) {
				kept = append(kept, l)
			}
		}
		out = append(out, kept.trimmed()...)
	}
	return out, errors.Join(errs...)
}

// trimmed leaves out blank lines at both ends.
func (ls lines) trimmed() lines {
	for len(ls) > 0 && strings.TrimSpace(ls[0].text) == "" {
		ls = ls[1:]
	}
	for len(ls) > 0 && strings.TrimSpace(ls[len(ls)-1].text) == "" {
		ls = ls[:len(ls)-1]
	}
	return ls
}

// fenceOf returns the mark that begins or ends a block of code, if the line is one.
func fenceOf(text string) string {
	text = strings.TrimSpace(text)
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(text, mark) {
			return mark
		}
	}
	return ""
}

// links makes the relative links of a line lead somewhere from the registry.
func (s *site) links(l line) (string, error) {
	var errs []error
	text := inlineLink.ReplaceAllStringFunc(l.text, func(match string) string {
		target := match[2 : len(match)-1]
		if scheme.MatchString(target) || strings.HasPrefix(target, "/") || strings.HasPrefix(target, "#") {
			return match
		}
		target, anchor, _ := strings.Cut(target, "#")
		if anchor != "" {
			anchor = "#" + anchor
		}
		file := path.Join(path.Dir(l.file), target)
		for _, p := range s.pages {
			if p.source == file {
				return "](" + p.link + anchor + ")"
			}
		}
		if _, err := fs.Stat(s.files, file); err != nil {
			errs = append(errs, l.errorf("a link leads to %s, which is not there", target))
		}
		return "](" + repository + file + anchor + ")"
	})
	return text, errors.Join(errs...)
}
