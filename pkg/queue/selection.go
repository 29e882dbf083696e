package queue

import (
	"slices"
	"strings"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// A Row is one recipient of one message. Rows are ordered by id, then recipient.
type Row struct {
	ID   mail.ID
	Rcpt int
}

// A subject is a recipient as a selection sees it.
type subject struct {
	s    *State
	m    *message
	i    int
	now  time.Time
	face face // of m, if it has been read
	read bool
}

// matches says whether a recipient is in a host queue and of a selection; nil: everything.
func (s *State) matches(sel *selection.Selection, m *message, i int, now time.Time) (bool, error) {
	r := &m.rcpts[i]
	if e := r.in(); r.is(done) || e == nil {
		return false, nil
	} else if sel == nil {
		return true, nil
	} else if !sel.MayMatch(e.host.key.Module, e.host.key.Queue) {
		return false, nil
	}
	return sel.Matches(s.look(m, i, now), now)
}

// look is a recipient as a selection sees it, until the next look.
func (s *State) look(m *message, i int, now time.Time) *subject {
	v := &s.subject
	if v.m != m {
		*v = subject{s: s, m: m}
	}
	v.i, v.now = i, now
	return v
}

func (v *subject) front() *face {
	if !v.read {
		v.face, _ = v.m.packed.face()
		v.read = true
	}
	return &v.face
}

func (v *subject) ID() mail.ID             { return v.m.id }
func (v *subject) Module() string          { return v.m.rcpts[v.i].entry.host.key.Module }
func (v *subject) Queue() string           { return v.m.rcpts[v.i].entry.host.key.Queue }
func (v *subject) State() string           { return v.s.status(v.m, v.i, v.now).Word() }
func (v *subject) Sender() mail.Address    { return v.front().sender }
func (v *subject) Recipient() mail.Address { return v.s.submitted(v.m, v.i).Address }
func (v *subject) Auth() string            { return v.front().auth }
func (v *subject) Source() string          { return v.front().source.String() }
func (v *subject) Submitted() time.Time    { return v.m.packed.submitted().Add(v.s.since(v.m.id)) }
func (v *subject) Size() int64             { return v.m.size }
func (v *subject) Attempts() int           { return v.m.rcpts[v.i].tries() }
func (v *subject) Error() string           { return v.m.rcpts[v.i].trouble().String() }
func (v *subject) Subject() string         { return v.front().subject }

// after returns the messages of the selection among the next limit ids behind one,
// where to go on, and whether to. What comes into the queue meanwhile is not passed
// over. They count until the next step.
func (s *State) after(sel *selection.Selection, id mail.ID, limit int) (all []*message, last mail.ID, more bool) {
	last, all = id, s.step[:0]
	defer func() { s.step = all }()
	if h, ok := s.within(sel); ok {
		return h.after(all, id, limit)
	}
	if sel == nil || sel.IDs() == nil {
		for next, m := range s.messages.After(id) {
			if len(all) == limit {
				return all, last, true
			}
			all, last = append(all, m), next
		}
		return all, last, false
	}
	ids := sel.IDs()
	at, found := slices.BinarySearch(ids, id)
	if found {
		at++
	}
	for n := 0; at < len(ids); at, n = at+1, n+1 {
		if n == limit {
			return all, last, true
		}
		last = ids[at]
		if m := s.message(ids[at]); m != nil {
			all = append(all, m)
		}
	}
	return all, last, false
}

// within returns the host queue that all of a selection is in, nil if that is not there,
// and whether the selection names one: then nothing else has to be looked at.
func (s *State) within(sel *selection.Selection) (h *host, ok bool) {
	if sel == nil || sel.IDs() != nil || s.mixed {
		return nil, false
	}
	module, name, ok := sel.HostQueue()
	return s.hosts[Key{strings.ToUpper(module), name}], ok
}

// after is [State.after] of a host queue.
func (h *host) after(all []*message, id mail.ID, limit int) ([]*message, mail.ID, bool) {
	if h == nil {
		return all, id, false
	}
	last := id
	for e := h.behind(id); e != nil; e = e.next {
		if len(all) == limit {
			return all, last, true
		}
		all, last = append(all, e.msg), e.msg.id
	}
	return all, last, false
}

// behind finds the first entry whose message is behind an id: mostly from where the last
// step ended.
func (h *host) behind(id mail.ID) *entry {
	e := h.head
	if h.looked != nil && h.looked.msg.id <= id {
		e = h.looked
	}
	for e != nil && e.msg.id <= id {
		h.looked, e = e, e.next
	}
	return e
}

// Each does something with the recipients of a selection among the next limit messages
// behind an id, and with how old each is; what it is given counts during the call alone.
// Go on with last as long as there is more. An error is that of the expression.
func (s *State) Each(sel *selection.Selection, after mail.ID, limit int, now time.Time,
	do func(who selection.Subject, age time.Duration)) (last mail.ID, more bool, err error) {
	all, last, more := s.after(sel, after, limit)
	for _, m := range all {
		for i := range m.rcpts {
			ok, err := s.matches(sel, m, i, now)
			if err != nil {
				return last, false, err
			}
			if ok {
				v := s.look(m, i, now)
				do(v, now.Sub(v.Submitted()))
			}
		}
	}
	return last, more, nil
}

// A Choice is what a step through the rows of a selection has found.
type Choice struct {
	Free     []Row   // taken
	Busy     []Row   // Processing: not taken
	Messages int     // that these are of
	Last     mail.ID // where to go on
	More     bool    // whether to
}

// LeaseRows takes the rows of a selection whose message is behind an id, of a
// limited number of messages, into the hands of an act: no module is handed them
// until ReturnRow. Those of most messages that the selection names at most, or, if
// that is below zero, of all. An error is that of its expression, and nothing is taken.
func (s *State) LeaseRows(sel *selection.Selection, after mail.ID, limit, most int, now time.Time) (Choice, error) {
	c, err := s.Rows(sel, after, limit, most, now)
	for _, row := range c.Free {
		s.message(row.ID).rcpts[row.Rcpt].take(true)
	}
	return c, err
}

// Rows is LeaseRows of one who only looks: it takes nothing.
func (s *State) Rows(sel *selection.Selection, after mail.ID, limit, most int, now time.Time) (c Choice, err error) {
	var all []*message
	all, c.Last, c.More = s.after(sel, after, limit)
	for _, m := range all {
		found := false
		for i := range m.rcpts {
			ok, err := s.matches(sel, m, i, now)
			if err != nil {
				return Choice{}, err
			}
			if !ok {
				continue
			}
			if !found && most == 0 {
				c.Last, c.More = m.id, false
				return c, nil
			}
			found = true
			if m.rcpts[i].is(leased) {
				c.Busy = append(c.Busy, Row{m.id, i})
			} else {
				c.Free = append(c.Free, Row{m.id, i})
			}
		}
		if found {
			c.Messages, most = c.Messages+1, most-1
		}
	}
	return c, nil
}

// ReturnRow ends what LeaseRows began.
func (s *State) ReturnRow(row Row) {
	m := s.message(row.ID)
	if m == nil {
		return
	}
	r := &m.rcpts[row.Rcpt]
	if r.take(false); !r.is(done) {
		s.settle(r.in())
	}
}

// A Wait is what a recipient waits for.
type Wait struct {
	Key
	Held    bool // a person
	Delayed bool // it has a delay of its own, or its message in its queue
	Queue   bool // its host queue is delayed
}

// Waits returns what a row waits for; false: it is in no host queue.
func (s *State) Waits(row Row, now time.Time) (w Wait, ok bool) {
	m, r := s.waiting(row)
	if r == nil {
		return w, false
	}
	at := s.in(now)
	return Wait{Key: r.entry.host.key, Held: m.held || r.is(held), Delayed: m.delayed(row.Rcpt, at) != 0,
		Queue: r.entry.host.until > at}, true
}

// waiting is a recipient who is in a host queue, or nil.
func (s *State) waiting(row Row) (*message, *recipient) {
	m := s.message(row.ID)
	if m == nil {
		return nil, nil
	}
	r := m.rcpt(row.Rcpt)
	if r == nil || r.in() == nil || r.is(done) {
		return nil, nil
	}
	return m, r
}
