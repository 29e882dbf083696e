package enqueuer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// Queue Limit: new mail is told to come again; reports are not, else a full queue could
// not empty itself, before they have used the reserve up; and one with which its message
// goes never is.
func TestQueueLimit(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	s.settings.QueueLimit, s.settings.QueueReserve = 2, 3
	e := func() *mail.Envelope { return from(mail.SMTP, "127.0.0.1", "ann@here.example") }
	var first mail.ID
	for i := range 2 {
		if err := s.Admit(t.Context(), e()); err != nil {
			t.Fatalf("Admit with %d in the queue: %v", i, err)
		}
		id, err := s.submit(t, e())
		if err != nil {
			t.Fatal(err)
		}
		first = max(first, id)
	}
	refused(t, "Admit", s.Admit(t.Context(), e()), mail.Status{4, 3, 1})
	_, err := s.submit(t, e())
	refused(t, "Submit", err, mail.Status{4, 3, 1})
	beget := func(facts ...fact.Fact) error {
		_, err := s.Beget(t.Context(), from(mail.DSN, "", "bob@here.example"), strings.NewReader("\nreport\n"), func(mail.ID) (all []fact.Change) {
			for _, f := range facts {
				all = append(all, fact.Change{ID: first, Fact: f})
			}
			return all
		})
		return err
	}
	for n := range 3 {
		if err := beget(fact.Reported{Rcpts: []int{0}}); err != nil || s.kernel.Len() != 3+n {
			t.Errorf("Beget = %v, %d messages; want it taken", err, s.kernel.Len())
		}
	}
	refused(t, "Beget over the reserve", beget(fact.Reported{Rcpts: []int{0}}), mail.Status{4, 3, 1})
	if err := beget(fact.Reported{Rcpts: []int{0}}, fact.Gone{}); err != nil || s.kernel.Len() != 5 {
		t.Errorf("Beget in the place of its message = %v, %d messages; want it taken, and the other gone", err, s.kernel.Len())
	}
	if limit, reserve := s.counted("enqueuerRefusedQueueLimit"), s.counted("enqueuerRefusedQueueReserve"); limit != 2 || reserve != 1 {
		t.Errorf("counted are %d and %d refusals, want 2 and 1", limit, reserve)
	}
	s.settings.QueueLimit = 0
	if err := errors.Join(s.Admit(t.Context(), e()), beget()); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	log := s.log.String()
	if strings.Count(log, "no new mail is taken: the queue has reached its limit") != 1 ||
		strings.Count(log, "new mail is taken again: the queue is below its limit") != 1 {
		t.Errorf("want begin and end in the log: %s", log)
	}
}

// It is over some way below the limit: a queue that stays there does not fill the log.
func TestQueueLimitIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.QueueLimit = 40
		for s.kernel.Len() < 40 {
			if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
				t.Fatal(err)
			}
		}
		ctx := t.Context()
		for n := range 4 { // one goes, one comes
			if !s.Full(ctx) {
				t.Fatalf("it is not full with %d", s.kernel.Len())
			}
			if err := s.kernel.Gone(mail.ID(n + 1)); err != nil {
				t.Fatal(err)
			}
			if s.Full(ctx) {
				t.Fatalf("it is full with %d", s.kernel.Len())
			}
			if n == 3 {
				break
			}
			if _, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example")); err != nil {
				t.Fatal(err)
			}
		}
		if log := s.log.String(); strings.Count(log, "has reached its limit") != 1 || strings.Contains(log, "is below its limit") {
			t.Errorf("the log says more than that it was reached")
		}
		if err := errors.Join(s.kernel.Gone(10), s.kernel.Gone(11)); err != nil || s.Full(ctx) {
			t.Fatal(err)
		}
		if log := s.log.String(); strings.Count(log, "is below its limit") != 1 {
			t.Errorf("the log does not say that it is over with %d", s.kernel.Len())
		}
	})
}

// A queue at its limit, with more reports to write than its reserve takes, empties
// itself: nobody's report is lost, none comes twice, and none keeps another waiting.
func TestFullQueueEmptiesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.settings.QueueLimit, s.settings.QueueReserve = 10, 2
		s.away.closed = true
		delete(s.here.knows, "bob") // the second recipient of each fails, the third waits
		for n := range 10 {
			e := from(mail.SMTP, "127.0.0.1", "ann@here.example", "bob@here.example", "carl@away.example")
			e.ReturnPath = address(fmt.Sprintf("sender%d@away.example", n))
			if _, err := s.submit(t, e); err != nil {
				t.Fatal(err)
			}
		}
		stop := s.start(t)
		time.Sleep(10 * time.Minute)
		if n := s.kernel.Len(); n != 12 {
			t.Errorf("%d messages, want the limit and its reserve", n)
		}
		if log := s.log.String(); strings.Count(log, "reports wait: ") != 1 || strings.Count(log, "report generated") != 2 {
			t.Errorf("want two reports, and that others wait: %.2000s", log)
		}
		if n := s.counted("enqueuerRefusedQueueReserve"); n < 10 || n > 200 {
			t.Errorf("%d reports were refused in ten minutes: want one every few seconds", n)
		}
		_, err := s.submit(t, from(mail.SMTP, "127.0.0.1", "ann@here.example"))
		refused(t, "Submit", err, mail.Status{4, 3, 1})
		s.away.open()
		time.Sleep(3 * time.Hour)
		stop()
		if n := s.kernel.Len(); n != 0 {
			t.Errorf("%d messages are left", n)
		}
		got := map[string]int{}
		for _, line := range append(s.here.delivered(), s.away.delivered()...) {
			_, what, _ := strings.Cut(line, " ")
			got[what]++
		}
		for n := range 10 {
			if report := fmt.Sprintf("DSN sender%d@away.example", n); got[report] != 1 {
				t.Errorf("%s: %d, want 1", report, got[report])
			}
		}
		if got["SMTP ann@here.example"] != 10 || got["SMTP carl@away.example"] != 10 {
			t.Errorf("delivered %v", got)
		}
	})
}
