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
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/idmap"
	"cgq/pkg/mail"
)

// A Key names a host queue.
type Key struct{ Module, Queue string }

// String is the form that the log has: SMTP(example.com).
func (k Key) String() string { return k.Module + "(" + k.Queue + ")" }

// What follows is small on purpose: of a message with one recipient message, entry
// and recipient are 192 bytes, and lie together.

// A recipient is one address of a message.
type recipient struct {
	entry    *entry
	routed   *mail.Address // where it goes; nil: to the address as submitted
	last     *mail.Result  // nil: none
	time     instant       // how long it waits for itself; when it is done, of the result
	next     int32         // the next recipient of the entry, behind the last the first
	attempts uint16        // more are not counted
	flags    flags
}

// flags are what is true of a recipient.
type flags uint16

const (
	leased      flags  = 1 << iota // Processing, or in the hands of an act
	done                           // it has left its host queue
	wanted                         // done, and somebody wants to be told
	reported                       //
	person                         // a person has rejected it
	trashed                        // done by a person, who may undo it
	held                           // a hold has it
	paced                          // what it waits for is its turn among those that were released
	notifyShift = iota             // and behind these its mail.Notify
)

func (r *recipient) is(f flags) bool { return r.flags&f != 0 }

func (r *recipient) set(f flags, on bool) {
	if r.flags &^= f; on {
		r.flags |= f
	}
}

func (r *recipient) notify() mail.Notify { return mail.Notify(r.flags >> notifyShift) }

// A message is in the queue until Gone.
type message struct {
	id      mail.ID
	packed  packed
	size    int64
	rcpts   []recipient
	left    int32 // recipients not done
	trashed int32 // of the others, those in the trash
	index   int32 // in State.later; -1: not there
	report  where
	held    bool // nobody may touch it; State.reasons says why
	marks   marks
	warned  uint8 // in warnings.said: how old it was when its sender was last warned
}

// marks are what is true of a message.
type marks uint8

const (
	repeated marks = 1 << iota // an earlier process may have transferred it
	null                       // the return path is
	filtered                   // the server-wide Rules have been applied
	skipping                   // and say that those of Accounts are not to be
	late                       // a delay warning is due
)

func (m *message) is(k marks) bool { return m.marks&k != 0 }

func (m *message) mark(k marks, on bool) {
	if m.marks &^= k; on {
		m.marks |= k
	}
}

// An entry is a message in one host queue.
type entry struct {
	msg        *message
	host       *host
	prev, next *entry       // in order of arrival
	last       *mail.Result // nil: none
	until      instant      // delay of the message in this queue
	at         instant      // when it is due, while it waits
	tail       int32        // its last recipient, in order of the envelope; -1: none
	open       int32        // recipients not done
	idle       int32        // of them, those in nobody's hands
	kept       int32        // of the open ones, those that a hold has
	index      int32        // in host.waiting, or its place in host.line
	attempts   uint16
	place      where
	leased     bool
}

// A lone message has one recipient, as most have.
type lone struct {
	message
	entry entry
	rcpt  [1]recipient
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

	clock
	words    words
	results  results
	reading  reading
	subject  subject    // what is looked at; its memory is used again
	step     []*message // likewise
	messages idmap.Map[*message]
	reasons  map[mail.ID]string // why messages are held
	holds    holds
	trash    trash
	warnings warnings
	hosts    map[Key]*host
	roll     roll // of hosts
	modules  map[string]*module
	mixed    bool       // some host queue has a name that is not in small letters
	now      []*message // chapter: a DSN is generated immediately after the last recipient
	later    laterHeap
}

// New returns an empty queue.
func New() *State {
	return &State{hosts: map[Key]*host{}, modules: map[string]*module{}, reasons: map[mail.ID]string{},
		words: words{numbers: map[string]uint64{}},
		holds: holds{rows: map[Row][]uint64{}}, trash: trash{batches: map[uint64]*batch{}}}
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
	if s.message(n.ID) != nil {
		return
	}
	m := newMessage(len(n.Envelope.Recipients))
	m.id, m.packed, m.size = n.ID, pack(n.Envelope, n.Subject, &s.words), n.Size
	m.mark(repeated, n.Repeated)
	m.mark(null, n.Envelope.ReturnPath.IsZero())
	if m.held = n.Hold != ""; m.held {
		s.reasons[n.ID] = n.Hold
	}
	for i, r := range n.Envelope.Recipients {
		m.rcpts[i].flags = flags(r.Notify) << notifyShift
	}
	s.messages.Set(n.ID, m)
	s.warnings.look(n.ID)
}

func newMessage(recipients int) (m *message) {
	if recipients == 1 {
		l := &lone{}
		m, l.rcpts = &l.message, l.rcpt[:]
		l.rcpt[0].entry = &l.entry // as long as entry.host is nil, it is nowhere
	} else {
		m = &message{rcpts: make([]recipient, recipients)}
	}
	m.left, m.index = int32(recipients), -1
	return m
}

func (s *State) message(id mail.ID) *message {
	m, _ := s.messages.Get(id)
	return m
}

// Apply makes a fact true. It is total: a fact about something that is not there,
// or that is true already, changes nothing.
func (s *State) Apply(id mail.ID, f fact.Fact) {
	m := s.message(id)
	if m == nil {
		return
	}
	switch f := f.(type) {
	case fact.Routed:
		if r := m.rcpt(f.Rcpt); r != nil && !r.is(done) {
			s.route(m, r, f)
		}
	case fact.Filtered:
		s.filter(m, f)
	case fact.Rerouted:
		s.reroute(m, f)
	case fact.Tried:
		if r := m.rcpt(f.Rcpt); r != nil && !r.is(done) {
			r.time, r.attempts, r.last = s.in(f.Until), count(f.Attempts), s.results.share(f.Result)
			r.set(paced, false)
			if e := r.in(); e != nil {
				e.host.failed = true
			}
			s.settle(r.in())
		}
	case fact.Suspended:
		if e := m.entry(Key{f.Module, f.Queue}); e != nil {
			e.until, e.attempts, e.last = s.in(f.Until), count(f.Attempts), s.results.share(f.Result)
			e.host.failed = true
			s.settle(e)
		}
	case fact.Settled:
		s.done(m, f.Rcpt, f.At, f.Result, true)
	case fact.Rejected:
		s.reject(m, f)
	case fact.Undone:
		s.undo(m, f)
	case fact.Purged:
		s.purge(m, f)
	case fact.Held:
		s.hold(m, f)
	case fact.Freed:
		if r := m.rcpt(f.Rcpt); r != nil && !r.is(done) {
			r.time = s.in(f.Until)
			r.set(paced, !f.Until.IsZero())
			if e := r.in(); e != nil {
				e.until = 0
				s.settle(e)
			}
		}
	case fact.Reported:
		for _, i := range f.Rcpts {
			if r := m.rcpt(i); r != nil {
				r.set(reported, true)
			}
		}
	case fact.Warned:
		s.warned(m, f.Age)
	case fact.Gone:
		s.forget(m)
	}
}

// count is as much of a number of attempts as is kept.
func count(n int) uint16 { return uint16(min(max(n, 0), 1<<16-1)) }

func (m *message) rcpt(i int) *recipient {
	if i < 0 || i >= len(m.rcpts) {
		return nil
	}
	return &m.rcpts[i]
}

// in is the entry that a recipient is, or was, of; nil: it never was routed.
func (r *recipient) in() *entry {
	if r.entry == nil || r.entry.host == nil {
		return nil
	}
	return r.entry
}

// take puts a recipient into somebody's hands, or takes it back.
func (r *recipient) take(on bool) {
	if r.is(leased) == on {
		return
	}
	r.set(leased, on)
	if r.in() == nil || r.is(done) {
		return
	}
	if on {
		r.entry.idle--
	} else {
		r.entry.idle++
	}
}

// entry returns the message's entry in a host queue, or nil.
func (m *message) entry(k Key) *entry {
	for i := range m.rcpts {
		if e := m.rcpts[i].in(); e != nil && e.host.key == k && e.open > 0 {
			return e
		}
	}
	return nil
}

// enter puts a recipient into a host queue.
func (s *State) enter(m *message, f fact.Routed) {
	h := s.host(Key{f.Module, f.Queue})
	r := &m.rcpts[f.Rcpt]
	e := m.entry(h.key)
	if e == nil {
		if e = r.entry; e == nil || e.host != nil { // else it is that of a lone message
			e = &entry{}
		}
		*e = entry{msg: m, host: h, tail: -1}
		h.push(e)
	}
	e.insert(int32(f.Rcpt))
	r.entry, r.routed = e, nil
	if s.submitted(m, f.Rcpt).Address != f.Address {
		r.routed = &f.Address
	}
	r.set(held, s.holding(m, f.Rcpt))
	was := e.isHeld()
	e.open++
	e.idle++
	if r.is(held) {
		e.kept++
	}
	h.recount(e, was)
	h.rcpts++
	s.settle(e)
}

// insert puts a recipient among those of an entry, at its place.
func (e *entry) insert(i int32) {
	rcpts := e.msg.rcpts
	if e.tail < 0 {
		rcpts[i].next, e.tail = i, i
		return
	}
	first := rcpts[e.tail].next
	switch {
	case i > e.tail:
		rcpts[i].next, rcpts[e.tail].next, e.tail = first, i, i
	case i < first:
		rcpts[i].next, rcpts[e.tail].next = first, i
	default:
		at := first
		for at != e.tail && rcpts[at].next <= i {
			at = rcpts[at].next
		}
		if at != i { // else it has been here before
			rcpts[i].next, rcpts[at].next = rcpts[at].next, i
		}
	}
}

// first is the first recipient of an entry that has some.
func (e *entry) first() int32 { return e.msg.rcpts[e.tail].next }

// recipients yields those of an entry, in order of the envelope.
func (e *entry) recipients(yield func(int, *recipient) bool) {
	if e.tail < 0 {
		return
	}
	for i := e.first(); ; {
		r := &e.msg.rcpts[i]
		next := r.next
		if r.entry == e && !yield(int(i), r) || i == e.tail {
			return
		}
		i = next
	}
}

// done takes a recipient out of its host queue for good.
func (s *State) done(m *message, rcpt int, at time.Time, last mail.Result, report bool) {
	r := m.rcpt(rcpt)
	if r == nil || r.is(done) {
		return
	}
	if last.Action == mail.Failed {
		r.last = s.results.share(last)
	} else { // each host has another word for it, and the message goes
		last.After = time.Time{}
		r.last = &last
	}
	r.time = s.in(at)
	r.set(wanted, report && m.wants(r, last))
	s.withdraw(m, r)
	s.reportLater(m, r.time)
}

// withdraw takes a recipient out of its host queue.
func (s *State) withdraw(m *message, r *recipient) {
	alone := m.alone()
	m.left--
	s.trash.count(m, alone)
	e := r.in()
	if e == nil {
		r.set(done, true)
		return
	}
	r.set(done, true)
	s.unseat(e, r)
}

// unseat takes a recipient, who does not count for it any more, out of an entry.
func (s *State) unseat(e *entry, r *recipient) {
	was := e.isHeld()
	e.open--
	if !r.is(leased) {
		e.idle--
	}
	if r.is(held) {
		e.kept--
		r.set(held, false)
	}
	e.host.rcpts--
	e.host.recount(e, was)
	s.settle(e)
	if e.open == 0 {
		s.leave(e)
	}
}

// wants says whether the sender wants to hear of a result (RFC 3461 §4.1). A null
// return path never does (RFC 5321 §4.5.5).
func (m *message) wants(r *recipient, result mail.Result) bool {
	switch {
	case m.is(null):
		return false
	case result.Action == mail.Failed:
		return r.notify().Failure()
	case result.Action == mail.Delivered, result.Action == mail.Expanded, result.Action == mail.Relayed && !result.Reports:
		return r.notify().Success()
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
		if r := &m.rcpts[i]; !r.is(done) {
			s.withdraw(m, r)
		}
		delete(s.holds.rows, Row{m.id, i})
	}
	if m.trashed > 0 {
		s.trash.forget(m)
	}
	if m.index >= 0 {
		heap.Remove(&s.later, int(m.index))
	}
	m.report = nowhere // what still lies in now is passed over
	s.messages.Delete(m.id)
	delete(s.reasons, m.id)
}

// Len is the number of messages in the queue; those that are in the trash alone are
// counted apart.
func (s *State) Len() int { return s.messages.Len() - s.trash.messages }

// Newest is the highest id in the queue.
func (s *State) Newest() mail.ID { return s.messages.Last() }
