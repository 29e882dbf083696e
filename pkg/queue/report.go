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
}

// A Done recipient has left its host queue.
type Done struct {
	Rcpt   int
	To     mail.Address
	Key    Key // zero: it never was in a host queue
	At     time.Time
	Result mail.Result
	Wanted bool // the sender is to be told
	Person bool // a person has rejected it: the text is his
}

// reportLater puts a message, one of whose recipients is done, where the Dequeuer
// finds it: at once when it was the last, else after the Reporting Delay.
func (s *State) reportLater(m *message, at time.Time) {
	if m.report == working || m.report == ready {
		return
	}
	if m.left == 0 {
		if m.index >= 0 {
			heap.Remove(&s.later, m.index)
		}
		m.report = ready
		s.now = append(s.now, m)
		return
	}
	if m.report == waiting || !slices.ContainsFunc(m.rcpts, func(r recipient) bool { return r.wanted && !r.reported }) {
		return
	}
	m.reportAt, m.report = at.Add(s.ReportingDelay), waiting
	heap.Push(&s.later, m)
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
		if len(s.later) == 0 || s.later[0].reportAt.After(now) {
			return Report{}, false
		}
		m = heap.Pop(&s.later).(*message)
	}
	m.report = working
	r := Report{ID: m.id, Envelope: m.env, Subject: m.subject, Size: m.size, Last: m.left == 0}
	for i := range m.rcpts {
		if rc := &m.rcpts[i]; rc.done && !rc.reported {
			r.Done = append(r.Done, rc.view(i))
		}
	}
	return r, true
}

func (r *recipient) view(i int) Done {
	d := Done{Rcpt: i, To: r.to, At: r.at, Wanted: r.wanted, Person: r.person}
	if r.last != nil {
		d.Result = *r.last
	}
	if r.entry != nil {
		d.Key = r.entry.host.key
	}
	return d
}

// ReturnReport takes a message back from the Dequeuer; again, if it could do
// nothing, is when it shall look once more.
func (s *State) ReturnReport(id mail.ID, again time.Time) {
	m := s.messages[id]
	if m == nil {
		return
	}
	m.report = nowhere
	if !again.IsZero() {
		m.reportAt, m.report = again, waiting
		heap.Push(&s.later, m)
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
		return s.later[0].reportAt, true
	}
	return time.Time{}, false
}

// Result returns what became of a recipient.
func (s *State) Result(id mail.ID, rcpt int) (Done, bool) {
	if m := s.messages[id]; m != nil {
		if r := m.rcpt(rcpt); r != nil && r.done {
			return r.view(rcpt), true
		}
	}
	return Done{}, false
}
