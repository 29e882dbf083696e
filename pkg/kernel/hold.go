package kernel

import (
	"errors"
	"iter"
	"math"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

// HoldRestored is the name of the hold on a restored backup.
const HoldRestored = "restored"

// ErrNoHold is returned by Unhold for a name that no hold has.
var ErrNoHold = errors.New("no such hold")

// restoreHold puts the hold on a restored backup back, if there is one (SPOOL R6).
// What cannot be read holds everything: too much waits rather than goes. The caller
// holds mu.
func (k *Kernel) restoreHold(standing map[string]string) {
	value, held := standing[fact.RestoredKey]
	if !held {
		return
	}
	r, err := fact.ParseRestored(value)
	if err != nil {
		k.log.Queue.Error("the hold on a restored backup cannot be read: everything found is held", "err", err)
		r = fact.Restored{Through: math.MaxUint64}
	}
	k.restored = &r
}

// Holding is why a message that a start has found is held, besides damage; empty: it
// is not.
func (k *Kernel) Holding(id mail.ID) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.restored == nil || id > k.restored.Through {
		return ""
	}
	return k.restored.Reason()
}

// A Hold keeps messages from being transferred and from being reported.
type Hold struct {
	Name     string    // what Unhold takes; empty: of damage, which only a reject ends
	Reason   string    //
	Since    time.Time // zero: nobody knows
	Messages int       // that it holds
	ID       mail.ID   // the one that is damaged
}

// Holds yields the holds that have a name, then the messages that are held because of
// damage; the lock is taken for some at a time.
func (k *Kernel) Holds() iter.Seq[Hold] {
	return func(yield func(Hold) bool) {
		k.mu.Lock()
		restored := k.restored
		k.mu.Unlock()
		if restored != nil {
			h := Hold{Name: HoldRestored, Reason: restored.Reason(), Since: restored.At}
			for v := range k.held() {
				if v.Hold == h.Reason {
					h.Messages++
				}
			}
			if !yield(h) {
				return
			}
		}
		for v := range k.held() {
			if restored != nil && v.Hold == restored.Reason() {
				continue
			}
			if !yield(Hold{Reason: v.Hold, Messages: 1, ID: v.ID}) {
				return
			}
		}
	}
}

// held yields the messages that are held.
func (k *Kernel) held() iter.Seq[queue.HeldView] {
	return func(yield func(queue.HeldView) bool) {
		for after, more := mail.ID(0), true; more; {
			var some []queue.HeldView
			k.mu.Lock()
			some, after, more = k.state.Held(after, slice)
			k.mu.Unlock()
			for _, v := range some {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Unhold takes a hold away and lets its messages go; it returns how many, or, of a dry
// run, how many it would be. It is a decision: the hold is gone durably before the
// first of them moves, and before it is told. Of a message that is damaged, too, the
// damage holds on.
func (k *Kernel) Unhold(name string, dry bool) (n int, err error) {
	k.mu.Lock()
	restored := k.restored
	k.mu.Unlock()
	if name != HoldRestored || restored == nil {
		return 0, ErrNoHold
	}
	if dry {
		for v := range k.held() {
			if v.Hold == restored.Reason() {
				n++
			}
		}
		return n, nil
	}
	number, err := k.ledger.Act(nil, []spool.Standing{{Key: fact.RestoredKey}})
	if err == nil {
		err = k.ledger.Wait(number)
	}
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	k.restored, k.freed = nil, restored.Reason()
	k.mu.Unlock()
	for after, more := mail.ID(0), true; more; {
		var freed int
		k.mu.Lock()
		freed, after, more = k.state.Unhold(restored.Reason(), after, slice)
		k.mu.Unlock()
		n += freed
	}
	kick(k.changed)
	kick(k.reported)
	return n, nil
}
