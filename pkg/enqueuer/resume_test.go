package enqueuer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// queued submits a message to ann, bob and x@away.example, records facts, and lets the
// process die. Nothing was transferred.
func queued(t *testing.T, facts ...fact.Fact) (*site, mail.ID) {
	t.Helper()
	s := newSite(t, crashdisk.New(-1))
	e := from(mail.SMTP, "127.0.0.1", "ann@here.example", "bob@here.example", "x@away.example")
	id, err := s.submit(t, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facts {
		if _, err := s.spool.Append(fact.Change{ID: id, Fact: f}); err != nil {
			t.Fatal(err)
		}
	}
	s = s.dies(t)
	if len(s.found.Messages) != 1 || len(s.found.Damage) > 0 {
		t.Fatalf("found %+v", s.found)
	}
	return s, id
}

// resume is what a start does.
func (s *site) resume(t *testing.T) {
	t.Helper()
	for _, f := range s.found.Messages {
		s.Resume(t.Context(), f)
	}
}

// where are the host queues of a message, with its recipients.
func (s *site) where(id mail.ID) (all []string) {
	m, _ := s.kernel.Message(id)
	for _, r := range m.Recipients {
		all = append(all, r.Key.String()+r.To.String())
	}
	return all
}

func settled(rcpt int) fact.Settled {
	return fact.Settled{Rcpt: rcpt, At: time.UnixMilli(1700000000000), Result: mail.Result{Action: mail.Delivered, Text: "delivered"}}
}

// A start routes by today's table (SPOOL R4); what is done is not routed again, and is
// not transferred again.
func TestResumeRoutesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := queued(t, settled(0))
		s.away.relay = "relay.example"
		s.resume(t)
		want := []string{"LOCAL(bob@here.example)bob@here.example", "SMTP(relay.example)x@away.example"}
		if got := s.where(id); !slices.Equal(got, want) {
			t.Errorf("it waits in %v, want %v", got, want)
		}
		if slices.Contains(s.here.asked, "ann@here.example") {
			t.Errorf("asked for %v: one of them is done", s.here.asked)
		}
		s.run(t)
		if got := fmt.Sprint(s.here.delivered(), s.away.delivered()); got !=
			fmt.Sprintf("[%d SMTP bob@here.example] [%d SMTP x@away.example]", id, id) {
			t.Errorf("delivered %s", got)
		}
		if s.kernel.Len() != 0 {
			t.Errorf("%d messages are left", s.kernel.Len())
		}
	})
}

// An Account is gone since: its recipient fails, and the sender is told; one that is
// routed to NULL now is discarded.
func TestResumeOfWhatIsRefusedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := queued(t)
		delete(s.here.knows, "bob")
		s.resume(t)
		if got := s.where(id); !slices.Equal(got, []string{"LOCAL(ann@here.example)ann@here.example", "SMTP(away.example)x@away.example"}) {
			t.Errorf("it waits in %v, want it without bob", got)
		}
		s.run(t)
		want := fmt.Sprintf("[%d SMTP ann@here.example] [%d SMTP x@away.example", id, id)
		if got := fmt.Sprint(s.here.delivered(), s.away.delivered()); !strings.HasPrefix(got, want) ||
			!strings.HasSuffix(got, " DSN sender@away.example]") || len(s.away.delivered()) != 2 {
			t.Errorf("delivered %s, want both, and a report to the sender", got)
		}
		if s = s.dies(t); len(s.found.Messages) > 0 {
			t.Errorf("the next start finds %+v", s.found.Messages)
		}
	})
}

// What was said of attempts and delays before is true after a start, wherever it goes
// now.
func TestResumeKeepsDelays(t *testing.T) {
	till := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	later := mail.Result{Status: mail.Status{4, 2, 0}, Code: 450, Text: "later", MTA: "mx"}
	s, id := queued(t,
		fact.Tried{Rcpt: 2, At: till.Add(-2 * time.Hour), Attempts: 3, Until: till, Result: later},
		fact.Suspended{Module: "LOCAL", Queue: "ann@here.example", At: till.Add(-2 * time.Hour), Attempts: 2, Until: till, Result: later})
	s.away.relay = "relay.example"
	s.resume(t)
	m, _ := s.kernel.Message(id)
	if len(m.Recipients) != 3 {
		t.Fatalf("%d recipients, want three", len(m.Recipients))
	}
	ann, bob, x := m.Recipients[0], m.Recipients[1], m.Recipients[2]
	if ann.Status != queue.Suspended || !ann.Until.Equal(till) || ann.Attempts != 2 || ann.LastError != later {
		t.Errorf("ann: %+v, want suspended till %v after two attempts", ann, till)
	}
	if bob.Status != queue.Ready || bob.Attempts != 0 {
		t.Errorf("bob: %+v, want ready", bob)
	}
	if x.Status != queue.Suspended || !x.Until.Equal(till) || x.Attempts != 3 || x.LastError != later || x.Key.Queue != "relay.example" {
		t.Errorf("x: %+v, want suspended till %v after three attempts", x, till)
	}
}

// Nobody knows just now where it goes: it goes where it went.
func TestResumeWhenRoutingFails(t *testing.T) {
	s, id := queued(t)
	s.here.fault = errors.New("the directory cannot be read")
	s.resume(t)
	want := []string{"LOCAL(ann@here.example)ann@here.example", "LOCAL(bob@here.example)bob@here.example", "SMTP(away.example)x@away.example"}
	if got := s.where(id); !slices.Equal(got, want) {
		t.Errorf("it waits in %v, want %v", got, want)
	}
}

// The Enqueuer had not come to a recipient: it comes to him, as soon as it can, and nobody
// waits for that.
func TestResumeWithoutARoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := queued(t)
		s.here.fault = errors.New("the directory cannot be read")
		f := s.found.Messages[0]
		f.Facts = slices.DeleteFunc(f.Facts, func(v fact.Fact) bool { r, ok := v.(fact.Routed); return ok && r.Rcpt == 0 })
		s.Resume(t.Context(), f)
		want := []string{"ENQUEUER(incoming)ann@here.example", "LOCAL(bob@here.example)bob@here.example", "SMTP(away.example)x@away.example"}
		if got := s.where(id); !slices.Equal(got, want) {
			t.Errorf("it waits in %v, want %v", got, want)
		}
		stop := s.start(t)
		time.Sleep(time.Minute)
		if got := s.where(id); !slices.Equal(got, want[:1]) || !strings.Contains(s.log.String(), "the directory cannot be read") {
			t.Errorf("it waits in %v, want %v; the log: %s", got, want[:1], s.log.String())
		}
		s.here.mu.Lock()
		s.here.fault = nil
		s.here.mu.Unlock()
		time.Sleep(2 * time.Hour)
		stop()
		if got := fmt.Sprint(s.here.delivered()); !strings.Contains(got, "ann@here.example") || s.kernel.Len() != 0 {
			t.Errorf("delivered %s, %d are left", got, s.kernel.Len())
		}
	})
}

// A message whose facts are damaged is held: nothing of it moves, and nothing is said of
// it, before a person has looked.
func TestResumeKeepsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := queued(t)
		f := s.found.Messages[0]
		f.Hold = "facts before number 4 are lost"
		delete(s.here.knows, "bob") // it may have had the mail before that
		s.Resume(t.Context(), f)
		m, ok := s.kernel.Message(id)
		if !ok || m.Hold != f.Hold || len(m.Recipients) != 3 {
			t.Fatalf("the message is %+v, want it held with three recipients", m)
		}
		for _, r := range m.Recipients {
			if r.Status != queue.Held {
				t.Errorf("%s is %s, want Held", r.Address, r.Status)
			}
		}
		s.run(t)
		if s.kernel.Len() != 1 || len(s.here.delivered()) > 0 || len(s.away.delivered()) > 0 {
			t.Errorf("%d messages, delivered %v and %v; want nothing moved", s.kernel.Len(), s.here.got, s.away.got)
		}
	})
}

// All is said of a message but that it is gone: it goes, and nobody is told again.
func TestResumeOfWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := settled(1)
		failed.Result = mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Text: "no"}
		s, _ := queued(t, settled(0), failed, settled(2), fact.Reported{DSN: 99, Rcpts: []int{1}})
		s.resume(t)
		s.run(t)
		if s.kernel.Len() != 0 || len(s.here.delivered()) > 0 || len(s.away.delivered()) > 0 {
			t.Errorf("%d messages, delivered %v and %v; want it gone, silently", s.kernel.Len(), s.here.got, s.away.got)
		}
		if s = s.dies(t); len(s.found.Messages) > 0 {
			t.Errorf("the next start finds %+v", s.found.Messages)
		}
	})
}

// A module that finds out what became of a message is told that it may have had it.
func TestResumedIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, id := queued(t)
		s.resume(t)
		fresh, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		if err != nil {
			t.Fatal(err)
		}
		s.run(t)
		if !s.here.repeated[id] || !s.away.repeated[id] || s.here.repeated[fresh] {
			t.Errorf("repeated: %v and %v; want message %d, and not %d", s.here.repeated, s.away.repeated, id, fresh)
		}
	})
}
