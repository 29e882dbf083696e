package queue

import (
	"slices"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/selection"
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

// Word is the status as a selection has it.
func (s Status) Word() string {
	return [...]string{"processing", "ready", "suspended", "delayed", "held"}[s]
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
	OwnTries   int         // failed attempts of the message that OwnError is of
	OwnError   mail.Result // of the oldest message that failed for itself, as when it is greylisted; zero: none
	Held       int         // messages that are held
	Hold       string      // why the first of them is, if all are
}

// Hosts returns the keys of all host queues, sorted. They are read only: as long as no host
// queue comes or goes, everybody gets the same.
func (s *State) Hosts() []Key {
	return s.roll.keys(s.hosts)
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
		v.Oldest = h.head.msg.packed.submitted()
	}
	v.OwnTries, v.OwnError = h.own()
	if h.head != nil && h.held == h.entries {
		v.Hold = s.why(h.head.msg, h.head.held())
	}
	at := s.in(now)
	if h.until > at {
		v.Until = s.out(h.until)
	}
	if h.place == waiting && h.at > at && h.entries > 0 {
		v.Next = s.out(h.at)
	}
	return v, true
}

// ownLook is at how many recipients own looks, from the oldest message on: it is asked for
// every host queue of a list.
const ownLook = 64

// own is the error of the oldest message that failed without its host queue, and how often
// that did. Nearly no host queue has one, so it is remembered that there is none.
func (h *host) own() (tries int, last mail.Result) {
	if !h.failed {
		return 0, last
	}
	looked := 0
	for e := h.head; e != nil && looked < ownLook; e = e.next {
		if e.last != nil {
			return int(e.attempts), *e.last
		}
		for _, r := range e.recipients {
			if looked++; looked > ownLook {
				break
			}
			if r.last != nil && !r.is(done) {
				return int(r.attempts) + int(e.attempts), *r.last
			}
		}
	}
	h.failed = looked >= ownLook // else there is none
	return 0, mail.Result{}
}

// held is the first recipient of an entry that is not done.
func (e *entry) held() int {
	for i, r := range e.recipients {
		if !r.is(done) {
			return i
		}
	}
	return int(e.first())
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
	Paced     bool      // that is its turn among those that were released
	Attempts  int
	LastError mail.Result
	Hold      string // why nobody may touch it
}

// Messages returns the messages of a selection among the next limit ids behind one,
// with the recipients that it selects; go on with last as long as there is more. An error
// is that of its expression.
func (s *State) Messages(sel *selection.Selection, after mail.ID, limit int, now time.Time) (views []MessageView, last mail.ID, more bool, err error) {
	all, last, more := s.after(sel, after, limit)
	for _, m := range all {
		v, err := s.view(m, sel, now)
		if err != nil {
			return nil, last, false, err
		}
		if len(v.Recipients) > 0 {
			views = append(views, v)
		}
	}
	return views, last, more, nil
}

// In returns the messages in a host queue among the next limit behind an id, with the
// recipients that are in it; go on with last as long as there is more.
func (s *State) In(k Key, after mail.ID, limit int, now time.Time) (views []MessageView, last mail.ID, more bool) {
	all, last, more := s.hosts[k].after(nil, after, limit)
	for _, m := range all {
		v, _ := s.view(m, nil, now) // without an expression there is no error
		v.Recipients = slices.DeleteFunc(v.Recipients, func(r RecipientView) bool { return r.Key != k })
		views = append(views, v)
	}
	return views, last, more
}

// Message returns one message.
func (s *State) Message(id mail.ID, now time.Time) (MessageView, bool) {
	m := s.message(id)
	if m == nil {
		return MessageView{}, false
	}
	v, _ := s.view(m, nil, now) // without an expression there is no error
	return v, true
}

func (s *State) view(m *message, sel *selection.Selection, now time.Time) (v MessageView, err error) {
	for i := range m.rcpts {
		ok, err := s.matches(sel, m, i, now)
		if err != nil {
			return v, err
		}
		if !ok {
			continue
		}
		if v.Envelope == nil {
			v.Envelope, v.Subject = s.envelope(m)
		}
		v.Recipients = append(v.Recipients, s.recipient(m, i, v.Envelope.Recipients[i].Address, now))
	}
	if v.Envelope == nil && sel == nil {
		v.Envelope, v.Subject = s.envelope(m)
	}
	v.ID, v.Size, v.Hold = m.id, m.size, s.reasons[m.id]
	return v, nil
}

func (s *State) recipient(m *message, i int, submitted mail.Address, now time.Time) RecipientView {
	r := &m.rcpts[i]
	e := r.entry
	v := RecipientView{Index: i, Address: submitted, To: r.to(submitted), Key: e.host.key, Status: s.status(m, i, now),
		Attempts: r.tries(), LastError: r.trouble(), Delayed: s.out(m.delayed(i, s.in(now))), Hold: s.why(m, i)}
	v.Until = v.Delayed
	v.Paced = r.is(paced) && r.time > s.in(now)
	if host := s.out(e.host.until); host.After(now) && host.After(v.Until) {
		v.Until = host
	}
	return v
}

// tries are the failed attempts of a recipient, with its message and with its host queue.
func (r *recipient) tries() int {
	return int(r.attempts) + int(r.entry.attempts) + r.entry.host.delay.Attempts
}

// trouble is the last error of a recipient, else of its message, else of its host queue.
func (r *recipient) trouble() mail.Result {
	e := r.entry
	switch {
	case r.last != nil:
		return *r.last
	case e.last != nil:
		return *e.last
	case e.host.delay.Attempts > 0:
		return e.host.delay.Result
	}
	return mail.Result{}
}

// delayed is how long a recipient waits for itself or its message, or 0.
func (m *message) delayed(i int, now instant) instant {
	r := &m.rcpts[i]
	if until := max(r.time, r.entry.until); until > now {
		return until
	}
	return 0
}

func (s *State) status(m *message, i int, now time.Time) Status {
	r, at := &m.rcpts[i], s.in(now)
	switch {
	case r.is(leased): // what is being done is, whatever a person wants of it
		return Processing
	case m.held || r.is(held):
		return Held
	case r.entry.host.until > at:
		return Delayed
	case m.delayed(i, at) != 0:
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

// An Old row is one whose message is too old.
type Old struct {
	Row
	Last mail.Result // what the last attempt has said
}

// Older returns the rows of a host queue that nobody has in his hands and whose
// message is older than that, of the first messages in it.
func (s *State) Older(k Key, age time.Duration, limit int, now time.Time) (rows []Old) {
	h := s.hosts[k]
	if h == nil {
		return nil
	}
	for e := h.head; e != nil && len(rows) < limit && s.age(e.msg, now) > age; e = e.next {
		if e.msg.held {
			continue
		}
		for i, r := range e.recipients {
			if !r.is(done | leased) {
				rows = append(rows, Old{Row{e.msg.id, i}, r.trouble()})
			}
		}
	}
	return rows
}

func (s *State) age(m *message, now time.Time) time.Duration {
	return s.Age(m.id, m.packed.submitted(), now)
}

// Eldest returns the host queues of a module whose first message is older than that,
// and the greatest age of the first messages of the others.
func (s *State) Eldest(module string, age time.Duration, now time.Time) (over []Key, next time.Duration) {
	for k, h := range s.hosts {
		if k.Module != module || h.head == nil {
			continue
		}
		if is := s.age(h.head.msg, now); is > age {
			over = append(over, k)
		} else {
			next = max(next, is)
		}
	}
	return over, next
}

// A Work is who works a host queue, and who could.
type Work struct {
	Delay         fact.Delay // the last one; zero: none
	Workers       int        // of this host queue
	Allowed       int        // as many as that it may have now
	ModuleWorkers int        // of all host queues of its module
	Limits        Limits
}

// Work returns who works a host queue.
func (s *State) Work(k Key) (w Work, ok bool) {
	h := s.hosts[k]
	if h == nil {
		return w, false
	}
	w = Work{Workers: h.workers, Allowed: h.allowed(), ModuleWorkers: h.module.workers, Limits: h.module.limits}
	w.Delay, _ = s.Delayed(k)
	return w, true
}
