package kernel

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/spool"
)

// ErrEmpty is returned for an act on an empty selection: "all" is typed in full.
var ErrEmpty = errors.New("an empty selection: name what to act on, or all")

// slice is how many messages are looked at, and how many rows leased or applied, under one
// lock.
const slice = 500

// breathe lets others work after an act has worked for a while: it has time, they have
// not.
func breathe(began time.Time) { time.Sleep(2 * time.Since(began)) }

// An Order says who wants an act, and whether it is to be done, or only counted.
type Order struct {
	By  string
	Dry bool
}

// An Outcome counts what an act has done, or, of a dry run, would do.
type Outcome struct {
	Act      uint64      // its number; 0: nothing was changed
	Queues   int         // host queues that the act was about
	Changed  int         // of them, those that a release has changed something in
	Idle     []queue.Key // the others of a release
	Messages int         // that the matched rows are of
	Matched  int         // rows: recipients that are not done
	Rows     int         // of them, those that were changed
	Skipped  []Skip      // the others
	Moves    []Move      // of a reroute
}

// A Skip is a row that an act has left alone.
type Skip struct {
	queue.Row
	Reason string
}

// Why an act leaves rows alone.
const (
	Busy    = "being processed" // chapter: only the addresses that are not being processed can be rejected
	OnHold  = "held"
	NotYet  = "the Enqueuer has not dealt with it yet"
	AtOnce  = "not delayed"
	SameWay = "it goes there already"
)

// A deed is what an act does of one row: a fact, or none, and why it is left alone; no
// fact and no reason is that of a row which something else changes, such as its host
// queue. It is asked with the kernel's lock.
type deed func(queue.Row) (fact.Fact, string)

// An act in the making: it has its rows in hand from the beginning to its end, so that
// no module is handed them, and nobody else changes them. One frame says it, whole or
// not at all; and only when that is durable, which nobody waits for holding the lock, it
// is applied and told (SPOOL L4). A dry run has nothing in hand, and delays nobody.
type act struct {
	k       *Kernel
	number  uint64 // 0: a dry run
	out     Outcome
	rows    []queue.Row
	changes []fact.Change
	hosts   []fact.Delay // their delays after it
	steps   int64        // of its rows that were made, of two each
}

// An acting is how far the acts are that change something and run now: of how many rows
// they are, each of two steps, to decide it and to apply it, and how many steps were made.
type acting struct{ rows, steps atomic.Int64 }

// Acting returns of how many recipients the acts are that run now, and of how many they
// are done. An act that still looks for what it is about takes more.
func (k *Kernel) Acting() (rows, done int64) {
	return k.acting.rows.Load(), k.acting.steps.Load() / 2
}

// step counts n steps of an act.
func (a *act) step(n int) {
	if a.number != 0 {
		a.steps += int64(n)
		a.k.acting.steps.Add(int64(n))
	}
}

// begin takes the rows of a selection into the hands of an act, or, of a dry run, looks
// at them. What comes into the queue after its beginning is not taken.
func (k *Kernel) begin(sel *selection.Selection, o Order) (*act, error) {
	if sel == nil || sel.Empty() {
		return nil, ErrEmpty
	}
	a := &act{k: k}
	choose := k.state.Rows
	if !o.Dry {
		a.number, choose = k.acts.Add(1), k.state.LeaseRows
	}
	most := sel.Limit()
	if most == 0 {
		most = -1
	}
	end := k.newestID()
	for after, more := mail.ID(0), true; more && after < end && most != 0; {
		k.mu.Lock()
		began := time.Now()
		c, err := choose(sel, after, slice, most, k.now())
		k.mu.Unlock()
		if len(c.Free) > 0 {
			breathe(began)
		}
		if err != nil {
			a.end()
			return nil, err
		}
		a.out.Messages, most = a.out.Messages+c.Messages, most-c.Messages
		for _, row := range c.Busy {
			a.out.Skipped = append(a.out.Skipped, Skip{row, Busy})
		}
		a.rows = append(a.rows, c.Free...)
		if a.number != 0 {
			k.acting.rows.Add(int64(len(c.Free)))
		}
		after, more = c.Last, c.More
	}
	a.out.Matched = len(a.rows) + len(a.out.Skipped)
	return a, nil
}

// end gives the rows back.
func (a *act) end() {
	if a.number == 0 {
		return
	}
	a.k.slices(a.rows, a.k.state.ReturnRow)
	a.k.acting.rows.Add(-int64(len(a.rows)))
	a.k.acting.steps.Add(-a.steps)
	kick(a.k.changed)
	kick(a.k.reported)
	kick(a.k.stale)
}

// each does something with all rows.
func (a *act) each(do deed) {
	a.k.slices(a.rows, func(row queue.Row) {
		a.step(1)
		f, why := do(row)
		if why != "" {
			a.out.Skipped = append(a.out.Skipped, Skip{row, why})
			return
		}
		a.out.Rows++
		if f != nil {
			a.changes = append(a.changes, fact.Change{ID: row.ID, Fact: f})
		}
	})
}

// commit makes the act true; a dry run, and one that changes nothing, it leaves.
func (a *act) commit() (Outcome, error) {
	if a.number == 0 || len(a.changes)+len(a.hosts) == 0 {
		return a.out, nil
	}
	var stands []spool.Standing
	for _, d := range a.hosts {
		stands = append(stands, standing(d))
	}
	if err := a.k.decide(a.changes, stands); err != nil {
		return Outcome{Matched: a.out.Matched, Messages: a.out.Messages, Skipped: a.out.Skipped}, err
	}
	a.k.applySlices(a.changes, a.step)
	a.k.undelay(a.hosts)
	a.out.Act = a.number
	return a.out, nil
}

// decide makes facts and standing things durable, with the number of the last act, as
// one frame.
func (k *Kernel) decide(changes []fact.Change, stands []spool.Standing) error {
	k.deciding.Lock()
	stands = append(stands, spool.Standing{Key: fact.ActsKey, Value: strconv.FormatUint(k.acts.Load(), 10)})
	n, err := k.ledger.Act(changes, stands)
	k.deciding.Unlock()
	if err == nil {
		err = k.ledger.Wait(n)
	}
	return err
}

// Reject takes the recipients of a selection out of the queue for good (chapter:
// Reject Host Queue, Reject Message). With report the senders hear the text; without,
// what is rejected rests in the trash.
func (k *Kernel) Reject(sel *selection.Selection, o Order, text string, report bool) (Outcome, error) {
	a, err := k.begin(sel, o)
	if err != nil {
		return Outcome{}, err
	}
	defer a.end()
	now := time.Now()
	a.each(func(row queue.Row) (fact.Fact, string) {
		return fact.Rejected{Rcpt: row.Rcpt, At: now, By: o.By, Report: report, Text: text, Act: a.number}, ""
	})
	a.out.Queues = len(k.whole(sel))
	return a.commit()
}

// A Pace keeps a release from looking like an attack to those who get the mail: of each
// host queue Burst messages may go at once, then PerSecond of them.
type Pace struct {
	Burst     int
	PerSecond int // 0: all at once
}

// wait is how long the message waits that is the n-th of its host queue, from 0.
func (p Pace) wait(n int) time.Duration {
	if p.PerSecond <= 0 || n < p.Burst {
		return 0
	}
	return time.Duration(n-p.Burst+1) * time.Second / time.Duration(p.PerSecond)
}

// Release lets the modules work the host queues and messages of a selection now
// (chapter: Release Now): the delays go, attempts and age stay. A message that is released
// takes its host queue with it: nobody can try the one without the other.
func (k *Kernel) Release(sel *selection.Selection, o Order, pace Pace) (Outcome, error) {
	a, err := k.begin(sel, o)
	if err != nil {
		return Outcome{}, err
	}
	defer a.end()
	now := k.clock()
	hosts := map[queue.Key]bool{} // those of the selection; true: something changes in it
	whole := map[queue.Key]bool{} // of them, those that it names: what comes next is meant, too
	for _, key := range k.whole(sel) {
		hosts[key], whole[key] = false, true
	}
	before := map[queue.Key]int{}
	last := mail.ID(0)
	a.each(func(row queue.Row) (fact.Fact, string) {
		w, ok := k.state.Waits(row, now)
		if !ok {
			return nil, AtOnce
		}
		hosts[w.Key] = hosts[w.Key] || !w.Held && (w.Delayed || w.Queue)
		switch {
		case w.Held:
			return nil, OnHold
		case !w.Delayed && !w.Queue:
			return nil, AtOnce
		}
		if !w.Delayed {
			return nil, "" // with its host queue, whose delay is one record
		}
		if row.ID != last {
			before[w.Key]++
		}
		last = row.ID
		f := fact.Freed{Rcpt: row.Rcpt, At: now, By: o.By, Act: a.number}
		if wait := pace.wait(before[w.Key] - 1); wait > 0 {
			f.Until = now.Add(wait)
		}
		return f, ""
	})
	a.undelay(hosts, whole, now)
	return a.commit()
}

// undelay ends the delays of host queues, if something changes in them, or they are named.
func (a *act) undelay(hosts, whole map[queue.Key]bool, now time.Time) {
	a.k.mu.Lock()
	defer a.k.mu.Unlock()
	for key, changes := range hosts {
		d, delayed := a.k.state.Delayed(key)
		if delayed && d.Until.After(now) && (changes || whole[key]) {
			d.Until, changes = now, true
			a.hosts = append(a.hosts, d)
		}
		if a.out.Queues++; changes {
			a.out.Changed++
		} else {
			a.out.Idle = append(a.out.Idle, key)
		}
	}
}

func (k *Kernel) newestID() mail.ID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Newest()
}

// whole returns the host queues that a selection is about as a whole.
func (k *Kernel) whole(sel *selection.Selection) (keys []queue.Key) {
	if !sel.OfQueues() {
		return nil
	}
	for v, err := range k.Hosts(sel) {
		if err != nil {
			break // of those that name whole host queues there is none
		}
		keys = append(keys, v.Key)
	}
	return keys
}

// apply makes changes true that are durable, the lock taken for some at a time.
func (k *Kernel) apply(changes []fact.Change) { k.applySlices(changes, func(int) {}) }

// applySlices tells how many of them it has applied.
func (k *Kernel) applySlices(changes []fact.Change, applied func(n int)) {
	for len(changes) > 0 {
		n := min(slice, len(changes))
		var done []settled
		k.mu.Lock()
		began := time.Now()
		for _, c := range changes[:n] {
			k.state.Apply(c.ID, c.Fact)
			done = k.collect(done, c)
		}
		total := k.state.Len()
		k.mu.Unlock()
		k.logSettled(done)
		if len(changes) > n {
			breathe(began)
		}
		for _, c := range changes[:n] {
			if c.Fact == (fact.Gone{}) {
				k.logGone(c.ID, total)
			}
		}
		applied(n)
		changes = changes[n:]
	}
}

// Apply makes facts true that the Enqueuer has made durable: those about the
// messages that a begotten one came of.
func (k *Kernel) Apply(changes ...fact.Change) {
	k.apply(changes)
	kick(k.reported)
}

// Enqueued makes facts true that the Enqueuer has made durable, by which a message of its
// queue gets into others.
func (k *Kernel) Enqueued(id mail.ID, facts ...fact.Fact) {
	changes := make([]fact.Change, len(facts))
	for i, f := range facts {
		changes[i] = fact.Change{ID: id, Fact: f}
	}
	k.apply(changes)
	k.logEnqueued(id, k.Len())
	kick(k.changed)
	kick(k.reported)
}

// undelay ends delays of hosts, unless another has come meanwhile.
func (k *Kernel) undelay(hosts []fact.Delay) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range hosts {
		if is, ok := k.state.Delayed(queue.Key{Module: d.Module, Queue: d.Queue}); ok && is.At.Equal(d.At) {
			k.state.Delay(d)
		}
	}
}

// slices does something with all rows, the lock taken for some at a time.
func (k *Kernel) slices(rows []queue.Row, do func(queue.Row)) {
	for len(rows) > 0 {
		n := min(slice, len(rows))
		k.mu.Lock()
		began := time.Now()
		for _, r := range rows[:n] {
			do(r)
		}
		k.mu.Unlock()
		if rows = rows[n:]; len(rows) > 0 {
			breathe(began)
		}
	}
}
