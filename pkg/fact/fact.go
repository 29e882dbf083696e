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
// Observations (Routed, Tried, Settled, Suspended, Gone) have happened already, or
// can be computed again: they are applied at once and durable soon. Decisions
// (Rejected, Freed, Reported) are made true by being written: durable first, then
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
	// Rejected takes a recipient out of the queue because a person decided so.
	Rejected struct {
		Rcpt   int
		At     time.Time
		By     string // who decided
		Report bool   // a failure report is due (chapter: Suppress Failed Delivery Reports)
		Text   string // for that report
	}
	// Freed takes the delays of a recipient and of its message away, because a
	// person decided so (chapter: Release Now). Attempts and age stay.
	Freed struct {
		Rcpt int
		At   time.Time
		By   string
	}
	// Reported says that the results of these recipients went out in a DSN, or, if
	// that is 0, that nobody could be told.
	Reported struct {
		DSN   mail.ID
		Rcpts []int
	}
	// Gone takes the message out of the Queue: every recipient is done, and what
	// was to be reported is.
	Gone struct{}
	// Unknown is a fact of a newer version, kept as it was written.
	Unknown struct{ Line string }
)

func (Routed) fact()    {}
func (Tried) fact()     {}
func (Suspended) fact() {}
func (Settled) fact()   {}
func (Rejected) fact()  {}
func (Freed) fact()     {}
func (Reported) fact()  {}
func (Gone) fact()      {}
func (Unknown) fact()   {}

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
