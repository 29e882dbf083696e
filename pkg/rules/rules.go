// Package rules is the engine of Rules (chapter: Automated Mail Processing Rules):
// who looks at a message, and what is to be done with it. It compiles what
// Settings/rules.toml has, says which actions a message meets, composes the
// messages that actions make, and reads the text form of the product.
//
// It does nothing itself: no clock, no file, no network, no goroutine. [Set.Run]
// yields one action after the other; who runs them may change the header in
// between, and later conditions see it.
package rules

import (
	"iter"
	"sync"
	"time"

	"cgq/pkg/mail"
)

// A Level is where Rules stand, which decides what they can look at and do.
type Level uint8

// The levels. Server-wide Rules are run by the Enqueuer and see the message with
// all its recipients; Rules of an Account are run when it is delivered to that one.
const (
	ServerWide Level = 1 << iota
	AccountWide
)

// A Message is what Rules look at.
type Message struct {
	Envelope *mail.Envelope
	Header   []byte    // as it is now, LF; between actions it may be replaced, but not written into
	Size     int64     // of the whole text, in bytes
	Routes   []string  // one a recipient, MODULE(queue)address; it may be replaced as the header is
	Client   bool      // it came from one of the Client IP Addresses
	Now      time.Time // the time of day and the date are those of its Location
}

// A Set is compiled Rules. It is safe for concurrent use.
type Set struct {
	file  *File
	rules []rule // all, in the order in which they apply; the inactive ones are last
	views sync.Pool
}

// A rule is one compiled Rule.
type rule struct {
	Rule
	conditions []condition
	actions    []Action
}

func (r *rule) active() bool { return r.Priority != Inactive }

// Empty reports whether no message is ever met: every Rule is inactive, or there is none.
func (s *Set) Empty() bool { return s == nil || len(s.rules) == 0 || !s.rules[0].active() }

// Rules are all Rules in the order in which they apply, the inactive ones last.
func (s *Set) Rules() []Rule {
	if s == nil {
		return nil
	}
	all := make([]Rule, len(s.rules))
	for i := range s.rules {
		all[i] = s.rules[i].Rule
	}
	return all
}

// File is what the Set was made of; it must not be changed.
func (s *Set) File() *File {
	if s == nil {
		return &File{}
	}
	return s.file
}

// Filters are the names that active Rules give to ExternalFilter, each once, in the
// order in which they apply.
func (s *Set) Filters() (names []string) {
	seen := map[string]bool{}
	for a := range s.actions() {
		if a.Kind == ExternalFilter && !seen[a.Param] {
			seen[a.Param] = true
			names = append(names, a.Param)
		}
	}
	return names
}

// actions are those of all active Rules.
func (s *Set) actions() iter.Seq[Action] {
	return func(yield func(Action) bool) {
		if s == nil {
			return
		}
		for i := range s.rules {
			for _, a := range s.rules[i].actions {
				if s.rules[i].active() && !yield(a) {
					return
				}
			}
		}
	}
}

// Run yields the actions that m meets, in their order. It ends by itself behind an
// action that [Kind.Ends] the Rules, which it yields, too. A Rule whose conditions
// hold when its turn comes is run to its end, whatever its actions change.
func (s *Set) Run(m *Message) iter.Seq[Action] {
	return func(yield func(Action) bool) {
		if s.Empty() {
			return
		}
		v := s.look(m)
		defer s.views.Put(v)
		defer v.forget()
		for i := range s.rules {
			r := &s.rules[i]
			if !r.active() {
				return // the others are inactive, too
			}
			if !r.holds(v) {
				continue
			}
			for _, a := range r.actions {
				if !yield(a) || a.Kind.Ends() {
					return
				}
				v.refresh()
			}
		}
	}
}

// look returns a view of m, a used one if there is one.
func (s *Set) look(m *Message) *view {
	v, _ := s.views.Get().(*view)
	if v == nil {
		v = new(view)
	}
	v.begin(m, false)
	return v
}

func (r *rule) holds(v *view) bool {
	for i := range r.conditions {
		if !r.conditions[i].holds(v) {
			return false
		}
	}
	return true
}
