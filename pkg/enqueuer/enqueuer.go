// Package enqueuer takes messages into the Queue: it composes the Temp File, adds
// the Received field, counts the hops, routes each recipient, makes the message
// durable and hands it to the kernel (chapter: When a message is submitted for
// processing, the Enqueuer component examines its envelope information). It works
// synchronously: the submitter hears what has become of the message.
package enqueuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
	"cgq/pkg/stats"
)

// Settings are those of the chapter's Enqueuer panel, and the Queue Limit.
type Settings struct {
	HopCounterLimit int `toml:"hop_counter_limit" doc:"a message with more Received fields is refused, because it loops; 1 to 1000 (chapter: Hop Counter Limit)"`
	QueueLimit      int `toml:"queue_limit" doc:"with more messages in the Queue no new ones are accepted, reports excepted; 0 is no limit (chapter: Queue Limit)"`
	QueueReserve    int `toml:"queue_reserve" doc:"so many messages above queue_limit reports and other mail of the server itself may take; what replaces its message always goes; 0 to 1000000 (chapter: Queue Limit)"`
}

// Defaults are the settings of a new server. RFC 5321 §6.3 wants a hop limit of at
// least 100.
func Defaults() Settings { return Settings{HopCounterLimit: 100, QueueReserve: 1000} }

// Validate names the first key that cannot be used.
func (s *Settings) Validate() error {
	switch {
	case s.HopCounterLimit < 1 || s.HopCounterLimit > 1000:
		return fmt.Errorf("hop_counter_limit: %d is not between 1 and 1000", s.HopCounterLimit)
	case s.QueueLimit < 0:
		return fmt.Errorf("queue_limit: %d is below 0", s.QueueLimit)
	case s.QueueReserve < 0 || s.QueueReserve > 1_000_000:
		return fmt.Errorf("queue_reserve: %d is not between 0 and 1000000", s.QueueReserve)
	}
	return nil
}

// Server is what the Enqueuer must know of the server as a whole.
type Server struct {
	MainDomain func() string
	Clients    func() []netip.Prefix // chapter: Client IP Addresses; loopback is always one
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
	at       atomic.Int64 // messages received and not enqueued yet
	refused  refusals
	full     atomic.Bool // the Queue Limit is reached, and the log has it
}

// New returns an Enqueuer. The logs are those of the tags ENQUEUER and QUEUE.
func New(s *spool.Spool, r *router.Router, k *kernel.Kernel, set *atomic.Pointer[Settings], srv Server,
	st *stats.Set, log, queueLog *slog.Logger) *Enqueuer {
	e := &Enqueuer{spool: s, router: r, kernel: k, settings: set, server: srv, log: log, queue: queueLog, refused: countRefusals(st)}
	st.Gauge("numEnqueuerMessages", e.at.Load)
	return e
}

// Check implements [module.Enqueuer].
func (e *Enqueuer) Check(ctx context.Context, env *mail.Envelope, r mail.Recipient) error {
	_, err := e.route(ctx, env, r)
	return err
}

// route routes one recipient and asks whether the submitter may send to it.
func (e *Enqueuer) route(ctx context.Context, env *mail.Envelope, r mail.Recipient) (router.Route, error) {
	to, err := e.router.Route(ctx, r.Address)
	if err == nil && to.Relay && !e.mayRelay(env) {
		err = module.Reject(5, 7, 1, "relaying denied: "+r.Address.Domain+" is not local here")
	}
	return to, err
}

// mayRelay says whether a submitter may send to other systems: the server itself
// and authenticated users, clients on this machine or listed (chapter: Client IP
// Addresses), and nobody else.
func (e *Enqueuer) mayRelay(env *mail.Envelope) bool {
	if !env.Source.External() || env.Auth != "" {
		return true
	}
	peer := env.Peer.Unmap()
	if peer.IsLoopback() {
		return true
	}
	for _, p := range e.server.Clients() {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// Submit implements [module.Enqueuer].
func (e *Enqueuer) Submit(ctx context.Context, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	if err := e.Admit(ctx, env); err != nil {
		return 0, err
	}
	return e.submit(ctx, journal.Intake, env, text, nil)
}

// Beget implements [kernel.Begetter]. The Queue Limit does not hold here, but with its
// reserve: else a full queue could not empty itself.
func (e *Enqueuer) Beget(ctx context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error) {
	if err := e.admitBegotten(parents); err != nil {
		return 0, err
	}
	return e.submit(ctx, journal.Inside, env, text, parents)
}

func (e *Enqueuer) submit(ctx context.Context, share journal.Share, env *mail.Envelope, text io.Reader,
	parents func(mail.ID) []fact.Change) (mail.ID, error) {
	e.at.Add(1)
	defer e.at.Add(-1)
	env.Submitted = time.Now()
	if env.Domain == "" {
		env.Domain = e.server.MainDomain()
	}
	d, err := e.spool.Draft(env)
	if err != nil {
		return 0, e.fault(0, err)
	}
	defer d.Discard()
	if _, err := d.Write(received(env, d.ID)); err != nil {
		return 0, e.fault(d.ID, err)
	}
	if _, err := io.Copy(d, text); err != nil {
		if d.Err() != nil {
			return 0, e.fault(d.ID, err)
		}
		return 0, fmt.Errorf("message %d: receive: %w", d.ID, err)
	}
	if hops, limit := header.Hops(d.Start())-1, e.settings.Load().HopCounterLimit; hops > limit {
		e.refused.hops.Add(1)
		e.log.Log(ctx, serverlog.Failure, "rejected: "+strconv.Itoa(hops)+" hops, the limit is "+strconv.Itoa(limit), "id", d.ID)
		return 0, module.Reject(5, 4, 6, "too many hops: the message has "+strconv.Itoa(hops)+" Received fields, it may be in a loop")
	}
	facts, err := e.routes(ctx, env)
	if err != nil {
		return 0, err
	}
	m := queue.Message{ID: d.ID, Envelope: env, Size: d.Size(), Subject: spool.Subject(d.Start())}
	var begot []fact.Change
	if parents != nil {
		begot = parents(d.ID)
	}
	n, err := d.Commit(ctx, share, begot, facts...)
	if err == nil {
		err = e.spool.Wait(n)
	}
	if err != nil {
		return 0, e.fault(m.ID, err)
	}
	if e.queue.Enabled(ctx, serverlog.Major) {
		serverlog.Session(e.queue, 0, "["+m.ID.String()+"]").Log(ctx, serverlog.Major,
			"from "+env.ReturnPath.Path()+", "+strconv.FormatInt(m.Size, 10)+" bytes")
	}
	e.kernel.Insert(m, facts...)
	e.kernel.Apply(begot...)
	return m.ID, nil
}

// routes routes all recipients. One that is refused, though it was admitted before,
// fails, and its sender gets a report; when all are, the message is refused.
func (e *Enqueuer) routes(ctx context.Context, env *mail.Envelope) ([]fact.Fact, error) {
	if len(env.Recipients) == 0 {
		return nil, module.Reject(5, 5, 1, "no recipients")
	}
	facts := make([]fact.Fact, 0, len(env.Recipients))
	refused := 0
	var last error
	for i, r := range env.Recipients {
		to, err := e.route(ctx, env, r)
		var rejection *module.Rejection
		switch {
		case errors.As(err, &rejection) && rejection.Result.Action == mail.Failed:
			facts = append(facts, fact.Settled{Rcpt: i, At: env.Submitted, Result: rejection.Result})
			refused, last = refused+1, err
		case err != nil:
			return nil, err
		case to.Null():
			facts = append(facts, discarded(i, env.Submitted))
		default:
			facts = append(facts, fact.Routed{Rcpt: i, Module: to.Module, Queue: to.Queue, Address: to.Address})
		}
	}
	if refused == len(env.Recipients) {
		return nil, last
	}
	return facts, nil
}

// discarded is the end of a recipient that is routed to NULL (chapter: the Queue
// Component itself transfers (discards) messages).
func discarded(rcpt int, at time.Time) fact.Settled {
	return fact.Settled{Rcpt: rcpt, At: at, Result: mail.Result{Action: mail.Discarded, Status: mail.Status{2, 0, 0}, Text: "discarded"}}
}

// Resume resubmits a message that a start has found (chapter: When the Server
// restarts, the Enqueuer component finds all files with the .msg extension). Its
// recipients that are not done are routed by today's table (SPOOL R4). None of a held
// message ends here: it may have ended before, and that be lost; or it is of a backup.
func (e *Enqueuer) Resume(ctx context.Context, f spool.Found) {
	if f.Hold == "" {
		f.Hold = e.kernel.Holding(f.ID)
	}
	now := time.Now()
	done := map[int]bool{} // or in the trash
	was := map[int]fact.Routed{}
	for _, v := range f.Facts {
		switch v := v.(type) {
		case fact.Settled:
			done[v.Rcpt] = true
		case fact.Rejected:
			done[v.Rcpt] = true
		case fact.Undone:
			delete(done, v.Rcpt)
		case fact.Routed:
			was[v.Rcpt] = v
		case fact.Rerouted:
			was[v.Rcpt] = fact.Routed{Rcpt: v.Rcpt, Module: v.Module, Queue: v.Queue, Address: v.Address}
		}
	}
	var routes []fact.Routed
	var refused []fact.Settled
	for i, r := range f.Envelope.Recipients {
		if done[i] {
			continue
		}
		to, err := e.router.Route(ctx, r.Address) // whether it may was asked when it came
		var rejection *module.Rejection
		old, routed := was[i]
		switch {
		case err == nil && !to.Null():
			routes = append(routes, fact.Routed{Rcpt: i, Module: to.Module, Queue: to.Queue, Address: to.Address})
		case err == nil && f.Hold == "":
			refused = append(refused, discarded(i, now))
		case errors.As(err, &rejection) && rejection.Result.Action == mail.Failed && f.Hold == "":
			refused = append(refused, fact.Settled{Rcpt: i, At: now, Result: rejection.Result})
		case routed: // nobody knows just now: it goes the old way
			routes = append(routes, old)
		default:
			e.log.Error(r.Address.Path()+" is in no queue before the next start: it cannot be routed", "id", f.ID, "err", err)
		}
	}
	e.kernel.Restore(queue.Message{ID: f.ID, Envelope: f.Envelope, Subject: f.Subject, Size: f.Size, Hold: f.Hold, Repeated: true},
		f.Facts, routes, refused)
}

// received is the field that says how the message came here (RFC 5321 §4.4), in the
// product's shape, which helper programs parse.
func received(env *mail.Envelope, id mail.ID) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "Received: "...)
	if env.Peer.IsValid() {
		b = append(b, "from ["...)
		if env.Peer.Unmap().Is6() {
			b = append(b, "IPv6:"...)
		}
		b = append(b, env.Peer.Unmap().String()+"] ("...)
		if env.Auth != "" {
			b = append(b, "account "+comment(env.Auth)+" "...)
		}
		b = append(b, "HELO "+comment(env.Trace.Helo)+")\n  "...)
	}
	with := env.Trace.With
	if with == "" {
		with = env.Source.String()
	}
	b = append(b, "by "+env.Domain+" (cgq "+env.Source.String()+") with "+with+" id "+id.String()...)
	if len(env.Recipients) == 1 && !env.Recipients[0].Address.IsZero() {
		b = append(b, "\n  for "+env.Recipients[0].Address.Path()...)
	}
	b = env.Submitted.AppendFormat(append(b, "; "...), "Mon, 02 Jan 2006 15:04:05 -0700")
	return append(b, '\n')
}

// comment makes a stranger's word fit for a comment (RFC 5322 §3.2.2): ASCII, so that
// it makes no message one that not every host takes.
func comment(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || c == '(' || c == ')' || c == '\\' {
			return '_'
		}
		return c
	}, s[:min(len(s), 255)])
}
