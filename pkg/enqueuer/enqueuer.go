// Package enqueuer takes messages into the Queue: it composes the Temp File, adds
// the Received field, counts the hops, routes each recipient, applies the server-wide
// Rules, makes the message durable and hands it to the kernel (chapter: When a message is
// submitted for processing, the Enqueuer component examines its envelope information).
//
// It works in two ways. Synchronously: the submitter hears what has become of the message,
// and of one that is refused nothing is left. Asynchronously: the message is durable, the
// submitter hears that, and the rest is done by the Enqueuer's processors: to the kernel
// it is a module, in whose host queue the message is until then; so it can be seen there,
// delayed, held and rejected as everywhere.
package enqueuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// Server is what the Enqueuer must know of the server as a whole.
type Server struct {
	MainDomain func() string
	Clients    func() []netip.Prefix // chapter: Client IP Addresses; loopback is always one
	Rules      func() *rules.Set     // the server-wide ones; nil, or of nil: there are none
	Filters    Filters               // that they name
	Base       string                // the base directory, in which programs are started

	// Reclaim is asked at a start, for a message that was taken from a file: it calls
	// restored when that file is not there any more, for good. Nil: there are no files.
	Reclaim func(submission string, restored func())
}

// Enqueuer is a [module.Enqueuer] and a [kernel.Begetter].
type Enqueuer struct {
	spool    *spool.Spool
	router   *router.Router
	kernel   *kernel.Kernel
	settings *atomic.Pointer[Settings]
	server   Server
	log      *slog.Logger // tag ENQUEUER
	queue    *slog.Logger // tag QUEUE
	at       atomic.Int64 // messages being received, or enqueued synchronously
	refused  refusals
	traps    trapped
	full     atomic.Bool // the Queue Limit is reached, and the log has it
}

// New returns an Enqueuer. The logs are those of the tags ENQUEUER and QUEUE.
func New(s *spool.Spool, r *router.Router, k *kernel.Kernel, set *atomic.Pointer[Settings], srv Server,
	st *stats.Set, log, queueLog *slog.Logger) *Enqueuer {
	if srv.Rules == nil {
		srv.Rules = func() *rules.Set { return nil }
	}
	e := &Enqueuer{spool: s, router: r, kernel: k, settings: set, server: srv, log: log, queue: queueLog, refused: countRefusals(st)}
	st.Gauge("numSpamTrapAddresses", e.traps.len)
	st.Gauge("numEnqueuerMessages", func() int64 { return e.at.Load() + int64(k.Incoming()) })
	return e
}

// Check implements [module.Enqueuer].
func (e *Enqueuer) Check(ctx context.Context, env *mail.Envelope, r mail.Recipient) error {
	_, err := e.route(ctx, env, r)
	e.trap(ctx, env, err)
	return err
}

// route routes one recipient and asks whether the submitter may send to it.
func (e *Enqueuer) route(ctx context.Context, env *mail.Envelope, r mail.Recipient) (router.Route, error) {
	to, err := e.router.Route(ctx, r.Address)
	if err == nil && to.Relay && !e.mayRelay(env) {
		err = module.Reject(5, 7, 1, "relaying denied: "+to.Address.Domain+" is not local here")
	}
	return to, err
}

// Submit implements [module.Enqueuer].
func (e *Enqueuer) Submit(ctx context.Context, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	if err := e.Admit(ctx, env); err != nil {
		return 0, err
	}
	return e.submit(ctx, journal.Intake, env, text, origin{})
}

// SubmitFile implements [module.FileEnqueuer].
func (e *Enqueuer) SubmitFile(ctx context.Context, env *mail.Envelope, text io.Reader, taken func() error) (mail.ID, error) {
	if err := e.Admit(ctx, env); err != nil {
		return 0, err
	}
	return e.submit(ctx, journal.Intake, env, text, origin{taken: taken})
}

// An origin is what a message comes of, if it is anything else than a submitter.
type origin struct {
	parents func(mail.ID) []fact.Change // facts about the messages that it is made of
	taken   func() error                // takes the file away that it was in
}

// Beget implements [kernel.Begetter]. The Queue Limit does not hold here, but with its
// reserve: else a full queue could not empty itself.
func (e *Enqueuer) Beget(ctx context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error) {
	if err := e.admitBegotten(parents); err != nil {
		return 0, err
	}
	return e.submit(ctx, journal.Inside, env, text, origin{parents: parents})
}

func (e *Enqueuer) submit(ctx context.Context, share journal.Share, env *mail.Envelope, text io.Reader, from origin) (mail.ID, error) {
	e.at.Add(1)
	defer e.at.Add(-1)
	d, err := e.draft(env, text)
	if err != nil {
		return 0, err
	}
	defer d.Discard()
	if len(env.Recipients) == 0 {
		return 0, module.Reject(5, 5, 1, "no recipients")
	}
	var is decision
	if !e.asynchronous(share, env) {
		s := ofDraft(d, env)
		s.deaf = from.taken != nil && !env.ReturnPath.IsZero()
		is, err = e.decide(ctx, s)
		var kept *keep
		switch {
		case errors.As(err, &kept): // it waits in the Enqueuer's queue
			e.log.Log(ctx, serverlog.Problem, kept.Error(), "id", d.ID)
		case err != nil:
			return 0, err
		}
		defer is.discard()
	}
	var begot []fact.Change
	if from.parents != nil {
		begot = from.parents(d.ID)
	}
	if err := e.commit(ctx, share, begot, draft{d, env, is.facts, from.taken}, is.made); err != nil {
		return 0, err
	}
	return d.ID, nil
}

// draft composes the Temp File.
func (e *Enqueuer) draft(env *mail.Envelope, text io.Reader) (*spool.Draft, error) {
	env.Submitted = time.Now()
	if env.Domain == "" {
		env.Domain = e.server.MainDomain()
	}
	d, err := e.spool.Draft(env)
	if err != nil {
		return nil, e.fault(0, err)
	}
	if _, err = d.Write(received(env, d.ID)); err == nil {
		_, err = io.Copy(d, text)
	}
	if err == nil {
		return d, nil
	}
	defer d.Discard()
	if d.Err() != nil {
		return nil, e.fault(d.ID, err)
	}
	return nil, fmt.Errorf("message %d: receive: %w", d.ID, err)
}

// A draft is a message that is about to be submitted. Without facts it is for the
// Enqueuer's processors.
type draft struct {
	*spool.Draft
	env   *mail.Envelope
	facts []fact.Fact
	taken func() error // see origin; nil: it was in no file
}

// message is what the queue has to know of it.
func (d *draft) message() queue.Message {
	return queue.Message{ID: d.ID, Envelope: d.env, Size: d.Size(), Subject: spool.Subject(d.Start())}
}

// durable waits until a message is, and takes the file away that it was in: nobody can have
// the message before that is durable as well, so a start that finds the file still finds
// the message, too. Whether one is durable for which the journal broke only the next start
// can say.
func (e *Enqueuer) durable(n spool.Number, d draft) error {
	err := e.spool.Wait(n)
	if err != nil {
		err = e.fault(d.ID, err)
	} else if d.taken != nil {
		err = d.taken()
	}
	if err != nil && d.taken != nil {
		return fmt.Errorf("message %d: %w: %w", d.ID, module.ErrUnsettled, err)
	}
	return err
}

// commit makes messages durable, and what it means for those that they came of, as one;
// then they are in the queue.
func (e *Enqueuer) commit(ctx context.Context, share journal.Share, begot []fact.Change, first draft, more []draft) error {
	all := append([]draft{first}, more...)
	subs, messages := make([]spool.Submission, len(all)), make([]queue.Message, len(all))
	for i := range all {
		subs[i], messages[i] = spool.Submission{Draft: all[i].Draft, Facts: all[i].facts}, all[i].message()
	}
	n, err := e.spool.Submit(ctx, share, begot, subs...)
	if err != nil {
		return e.fault(first.ID, err)
	}
	if err := e.durable(n, first); err != nil {
		return err
	}
	for i, m := range messages {
		if e.queue.Enabled(ctx, serverlog.Major) {
			serverlog.Session(e.queue, 0, "["+m.ID.String()+"]").Log(ctx, serverlog.Major,
				"from "+m.Envelope.ReturnPath.Path()+", "+strconv.FormatInt(m.Size, 10)+" bytes")
		}
		e.kernel.Insert(m, all[i].facts...)
	}
	e.kernel.Apply(begot...)
	return nil
}
