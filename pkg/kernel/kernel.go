// Package kernel runs the queue: it owns the one [queue.State] behind the one
// lock, puts facts into the ledger, wakes modules when work is due, and hands what
// is done to the Dequeuer. It does not route, and does not write reports.
//
// Facts come in two orders. An observation is appended and applied under the lock,
// so that the ledger has them in the order in which they were applied, and is
// durable within settled_sync. A decision is appended, waited for without the lock,
// and then applied; see [Kernel.Reject].
package kernel

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

// A Ledger keeps facts and texts; [spool.Spool] is one.
type Ledger interface {
	// Append and Act record facts, and standing things, as one frame, whole or not
	// at all. They never wait for the disk.
	Append(changes ...fact.Change) (journal.Number, error)
	Act(changes []fact.Change, stands []spool.Standing) (journal.Number, error)
	// Reserve returns room for so many frames of facts, or an error matching
	// [spool.ErrFull]: who has it can record what he does, however full it gets.
	Reserve(frames int) (spool.Room, error)
	// Wait returns nil when everything up to the number survives power loss. Nobody
	// calls it holding a lock.
	Wait(n journal.Number) error
	// Open returns the text of a message. Close it.
	Open(id mail.ID) (io.ReadSeekCloser, error)
}

// A writer takes observations: the ledger, or the room of a lease.
type writer interface {
	Act(changes []fact.Change, stands []spool.Standing) (journal.Number, error)
}

// An Enqueuer is what the kernel knows of the one: a [Begetter], and the module that has
// the host queue of what is not enqueued yet (chapter: Enqueue Asynchronously).
type Enqueuer interface {
	module.Module
	Begetter
}

// A Begetter submits a message and records the facts about those that it came of,
// which may name it, as one frame (SPOOL L5), and then applies them; the Enqueuer is
// one. It may ask for the facts with no id first, to know what they will be.
type Begetter interface {
	Beget(ctx context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error)
}

// A Plan is how a module works its queues. The kernel asks for it anew each time.
type Plan struct {
	queue.Limits
	Retry  []time.Duration // waits after the first, second … attempt; the last repeats
	Expire time.Duration   // age at which a failed attempt is the last; 0: never
}

// DefaultSettledSync is the longest time for which an observation is not durable,
// unless it is set (SPOOL L3).
const DefaultSettledSync = 100 * time.Millisecond

// DefaultTrashAge is how long the trash keeps what was put there, unless it is set.
const DefaultTrashAge = 24 * time.Hour

// quantum is how many messages a worker takes while others wait.
const quantum = 100

// Kernel runs the queue. Its methods are safe for concurrent use.
type Kernel struct {
	ledger   Ledger
	log      Logs
	plan     func(module string) Plan
	begetter Begetter
	modules  []module.Module
	room     room
	acts     atomic.Uint64 // the number of the last act
	acting   acting        // how far those are that run now
	trashAge atomic.Int64  // in nanoseconds
	deciding sync.Mutex    // the number of the last act stands in the journal in its order
	emptying sync.Mutex    // one takes things out of the trash at a time

	mu       sync.Mutex
	state    *queue.State
	newest   journal.Number // of what was observed
	unsure   []unsure       // what was observed and may not be durable yet
	syncing  *time.Timer    // not nil: that will be durable soon
	soon     time.Duration  // how soon
	parked   map[string]int // panics in a row of each module
	wall     wall
	restored *fact.Restored // not nil: a restored backup is held
	freed    string         // the reason of a hold that was taken away
	stopping bool           // nothing new is handed out
	cut      func()         // ends the transfers under way

	changed  chan struct{} // capacity 1: Wake may have come nearer
	reported chan struct{} // capacity 1: ReportWake may have come nearer
	stale    chan struct{} // capacity 1: something to be swept may have come nearer
}

// Logs are where the kernel writes.
type Logs struct {
	Queue    *slog.Logger // tag QUEUE
	Dequeuer *slog.Logger // tag DEQUEUER

	// EMails gets a record for each end of a recipient, while Deliveries says so (chapter:
	// Log Message Delivery). Nil: it never does.
	EMails     *slog.Logger
	Deliveries func() bool

	Class func(mail.Result) string // why something failed, in a word, for EMails; nil: it does not say
}

// New returns a kernel with an empty queue. Nothing happens before Run.
func New(l Ledger, plan func(module string) Plan, log Logs, mods ...module.Module) *Kernel {
	k := &Kernel{ledger: l, log: log, plan: plan, modules: mods, state: queue.New(), parked: map[string]int{},
		soon: DefaultSettledSync, wall: wall{began: time.Now()},
		changed: make(chan struct{}, 1), reported: make(chan struct{}, 1), stale: make(chan struct{}, 1)}
	k.trashAge.Store(int64(DefaultTrashAge))
	return k
}

// SetReportingDelay sets the chapter's Reporting Delay.
func (k *Kernel) SetReportingDelay(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.ReportingDelay = d
}

// SetWarnings sets at which ages of a message its sender is told that it still waits.
func (k *Kernel) SetWarnings(ages []time.Duration) {
	k.mu.Lock()
	k.state.SetWarnings(ages)
	k.mu.Unlock()
	kick(k.stale)
}

// SetSettledSync sets how soon an observation is durable (settled_sync): a transfer
// may repeat when power fails before that. Above zero.
func (k *Kernel) SetSettledSync(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.soon = d
}

// Insert puts a message into its host queues. The caller has waited: the message
// and its facts are durable, else a module could send what was never accepted
// (SPOOL L1, L3). Without facts it is for the Enqueuer first.
func (k *Kernel) Insert(m queue.Message, facts ...fact.Fact) {
	k.mu.Lock()
	k.state.Add(m)
	var done []settled
	if len(facts) == 0 {
		for i, r := range m.Envelope.Recipients {
			k.state.Apply(m.ID, queue.Coming(i, r.Address))
		}
	}
	for _, f := range facts {
		k.state.Apply(m.ID, f)
		done = k.collect(done, fact.Change{ID: m.ID, Fact: f})
	}
	total := k.state.Len()
	k.mu.Unlock()
	if len(facts) > 0 {
		k.logEnqueued(m.ID, total)
	}
	k.logSettled(done)
	kick(k.changed)
	if len(done) > 0 {
		kick(k.reported)
	}
}

// Restore puts a message back that a start has found. The recipients that are not
// done are routed anew: routes replace what its facts say of that. Refused are
// those that the Router does not take any more. No delay lasts longer than the longest
// step of its module from now: the clock may have jumped (SPOOL L9).
func (k *Kernel) Restore(m queue.Message, facts []fact.Fact, routes []fact.Routed, refused []fact.Settled) {
	k.mu.Lock()
	now := k.now()
	if m.Hold == k.freed { // meanwhile
		m.Hold = ""
	}
	k.state.Add(m)
	for _, r := range routes {
		k.state.Apply(m.ID, r)
	}
	today := map[int]fact.Routed{}
	for _, r := range routes {
		today[r.Rcpt] = r
	}
	for _, f := range facts {
		switch f := f.(type) {
		case fact.Routed:
			if _, anew := today[f.Rcpt]; !anew {
				today[f.Rcpt] = f
				k.state.Apply(m.ID, f)
			}
		case fact.Rerouted: // its attempts are forgotten; the way is today's
			if r, anew := today[f.Rcpt]; anew {
				f.Module, f.Queue, f.Address = r.Module, r.Queue, r.Address
			}
			k.state.Apply(m.ID, f)
		case fact.Tried:
			f.Until = k.soonEnough(f.Until, today[f.Rcpt].Module, now)
			k.state.Apply(m.ID, f)
		case fact.Freed:
			f.Until = k.soonEnough(f.Until, today[f.Rcpt].Module, now)
			k.state.Apply(m.ID, f)
		case fact.Rejected:
			k.sawAct(f.Act)
			k.state.Apply(m.ID, f)
		case fact.Suspended:
			f.Until = k.soonEnough(f.Until, f.Module, now)
			k.state.Apply(m.ID, f)
		default:
			k.state.Apply(m.ID, f)
		}
	}
	if k.restored != nil && m.Hold == k.restored.Reason() {
		k.state.Hush(m.ID) // SPOOL R6
	}
	k.mu.Unlock()
	for _, s := range refused {
		k.observe(k.ledger, fact.Change{ID: m.ID, Fact: s})
	}
	kick(k.changed)
	kick(k.reported)
}

// RestoreStanding puts the standing things back that a start has found: the delays of
// host queues, and the hold on a restored backup. It comes before [Kernel.Restore]. No
// delay lasts longer than the longest step of its module from now: the clock may have
// jumped (SPOOL L9).
func (k *Kernel) RestoreStanding(standing map[string]string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.restoreRestored(standing)
	if n, err := strconv.ParseUint(standing[fact.ActsKey], 10, 64); err == nil {
		k.sawAct(n)
	}
	for key, value := range standing {
		if strings.HasPrefix(key, fact.HoldKey) && key != fact.RestoredKey {
			k.restoreHold(key, value)
		}
		if !strings.HasPrefix(key, delayKey) {
			continue
		}
		d, err := fact.ParseDelay(value)
		if err != nil {
			k.log.Queue.Error("a standing delay cannot be read and is forgotten", "key", key, "err", err)
			continue
		}
		d.Until = k.soonEnough(d.Until, d.Module, now)
		k.state.Delay(d)
	}
}

// sawAct says that there has been an act of that number.
func (k *Kernel) sawAct(number uint64) {
	for last := k.acts.Load(); number > last && !k.acts.CompareAndSwap(last, number); last = k.acts.Load() {
	}
}

// soonEnough is a time, or, if it lies beyond that, the longest step of a module from now.
func (k *Kernel) soonEnough(until time.Time, module string, now time.Time) time.Time {
	if latest := now.Add(longest(k.plan(module).Retry)); until.After(latest) {
		return latest
	}
	return until
}

// Run lets the modules and the Enqueuer work until ctx ends. Then nothing new is handed
// out, the transfers in progress have grace to finish before their context ends, too, and
// what they said is made durable (SPOOL L8).
func (k *Kernel) Run(ctx context.Context, e Enqueuer, grace time.Duration) {
	if e != nil {
		k.mu.Lock()
		k.begetter, k.modules = e, append(slices.Clip(k.modules), e)
		k.mu.Unlock()
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	k.mu.Lock()
	k.cut = cancel
	k.mu.Unlock()
	var work sync.WaitGroup
	work.Go(func() { k.sweep(ctx) })
	k.dispatch(ctx, func(key queue.Key) { work.Go(func() { k.work(working, key) }) })
	k.mu.Lock()
	k.stopping = true
	k.mu.Unlock()
	timer := time.AfterFunc(grace, cancel)
	work.Wait()
	timer.Stop()
	k.sync()
}

// dispatch gives workers to host queues as they want them.
func (k *Kernel) dispatch(ctx context.Context, start func(queue.Key)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		k.mu.Lock()
		keys := k.take(k.now())
		at, any := k.state.Wake()
		any = any && !k.stopping
		k.mu.Unlock()
		for _, key := range keys {
			start(key)
		}
		if any {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.changed:
		}
	}
}

// take claims all host queues that want a worker. The caller holds mu.
func (k *Kernel) take(now time.Time) (keys []queue.Key) {
	if k.stopping {
		return nil
	}
	for _, m := range k.modules {
		limits := k.plan(m.Name()).Limits
		if k.parked[m.Name()] >= parkAfter {
			limits = queue.Limits{}
		}
		k.state.SetLimits(m.Name(), limits)
		for {
			key, idle, ok := k.state.Take(m.Name(), now)
			for _, i := range idle {
				k.recover(i)
			}
			if !ok {
				break
			}
			keys = append(keys, key)
		}
	}
	return keys
}

func (k *Kernel) module(name string) module.Module {
	i := slices.IndexFunc(k.modules, func(m module.Module) bool { return m.Name() == name })
	if i < 0 {
		return nil
	}
	return k.modules[i]
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// observe appends and applies what has happened. It is true even if it cannot be
// written: then a restart may repeat a transfer.
func (k *Kernel) observe(to writer, changes ...fact.Change) {
	k.mu.Lock()
	k.write(to, changes, nil)
	var one [1]settled // most changes are of one recipient
	done := one[:0]
	for _, c := range changes {
		k.state.Apply(c.ID, c.Fact)
		done = k.collect(done, c)
	}
	k.mu.Unlock()
	if len(done) > 0 {
		k.logSettled(done)
		kick(k.reported)
	}
}

// wait is how long to wait after so many failed attempts.
func (p Plan) wait(attempts int) time.Duration {
	if len(p.Retry) == 0 {
		return 30 * time.Minute
	}
	return p.Retry[min(max(attempts, 1), len(p.Retry))-1]
}

func longest(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 30 * time.Minute
	}
	return slices.Max(all)
}

// standing is how the delay of a host queue stands in the journal.
func standing(d fact.Delay) spool.Standing {
	return spool.Standing{Key: standingKey(queue.Key{Module: d.Module, Queue: d.Queue}), Value: string(fact.AppendDelay(nil, d))}
}

// delayKey begins the keys of standing delays.
const delayKey = "delay "

func standingKey(k queue.Key) string { return delayKey + k.Module + " " + k.Queue }
