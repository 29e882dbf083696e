package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/spool"
)

// edited is what a text is with edits, done the simple way.
func edited(text string, edits []fact.Edit) string {
	var b strings.Builder
	at := int64(0)
	for _, e := range edits {
		b.WriteString(text[at:e.At] + e.Text)
		at = e.At + e.Cut
	}
	return b.String() + text[at:]
}

// Who opens a text gets it with what the facts say of it: young, from its file, from a file
// that a start has found; while the file, and what a helper is lent, stay as submitted.
func TestOpenEdits(t *testing.T) {
	for _, size := range []int{10, 5000} { // in the journal, and received in a file
		text := "Received: x\nSubject: y\n\n" + strings.Repeat("a line of text\n", size/15)
		edits := []fact.Edit{{At: 12, Text: "X-Seen: yes\n"}, {At: 21, Cut: 1, Text: "[list] y"}}
		for _, first := range []bool{true, false} { // said with the message, or later
			d := crashdisk.New(-1)
			s := open(t, d, small)
			filtered := fact.Filtered{Edits: edits}
			var facts []fact.Fact
			if first {
				facts = append(facts, filtered)
			}
			draft, err := s.Draft(envelope())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := draft.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			n, err := draft.Commit(t.Context(), journal.Intake, nil, facts...)
			if err := errors.Join(err, s.Wait(n)); err != nil {
				t.Fatal(err)
			}
			same := func(state string) {
				t.Helper()
				if got, err := read(s, draft.ID); err != nil || got != edited(text, edits) {
					t.Errorf("%d bytes, %s: %v, %.60q…, want %.60q…", size, state, err, got, edited(text, edits))
				}
				name, back, err := s.Lend(draft.ID)
				if err != nil {
					t.Fatal(err)
				}
				if got := d.Files(".msg")[name]; !strings.HasSuffix(got, "\n\n"+text) {
					t.Errorf("%d bytes, %s: lent %.60q…, want the text as submitted", size, state, got)
				}
				back()
			}
			if !first {
				if n, err = s.Append(fact.Change{ID: draft.ID, Fact: filtered}); err != nil || s.Wait(n) != nil {
					t.Fatal(err)
				}
			}
			same("young")
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			same("in its file")
			if err := errors.Join(s.Empty(), s.Close()); err != nil {
				t.Fatal(err)
			}
			s, _ = found(t, d, small)
			same("after a start")
			s.Close()
		}
	}
}

// Any edits, any way of reading.
func TestEditedTextIsRead(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, spool.Options{})
	defer s.Close()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z\n]{0,40}`).Draw(t, "text")
		var edits []fact.Edit
		for at := int64(0); rapid.Bool().Draw(t, "more"); {
			at = rapid.Int64Range(at, int64(len(text))).Draw(t, "at")
			e := fact.Edit{At: at, Cut: rapid.Int64Range(0, int64(len(text))-at).Draw(t, "cut"), Text: rapid.StringMatching(`[A-Z]{0,5}`).Draw(t, "put")}
			edits, at = append(edits, e), at+e.Cut
		}
		draft, err := s.Draft(envelope())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := draft.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := draft.Commit(context.Background(), journal.Intake, nil, fact.Filtered{Edits: edits}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(draft.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		want := edited(text, edits)
		if n, err := r.Seek(0, io.SeekEnd); err != nil || n != int64(len(want)) || n-int64(len(text)) != (fact.Filtered{Edits: edits}).Growth() {
			t.Fatalf("it is %d long, %v; want %d", n, err, len(want))
		}
		at := rapid.IntRange(0, len(want)).Draw(t, "from")
		if _, err := r.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, rapid.IntRange(1, 9).Draw(t, "buffer"))
		var got []byte
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != want[at:] {
			t.Fatalf("%q with %v from %d = %q, want %q", text, edits, at, got, want[at:])
		}
	})
}

// Messages that are submitted together, and what that means for the one that they came of,
// are there together, or none of it is, wherever the power fails: those in the frame and
// those that were received in files.
func TestSubmittedTogether(t *testing.T) {
	submitAll := func(s *spool.Spool) (told bool, err error) {
		parent, err := submit(s, "parent", nil, "")
		if err != nil {
			return false, err
		}
		var all []spool.Submission
		for i, size := range []int{10, 3000, 500, 700, 20} {
			d, err := s.Draft(envelope())
			if err != nil {
				return false, err
			}
			defer d.Discard()
			if _, err := fmt.Fprint(d, "child ", i, strings.Repeat(".", size)); err != nil {
				return false, err
			}
			all = append(all, spool.Submission{Draft: d, Facts: []fact.Fact{fact.Freed{By: "routed"}}})
		}
		n, err := s.Submit(context.Background(), journal.Inside, []fact.Change{{ID: parent, Fact: fact.Freed{By: "children"}}}, all...)
		if err == nil {
			err = s.Wait(n)
		}
		if err != nil {
			return false, err
		}
		return true, s.Checkpoint()
	}
	for step := 0; ; step++ {
		d := crashdisk.New(step)
		told := false
		s, _, err := spool.Open(d, "Queue", small, discard())
		if err == nil {
			if told, err = submitAll(s); err == nil {
				break
			}
			s.Close()
		}
		for seed := range uint64(5) {
			s, living := found(t, d.Restart(rand.New(rand.NewPCG(seed, uint64(step)))), small)
			children, said := 0, false
			for _, id := range slices.Sorted(maps.Keys(living)) {
				text, err := read(s, id)
				if err != nil {
					t.Fatalf("step %d, %d: %v", step, seed, err)
				}
				if strings.HasPrefix(text, "child") {
					children++
				} else {
					said = len(living[id]) > 0
				}
			}
			if all := children == 5; children != 0 && !all || said != all || told && !all {
				t.Errorf("step %d, %d: %d of five children, the parent knows of them: %v, promised: %v", step, seed, children, said, told)
			}
			s.Close()
		}
	}
}

// A fact that changes more than there is of a text is damage: its message waits for a person.
func TestEditsBeyondTheText(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	id, err := submit(s, "text", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Append(fact.Change{ID: id, Fact: fact.Filtered{Edits: []fact.Edit{{At: 3, Cut: 9}}}})
	if err := errors.Join(err, s.Wait(n)); err != nil {
		t.Fatal(err)
	}
	if text, err := read(s, id); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("Open = %q, %v, want damage", text, err)
	}
	s.Close()
	s, rec, err := spool.Open(d, "Queue", small, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(rec.Messages) != 1 || rec.Messages[0].ID != id || rec.Messages[0].Hold == "" {
		t.Errorf("found %+v, want message %d held", rec.Messages, id)
	}
}
