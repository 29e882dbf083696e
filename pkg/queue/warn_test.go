package queue

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// warn lets time come, and tells all senders who are to be told; it returns the ages of
// the warnings by message.
func warn(t testing.TB, s *State, now time.Time, slice int) map[mail.ID]time.Duration {
	t.Helper()
	for more := true; more; {
		_, more, _ = s.Late(slice, now)
	}
	told := map[mail.ID]time.Duration{}
	for {
		r, ok := s.TakeReport(now)
		if !ok {
			return told
		}
		if len(r.Waiting) > 0 {
			if told[r.ID] != 0 {
				t.Fatalf("[%d] is warned of twice at %v", r.ID, now)
			}
			told[r.ID] = r.Age
			s.Apply(r.ID, fact.Warned{DSN: 1, Rcpts: []int{r.Waiting[0].Rcpt}, Age: r.Age})
		}
		if r.Last {
			s.Apply(r.ID, fact.Gone{})
			continue
		}
		s.ReturnReport(r.ID, time.Time{})
	}
}

// The sender hears once for each age, of those that wait and of no other, with what has
// been the matter.
func TestWarnings(t *testing.T) {
	s := New()
	s.SetWarnings([]time.Duration{24 * time.Hour, 4 * time.Hour, 4 * time.Hour})
	add(s, 1, "a", "b", "c")
	s.Apply(1, fact.Settled{Rcpt: 0, At: epoch, Result: mail.Result{Action: mail.Relayed}})
	s.Apply(1, fact.Tried{Rcpt: 1, At: epoch, Attempts: 1, Result: mail.Result{Text: "busy"}})
	s.Delay(fact.Delay{Module: "SMTP", Queue: "c", At: epoch.Add(time.Hour), Attempts: 1, Until: epoch.Add(72 * time.Hour), Result: mail.Result{Text: "no route"}})

	found, more, again := s.Late(10, epoch.Add(3*time.Hour))
	if found || more || !again.Equal(epoch.Add(4*time.Hour)) {
		t.Fatalf("after 3 hours: Late = %v, %v, %v; want to come again after 4", found, more, again)
	}
	if found, _, _ = s.Late(10, epoch.Add(5*time.Hour)); !found {
		t.Fatal("after 5 hours nobody is to be warned")
	}
	r, ok := s.TakeReport(epoch.Add(5 * time.Hour))
	want := []Done{
		{Rcpt: 1, Key: Key{"SMTP", "b"}, Result: mail.Result{Text: "busy"}, Wanted: true},
		{Rcpt: 2, Key: Key{"SMTP", "c"}, Result: mail.Result{Text: "no route"}, Wanted: true, At: epoch.Add(time.Hour)},
	}
	if !ok || r.Age != 4*time.Hour || !reflect.DeepEqual(r.Waiting, want) || r.Last {
		t.Fatalf("TakeReport = %+v, want %+v", r, want)
	}
	s.ReturnReport(1, epoch.Add(6*time.Hour)) // it could not be written
	if told := warn(t, s, epoch.Add(6*time.Hour), 1); told[1] != 4*time.Hour {
		t.Errorf("told %v, want it tried again", told)
	}
	if told := warn(t, s, epoch.Add(23*time.Hour), 1); len(told) > 0 {
		t.Errorf("told %v a second time", told)
	}
	if told := warn(t, s, epoch.Add(25*time.Hour), 1); told[1] != 24*time.Hour {
		t.Errorf("told %v, want the second warning", told)
	}
	if told := warn(t, s, epoch.Add(1000*time.Hour), 1); len(told) > 0 {
		t.Errorf("told %v a third time", told)
	}
	s.SetWarnings([]time.Duration{48 * time.Hour})
	if told := warn(t, s, epoch.Add(1000*time.Hour), 1); told[1] != 48*time.Hour {
		t.Errorf("told %v, want that of the new setting", told)
	}
}

// What is held for damage, or has nobody to tell, is not warned of; nor what nobody wants
// to hear. What comes while the Dequeuer has the message in hand is not lost.
func TestWhoIsNotWarned(t *testing.T) {
	s := New()
	s.SetWarnings([]time.Duration{time.Hour})
	s.Add(Message{ID: 1, Envelope: envelope(1), Hold: "damaged"})
	null := envelope(1)
	null.ReturnPath = mail.Address{}
	s.Add(Message{ID: 2, Envelope: null})
	never := envelope(2)
	never.Recipients[0].Notify, never.Recipients[1].Notify = mail.NotifyNever, mail.NotifyFailure|mail.NotifySuccess
	s.Add(Message{ID: 3, Envelope: never})
	for id := mail.ID(1); id <= 3; id++ {
		s.Apply(id, fact.Routed{Module: "SMTP", Queue: "a"})
	}
	add(s, 4, "a", "b")
	failed(s, 4, 1, epoch)
	s.ReportingDelay = 0
	if r, ok := s.TakeReport(epoch.Add(30 * time.Minute)); !ok || r.ID != 4 || len(r.Waiting) > 0 {
		t.Fatalf("TakeReport = %+v", r)
	}
	if found, _, _ := s.Late(10, epoch.Add(2*time.Hour)); !found {
		t.Fatal("message 4 is not found")
	}
	if r, ok := s.TakeReport(epoch.Add(2 * time.Hour)); ok {
		t.Fatalf("TakeReport = %+v; it is in the Dequeuer's hands", r)
	}
	s.Apply(4, fact.Reported{DSN: 9, Rcpts: []int{1}})
	s.ReturnReport(4, time.Time{})
	if told := warn(t, s, epoch.Add(2*time.Hour), 10); len(told) != 1 || told[4] != time.Hour {
		t.Errorf("told %v, want message 4", told)
	}
}

// Whatever comes in whatever order, at any time each sender has been told once of the
// greatest age that his message has reached, and of none twice; also after a restart.
func TestNobodyIsWarnedTwiceAndNobodyForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ages := []time.Duration{time.Hour, 4 * time.Hour, 24 * time.Hour}
		submitted, told := map[mail.ID]time.Time{}, map[mail.ID]time.Duration{}
		now := epoch
		open := func(shuffled []mail.ID) *State {
			s := New()
			s.SetWarnings(ages)
			for _, id := range shuffled {
				e := envelope(1)
				e.Submitted = submitted[id]
				s.Add(Message{ID: id, Envelope: e})
				s.Apply(id, fact.Routed{Module: "SMTP", Queue: "a"})
				if told[id] > 0 {
					s.Apply(id, fact.Warned{DSN: 1, Rcpts: []int{0}, Age: told[id]})
				}
				if rapid.Bool().Draw(t, "look between") {
					s.Late(1, now)
				}
			}
			return s
		}
		s := open(nil)
		next := mail.ID(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				next++
				e := envelope(1)
				e.Submitted, submitted[next] = now, now
				s.Add(Message{ID: next, Envelope: e})
				s.Apply(next, fact.Routed{Module: "SMTP", Queue: "a"})
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute)
			},
			"restart": func(t *rapid.T) {
				var all []mail.ID
				for id := range submitted {
					all = append(all, id)
				}
				rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				s = open(all)
			},
			"warn": func(t *rapid.T) {
				for id, age := range warn(&testing.T{}, s, now, rapid.IntRange(1, 3).Draw(t, "slice")) {
					if age <= told[id] {
						t.Fatalf("[%d] is warned of at the age of %v, after %v", id, age, told[id])
					}
					told[id] = age
				}
				for id, at := range submitted {
					want := time.Duration(0)
					for _, a := range ages {
						if now.Sub(at) >= a {
							want = a
						}
					}
					if told[id] != want {
						t.Fatalf("[%d], which is %v old, is warned of at %v, want %v", id, now.Sub(at), told[id], want)
					}
				}
			},
		})
	})
}
