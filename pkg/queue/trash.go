package queue

import (
	"cmp"
	"slices"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/idmap"
	"cgq/pkg/mail"
)

// The trash holds the recipients that a person has taken out of the queue and of which
// nobody is told: he may have meant others. They are in no host queue, and their
// messages keep their files, until they are purged (SPOOL L6).
type trash struct {
	batches  map[uint64]*batch
	messages int // that are in the queue for its sake alone
}

// A batch is what one act has put there.
type batch struct {
	at    instant
	by    string
	text  string
	rows  idmap.Map[[]int32] // recipients by their messages
	n     int                // recipients
	bytes int64              // of the messages
}

func (b *batch) put(m *message, rcpt int) {
	rcpts, there := b.rows.Get(m.id)
	b.rows.Set(m.id, append(rcpts, int32(rcpt)))
	if b.n++; !there {
		b.bytes += m.size
	}
}

func (b *batch) take(m *message, rcpt int) {
	rcpts, _ := b.rows.Get(m.id)
	at := slices.Index(rcpts, int32(rcpt))
	if at < 0 {
		return
	}
	if b.n--; len(rcpts) > 1 {
		b.rows.Set(m.id, slices.Delete(rcpts, at, at+1))
		return
	}
	b.rows.Delete(m.id)
	b.bytes -= m.size
}

// A BatchView is what one act has put into the trash, as an administrator sees it.
type BatchView struct {
	Act        uint64
	At         time.Time
	By         string
	Text       string // that he gave
	Messages   int
	Recipients int
	Bytes      int64 // of the texts
}

// rejection is the result of a recipient that a person has rejected.
func rejection(f fact.Rejected) mail.Result {
	return mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: f.Text}
}

// reject takes a recipient out of its host queue because a person wants it: to be
// reported, or, when nobody is told, into the trash.
func (s *State) reject(m *message, f fact.Rejected) {
	r := m.rcpt(f.Rcpt)
	if r == nil || r.is(done) {
		return
	}
	result := rejection(f)
	r.set(person, true)
	if f.Report && m.wants(r, result) {
		s.done(m, f.Rcpt, f.At, result, true)
		return
	}
	r.last, r.time = s.results.share(result), s.in(f.At)
	s.trash.put(s, m, f)
	s.withdraw(m, r)
	s.reportLater(m, r.time)
}

func (t *trash) put(s *State, m *message, f fact.Rejected) {
	b := t.batches[f.Act]
	if b == nil {
		b = &batch{at: s.in(f.At), by: f.By, text: f.Text}
		t.batches[f.Act] = b
	}
	b.put(m, f.Rcpt)
	m.rcpts[f.Rcpt].set(trashed, true)
	m.trashed++
}

// alone says that a message is in the queue for the sake of the trash.
func (m *message) alone() bool { return m.left == 0 && m.trashed > 0 }

// count counts a message that was there for the trash alone, or not, as what it is now.
func (t *trash) count(m *message, was bool) {
	switch is := m.alone(); {
	case is && !was:
		t.messages++
	case was && !is:
		t.messages--
	}
}

// forget takes a message out of the trash.
func (t *trash) forget(m *message) {
	alone := m.alone()
	for act, b := range t.batches {
		rcpts, _ := b.rows.Get(m.id)
		for _, i := range slices.Clone(rcpts) {
			t.remove(m, int(i), act)
		}
	}
	t.count(m, alone)
}

// remove takes a recipient out of the trash, wherever it goes.
func (t *trash) remove(m *message, rcpt int, act uint64) {
	if b := t.batches[act]; b != nil {
		if b.take(m, rcpt); b.n == 0 {
			delete(t.batches, act)
		}
	}
	m.rcpts[rcpt].set(trashed, false)
	m.trashed--
}

// undo puts a recipient back into its host queue. Its attempts stay, and so does its
// age; its delay is over.
func (s *State) undo(m *message, f fact.Undone) {
	r := m.rcpt(f.Rcpt)
	if r == nil || !r.is(trashed) {
		return
	}
	was := m.alone()
	s.trash.remove(m, f.Rcpt, f.Act)
	r.set(done|person, false)
	r.last, r.time = nil, 0
	m.left++
	s.trash.count(m, was)
	e := r.in()
	if e == nil {
		return
	}
	s.enter(m, fact.Routed{Rcpt: f.Rcpt, Module: e.host.key.Module, Queue: e.host.key.Queue,
		Address: r.to(s.submitted(m, f.Rcpt).Address)})
}

// purge takes a recipient out of the trash for good.
func (s *State) purge(m *message, f fact.Purged) {
	r := m.rcpt(f.Rcpt)
	if r == nil || !r.is(trashed) {
		return
	}
	was := m.alone()
	s.trash.remove(m, f.Rcpt, f.Act)
	s.trash.count(m, was)
	s.reportLater(m, r.time)
}

// InTrash is the number of messages that are in the queue for the sake of the trash alone.
func (s *State) InTrash() int { return s.trash.messages }

// Trash returns what is in it, the latest act first.
func (s *State) Trash() (all []BatchView) {
	for act, b := range s.trash.batches {
		v := BatchView{Act: act, At: s.out(b.at), By: b.by, Text: b.text, Messages: b.rows.Len(), Recipients: b.n, Bytes: b.bytes}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b BatchView) int { return cmp.Compare(b.Act, a.Act) })
	return all
}

// Trashed returns the recipients that an act has put into the trash, and that are there,
// of the next limit messages behind an id; go on with last as long as there is more.
func (s *State) Trashed(act uint64, after mail.ID, limit int) (rows []Row, last mail.ID, more bool) {
	b := s.trash.batches[act]
	if b == nil {
		return nil, after, false
	}
	last = after
	n := 0
	for id, rcpts := range b.rows.After(after) {
		if n++; n > limit {
			return rows, last, true
		}
		last = id
		for _, i := range rcpts {
			rows = append(rows, Row{id, int(i)})
		}
	}
	return rows, last, false
}

// Stale returns the acts that have put something into the trash before a time, and when
// the next one has been there as long; zero: none.
func (s *State) Stale(before time.Time) (acts []uint64, next time.Time) {
	limit, first := s.in(before), instant(0)
	for act, b := range s.trash.batches {
		switch {
		case b.at <= limit:
			acts = append(acts, act)
		case first == 0 || b.at < first:
			first = b.at
		}
	}
	slices.Sort(acts)
	return acts, s.out(first)
}
