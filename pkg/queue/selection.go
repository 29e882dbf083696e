package queue

import (
	"slices"
	"time"

	"cgq/pkg/mail"
)

// A Row is one recipient of one message. Rows are ordered by id, then recipient.
type Row struct {
	ID   mail.ID
	Rcpt int
}

// A Selection is what one lists or acts on: recipients that are not done. All
// conditions must hold; of several values one must; those that are empty hold. The
// empty Selection lists everything; one who acts must say All.
type Selection struct {
	All     bool
	Modules []string
	Queues  []string
	States  []Status // of the recipient, or of the host queue where those are listed
	IDs     []mail.ID
}

// Empty says that the selection names nothing: an act refuses it.
func (s Selection) Empty() bool {
	return !s.All && len(s.Modules) == 0 && len(s.Queues) == 0 && len(s.States) == 0 && len(s.IDs) == 0
}

// Matches says whether a host queue is of the selection, as far as that names one.
func (s Selection) Matches(k Key) bool {
	return (len(s.Modules) == 0 || slices.Contains(s.Modules, k.Module)) &&
		(len(s.Queues) == 0 || slices.Contains(s.Queues, k.Queue))
}

// Whole says whether the selection is of host queues as a whole.
func (s Selection) Whole() bool { return len(s.IDs) == 0 }

func (s Selection) matches(m *message, i int, now time.Time) bool {
	r := &m.rcpts[i]
	return !r.done && r.entry != nil && s.Matches(r.entry.host.key) &&
		(len(s.States) == 0 || slices.Contains(s.States, m.status(i, now)))
}

// after returns the messages of the selection among the next limit ids behind one,
// where to go on, and whether to. What comes into the queue meanwhile is not passed
// over.
func (s *State) after(sel Selection, id mail.ID, limit int) (all []*message, last mail.ID, more bool) {
	s.merge()
	ids := s.order
	if len(sel.IDs) > 0 {
		ids = sel.IDs
		if !slices.IsSorted(ids) {
			ids = slices.Sorted(slices.Values(ids))
		}
	}
	at, found := slices.BinarySearch(ids, id)
	for ; found && at < len(ids) && ids[at] == id; at++ { // an id may be named twice
	}
	last = id
	for n := 0; at < len(ids); at, n = at+1, n+1 {
		if n == limit {
			return all, last, true
		}
		last = ids[at]
		if m := s.messages[ids[at]]; m != nil && (len(all) == 0 || all[len(all)-1] != m) {
			all = append(all, m)
		}
	}
	return all, last, false
}

// LeaseRows takes the rows of a selection whose message is behind an id, of a
// limited number of messages, into the hands of an act: no module is handed them
// until ReturnRow. Busy ones are Processing, and are not taken. last is where to go
// on; more says whether to.
func (s *State) LeaseRows(sel Selection, after mail.ID, limit int, now time.Time) (free, busy []Row, last mail.ID, more bool) {
	all, last, more := s.after(sel, after, limit)
	for _, m := range all {
		for i := range m.rcpts {
			if !sel.matches(m, i, now) {
				continue
			}
			r := &m.rcpts[i]
			if r.leased {
				busy = append(busy, Row{m.id, i})
				continue
			}
			r.take(true)
			free = append(free, Row{m.id, i})
		}
	}
	return free, busy, last, more
}

// ReturnRow ends what LeaseRows began.
func (s *State) ReturnRow(row Row) {
	m := s.messages[row.ID]
	if m == nil {
		return
	}
	r := &m.rcpts[row.Rcpt]
	if r.take(false); !r.done {
		s.settle(r.entry)
	}
}

// HasDelay says whether a row has a delay of its own, or its message in its queue.
func (s *State) HasDelay(row Row) bool {
	m := s.messages[row.ID]
	if m == nil {
		return false
	}
	r := &m.rcpts[row.Rcpt]
	return !r.until.IsZero() || r.entry != nil && !r.entry.until.IsZero()
}
