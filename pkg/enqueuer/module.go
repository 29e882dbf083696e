package enqueuer

import (
	"context"
	"errors"
	"io"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// Name implements [module.Module].
func (e *Enqueuer) Name() string { return queue.Enqueuer }

// Claim implements [module.Module]: no address is the Enqueuer's.
func (e *Enqueuer) Claim(context.Context, mail.Address, bool) (module.Route, error) {
	return module.Route{}, module.ErrNotMine
}

// Transfer implements [module.Module]: it is one of the processors that enqueue what was
// accepted before (chapter: Processors).
func (e *Enqueuer) Transfer(ctx context.Context, q module.Queue) {
	for t := range q.Due(ctx) {
		e.enqueue(ctx, t)
	}
}

// enqueue takes a message into the host queues of its recipients, or out of the Queue.
func (e *Enqueuer) enqueue(ctx context.Context, t *module.Transfer) {
	err := e.begin(t)
	var s *subject
	if err == nil {
		s, err = e.ofTransfer(t)
	}
	var is decision
	if err == nil {
		is, err = e.decide(ctx, s)
		defer is.discard()
	}
	if err == nil {
		err = e.record(ctx, t.ID, is)
	}
	var kept *keep
	var refused *module.Rejection
	switch {
	case err == nil:
	case errors.As(err, &kept):
		t.Delay(kept.Result)
	case errors.As(err, &refused) && refused.Result.Action == mail.Failed:
		for i := range t.Recipients {
			t.Settle(i, refused.Result)
		}
	case errors.As(err, &refused):
		t.Delay(refused.Result)
	case ctx.Err() != nil: // the server stops: it is done again
	default:
		e.log.Error("cannot enqueue, trying again: "+err.Error(), "id", t.ID)
		t.Delay(mail.Result{Status: mail.Status{4, 3, 0}, Text: "local error: " + err.Error()})
	}
}

// begin records that the Enqueuer begins with a message that a start has found: if the
// server dies of it, the next starts know (SPOOL R4).
func (e *Enqueuer) begin(t *module.Transfer) error {
	if !t.Repeated || t.Filtered {
		return nil
	}
	n, err := e.spool.Append(fact.Change{ID: t.ID, Fact: fact.Begun{At: time.Now()}})
	if err == nil {
		err = e.spool.Wait(n)
	}
	return err
}

// ofTransfer is the subject of a message in the Enqueuer's queue.
func (e *Enqueuer) ofTransfer(t *module.Transfer) (*subject, error) {
	s := &subject{id: t.ID, env: t.Envelope, size: t.Size, waits: true, filtered: t.Filtered,
		open: func() (io.ReadCloser, error) { return t.Open() },
		lend: func() (string, func(), error) { return e.spool.Lend(t.ID) }}
	for _, r := range t.Recipients {
		s.rcpts = append(s.rcpts, r.Index)
	}
	text, err := t.Open()
	if err != nil {
		return nil, err
	}
	defer text.Close()
	s.start, err = io.ReadAll(io.LimitReader(text, headSize))
	return s, err
}

// record makes a decision about a message in the Queue true, as one with the messages that
// came of it (SPOOL L5).
func (e *Enqueuer) record(ctx context.Context, id mail.ID, is decision) error {
	changes := make([]fact.Change, len(is.facts))
	for i, f := range is.facts {
		changes[i] = fact.Change{ID: id, Fact: f}
	}
	if len(is.made) > 0 {
		if err := e.commit(ctx, journal.Inside, changes, is.made[0], is.made[1:]); err != nil {
			return err
		}
		e.kernel.Enqueued(id)
		return nil
	}
	n, err := e.spool.Append(changes...)
	if err == nil {
		err = e.spool.Wait(n)
	}
	if errors.Is(err, spool.ErrFull) {
		e.log.Log(ctx, serverlog.Problem, "the journal is full, trying again", "id", id)
		return &keep{mail.Result{Status: mail.Status{4, 3, 1}, Text: "the journal of the queue is full"}}
	}
	if err == nil {
		e.kernel.Enqueued(id, is.facts...)
	}
	return err
}
