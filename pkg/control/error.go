package control

import (
	"fmt"
	"net/http"
)

// A Kind says, for programs, what kind of failure an [Error] is. It is stable.
type Kind string

// The kinds of error.
const (
	KindBadRequest     Kind = "bad-request"     // 400: cannot be understood, or contradicts itself
	KindEmptySelection Kind = "empty-selection" // 400: an act on nothing in particular
	KindNoRight        Kind = "no-right"        // 403: the caller may not
	KindNoSuchCall     Kind = "no-such-call"    // 404: this daemon does not know the request
	KindNoSuchQueue    Kind = "no-such-queue"   // 404
	KindNoSuchMessage  Kind = "no-such-message" // 404
	KindNoSuchAccount  Kind = "no-such-account" // 404
	KindNoSuchDomain   Kind = "no-such-domain"  // 404: not a local Domain
	KindNoSuchElement  Kind = "no-such-element" // 404: no statistics element of that name
	KindNoSuchHold     Kind = "no-such-hold"    // 404: no hold of that name
	KindNoSuchBatch    Kind = "no-such-batch"   // 404: nothing in the trash of that act
	KindNoSuchRule     Kind = "no-such-rule"    // 404: no Rule of that name
	KindNoSuchTag      Kind = "no-such-tag"     // 404: no component of that tag writes to the Server Log
	KindNoSuchKey      Kind = "no-such-key"     // 404: no setting, or file of settings, of that name
	KindNoSuchChange   Kind = "no-such-change"  // 404: no change of the settings of that number
	KindExists         Kind = "exists"          // 409: what should be made is there already
	KindConflict       Kind = "conflict"        // 409: somebody else has changed it meanwhile
	KindInvalid        Kind = "invalid"         // 422: settings that cannot be used; the text has file, line and key
	KindRefused        Kind = "refused"         // 422: the message is not taken; Code says why
	KindLater          Kind = "later"           // 503: it is not taken now; Code says why
	KindCutOff         Kind = "cut-off"         // 400: the bytes behind the request did not come to their end
	KindTooLarge       Kind = "too-large"       // 413: the request is larger than [MaxRequest]
	KindFault          Kind = "fault"           // 500: a fault of ours; the log has more
	KindStopping       Kind = "stopping"        // 503: the daemon is on its way down
	KindBusy           Kind = "busy"            // 503: too many connections
	KindIncomplete     Kind = "incomplete"      // 503: a start still reads the Queue, and not all is known
)

var statuses = map[Kind]int{
	KindBadRequest: http.StatusBadRequest, KindEmptySelection: http.StatusBadRequest,
	KindNoRight: http.StatusForbidden, KindNoSuchCall: http.StatusNotFound,
	KindNoSuchQueue: http.StatusNotFound, KindNoSuchMessage: http.StatusNotFound,
	KindNoSuchAccount: http.StatusNotFound, KindNoSuchDomain: http.StatusNotFound,
	KindNoSuchElement: http.StatusNotFound, KindNoSuchHold: http.StatusNotFound,
	KindNoSuchBatch: http.StatusNotFound, KindNoSuchRule: http.StatusNotFound, KindNoSuchTag: http.StatusNotFound, KindExists: http.StatusConflict,
	KindNoSuchKey: http.StatusNotFound, KindNoSuchChange: http.StatusNotFound,
	KindConflict: http.StatusConflict, KindInvalid: http.StatusUnprocessableEntity,
	KindTooLarge: http.StatusRequestEntityTooLarge, KindFault: http.StatusInternalServerError,
	KindStopping: http.StatusServiceUnavailable, KindIncomplete: http.StatusServiceUnavailable,
	KindRefused: http.StatusUnprocessableEntity, KindLater: http.StatusServiceUnavailable, KindCutOff: http.StatusBadRequest,
	KindBusy: http.StatusServiceUnavailable,
}

// An Error is the answer to a request that was not done.
type Error struct {
	Status int    `json:"status"`         // of HTTP
	Kind   Kind   `json:"kind"`           // for programs
	Text   string `json:"text"`           // what is wrong
	Hint   string `json:"hint,omitempty"` // what to do about it
	Code   string `json:"code,omitempty"` // RFC 3463 enhanced status of a message that was refused
}

// Errorf returns an Error with the status that belongs to its kind.
func Errorf(kind Kind, hint, format string, args ...any) *Error {
	return &Error{Status: statuses[kind], Kind: kind, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// Error is the text and, behind a semicolon, the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + "; " + e.Hint
}
