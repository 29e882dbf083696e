package queue

import (
	"slices"
	"time"

	"cgq/pkg/mail"
)

// The sender of a message hears that some of its recipients still wait when it is so old,
// once for each of some ages (RFC 3464 §2.3.3: delayed). Messages grow old in the order of
// their ids; so it is known of each age how far that has come, and no message is looked at
// twice for it.

// warnings say how far that is.
type warnings struct {
	ages []time.Duration // rising
	seen []mail.ID       // of each age the last message that is so old
	said []time.Duration // at which somebody was warned; message.warned is a number in it, from 1
}

// SetWarnings says at which ages of a message its sender is warned.
func (s *State) SetWarnings(ages []time.Duration) {
	ages = slices.Compact(slices.Sorted(slices.Values(ages)))
	if slices.Equal(ages, s.warnings.ages) {
		return
	}
	s.warnings.ages, s.warnings.seen = ages, make([]mail.ID, len(ages))
}

// look makes sure that a new message is looked at: after a start they come in any order.
func (w *warnings) look(id mail.ID) {
	for i, last := range w.seen {
		if id <= last {
			w.seen[i] = id - 1
		}
	}
}

// Late looks for messages whose senders are to be warned, and puts them where the
// Dequeuer finds them. It looks at limit messages at most: more says that it has not seen
// all, and otherwise again is when the next may be due, or zero.
func (s *State) Late(limit int, now time.Time) (found, more bool, again time.Time) {
	wait := time.Duration(-1)
	for i, age := range s.warnings.ages {
		next := age // that of a message which comes now
		for id, m := range s.messages.After(s.warnings.seen[i]) {
			if is := s.age(m, now); is < age {
				next = age - is
				break
			}
			if limit--; limit < 0 {
				return found, true, time.Time{}
			}
			s.warnings.seen[i] = id
			if m.is(late) || s.due(m, now) == 0 {
				continue
			}
			found = true
			m.mark(late, true)
			if m.report == nowhere { // else the Dequeuer comes to it
				s.reportNow(m)
			}
		}
		if wait < 0 || next < wait {
			wait = next
		}
	}
	if wait < 0 {
		return found, false, time.Time{}
	}
	return found, false, now.Add(wait)
}

// due is the age for which the sender of a message is to be warned now, or 0.
func (s *State) due(m *message, now time.Time) (age time.Duration) {
	if m.held || m.is(null) || !slices.ContainsFunc(m.rcpts, recipient.overdue) {
		return 0
	}
	is, told := s.age(m, now), time.Duration(0)
	if m.warned > 0 {
		told = s.warnings.said[m.warned-1]
	}
	for _, a := range s.warnings.ages {
		if a <= is && a > told {
			age = a
		}
	}
	return age
}

// overdue says whether somebody wants to be told that a recipient waits.
func (r recipient) overdue() bool { return !r.is(done) && r.in() != nil && r.notify().Delay() }

// toWarn are the recipients of a message whose sender is to be warned now, and because
// of which age.
func (s *State) toWarn(m *message, env *mail.Envelope, now time.Time) (all []Done, age time.Duration) {
	if age = s.due(m, now); age == 0 {
		return nil, 0
	}
	for i := range m.rcpts {
		r := &m.rcpts[i]
		if !r.overdue() {
			continue
		}
		d := Done{Rcpt: i, To: r.to(env.Recipients[i].Address), Key: r.entry.host.key, Result: r.trouble(), Wanted: true}
		if host := r.entry.host; r.last == nil && r.entry.last == nil && host.delay.Attempts > 0 {
			d.At = host.delay.At
		}
		all = append(all, d)
	}
	return all, age
}

// warned notes that the sender of a message has been warned at an age. There are as many
// ages as settings have had; should they ever be too many, the last one stands for all.
func (s *State) warned(m *message, age time.Duration) {
	said := &s.warnings.said
	at := slices.Index(*said, age)
	switch {
	case at >= 0:
	case len(*said) < 1<<8-1:
		at = len(*said)
		*said = append(*said, age)
	default:
		at = len(*said) - 1
		(*said)[at] = max((*said)[at], age)
	}
	if m.warned == 0 || (*said)[at] > (*said)[m.warned-1] {
		m.warned = uint8(at + 1)
	}
}
