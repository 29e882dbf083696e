package kernel

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

// An Explanation says why a host queue waits, and what happens next.
type Explanation struct {
	queue.HostView
	queue.Work
	By       [queue.Held + 1]int // recipients by their status
	Paced    int                 // of the suspended: released, and waiting for their turn
	Turn     time.Time           // of the last of these
	Holds    map[string]int      // recipients by the reason why they are held
	Errors   map[string]int      // recipients by their last error
	Parked   bool                // its module has crashed too often
	Stopping bool                // nothing is handed out any more
	Expires  time.Time           // when a failed attempt becomes the last of the oldest message; zero: never
	Next     time.Time           // when somebody tries; zero: as soon as he can, or never
	Schedule []time.Time         // the coming attempts, if each of them fails, until the oldest message expires
}

// Expires is from when on a failed attempt of a module is the last one of a message that was
// submitted then; zero: no attempt is.
func (k *Kernel) Expires(module string, submitted time.Time) time.Time {
	plan := k.plan(module)
	if plan.Expire <= 0 || submitted.IsZero() {
		return time.Time{}
	}
	return submitted.Add(plan.Expire)
}

// scheduled is how many coming attempts an explanation has at most.
const scheduled = 20

// Explain says why a host queue waits; false: there is none.
func (k *Kernel) Explain(key queue.Key) (e Explanation, ok bool) {
	e.Holds, e.Errors = map[string]int{}, map[string]int{}
	for after, more := mail.ID(0), true; more; {
		var views []queue.MessageView
		k.mu.Lock()
		views, after, more = k.state.In(key, after, slice, k.now())
		k.mu.Unlock()
		for _, m := range views {
			for _, r := range m.Recipients {
				e.By[r.Status]++
				if r.Status == queue.Suspended && r.Paced {
					e.Paced++
					if r.Delayed.After(e.Turn) {
						e.Turn = r.Delayed
					}
				}
				if r.Status == queue.Held {
					e.Holds[r.Hold]++
				}
				if text := r.LastError.String(); text != "" {
					e.Errors[text]++
				}
			}
		}
	}
	plan := k.plan(key.Module)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if e.HostView, ok = k.state.Host(key, now); !ok {
		return e, false
	}
	e.Work, _ = k.state.Work(key)
	e.Parked, e.Stopping = k.parked[key.Module] >= parkAfter, k.stopping
	if plan.Expire > 0 && !e.Oldest.IsZero() {
		e.Expires = e.Oldest.Add(plan.Expire)
	}
	if e.Messages > 0 && e.Held < e.Messages && !e.Parked {
		if e.Next = e.Until; e.Next.IsZero() {
			e.Next = e.HostView.Next
		}
		e.Schedule = plan.schedule(e.Next, now, e.Attempts, e.Expires)
	}
	return e, true
}

// AskModule asks the module of a host queue what it knows of that; false: it knows nothing
// beside what [Kernel.Explain] says. It lasts no longer than ctx.
func (k *Kernel) AskModule(ctx context.Context, key queue.Key) (e module.Explanation, ok bool) {
	m, ok := k.module(key.Module).(module.Explainer)
	if !ok {
		return e, false
	}
	return m.Explain(ctx, key.Queue), true
}

// schedule is when a host queue is tried that has failed so often, first at a time, if it
// fails each time, until something expires.
func (p Plan) schedule(first, now time.Time, attempts int, expires time.Time) (all []time.Time) {
	at := first
	if at.Before(now) {
		at = now
	}
	for len(all) < scheduled {
		all = append(all, at)
		if !expires.IsZero() && at.After(expires) {
			break // the last
		}
		attempts++
		at = at.Add(p.wait(attempts))
	}
	return all
}

// A Shape counts recipients by how long their messages are in the queue.
type Shape struct {
	Name  string
	Total int
	Ages  []int // below each of the bounds, and not below the one before it; then the others
}

// Shapes counts the recipients of a selection by a name that each has, and by the age of
// its message.
func (k *Kernel) Shapes(sel *selection.Selection, bounds []time.Duration, name func(selection.Subject) string) ([]*Shape, error) {
	shapes := map[string]*Shape{}
	err := k.each(sel, func(who selection.Subject, age time.Duration) {
		at := 0
		for at < len(bounds) && age >= bounds[at] {
			at++
		}
		n := name(who)
		shape := shapes[n]
		if shape == nil {
			shape = &Shape{Name: strings.Clone(n), Ages: make([]int, len(bounds)+1)} // n is a piece of a whole envelope
			shapes[shape.Name] = shape
		}
		shape.Ages[at]++
		shape.Total++
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(shapes), func(a, b *Shape) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name))
	}), nil
}

// each does something with all recipients of a selection, the lock taken for some at a
// time; do is called with the lock.
func (k *Kernel) each(sel *selection.Selection, do func(who selection.Subject, age time.Duration)) error {
	var err error
	end := k.newestID()
	k.steps(func(after mail.ID) (last mail.ID, more bool) {
		last, more, err = k.state.Each(sel, after, slice, k.now(), do)
		return last, more && last < end
	})
	return err
}
