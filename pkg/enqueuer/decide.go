package enqueuer

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// A subject is a message on its way through the Enqueuer, durable or not.
type subject struct {
	id       mail.ID
	env      *mail.Envelope
	size     int64
	start    []byte // of the text: its header, as far as that is looked at
	rcpts    []int  // those that it is about
	waits    bool   // it is in the Queue: nobody listens any more
	deaf     bool   // nobody ever has, but a report finds somebody
	filtered bool   // the Rules have been applied to it
	open     func() (io.ReadCloser, error)
	lend     func() (name string, back func(), err error)
}

// headSize is how much of a text is looked at: a header that is longer is cut there.
const headSize = 64 << 10

func ofDraft(d *spool.Draft, env *mail.Envelope) *subject {
	s := &subject{id: d.ID, env: env, size: d.Size(), start: d.Start(), lend: d.Lend,
		open: func() (io.ReadCloser, error) { return io.NopCloser(d.Text()), nil }}
	for i := range env.Recipients {
		s.rcpts = append(s.rcpts, i)
	}
	return s
}

// A decision is what becomes of a message: the facts that take its recipients into their
// host queues, or out of the Queue, and the messages that Rules have made of it.
type decision struct {
	facts []fact.Fact
	made  []draft
}

// discard throws away what was made, unless it was submitted.
func (is *decision) discard() {
	for _, d := range is.made {
		d.Discard()
	}
}

// A keep is the outcome for a message that stays where nobody has decided yet, and is
// offered to the Router and the Rules again.
type keep struct{ mail.Result }

func (k *keep) Error() string { return "it waits: " + k.Text }

// decide finds out what becomes of a message. An error is a *module.Rejection of the whole
// message, a *keep, or a fault of ours; then nothing has been made of it.
func (e *Enqueuer) decide(ctx context.Context, s *subject) (is decision, err error) {
	now := time.Now()
	if hops, limit := header.Hops(s.start)-1, e.settings.Load().HopCounterLimit; hops > limit && !s.filtered {
		e.refused.hops.Add(1)
		e.log.Log(ctx, serverlog.Failure, "rejected: "+strconv.Itoa(hops)+" hops, the limit is "+strconv.Itoa(limit), "id", s.id)
		return is, module.Reject(5, 4, 6, "too many hops: the message has "+strconv.Itoa(hops)+" Received fields, it may be in a loop")
	}
	ways, err := e.routes(ctx, s, now)
	if err != nil {
		return is, err
	}
	// What Rules have made does not meet them: Redirect to and Discard would throw it away.
	if set := e.server.Rules(); !set.Empty() && !s.filtered && s.env.Source != mail.SRULE {
		return e.rules(ctx, set, s, ways, now)
	}
	is.facts = make([]fact.Fact, 0, len(ways))
	for _, r := range ways {
		is.facts = append(is.facts, r.fact)
	}
	return is, nil
}

// A way is what the Router says of one recipient.
type way struct {
	fact fact.Fact
	to   router.Route // zero: it is refused
}

// routes routes all recipients. One that is refused, though it was admitted before,
// fails, and its sender gets a report; when all are, and the submitter still listens, the
// message is refused.
func (e *Enqueuer) routes(ctx context.Context, s *subject, now time.Time) ([]way, error) {
	all := make([]way, 0, len(s.rcpts))
	refused := 0
	var last error
	for _, i := range s.rcpts {
		to, err := e.route(ctx, s.env, s.env.Recipients[i])
		var rejection *module.Rejection
		switch {
		case errors.As(err, &rejection) && rejection.Result.Action == mail.Failed:
			all = append(all, way{fact: fact.Settled{Rcpt: i, At: now, Result: rejection.Result}})
			refused, last = refused+1, err
		case err != nil:
			return nil, err
		case to.Null():
			all = append(all, way{discarded(i, now), to})
		default:
			all = append(all, way{fact.Routed{Rcpt: i, Module: to.Module, Queue: to.Queue, Address: to.Address}, to})
		}
	}
	if refused == len(s.rcpts) && !s.waits && !s.deaf {
		return nil, last
	}
	return all, nil
}

// discarded is the end of a recipient that is routed to NULL (chapter: the Queue
// Component itself transfers (discards) messages).
func discarded(rcpt int, at time.Time) fact.Settled {
	return fact.Settled{Rcpt: rcpt, At: at, Result: mail.Result{Action: mail.Discarded, Status: mail.Status{2, 0, 0}, Text: "discarded"}}
}
