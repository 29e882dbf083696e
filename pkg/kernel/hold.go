package kernel

import (
	"errors"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// HoldRestored is the name of the hold on a restored backup.
const HoldRestored = "restored"

// ErrNoHold is returned by Unhold for a name that no hold has.
var ErrNoHold = errors.New("no such hold")

// ErrLong is returned by Hold for a selection that is too long to stand in the journal.
var ErrLong = errors.New("a hold that lasts cannot have so long a selection")

// maxWhere is how many bytes of its selection stand with a hold.
const maxWhere = 16 << 10

// Hold keeps what a selection selects from being transferred, until somebody takes the
// hold away or its time, if it has one, is over. It persists. A selection that speaks of
// what messages are, and not of how they fare, holds those that come later, too. What is
// being transferred just now is held when it comes back.
func (k *Kernel) Hold(sel *selection.Selection, o Order, reason string, until time.Time) (out Outcome, err error) {
	if sel == nil || sel.Empty() {
		return out, ErrEmpty
	}
	var changes []fact.Change
	last := mail.ID(0)
	h := queue.Hold{By: o.By, Reason: reason, At: k.clock(), Until: until, Lasts: sel.Lasts(), Selection: sel, Where: sel.String()}
	if len(h.Where) > maxWhere {
		if h.Lasts {
			return out, ErrLong
		}
		h.Where = strings.ToValidUTF8(h.Where[:maxWhere], "") + "…" // facts say whom it has
	}
	if !o.Dry {
		h.Number = k.acts.Add(1)
	}
	for row, err := range k.rows(sel) {
		if err != nil {
			return out, err
		}
		if out.Matched++; row.ID != last {
			out.Messages, last = out.Messages+1, row.ID
		}
		if !h.Lasts {
			changes = append(changes, fact.Change{ID: row.ID, Fact: fact.Held{Rcpt: row.Rcpt, Hold: h.Number}})
		}
	}
	out.Rows, out.Act = out.Matched, h.Number
	if o.Dry || !h.Lasts && out.Matched == 0 {
		out.Act = 0
		return out, nil
	}
	standing := fact.Hold{Number: h.Number, At: h.At, Until: until, Lasts: h.Lasts, By: o.By, Reason: reason, Where: h.Where}
	err = k.decide(changes, []spool.Standing{{Key: standing.Key(), Value: string(fact.AppendHold(nil, standing))}})
	if err != nil {
		return Outcome{}, err
	}
	k.mu.Lock()
	k.state.Hold(h)
	k.mu.Unlock()
	k.apply(changes)
	if h.Lasts {
		k.holdAll()
	}
	kick(k.stale)
	return out, nil
}

// holdAll looks anew who is held.
func (k *Kernel) holdAll() (n, messages int) {
	k.steps(func(after mail.ID) (mail.ID, bool) {
		some, of, last, more := k.state.HoldSome(after, slice)
		n, messages = n+some, messages+of
		return last, more
	})
	kick(k.changed)
	return n, messages
}

// rows yields the rows of a selection; the lock is taken for some at a time.
func (k *Kernel) rows(sel *selection.Selection) iter.Seq2[queue.Row, error] {
	return func(yield func(queue.Row, error) bool) {
		for m, err := range k.Messages(sel) {
			if err != nil {
				yield(queue.Row{}, err)
				return
			}
			for _, r := range m.Recipients {
				if !yield(queue.Row{ID: m.ID, Rcpt: r.Index}, nil) {
					return
				}
			}
		}
	}
}

// endHolds takes those away whose time is over, and returns when the next one's is.
func (k *Kernel) endHolds() (next time.Time) {
	k.mu.Lock()
	now, all := k.now(), k.state.Holds()
	k.mu.Unlock()
	for _, h := range all {
		switch {
		case h.Until.IsZero():
		case h.Until.After(now):
			next = earlier(next, h.Until)
		default:
			out, err := k.unhold(h.Number, false)
			if err != nil {
				k.log.Queue.Error("a hold whose time is over cannot be ended, trying again", "hold", h.Number, "err", err)
				next = earlier(next, now.Add(trashRetry))
				continue
			}
			k.log.Queue.Log(background, serverlog.Major, "the hold "+strconv.FormatUint(h.Number, 10)+" is over", "by", h.By, "recipients", out.Rows)
		}
	}
	return next
}

// unhold takes a hold of a person away, durably, and lets those go whom nothing else holds.
func (k *Kernel) unhold(number uint64, dry bool) (out Outcome, err error) {
	if dry {
		c := k.countHeld()[number]
		return Outcome{Matched: c.Alone, Rows: c.Alone, Messages: c.Messages}, nil
	}
	act := k.acts.Add(1)
	if err := k.decide(nil, []spool.Standing{{Key: fact.Hold{Number: number}.Key()}}); err != nil {
		return out, err
	}
	k.mu.Lock()
	k.state.Unhold(number)
	k.mu.Unlock()
	out.Rows, out.Messages = k.holdAll()
	out.Matched, out.Act = out.Rows, act
	return out, nil
}

// countHeld counts the recipients that each hold of a person has alone or with others.
func (k *Kernel) countHeld() map[uint64]queue.HeldCount {
	counts := map[uint64]queue.HeldCount{}
	k.steps(func(after mail.ID) (mail.ID, bool) { return k.state.CountHeld(after, slice, counts) })
	return counts
}

// restoreHold puts a hold of a person back. One that cannot be read holds everything: too
// much waits rather than goes. The caller holds mu.
func (k *Kernel) restoreHold(key, value string) {
	h, err := fact.ParseHold(value)
	var sel *selection.Selection
	if err == nil && h.Lasts {
		sel, err = selection.Compile(selection.Terms{Where: h.Where})
	}
	if err != nil {
		k.log.Queue.Error("a hold cannot be read: everything is held by it", "key", key, "err", err)
		h.Number, _ = strconv.ParseUint(strings.TrimPrefix(key, fact.HoldKey), 10, 64)
		h.Reason, h.Lasts, h.Until, h.Where = "a hold that cannot be read", true, time.Time{}, "true"
		sel, _ = selection.Compile(selection.Terms{All: true}) // which it always can
	}
	k.state.Hold(queue.Hold{Number: h.Number, By: h.By, Reason: h.Reason, At: h.At, Until: h.Until, Lasts: h.Lasts, Selection: sel, Where: h.Where})
}

// restoreRestored puts the hold on a restored backup back, if there is one (SPOOL R6).
// What cannot be read holds everything. The caller holds mu.
func (k *Kernel) restoreRestored(standing map[string]string) {
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

// A Hold keeps messages from being transferred.
type Hold struct {
	Name       string    // what Unhold takes; empty: of damage, which only a reject ends
	Reason     string    //
	By         string    // the person; empty: nobody
	Since      time.Time // zero: nobody knows
	Until      time.Time // zero: nobody knows
	Lasts      bool      // it also holds what comes later
	Where      string    // what it selects, as an expression
	Messages   int       // that it holds, of damage and of a backup
	Recipients int       // that it holds, of a person
	ID         mail.ID   // the one that is damaged
}

// Holds yields the holds that have a name, then the messages that are held because of
// damage; the lock is taken for some at a time.
func (k *Kernel) Holds() iter.Seq[Hold] {
	return func(yield func(Hold) bool) {
		k.mu.Lock()
		restored, all := k.restored, k.state.Holds()
		k.mu.Unlock()
		counts := map[uint64]queue.HeldCount{}
		if len(all) > 0 {
			counts = k.countHeld()
		}
		for _, h := range all {
			if !yield(Hold{Name: strconv.FormatUint(h.Number, 10), Reason: h.Reason, By: h.By, Since: h.At, Until: h.Until,
				Lasts: h.Lasts, Where: h.Where, Recipients: counts[h.Number].Recipients}) {
				return
			}
		}
		if restored != nil {
			h := Hold{Name: HoldRestored, Reason: restored.Reason(), Since: restored.At}
			for v := range k.kept() {
				if v.Reason == h.Reason {
					h.Messages++
				}
			}
			if !yield(h) {
				return
			}
		}
		for v := range k.kept() {
			if restored != nil && v.Reason == restored.Reason() {
				continue
			}
			h := Hold{Reason: v.Reason, Messages: 1, ID: v.ID}
			if h.Reason == Unfinished {
				h.Name = messageHold + v.ID.String()
			}
			if !yield(h) {
				return
			}
		}
	}
}

// kept yields the messages that are kept from everybody.
func (k *Kernel) kept() iter.Seq[queue.KeptView] {
	return func(yield func(queue.KeptView) bool) {
		for after, more := mail.ID(0), true; more; {
			var some []queue.KeptView
			k.mu.Lock()
			some, after, more = k.state.Kept(after, slice)
			k.mu.Unlock()
			for _, v := range some {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Unhold takes a hold away and lets go what it has; it counts these recipients, or, of a
// dry run, those that it would be. It is a decision: the hold is gone durably before the
// first of them moves, and before it is told. What something else holds, too, stays.
func (k *Kernel) Unhold(name string, dry bool) (out Outcome, err error) {
	if name == HoldRestored {
		return k.unholdRestored(dry)
	}
	if id, ok := mail.ParseID(strings.TrimPrefix(name, messageHold)); ok && strings.HasPrefix(name, messageHold) {
		return k.unholdMessage(id, dry)
	}
	number, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return out, ErrNoHold
	}
	k.mu.Lock()
	all := k.state.Holds()
	k.mu.Unlock()
	for _, h := range all {
		if h.Number == number {
			return k.unhold(number, dry)
		}
	}
	return out, ErrNoHold
}

// Unfinished is why a message is held over which the Enqueuer has not come to an end
// (SPOOL R4). A person may let it go: then the Enqueuer tries once more, and the next time
// that the server dies of it, it is held again.
const Unfinished = "the server died three times while the Enqueuer was at it"

// messageHold begins the name of the hold on such a message.
const messageHold = "message-"

func (k *Kernel) unholdMessage(id mail.ID, dry bool) (out Outcome, err error) {
	k.mu.Lock()
	held := k.state.Reason(id) == Unfinished
	if held && !dry {
		k.state.Free(Unfinished, id-1, 1)
	}
	k.mu.Unlock()
	if !held {
		return out, ErrNoHold
	}
	if out = (Outcome{Matched: 1, Rows: 1, Messages: 1}); !dry {
		out.Act = k.acts.Add(1)
		kick(k.changed)
		kick(k.reported)
	}
	return out, nil
}

// unholdRestored counts messages: what is not damaged of them goes.
func (k *Kernel) unholdRestored(dry bool) (out Outcome, err error) {
	k.mu.Lock()
	restored := k.restored
	k.mu.Unlock()
	if restored == nil {
		return out, ErrNoHold
	}
	n := 0
	if dry {
		for v := range k.kept() {
			if v.Reason == restored.Reason() {
				n++
			}
		}
		return Outcome{Matched: n, Rows: n, Messages: n}, nil
	}
	act := k.acts.Add(1)
	if err := k.decide(nil, []spool.Standing{{Key: fact.RestoredKey}}); err != nil {
		return out, err
	}
	k.mu.Lock()
	k.restored, k.freed = nil, restored.Reason()
	k.mu.Unlock()
	k.steps(func(after mail.ID) (mail.ID, bool) {
		freed, last, more := k.state.Free(restored.Reason(), after, slice)
		n += freed
		return last, more
	})
	kick(k.changed)
	kick(k.reported)
	return Outcome{Act: act, Matched: n, Rows: n, Messages: n}, nil
}
