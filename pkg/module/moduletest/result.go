package moduletest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/mail"
)

// maxText bounds what a module makes of a peer's words, in bytes: it is kept with
// the message and goes into every list.
const maxText = 1024

// unsound says why a text cannot stand in a log, a list or a report as it is.
func unsound(s string) string {
	switch {
	case s == "":
		return "empty"
	case len(s) > maxText:
		return fmt.Sprintf("%d bytes; want %d at most", len(s), maxText)
	case !utf8.ValidString(s):
		return "not UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }):
		return "a control character"
	}
	return ""
}

// classes are the RFC 3463 §2 classes that fit an action.
var classes = map[mail.Action]uint16{
	mail.Delayed: 4, mail.Delivered: 2, mail.Relayed: 2, mail.Discarded: 2, mail.Expanded: 2, mail.Failed: 5,
}

// checkResults checks everything that a module has said about a queue.
func checkResults(t testing.TB, q *Queue) {
	t.Helper()
	if r, ok := q.Delayed(); ok {
		checkResult(t, "queue "+q.Name(), r)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.delay != nil {
			checkResult(t, "message "+e.m.ID.String(), *e.delay)
		}
		for i, r := range e.results {
			if e.settled[i] {
				checkResult(t, fmt.Sprintf("message %s to <%s>", e.m.ID, e.m.To[i]), r)
			}
		}
	}
}

func checkResult(t testing.TB, what string, r mail.Result) {
	t.Helper()
	class, ok := classes[r.Action]
	switch {
	case !ok:
		t.Errorf("%s: unknown action %s", what, r.Action)
	case r.Status[0] != class:
		t.Errorf("%s: %s with status %s; want class %d", what, r.Action, r.Status, class)
	case r.Code != 0 && r.Code/100 != int(class):
		t.Errorf("%s: reply code %d with status %s", what, r.Code, r.Status)
	}
	if why := unsound(r.Text); why != "" {
		t.Errorf("%s: text %q: %s", what, r.Text, why)
	}
	if why := unsound(r.MTA); r.MTA != "" && why != "" {
		t.Errorf("%s: MTA %q: %s", what, r.MTA, why)
	}
}

// checkDone checks that every recipient of every message got it.
func checkDone(t testing.TB, q *Queue) {
	t.Helper()
	for id, results := range q.Results() {
		for i, r := range results {
			if r.Action != mail.Delivered && r.Action != mail.Relayed {
				t.Errorf("message %s, recipient %d: %s %s; want delivered or relayed", id, i, r.Action, r)
			}
		}
	}
	if r, ok := q.Delayed(); ok {
		t.Errorf("the queue is delayed: %s", r)
	}
}

// checkArrived checks that each message reached each of its recipients least to
// most times, whole, and that nothing else arrived.
func checkArrived(t testing.TB, f Fixture, least, most int, msgs ...*Message) {
	t.Helper()
	arrived := f.Received()
	used := make([]bool, len(arrived))
	for _, m := range msgs {
		count := make([]int, len(m.To))
		for n, a := range arrived {
			if !same(a.Text, m.Text) {
				continue
			}
			used[n] = true
			for i, to := range m.To {
				if slices.ContainsFunc(a.To, func(x mail.Address) bool { return x.Fold() == to.Fold() }) {
					count[i]++
				}
			}
		}
		for i, n := range count {
			if n < least || n > most {
				t.Errorf("message %s reached <%s> %d times; want %d to %d", m.ID, m.To[i], n, least, most)
			}
		}
	}
	for n, a := range arrived {
		if !used[n] {
			t.Errorf("arrived, but is no text that was sent: to %v, %d bytes: %.200q", a.To, len(a.Text), a.Text)
		}
	}
}

// same says whether got is the text, whole. A transport that ends every line may
// add the last newline, and fields may stand in front (RFC 5321 §4.4).
func same(got, text string) bool {
	for _, want := range []string{text, text + "\n"} {
		front, ok := strings.CutSuffix(got, want)
		if !ok || want != text && strings.HasSuffix(text, "\n") {
			continue
		}
		fields := strings.HasSuffix(front, "\n") && !strings.HasPrefix(front, "\n") && !strings.Contains(front, "\n\n")
		return front == "" || fields
	}
	return false
}
