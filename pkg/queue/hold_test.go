package queue

import (
	"fmt"
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// Those of one reason go, in slices, the others stay; what is done of them is reported.
func TestFree(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	s.ReportingDelay = time.Minute
	for id := mail.ID(1); id <= 5; id++ {
		s.Add(Message{ID: id, Envelope: envelope(3), Hold: map[bool]string{true: "torn", false: "restored"}[id == 3]})
		for i, q := range []string{"a", "a", "b"} {
			s.Apply(id, fact.Routed{Rcpt: i, Module: "SMTP", Queue: q})
		}
		failed(s, id, 0, epoch)
		s.Hush(id)
	}
	failed(s, 5, 1, epoch)
	failed(s, 5, 2, epoch)
	s.Hush(5)
	if r, ok := s.TakeReport(epoch.Add(time.Hour)); ok {
		t.Errorf("report of a held message: %+v", r)
	}
	if at, any := s.ReportWake(); any && !at.IsZero() {
		t.Errorf("the Dequeuer is wanted at %v", at)
	}
	held := 0
	for after, more := mail.ID(0), true; more; {
		var some []KeptView
		some, after, more = s.Kept(after, 2)
		held += len(some)
	}
	v, _ := s.Host(Key{"SMTP", "a"}, epoch)
	if held != 5 || v.Held != 4 || v.Status() != Held || v.Hold != "restored" {
		t.Errorf("%d held, queue %+v", held, v)
	}
	if _, _, ok := s.Take("SMTP", epoch); ok {
		t.Error("a queue whose messages are held wants a worker")
	}
	freed := 0
	for after, more := mail.ID(0), true; more; {
		var n int
		n, after, more = s.Free("restored", after, 2)
		freed += n
	}
	v, _ = s.Host(Key{"SMTP", "a"}, epoch)
	if freed != 4 || v.Held != 1 || v.Hold != "" {
		t.Errorf("%d freed, queue %+v; want 4, and one held", freed, v)
	}
	got := map[mail.ID]int{}
	for {
		k, _, ok := s.Take("SMTP", epoch)
		if !ok {
			break
		}
		for l, ok := s.Lease(k, epoch); ok; l, ok = s.Lease(k, epoch) {
			got[l.ID] += len(l.Rcpts)
			for _, i := range l.Rcpts {
				s.Apply(l.ID, fact.Settled{Rcpt: i, At: epoch, Result: mail.Result{Action: mail.Relayed}})
			}
			s.Return(l)
		}
		s.Release(k)
	}
	if len(got) != 3 || got[1] != 2 || got[2] != 2 || got[4] != 2 {
		t.Errorf("transferred %v, want two recipients of 1, 2 and 4", got)
	}
	reports := 0
	for r, ok := s.TakeReport(epoch); ok; r, ok = s.TakeReport(epoch) {
		if reports++; r.ID == 3 || !r.Last {
			t.Errorf("report %+v", r)
		}
	}
	if reports != 4 {
		t.Errorf("%d reports, want 4", reports)
	}
}

// What a person rejects while it is held is reported: he has looked.
func TestRejectOfWhatIsHeld(t *testing.T) {
	s := New()
	s.Add(Message{ID: 1, Envelope: envelope(1), Hold: "restored"})
	s.Apply(1, fact.Routed{Module: "SMTP", Queue: "a"})
	s.Hush(1)
	s.Apply(1, fact.Rejected{At: epoch, By: "root", Report: true, Text: "not wanted"})
	if r, ok := s.TakeReport(epoch); !ok || !r.Last || !r.Done[0].Person {
		t.Errorf("TakeReport = %+v, %v", r, ok)
	}
}

// A hold that lasts has what it finds and what comes later; one that does not, what it was
// said to have. Two that have the same let it go together.
func TestHolds(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	add(s, 1, "a", "b")
	add(s, 2, "b")
	s.Hold(Hold{Number: 7, Reason: "moving", Lasts: true, Selection: sel(t, selection.Terms{Queue: []string{"b"}})})
	s.Hold(Hold{Number: 8, Reason: "looking", Selection: sel(t, selection.Terms{Age: []string{">1h"}})})
	s.Apply(2, fact.Held{Rcpt: 0, Hold: 8})
	n, _, _, more := s.HoldSome(0, 10)
	add(s, 3, "b")
	if n != 1 || more {
		t.Errorf("HoldSome found %d more, %v; want that of message 1 alone", n, more)
	}
	why := func() (all string) {
		for id := mail.ID(1); id <= 3; id++ {
			m, _ := s.Message(id, epoch)
			for _, r := range m.Recipients {
				all += fmt.Sprintf("%d/%d %v %s, ", id, r.Index, r.Status, r.Hold)
			}
		}
		return all
	}
	if got, want := why(), "1/0 Ready , 1/1 Held moving, 2/0 Held moving, 3/0 Held moving, "; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if v, _ := s.Host(Key{"SMTP", "b"}, epoch); v.Held != 3 || v.Status() != Held || v.Hold != "moving" {
		t.Errorf("queue b is %+v", v)
	}
	counts := map[uint64]HeldCount{}
	s.CountHeld(0, 10, counts)
	if counts[7] != (HeldCount{3, 2, 2}) || counts[8] != (HeldCount{1, 0, 0}) {
		t.Errorf("counts %v, want 3, two of them alone, and 1", counts)
	}
	if k, _, ok := s.Take("SMTP", epoch); !ok || k.Queue != "a" {
		t.Errorf("Take = %v, %v; want a", k, ok)
	}
	if _, _, ok := s.Take("SMTP", epoch); ok {
		t.Error("a queue that is held wants a worker")
	}
	s.Unhold(7)
	if n, messages, _, _ := s.HoldSome(0, 10); n != 2 || messages != 2 {
		t.Errorf("%d go, want 2", n)
	}
	if got, want := why(), "1/0 Ready , 1/1 Ready , 2/0 Held looking, 3/0 Ready , "; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	s.Unhold(8)
	s.HoldSome(0, 10)
	if k, _, ok := s.Take("SMTP", epoch); !ok || k.Queue != "b" || len(s.holds.rows) != 0 {
		t.Errorf("Take = %v, %v; want b, and nothing remembered, not %v", k, ok, s.holds.rows)
	}
}
