package smtp

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// What is remembered of attempts: in memory, so until a restart.
const (
	triesOfQueue = 10                 // of one queue; each address keeps its last one longest
	triesInAll   = 10_000             // the oldest go first
	triesAge     = 7 * 24 * time.Hour // older ones are of no use
)

// A try is an attempt that is remembered, or was.
type try struct {
	module.Try // but for Reply
	queue      string
	code       int    // of the reply; 0: said is an error
	said       string // hostile
	kept       bool
	prev, next *try // in the order in which they were added
}

// A book remembers the last attempts. A session is one try, and costs one lock a message.
type book struct {
	mu          sync.Mutex
	queues      map[string][]*try // the oldest first
	first, last *try
	n           int
	since       time.Time // what was before is forgotten
}

// failed adds a connection that was not made.
func (b *book) failed(queue string, t module.Try, why string) {
	b.add(queue, &try{Try: t, said: oneLine(why, maxSaid)})
}

// unfound adds an attempt that found no address to try.
func (b *book) unfound(queue, host string, begin time.Time, r *mail.Result) {
	b.failed(queue, module.Try{Begin: begin, Host: host, Step: module.StepDNS, Outcome: module.Broken}, r.Text)
}

// connected adds a session. It is the caller's to tell what becomes of it.
func (b *book) connected(queue string, t module.Try) *try {
	t.Step, t.Outcome, t.Open = module.StepGreeting, module.Connected, true
	opened := &try{Try: t}
	b.add(queue, opened)
	return opened
}

func (b *book) add(queue string, t *try) {
	t.Took = time.Since(t.Begin)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep(queue, t)
}

// greeted says that the other side has taken us.
func (b *book) greeted(t *try) {
	took := time.Since(t.Begin)
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Took, t.Step = took, module.StepEHLO
}

// sent notes a message that the other side took.
func (b *book) sent(t *try, a answer) {
	took := time.Since(t.Begin)
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Took = took
	if t.Messages++; t.Refusals == 0 {
		t.Step, t.Outcome, t.code, t.said = module.StepEnd, module.Sent, a.code, oneLine(a.said, maxSaid)
	}
}

// refused notes a reply that refused something.
func (b *book) refused(t *try, at module.Step, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Refusals++
	b.trouble(t, at, outcomeOf(a.code), a.code, a.said)
}

// broke notes that the other side is gone.
func (b *book) broke(t *try, at module.Step, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble(t, at, module.Broken, 0, why)
}

// trouble is news that is worth a place, also when newer sessions have taken it. It needs mu.
func (b *book) trouble(t *try, at module.Step, o module.Outcome, code int, said string) {
	t.Took = time.Since(t.Begin)
	t.Step, t.Outcome, t.code, t.said = at, o, code, oneLine(said, maxSaid)
	if !t.kept {
		b.keep(t.queue, t)
	}
}

// ended says that a session is over.
func (b *book) ended(t *try) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Open = false
}

func outcomeOf(code int) module.Outcome {
	if code/100 == 4 {
		return module.Deferred
	}
	return module.Refused
}

// keep puts t behind all others, and lets go of what has no place. It needs mu.
func (b *book) keep(queue string, t *try) {
	list := b.queues[queue]
	if list == nil {
		queue = strings.Clone(queue) // it may be a piece of a whole envelope
		if b.queues == nil {
			b.queues = map[string][]*try{}
		}
	} else {
		queue = list[0].queue
	}
	t.queue, t.kept, t.prev, t.next = queue, true, b.last, nil
	if b.last == nil {
		b.first = t
	} else {
		b.last.next = t
	}
	b.last = t
	b.n++
	b.queues[queue] = append(list, t)
	if list = b.queues[queue]; len(list) > triesOfQueue {
		b.drop(list[spare(list)])
	}
	for b.n > triesInAll || t.Begin.Sub(b.first.Begin) > triesAge {
		b.since = b.first.Begin
		b.drop(b.first)
	}
}

// spare is which of the tries of a queue goes first: the oldest of an address that has a
// newer one, or else the oldest.
func spare(list []*try) int {
	for i, t := range list {
		if slices.ContainsFunc(list[i+1:], func(o *try) bool { return o.Address == t.Address && o.Host == t.Host }) {
			return i
		}
	}
	return 0
}

// drop forgets one. It needs mu.
func (b *book) drop(t *try) {
	if t.prev == nil {
		b.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		b.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.kept, t.prev, t.next = false, nil, nil
	b.n--
	list := b.queues[t.queue]
	i := slices.Index(list, t)
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(b.queues, t.queue)
		return
	}
	b.queues[t.queue] = list
}

// of are the tries of a queue, the newest first, and from when on they are remembered.
func (b *book) of(queue string) (all []module.Try, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.queues[queue] {
		seen := t.Try
		if seen.Reply = t.said; t.code != 0 {
			seen.Reply = strings.TrimSpace(strconv.Itoa(t.code) + " " + t.said)
		}
		all = append(all, seen)
	}
	slices.SortStableFunc(all, func(a, b module.Try) int { return a.Begin.Compare(b.Begin) })
	slices.Reverse(all)
	return all, b.since
}
