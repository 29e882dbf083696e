package queue

import (
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// reroute puts a recipient into another host queue, where it waits for nothing.
func (s *State) reroute(m *message, f fact.Rerouted) {
	r := m.rcpt(f.Rcpt)
	if r == nil || r.is(done) {
		return
	}
	taken := r.is(leased)
	s.move(m, fact.Routed{Rcpt: f.Rcpt, Module: f.Module, Queue: f.Queue, Address: f.Address})
	r.take(taken)
}

// move takes a recipient out of its host queue, if it is in one, and puts it into
// another, in nobody's hands.
func (s *State) move(m *message, f fact.Routed) {
	r := &m.rcpts[f.Rcpt]
	if e := r.in(); e != nil {
		e.unlink(int32(f.Rcpt))
		s.unseat(e, r)
		if r.entry = nil; e.open == 0 && len(m.rcpts) == 1 {
			*e = entry{}
			r.entry = e // a lone message has room for one
		}
	}
	r.set(leased, false)
	r.time, r.attempts, r.last = 0, 0, nil
	s.enter(m, f)
}

// unlink takes a recipient out of the chain of an entry, which may be empty then.
func (e *entry) unlink(i int32) {
	rcpts := e.msg.rcpts
	if rcpts[i].next == i {
		e.tail = -1
		return
	}
	before := e.tail
	for rcpts[before].next != i {
		before = rcpts[before].next
	}
	rcpts[before].next = rcpts[i].next
	if e.tail == i {
		e.tail = before
	}
}

// Where is what the Router has to know of a recipient: the address as submitted, and
// where it goes now.
func (s *State) Where(row Row) (address, to mail.Address, k Key, ok bool) {
	m, r := s.waiting(row)
	if r == nil {
		return address, to, k, false
	}
	address = s.submitted(m, row.Rcpt).Address
	return address, r.to(address), r.entry.host.key, true
}
