// Package mail holds the nouns of the transfer chapter: addresses, envelopes,
// message numbers, Submit Address tags and results. It imports nothing of the
// house and does no input or output.
package mail

import (
	"net/netip"
	"strconv"
	"time"
)

// An ID is the number of a message in the Queue. The file name, the log tag,
// the Received field and the SMTP reply all carry it. IDs rise for ever and are
// never reused; zero is no message.
type ID uint64

func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// ParseID reads what String wrote, and nothing else: decimal digits, the first not zero.
func ParseID(s string) (ID, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return ID(n), err == nil && s[0] != '0'
}

// An Envelope says where a message comes from and where it goes (RFC 5321 §2.3.1).
// Once submitted it never changes.
type Envelope struct {
	ReturnPath Address // zero: the null return path
	Recipients []Recipient
	Source     Source
	Auth       string     // Account of the authenticated sender, or empty
	Peer       netip.Addr // network address of the submitter, or zero
	Domain     string     // the Domain through which the message came in, or empty
	Submitted  time.Time  // when the message was submitted to the Queue

	EnvelopeID string   // RFC 3461 §4.4 ENVID, decoded
	Return     Return   // RFC 3461 §4.3 RET
	Body       BodyType // RFC 6152, RFC 3030
	SMTPUTF8   bool     // RFC 6531: the sender needs it

	// Submission names the file that the message was taken from, and no other, for ever;
	// empty: it was in none. It has no spaces. A start asks for it and nobody later: the
	// Queue in memory does not keep it.
	Submission string

	Trace Trace // for the Received field; not kept with the message
}

// A Recipient is one address of an envelope with what its sender asked for.
type Recipient struct {
	Address  Address
	Notify   Notify // RFC 3461 §4.1 NOTIFY; zero: not given
	Original string // RFC 3461 §4.2 ORCPT, decoded, as type;address; empty: not given
}

// A Trace is what the Received field says of the way in (RFC 5321 §4.4).
type Trace struct {
	Helo string // what the peer called itself
	With string // protocol, as in the IANA registry "Mail Transmission Types": ESMTP
}

// A Return says how much of a failed message its sender wants back.
type Return uint8

// The values of RET; zero is not given.
const (
	ReturnFull    Return = iota + 1 // RET=FULL
	ReturnHeaders                   // RET=HDRS
)

func (r Return) String() string { return [...]string{"", "FULL", "HDRS"}[r] }

// A BodyType is the BODY parameter of MAIL FROM.
type BodyType uint8

// The body types; zero is not given, which means 7BIT.
const (
	Body7Bit BodyType = iota + 1
	Body8BitMIME
	BodyBinaryMIME
)

func (b BodyType) String() string { return [...]string{"", "7BIT", "8BITMIME", "BINARYMIME"}[b] }

// A Notify is a set of the events of which the sender wants to hear (RFC 3461 §4.1).
// The zero Notify is not given: failures are reported, and delays may be.
type Notify uint8

// The members of a Notify. NotifyNever stands alone.
const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// String is the value of the NOTIFY parameter, or empty.
func (n Notify) String() string {
	s := ""
	for i, name := range [...]string{"SUCCESS", "FAILURE", "DELAY", "NEVER"} {
		if n&(1<<i) != 0 {
			if s != "" {
				s += ","
			}
			s += name
		}
	}
	return s
}

// Failure reports whether a permanent failure of the recipient is to be reported.
func (n Notify) Failure() bool { return n == 0 || n&NotifyFailure != 0 }

// Delay reports whether it is to be reported that the recipient waits. Who has not said
// anything wants to know it (RFC 3461 §4.1).
func (n Notify) Delay() bool { return n == 0 || n&NotifyDelay != 0 }

// Success reports whether a delivery to the recipient is to be reported.
func (n Notify) Success() bool { return n&NotifySuccess != 0 }
