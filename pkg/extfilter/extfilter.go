// Package extfilter asks External Filters what they make of a message (chapter: External
// Filters): helper programs that speak the product's protocol, milters, and rspamd. All are
// asked in the same way, by the name that a Rule gives.
//
// A filter that is down, or does not answer in time, never lets a message pass: who asks
// hears [Unavailable], and the setting of that filter says whether the message waits or is
// refused for now.
package extfilter

import (
	"io"

	"cgq/pkg/mail"
)

// A Request is one message, as a filter is shown it.
type Request struct {
	ID       mail.ID
	Envelope *mail.Envelope
	// Header is the header as it is now, with what Rules and filters have added, and the
	// blank line behind it; LF line ends.
	Header []byte
	Size   int64 // of the text as submitted, in bytes

	// Open returns the text as it is now: Header, and the body behind it; LF line ends.
	Open func() (io.ReadCloser, error)
	// Lend makes a file of the message as it was submitted, envelope lines and text, for a
	// helper program: its path is relative to the base directory. back takes it back.
	Lend func() (path string, back func(), err error)
}

// A Verdict is what a filter says of a message.
type Verdict uint8

// The verdicts.
const (
	Accept  Verdict = iota // processing goes on
	Reject                 // Result says why; its class says whether it may be tried again
	Discard                // it is dropped, and nobody hears of it
	Later                  // the filter cannot decide now: the message is kept, and offered again
)

// An Answer is a verdict, and what the filter has to say besides, which counts with
// Accept alone.
type Answer struct {
	Verdict    Verdict
	Result     mail.Result    // of Reject and Later: enhanced status and text; Failed, or Delayed if the class is 4
	Add        []string       // header fields, "Name: value", folds with LF, without the last line end
	Change     []Change       // of fields that are there
	MirrorTo   []mail.Address // who gets a copy
	Recipients []mail.Address // who gets it, too (ADDROUTE)
	Notes      []string       // for the log
}

// A Change is one of a header field.
type Change struct {
	Name  string
	Index int    // which of those with this name in Request.Header, from 1; below 0, from the end; 0 all. One that is not there is added
	Value string // folds with LF; empty: the field is removed
}

// Unavailable is the error of a filter that is down, or did not answer in time.
type Unavailable struct {
	Name string // of the filter
	Why  string
	Wait bool // the message waits, and is offered again; else it is refused for now (when_down)
}

func (u *Unavailable) Error() string {
	return "the External Filter " + u.Name + " is not available: " + u.Why
}
