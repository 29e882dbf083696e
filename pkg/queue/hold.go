package queue

import (
	"container/heap"
	"time"

	"cgq/pkg/mail"
)

// A HeldView is a message that is kept from everybody until a person has looked.
type HeldView struct {
	ID   mail.ID
	Hold string // why
}

// Held returns those that are held among the next limit messages behind an id; go on
// with last as long as there is more.
func (s *State) Held(after mail.ID, limit int) (held []HeldView, last mail.ID, more bool) {
	all, last, more := s.after(Selection{}, after, limit)
	for _, m := range all {
		if m.hold != "" {
			held = append(held, HeldView{m.id, m.hold})
		}
	}
	return held, last, more
}

// Unhold lets those go that are held for a reason, among the next limit messages
// behind an id, and says how many; go on with last as long as there is more. What is
// done of them is for the Dequeuer now.
func (s *State) Unhold(why string, after mail.ID, limit int) (n int, last mail.ID, more bool) {
	all, last, more := s.after(Selection{}, after, limit)
	for _, m := range all {
		if m.hold != "" && m.hold == why {
			s.unhold(m)
			n++
		}
	}
	return n, last, more
}

func (s *State) unhold(m *message) {
	m.hold = ""
	for i := range m.rcpts {
		e := m.rcpts[i].entry
		if e == nil || e.open == 0 || int(e.rcpts[0]) != i { // each entry once
			continue
		}
		e.host.held--
		s.settle(e)
	}
	if m.report == nowhere {
		s.reportLater(m, m.unreported())
	}
}

// Hush takes a message away from the Dequeuer: nothing that was done of it before now
// is reported as long as it is held.
func (s *State) Hush(id mail.ID) {
	m := s.messages[id]
	if m == nil || m.report == working {
		return
	}
	if m.index >= 0 {
		heap.Remove(&s.later, m.index)
	}
	m.report = nowhere // what still lies in now is passed over
}

// unreported is when the first result came that somebody waits for, or zero.
func (m *message) unreported() (at time.Time) {
	for i := range m.rcpts {
		if r := &m.rcpts[i]; r.wanted && !r.reported && (at.IsZero() || r.at.Before(at)) {
			at = r.at
		}
	}
	return at
}
