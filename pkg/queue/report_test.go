package queue

import (
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

func failed(s *State, id mail.ID, rcpt int, at time.Time) {
	s.Apply(id, fact.Settled{Rcpt: rcpt, At: at, Result: mail.Result{Action: mail.Failed}})
}

// Chapter: Reporting Delay. A report waits for others of its message, but leaves at
// once after the last recipient.
func TestReportsWaitForOthersOfTheirMessage(t *testing.T) {
	s := New()
	s.ReportingDelay = time.Minute
	add(s, 1, "a", "b", "c")
	failed(s, 1, 0, epoch)
	if _, ok := s.TakeReport(epoch.Add(59 * time.Second)); ok {
		t.Error("reported before the Reporting Delay")
	}
	r, ok := s.TakeReport(epoch.Add(time.Minute))
	if !ok || len(r.Done) != 1 || !r.Done[0].Wanted || r.Last {
		t.Fatalf("TakeReport = %+v, %v; want one recipient, not the last", r, ok)
	}
	failed(s, 1, 1, epoch.Add(time.Minute)) // while the Dequeuer is at it
	s.Apply(1, fact.Reported{DSN: 9, Rcpts: []int{0}})
	s.ReturnReport(1, time.Time{})
	if at, any := s.ReportWake(); !any || !at.Equal(epoch.Add(2*time.Minute)) {
		t.Errorf("ReportWake = %v, %v; want a minute after the second failure", at, any)
	}
	s.Apply(1, fact.Settled{Rcpt: 2, At: epoch, Result: mail.Result{Action: mail.Relayed}})
	r, ok = s.TakeReport(epoch.Add(61 * time.Second))
	if !ok || len(r.Done) != 2 || !r.Last || r.Done[0].Rcpt != 1 || r.Done[1].Wanted {
		t.Errorf("TakeReport = %+v, %v; want the other two at once, the last not wanted", r, ok)
	}
}

func TestWhoWantsToHear(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*mail.Envelope)
		fact   fact.Fact
		want   bool
	}{
		{"failed", func(*mail.Envelope) {}, fact.Settled{Result: mail.Result{Action: mail.Failed}}, true},
		{"relayed", func(*mail.Envelope) {}, fact.Settled{Result: mail.Result{Action: mail.Relayed}}, false},
		{"discarded", func(*mail.Envelope) {}, fact.Settled{Result: mail.Result{Action: mail.Discarded}}, false},
		{"null return path", func(e *mail.Envelope) { e.ReturnPath = mail.Address{} }, fact.Settled{Result: mail.Result{Action: mail.Failed}}, false},
		{"NOTIFY=NEVER", func(e *mail.Envelope) { e.Recipients[0].Notify = mail.NotifyNever }, fact.Settled{Result: mail.Result{Action: mail.Failed}}, false},
		{"NOTIFY=DELAY", func(e *mail.Envelope) { e.Recipients[0].Notify = mail.NotifyDelay }, fact.Settled{Result: mail.Result{Action: mail.Failed}}, false},
		{"NOTIFY=FAILURE", func(e *mail.Envelope) { e.Recipients[0].Notify = mail.NotifyFailure }, fact.Settled{Result: mail.Result{Action: mail.Failed}}, true},
		{"rejected", func(*mail.Envelope) {}, fact.Rejected{Report: true}, true},
	} {
		s, env := New(), envelope(1)
		tt.change(env)
		s.Add(Message{ID: 1, Envelope: env})
		s.Apply(1, fact.Routed{Module: "SMTP", Queue: "a"})
		s.Apply(1, tt.fact)
		r, ok := s.TakeReport(epoch)
		if !ok || !r.Last || r.Done[0].Wanted != tt.want {
			t.Errorf("%s: %+v, %v; want wanted %v", tt.name, r, ok, tt.want)
		}
	}
}

// What could not be reported comes again, and nothing of it is lost.
func TestReportThatFailsComesAgain(t *testing.T) {
	s := New()
	add(s, 1, "a")
	failed(s, 1, 0, epoch)
	s.TakeReport(epoch)
	s.ReturnReport(1, epoch.Add(5*time.Second))
	if _, ok := s.TakeReport(epoch.Add(4 * time.Second)); ok {
		t.Error("too early")
	}
	r, ok := s.TakeReport(epoch.Add(5 * time.Second))
	if !ok || !r.Last || len(r.Done) != 1 {
		t.Errorf("TakeReport = %+v, %v", r, ok)
	}
	s.Apply(1, fact.Gone{})
	s.ReturnReport(1, epoch)
	if _, ok := s.TakeReport(epoch.Add(time.Hour)); ok {
		t.Error("a message that is gone is reported")
	}
}

// RFC 3461 §5.2: what the sender hears, by NOTIFY, what became of the recipient, and whether
// the next host reports itself. A null return path never hears anything (RFC 5321 §4.5.5).
func TestWhatIsWanted(t *testing.T) {
	never, failure, delay, success := mail.NotifyNever, mail.NotifyFailure, mail.NotifyDelay, mail.NotifySuccess
	results := []mail.Result{{Action: mail.Failed}, {Action: mail.Delayed}, {Action: mail.Delivered}, {Action: mail.Expanded},
		{Action: mail.Relayed}, {Action: mail.Relayed, Reports: true}, {Action: mail.Discarded}}
	for notify, want := range map[mail.Notify][7]bool{
		0:                         {true, true, false, false, false, false, false},
		never:                     {},
		failure:                   {true, false, false, false, false, false, false},
		delay:                     {false, true, false, false, false, false, false},
		success:                   {false, false, true, true, true, false, false},
		success | failure:         {true, false, true, true, true, false, false},
		success | delay:           {false, true, true, true, true, false, false},
		failure | delay:           {true, true, false, false, false, false, false},
		success | failure | delay: {true, true, true, true, true, false, false},
	} {
		for i, r := range results {
			for _, null := range []bool{false, true} {
				wanted := wants(notify, null, r)
				if wanted != (want[i] && !null) {
					t.Errorf("NOTIFY=%s, %s, reports %v, null return path %v: wanted %v, want %v", notify, r.Action, r.Reports, null, wanted, want[i] && !null)
				}
			}
		}
	}
}

// wants says whether the sender of a message is to be told of a result.
func wants(notify mail.Notify, null bool, r mail.Result) bool {
	s, e := New(), envelope(1)
	e.Recipients[0].Notify = notify
	if null {
		e.ReturnPath = mail.Address{}
	}
	s.SetWarnings([]time.Duration{time.Hour})
	s.Add(Message{ID: 1, Envelope: e})
	s.Apply(1, fact.Routed{Rcpt: 0, Module: "SMTP", Queue: "b.example"})
	if r.Final() {
		s.Apply(1, fact.Settled{Rcpt: 0, At: epoch, Result: r})
		d, ok := s.Result(1, 0)
		return ok && d.Wanted
	}
	s.Apply(1, fact.Tried{Rcpt: 0, At: epoch, Attempts: 1, Until: epoch.Add(3 * time.Hour), Result: r})
	s.Late(1, epoch.Add(2*time.Hour))
	report, ok := s.TakeReport(epoch.Add(2 * time.Hour))
	return ok && len(report.Waiting) == 1
}
