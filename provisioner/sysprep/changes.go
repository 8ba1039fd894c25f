package sysprep

import (
	"slices"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// place has a file staged. difference says, a line for each, what changes in
// the one on the guest.
func (r *run) place(name, path string, data []byte, difference []string) {
	r.files = append(r.files, generalize.Staged{Name: name, Path: path, Data: data})
	if r.differences == nil {
		r.differences = make(map[string][]string)
	}
	r.differences[path] = difference
}

// expand replaces the guest's environment variables in a path.
func (r *run) expand(path string) string {
	return launchagent.Expand(path, r.facts.Identity.Folders)
}

// isNew says that a file is not on the guest yet: a refused sealing deletes it.
func (r *run) isNew(file generalize.Staged) bool {
	return slices.ContainsFunc(r.sealPlan.Failed, func(act guest.Act) bool {
		return act.Act == guest.ActDelete && strings.EqualFold(act.Path, r.expand(file.Path))
	})
}

// sayChanges names what will be placed and set on the guest.
func (r *run) sayChanges() {
	if r.config.DryRun {
		return
	}
	for _, file := range r.files {
		doing := "Replacing"
		if r.isNew(file) {
			doing = "Adding"
		}
		r.say("%s the %s %s", doing, file.Name, r.expand(file.Path))
		if r.config.ShowChanges {
			r.sayDifference(file, "  ")
		}
	}
	for _, setting := range r.settings {
		r.say("Setting %s!%s to %s", setting.Path, setting.Name, valueText(setting.Value))
	}
}

// sayDifference says what changes in a file.
func (r *run) sayDifference(file generalize.Staged, indent string) {
	lines, told := r.differences[file.Path]
	switch {
	case told && len(lines) == 0:
		r.say("%snothing that matters differs from what is there", indent)
	default:
		for _, line := range lines {
			r.say("%s%s", indent, line)
		}
	}
}

// maxCompared bounds the table of a comparison of lines.
const maxCompared = 1 << 20

// lineChanges are the lines in which two scripts differ: "- " before what goes
// and "+ " before what comes. Line ends do not count.
func lineChanges(before, after []byte) []string {
	var out []string
	for _, line := range compared(before, after) {
		if !strings.HasPrefix(line, "  ") {
			out = append(out, line)
		}
	}
	return out
}

// settingChanges are the lines in which two setting files differ, each group
// of them below the line that stands before it, by which one knows the place.
func settingChanges(before, after []byte) []string {
	var out []string
	lines := compared(before, after)
	for i, line := range lines {
		switch {
		case !strings.HasPrefix(line, "  "):
			out = append(out, line)
		case i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "  "):
			out = append(out, line)
		}
	}
	return out
}

// compared are the lines of two texts, with "- " before what goes, "+ " before
// what comes, and two blanks before what stays.
func compared(before, after []byte) []string {
	a, b := scriptLines(before), scriptLines(after)
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	var out, tail []string
	for _, line := range a[:start] {
		out = append(out, "  "+line)
	}
	a, b = a[start:], b[start:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append(tail, "  "+a[len(a)-1])
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a)*len(b) <= maxCompared {
		same := commonLines(a, b)
		for len(a) > 0 && len(b) > 0 {
			i, j := len(same)-1-len(a), len(same[0])-1-len(b)
			switch {
			case a[0] == b[0]:
				out = append(out, "  "+a[0])
				a, b = a[1:], b[1:]
			case same[i+1][j] >= same[i][j+1]:
				out, a = append(out, "- "+a[0]), a[1:]
			default:
				out, b = append(out, "+ "+b[0]), b[1:]
			}
		}
	}
	for _, line := range a {
		out = append(out, "- "+line)
	}
	for _, line := range b {
		out = append(out, "+ "+line)
	}
	slices.Reverse(tail)
	return append(out, tail...)
}

// commonLines is how many lines the rests of a and b have in common, by where
// the rests begin.
func commonLines(a, b []string) [][]int {
	same := make([][]int, len(a)+1)
	for i := range same {
		same[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				same[i][j] = same[i+1][j+1] + 1
			} else {
				same[i][j] = max(same[i+1][j], same[i][j+1])
			}
		}
	}
	return same
}

func scriptLines(data []byte) []string {
	text := strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// valueText is a registry value for people.
func valueText(value guest.Value) string {
	switch {
	case !value.Exists:
		return "nothing"
	case value.Kind == guest.KindMultiString:
		return strings.Join(value.Texts, ", ")
	case strings.EqualFold(value.Kind, guest.KindString), strings.EqualFold(value.Kind, guest.KindExpandString):
		return `"` + value.Text + `"`
	}
	return value.Text
}
