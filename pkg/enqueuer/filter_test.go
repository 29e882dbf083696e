package enqueuer

import (
	"testing"

	"cgq/pkg/extfilter"
)

func TestChangedHeader(t *testing.T) {
	const head = "A: 1\nB: 2\n folded\na: 3\nA: 4\n\n"
	for _, tt := range []struct {
		change extfilter.Change
		want   string
	}{
		{extfilter.Change{Name: "B", Index: 1, Value: "x\n y"}, "A: 1\nB: x\n y\na: 3\nA: 4\n\n"},
		{extfilter.Change{Name: "A", Index: 2}, "A: 1\nB: 2\n folded\nA: 4\n\n"},
		{extfilter.Change{Name: "A", Index: -1}, "A: 1\nB: 2\n folded\na: 3\n\n"},
		{extfilter.Change{Name: "A", Index: -3, Value: "x"}, "A: x\nB: 2\n folded\na: 3\nA: 4\n\n"},
		{extfilter.Change{Name: "A", Index: 0}, "B: 2\n folded\n\n"},
		{extfilter.Change{Name: "A", Index: 0, Value: "x"}, "A: x\nB: 2\n folded\n\n"},
		{extfilter.Change{Name: "A", Index: 9}, head},
		{extfilter.Change{Name: "A", Index: 9, Value: "x"}, "A: 1\nB: 2\n folded\na: 3\nA: 4\nA: x\n\n"},
		{extfilter.Change{Name: "C", Index: 1, Value: "x"}, "A: 1\nB: 2\n folded\na: 3\nA: 4\nC: x\n\n"},
	} {
		if got := string(changed([]byte(head), []extfilter.Change{tt.change})); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.change, got, tt.want)
		}
	}
	// The numbers are those of the header as it was shown.
	removed := changed([]byte(head), []extfilter.Change{{Name: "A", Index: 1}, {Name: "A", Index: 2}, {Name: "B", Index: 1, Value: "x"}, {Name: "C", Index: 1, Value: "y"}})
	if got := string(removed); got != "B: x\nA: 4\nC: y\n\n" {
		t.Errorf("several changes: %q", got)
	}
	if got := string(added([]byte("A: 1\n"), []string{"B: 2"})); got != "A: 1\nB: 2\n" {
		t.Errorf("a header without its end: %q", got)
	}
}
