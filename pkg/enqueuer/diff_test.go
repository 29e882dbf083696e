package enqueuer

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
)

func applied(text string, edits []fact.Edit) string {
	var b strings.Builder
	at := int64(0)
	for _, e := range edits {
		b.WriteString(text[at:e.At] + e.Text)
		at = e.At + e.Cut
	}
	return b.String() + text[at:]
}

func TestChanges(t *testing.T) {
	const head = "Received: a\n by b\nFrom: c\nSubject: d\n e\nTo: f\n\n"
	for _, tt := range []struct {
		name, is string
		edits    int
		added    int64 // bytes that stand in the edits
	}{
		{"nothing", head, 0, 0},
		{"a field in front", "X: y\n" + head, 1, 5},
		{"behind the first", strings.Replace(head, "From", "X: y\nZ: z\n w\nFrom", 1), 1, 13},
		{"at the end", strings.Replace(head, "f\n", "f\nX: y\n", 1), 1, 5},
		{"another Subject", strings.Replace(head, "d\n e", "[x] d\n e", 1), 1, 18},
		{"without one", strings.Replace(head, "From: c\n", "", 1), 1, 0},
		{"all of it", strings.Replace(strings.Replace(head, "From: c\n", "X: y\n", 1), "To: f\n", "To: f\nZ: z\n", 1), 2, 10},
		{"empty", "", 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edits := changes([]byte(head), []byte(tt.is))
			f := fact.Filtered{Edits: edits}
			n := int64(0)
			for _, e := range edits {
				n += int64(len(e.Text))
			}
			if got := applied(head, edits); got != tt.is || len(edits) != tt.edits || n != tt.added || !f.Fits(int64(len(head))) {
				t.Errorf("%v makes %q, want %q by %d edits with %d bytes", edits, got, tt.is, tt.edits, tt.added)
			}
		})
	}
}

func TestChangesOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was, is := rapid.StringMatching(`([ab]: c\n( d\n)?)*\n?`).Draw(t, "was"), rapid.StringMatching(`([ab]: c\n( d\n)?)*\n?`).Draw(t, "is")
		edits := changes([]byte(was), []byte(is))
		if got := applied(was, edits); got != is || !(fact.Filtered{Edits: edits}).Fits(int64(len(was))) {
			t.Fatalf("%q to %q: %v makes %q", was, is, edits, got)
		}
	})
}
