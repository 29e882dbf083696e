package control

import "time"

// A Content says what was downloaded.
type Content struct {
	Bytes int64 `json:"bytes"`
}

// A ShapeQuery asks how old what matches is.
type ShapeQuery struct {
	Selection
	By string `json:"by,omitempty"` // ShapeBy; empty: domain
}

// ShapeBy are the things that queue/shape counts by: the domain of the recipient, the
// return path, the last error or its class, the module, the Submit Address tag.
func ShapeBy() []string { return []string{"domain", "sender", "error", "class", "module", "source"} }

// ShapeAges are the upper bounds of the ages that queue/shape counts, in seconds; beyond
// them is one count more.
func ShapeAges() []Seconds {
	var all []Seconds
	for _, minutes := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1280} { // those of qshape, with the last day in its place
		all = append(all, Seconds(time.Duration(minutes)*time.Minute))
	}
	return all
}

// A ShapeRow counts the recipients of one domain, sender, error, class, module or source.
type ShapeRow struct {
	Name  string `json:"name"` // hostile; empty: of all
	Total int    `json:"total"`
	Ages  []int  `json:"ages"`            // younger than each of ShapeAges, and not than the one before; then the others
	Class string `json:"class,omitempty"` // of an error: why, in a word
}

// An Explanation says why a host queue waits, and what happens next.
type Explanation struct {
	Module      string      `json:"module"`
	Queue       string      `json:"queue"`
	State       State       `json:"state"`
	Messages    int         `json:"messages"`
	Recipients  int         `json:"recipients"`
	Ready       int         `json:"ready"`     // recipients that may be transferred at any time
	Suspended   int         `json:"suspended"` // recipients that wait for themselves or their messages
	Held        int         `json:"held"`      // recipients that a person, or damage, keeps
	Workers     int         `json:"workers"`   // that work it now
	Oldest      time.Time   `json:"oldest,omitzero"`
	Expires     time.Time   `json:"expires,omitzero"` // from when on a failed attempt is the last of the oldest
	Reasons     []Reason    `json:"reasons"`          // why it waits, the strongest first
	Attempts    int         `json:"attempts"`         // of the queue as a whole, that failed in a row
	LastError   string      `json:"last_error"`       // hostile
	LastTried   time.Time   `json:"last_tried,omitzero"`
	LastHost    string      `json:"last_host"` // that gave the last error; hostile
	NextAttempt time.Time   `json:"next_attempt,omitzero"`
	Schedule    []time.Time `json:"schedule"` // the coming attempts, if each of them fails
	Errors      []ErrorRow  `json:"errors"`   // of its recipients, the most first

	// What its module says. Way is empty if that sends to no hosts.
	Way         string       `json:"way,omitempty"`         // Ways
	Hosts       []HostRow    `json:"hosts"`                 // in the order in which they are tried; of those with the same preference any
	NoHosts     string       `json:"no_hosts,omitempty"`    // why there is none to try, as an attempt would say it; hostile
	TLS         string       `json:"tls,omitempty"`         // TLSPolicies
	Connections *Connections `json:"connections,omitempty"` // nothing: the module has none
	Tries       []TryRow     `json:"tries"`                 // the last attempts that it remembers, each at one address, the newest first
	TriesSince  time.Time    `json:"tries_since,omitzero"`  // from when on it remembers them; nothing: it does not
	Notes       []string     `json:"notes"`                 // what else there is to say; hostile
}

// Ways are how the hosts of a queue are found: the mail exchangers of the domain, or the
// domain itself; the relay of the settings; the queue is a network address; a record of the
// Router table names host and port.
func Ways() []string { return []string{"mx", "relay", "address", "router"} }

// TLSPolicies are how connections are encrypted: never.
func TLSPolicies() []string { return []string{"none"} }

// A HostRow is a host to which mail of a queue may go.
type HostRow struct {
	Host       string   `json:"host"`       // hostile
	Preference int      `json:"preference"` // of a mail exchanger
	Port       string   `json:"port"`
	Addresses  []string `json:"addresses"`       // in the order in which they are tried
	Error      string   `json:"error,omitempty"` // why there are none, as an attempt would say it; hostile
}

// Connections are those of a host queue and of its module just now.
type Connections struct {
	Open        int `json:"open"`
	Idle        int `json:"idle"`  // of those, that wait for more mail
	Limit       int `json:"limit"` // as many as the host queue may have
	ModuleOpen  int `json:"module_open"`
	ModuleLimit int `json:"module_limit"`
}

// A TryRow is an attempt at one address: a connection that was not made, or a session with
// all its messages.
type TryRow struct {
	Begin    time.Time `json:"begin"`
	Took     float64   `json:"took"`              // seconds, until its last event
	Host     string    `json:"host"`              // hostile
	Address  string    `json:"address,omitempty"` // with the port; nothing: the host has none
	Step     string    `json:"step"`              // TrySteps: of the last refusal, or else of the last reply
	Outcome  string    `json:"outcome"`           // TryOutcomes
	Reply    string    `json:"reply"`             // or the error; hostile
	Messages int       `json:"messages"`          // transferred
	Refusals int       `json:"refusals"`          // replies that refused something
	Open     bool      `json:"open"`              // the session goes on
}

// TrySteps are the steps of an attempt, in their order; rset is between two messages.
func TrySteps() []string {
	return []string{"dns", "connect", "greeting", "ehlo", "mail", "rcpt", "data", "text", "end-of-data", "rset"}
}

// TryOutcomes are what becomes of an attempt: a session with nothing else to tell yet; messages
// were taken, and nothing was refused; the last refusal was a reply 4yz; or 5yz; or there was
// no reply.
func TryOutcomes() []string { return []string{"connected", "sent", "delayed", "refused", "failed"} }

// A Reason is one why a host queue waits, or part of it.
type Reason struct {
	Kind  string    `json:"kind"` // ReasonKinds
	Text  string    `json:"text"` // for people
	Until time.Time `json:"until,omitzero"`
	Count int       `json:"count,omitempty"` // recipients that it is about; 0: all
}

// ReasonKinds are the kinds of a [Reason]: the whole queue is delayed; messages or
// addresses are suspended; released, and waiting for their turn; a hold; all channels of the module are in use; those of the
// host queue are; the module has no channels at all; it has crashed and is parked; the
// journal has no room, or is broken; cgqd stops.
func ReasonKinds() []string {
	return []string{"delayed", "suspended", "paced", "held", "channels", "queue-channels", "no-channels", "parked", "stopping"}
}

// An ErrorRow is how many recipients have an error.
type ErrorRow struct {
	Text  string `json:"text"` // hostile
	Count int    `json:"count"`
	Class string `json:"class,omitempty"` // why, in a word
}

// TraceFact is the Tag of a [TraceRow] that is no line of a log, but a fact on record.
const TraceFact = "FACT"

// A TraceRow is one thing that happened to a message.
type TraceRow struct {
	Time      time.Time `json:"time"`
	Tag       string    `json:"tag"`                 // TraceFact, or the component that wrote the line of the log
	Recipient string    `json:"recipient,omitempty"` // of a fact about one; hostile
	Text      string    `json:"text"`                // hostile; a line of the log as it stands there
}
