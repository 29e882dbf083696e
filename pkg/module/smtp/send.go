package smtp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/idna"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/resolver"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
)

// A Module sends mail to other servers. It is a [module.Module].
type Module struct {
	settings *atomic.Pointer[Settings]
	resolver resolver.Resolver
	domain   func() string
	log      *slog.Logger

	active, total, jobs, traffic *stats.Counter
	sessions                     atomic.Uint64 // numbers given to connections

	dial func(ctx context.Context, network, address string) (net.Conn, error)
	port string // of a mail exchanger
	pool pool

	tries book
}

// New returns the module. domain is the main domain; log is tagged SMTP.
func New(
	s *atomic.Pointer[Settings], r resolver.Resolver, domain func() string, st *stats.Set, log *slog.Logger,
) *Module {
	return &Module{
		settings: s, resolver: r, domain: domain, log: log,
		active: st.Counter("smtpOutputActive"), total: st.Counter("smtpOutputTotal"),
		jobs: st.Counter("smtpOutputJobs"), traffic: st.Counter("smtpOutputTrafficOut"),
		dial: new(net.Dialer).DialContext, port: "25", tries: book{since: time.Now()},
	}
}

// Name implements [module.Module].
func (m *Module) Name() string { return "SMTP" }

// Claim implements [module.Module]: an address whose domain names the next host is its
// own; and what nobody else wants goes out, in the queue of its domain.
func (m *Module) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	if mail.IsHop(a.Domain) {
		return claimHop(a)
	}
	if !final || a.Domain == "" {
		return module.Route{}, module.ErrNotMine
	}
	queue, err := asciiDomain(a.Domain)
	if err != nil {
		return module.Route{}, module.Reject(5, 1, 2, "not a name of a domain")
	}
	return module.Route{Queue: queue, Address: a, Relay: true}, nil
}

// claimHop takes an address for a host that its domain names (chapter: Router). The host
// gets what the local part has behind its last % as the domain, or else the address as
// one of its own.
func claimHop(a mail.Address) (module.Route, error) {
	hop, ok := mail.ParseHop(a.Domain)
	switch {
	case ok && (mail.Address{Domain: a.Domain}).ASCII():
	case strings.HasPrefix(a.Domain, "["):
		return module.Route{}, module.Reject(5, 1, 2, "not a network address in brackets")
	default:
		return module.Route{}, module.Reject(5, 1, 2, "not a name of a host")
	}
	to := mail.Address{Local: a.Local, Domain: hop.Host}
	if strings.EqualFold(hop.Host, a.Domain) {
		to.Domain = a.Domain // an address literal, as it was written
	}
	if i := strings.LastIndexByte(a.Local, '%'); i >= 0 {
		to = mail.Address{Local: a.Local[:i], Domain: a.Local[i+1:]}
	}
	if b, err := mail.ParseAddress(to.String()); err != nil || b != to || to.Domain == "" {
		return module.Route{}, module.Reject(5, 1, 3, "what stands before the next host is no address")
	}
	return module.Route{Queue: hop.String(), Address: to, Relay: true}, nil
}

// asciiDomain is the domain in lower case, an internationalized one as A-labels.
func asciiDomain(domain string) (string, error) {
	if (mail.Address{Domain: domain}).ASCII() {
		return strings.ToLower(domain), nil
	}
	return idna.Lookup.ToASCII(domain)
}

// Transfer implements [module.Module]. It takes a connection that waits in the pool,
// or makes one, when it has a message for it, and leaves it there afterwards.
func (m *Module) Transfer(ctx context.Context, q module.Queue) {
	w := &work{m: m, ctx: ctx, q: q, settings: &m.settings.Load().Send}
	defer w.end()
	for t := range q.Due(ctx) {
		if !w.message(t) {
			return
		}
	}
}

// A work is one call of Transfer.
type work struct {
	m        *Module
	ctx      context.Context // of the call
	q        module.Queue
	settings *Send
	link     *link        // or nil
	busy     bool         // a transaction goes on
	refused  *mail.Result // why no message can ever go, or nil
}

// end leaves the connection to the next Transfer of the queue.
func (w *work) end() {
	switch {
	case w.link == nil:
	case w.busy: // we come from a panic
		w.drop()
	default:
		w.m.park(w.ctx, w.link)
	}
}

// drop closes a connection that is of no more use.
func (w *work) drop() {
	l := w.link
	w.link, w.busy = nil, false
	l.unbind()
	_ = l.Close()
	w.m.free(l.key)
}

// message transfers one message. It returns false when the queue has to wait, or
// the context has ended.
func (w *work) message(t *module.Transfer) bool {
	if w.ctx.Err() != nil {
		return false
	}
	src, err := t.Open()
	if err != nil {
		w.fault(t, err)
		return true
	}
	x := newText(src)
	defer x.close()
	if x.err != nil {
		w.fault(t, x.err)
		return true
	}
	todo := w.sound(t)
	for len(todo) > 0 {
		if w.link == nil && w.refused == nil {
			switch r := w.connect(); {
			case w.ctx.Err() != nil:
				return false
			case r != nil && r.Final():
				w.refused = r
			case r != nil:
				w.q.Delay(*r)
				return false
			}
		}
		if w.refused != nil {
			settle(t, todo, *w.refused)
			return true
		}
		todo = w.possible(t, todo)
		if len(todo) == 0 {
			break
		}
		n := min(len(todo), w.settings.MaxRecipients)
		again, next := w.transaction(t, x, todo[:n])
		switch next {
		case stop:
			return false
		case nextMessage:
			return true
		}
		todo = append(again, todo[n:]...)
	}
	return true
}

// sound returns the recipients that can be written into a command. No other address
// gets here; if one did, it would be a command of somebody else.
func (w *work) sound(t *module.Transfer) []int {
	todo := make([]int, 0, len(t.Recipients))
	bad := func(s string) bool { return strings.ContainsFunc(s, isControl) }
	from := bad(t.Envelope.ReturnPath.Path()) || bad(t.Envelope.EnvelopeID)
	for i, r := range t.Recipients {
		if from || bad(r.To.Path()) || bad(r.Original) || r.To.IsZero() {
			t.Settle(i, mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 3},
				Text: "the address cannot be written in SMTP"})
			continue
		}
		todo = append(todo, i)
	}
	return todo
}

// possible returns the recipients whom this server can be asked for; the others fail.
func (w *work) possible(t *module.Transfer, todo []int) []int {
	ext := &w.link.ext
	if ext.maxSize > 0 && t.Size > ext.maxSize {
		settle(t, todo, mail.Result{Action: mail.Failed, Status: mail.Status{5, 3, 4},
			Text: "the message is larger than the host takes", MTA: w.link.host})
		return nil
	}
	if ext.utf8 {
		return todo
	}
	unable := mail.Result{Action: mail.Failed, Status: mail.Status{5, 6, 7},
		Text: "the message needs SMTPUTF8, which the host does not have", MTA: w.link.host}
	if t.Envelope.SMTPUTF8 || !w.link.wireForm(t.Envelope.ReturnPath).ASCII() {
		settle(t, todo, unable)
		return nil
	}
	able := todo[:0]
	for _, i := range todo {
		if w.link.wireForm(t.Recipients[i].To).ASCII() {
			able = append(able, i)
		} else {
			t.Settle(i, unable)
		}
	}
	return able
}

// fault delays a message whose text cannot be read: our own trouble.
func (w *work) fault(t *module.Transfer, err error) {
	w.m.log.LogAttrs(w.ctx, serverlog.Failure, "cannot read the message: "+err.Error(), slog.Any("id", t.ID))
	t.Delay(mail.Result{Action: mail.Delayed, Status: mail.Status{4, 3, 0}, Text: "the message cannot be read now"})
}

func settle(t *module.Transfer, todo []int, r mail.Result) {
	for _, i := range todo {
		t.Settle(i, r)
	}
}

// step is what comes behind a transaction.
type step int

const (
	goOn step = iota
	nextMessage
	stop
)

// transaction tries one transaction. It returns the recipients that have to go in
// another one.
func (w *work) transaction(t *module.Transfer, x *text, todo []int) ([]int, step) {
	w.busy = true
	v, err := w.link.transact(t, todo, x)
	w.busy = false
	if err != nil {
		return w.broken(t, todo, err)
	}
	again, next := w.verdict(t, todo, &v)
	if w.link != nil {
		if most := w.settings.MessagesPerConnection; most > 0 && w.link.done >= most {
			w.m.retire(w.link)
			w.link = nil
		}
	}
	return again, next
}

// broken is what follows from a connection that broke before the final dot.
func (w *work) broken(t *module.Transfer, todo []int, err error) ([]int, step) {
	l := w.link
	w.drop()
	var ours errText
	switch {
	case errors.As(err, &ours):
		w.fault(t, ours.error)
		return nil, nextMessage
	case w.ctx.Err() != nil:
		return nil, stop
	case l.done > 0: // it worked before: the other side had enough of it; try a fresh one
		l.log.Info("connection is gone: " + why(err))
		return todo, goOn
	}
	r := mail.Result{Action: mail.Delayed, Status: mail.Status{4, 4, 2},
		Text: "connection with " + l.host + " is broken: " + why(err), MTA: l.host}
	var closing *errClosing
	if errors.As(err, &closing) {
		r = closing.answer.result(l.host)
		w.m.tries.refused(l.tried, l.step, closing.answer)
	} else {
		w.m.tries.broke(l.tried, l.step, why(err))
	}
	l.log.Warn("queue delayed: " + r.String())
	w.q.Delay(r)
	return nil, stop
}

// verdict turns what the other side said into results.
func (w *work) verdict(t *module.Transfer, todo []int, v *verdict) (again []int, next step) {
	host, reports := w.link.host, w.link.ext.dsn
	if v.mail.class() != 2 {
		w.m.tries.refused(w.link.tried, module.StepMAIL, v.mail)
		r := v.mail.result(host)
		if !r.Final() {
			return nil, w.delay(t, r)
		}
		settle(t, todo, r)
		return nil, goOn
	}
	accepted := make([]int, 0, len(todo))
	taken := v.accepted()
	for n, a := range v.rcpts {
		switch i := todo[n]; {
		case a.class() == 2:
			accepted = append(accepted, i)
		case taken > 0 && tooMany(a): // RFC 5321 §4.5.3.1.10: they go in another transaction
			again = append(again, i)
		default:
			w.link.log.LogAttrs(w.ctx, serverlog.Problem, "RCPT "+t.Recipients[i].To.Path()+" refused: "+a.String(),
				slog.Any("id", t.ID))
			w.m.tries.refused(w.link.tried, module.StepRCPT, a)
			t.Settle(i, a.result(host))
		}
	}
	if len(accepted) == 0 {
		return again, goOn
	}
	switch a := v.last(); {
	case v.lost != nil:
		r := mail.Result{Action: mail.Delayed, Status: mail.Status{4, 4, 2}, MTA: host,
			Text: "connection with " + host + " is broken behind the final dot, the message may arrive twice: " + why(v.lost)}
		w.m.tries.broke(w.link.tried, module.StepEnd, why(v.lost))
		w.drop()
		return nil, w.delay(t, r)
	case a.class() == 2:
		w.sent(t, v)
		status, _ := a.split()
		settle(t, accepted, mail.Result{Action: mail.Relayed, Status: status, Text: "relayed via " + host + ": " + a.String(), MTA: host, Reports: reports})
	case a.class() == 4:
		w.m.tries.refused(w.link.tried, v.step(), a)
		if a.code == 421 {
			w.drop()
		}
		return nil, w.delay(t, a.result(host))
	default:
		w.m.tries.refused(w.link.tried, v.step(), a)
		w.link.log.LogAttrs(w.ctx, serverlog.Problem, "message refused: "+a.String(), slog.Any("id", t.ID))
		settle(t, accepted, a.result(host))
	}
	return again, goOn
}

// last is the answer that decides about the accepted recipients.
func (v *verdict) last() answer {
	if v.final.code != 0 {
		return v.final
	}
	return v.data
}

// step is that of the last answer.
func (v *verdict) step() module.Step {
	if v.final.code != 0 {
		return module.StepEnd
	}
	return module.StepDATA
}

// tooMany reports whether a recipient was refused only because there were others.
func tooMany(a answer) bool {
	status, _ := a.split()
	return a.code == 452 && (status == mail.Status{4, 5, 3} || status == mail.Status{4})
}

// delay makes the message wait in this queue.
func (w *work) delay(t *module.Transfer, r mail.Result) step {
	w.m.log.LogAttrs(w.ctx, serverlog.Problem, "message delayed: "+r.String(), slog.Any("id", t.ID))
	t.Delay(r)
	return nextMessage
}

// sent counts and logs a message that the other side took.
func (w *work) sent(t *module.Transfer, v *verdict) {
	w.m.jobs.Add(1)
	w.m.traffic.Add(v.bytes)
	w.m.tries.sent(w.link.tried, v.final)
	if l := w.link; l.log.Enabled(w.ctx, serverlog.Major) {
		l.log.LogAttrs(w.ctx, serverlog.Major,
			"sent "+endpoint(l.LocalAddr())+" -> "+endpoint(l.RemoteAddr())+", got:"+v.final.String(), slog.Any("id", t.ID))
	}
}

// endpoint is a network address as the log has it: [192.0.2.1]:25.
func endpoint(a net.Addr) string {
	if host, port, err := net.SplitHostPort(a.String()); err == nil {
		return "[" + host + "]:" + port
	}
	return a.String()
}
