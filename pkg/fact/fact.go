// Package fact holds the verbs: everything that can happen to a queued message,
// as values, and their text form. A message file is its envelope, its text and its
// facts; replaying the facts gives the state back. The package is pure.
package fact

import (
	"time"

	"cgq/pkg/mail"
)

// A Fact is true. The set is closed: a new kind is added here or nowhere.
//
// Observations (Routed, Begun, Tried, Settled, Suspended, Gone) have happened already, or
// can be computed again: they are applied at once and durable soon. Decisions
// (Filtered, Rejected, Undone, Purged, Freed, Rerouted, Held, Reported, Warned) are made true by being written: durable first, then
// applied, then told.
type Fact interface{ fact() }

type (
	// Routed puts a recipient into a host queue. A message without it has not been
	// through the Enqueuer.
	Routed struct {
		Rcpt          int // index into the envelope's recipients
		Module, Queue string
		Address       mail.Address
	}
	// Begun records that the Enqueuer has begun to apply the Rules to a message that a
	// start has found: if it does not come to an end, that is known (SPOOL R4).
	Begun struct{ At time.Time }
	// Filtered says that the server-wide Rules have been applied, and what they made of
	// the text: nobody applies them again. It goes with what they made besides.
	Filtered struct {
		At    time.Time
		Skip  bool   // Account Rules are not to be applied
		Edits []Edit // by rising places, which do not overlap
	}
	// Tried records an attempt that did not settle the recipient.
	Tried struct {
		Rcpt     int
		At       time.Time
		Attempts int // so far, with this one
		Until    time.Time
		Result   mail.Result
	}
	// Suspended delays the whole message in one host queue.
	Suspended struct {
		Module, Queue string
		At            time.Time
		Attempts      int // so far, with this one
		Until         time.Time
		Result        mail.Result
	}
	// Settled takes a recipient out of its host queue for good.
	Settled struct {
		Rcpt   int
		At     time.Time
		Result mail.Result // final
	}
	// Rejected takes a recipient out of the queue because a person decided so. When
	// no report is due it rests in the trash (SPOOL L6).
	Rejected struct {
		Rcpt   int
		At     time.Time
		By     string // who decided
		Report bool   // a failure report is due (chapter: Suppress Failed Delivery Reports)
		Text   string // for that report
		Act    uint64 // the number of the act
	}
	// Undone takes a recipient out of the trash, back into its host queue.
	Undone struct {
		Rcpt int
		At   time.Time
		By   string
		Act  uint64 // that had put it there
	}
	// Purged takes a recipient out of the trash for good.
	Purged struct {
		Rcpt int
		At   time.Time
		By   string // empty: its time was over
		Act  uint64 // that had put it there
	}
	// Freed takes the delays of a recipient and of its message away, because a
	// person decided so (chapter: Release Now). Attempts and age stay.
	Freed struct {
		Rcpt  int
		At    time.Time
		By    string
		Until time.Time // zero: at once; many are let go one after the other
		Act   uint64    // the number of the act
	}
	// Rerouted puts a recipient into another host queue, because a person had the
	// Router asked again.
	Rerouted struct {
		Rcpt          int
		At            time.Time
		By            string
		Module, Queue string
		Address       mail.Address
		Act           uint64 // the number of the act
	}
	// Held says that a hold has a recipient, which it matched when it was made.
	Held struct {
		Rcpt int
		Hold uint64 // its number
	}
	// Reported says that the results of these recipients went out in a DSN, or, if
	// that is 0, that nobody could be told.
	Reported struct {
		DSN   mail.ID
		Rcpts []int
	}
	// Warned says that the sender was told, in a DSN, or, if that is 0, was not to be told,
	// that these recipients still waited when the message was so old.
	Warned struct {
		DSN   mail.ID
		Rcpts []int
		Age   time.Duration // in milliseconds
	}
	// Gone takes the message out of the Queue: every recipient is done, and what
	// was to be reported is.
	Gone struct{}
	// Unknown is a fact of a newer version, kept as it was written.
	Unknown struct{ Line string }
)

func (Routed) fact()    {}
func (Begun) fact()     {}
func (Filtered) fact()  {}
func (Tried) fact()     {}
func (Suspended) fact() {}
func (Settled) fact()   {}
func (Rejected) fact()  {}
func (Undone) fact()    {}
func (Purged) fact()    {}
func (Freed) fact()     {}
func (Rerouted) fact()  {}
func (Held) fact()      {}
func (Reported) fact()  {}
func (Warned) fact()    {}
func (Gone) fact()      {}
func (Unknown) fact()   {}

// Alike returns the same fact of another recipient, if it is of a kind that an act says
// of many, and which recipient it was of.
func Alike(f Fact, rcpt int) (other Fact, was int, ok bool) {
	switch f := f.(type) {
	case Rejected:
		was, f.Rcpt = f.Rcpt, rcpt
		return f, was, true
	case Undone:
		was, f.Rcpt = f.Rcpt, rcpt
		return f, was, true
	case Purged:
		was, f.Rcpt = f.Rcpt, rcpt
		return f, was, true
	case Freed:
		was, f.Rcpt = f.Rcpt, rcpt
		return f, was, true
	case Held:
		was, f.Rcpt = f.Rcpt, rcpt
		return f, was, true
	}
	return nil, 0, false
}

// Must says whether one who does not know the kind must leave the message alone:
// such kinds are written with a capital (SPOOL R5).
func (u Unknown) Must() bool { return u.Line == "" || u.Line[0] < 'a' || u.Line[0] > 'z' }

// A Change is a fact and the message that it is about.
type Change struct {
	ID   mail.ID
	Fact Fact
}

// A Delay is the standing thing said of a host queue that is delayed as a whole:
// one record, however many messages wait in it.
type Delay struct {
	Module, Queue string
	At            time.Time
	Attempts      int // so far
	Until         time.Time
	Result        mail.Result
}

// An Edit puts a text in the place of a part of a message's text. The text that was
// submitted never changes: who opens it gets it edited.
type Edit struct {
	At, Cut int64 // where, and how many bytes are left out
	Text    string
}

// Growth is by how many bytes edits make a text longer; below 0, shorter.
func (f Filtered) Growth() (n int64) {
	for _, e := range f.Edits {
		n += int64(len(e.Text)) - e.Cut
	}
	return n
}

// Fits says whether the edits are of a text of so many bytes: each inside, none
// behind the start of the next.
func (f Filtered) Fits(size int64) bool {
	at := int64(0)
	for _, e := range f.Edits {
		if e.At < at || e.Cut < 0 || e.Cut > size-e.At {
			return false
		}
		at = e.At + e.Cut
	}
	return at <= size
}
