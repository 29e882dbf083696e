package mail

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Action is the RFC 3464 §2.3.3 action of a result.
type Action uint8

// The actions. Delayed is the only one that is not final. Discarded is ours: a
// message that an address or a person threw away, of which nobody is told. Expanded is
// what became several: the list or alias has sent it on to its members.
const (
	Delayed Action = iota
	Delivered
	Relayed
	Discarded
	Failed
	Expanded
)

var actions = [...]string{"delayed", "delivered", "relayed", "discarded", "failed", "expanded"}

func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// ParseAction reads what String wrote.
func ParseAction(s string) (Action, bool) {
	for i, name := range actions {
		if name == s {
			return Action(i), true
		}
	}
	return 0, false
}

// A Status is an RFC 3463 enhanced status code. The zero Status is none.
type Status [3]uint16

func (s Status) String() string {
	return strconv.Itoa(int(s[0])) + "." + strconv.Itoa(int(s[1])) + "." + strconv.Itoa(int(s[2]))
}

// ParseStatus reads class.subject.detail; the class is 2, 4 or 5, the others have
// three digits at most (RFC 3463 §2).
func ParseStatus(s string) (st Status, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Status{}, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(p) > 3 || i == 0 && n != 2 && n != 4 && n != 5 {
			return Status{}, false
		}
		st[i] = uint16(n)
	}
	return st, true
}

// A Result says what became of one recipient in one attempt. It is a value,
// not an error: a refusal by the peer is an outcome, not a fault of ours.
type Result struct {
	Action Action
	Status Status
	Code   int       // SMTP reply code, or 0 when no peer spoke
	Text   string    // what the peer said, or what happened; hostile, escape before showing
	MTA    string    // the host that said it, or that took the message
	After  time.Time // Delayed only: not before; zero leaves it to the retry schedule

	// Reports says of what was Relayed that the host which took it knows what its sender
	// wants to hear, and will tell him (RFC 3461 §5.2.1).
	Reports bool
}

// Final reports whether the recipient leaves the queue with this result.
func (r Result) Final() bool { return r.Action != Delayed }

// String is the text, with code and enhanced status in front when a peer spoke.
func (r Result) String() string {
	s := r.Text
	if r.Code != 0 {
		if r.Status != (Status{}) {
			s = r.Status.String() + " " + s
		}
		s = strconv.Itoa(r.Code) + " " + s
	}
	return s
}
