package kernel

import (
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// tooOld says whether a failed attempt on a message is the last. The caller holds mu.
func (k *Kernel) tooOld(p Plan, id mail.ID, submitted time.Time, now time.Time) bool {
	return p.Expire > 0 && k.state.Age(id, submitted, now) > p.Expire
}

// expired is the end of a recipient whose message is too old.
func expired(rcpt int, now time.Time, last mail.Result) fact.Settled {
	text := "delivery time expired; nobody could try"
	if last.Text != "" {
		text = "delivery time expired; the last error was: " + last.Text
	}
	return fact.Settled{Rcpt: rcpt, At: now, Result: clip(mail.Result{Action: mail.Failed, Status: mail.Status{4, 4, 7},
		Code: last.Code, MTA: last.MTA, Text: text})}
}

// A failed attempt ends what is older than expire. What nobody attempts, because a person
// holds it, or its module has no channels, or crashes, must not stay for ever either: it
// ends as soon as it is older by another step of the schedule, and never so soon after
// a start that nobody had the time for an attempt.

// expireAll ends what is that old, and returns when to come again.
func (k *Kernel) expireAll() (next time.Time) {
	for _, m := range k.modules {
		plan := k.plan(m.Name())
		if plan.Expire <= 0 {
			continue
		}
		patience := longest(plan.Retry)
		limit := plan.Expire + patience
		if up := time.Since(k.wall.began); up < patience {
			next = earlier(next, time.Now().Add(patience-up))
			continue
		}
		k.mu.Lock()
		now := k.now()
		keys, oldest := k.state.Eldest(m.Name(), limit, now)
		k.mu.Unlock()
		for _, key := range keys {
			k.expire(key, limit, nil)
		}
		if len(keys) > 0 { // behind what is damaged, and never expires, others may grow old
			next = earlier(next, now.Add(expireAgain))
		}
		next = earlier(next, now.Add(max(limit-oldest, expireLeast)))
	}
	return next
}

// expireLeast is the least time between two looks for what is too old: what is in hand
// now may be left alone then.
const expireLeast = time.Minute

// expireAgain is when a host queue is looked at again in which something was too old.
const expireAgain = time.Hour

// expire ends the recipients of a host queue that are older than that and in nobody's
// hands; last is what the last attempt has said, nil: what each has had.
func (k *Kernel) expire(key queue.Key, age time.Duration, last *mail.Result) {
	for {
		k.mu.Lock()
		now := k.now()
		old := k.state.Older(key, age, slice, now)
		k.mu.Unlock()
		if len(old) == 0 {
			return
		}
		changes := make([]fact.Change, len(old))
		for i, o := range old {
			said := o.Last
			if last != nil {
				said = *last
			}
			changes[i] = fact.Change{ID: o.ID, Fact: expired(o.Rcpt, now, said)}
		}
		k.observe(k.ledger, changes...)
	}
}
