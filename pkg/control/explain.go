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
}

// A Reason is one why a host queue waits, or part of it.
type Reason struct {
	Kind  string    `json:"kind"` // ReasonKinds
	Text  string    `json:"text"` // for people
	Until time.Time `json:"until,omitzero"`
	Count int       `json:"count,omitempty"` // recipients that it is about; 0: all
}

// ReasonKinds are the kinds of a [Reason]: the whole queue is delayed; messages or
// addresses are suspended; a hold; all channels of the module are in use; those of the
// host queue are; the module has no channels at all; it has crashed and is parked; the
// journal has no room, or is broken; cgqd stops.
func ReasonKinds() []string {
	return []string{"delayed", "suspended", "held", "channels", "queue-channels", "no-channels", "parked", "stopping"}
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
