package control

import (
	"cgq/pkg/mail"
)

// SubmitSocket is the socket at which the daemon takes mail from programs, in the base
// directory beside control.sock. It knows [MessageSubmit] and nothing else.
const SubmitSocket = "submit.sock"

// MessageSubmit hands in one message: RFC 5322, with LF or CRLF line ends. It is answered
// when the message is durable. The caller is its authenticated sender.
var MessageSubmit = Upload[Submission, Submitted]{"submit", Submit,
	"takes a message of a program; nothing is taken of one that is refused or cut off"}

// A Submission is the envelope of a message that a program hands in.
type Submission struct {
	// ReturnPath is an address, with or without brackets; "<>" is the null one, and empty
	// the caller's own. Without a domain it is one of the main domain.
	ReturnPath string           `json:"return_path,omitempty"`
	FullName   string           `json:"full_name,omitempty"` // for a From field that is missing; empty: as the system has it
	Recipients []SubmissionRcpt `json:"recipients,omitempty"`
	FromHeader bool             `json:"from_header,omitempty"` // the recipients of To, Cc and Bcc, too
	Notify     string           `json:"notify,omitempty"`      // RFC 3461 NOTIFY of those that have none
	Return     string           `json:"return,omitempty"`      // RFC 3461 RET
	EnvelopeID string           `json:"envelope_id,omitempty"` // RFC 3461 ENVID, decoded
	Body       string           `json:"body,omitempty"`        // RFC 6152 BODY
}

// A SubmissionRcpt is one recipient.
type SubmissionRcpt struct {
	Address  string `json:"address"`            // as a header has it: also a list, or with a name
	Notify   string `json:"notify,omitempty"`   // RFC 3461 NOTIFY
	Original string `json:"original,omitempty"` // RFC 3461 ORCPT, decoded, as type;address
}

// A Submitted is a message that was taken.
type Submitted struct {
	ID mail.ID `json:"id"`
}

// Check refuses what cannot be meant.
func (s Submission) Check() error {
	bad := func(hint, format string, args ...any) error { return Errorf(KindBadRequest, hint, format, args...) }
	for _, n := range append([]SubmissionRcpt{{Notify: s.Notify}}, s.Recipients...) {
		if _, ok := mail.ParseNotify(n.Notify); !ok {
			return bad("never, or some of success, failure and delay", "notify: %q is not known", n.Notify)
		}
		if n.Original != "" && !printable(n.Original) {
			return bad("", "an original recipient with a control character")
		}
	}
	if _, ok := mail.ParseReturn(s.Return); !ok {
		return bad("full or hdrs", "return: %q is not known", s.Return)
	}
	if _, ok := mail.ParseBodyType(s.Body); !ok {
		return bad("7BIT or 8BITMIME", "body: %q is not known", s.Body)
	}
	if len(s.EnvelopeID) > 100 || !printable(s.EnvelopeID) { // RFC 3461 §4.4
		return bad("100 characters at most, of ASCII", "the envelope id cannot be used")
	}
	if !s.FromHeader && len(s.Recipients) == 0 {
		return bad("name one", "no recipients")
	}
	return nil
}

// printable says whether s is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
