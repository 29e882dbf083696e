package enqueuer

import (
	"context"
	"errors"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

// unfinishedRuns is after how many runs of the Enqueuer that did not come to an end,
// because the server died, a message is held for a person (SPOOL R4).
const unfinishedRuns = 3

// A past is what the facts of a message say of its recipients.
type past struct {
	done  map[int]bool // or in the trash
	ended map[int]bool // of them, those that are not
	was   map[int]fact.Routed
	runs  int // of the Enqueuer that did not come to an end
}

func pastOf(facts []fact.Fact) past {
	p := past{done: map[int]bool{}, ended: map[int]bool{}, was: map[int]fact.Routed{}, runs: 1}
	for _, v := range facts {
		switch v := v.(type) {
		case fact.Settled:
			p.done[v.Rcpt], p.ended[v.Rcpt] = true, true
		case fact.Rejected:
			p.done[v.Rcpt] = true
		case fact.Undone:
			delete(p.done, v.Rcpt)
		case fact.Routed:
			p.was[v.Rcpt] = v
		case fact.Rerouted:
			p.was[v.Rcpt] = fact.Routed{Rcpt: v.Rcpt, Module: v.Module, Queue: v.Queue, Address: v.Address}
		case fact.Begun:
			p.runs++
		case fact.Suspended:
			if v.Module == queue.Enqueuer { // that run came to an end
				p.runs = 0
			}
		}
	}
	return p
}

// Resume resubmits a message that a start has found (chapter: When the Server
// restarts, the Enqueuer component finds all files with the .msg extension). Its
// recipients that are not done are routed by today's table; those that the Enqueuer had
// not come to are for it again (SPOOL R4). None of a held message ends here: it may have
// ended before, and that be lost; or it is of a backup. One that was taken from a file
// comes back when that is gone.
func (e *Enqueuer) Resume(ctx context.Context, f spool.Found) {
	if f.Envelope.Submission == "" || e.server.Reclaim == nil {
		e.resume(ctx, f)
		return
	}
	e.server.Reclaim(f.Envelope.Submission, func() { e.resume(context.WithoutCancel(ctx), f) })
}

func (e *Enqueuer) resume(ctx context.Context, f spool.Found) {
	p := pastOf(f.Facts)
	if f.Hold == "" {
		f.Hold = e.kernel.Holding(f.ID)
	}
	if f.Hold == "" && len(p.was) == 0 && p.runs >= unfinishedRuns {
		f.Hold = kernel.Unfinished
		e.log.Error("held: "+f.Hold+"; look at it, then reject it, or take the hold away", "id", f.ID)
	}
	now := time.Now()
	var routes []fact.Routed
	var refused []fact.Settled
	for i, r := range f.Envelope.Recipients {
		old, routed := p.was[i]
		if p.done[i] && (routed || p.ended[i]) {
			continue
		}
		if !routed { // the Enqueuer comes to it; one in the trash may come back
			routes = append(routes, queue.Coming(i, r.Address))
			continue
		}
		to, err := e.router.Route(ctx, r.Address) // whether it may was asked when it came
		var rejection *module.Rejection
		switch {
		case err == nil && !to.Null():
			routes = append(routes, fact.Routed{Rcpt: i, Module: to.Module, Queue: to.Queue, Address: to.Address})
		case err == nil && f.Hold == "":
			refused = append(refused, discarded(i, now))
		case errors.As(err, &rejection) && rejection.Result.Action == mail.Failed && f.Hold == "":
			refused = append(refused, fact.Settled{Rcpt: i, At: now, Result: rejection.Result})
		default: // nobody knows just now: it goes the old way
			routes = append(routes, old)
		}
	}
	e.kernel.Restore(queue.Message{ID: f.ID, Envelope: f.Envelope, Subject: f.Subject, Size: f.Size, Hold: f.Hold, Repeated: true},
		f.Facts, routes, refused)
}
