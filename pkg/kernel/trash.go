package kernel

import (
	"context"
	"errors"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// ErrNoBatch is returned for the number of an act that has nothing in the trash.
var ErrNoBatch = errors.New("no such batch in the trash")

// Trash returns what is in the trash, the latest act first.
func (k *Kernel) Trash() []queue.BatchView {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Trash()
}

// InTrash is the number of messages that are there for the sake of the trash alone: they
// are counted apart from the queue.
func (k *Kernel) InTrash() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.InTrash()
}

// TrashUntil is when what has been put into the trash at a time is purged.
func (k *Kernel) TrashUntil(at time.Time) time.Time { return at.Add(time.Duration(k.trashAge.Load())) }

// SetTrashAge sets how long what was rejected without a report rests in the trash
// (trash_age).
func (k *Kernel) SetTrashAge(d time.Duration) {
	k.trashAge.Store(int64(d))
	kick(k.stale)
}

// Undo puts what acts have put into the trash back into its host queues: all of it that
// is still there. It is a decision.
func (k *Kernel) Undo(o Order, numbers ...uint64) (Outcome, error) {
	now := time.Now()
	return k.empty(numbers, o, func(rcpt int, number uint64) fact.Fact {
		return fact.Undone{Rcpt: rcpt, At: now, By: o.By, Act: number}
	})
}

// Purge takes what acts have put into the trash out of the queue for good. By empty is
// of age.
func (k *Kernel) Purge(o Order, numbers ...uint64) (Outcome, error) {
	now := time.Now()
	return k.empty(numbers, o, func(rcpt int, number uint64) fact.Fact {
		return fact.Purged{Rcpt: rcpt, At: now, By: o.By, Act: number}
	})
}

// empty takes batches out of the trash, one act at a time: what is undone is not purged,
// nor the other way round, in the journal as in memory.
func (k *Kernel) empty(numbers []uint64, o Order, say func(rcpt int, number uint64) fact.Fact) (out Outcome, err error) {
	k.emptying.Lock()
	defer k.emptying.Unlock()
	var changes []fact.Change
	messages := map[mail.ID]struct{}{} // one may be in several
	for _, number := range numbers {
		k.steps(func(after mail.ID) (mail.ID, bool) {
			rows, last, more := k.state.Trashed(number, after, slice)
			for _, row := range rows {
				changes = append(changes, fact.Change{ID: row.ID, Fact: say(row.Rcpt, number)})
				messages[row.ID] = struct{}{}
			}
			return last, more
		})
	}
	out.Messages = len(messages)
	if len(changes) == 0 {
		return out, ErrNoBatch
	}
	out.Matched, out.Rows = len(changes), len(changes)
	if o.Dry {
		return out, nil
	}
	out.Act = k.acts.Add(1)
	if err := k.decide(changes, nil); err != nil {
		return Outcome{Matched: len(changes)}, err
	}
	k.apply(changes)
	kick(k.changed)
	kick(k.reported)
	return out, nil
}

// purgeStale takes out of the trash what has been there for long enough, and returns when
// to come again; zero: when somebody puts something there.
func (k *Kernel) purgeStale() (next time.Time) {
	age := time.Duration(k.trashAge.Load())
	k.mu.Lock()
	acts, first := k.state.Stale(k.now().Add(-age))
	k.mu.Unlock()
	for _, number := range acts {
		out, err := k.Purge(Order{}, number)
		switch {
		case errors.Is(err, ErrNoBatch): // somebody was quicker
		case err != nil:
			k.log.Queue.Error("what has been in the trash for long enough cannot be purged, trying again", "act", number, "err", err)
			return time.Now().Add(trashRetry)
		default:
			k.log.Queue.Info("purged from the trash", "act", number, "recipients", out.Rows)
		}
	}
	if first.IsZero() {
		return first
	}
	return first.Add(age)
}

// trashRetry is how long a purge waits that could not be written.
const trashRetry = time.Minute

// Sweep looks for what has grown old: a start has found more.
func (k *Kernel) Sweep() { kick(k.stale) }

// sweep is who empties the trash, ends holds, and fails what has grown too old, each when
// it is due, until ctx ends.
func (k *Kernel) sweep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		at := earlier(k.purgeStale(), k.endHolds(), k.expireAll(), k.warnLate())
		if !at.IsZero() {
			timer.Reset(max(time.Until(at), sweepLeast))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.stale:
		}
	}
}

// sweepLeast is the least time between two looks at what has grown old.
const sweepLeast = time.Second

// earlier is the earliest of some times; zero is none.
func earlier(all ...time.Time) (first time.Time) {
	for _, t := range all {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
