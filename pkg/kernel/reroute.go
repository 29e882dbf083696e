package kernel

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

// A Where says where the Router sends an address today. An error that matches a
// [module.Rejection] is about that address; any other ends the act.
type Where func(context.Context, mail.Address) (queue.Key, mail.Address, error)

// A Move is how many recipients a reroute takes from one host queue to another.
type Move struct {
	From, To   queue.Key
	Recipients int
}

// Reroute has the Router say anew where the recipients of a selection go, and puts those
// that it sends elsewhere into their other host queues. They wait for nothing there, and
// their attempts are forgotten; their age is not. One whom the Router refuses stays.
func (k *Kernel) Reroute(ctx context.Context, sel *selection.Selection, o Order, where Where) (Outcome, error) {
	a, err := k.begin(sel, o)
	if err != nil {
		return Outcome{}, err
	}
	defer a.end()
	now := k.clock()
	ways := make(map[queue.Row]way, len(a.rows))
	k.slices(a.rows, func(row queue.Row) {
		if address, to, key, ok := k.state.Where(row); ok {
			w := way{address: address, wasTo: to, was: key}
			if key.Module == queue.Enqueuer {
				w.refused = NotYet
			}
			ways[row] = w
		}
	})
	if err := ask(ctx, ways, where); err != nil {
		return Outcome{}, err
	}
	moves := map[[2]queue.Key]int{}
	a.each(func(row queue.Row) (fact.Fact, string) {
		w, ok := ways[row]
		switch {
		case !ok:
			return nil, SameWay
		case w.refused != "":
			return nil, w.refused
		case w.is == w.was && w.isTo == w.wasTo:
			return nil, SameWay
		}
		moves[[2]queue.Key{w.was, w.is}]++
		return fact.Rerouted{Rcpt: row.Rcpt, At: now, By: o.By, Module: w.is.Module, Queue: w.is.Queue, Address: w.isTo, Act: a.number}, ""
	})
	for between, n := range moves {
		a.out.Moves = append(a.out.Moves, Move{between[0], between[1], n})
	}
	slices.SortFunc(a.out.Moves, func(x, y Move) int {
		return cmp.Or(cmp.Compare(y.Recipients, x.Recipients), cmp.Compare(x.From.String(), y.From.String()), cmp.Compare(x.To.String(), y.To.String()))
	})
	return a.commit()
}

// A way is where a recipient went, and where it goes.
type way struct {
	address     mail.Address
	was, is     queue.Key
	wasTo, isTo mail.Address
	refused     string
}

// ask asks the Router of each address once.
func ask(ctx context.Context, ways map[queue.Row]way, where Where) error {
	known := map[mail.Address]way{}
	for row, w := range ways {
		if w.refused != "" {
			continue
		}
		answer, ok := known[w.address]
		if !ok {
			var err error
			var refusal *module.Rejection
			answer.is, answer.isTo, err = where(ctx, w.address)
			switch {
			case errors.As(err, &refusal):
				answer.refused = "the Router refuses it: " + refusal.Result.Text
			case err != nil:
				return err
			}
			known[w.address] = answer
		}
		w.is, w.isTo, w.refused = answer.is, answer.isTo, answer.refused
		ways[row] = w
	}
	return nil
}
