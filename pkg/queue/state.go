// Package queue is the queue in memory: messages, recipients, host queues and
// their three delays. It starts no goroutine, takes no lock, reads no clock and
// touches no file: whoever owns a [State] does that, and passes the time in.
//
// A State changes in two ways. Facts are what happened; replaying them gives the
// same State. Leases are what is going on; they are forgotten by a restart, on
// purpose.
//
// Four objects carry it. A host queue is one destination of one module. A message
// has an entry in each host queue that some of its recipients go to. The delay of a
// host queue is one record, however many messages wait in it; an entry has a delay
// of its own (chapter: an individual queued message), and so has a recipient.
package queue

import (
	"container/heap"
	"slices"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// A Key names a host queue.
type Key struct{ Module, Queue string }

// String is the form that the log has: SMTP(example.com).
func (k Key) String() string { return k.Module + "(" + k.Queue + ")" }

// A recipient is one address of a message.
type recipient struct {
	to       mail.Address // as routed
	entry    *entry
	until    time.Time    // its own delay
	at       time.Time    // of the last result
	last     *mail.Result // nil: none
	attempts int32
	leased   bool // Processing, or in the hands of an act
	done     bool
	wanted   bool // done, and somebody wants to be told
	reported bool
	person   bool // a person has rejected it
}

// A message is in the queue until Gone.
type message struct {
	id       mail.ID
	env      *mail.Envelope
	subject  string
	hold     string // why nobody may touch it
	size     int64
	rcpts    []recipient
	left     int       // recipients not done
	reportAt time.Time // when the Dequeuer shall look at it
	index    int       // in State.later; -1: not there
	report   where
	repeated bool
}

// An entry is a message in one host queue.
type entry struct {
	msg        *message
	host       *host
	rcpts      []int32
	until      time.Time // delay of the message in this queue
	at         time.Time // when it is due, while it waits
	last       *mail.Result
	attempts   int32
	open       int32  // recipients not done
	idle       int32  // of them, those in nobody's hands
	ticket     uint32 // of its place among the ready
	index      int    // in host.waiting
	prev, next *entry // in order of arrival
	place      where
	leased     bool
}

// where something stands.
type where uint8

const (
	nowhere where = iota
	ready
	waiting
	working
)

// State is the whole queue. It is not safe for concurrent use.
type State struct {
	// ReportingDelay is the longest wait between a result and its report
	// (chapter: Reporting Delay).
	ReportingDelay time.Duration

	messages map[mail.ID]*message
	order    []mail.ID // sorted; some have gone
	late     []mail.ID // to be merged into it: a start finds old ones after new ones
	hosts    map[Key]*host
	modules  map[string]*module
	now      []*message // chapter: a DSN is generated immediately after the last recipient
	later    laterHeap
}

// New returns an empty queue.
func New() *State {
	return &State{messages: map[mail.ID]*message{}, hosts: map[Key]*host{}, modules: map[string]*module{}}
}

// A New message is what the queue has to know of one.
type Message struct {
	ID       mail.ID
	Envelope *mail.Envelope
	Subject  string
	Size     int64  // of the text, in bytes
	Hold     string // why nobody may touch it before a person has looked; empty: none
	Repeated bool   // an earlier process may have transferred it
}

// Add puts a message into the queue; its facts follow. A message that is there
// already stays as it is.
func (s *State) Add(n Message) {
	if s.messages[n.ID] != nil {
		return
	}
	m := &message{id: n.ID, env: n.Envelope, subject: n.Subject, hold: n.Hold, size: n.Size, repeated: n.Repeated,
		rcpts: make([]recipient, len(n.Envelope.Recipients)), left: len(n.Envelope.Recipients), index: -1}
	for i, r := range n.Envelope.Recipients {
		m.rcpts[i].to = r.Address
	}
	s.messages[n.ID] = m
	if last := len(s.order) - 1; last < 0 || s.order[last] < n.ID {
		s.order = append(s.order, n.ID)
		return
	}
	if s.late = append(s.late, n.ID); len(s.late) >= lateBatch {
		s.merge()
	}
}

// lateBatch is how many late ids are merged at once: each merge moves all that are newer.
const lateBatch = 4096

// merge puts the late ids to their places.
func (s *State) merge() {
	if len(s.late) == 0 {
		return
	}
	slices.Sort(s.late)
	i, j := len(s.order)-1, len(s.late)-1
	s.order = append(s.order, s.late...)
	for k := len(s.order) - 1; j >= 0; k-- {
		if i >= 0 && s.order[i] > s.late[j] {
			s.order[k], i = s.order[i], i-1
		} else {
			s.order[k], j = s.late[j], j-1
		}
	}
	s.order, s.late = slices.Compact(s.order), s.late[:0] // one that went and came back
}

// Apply makes a fact true. It is total: a fact about something that is not there,
// or that is true already, changes nothing.
func (s *State) Apply(id mail.ID, f fact.Fact) {
	m := s.messages[id]
	if m == nil {
		return
	}
	switch f := f.(type) {
	case fact.Routed:
		if r := m.rcpt(f.Rcpt); r != nil && r.entry == nil && !r.done {
			s.enter(m, f)
		}
	case fact.Tried:
		if r := m.rcpt(f.Rcpt); r != nil && !r.done {
			r.until, r.at, r.attempts, r.last = f.Until, f.At, int32(f.Attempts), &f.Result
			s.settle(r.entry)
		}
	case fact.Suspended:
		if e := m.entry(Key{f.Module, f.Queue}); e != nil {
			e.until, e.attempts, e.last = f.Until, int32(f.Attempts), &f.Result
			s.settle(e)
		}
	case fact.Settled:
		s.done(m, f.Rcpt, f.At, f.Result, true)
	case fact.Rejected:
		if r := m.rcpt(f.Rcpt); r != nil && !r.done {
			r.person = true
		}
		s.done(m, f.Rcpt, f.At, rejection(f), f.Report)
	case fact.Freed:
		if r := m.rcpt(f.Rcpt); r != nil && !r.done {
			r.until = time.Time{}
			if r.entry != nil {
				r.entry.until = time.Time{}
			}
			s.settle(r.entry)
		}
	case fact.Reported:
		for _, i := range f.Rcpts {
			if r := m.rcpt(i); r != nil {
				r.reported = true
			}
		}
	case fact.Gone:
		s.forget(m)
	}
}

// rejection is the result of a recipient that a person has rejected.
func rejection(f fact.Rejected) mail.Result {
	return mail.Result{Action: mail.Failed, Status: mail.Status{5, 7, 1}, Text: f.Text}
}

func (m *message) rcpt(i int) *recipient {
	if i < 0 || i >= len(m.rcpts) {
		return nil
	}
	return &m.rcpts[i]
}

// take puts a recipient into somebody's hands, or takes it back.
func (r *recipient) take(leased bool) {
	if r.leased == leased {
		return
	}
	r.leased = leased
	if r.entry == nil || r.done {
		return
	}
	if leased {
		r.entry.idle--
	} else {
		r.entry.idle++
	}
}

// entry returns the message's entry in a host queue, or nil.
func (m *message) entry(k Key) *entry {
	for i := range m.rcpts {
		if e := m.rcpts[i].entry; e != nil && e.host.key == k {
			return e
		}
	}
	return nil
}

// enter puts a recipient into a host queue.
func (s *State) enter(m *message, f fact.Routed) {
	h := s.host(Key{f.Module, f.Queue})
	e := m.entry(h.key)
	if e == nil {
		e = &entry{msg: m, host: h, index: -1}
		h.push(e)
	}
	e.rcpts = append(e.rcpts, int32(f.Rcpt))
	e.open++
	e.idle++
	h.rcpts++
	r := &m.rcpts[f.Rcpt]
	r.entry, r.to = e, f.Address
	s.settle(e)
}

// done takes a recipient out of its host queue for good.
func (s *State) done(m *message, rcpt int, at time.Time, last mail.Result, report bool) {
	r := m.rcpt(rcpt)
	if r == nil || r.done {
		return
	}
	r.done, r.at, r.last, r.until = true, at, &last, time.Time{}
	r.wanted = report && wanted(m.env, rcpt, last)
	m.left--
	if e := r.entry; e != nil {
		e.open--
		if !r.leased {
			e.idle--
		}
		e.host.rcpts--
		s.settle(e)
		if e.open == 0 {
			s.leave(e)
		}
	}
	s.reportLater(m, at)
}

// wanted says whether the sender wants to hear of a result (RFC 3461 §4.1). A null
// return path never does (RFC 5321 §4.5.5).
func wanted(env *mail.Envelope, rcpt int, r mail.Result) bool {
	notify := env.Recipients[rcpt].Notify
	switch {
	case env.ReturnPath.IsZero():
		return false
	case r.Action == mail.Failed:
		return notify.Failure()
	}
	return false
}

// leave takes an entry without open recipients out of its host queue.
func (s *State) leave(e *entry) {
	e.host.remove(e)
	s.plan(e.host)
	s.drop(e.host)
}

// forget takes a message out of the queue.
func (s *State) forget(m *message) {
	for i := range m.rcpts {
		if r := &m.rcpts[i]; !r.done && r.entry != nil {
			r.done = true
			r.entry.open--
			r.entry.host.rcpts--
			if r.entry.open == 0 {
				s.leave(r.entry)
			}
		}
	}
	if m.index >= 0 {
		heap.Remove(&s.later, m.index)
	}
	m.report = nowhere // what still lies in now is passed over
	delete(s.messages, m.id)
	if len(s.order) > 1024 && len(s.order) > 2*len(s.messages) {
		s.merge()
		s.order = slices.DeleteFunc(s.order, func(id mail.ID) bool { return s.messages[id] == nil })
	}
}

// Len is the number of messages in the queue.
func (s *State) Len() int { return len(s.messages) }

// Newest is the highest id that ever was in the queue and may still be.
func (s *State) Newest() mail.ID {
	if s.merge(); len(s.order) == 0 {
		return 0
	}
	return s.order[len(s.order)-1]
}

// Left returns how many recipients of a message are not done.
func (s *State) Left(id mail.ID) int {
	if m := s.messages[id]; m != nil {
		return m.left
	}
	return 0
}
