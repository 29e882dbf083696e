package moduletest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"sync"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// A Message is one that a Queue hands to a module.
type Message struct {
	ID       mail.ID        // zero: NewQueue gives the next one
	Envelope mail.Envelope  // without Recipients they are To
	To       []mail.Address // as routed; empty: the addresses of Envelope.Recipients
	Text     string         // RFC 5322 with LF line ends
	OpenErr  error          // when not nil, Open fails with it
	ReadErr  error          // when not nil, reading fails with it after half the text
	Repeated bool           // see module.Transfer
}

// A Begotten is a message that a module submitted with Beget.
type Begotten struct {
	ID       mail.ID
	Parent   mail.ID
	Envelope *mail.Envelope
	Text     string
}

// A Queue is a host queue for tests: it hands out messages as the kernel does,
// keeps what the module says of them, and notes where the module breaks the
// contract of package module. It is safe for concurrent use.
type Queue struct {
	name string

	mu       sync.Mutex
	entries  []*entry
	delay    *mail.Result
	taken    int
	last     mail.ID
	begotten []Begotten
	faults   []string

	onTake func(n int) // called without mu when the n-th message is handed out
}

// An entry is a message in the queue.
type entry struct {
	m       *Message
	results []mail.Result
	settled []bool
	delay   *mail.Result
	taken   bool // handed out since the last Release
}

// NewQueue returns a queue with messages, which it hands out in this order. It
// panics when a message has no recipient, or another number of To than of
// Envelope.Recipients.
func NewQueue(name string, msgs ...*Message) *Queue {
	q := &Queue{name: name, last: 1000}
	for _, m := range msgs {
		if m.ID == 0 {
			m.ID = q.last + 1
		}
		q.last = max(q.last, m.ID)
		if len(m.To) == 0 {
			for _, r := range m.Envelope.Recipients {
				m.To = append(m.To, r.Address)
			}
		}
		if len(m.Envelope.Recipients) == 0 {
			for _, to := range m.To {
				m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: to})
			}
		}
		if n := len(m.To); n == 0 || n != len(m.Envelope.Recipients) {
			panic(fmt.Sprintf("moduletest: message %s has %d To and %d Recipients", m.ID, n, len(m.Envelope.Recipients)))
		}
		q.entries = append(q.entries, &entry{m: m, results: make([]mail.Result, len(m.To)), settled: make([]bool, len(m.To))})
	}
	return q
}

// Name implements [module.Queue].
func (q *Queue) Name() string { return q.name }

// Due implements [module.Queue]. A message is handed out once, and again only
// after Release.
func (q *Queue) Due(ctx context.Context) iter.Seq[*module.Transfer] {
	return func(yield func(*module.Transfer) bool) {
		for {
			t, l := q.take(ctx)
			if t == nil || !l.lend(yield, t) {
				return
			}
		}
	}
}

// take hands out the next message that is due, or nil.
func (q *Queue) take(ctx context.Context) (*module.Transfer, *lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if ctx.Err() != nil || q.delay != nil {
		return nil, nil
	}
	for _, e := range q.entries {
		if e.taken || e.delay != nil {
			continue
		}
		env := e.m.Envelope
		env.Recipients = slices.Clone(env.Recipients)
		l := &lease{q: q, e: e, env: &env}
		t := &module.Transfer{ID: e.m.ID, Envelope: &env, Size: int64(len(e.m.Text)), Repeated: e.m.Repeated, Lease: l}
		for i, done := range e.settled {
			if !done {
				l.due = append(l.due, i)
				t.Recipients = append(t.Recipients, module.Recipient{Recipient: env.Recipients[i], To: e.m.To[i]})
			}
		}
		if len(l.due) == 0 {
			continue
		}
		e.taken = true
		q.taken++
		return t, l
	}
	return nil, nil
}

// Delay implements [module.Queue].
func (q *Queue) Delay(r mail.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Action != mail.Delayed {
		q.fault("Queue.Delay with action %s", r.Action)
	}
	q.delay = &r
}

// Release makes everything that is not finished due at once, as Release Now does:
// delays end, and what was left alone is handed out again.
func (q *Queue) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delay = nil
	for _, e := range q.entries {
		e.delay, e.taken = nil, false
		for i, r := range e.results {
			e.settled[i] = e.settled[i] && r.Final()
		}
	}
}

// Results returns the last result of every recipient of every message, in the
// order of To: the zero Result where there was none.
func (q *Queue) Results() map[mail.ID][]mail.Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := map[mail.ID][]mail.Result{}
	for _, e := range q.entries {
		all[e.m.ID] = slices.Clone(e.results)
	}
	return all
}

// Delayed returns the result that delayed the whole queue, if one does.
func (q *Queue) Delayed() (mail.Result, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.delay == nil {
		return mail.Result{}, false
	}
	return *q.delay, true
}

// MessageDelayed returns the result that delayed one message, if one does.
func (q *Queue) MessageDelayed(id mail.ID) (mail.Result, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.m.ID == id && e.delay != nil {
			return *e.delay, true
		}
	}
	return mail.Result{}, false
}

// Taken returns how many messages have been handed out; one that was handed out
// again after Release counts again.
func (q *Queue) Taken() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.taken
}

// Begotten returns the messages that came of those in the queue.
func (q *Queue) Begotten() []Begotten {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.begotten)
}

// Faults returns what the module did against the contract, a sentence each: a
// recipient settled twice, a lease or a text used after the loop body, a text left
// open, an envelope changed, an action that does not belong there.
func (q *Queue) Faults() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.faults)
}

// Check fails the test for every fault.
func (q *Queue) Check(t testing.TB) {
	t.Helper()
	for _, f := range q.Faults() {
		t.Error(f)
	}
}

func (q *Queue) fault(format string, args ...any) {
	q.faults = append(q.faults, fmt.Sprintf(format, args...))
}

var errOver = errors.New("moduletest: the lease is over")

// A lease implements [module.Lease] for one message.
type lease struct {
	q    *Queue
	e    *entry
	env  *mail.Envelope // the module's copy
	due  []int          // Transfer.Recipients[i] is recipient due[i] of the message
	over bool
	open int // texts not closed
}

// lend runs the loop body; however that ends, the lease does.
func (l *lease) lend(yield func(*module.Transfer) bool, t *module.Transfer) bool {
	defer func() {
		l.q.mu.Lock()
		defer l.q.mu.Unlock()
		l.over = true
		if l.open != 0 {
			l.q.fault("message %s: text left open", l.e.m.ID)
		}
		if !reflect.DeepEqual(*l.env, l.e.m.Envelope) {
			l.q.fault("message %s: envelope changed", l.e.m.ID)
		}
	}()
	if l.q.onTake != nil {
		l.q.onTake(l.q.Taken())
	}
	return yield(t)
}

// live says whether the lease may still be used, and notes it when not. It needs q.mu.
func (l *lease) live(call string) bool {
	if l.over {
		l.q.fault("message %s: %s after its loop body", l.e.m.ID, call)
	}
	return !l.over
}

// Open implements [module.Lease].
func (l *lease) Open() (io.ReadSeekCloser, error) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if !l.live("Open") {
		return nil, errOver
	}
	if l.e.m.OpenErr != nil {
		return nil, l.e.m.OpenErr
	}
	l.open++
	return newText(l), nil
}

// Settle implements [module.Lease].
func (l *lease) Settle(i int, r mail.Result) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if l.live("Settle") {
		l.settle(i, r)
	}
}

func (l *lease) settle(i int, r mail.Result) bool {
	if i < 0 || i >= len(l.due) {
		l.q.fault("message %s: Settle(%d) of %d recipients", l.e.m.ID, i, len(l.due))
		return false
	}
	n := l.due[i]
	if l.e.settled[n] {
		l.q.fault("message %s: <%s> settled twice: %s, then %s", l.e.m.ID, l.e.m.To[n], l.e.results[n].Action, r.Action)
		return false
	}
	l.e.settled[n], l.e.results[n] = true, r
	return true
}

// Delay implements [module.Lease].
func (l *lease) Delay(r mail.Result) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if !l.live("Delay") {
		return
	}
	if r.Action != mail.Delayed {
		l.q.fault("message %s: Delay with action %s", l.e.m.ID, r.Action)
	}
	l.e.delay = &r
}

// Beget implements [module.Lease].
func (l *lease) Beget(ctx context.Context, i int, r mail.Result, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	body, err := io.ReadAll(text)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("moduletest: beget: %w", err)
	}
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if !l.live("Beget") {
		return 0, errOver
	}
	if !l.settle(i, r) {
		return 0, errors.New("moduletest: beget: no such recipient, or settled")
	}
	l.q.last++
	l.q.begotten = append(l.q.begotten, Begotten{l.q.last, l.e.m.ID, env, string(body)})
	return l.q.last, nil
}
