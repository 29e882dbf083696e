package queue

import (
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// What is rejected and of which nobody is told rests in the trash, whoever did not want to
// hear of it; it is not in the queue, not handed out, and its message stays.
func TestTrash(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*mail.Envelope)
		report bool
		trash  bool
	}{
		"with a report":              {func(*mail.Envelope) {}, true, false},
		"without":                    {func(*mail.Envelope) {}, false, true},
		"from a null return path":    {func(e *mail.Envelope) { e.ReturnPath = mail.Address{} }, true, true},
		"whose sender wants no word": {func(e *mail.Envelope) { e.Recipients[0].Notify = mail.NotifyNever }, true, true},
	} {
		s, env := New(), envelope(1)
		s.SetLimits("SMTP", limits)
		tt.change(env)
		s.Add(Message{ID: 1, Envelope: env, Size: 100})
		s.Apply(1, fact.Routed{Module: "SMTP", Queue: "a"})
		s.Apply(1, fact.Rejected{At: epoch, By: "ann", Report: tt.report, Text: "no", Act: 5})
		got := s.Trash()
		if in := len(got) == 1; in != tt.trash || in && got[0] != (BatchView{5, epoch, "ann", "no", 1, 1, 100}) {
			t.Errorf("%s: trash %+v", name, got)
		}
		if _, reported := s.TakeReport(epoch); reported == tt.trash {
			t.Errorf("%s: the Dequeuer has it: %v", name, reported)
		}
		if _, _, ok := s.Take("SMTP", epoch); ok || len(s.Hosts()) != 0 {
			t.Errorf("%s: it is in a host queue", name)
		}
		if want := map[bool]int{true: 0, false: 1}[tt.trash]; s.Len() != want {
			t.Errorf("%s: Len = %d, want %d", name, s.Len(), want)
		}
	}
}

// What is undone goes where it went before, with its attempts; what is purged is for the
// Dequeuer to end.
func TestUndoAndPurge(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	for id := mail.ID(1); id <= 2; id++ {
		s.Add(Message{ID: id, Envelope: envelope(2)})
		s.Apply(id, fact.Routed{Rcpt: 0, Module: "SMTP", Queue: "a", Address: mail.Address{Local: "other", Domain: "a"}})
		s.Apply(id, fact.Routed{Rcpt: 1, Module: "SMTP", Queue: "a"})
		s.Apply(id, fact.Tried{Rcpt: 0, Attempts: 3, Until: epoch.Add(time.Hour), Result: mail.Result{Text: "busy"}})
		s.Apply(id, fact.Rejected{Rcpt: 0, At: epoch, Act: uint64(id)})
		s.Apply(id, fact.Rejected{Rcpt: 1, At: epoch.Add(time.Minute), Act: uint64(id)})
	}
	if acts, next := s.Stale(epoch.Add(-time.Second)); acts != nil || !next.Equal(epoch) {
		t.Errorf("Stale = %v, %v; want none, and %v", acts, next, epoch)
	}
	if acts, next := s.Stale(epoch); len(acts) != 2 || !next.IsZero() {
		t.Errorf("Stale = %v, %v; want both", acts, next)
	}
	for _, row := range s.trashed(1) {
		s.Apply(row.ID, fact.Undone{Rcpt: row.Rcpt, Act: 1})
	}
	m, _ := s.Message(1, epoch)
	if len(m.Recipients) != 2 || m.Recipients[0].To.Local != "other" || m.Recipients[0].Attempts != 3 || m.Recipients[0].Status != Ready {
		t.Errorf("message 1 is %+v", m)
	}
	for _, row := range s.trashed(2) {
		s.Apply(row.ID, fact.Purged{Rcpt: row.Rcpt, Act: 2})
	}
	if r, ok := s.TakeReport(epoch); !ok || r.ID != 2 || !r.Last || r.Done[0].Wanted {
		t.Errorf("TakeReport = %+v, %v; want the end of message 2", r, ok)
	}
	if s.Len() != 2 || s.Trash() != nil {
		t.Errorf("Len = %d, trash %v", s.Len(), s.Trash())
	}
}

// A message some of which is in the trash is reported, and stays.
func TestReportBesideTrash(t *testing.T) {
	s := New()
	add(s, 1, "a", "a")
	s.Apply(1, fact.Rejected{Rcpt: 0, At: epoch, Act: 1})
	failed(s, 1, 1, epoch)
	r, ok := s.TakeReport(epoch)
	if !ok || r.Last || len(r.Done) != 1 || r.Done[0].Rcpt != 1 {
		t.Fatalf("TakeReport = %+v, %v; want that of recipient 1, and that it is not the last", r, ok)
	}
	s.Apply(1, fact.Reported{Rcpts: []int{1}})
	s.ReturnReport(1, time.Time{})
	if r, ok := s.TakeReport(epoch.Add(time.Hour)); ok {
		t.Errorf("it comes again: %+v", r)
	}
}

// trashed are all recipients that an act has put into the trash.
func (s *State) trashed(act uint64) (all []Row) {
	for after, more := mail.ID(0), true; more; {
		var some []Row
		some, after, more = s.Trashed(act, after, 1)
		all = append(all, some...)
	}
	return all
}
