package enqueuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// refusals count what was not taken, by the reason.
type refusals struct {
	limit    *stats.Counter // the Queue Limit
	begotten *stats.Counter // its reserve, too
	space    *stats.Counter // free space or inodes, seen before or by a write that failed
	journal  *stats.Counter // no room in the journal
	fault    *stats.Counter // any other fault of ours
	hops     *stats.Counter // the Hop Counter Limit
	rules    *stats.Counter // a Rule
	trapped  *stats.Counter // who has sent to a spam trap
	filters  *stats.Counter // an External Filter, or that one is not available
}

func countRefusals(st *stats.Set) refusals {
	return refusals{limit: st.Counter("enqueuerRefusedQueueLimit"), begotten: st.Counter("enqueuerRefusedQueueReserve"),
		space: st.Counter("enqueuerRefusedSpace"), journal: st.Counter("enqueuerRefusedJournal"),
		fault: st.Counter("enqueuerRefusedFault"), hops: st.Counter("enqueuerRefusedHops"),
		rules: st.Counter("enqueuerRefusedRules"), trapped: st.Counter("enqueuerRefusedSpamTrap"), filters: st.Counter("enqueuerRefusedFilters")}
}

// Admit implements [module.Enqueuer].
func (e *Enqueuer) Admit(ctx context.Context, env *mail.Envelope) error {
	if err := e.admitSender(ctx, env); err != nil {
		return err
	}
	if e.Full(ctx) {
		e.refused.limit.Add(1)
		return module.Reject(4, 3, 1, "the queue is full, try again later")
	}
	if e.spool.Admit() != nil { // its log says why
		return e.noSpace()
	}
	if err := e.spool.Ready(); err != nil { // likewise
		return e.unready(err)
	}
	return nil
}

// unready is what a submitter hears when the journal takes nothing new (SPOOL E1, J5).
func (e *Enqueuer) unready(err error) error {
	e.refused.journal.Add(1)
	if errors.Is(err, journal.ErrSlow) {
		return module.Reject(4, 3, 0, "the disk of the queue does not answer, try again later")
	}
	return module.Reject(4, 3, 2, "no mail is taken here just now, try again later")
}

// queued is the number of messages in the Queue; the trash does not count.
func (e *Enqueuer) queued() int { return e.spool.Len() - e.kernel.InTrash() }

// Full says whether the Queue Limit is reached. The log tells when that begins, and
// when it is over, some way below the limit, so that a queue that stays there does not
// fill the log.
func (e *Enqueuer) Full(ctx context.Context) bool {
	limit := e.settings.Load().QueueLimit
	if limit == 0 && !e.full.Load() { // each sender asks, and counting takes locks
		return false
	}
	n := e.queued()
	full := limit > 0 && n >= limit
	switch {
	case full && e.full.CompareAndSwap(false, true):
		e.queue.Log(ctx, serverlog.Failure, "no new mail is taken: the queue has reached its limit", "messages", n)
	case (limit == 0 || n < limit-limit/20) && e.full.CompareAndSwap(true, false):
		e.queue.Log(ctx, serverlog.Failure, "new mail is taken again: the queue is below its limit", "messages", n)
	}
	return full
}

func (e *Enqueuer) noSpace() error {
	e.refused.space.Add(1)
	return module.Reject(4, 3, 1, "insufficient system storage, try again later")
}

// admitBegotten says whether a message that the server makes itself may be submitted.
// One with whose frame another goes takes no place that was not taken: refused, it
// would keep the other one in the queue for ever. For all others there is the reserve
// (chapter: Queue Limit); they are tried again.
func (e *Enqueuer) admitBegotten(parents func(mail.ID) []fact.Change) error {
	set := e.settings.Load()
	if set.QueueLimit == 0 || e.queued() < set.QueueLimit+set.QueueReserve {
		return nil
	}
	goes := func(c fact.Change) bool { return c.Fact == (fact.Gone{}) }
	if parents != nil && slices.ContainsFunc(parents(0), goes) {
		return nil
	}
	e.refused.begotten.Add(1)
	return module.Reject(4, 3, 1, "the queue is full, and so is its reserve")
}

// fault is what the submitter hears of a fault of ours: to try again.
func (e *Enqueuer) fault(id mail.ID, err error) error {
	switch {
	case errors.Is(err, spool.ErrFull):
		e.refused.journal.Add(1)
		e.log.Warn("refused: the journal is full, checkpoints cannot keep up", "id", id)
		return module.Reject(4, 3, 1, "the journal of the queue is full, try again later")
	case errors.Is(err, journal.ErrSlow), errors.Is(err, journal.ErrDegraded):
		return e.unready(err)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("message %d: %w", id, err)
	}
	e.log.Error("cannot take a message: "+err.Error(), "id", id)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return e.noSpace()
	}
	e.refused.fault.Add(1)
	return module.Reject(4, 3, 0, "local error, try again later")
}
