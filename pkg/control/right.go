package control

import "slices"

// A Right is what a caller must have for a request.
type Right string

// The rights, after the chapter's. Anyone who reaches the socket has Anyone.
const (
	Anyone   Right = ""
	Monitor  Right = "monitor"  // chapter: Can Monitor
	Release  Right = "release"  // chapter: Can Release Queues
	Reject   Right = "reject"   // chapter: Can Reject Queues
	View     Right = "view"     // chapter: Can View Queue Messages
	Settings Right = "settings" // the Settings realm
	Submit   Right = "submit"   // may submit messages
)

// Rights returns all rights there are.
func Rights() []Right { return []Right{Monitor, Release, Reject, View, Settings, Submit} }

// An Actor is who is asking, as the kernel of the operating system says.
type Actor struct {
	UID, GID uint32
	PID      int32
	Name     string  // of the user; the uid in digits when he has none
	Rights   []Right // what a [Mux] granted
}

// Has reports whether the actor has a right.
func (a Actor) Has(r Right) bool { return r == Anyone || slices.Contains(a.Rights, r) }

// Owner grants everything to root and to the user that the daemon runs as, and
// nothing to anybody else.
func Owner(a Actor) []Right {
	if owner(a.UID) {
		return Rights()
	}
	return nil
}
