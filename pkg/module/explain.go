package module

import (
	"context"
	"net/netip"
	"time"
)

// An Explainer is a Module that can say what it knows of its host queues, for a person who
// asks why one waits.
type Explainer interface {
	Module

	// Explain says where the mail of a host queue would go now, and what became of the
	// last attempts. It looks as an attempt does, but only until ctx ends, and says what
	// it had not found by then. It changes nothing, and no lock is held meanwhile that
	// a transfer needs.
	Explain(ctx context.Context, queue string) Explanation
}

// An Explanation is what a module knows of one of its host queues.
type Explanation struct {
	Way     Way      // how its hosts are found; empty: the module has no hosts
	Hosts   []Host   // in the order in which they are tried; of those with the same preference any
	NoHosts string   // why there is none to try, as an attempt would say it; hostile
	TLS     TLS      // empty: it has no connections
	Notes   []string // what else there is to say: sentences, without a dot at the end; hostile

	Connections Connections
	Tries       []Try     // those that it remembers, the newest first
	Since       time.Time // from when on it does; zero: it remembers none
}

// A Way is how the hosts of a queue are found.
type Way string

// The ways.
const (
	ByMX      Way = "mx"      // the mail exchangers of the domain, or the domain itself (RFC 5321 §5.1)
	ByRelay   Way = "relay"   // the relay that the settings name
	ByAddress Way = "address" // the queue is a network address
	ByRouter  Way = "router"  // the host that the Router table names with its port
)

// TLS is how a module encrypts its connections.
type TLS string

// NoTLS is that connections are never encrypted.
const NoTLS TLS = "none"

// A Host is one to which mail of a queue may go.
type Host struct {
	Name       string // hostile
	Preference int    // of an MX
	Port       string
	Addresses  []netip.Addr // in the order in which they are tried
	Error      string       // why there are none, as an attempt would say it; hostile
}

// Connections are those of a module, and how many there may be.
type Connections struct {
	Queue, QueueLimit int // of the host queue
	Idle              int // of these, those that wait for more mail
	All, Limit        int // of all host queues
}

// A Try is an attempt at one address of one host: a connection that was not made, or a
// session with all its messages.
type Try struct {
	Begin    time.Time
	Took     time.Duration // until its last event
	Host     string        // hostile
	Address  string        // with the port; empty: there was none
	Step     Step          // of the last reply that counted, or of what was waited for
	Outcome  Outcome
	Reply    string // or the error; hostile, one line, of 520 bytes at most
	Messages int    // transferred
	Refusals int    // replies that refused something
	Open     bool   // the session goes on
}

// A Step is how far a [Try] came.
type Step string

// The steps, in their order.
const (
	StepDNS      Step = "dns"
	StepConnect  Step = "connect"
	StepGreeting Step = "greeting"
	StepEHLO     Step = "ehlo"
	StepMAIL     Step = "mail"
	StepRCPT     Step = "rcpt"
	StepDATA     Step = "data"
	StepText     Step = "text"        // while the text was sent
	StepEnd      Step = "end-of-data" // the reply to the final dot
	StepRSET     Step = "rset"        // between two messages
)

// An Outcome is what became of a [Try].
type Outcome string

// The outcomes.
const (
	Connected Outcome = "connected" // there is a session, and nothing else to tell yet
	Sent      Outcome = "sent"      // messages were taken, and nothing was refused
	Deferred  Outcome = "delayed"   // the last refusal was a reply 4yz
	Refused   Outcome = "refused"   // the last refusal was a reply 5yz
	Broken    Outcome = "failed"    // no reply: not found, no connection, broken, time-out, not SMTP
)
