// Package moduletest is the conformance suite of package module: what every
// communication module has to pass, and a host queue that records, for the
// modules' own tests. It knows a module by its Fixture alone.
package moduletest

import (
	"context"
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// A Fixture is a module in front of a destination that the suite can look into
// and break. Only Foreign may be left out.
type Fixture struct {
	Module  module.Module
	Good    []mail.Address // at least three that it claims, all in one queue
	Foreign mail.Address   // one that it never claims; zero: it takes every address
	Final   bool           // it claims Good in the final pass only

	// Break makes the destination as a whole stop working, so that an attempt fails
	// for now; Mend undoes that. Either may be called while Transfer runs.
	Break, Mend func()

	// Received returns all that has arrived outside so far. What was settled as
	// delivered or relayed must be in it.
	Received func() []Arrival

	// ExactlyOnce says that the module can find out what became of a Repeated
	// message, and does not transfer it again.
	ExactlyOnce bool
}

// An Arrival is what one transaction brought outside.
type Arrival struct {
	To   []mail.Address // for whom, as in Transfer.Recipients
	Text string         // with LF line ends and without dot-stuffing; fields put in front are accepted
}

// A check is one subtest; it gets a new fixture.
type check struct {
	name string
	run  func(t testing.TB, f Fixture)
}

var checks = []check{
	{"Name is upper-case ASCII and stable", checkName},
	{"Claim is stable", checkClaim},
	{"Claim leaves what is foreign", checkForeign},
	{"Claim survives hostile addresses", checkHostile},
	{"Transfer delivers whole and once", checkWhole},
	{"Transfer works for many at once", checkConcurrent},
	{"a broken destination delays", checkBroken},
	{"a destination that breaks underway delays", checkBreaks},
	{"a text that cannot be read stays", checkUnreadable},
	{"a text that cannot be read whole is not sent", checkTruncated},
	{"a stopped Transfer takes nothing", checkStopped},
	{"a Transfer stops underway", checkStops},
	{"a repeated message is not lost", checkRepeated},
}

// Run runs the suite. Each subtest asks setup for a fixture of its own, which
// must know nothing of the messages of the others: they use the same ids.
//
// Whatever a module says of a recipient must be a sound [mail.Result]: the class
// of its status fits the action and the reply code (RFC 2034 §4), Text and MTA are
// valid UTF-8 of one line, without control characters and of 1024 bytes at most,
// and Text is not empty.
func Run(t *testing.T, setup func(t *testing.T) Fixture) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			f := setup(t)
			if f.Module == nil || len(f.Good) < 3 || f.Break == nil || f.Mend == nil || f.Received == nil {
				t.Fatal("the fixture is not complete: Module, three Good, Break, Mend and Received are needed")
			}
			c.run(t, f)
		})
	}
}

// patience is how long a Transfer may take. It only turns a test that hangs into
// one that fails.
const patience = time.Minute

// transfer lets the module work the queue and checks what it did there.
func transfer(ctx context.Context, t testing.TB, f Fixture, q *Queue) {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Sprintf("Transfer panics: %v\n%s", p, debug.Stack())
			}
			close(done)
		}()
		f.Module.Transfer(ctx, q)
	}()
	select {
	case panicked := <-done:
		if panicked != "" {
			t.Error(panicked)
		}
	case <-time.After(patience):
		t.Errorf("Transfer has not returned after %v", patience)
	}
	q.Check(t)
	checkResults(t, q)
}

func checkName(t testing.TB, f Fixture) {
	name := f.Module.Name()
	if name == "" {
		t.Error("Name is empty")
	}
	for i := range len(name) {
		if c := name[i]; !(c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			t.Errorf("Name = %q; want A to Z, and digits after the first", name)
			break
		}
	}
	for range 3 {
		if again := f.Module.Name(); again != name {
			t.Errorf("Name = %q, then %q", name, again)
		}
	}
}
