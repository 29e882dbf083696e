package kernel

import (
	"errors"
	"slices"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

// ErrEmpty is returned for an act on an empty selection: "all" is typed in full.
var ErrEmpty = errors.New("an empty selection: name what to act on, or all")

// slice is how many rows are looked at, leased or applied under one lock.
const slice = 1000

// An Outcome counts what an act has done, or, of a dry run, would do.
type Outcome struct {
	Queues   int         // host queues that were matched
	Changed  int         // of them, those whose delay was taken away
	Messages int         // that the matched rows are of
	Matched  int         // rows: recipients that are not done
	Rows     int         // of them, those that were changed
	Skipped  []queue.Row // those that are Processing
}

// Reject takes the recipients of a selection out of the queue for good (chapter:
// Reject Host Queue, Reject Message). It is a decision: true because it is written.
// So its rows are leased, slice by slice; one frame says it, whole or not at all;
// and only when that is durable, which nobody waits for holding the lock, it is
// applied and told (SPOOL L4). In between no module is handed these rows, and nobody
// sees them changed. report asks for failure reports with the text.
func (k *Kernel) Reject(sel queue.Selection, by, text string, report, dry bool) (Outcome, error) {
	now := time.Now()
	return k.act(sel, dry, func(row queue.Row) (fact.Fact, bool) {
		return fact.Rejected{Rcpt: row.Rcpt, At: now, By: by, Report: report, Text: text}, true
	}, nil)
}

// Release lets the modules work the host queues and messages of a selection now
// (chapter: Release Now): the delays go, attempts and age stay.
func (k *Kernel) Release(sel queue.Selection, by string, dry bool) (Outcome, error) {
	now := time.Now()
	var hosts []fact.Delay
	k.mu.Lock()
	for _, v := range k.hosts(sel, now) {
		if d, ok := k.state.Delayed(v.Key); ok {
			if d.Until.After(now) {
				d.Until = now
			}
			hosts = append(hosts, d)
		}
	}
	k.mu.Unlock()
	return k.act(sel, dry, func(row queue.Row) (fact.Fact, bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		return fact.Freed{Rcpt: row.Rcpt, At: now, By: by}, k.state.HasDelay(row)
	}, hosts)
}

// act does to all rows of a selection what change says, and gives hosts their new
// delays, as one frame.
func (k *Kernel) act(sel queue.Selection, dry bool, change func(queue.Row) (fact.Fact, bool), hosts []fact.Delay) (out Outcome, err error) {
	if sel.Empty() {
		return out, ErrEmpty
	}
	rows, busy := k.lease(sel)
	defer func() {
		k.slices(rows, k.state.ReturnRow)
		kick(k.changed)
		kick(k.reported)
	}()
	out = Outcome{Matched: len(rows) + len(busy), Skipped: busy, Changed: len(hosts)}
	k.mu.Lock()
	out.Queues = len(k.hosts(sel, time.Now()))
	k.mu.Unlock()
	var changes []fact.Change
	messages := map[mail.ID]bool{}
	for _, row := range rows {
		messages[row.ID] = true
		if f, ok := change(row); ok {
			changes = append(changes, fact.Change{ID: row.ID, Fact: f})
		}
	}
	for _, row := range busy {
		messages[row.ID] = true
	}
	out.Rows, out.Messages = len(changes), len(messages)
	if dry || len(changes) == 0 && len(hosts) == 0 {
		return out, nil
	}
	stands := make([]spool.Standing, len(hosts))
	for i, d := range hosts {
		stands[i] = standing(d)
	}
	n, err := k.ledger.Act(changes, stands)
	if err == nil {
		err = k.ledger.Wait(n)
	}
	if err != nil {
		return Outcome{Matched: out.Matched, Skipped: busy}, err
	}
	k.apply(changes)
	k.undelay(hosts)
	return out, nil
}

// lease takes the rows of a selection into the hands of an act. What comes into the
// queue after its beginning is not taken.
func (k *Kernel) lease(sel queue.Selection) (rows, busy []queue.Row) {
	end, now := k.newestID(), time.Now()
	for after, more := mail.ID(0), true; more; {
		k.mu.Lock()
		var f, b []queue.Row
		f, b, after, more = k.state.LeaseRows(sel, after, slice, now)
		k.mu.Unlock()
		rows, busy = append(rows, f...), append(busy, b...)
		more = more && after <= end
	}
	return rows, busy
}

func (k *Kernel) newestID() mail.ID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Newest()
}

// hosts returns the host queues that a selection is about as a whole. The caller
// holds mu.
func (k *Kernel) hosts(sel queue.Selection, now time.Time) (all []queue.HostView) {
	if !sel.Whole() {
		return nil
	}
	for _, key := range k.state.Hosts() {
		v, ok := k.state.Host(key, now)
		if ok && sel.Matches(key) && (len(sel.States) == 0 || slices.Contains(sel.States, v.Status())) {
			all = append(all, v)
		}
	}
	return all
}

// apply makes changes true that are durable, the lock taken for some at a time.
func (k *Kernel) apply(changes []fact.Change) {
	for len(changes) > 0 {
		n := min(slice, len(changes))
		var done []settled
		k.mu.Lock()
		for _, c := range changes[:n] {
			k.state.Apply(c.ID, c.Fact)
			done = k.collect(done, c)
		}
		total := k.state.Len()
		k.mu.Unlock()
		k.logSettled(done)
		for _, c := range changes[:n] {
			if c.Fact == (fact.Gone{}) {
				k.logGone(c.ID, total)
			}
		}
		changes = changes[n:]
	}
}

// Apply makes facts true that the Enqueuer has made durable: those about the
// messages that a begotten one came of.
func (k *Kernel) Apply(changes ...fact.Change) {
	k.apply(changes)
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
		for _, r := range rows[:n] {
			do(r)
		}
		k.mu.Unlock()
		rows = rows[n:]
	}
}
