// Package selection is the one language in which everything that lists or acts on
// the queue is told what is meant: flags, which are [Terms], and an expression,
// which is [Terms].Where. Both have the same fields, those of [Fields], and every
// selection of flags can be written as an expression: [Selection.String].
//
// Case never counts: the texts of a subject and those of the selection are compared
// in lower case, also by regular expressions (RFC 5321 §2.4 lets local parts differ
// by case; nobody who looks for mail wants that).
//
// The package has no clock, file, network or goroutine, and what it compiles has no
// loop and no way to build long texts, so that a selection can be tried on every
// recipient of a long queue.
package selection

import (
	"slices"
	"time"

	"cgq/pkg/mail"
)

// A Subject is one recipient of one message in its host queue, as a selection sees
// it. Only those methods are called that a selection needs, some of them twice.
type Subject interface {
	ID() mail.ID             // of the message
	Module() string          // such as "SMTP"
	Queue() string           // such as "example.com"
	State() string           // one of States
	Sender() mail.Address    // return path; zero: the null return path
	Recipient() mail.Address // as submitted
	Auth() string            // Account of the authenticated sender, or empty
	Source() string          // Submit Address tag, such as "SMTP"
	Submitted() time.Time    // when the message was
	Size() int64             // of the message, in bytes
	Attempts() int           // transfers that have failed
	Error() string           // last error, or empty
	Subject() string         // of the message's header
}

// States are those that a Subject may be in. Terms may say "active" as well, which
// is a host queue's word for processing.
func States() []string { return []string{"processing", "ready", "suspended", "delayed", "held"} }

func state(name string) string {
	if name == "active" {
		return "processing"
	}
	return name
}

// Terms are what somebody has written: the flags of cgq. All that are set must
// hold; of several values of one, one must, except of Age and Size. Values are as
// docs/selection.md has them. An empty value is an error. A Where that is empty is
// not set: who reads it from a flag refuses the empty one.
type Terms struct {
	All bool      // everything, in full; an error beside anything else
	IDs []mail.ID // nil: not set; an error if empty otherwise

	Module, Queue, State, Sender, Recipient []string
	SenderDomain, RecipientDomain           []string
	Auth, Source, Error, Subject            []string

	Age, Size []string // conditions, such as >2h and 1M..2M; each must hold
	Where     string   // one expression more
	Limit     int      // how many at most; 0: no limit
}

// A Selection is compiled Terms. It never changes: any number of goroutines may use
// it at once.
type Selection struct {
	all         bool
	ids         []mail.ID // sorted; nil: not restricted
	age, size   *between  // nil: not restricted
	texts       []*texts  // in the order of the fields
	module      *texts    // one of texts, or nil; queue and state as well
	queue       *texts
	state       *texts
	where       *where // nil: none
	limit       int
	hostQueues  bool
	description string
}

// Matches says whether a subject is of the selection. The empty selection and All
// match everything. An error is an [*Error]: the expression cannot be computed for
// this subject, as when it divides by zero.
func (s *Selection) Matches(sub Subject, now time.Time) (bool, error) {
	if s.ids != nil {
		if _, ok := slices.BinarySearch(s.ids, sub.ID()); !ok {
			return false, nil
		}
	}
	if s.age != nil && !s.age.holds(int64(age(sub, now))) || s.size != nil && !s.size.holds(sub.Size()) {
		return false, nil
	}
	for _, t := range s.texts {
		if !t.holds(sub) {
			return false, nil
		}
	}
	if s.where == nil {
		return true, nil
	}
	return s.where.holds(sub, now)
}

func age(sub Subject, now time.Time) time.Duration { return now.Sub(sub.Submitted()) }

// Empty says that the selection names nothing, and not everything either: who lists
// takes it for everything, who acts refuses it. A limit names nothing.
func (s *Selection) Empty() bool { return !s.all && s.description == "" }

// IDs are the messages to which the selection is restricted, each once, sorted; nil
// when it is not. They are those of Terms.IDs, and those in front of a Where that
// [Selection.String] made. The caller must not change them.
func (s *Selection) IDs() []mail.ID { return s.ids }

// Limit is how many are meant at most; 0 is no limit. Matches does not count.
func (s *Selection) Limit() int { return s.limit }

// MayMatch is false only if no recipient of a host queue can match. It looks at the
// terms Module and Queue alone.
func (s *Selection) MayMatch(module, queue string) bool {
	return s.module.holdsText(module) && s.queue.holdsText(queue)
}

// HostQueue returns the one host queue that all of the selection is in, in small letters,
// if its terms Module and Queue name one.
func (s *Selection) HostQueue() (module, queue string, ok bool) {
	module, one := s.module.only()
	queue, alone := s.queue.only()
	return module, queue, one && alone
}

// OfQueues says that the selection names host queues as a whole: it has no other
// terms than Module, Queue and State.
func (s *Selection) OfQueues() bool { return s.hostQueues }

// HasState says whether the terms State allow a state; a host queue's "active" is
// "processing".
func (s *Selection) HasState(name string) bool { return s.state.holdsText(state(name)) }

// Lasts says that the selection speaks of what messages are, and of nothing that changes
// while they wait; nor of some by their ids, or of so many. Of such a selection a later
// message can be.
func (s *Selection) Lasts() bool {
	passing := func(f *Field) bool { return f.Passing }
	return s.ids == nil && s.limit == 0 && s.age == nil &&
		!slices.ContainsFunc(s.texts, func(t *texts) bool { return passing(t.field) }) &&
		(s.where == nil || !slices.ContainsFunc(s.where.used, passing))
}

// String is one expression that selects the same, the limit aside: "true" for All,
// nothing for the empty selection. It is one line that can be shown, and Compile
// takes it as Where and matches the same subjects.
func (s *Selection) String() string {
	if s.all {
		return "true"
	}
	return s.description
}
