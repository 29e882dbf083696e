// Package router decides where an address goes (chapter: Router). It rewrites it by
// its [Table] until no record fits any more, then asks the modules, and names the
// module and the queue. It does not look into modules, reads no files, and keeps nothing.
// docs/router.md is the manual of the table.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// System and Null are module and queue of what the Queue Component transfers, and
// that is discards, by itself (chapter: messages routed to NULL).
const (
	System = "SYSTEM"
	Null   = "NULL"
)

// maxRewrites is how often an address may be rewritten until that counts as a loop.
const maxRewrites = 50

// A Route is where an address goes: MODULE(queue)address.
type Route struct {
	Module string
	module.Route
}

// String is the route as in the Server Log: SMTP(example.com)ann@example.com.
func (r Route) String() string { return r.Module + "(" + r.Queue + ")" + r.Address.String() }

// Null reports whether what goes there is discarded.
func (r Route) Null() bool { return r.Module == System && r.Queue == Null }

// A Router routes addresses. It is safe for concurrent use.
type Router struct {
	modules    []module.Module
	mainDomain func() string
	local      func(domain string) bool // nil: the main domain alone is
	table      atomic.Pointer[Table]
	log        *slog.Logger
}

// New returns a router with an empty table that asks modules in the order given. An
// address without a domain belongs to the one that mainDomain names at that time. Log
// may be nil.
func New(mainDomain func() string, log *slog.Logger, mods ...module.Module) *Router {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Router{modules: mods, mainDomain: mainDomain, log: log}
	r.table.Store(newTable(nil))
	return r
}

// Use makes t the table, for addresses that come from now on.
func (r *Router) Use(t *Table) { r.table.Store(t) }

// SetLocal names the function that knows the local domains, beside the main domain. It is
// called before the Router is used.
func (r *Router) SetLocal(is func(domain string) bool) { r.local = is }

// Route says where an address goes. Its errors are a *module.Rejection, when the
// address is refused, or a fault of ours, after which it is to be tried again. One that
// matches ErrSpamTrap is a Rejection, too.
func (r *Router) Route(ctx context.Context, a mail.Address) (Route, error) {
	to, err := r.route(ctx, a, nil)
	switch {
	case !r.log.Enabled(ctx, serverlog.All):
	case err != nil:
		r.log.Log(ctx, serverlog.All, "'"+a.Path()+"' refused: "+err.Error())
	default:
		r.log.Log(ctx, serverlog.All, to.Module+": '"+a.Path()+"' accepted")
	}
	return to, err
}

// Sender says whether an address may be a return path: nil, or a *module.Rejection when
// the table routes it to ERROR or BLACKLISTED. It asks no module.
func (r *Router) Sender(_ context.Context, a mail.Address) error {
	if a.IsZero() {
		return nil
	}
	w := r.newWalk(a, nil)
	for range maxRewrites {
		switch specialOf(w.at) {
		case "":
		case errorName:
			return module.Reject(5, 1, 8, "the sender's address is routed to ERROR")
		case blacklisted:
			return module.Reject(5, 7, 1, "the sender's address is blacklisted")
		default:
			return nil
		}
		again, err := w.step()
		if !again || err != nil {
			return nil //nolint:nilerr // an address that nobody can write to is another matter
		}
	}
	return nil
}

// ErrSpamTrap is matched by the Rejection of an address that is routed to SPAMTRAP.
// Whoever writes to it shall hear what he would hear of one that does not exist.
var ErrSpamTrap = errors.New("the address is a spam trap")

type spamTrapped struct{}

func (spamTrapped) Error() string { return unknown().Error() }

func (spamTrapped) Unwrap() []error { return []error{unknown(), ErrSpamTrap} }

// unknown is what the Local Delivery module says of an Account that is not there.
func unknown() *module.Rejection { return module.Reject(5, 1, 1, "account unknown") }

func (r *Router) route(ctx context.Context, a mail.Address, notes *steps) (Route, error) {
	if a.IsZero() {
		return Route{}, module.Reject(5, 1, 3, "the null return path is no recipient")
	}
	w := r.newWalk(a, notes)
	for n := range maxRewrites {
		switch specialOf(w.at) {
		case "":
		case Null:
			return Route{System, module.Route{Queue: Null, Address: w.at}}, nil
		case errorName:
			return Route{}, module.Reject(5, 1, 1, "the address is routed to ERROR")
		case blacklisted:
			return Route{}, module.Reject(5, 7, 1, "the address is blacklisted")
		case spamTrap:
			return Route{}, spamTrapped{}
		}
		again, err := w.step()
		if err != nil {
			return Route{}, err
		}
		if !again {
			return r.ask(ctx, w, n > 0)
		}
	}
	return Route{}, module.Reject(5, 4, 6, "the address is rewritten in a circle") // RFC 3463 §3.5
}

// A walk is an address on its way through the table.
type walk struct {
	at    mail.Address
	table *Table
	site  site
	may   permission
	led   bool // a record names the program that the address is
	notes *steps
}

func (r *Router) newWalk(a mail.Address, notes *steps) *walk {
	w := &walk{at: a, table: r.table.Load(), notes: notes, may: permission{asSent: hasRoute(a.Local)}}
	w.site.main = canonical(r.mainDomain())
	w.site.local = r.local
	return w
}

// step rewrites the address once, by the first rule that changes it. A record that fits
// and changes nothing is heard about relaying, and those below it are asked.
func (w *walk) step() (again bool, err error) {
	if w.at.Domain == "" && w.site.main != "" {
		return w.move(Step{Record: "what has no domain is of the main domain"},
			mail.Address{Local: w.at.Local, Domain: w.site.main})
	}
	for line := 0; ; {
		m := w.table.find(w.at, w.site, line)
		if m.record == nil {
			break
		}
		line = m.line
		s := Step{Line: m.line, Record: m.text, Relay: w.may.hear(&m, w.site.isLocal)}
		next, err := m.apply(w.at)
		if err != nil {
			s.Before, s.After = w.at, w.at
			w.notes.add(s)
			return false, err
		}
		if next.Local != w.at.Local || canonical(next.Domain) != canonical(w.at.Domain) {
			w.led = m.to.pipe
			return w.move(s, next)
		}
		w.led = w.led || m.to.pipe
		s.Before, s.After = w.at, w.at
		w.notes.add(s)
	}
	if strings.ContainsAny(w.at.Local, "%!") && w.site.isLocal(canonical(w.at.Domain)) {
		if next, ok := unroute(w.at); ok {
			w.led = false
			return w.move(Step{Record: "at a local domain, what the local part names"}, next)
		}
	}
	return false, nil
}

func (w *walk) move(s Step, next mail.Address) (bool, error) {
	s.Before, s.After = w.at, next
	w.notes.add(s)
	w.at = next
	return true, nil
}

// ask asks the modules, first for what is theirs for certain, then for the rest, which
// a name of no domain never is. A program that no record names is nobody's: else whoever
// may write an address could start it.
func (r *Router) ask(ctx context.Context, w *walk, rewritten bool) (Route, error) {
	if !w.led && strings.EqualFold(w.at.Domain, pipeDomain) {
		return Route{}, module.Reject(5, 7, 1, "no record of the Router table leads to this program")
	}
	for attempt := 1; attempt <= 2; attempt++ {
		final := attempt == 2
		if final && pseudo(w.at.Domain) {
			break
		}
		for _, m := range r.modules {
			to, err := m.Claim(ctx, w.at, final)
			var refused *module.Rejection
			switch {
			case errors.Is(err, module.ErrNotMine):
				continue
			case errors.As(err, &refused):
				return Route{}, refused
			case err != nil:
				return Route{}, fmt.Errorf("route <%s>: %s: %w", w.at, m.Name(), err)
			}
			w.notes.add(Step{Record: attempts[attempt], Before: w.at, After: to.Address, Module: m.Name(), Attempt: attempt})
			if rewritten && !sound(to.Address) {
				return Route{}, module.Reject(5, 1, 3, "what the address is rewritten to is no address")
			}
			to.Relay = to.Relay && !w.may.granted
			return Route{m.Name(), to}, nil
		}
	}
	return Route{}, module.Reject(5, 1, 2, "no module takes this address")
}

var attempts = [...]string{1: "first attempt", 2: "final attempt"}

// sound reports whether an address can be read where it was written, as in the journal.
func sound(a mail.Address) bool {
	b, err := mail.ParseAddress(a.String())
	return err == nil && a == b
}
