// Package router decides where an address goes (chapter: Router). It names the
// module and the queue; it does not look into modules, and keeps nothing.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

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
	modules []module.Module
	rewrite []rule
	log     *slog.Logger
}

// A rule rewrites an address, or says that it has nothing to say of it. After a
// rewrite all rules are asked again.
type rule func(a mail.Address) (mail.Address, bool)

// New returns a router that asks modules in the order given. An address without a
// domain belongs to the one that mainDomain names at that time. Log may be nil.
func New(mainDomain func() string, log *slog.Logger, mods ...module.Module) *Router {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	qualify := func(a mail.Address) (mail.Address, bool) {
		if a.Domain != "" {
			return a, false
		}
		a.Domain = mainDomain()
		return a, a.Domain != ""
	}
	return &Router{modules: mods, rewrite: []rule{qualify}, log: log}
}

// Route says where an address goes. Its errors are a *module.Rejection, when the
// address is refused, or a fault of ours, after which it is to be tried again.
func (r *Router) Route(ctx context.Context, a mail.Address) (Route, error) {
	to, err := r.route(ctx, a)
	switch {
	case err != nil:
		r.log.Log(ctx, serverlog.All, "'"+a.Path()+"' refused: "+err.Error())
	default:
		r.log.Log(ctx, serverlog.All, to.Module+": '"+a.Path()+"' accepted")
	}
	return to, err
}

func (r *Router) route(ctx context.Context, a mail.Address) (Route, error) {
	if a.IsZero() {
		return Route{}, module.Reject(5, 1, 3, "the null return path is no recipient")
	}
	for range maxRewrites {
		switch {
		case special(a, Null):
			return Route{System, module.Route{Queue: Null, Address: a}}, nil
		case special(a, "ERROR"):
			return Route{}, module.Reject(5, 1, 1, "the address is routed to ERROR")
		}
		next, again := r.apply(a)
		if !again {
			return r.ask(ctx, a)
		}
		a = next
	}
	return Route{}, module.Reject(5, 4, 6, "the address is rewritten in a circle") // RFC 3463 §3.5
}

// special reports whether the whole address, or its domain, is a name of the
// Router's own.
func special(a mail.Address, name string) bool {
	return strings.EqualFold(a.Domain, name) || a.Domain == "" && strings.EqualFold(a.Local, name)
}

// apply rewrites the address by the first rule that has something to say.
func (r *Router) apply(a mail.Address) (mail.Address, bool) {
	for _, rule := range r.rewrite {
		if next, ok := rule(a); ok {
			return next, true
		}
	}
	return a, false
}

// ask asks the modules, first for what is theirs for certain, then for the rest.
func (r *Router) ask(ctx context.Context, a mail.Address) (Route, error) {
	for _, final := range []bool{false, true} {
		for _, m := range r.modules {
			to, err := m.Claim(ctx, a, final)
			var refused *module.Rejection
			switch {
			case err == nil:
				return Route{m.Name(), to}, nil
			case errors.Is(err, module.ErrNotMine):
			case errors.As(err, &refused):
				return Route{}, refused
			default:
				return Route{}, fmt.Errorf("route <%s>: %s: %w", a, m.Name(), err)
			}
		}
	}
	return Route{}, module.Reject(5, 1, 2, "no module takes this address")
}
