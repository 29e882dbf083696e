package queue

import (
	"cmp"
	"container/heap"
	"strings"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// A host is a host queue.
type host struct {
	key        Key
	module     *module
	delay      fact.Delay // zero Until: none
	until      instant    // of it
	head, tail *entry     // all entries, by their ids: in order of arrival
	late       *entry     // where the last one came in that was older than the tail
	looked     *entry     // where the last step of one who looks through them began
	line       []*entry   // those that may be leased, in order; nil: one that has left it
	began      uint32     // how many have left its front
	waiting    waitHeap   // those that wait for their time
	ready      int        // how many of line count
	entries    int
	held       int // entries that are
	rcpts      int // not done
	bytes      int64
	workers    int
	at         instant // in module.waiting
	index      int     // there; -1: not there
	ticket     uint32  // of its place in module.line
	place      where
	answers    bool // it has since it was made, or since it was delayed
	failed     bool // something in it may have an error of its own
}

// A module is what the State knows of one: how many may work.
type module struct {
	limits  Limits
	line    []turn // of those that want a worker now, in order
	ready   int    // how many of line count
	waiting hostHeap
	workers int
}

// A turn is a host queue's place in the line of its module. It counts as long as the
// host has the same number.
type turn struct {
	h      *host
	number uint32
}

// Limits say how many workers a module has.
type Limits struct {
	Channels      int // for all its host queues
	QueueChannels int // for one host queue

	// Eager says that there is nobody to be burdened: a host queue has as many as it may
	// have as soon as there is work for them.
	Eager bool
}

// perChannel is how many ready messages a host queue has for one more worker.
const perChannel = 10

// SetLimits sets the limits of a module; before that it has none, and no worker.
func (s *State) SetLimits(name string, l Limits) {
	if s.module(name).limits == l {
		return
	}
	s.module(name).limits = l
	for _, h := range s.hosts {
		if h.key.Module == name {
			s.plan(h)
		}
	}
}

func (s *State) module(name string) *module {
	m := s.modules[name]
	if m == nil {
		m = &module{}
		s.modules[name] = m
	}
	return m
}

func (s *State) host(k Key) *host {
	h := s.hosts[k]
	if h == nil {
		h = &host{key: k, module: s.module(k.Module), index: -1}
		s.mixed = s.mixed || k != Key{strings.ToUpper(k.Module), strings.ToLower(k.Queue)}
		s.hosts[k] = h
		s.roll.add(k, len(s.hosts))
	}
	return h
}

// drop forgets a host queue that holds nothing and is not delayed.
func (s *State) drop(h *host) {
	if h.entries == 0 && h.workers == 0 && h.until == 0 {
		h.leavePlace()
		delete(s.hosts, h.key)
		s.roll.drop()
	}
}

// push puts an entry to its place.
func (h *host) push(e *entry) {
	before, _ := h.before(e.msg.id)
	e.prev, e.next = before, h.next(before)
	if e.next == nil {
		h.tail = e
	} else {
		e.next.prev = e
	}
	if before == nil {
		h.head = e
	} else {
		before.next = e
	}
	h.entries++
	h.bytes += e.msg.size
}

// before finds the entry that a new one stands behind; nil: it is the first. That is nearly
// always the tail, or close to it: senders that commit together come in any order. What a
// start finds, or is undone, is older, and comes one after the other: each stands close
// behind the last. So it is looked for from both, a step at a time; it also returns how
// many steps that were.
func (h *host) before(id mail.ID) (e *entry, steps int) {
	from := h.late
	if from != nil && from.msg.id > id {
		from = nil
	}
	for e = h.tail; e != nil && e.msg.id > id; e = e.prev {
		next := h.next(from)
		if next.msg.id > id {
			h.late = from
			return from, steps
		}
		from = next
		steps++
	}
	return e, steps
}

// next is the entry behind another one; behind none it is the first.
func (h *host) next(e *entry) *entry {
	if e == nil {
		return h.head
	}
	return e.next
}

func (h *host) remove(e *entry) {
	if h.late == e {
		h.late = e.prev
	}
	if h.looked == e {
		h.looked = e.prev
	}
	if e.prev == nil {
		h.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		h.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	h.unplace(e)
	e.prev, e.next = nil, nil
	h.entries--
	h.bytes -= e.msg.size
}

// unplace takes an entry out of the line or from among the waiting.
func (h *host) unplace(e *entry) {
	switch e.place {
	case ready:
		h.line[uint32(e.index)-h.began] = nil
		h.ready--
	case waiting:
		heap.Remove(&h.waiting, int(e.index))
	}
	e.place = nowhere
}

// settle puts an entry where it belongs after something has changed, and plans its
// host. It may be nil: a recipient that was never routed.
func (s *State) settle(e *entry) {
	if e == nil {
		return
	}
	h := e.host
	at, any := e.due()
	switch {
	case !any:
		h.unplace(e)
	case at == 0:
		if e.place != ready {
			h.unplace(e)
			h.queue(e)
		}
	case e.place == waiting:
		e.at = at
		heap.Fix(&h.waiting, int(e.index))
	default:
		h.unplace(e)
		e.at, e.place = at, waiting
		heap.Push(&h.waiting, e)
	}
	s.plan(h)
}

// queue puts an entry at the end of the line.
func (h *host) queue(e *entry) {
	if len(h.line) > 64 && len(h.line) > 4*h.ready { // most have left it
		all := h.line
		h.line = h.line[:0]
		for _, kept := range all {
			if kept != nil {
				h.append(kept)
			}
		}
		clear(all[len(h.line):])
	}
	e.place = ready
	h.ready++
	h.append(e)
}

func (h *host) append(e *entry) {
	e.index = int32(h.began + uint32(len(h.line)))
	h.line = append(h.line, e)
}

// pop takes the first out of the line, or returns nil.
func (h *host) pop() *entry {
	for len(h.line) > 0 {
		e := h.line[0]
		h.line[0], h.line = nil, h.line[1:]
		if h.began++; e != nil {
			e.place = nowhere
			h.ready--
			return e
		}
	}
	return nil
}

// isHeld says that nobody may touch any of an entry.
func (e *entry) isHeld() bool { return e.open > 0 && (e.msg.held || e.kept == e.open) }

// recount counts an entry that was held, or not, as what it is now.
func (h *host) recount(e *entry, was bool) {
	switch is := e.isHeld(); {
	case is && !was:
		h.held++
	case was && !is:
		h.held--
	}
}

// due is when an entry may be leased, 0 for at any time, if it may at all.
func (e *entry) due() (at instant, any bool) {
	if e.leased || e.idle == 0 || e.isHeld() {
		return at, false
	}
	for _, r := range e.recipients {
		if r.is(done | leased | held) {
			continue
		}
		if !any || r.time < at {
			at, any = r.time, true
		}
		if at == 0 { // no time is before that: a message for thousands is not gone through for each
			break
		}
	}
	return max(at, e.until), any
}

// plan puts a host where it belongs: in line for a worker, waiting, or nowhere.
func (s *State) plan(h *host) {
	var at instant
	want := false
	switch {
	case h.ready > 0:
		want = h.workers < h.allowed()
	case len(h.waiting) > 0 && h.workers == 0:
		at, want = h.waiting[0].at, true
	}
	if want && h.until > at {
		at = h.until
	}
	if !want && h.entries == 0 && h.workers == 0 && h.until != 0 {
		at, want = h.until, true // so that somebody forgets it then
	}
	m := h.module
	switch {
	case !want:
		h.leavePlace()
	case at == 0:
		if h.place != ready {
			h.leavePlace()
			m.queue(h)
		}
	case h.place == waiting:
		h.at = at
		heap.Fix(&m.waiting, h.index)
	default:
		h.leavePlace()
		h.at, h.place = at, waiting
		heap.Push(&m.waiting, h)
	}
}

// allowed is how many workers a host queue may have: one until its host has answered,
// or after an attempt has failed, or a dead host with a long queue would keep many from
// those that live; then more as its line grows. Nobody has to go easy on an eager one.
func (h *host) allowed() int {
	if h.module.limits.Eager && h.until == 0 {
		return min(h.module.limits.QueueChannels, h.workers+h.ready)
	}
	if !h.answers || h.until != 0 {
		return 1
	}
	return min(h.module.limits.QueueChannels, 1+h.ready/perChannel)
}

func (h *host) leavePlace() {
	switch h.place {
	case ready:
		h.ticket++
		h.module.ready--
	case waiting:
		heap.Remove(&h.module.waiting, h.index)
	}
	h.place = nowhere
}

// queue puts a host at the end of the line.
func (m *module) queue(h *host) {
	h.place = ready
	h.ticket++
	m.ready++
	m.line = append(m.line, turn{h, h.ticket})
}

// next takes the first host out of the line, or returns nil.
func (m *module) next() *host {
	for len(m.line) > 0 {
		t := m.line[0]
		m.line[0].h, m.line = nil, m.line[1:]
		if t.number == t.h.ticket && t.h.place == ready {
			t.h.leavePlace()
			return t.h
		}
	}
	return nil
}

// Take claims the next host queue of a module that wants a worker. The longest in
// line is first, so that a long queue does not starve the others. Idle names host
// queues whose delay is over and that hold nothing: their standing delay may go.
func (s *State) Take(name string, now time.Time) (k Key, idle []Key, ok bool) {
	m := s.module(name)
	for len(m.waiting) > 0 && m.waiting[0].at <= s.in(now) {
		h := heap.Pop(&m.waiting).(*host)
		if h.place = nowhere; h.entries == 0 && h.workers == 0 {
			idle = append(idle, h.key)
			continue
		}
		m.queue(h)
	}
	if m.ready == 0 || m.workers >= m.limits.Channels {
		return Key{}, idle, false
	}
	h := m.next()
	h.workers++
	m.workers++
	s.plan(h)
	return h.key, idle, true
}

// Release gives a host queue back after a worker is done with it.
func (s *State) Release(k Key) {
	if h := s.hosts[k]; h != nil {
		h.workers--
		h.module.workers--
		s.plan(h)
		s.drop(h)
	}
}

// Crowded says that other host queues of the module wait while all its workers are
// busy: one who has worked for a while should let go.
func (s *State) Crowded(name string) bool {
	m := s.module(name)
	return m.ready > 0 && m.workers >= m.limits.Channels
}

// Wake returns when Take will next have something, if it is known.
func (s *State) Wake() (at time.Time, any bool) {
	for _, m := range s.modules {
		if m.workers >= m.limits.Channels {
			continue // Release will tell
		}
		if m.ready > 0 {
			return time.Time{}, true
		}
		if first := m.first(); first != 0 && (!any || s.out(first).Before(at)) {
			at, any = s.out(first), true
		}
	}
	return at, any
}

// first is when the first host of those that wait is due, or 0.
func (m *module) first() instant {
	if len(m.waiting) == 0 {
		return 0
	}
	return m.waiting[0].at
}

// Delay makes the delay of a whole host queue true (chapter: a Module can delay an
// entire queue). A zero Until takes it back.
func (s *State) Delay(d fact.Delay) {
	h := s.host(Key{d.Module, d.Queue})
	h.delay, h.until = d, s.in(d.Until)
	h.answers = h.answers && h.until == 0
	s.plan(h)
	s.drop(h)
}

// Answered says that the host of a queue has answered, and whether that is news.
func (s *State) Answered(k Key) bool {
	h := s.hosts[k]
	if h == nil || h.answers {
		return false
	}
	h.answers = true
	s.plan(h)
	return true
}

// Delayed returns the delay of a host queue, as long as it was not taken back. It
// may be over.
func (s *State) Delayed(k Key) (fact.Delay, bool) {
	if h := s.hosts[k]; h != nil && h.until != 0 {
		d := h.delay
		d.Until = s.out(h.until)
		return d, true
	}
	return fact.Delay{}, false
}

type waitHeap []*entry

func (w waitHeap) Len() int           { return len(w) }
func (w waitHeap) Less(i, j int) bool { return w[i].at < w[j].at }
func (w waitHeap) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = int32(i), int32(j)
}
func (w *waitHeap) Push(x any) {
	e := x.(*entry)
	e.index = int32(len(*w))
	*w = append(*w, e)
}
func (w *waitHeap) Pop() any {
	old := *w
	e := old[len(old)-1]
	old[len(old)-1] = nil
	e.index = -1
	*w = old[:len(old)-1]
	return e
}

type hostHeap []*host

func (w hostHeap) Len() int { return len(w) }
func (w hostHeap) Less(i, j int) bool {
	if w[i].at != w[j].at {
		return w[i].at < w[j].at
	}
	return cmp.Less(w[i].key.Queue, w[j].key.Queue)
}
func (w hostHeap) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}
func (w *hostHeap) Push(x any) {
	h := x.(*host)
	h.index = len(*w)
	*w = append(*w, h)
}
func (w *hostHeap) Pop() any {
	old := *w
	h := old[len(old)-1]
	old[len(old)-1] = nil
	h.index = -1
	*w = old[:len(old)-1]
	return h
}

// A later look of the Dequeuer at a message.
type later struct {
	m  *message
	at instant
}

// laterHeap orders messages by when the Dequeuer shall look at them.
type laterHeap []later

func (w laterHeap) Len() int           { return len(w) }
func (w laterHeap) Less(i, j int) bool { return w[i].at < w[j].at }
func (w laterHeap) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].m.index, w[j].m.index = int32(i), int32(j)
}
func (w *laterHeap) Push(x any) {
	l := x.(later)
	l.m.index = int32(len(*w))
	*w = append(*w, l)
}
func (w *laterHeap) Pop() any {
	old := *w
	l := old[len(old)-1]
	old[len(old)-1] = later{}
	l.m.index = -1
	*w = old[:len(old)-1]
	return l
}
