package finding

import "testing"

func TestAFindingReadsLikeACompilersLine(t *testing.T) {
	f := Finding{ID: "duplicate-component", Severity: Error, File: "unattend.xml", Line: 3, Column: 5, Message: "m", Remedy: "r"}
	if got, want := f.String(), "unattend.xml:3:5: error: m (duplicate-component); r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Line, f.Column, f.Severity = 0, 0, Warning
	if got, want := f.String(), "unattend.xml: warning: m (duplicate-component); r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFindingsAreOrderedByPlaceAndWhatHasNoneComesLast(t *testing.T) {
	fs := []Finding{{ID: "none"}, {ID: "c", Line: 9, Column: 1}, {ID: "b", Line: 2, Column: 7}, {ID: "a", Line: 2, Column: 3}}
	Sort(fs)
	got := ""
	for _, f := range fs {
		got += f.ID + " "
	}
	if got != "a b c none " {
		t.Errorf("order is %s", got)
	}
}

func TestWorstIsTheHighestSeverity(t *testing.T) {
	if _, ok := Worst(nil); ok {
		t.Error("Worst of nothing is ok")
	}
	if w, ok := Worst([]Finding{{Severity: Info}, {Severity: Error}, {Severity: Warning}}); !ok || w.String() != "error" {
		t.Errorf("Worst = %v, %v", w, ok)
	}
	if w, _ := Worst([]Finding{{Severity: Info}}); w.String() != "info" {
		t.Errorf("Worst = %v", w)
	}
}
