package spool

import (
	"log/slog"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

func accepted(t testing.TB, s *Spool, facts ...fact.Fact) mail.ID {
	t.Helper()
	d, err := s.Draft(&mail.Envelope{Source: mail.SMTP, Recipients: []mail.Recipient{{Address: mail.Address{Local: "r", Domain: "b.example"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), journal.Intake, nil, facts...); err != nil {
		t.Fatal(err)
	}
	return d.ID
}

// Whatever happens while the list is made, it shows the instant at which it was begun.
func TestListShowsOneInstant(t *testing.T) {
	s, _, err := Open(crashdisk.New(-1), "Queue", Options{Journal: journal.Options{SegmentSize: 256 << 10}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	freed := func(id mail.ID) fact.Change { return fact.Change{ID: id, Fact: fact.Freed{By: "act"}} }
	stays, acted, goes := accepted(t, s, fact.Freed{}), accepted(t, s), accepted(t, s)
	late, err := s.Draft(&mail.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	last := accepted(t, s)
	if _, err := s.Append(freed(acted), freed(last)); err != nil {
		t.Fatal(err)
	}
	l := s.begin()
	_, err1 := late.Commit(t.Context(), journal.Intake, []fact.Change{freed(acted)}) // with a lower id
	_, err2 := s.Append(freed(acted), freed(last), freed(late.ID))
	_, err3 := s.Append(fact.Change{ID: goes, Fact: fact.Gone{}})
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	s.fill(&l)
	want := []listed{{id: stays, facts: 1}, {id: acted, facts: 1}, {id: last, facts: 1}}
	if len(l.messages) != 3 || l.messages[0] != want[0] || l.messages[1] != want[1] || l.messages[2] != want[2] || l.total != 4 {
		t.Errorf("%+v of %d, want %+v", l.messages, l.total, want)
	}
	if s.cut != nil {
		t.Error("it still notes what changes")
	}
}

// The lock is held for a slice of the list: this is what all of it takes.
func BenchmarkList(b *testing.B) {
	s := &Spool{}
	for id := range mail.ID(1_000_000) {
		s.messages.put(id+1, &message{facts: 1})
	}
	b.ReportAllocs()
	for b.Loop() {
		if l := s.list(); len(l.messages) != 1_000_000 {
			b.Fatal(len(l.messages))
		}
	}
}
