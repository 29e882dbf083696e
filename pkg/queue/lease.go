package queue

import (
	"container/heap"
	"time"

	"cgq/pkg/mail"
)

// A Lease is one message of a host queue in the hands of a module, with those of
// its recipients that are due: they are Processing.
type Lease struct {
	Key
	ID       mail.ID
	Envelope *mail.Envelope
	Size     int64
	Repeated bool
	Filtered bool           // the server-wide Rules have been applied
	Skip     bool           // those of Accounts are not to be
	Rcpts    []int          // indices into the envelope
	To       []mail.Address // where they go
}

// Lease hands out the next message of a host queue.
func (s *State) Lease(k Key, now time.Time) (l Lease, ok bool) {
	h := s.hosts[k]
	at := s.in(now)
	if h == nil || h.until > at {
		return Lease{}, false
	}
	for len(h.waiting) > 0 && h.waiting[0].at <= at {
		e := heap.Pop(&h.waiting).(*entry)
		h.queue(e)
	}
	for e := h.pop(); e != nil; e = h.pop() {
		m := e.msg
		l = Lease{Key: k, ID: m.id, Size: m.size, Repeated: m.is(repeated), Filtered: m.is(filtered), Skip: m.is(skipping)}
		l.Envelope, _ = s.envelope(m)
		for i, r := range e.recipients {
			if !r.is(done|leased|held) && r.time <= at {
				r.take(true)
				l.Rcpts, l.To = append(l.Rcpts, i), append(l.To, r.to(l.Envelope.Recipients[i].Address))
			}
		}
		if len(l.Rcpts) > 0 {
			e.leased = true
			return l, true
		}
		s.settle(e)
	}
	return Lease{}, false
}

// to is where a recipient goes, who was submitted as an address.
func (r *recipient) to(submitted mail.Address) mail.Address {
	if r.routed != nil {
		return *r.routed
	}
	return submitted
}

// Return ends a lease. What is not done is due again when its delays are over. What has
// been routed meanwhile out of the Enqueuer's queue is not of the lease any more.
func (s *State) Return(l Lease) {
	m := s.message(l.ID)
	if m == nil {
		return
	}
	var e *entry
	for _, i := range l.Rcpts {
		r := &m.rcpts[i]
		if in := r.in(); in != nil && in.host.key == l.Key {
			e = in
		} else if in != nil {
			continue
		}
		r.take(false)
	}
	if e != nil {
		e.leased = false
		if e.open > 0 {
			s.settle(e)
		}
	}
}

// Pause keeps a message from its module for a while; it is no attempt, and a
// restart forgets it.
func (s *State) Pause(k Key, id mail.ID, until time.Time) {
	if m := s.message(id); m != nil {
		if e := m.entry(k); e != nil {
			e.until = s.in(until)
			s.settle(e)
		}
	}
}

// Attempts returns how many attempts have failed so far, of a recipient alone and
// of its message in its queue.
func (s *State) Attempts(id mail.ID, rcpt int) (own, message int) {
	m := s.message(id)
	if m == nil {
		return 0, 0
	}
	r := m.rcpt(rcpt)
	if r == nil || r.in() == nil {
		return 0, 0
	}
	return int(r.attempts), int(r.entry.attempts)
}
