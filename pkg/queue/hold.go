package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// A Hold keeps recipients from being transferred until a person takes it away, or its
// time is over. If it lasts it also holds what comes after it and matches; else what it
// matched when it was made, which [fact.Held] says.
type Hold struct {
	Number    uint64 // of the act that made it
	By        string
	Reason    string
	At        time.Time
	Until     time.Time // zero: nobody knows
	Lasts     bool
	Selection *selection.Selection // of one that lasts
	Where     string               // it in words
}

// holds are those of people.
type holds struct {
	all  []*Hold          // by number
	rows map[Row][]uint64 // recipients that holds have that do not last
}

// Hold adds a hold. What a lasting one finds in the queue comes with [State.HoldSome].
func (s *State) Hold(h Hold) {
	at, there := slices.BinarySearchFunc(s.holds.all, h.Number, func(h *Hold, n uint64) int { return cmp.Compare(h.Number, n) })
	if !there {
		s.holds.all = slices.Insert(s.holds.all, at, &h)
	}
}

// Holds returns the holds of people, by number.
func (s *State) Holds() []Hold {
	all := make([]Hold, len(s.holds.all))
	for i, h := range s.holds.all {
		all[i] = *h
	}
	return all
}

// holding says whether a hold has a recipient.
func (s *State) holding(m *message, i int) bool { return s.holder(m, i) != nil }

// holder is the first hold that has a recipient, or nil.
func (s *State) holder(m *message, i int) *Hold {
	if len(s.holds.all) == 0 {
		return nil
	}
	rows := s.holds.rows[Row{m.id, i}]
	for _, h := range s.holds.all {
		if s.has(h, m, i, rows) {
			return h
		}
	}
	return nil
}

// has says whether a hold has a recipient, whom rows have of the others.
func (s *State) has(h *Hold, m *message, i int, rows []uint64) bool {
	if !h.Lasts {
		return slices.Contains(rows, h.Number)
	}
	ok, err := s.matches(h.Selection, m, i, time.Time{})
	return ok || err != nil // too much waits rather than goes
}

// hold makes true that a hold that does not last has a recipient.
func (s *State) hold(m *message, f fact.Held) {
	r := m.rcpt(f.Rcpt)
	if r == nil || r.is(done) {
		return
	}
	row := Row{m.id, f.Rcpt}
	if !slices.Contains(s.holds.rows[row], f.Hold) {
		s.holds.rows[row] = append(s.holds.rows[row], f.Hold)
	}
	s.keep(m, f.Rcpt)
}

// keep looks anew whether a hold has a recipient, and says whether that has changed.
func (s *State) keep(m *message, i int) bool {
	s.prune(Row{m.id, i})
	r := &m.rcpts[i]
	e, is := r.in(), s.holding(m, i)
	if r.is(done) || e == nil || r.is(held) == is {
		return false
	}
	was := e.isHeld()
	if r.set(held, is); is {
		e.kept++
	} else {
		e.kept--
	}
	e.host.recount(e, was)
	s.settle(e)
	return true
}

// HoldSome looks anew whether holds have those among the next limit messages behind an
// id; go on with last as long as there is more. It comes after a hold was added or taken
// away, and says of how many recipients and messages that has changed something.
func (s *State) HoldSome(after mail.ID, limit int) (n, messages int, last mail.ID, more bool) {
	all, last, more := s.after(nil, after, limit)
	for _, m := range all {
		before := n
		for i := range m.rcpts {
			if s.keep(m, i) && !m.held {
				n++
			}
		}
		if n > before {
			messages++
		}
	}
	return n, messages, last, more
}

// A HeldCount is how many recipients a hold has.
type HeldCount struct {
	Recipients int
	Alone      int // of them, those that no other hold has, nor damage: they go when it is taken away
	Messages   int // that these are of
}

// CountHeld counts the recipients that each hold has, among the next limit messages behind
// an id; go on with last as long as there is more.
func (s *State) CountHeld(after mail.ID, limit int, counts map[uint64]HeldCount) (last mail.ID, more bool) {
	all, last, more := s.after(nil, after, limit)
	for _, m := range all {
		counted := uint64(0)
		for i := range m.rcpts {
			if !m.rcpts[i].is(held) {
				continue
			}
			holders := s.holders(m, i)
			for _, number := range holders {
				c := counts[number]
				if c.Recipients++; len(holders) == 1 && !m.held {
					if c.Alone++; counted != number {
						c.Messages, counted = c.Messages+1, number
					}
				}
				counts[number] = c
			}
		}
	}
	return last, more
}

// holders are the numbers of the holds that have a recipient.
func (s *State) holders(m *message, i int) (all []uint64) {
	rows := s.holds.rows[Row{m.id, i}]
	for _, h := range s.holds.all {
		if s.has(h, m, i, rows) {
			all = append(all, h.Number)
		}
	}
	return all
}

// Unhold takes the hold of a number away; its recipients go with [State.HoldSome].
func (s *State) Unhold(number uint64) {
	s.holds.all = slices.DeleteFunc(s.holds.all, func(h *Hold) bool { return h.Number == number })
}

// prune forgets of a recipient the holds that are not there any more.
func (s *State) prune(row Row) {
	rows := s.holds.rows[row]
	if rows == nil {
		return
	}
	rows = slices.DeleteFunc(rows, func(n uint64) bool {
		return !slices.ContainsFunc(s.holds.all, func(h *Hold) bool { return h.Number == n })
	})
	if s.holds.rows[row] = rows; len(rows) == 0 {
		delete(s.holds.rows, row)
	}
}

// why is the reason why a recipient is held, or empty.
func (s *State) why(m *message, i int) string {
	if m.held {
		return s.reasons[m.id]
	}
	if !m.rcpts[i].is(held) {
		return ""
	}
	if h := s.holder(m, i); h != nil {
		return h.Reason
	}
	return ""
}

// A KeptView is a message that is kept from everybody until a person has looked: it is
// damaged, or from a backup.
type KeptView struct {
	ID     mail.ID
	Reason string
}

// Kept returns those that are kept among the next limit messages behind an id; go
// on with last as long as there is more.
func (s *State) Kept(after mail.ID, limit int) (kept []KeptView, last mail.ID, more bool) {
	all, last, more := s.after(nil, after, limit)
	for _, m := range all {
		if m.held {
			kept = append(kept, KeptView{m.id, s.reasons[m.id]})
		}
	}
	return kept, last, more
}

// Reason is why a message is kept, or empty.
func (s *State) Reason(id mail.ID) string { return s.reasons[id] }

// Free lets those go that are kept for a reason, among the next limit messages
// behind an id, and says how many; go on with last as long as there is more. What is
// done of them is for the Dequeuer now.
func (s *State) Free(why string, after mail.ID, limit int) (n int, last mail.ID, more bool) {
	all, last, more := s.after(nil, after, limit)
	for _, m := range all {
		if m.held && s.reasons[m.id] == why {
			s.free(m)
			n++
		}
	}
	return n, last, more
}

func (s *State) free(m *message) {
	for i := range m.rcpts {
		e := m.rcpts[i].in()
		if e == nil || e.open == 0 || int(e.first()) != i { // each entry once
			continue
		}
		m.held = true
		was := e.isHeld()
		m.held = false
		e.host.recount(e, was)
		s.settle(e)
	}
	m.held = false
	delete(s.reasons, m.id)
	if m.report == nowhere {
		s.reportLater(m, m.unreported())
	}
}

// Hush takes a message away from the Dequeuer: nothing that was done of it before now
// is reported as long as it is kept.
func (s *State) Hush(id mail.ID) {
	m := s.message(id)
	if m == nil || m.report == working {
		return
	}
	if m.index >= 0 {
		heap.Remove(&s.later, int(m.index))
	}
	m.report = nowhere // what still lies in now is passed over
}

// unreported is when the first result came that somebody waits for, or 0.
func (m *message) unreported() (at instant) {
	for i := range m.rcpts {
		if r := &m.rcpts[i]; r.is(wanted) && !r.is(reported) && (at == 0 || r.time < at) {
			at = r.time
		}
	}
	return at
}
