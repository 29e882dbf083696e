package queue

import (
	"fmt"
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// The statuses of the chapter, word for word.
func TestStatuses(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	hour := epoch.Add(time.Hour)
	add(s, 1, "ready")
	add(s, 2, "delayed")
	s.Delay(fact.Delay{Module: "SMTP", Queue: "delayed", Attempts: 1, Until: hour, Result: mail.Result{Text: "no route"}})
	add(s, 3, "suspended")
	s.Apply(3, fact.Suspended{Module: "SMTP", Queue: "suspended", Attempts: 1, Until: hour, Result: mail.Result{Text: "greylisted"}})
	add(s, 4, "address")
	s.Apply(4, fact.Tried{Attempts: 1, Until: hour, Result: mail.Result{Text: "mailbox busy"}})
	add(s, 5, "processing")
	for k, _, ok := s.Take("SMTP", epoch); ok; k, _, ok = s.Take("SMTP", epoch) {
		if k.Queue == "processing" {
			s.Lease(k, epoch)
		}
	}
	for id, want := range map[mail.ID]string{1: "Ready", 2: "Delayed no route", 3: "Suspended greylisted",
		4: "Suspended mailbox busy", 5: "Processing"} {
		m, _ := s.Message(id, epoch)
		r := m.Recipients[0]
		got := r.Status.String()
		if r.LastError.Text != "" {
			got += " " + r.LastError.Text
		}
		if got != want {
			t.Errorf("message %d is %q, want %q", id, got, want)
		}
		if wait := r.Until.Equal(hour); wait != (id >= 2 && id <= 4) {
			t.Errorf("message %d: Retry In until %v", id, r.Until)
		}
	}
}

// The set listed is the set acted on, whatever is selected; and a list by slices
// has each message once.
func TestListedIsActedOn(t *testing.T) {
	s := New()
	s.SetLimits("SMTP", limits)
	for id := mail.ID(1); id <= 50; id++ {
		add(s, id, fmt.Sprint("q", id%3), fmt.Sprint("q", id%5))
	}
	s.Delay(fact.Delay{Module: "SMTP", Queue: "q0", Attempts: 1, Until: epoch.Add(time.Hour)})
	for _, sel := range []Selection{
		{All: true}, {Queues: []string{"q1"}}, {Queues: []string{"q1", "q4"}, Modules: []string{"SMTP"}},
		{Modules: []string{"LOCAL"}}, {IDs: []mail.ID{7, 3, 7, 99}}, {States: []Status{Delayed}},
		{States: []Status{Ready}, IDs: []mail.ID{3, 6, 10}},
	} {
		listed := map[Row]bool{}
		for after, more := mail.ID(0), true; more; {
			var views []MessageView
			views, after, more = s.Messages(sel, after, 7, epoch)
			for _, v := range views {
				for _, r := range v.Recipients {
					if listed[Row{v.ID, r.Index}] {
						t.Errorf("%+v: row %d/%d is listed twice", sel, v.ID, r.Index)
					}
					listed[Row{v.ID, r.Index}] = true
				}
			}
		}
		n := len(listed)
		for after, more := mail.ID(0), true; more; {
			var free []Row
			free, _, after, more = s.LeaseRows(sel, after, 7, epoch)
			for _, row := range free {
				if !listed[row] {
					t.Errorf("%+v: %v is acted on and not listed", sel, row)
				}
				delete(listed, row)
				defer s.ReturnRow(row)
			}
			for _, row := range free {
				s.ReturnRow(row)
			}
		}
		if len(listed) > 0 {
			t.Errorf("%+v: %d of %d rows are listed and not acted on", sel, len(listed), n)
		}
	}
}

func TestOlder(t *testing.T) {
	s := New()
	add(s, 1, "a", "a")
	late := envelope(1)
	late.Submitted = epoch.Add(time.Hour)
	s.Add(Message{ID: 2, Envelope: late})
	s.Apply(2, fact.Routed{Module: "SMTP", Queue: "a"})
	got := fmt.Sprint(s.Older(Key{"SMTP", "a"}, epoch.Add(time.Minute), 10))
	if want := "[{1 0} {1 1}]"; got != want {
		t.Errorf("Older = %s, want %s", got, want)
	}
}
