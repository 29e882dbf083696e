package queue

import (
	"container/heap"
	"slices"
	"time"

	"cgq/pkg/mail"
)

// A Report is a message whose results the Dequeuer shall look at.
type Report struct {
	ID       mail.ID
	Envelope *mail.Envelope
	Subject  string
	Size     int64
	Done     []Done // not reported yet
	Last     bool   // no recipient is left: the message may go

	// Waiting are recipients whose sender is to be warned that they wait, because the
	// message is older than Age.
	Waiting []Done
	Age     time.Duration
}

// A Done recipient has left its host queue, or waits for so long that it is to be told.
type Done struct {
	Rcpt   int
	To     mail.Address
	Key    Key         // zero: it never was in a host queue
	At     time.Time   // of the result; of one that waits, of the last attempt, if it is known
	Result mail.Result // of one that waits, the last error
	Wanted bool        // the sender is to be told
	Person bool        // a person has rejected it: the text is his
	Tries  int         // failed attempts before, of the message and its host queue too
	Until  time.Time   // of one that waits: when it fails, if it is not transferred before; zero: never
}

// reportLater puts a message, one of whose recipients is done, where the Dequeuer
// finds it: at once when it was the last, else after the Reporting Delay. As long as some
// are in the trash, none is the last.
func (s *State) reportLater(m *message, at instant) {
	if m.report == working || m.report == ready {
		return
	}
	unsaid := func() bool {
		return slices.ContainsFunc(m.rcpts, func(r recipient) bool { return r.is(wanted) && !r.is(reported) })
	}
	switch {
	case m.left == 0 && (m.trashed == 0 || unsaid()):
		s.reportNow(m)
	case m.left > 0 && m.report != waiting && unsaid():
		m.report = waiting
		heap.Push(&s.later, later{m, at + instant(s.ReportingDelay)})
	}
}

// reportNow puts a message where the Dequeuer finds it at once.
func (s *State) reportNow(m *message) {
	if m.index >= 0 {
		heap.Remove(&s.later, int(m.index))
	}
	m.report = ready
	s.now = append(s.now, m)
}

// TakeReport hands the next message to the Dequeuer, until ReturnReport.
func (s *State) TakeReport(now time.Time) (Report, bool) {
	var m *message
	for m == nil && len(s.now) > 0 {
		if s.now[0].report == ready {
			m = s.now[0]
		}
		s.now[0], s.now = nil, s.now[1:]
	}
	if m == nil {
		if len(s.later) == 0 || s.later[0].at > s.in(now) {
			return Report{}, false
		}
		m = heap.Pop(&s.later).(later).m
	}
	m.report = working
	m.mark(late, false)
	r := Report{ID: m.id, Size: m.size, Last: m.left == 0 && m.trashed == 0}
	r.Envelope, r.Subject = s.envelope(m)
	for i := range m.rcpts {
		if rc := &m.rcpts[i]; rc.is(done) && !rc.is(reported|trashed) {
			r.Done = append(r.Done, s.outcome(m, i, r.Envelope.Recipients[i].Address))
		}
	}
	r.Waiting, r.Age = s.toWarn(m, r.Envelope, now)
	return r, true
}

// outcome is what became of a recipient who was submitted as an address.
func (s *State) outcome(m *message, i int, submitted mail.Address) Done {
	r := &m.rcpts[i]
	d := Done{Rcpt: i, To: r.to(submitted), At: s.out(r.time), Wanted: r.is(wanted), Person: r.is(person)}
	if r.last != nil {
		d.Result = *r.last
	}
	if e := r.in(); e != nil {
		d.Key, d.Tries = e.host.key, r.tries()
	}
	return d
}

// Sent is what a message was sent with.
type Sent struct {
	*mail.Envelope
	Size int64
}

// Sent returns that of a message, or nil.
func (s *State) Sent(id mail.ID) *Sent {
	m := s.message(id)
	if m == nil {
		return nil
	}
	e, _ := s.envelope(m)
	return &Sent{e, m.size}
}

// ReturnReport takes a message back from the Dequeuer; again, if it could do
// nothing, is when it shall look once more.
func (s *State) ReturnReport(id mail.ID, again time.Time) {
	m := s.message(id)
	if m == nil {
		return
	}
	m.report = nowhere
	if !again.IsZero() {
		m.report = waiting
		heap.Push(&s.later, later{m, s.in(again)})
		return
	}
	if m.is(late) { // it has become so meanwhile
		s.reportNow(m)
		return
	}
	s.reportLater(m, m.unreported())
}

// ReportWake returns when TakeReport will next have something, if it is known.
func (s *State) ReportWake() (at time.Time, any bool) {
	if len(s.now) > 0 {
		return time.Time{}, true
	}
	if len(s.later) > 0 {
		return s.out(s.later[0].at), true
	}
	return time.Time{}, false
}

// Result returns what became of a recipient.
func (s *State) Result(id mail.ID, rcpt int) (Done, bool) {
	if m := s.message(id); m != nil {
		if r := m.rcpt(rcpt); r != nil && r.is(done) {
			return s.outcome(m, rcpt, s.submitted(m, rcpt).Address), true
		}
	}
	return Done{}, false
}
