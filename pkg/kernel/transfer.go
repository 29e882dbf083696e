package kernel

import (
	"context"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// parkAfter is how many panics in a row park a module, not the server.
const parkAfter = 3

// work lets a module work a host queue, and survives it.
func (k *Kernel) work(ctx context.Context, key queue.Key) {
	q := &hostQueue{k: k, key: key}
	defer func() {
		if p := recover(); p != nil {
			k.crashed(q, p)
		}
		k.mu.Lock()
		k.state.Release(key)
		k.mu.Unlock()
		kick(k.changed)
	}()
	k.module(key.Module).Transfer(ctx, q)
	if q.handed > 0 {
		k.mu.Lock()
		k.parked[key.Module] = 0
		k.mu.Unlock()
	}
}

// crashed deals with a panic in a module: whatever it had in hand waits, and the
// third one in a row parks the module.
func (k *Kernel) crashed(q *hostQueue, p any) {
	r := mail.Result{Status: mail.Status{4, 3, 0}, Text: "internal error, see the log"}
	k.mu.Lock()
	k.parked[q.key.Module]++
	n := k.parked[q.key.Module]
	k.mu.Unlock()
	log := k.log.Queue
	log.Log(context.Background(), serverlog.Crash, q.key.String()+" module crashed",
		"message", q.inHand, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if q.inHand == 0 {
		q.Delay(r)
	} else {
		q.suspend(q.inHand, nil, r)
	}
	if n == parkAfter {
		log.Log(context.Background(), serverlog.Crash, q.key.Module+" has crashed three times in a row and is parked: "+
			"its queues wait until the server is restarted")
	}
}

// A hostQueue is a host queue in the hands of its module.
type hostQueue struct {
	k       *Kernel
	key     queue.Key
	delayed bool
	handed  int
	inHand  mail.ID    // the message that the loop body has, or had when it panicked
	room    spool.Room // of the lease in hand, or nil
}

// writer is the room of the lease in hand, or the ledger.
func (q *hostQueue) writer() writer {
	if q.room != nil {
		return q.room
	}
	return q.k.ledger
}

// Name implements [module.Queue].
func (q *hostQueue) Name() string { return q.key.Queue }

// Delay implements [module.Queue]. What has grown too old meanwhile fails.
func (q *hostQueue) Delay(r mail.Result) {
	k, plan := q.k, q.k.plan(q.key.Module)
	q.delayed = true
	k.mu.Lock()
	now := k.now()
	before, _ := k.state.Delayed(q.key)
	d := fact.Delay{Module: q.key.Module, Queue: q.key.Queue, At: now, Attempts: before.Attempts + 1, Result: clip(r)}
	if d.Until = r.After; d.Until.IsZero() {
		d.Until = now.Add(plan.wait(d.Attempts))
	}
	k.write(q.writer(), nil, []spool.Standing{standing(d)})
	k.state.Delay(d)
	k.mu.Unlock()
	k.logDelayed(d)
	if plan.Expire > 0 {
		k.expire(q.key, plan.Expire, &r)
	}
}

// clip keeps of what a peer has said as much as its fact does.
func clip(r mail.Result) mail.Result {
	r.Text = fact.Limit(r.Text)
	return r
}

// Due implements [module.Queue].
func (q *hostQueue) Due(ctx context.Context) iter.Seq[*module.Transfer] {
	return func(yield func(*module.Transfer) bool) {
		for n := 0; ctx.Err() == nil && !q.delayed; n++ {
			k := q.k
			k.mu.Lock()
			var l queue.Lease
			ok := !k.stopping && !(n >= quantum && k.state.Crowded(q.key.Module))
			if ok {
				l, ok = k.state.Lease(q.key, k.now())
			}
			k.mu.Unlock()
			if !ok || !q.reserve(l) || !q.hand(l, yield) {
				return
			}
		}
	}
}

// reserve takes the room for what can be said of a lease: a result a recipient, the
// delay of the message, that of the queue (SPOOL J5). Where there is none the message
// waits a moment: a checkpoint makes room.
func (q *hostQueue) reserve(l queue.Lease) bool {
	k := q.k
	room, err := k.ledger.Reserve(len(l.Rcpts) + 2)
	k.room.tell(k.log.Queue, err)
	if err == nil {
		q.room = room
		return true
	}
	k.mu.Lock()
	k.state.Pause(q.key, l.ID, time.Now().Add(roomPause))
	k.state.Return(l)
	k.mu.Unlock()
	return false
}

// roomPause is how long a message waits for room in the journal.
const roomPause = time.Second

// hand lends one message to the module; whatever the module does, panic included,
// the lease ends here. A module that has neither settled nor delayed anything, and
// wants to go on, would spin: the message pauses.
func (q *hostQueue) hand(l queue.Lease, yield func(*module.Transfer) bool) (goOn bool) {
	k := q.k
	le := &lease{q: q, l: l, settled: make([]bool, len(l.Rcpts))}
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		le.over = true
		if goOn && !le.spoken && !q.delayed {
			k.state.Pause(q.key, l.ID, time.Now().Add(idlePause))
		}
		k.state.Return(l)
		q.room.Release()
		q.room = nil
	}()
	t := &module.Transfer{ID: l.ID, Envelope: l.Envelope, Size: l.Size, Repeated: l.Repeated, Filtered: l.Filtered, SkipRules: l.Skip, Lease: le,
		Recipients: make([]module.Recipient, len(l.Rcpts))}
	for i, n := range l.Rcpts {
		t.Recipients[i] = module.Recipient{Recipient: l.Envelope.Recipients[n], To: l.To[i], Index: n}
	}
	q.inHand = l.ID
	goOn = yield(t)
	q.inHand = 0
	q.handed++
	return goOn
}

// idlePause is how long a message rests of which a module has said nothing.
const idlePause = time.Minute

// A lease is a Transfer's way back to the kernel.
type lease struct {
	q       *hostQueue
	l       queue.Lease
	settled []bool
	spoken  bool // something was settled or delayed
	over    bool
}

// Open implements [module.Lease].
func (l *lease) Open() (io.ReadSeekCloser, error) { return l.q.k.ledger.Open(l.l.ID) }

// speak says whether the module may still speak of recipient i.
func (l *lease) speak(i int) bool {
	if l.over || i < 0 || i >= len(l.settled) || l.settled[i] {
		return false
	}
	l.settled[i], l.spoken = true, true
	return true
}

// Settle implements [module.Lease].
func (l *lease) Settle(i int, r mail.Result) {
	if !l.speak(i) {
		return
	}
	k, id, rcpt := l.q.k, l.l.ID, l.l.Rcpts[i]
	now := k.answered(l.q.key)
	r = clip(r)
	if r.Final() {
		k.observe(l.q.writer(), fact.Change{ID: id, Fact: fact.Settled{Rcpt: rcpt, At: now, Result: r}})
		return
	}
	plan := k.plan(l.q.key.Module)
	k.mu.Lock()
	old := k.tooOld(plan, id, l.l.Envelope.Submitted, now)
	own, _ := k.state.Attempts(id, rcpt)
	k.mu.Unlock()
	if old {
		k.observe(l.q.writer(), fact.Change{ID: id, Fact: expired(rcpt, now, r)})
		return
	}
	t := fact.Tried{Rcpt: rcpt, At: now, Attempts: own + 1, Until: r.After, Result: r}
	if t.Until.IsZero() {
		t.Until = now.Add(plan.wait(t.Attempts))
	}
	k.observe(l.q.writer(), fact.Change{ID: id, Fact: t})
	k.logTried(id, l.q.key, l.l.To[i], t)
}

// Delay implements [module.Lease].
func (l *lease) Delay(r mail.Result) {
	if l.over {
		return
	}
	l.spoken = true
	k := l.q.k
	now := k.answered(l.q.key)
	var left []int
	for i, rcpt := range l.l.Rcpts {
		if !l.settled[i] {
			left = append(left, rcpt)
		}
	}
	k.mu.Lock()
	old := k.tooOld(k.plan(l.q.key.Module), l.l.ID, l.l.Envelope.Submitted, now)
	k.mu.Unlock()
	if old {
		for _, rcpt := range left {
			k.observe(l.q.writer(), fact.Change{ID: l.l.ID, Fact: expired(rcpt, now, r)})
		}
		return
	}
	l.q.suspend(l.l.ID, left, r)
}

// suspend delays one message in this queue.
func (q *hostQueue) suspend(id mail.ID, rcpts []int, r mail.Result) {
	k := q.k
	rcpt := 0
	if len(rcpts) > 0 {
		rcpt = rcpts[0]
	}
	k.mu.Lock()
	now := k.now()
	_, attempts := k.state.Attempts(id, rcpt)
	k.mu.Unlock()
	s := fact.Suspended{Module: q.key.Module, Queue: q.key.Queue, At: now, Attempts: attempts + 1, Until: r.After, Result: clip(r)}
	if s.Until.IsZero() {
		s.Until = now.Add(k.plan(q.key.Module).wait(s.Attempts))
	}
	k.observe(q.writer(), fact.Change{ID: id, Fact: s})
	k.logSuspended(id, s)
}

// Beget implements [module.Lease]. It is a decision, because it makes a message.
func (l *lease) Beget(ctx context.Context, i int, r mail.Result, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	if l.over || i < 0 || i >= len(l.settled) || l.settled[i] {
		return 0, fmt.Errorf("message %d: recipient %d is not in hand", l.l.ID, i)
	}
	s := fact.Settled{Rcpt: l.l.Rcpts[i], At: time.Now(), Result: clip(r)}
	id, err := l.q.k.begetter.Beget(ctx, env, text, func(mail.ID) []fact.Change {
		return []fact.Change{{ID: l.l.ID, Fact: s}}
	})
	if err == nil {
		l.speak(i)
	}
	return id, err
}

// answered says that the host of a queue works again: its delay, which is over, is
// forgotten, and so are its attempts. It returns the time.
func (k *Kernel) answered(key queue.Key) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, delayed := k.state.Delayed(key); delayed {
		k.recover(key)
	}
	if k.state.Answered(key) {
		kick(k.changed) // it may have more workers now
	}
	return k.now()
}

// recover takes the delay of a host queue back. The caller holds mu.
func (k *Kernel) recover(key queue.Key) {
	k.write(k.ledger, nil, []spool.Standing{{Key: standingKey(key)}})
	k.state.Delay(fact.Delay{Module: key.Module, Queue: key.Queue})
}
