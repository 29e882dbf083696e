package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"cgq/pkg/mail"
)

// A Status is the chapter's word for what a recipient does just now, or, of a host
// queue, what it does.
type Status uint8

// The statuses of recipients; Active stands for host queues, in the place of
// Processing. They are ordered by how near to its end one is.
const (
	Processing Status = iota // the module is processing this address
	Ready                    // the module can start processing at any time
	Suspended                // the module has delayed processing of this message
	Delayed                  // the module has delayed processing of the entire queue
	Held                     // a person, or damage, keeps it
)

// String is the chapter's word: Processing, Ready, Suspended, Delayed, Held.
func (s Status) String() string {
	return [...]string{"Processing", "Ready", "Suspended", "Delayed", "Held"}[s]
}

// A HostView is a host queue as an administrator sees it.
type HostView struct {
	Key
	Active     bool      // a worker is on it
	Messages   int       //
	Recipients int       // not done
	Bytes      int64     // of the texts
	Oldest     time.Time // submission of the message that came first; zero: none
	Until      time.Time // Delayed till; zero: not delayed
	Next       time.Time // when a worker comes; zero: at any time, or nobody knows
	Attempts   int       // failed ones, of the queue as a whole
	LastError  mail.Result
	Held       int    // messages that are held
	Hold       string // why the first of them is, if all are
}

// Hosts returns the keys of all host queues, sorted.
func (s *State) Hosts() []Key {
	return slices.SortedFunc(maps.Keys(s.hosts), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Queue, b.Queue))
	})
}

// Host returns one host queue.
func (s *State) Host(k Key, now time.Time) (v HostView, ok bool) {
	h := s.hosts[k]
	if h == nil {
		return HostView{}, false
	}
	v = HostView{Key: k, Active: h.workers > 0, Messages: h.entries, Recipients: h.rcpts, Bytes: h.bytes,
		Attempts: h.delay.Attempts, LastError: h.delay.Result, Held: h.held}
	if h.head != nil {
		v.Oldest = h.head.msg.env.Submitted
	}
	if h.head != nil && h.held == h.entries {
		v.Hold = h.head.msg.hold
	}
	if h.delay.Until.After(now) {
		v.Until = h.delay.Until
	}
	if h.place == waiting && h.at.After(now) && h.entries > 0 {
		v.Next = h.at
	}
	return v, true
}

// A MessageView is a message as an administrator sees it, with the recipients that
// are not done (chapter: if a message address has been already processed, it is not
// shown).
type MessageView struct {
	ID         mail.ID
	Envelope   *mail.Envelope
	Subject    string
	Size       int64
	Hold       string
	Recipients []RecipientView
}

// A RecipientView is an active recipient.
type RecipientView struct {
	Index     int
	Address   mail.Address // as submitted
	To        mail.Address // as routed
	Key       Key
	Status    Status
	Until     time.Time // Retry In; zero: not delayed
	Delayed   time.Time // the delay of the message or recipient alone
	Attempts  int
	LastError mail.Result
}

// Messages returns the messages of a selection among the next limit ids behind one,
// with the recipients that it selects; go on with last as long as there is more.
func (s *State) Messages(sel Selection, after mail.ID, limit int, now time.Time) (views []MessageView, last mail.ID, more bool) {
	all, last, more := s.after(sel, after, limit)
	for _, m := range all {
		v := m.view(now, sel)
		if len(v.Recipients) > 0 {
			views = append(views, v)
		}
	}
	return views, last, more
}

// Message returns one message.
func (s *State) Message(id mail.ID, now time.Time) (MessageView, bool) {
	m := s.messages[id]
	if m == nil {
		return MessageView{}, false
	}
	return m.view(now, Selection{}), true
}

func (m *message) view(now time.Time, sel Selection) MessageView {
	v := MessageView{ID: m.id, Envelope: m.env, Subject: m.subject, Size: m.size, Hold: m.hold}
	for i := range m.rcpts {
		if sel.matches(m, i, now) {
			v.Recipients = append(v.Recipients, m.recipient(i, now))
		}
	}
	return v
}

func (m *message) recipient(i int, now time.Time) RecipientView {
	r := &m.rcpts[i]
	e := r.entry
	v := RecipientView{Index: i, Address: m.env.Recipients[i].Address, To: r.to, Key: e.host.key, Status: m.status(i, now),
		Attempts: int(r.attempts) + int(e.attempts) + e.host.delay.Attempts, Delayed: m.delayed(i, now)}
	v.Until = v.Delayed
	if host := e.host.delay.Until; host.After(now) && host.After(v.Until) {
		v.Until = host
	}
	switch {
	case r.last != nil:
		v.LastError = *r.last
	case e.last != nil:
		v.LastError = *e.last
	case e.host.delay.Attempts > 0:
		v.LastError = e.host.delay.Result
	}
	return v
}

// delayed is how long a recipient waits for itself or its message, or zero.
func (m *message) delayed(i int, now time.Time) (until time.Time) {
	r := &m.rcpts[i]
	for _, t := range []time.Time{r.until, r.entry.until} {
		if t.After(now) && t.After(until) {
			until = t
		}
	}
	return until
}

func (m *message) status(i int, now time.Time) Status {
	r := &m.rcpts[i]
	switch {
	case m.hold != "":
		return Held
	case r.leased:
		return Processing
	case r.entry.host.delay.Until.After(now):
		return Delayed
	case !m.delayed(i, now).IsZero():
		return Suspended
	}
	return Ready
}

// Status is what the host queue does: Processing stands for Active.
func (v HostView) Status() Status {
	switch {
	case v.Messages > 0 && v.Held == v.Messages:
		return Held
	case v.Active:
		return Processing
	case !v.Until.IsZero():
		return Delayed
	}
	return Ready
}

// Older returns the rows of a host queue that nobody has in his hands and whose
// message was submitted before a time, of the first messages in it.
func (s *State) Older(k Key, before time.Time, limit int) (rows []Row) {
	h := s.hosts[k]
	if h == nil {
		return nil
	}
	for e := h.head; e != nil && len(rows) < limit && e.msg.env.Submitted.Before(before); e = e.next {
		if e.msg.hold != "" {
			continue
		}
		for _, i := range e.rcpts {
			if r := &e.msg.rcpts[i]; !r.done && !r.leased {
				rows = append(rows, Row{e.msg.id, int(i)})
			}
		}
	}
	return rows
}
