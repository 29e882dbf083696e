package kernel

import (
	"context"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// NextReport returns the next message whose results the Dequeuer shall look at, and
// waits for it until ctx ends. It is in the Dequeuer's hands until Gone or
// ReturnReport.
func (k *Kernel) NextReport(ctx context.Context) (queue.Report, bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		k.mu.Lock()
		r, ok := k.state.TakeReport(time.Now())
		at, any := k.state.ReportWake()
		k.mu.Unlock()
		for i := range r.Waiting {
			if expire := k.plan(r.Waiting[i].Key.Module).Expire; expire > 0 {
				r.Waiting[i].Until = r.Envelope.Submitted.Add(expire)
			}
		}
		if ok {
			if any {
				kick(k.reported) // there may be another Dequeuer
			}
			return r, true
		}
		if any {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.reported:
		}
	}
	return queue.Report{}, false
}

// warnLate finds what has become so old that its sender is to be warned, and returns when
// to come again.
func (k *Kernel) warnLate() (next time.Time) {
	for more := true; more; {
		k.mu.Lock()
		var found bool
		found, more, next = k.state.Late(slice, k.now())
		k.mu.Unlock()
		if found {
			kick(k.reported)
		}
	}
	return next
}

// ReturnReport takes a message back from the Dequeuer; again, if it could do
// nothing, is when it shall look once more, else zero.
func (k *Kernel) ReturnReport(id mail.ID, again time.Time) {
	k.mu.Lock()
	k.state.ReturnReport(id, again)
	k.mu.Unlock()
	kick(k.reported)
}

// Gone takes a message out of the queue of which everything is said. It is an
// observation. When it cannot be written the message stays, to be tried again.
func (k *Kernel) Gone(id mail.ID) error {
	k.mu.Lock()
	n, err := k.ledger.Append(fact.Change{ID: id, Fact: fact.Gone{}})
	if err != nil {
		k.mu.Unlock()
		return err
	}
	k.syncSoon(n)
	k.state.Apply(id, fact.Gone{})
	total := k.state.Len()
	k.mu.Unlock()
	k.logGone(id, total)
	return nil
}

// Decide makes facts true that nobody outside has done: durable first.
func (k *Kernel) Decide(changes ...fact.Change) error {
	n, err := k.ledger.Append(changes...)
	if err == nil {
		err = k.ledger.Wait(n)
	}
	if err == nil {
		k.Apply(changes...)
	}
	return err
}
