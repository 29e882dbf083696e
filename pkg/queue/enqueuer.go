package queue

import (
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// Enqueuer is the module in whose host queue Incoming messages are that were accepted
// and not enqueued yet: nobody knows where they go. They are there without a fact that
// says so, and the first that routes a recipient takes him out.
const (
	Enqueuer = "ENQUEUER"
	Incoming = "incoming"
)

// Coming puts a recipient into the Enqueuer's queue. It never stands in the journal.
func Coming(rcpt int, a mail.Address) fact.Routed {
	return fact.Routed{Rcpt: rcpt, Module: Enqueuer, Queue: Incoming, Address: a}
}

// incoming says that a recipient is in the Enqueuer's queue.
func (r *recipient) incoming() bool {
	e := r.in()
	return e != nil && e.host.key.Module == Enqueuer
}

// route puts a recipient into a host queue that is in none, or in the Enqueuer's, from
// whose hands it goes.
func (s *State) route(m *message, r *recipient, f fact.Routed) {
	switch {
	case r.in() == nil:
	case !r.incoming() || f.Module == Enqueuer:
		return
	default:
		r.take(false)
		s.move(m, f)
		return
	}
	s.enter(m, f)
}

// filter notes that the Rules have been applied.
func (s *State) filter(m *message, f fact.Filtered) {
	if m.is(filtered) {
		return
	}
	m.mark(filtered, true)
	m.mark(skipping, f.Skip)
	m.size += f.Growth()
	for i := range m.rcpts {
		if e := m.rcpts[i].in(); e != nil && e.open > 0 && int(e.first()) == i { // each entry once
			e.host.bytes += f.Growth()
		}
	}
}
