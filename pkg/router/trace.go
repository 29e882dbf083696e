package router

import (
	"context"
	"strconv"
	"strings"

	"cgq/pkg/mail"
)

// A Step is one thing that the Router did with an address: it rewrote it, or asked the
// modules, which is the last one.
type Step struct {
	Line    int          // of the record in the table; 0: built in
	Record  string       // as it stands there, or the rule in words
	Before  mail.Address //
	After   mail.Address // Before, if the step ended in a refusal
	Relay   string       // what it said about relaying, in words; empty: nothing
	Module  string       // that claimed the address; empty: none
	Attempt int          // at which it did: 1 first, 2 final
}

// String is the step in one line.
func (s Step) String() string {
	var b strings.Builder
	if s.Line > 0 {
		b.WriteString("line " + strconv.Itoa(s.Line) + ": ")
	}
	b.WriteString(s.Record + ": " + s.Before.String() + " -> " + s.After.String())
	if s.Relay != "" {
		b.WriteString("; " + s.Relay)
	}
	return b.String()
}

// steps notes them; nil notes nothing, at no cost.
type steps struct{ list []Step }

func (n *steps) add(s Step) {
	if n != nil {
		n.list = append(n.list, s)
	}
}

// Trace routes an address as Route does, and says how; the log learns nothing. The steps
// are all until the end, or until the address was refused.
func (r *Router) Trace(ctx context.Context, a mail.Address) ([]Step, Route, error) {
	var notes steps
	to, err := r.route(ctx, a, &notes)
	return notes.list, to, err
}
