// Package finding is the form in which the checks of texts (answer files,
// batch files) say what they found: what, where, how bad, and what to do.
package finding

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says what a finding means for the build.
type Severity uint8

// The severities, from the least to the worst.
const (
	// Info: worth knowing.
	Info Severity = iota
	// Warning: probably not what was meant; the build can go on.
	Warning
	// Error: Windows will refuse the text or ignore the part in question.
	Error
)

// String is the severity as a user reads it.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	default:
		return "error"
	}
}

// Finding is one thing that a check found in a text.
type Finding struct {
	// ID is stable and names the rule, for instance "duplicate-component".
	ID       string
	Severity Severity
	// File is the name that the text was given.
	File string
	// Line and Column count from 1, in characters; both are 0 when the
	// finding is about something that is missing.
	Line, Column int
	// Message says what was found. It never holds a secret.
	Message string
	// Remedy says what to do.
	Remedy string
}

// String is the finding on one line, in the form that editors understand.
func (f Finding) String() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	return fmt.Sprintf("%s: %s: %s (%s); %s", place, f.Severity, f.Message, f.ID, f.Remedy)
}

// Sort orders findings by their place in the text, what has no place last.
func Sort(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Worst is the highest severity among the findings; ok is false when there are none.
func Worst(fs []Finding) (worst Severity, ok bool) {
	for _, f := range fs {
		worst = max(worst, f.Severity)
	}
	return worst, len(fs) > 0
}
