package moduletest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cgq/pkg/mail"
)

// A notepad is a testing.TB that keeps failures to itself.
type notepad struct {
	testing.TB
	mu    sync.Mutex
	notes []string
}

func (n *notepad) note(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, s)
}

func (n *notepad) Helper()                           {}
func (n *notepad) Error(args ...any)                 { n.note(fmt.Sprint(args...)) }
func (n *notepad) Errorf(format string, args ...any) { n.note(fmt.Sprintf(format, args...)) }
func (n *notepad) Fatal(args ...any)                 { n.Error(args...); runtime.Goexit() }
func (n *notepad) Fatalf(format string, args ...any) { n.Errorf(format, args...); runtime.Goexit() }

// watch runs one check on a module and returns what it says.
func watch(t *testing.T, run func(testing.TB, Fixture), f Fixture) []string {
	n := &notepad{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(n, f)
	}()
	<-done
	return n.notes
}

func TestFaultsAreFound(t *testing.T) {
	for _, tt := range []struct {
		fault string
		check func(testing.TB, Fixture)
		want  string // in one of the failures
	}{
		{"lower-case name", checkName, `"memory"`},
		{"changing name", checkName, `then "OTHER"`},
		{"no name", checkName, "empty"},
		{"claims everything", checkForeign, "want ErrNotMine"},
		{"claims too early", checkClaim, "it claims in the final pass"},
		{"case-sensitive domain", checkClaim, "MEMORY.EXAMPLE"},
		{"unstable queue", checkClaim, "x"},
		{"control character in queue", checkClaim, "a control character"},
		{"panics on hostile", checkHostile, "panics: odd address"},
		{"fails on hostile", checkHostile, "want a route, ErrNotMine or a *Rejection"},
		{"rejects with class 2", checkHostile, "want class 4 or 5"},
		{"rejects in two lines", checkHostile, "a control character"},

		{"panics", checkWhole, "Transfer panics: nil map"},
		{"hangs", checkWhole, "has not returned"},
		{"one Transfer only", checkConcurrent, "want delivered or relayed"},
		{"late Settle", checkWhole, "Settle after its loop body"},
		{"late Open", checkWhole, "Open after its loop body"},
		{"open text", checkWhole, "text left open"},
		{"reads what is closed", checkWhole, "Read of a closed text"},
		{"settles twice", checkWhole, "settled twice: delivered, then delivered"},
		{"skips the last", checkWhole, "want delivered or relayed"},
		{"index", checkWhole, "Settle(1) of 1 recipients"},
		{"changes the envelope", checkWhole, "envelope changed"},
		{"changes a recipient", checkWhole, "envelope changed"},
		{"delays the message as delivered", checkWhole, "Delay with action delivered"},
		{"class", checkWhole, "delivered with status 5.0.0"},
		{"code", checkWhole, "reply code 550 with status 2.0.0"},
		{"action", checkWhole, "unknown action"},
		{"no text", checkWhole, "empty"},
		{"two lines", checkWhole, "a control character"},
		{"escape sequence", checkWhole, "a control character"},
		{"long text", checkWhole, "5000 bytes"},
		{"not UTF-8", checkWhole, "not UTF-8"},

		{"twice", checkWhole, "2 times"},
		{"to the first", checkWhole, "0 times"},
		{"strips dots", checkWhole, "no text that was sent"},
		{"eats dots", checkWhole, "no text that was sent"},
		{"wraps lines", checkWhole, "no text that was sent"},
		{"trims", checkWhole, "no text that was sent"},
		{"seven bits", checkWhole, "no text that was sent"},
		{"escapes From", checkWhole, "no text that was sent"},
		{"blank line in front", checkWhole, "no text that was sent"},

		{"fails when broken", checkBroken, "the destination is broken for now"},
		{"fails when broken", checkBreaks, "the destination is broken for now"},
		{"says nothing when broken", checkBroken, "neither settled nor delayed"},
		{"delays as failed", checkBroken, "Queue.Delay with action failed"},
		{"delivered to nowhere", checkBroken, "0 times"},
		{"delivered to nowhere", checkBreaks, "0 times"},
		{"fails what cannot be opened", checkUnreadable, "want it to wait"},
		{"delays all for one", checkUnreadable, "want the other messages to go"},
		{"delivers what cannot be opened", checkUnreadable, "no text that was sent"},
		{"sends half", checkTruncated, "no text that was sent"},

		{"deaf to ctx", checkStopped, "3 messages taken after ctx ended"},
		{"deaf to ctx", checkStops, "3 messages taken; want 2"},
		{"blames the queue for our stop", checkStopped, "our stop"},
		{"blames the queue for our stop", checkStops, "our stop"},
		{"forgets when stopped", checkStops, "2 times"},
		{"drops what is repeated", checkRepeated, "0 times"},
		{"twice when repeated", checkRepeated, "2 times"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{fault: tt.fault, final: tt.fault == "claims too early", hang: make(chan struct{})}
				defer close(m.hang)
				notes := watch(t, tt.check, fixture(m))
				if all := strings.Join(notes, "\n"); !strings.Contains(all, tt.want) {
					t.Errorf("the suite says %q; want something with %q", all, tt.want)
				}
			})
		})
	}
}

func TestHostileAddressesAreAddresses(t *testing.T) {
	for _, a := range hostile(mail.Address{Local: "ann", Domain: home}) {
		if got, err := mail.ParseAddress(a.String()); err != nil || got != a {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", a.String(), got, err, a)
		}
	}
}

func TestQueueKeepsWhatIsSaid(t *testing.T) {
	ann, bob := mail.Address{Local: "ann", Domain: home}, mail.Address{Local: "bob", Domain: home}
	q := NewQueue(home, &Message{To: []mail.Address{ann, bob}, Text: "one"},
		&Message{To: []mail.Address{ann}, Text: "two"}, &Message{ID: 7, To: []mail.Address{bob}})
	wait := mail.Result{Status: mail.Status{4, 2, 0}, Text: "later"}
	ctx := context.Background()
	for tr := range q.Due(ctx) {
		switch tr.ID {
		case 1001:
			tr.Settle(0, stored)
			tr.Settle(1, wait)
		case 1002:
			tr.Delay(wait)
			q.Delay(wait)
		default:
			t.Errorf("message %s handed out after the queue was delayed", tr.ID)
		}
	}
	if got := q.Results()[1001]; got[0] != stored || got[1] != wait {
		t.Errorf("Results()[1001] = %v", got)
	}
	if r, ok := q.Delayed(); !ok || r != wait {
		t.Errorf("Delayed() = %v, %v; want %v", r, ok, wait)
	}
	if r, ok := q.MessageDelayed(1002); !ok || r != wait {
		t.Errorf("MessageDelayed(1002) = %v, %v; want %v", r, ok, wait)
	}
	q.Release()
	var again []string
	for tr := range q.Due(ctx) {
		for _, r := range tr.Recipients {
			again = append(again, tr.ID.String()+" "+r.To.Local)
		}
		if tr.ID == 7 {
			id, err := tr.Beget(ctx, 0, stored, &mail.Envelope{Source: mail.LIST}, strings.NewReader("a posting"))
			if id != 1003 || err != nil {
				t.Errorf("Beget = %v, %v; want 1003", id, err)
			}
		}
	}
	if got, want := strings.Join(again, ", "), "1001 bob, 1002 ann, 7 bob"; got != want {
		t.Errorf("after Release: %s; want %s", got, want)
	}
	b := q.Begotten()
	if len(b) != 1 || b[0].Parent != 7 || b[0].Text != "a posting" || b[0].Envelope.Source != mail.LIST {
		t.Errorf("Begotten() = %+v", b)
	}
	if got := q.Results()[7][0]; got != stored {
		t.Errorf("Beget settled %v; want %v", got, stored)
	}
	if f := q.Faults(); len(f) != 0 || q.Taken() != 5 {
		t.Errorf("faults %q, %d taken; want none and 5", f, q.Taken())
	}
}

func TestTextFailsWhereTheMessageSays(t *testing.T) {
	oops := errors.New("oops")
	q := NewQueue(home, &Message{To: []mail.Address{{Local: "ann"}}, Text: "0123456789", ReadErr: oops})
	for tr := range q.Due(context.Background()) {
		f, err := tr.Open()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(f); string(b) != "01234" || !errors.Is(err, oops) {
			t.Errorf("ReadAll = %q, %v; want the first half and %v", b, err, oops)
		}
		if _, err := f.Seek(3, io.SeekStart); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(f); string(b) != "34" || !errors.Is(err, oops) {
			t.Errorf("after Seek: %q, %v; want 34 and %v", b, err, oops)
		}
		if f.Close() != nil || f.Close() == nil {
			t.Error("the first Close works, the second fails")
		}
	}
	q.Check(t)
}
