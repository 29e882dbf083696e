package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"cgq/pkg/fact"
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
	at   instant
	by   string
	text string
	rows map[Row]struct{}
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
	r.last, r.time = &result, s.in(f.At)
	s.trash.put(s, m, f)
	s.withdraw(m, r)
	s.reportLater(m, r.time)
}

func (t *trash) put(s *State, m *message, f fact.Rejected) {
	b := t.batches[f.Act]
	if b == nil {
		b = &batch{at: s.in(f.At), by: f.By, text: f.Text, rows: map[Row]struct{}{}}
		t.batches[f.Act] = b
	}
	b.rows[Row{m.id, f.Rcpt}] = struct{}{}
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
		for i := range m.rcpts {
			if _, ok := b.rows[Row{m.id, i}]; ok {
				t.remove(m, i, act)
			}
		}
	}
	t.count(m, alone)
}

// remove takes a recipient out of the trash, wherever it goes.
func (t *trash) remove(m *message, rcpt int, act uint64) {
	if b := t.batches[act]; b != nil {
		if delete(b.rows, Row{m.id, rcpt}); len(b.rows) == 0 {
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
		v := BatchView{Act: act, At: s.out(b.at), By: b.by, Text: b.text, Recipients: len(b.rows)}
		seen := map[mail.ID]struct{}{}
		for row := range b.rows {
			if _, ok := seen[row.ID]; ok {
				continue
			}
			seen[row.ID] = struct{}{}
			v.Messages++
			v.Bytes += s.message(row.ID).size
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b BatchView) int { return cmp.Compare(b.Act, a.Act) })
	return all
}

// Trashed returns the recipients that an act has put into the trash, and that are there.
func (s *State) Trashed(act uint64) []Row {
	if b := s.trash.batches[act]; b != nil {
		return slices.SortedFunc(maps.Keys(b.rows), Row.compare)
	}
	return nil
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
