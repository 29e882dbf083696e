package moduletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cgq/pkg/mail"
)

// bodies are texts that break on the way when somebody is careless.
var bodies = []struct{ name, text string }{
	{"plain", "hello\n"},
	{"dots", ".\n..\n.dot\n...\n\n.\n"},
	{"a long line", strings.Repeat("0123456789", 500) + "\n"},
	{"8-bit", "caf\xc3\xa9 \xff\x80\xfe\n"},
	{"empty", ""},
	{"no final newline", "the end"},
	{"a dot without newline", "the end\n."},
	{"From at a line start", "From ann@example.com Thu Jan  1 00:00:00 2026\n>From bob\n"},
	{"empty lines at the end", "x\n\n\n\n"},
	{"the dialogue of another", "QUIT\nRSET\nMAIL FROM:<>\n\t\n \n"},
	{"many lines", strings.Repeat("the quick brown fox jumps over the lazy dog\n.\n", 8000)},
}

// message returns a message with a text that is like no other.
func message(name, body string, to ...mail.Address) *Message {
	return &Message{
		Envelope: mail.Envelope{
			ReturnPath: mail.Address{Local: "sender", Domain: "sender.example"},
			Source:     mail.SMTP,
			Submitted:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Body:       mail.Body8BitMIME,
		},
		To:   to,
		Text: "From: sender@sender.example\nSubject: " + name + "\n\n" + body,
	}
}

// queue returns a host queue of the module with messages to addresses as routed.
func (f Fixture) queue(t testing.TB, msgs ...*Message) *Queue {
	t.Helper()
	name := ""
	for _, m := range msgs {
		for i, a := range m.To {
			r, err := f.Module.Claim(context.Background(), a, f.Final)
			if err != nil {
				t.Fatalf("Claim(%s) = %v; want a route", a, err)
			}
			name, m.To[i] = r.Queue, r.Address
		}
	}
	return NewQueue(name, msgs...)
}

// three returns three messages: to one, to all, to another.
func (f Fixture) three(tag string) []*Message {
	return []*Message{
		message(tag+" 1", "one\n", f.Good[0]),
		message(tag+" 2", "all\n", append([]mail.Address(nil), f.Good...)...),
		message(tag+" 3", "three\n", f.Good[1]),
	}
}

func checkWhole(t testing.TB, f Fixture) {
	var msgs []*Message
	for _, b := range bodies {
		msgs = append(msgs, message(b.name, b.text, f.Good[0]))
	}
	header := message("no blank line", "", f.Good[0])
	header.Text = strings.TrimSuffix(header.Text, "\n")
	bounce := message("null return path", "hello\n", f.Good[1])
	bounce.Envelope.ReturnPath = mail.Address{}
	msgs = append(msgs, header, bounce, message("to all", "hello\n", append([]mail.Address(nil), f.Good...)...))
	q := f.queue(t, msgs...)
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	checkArrived(t, f, 1, 1, msgs...)
}

func checkConcurrent(t testing.TB, f Fixture) {
	var all []*Message
	var queues []*Queue
	for n := range 4 {
		msgs := f.three(fmt.Sprintf("queue %d, message", n))
		for i, m := range msgs {
			m.ID = mail.ID(2000 + 10*n + i)
		}
		all = append(all, msgs...)
		queues = append(queues, f.queue(t, msgs...))
	}
	var wg sync.WaitGroup
	for _, q := range queues {
		wg.Go(func() { transfer(context.Background(), t, f, q) })
	}
	wg.Wait()
	for _, q := range queues {
		checkDone(t, q)
	}
	checkArrived(t, f, 1, 1, all...)
}

// checkWaits checks that what has not arrived waits, and at which level.
func checkWaits(t testing.TB, q *Queue) {
	t.Helper()
	_, all := q.Delayed()
	for id, results := range q.Results() {
		_, message := q.MessageDelayed(id)
		for i, r := range results {
			switch {
			case r.Action == mail.Failed || r.Action == mail.Discarded:
				t.Errorf("message %s, recipient %d: %s %s; want it to wait: the destination is broken for now", id, i, r.Action, r)
			case r == mail.Result{} && !message && !all:
				t.Errorf("message %s, recipient %d: neither settled nor delayed, nor its message, nor the queue", id, i)
			}
		}
	}
}

func checkBroken(t testing.TB, f Fixture) {
	msgs := f.three("broken")
	q := f.queue(t, msgs...)
	f.Break()
	transfer(context.Background(), t, f, q)
	checkWaits(t, q)
	checkArrived(t, f, 0, 0)
	f.Mend()
	q.Release()
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	checkArrived(t, f, 1, 1, msgs...)
}

func checkBreaks(t testing.TB, f Fixture) {
	msgs := f.three("breaks")
	q := f.queue(t, msgs...)
	q.onTake = func(n int) {
		if n == 2 {
			f.Break()
		}
	}
	transfer(context.Background(), t, f, q)
	checkWaits(t, q)
	checkArrived(t, f, 1, 1, msgs[0])
	f.Mend()
	q.Release()
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	checkArrived(t, f, 1, 1, msgs...)
}

var errDisk = errors.New("moduletest: the disk does not answer")

// unreadable spoils the second of three messages, and lets it be read in the end.
func unreadable(t testing.TB, f Fixture, spoil func(m *Message, err error)) {
	t.Helper()
	msgs := f.three("unreadable")
	msgs[1].Text += strings.Repeat("a line that is not the last\n", 8000)
	spoil(msgs[1], errDisk)
	q := f.queue(t, msgs...)
	transfer(context.Background(), t, f, q)
	if r, ok := q.Delayed(); ok {
		t.Errorf("the queue is delayed: %s; want the other messages to go", r)
	}
	for i, r := range q.Results()[msgs[1].ID] {
		if r.Final() {
			t.Errorf("recipient %d of the message that cannot be read: %s %s; want it to wait", i, r.Action, r)
		}
	}
	checkArrived(t, f, 1, 1, msgs[0], msgs[2])
	spoil(msgs[1], nil)
	q.Release()
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	checkArrived(t, f, 1, 1, msgs...)
}

func checkUnreadable(t testing.TB, f Fixture) {
	unreadable(t, f, func(m *Message, err error) { m.OpenErr = err })
}

func checkTruncated(t testing.TB, f Fixture) {
	unreadable(t, f, func(m *Message, err error) { m.ReadErr = err })
}

// checkUntouched checks that an end of the server is no attempt: whoever was not
// served is due again at once, and no destination is blamed.
func checkUntouched(t testing.TB, q *Queue) {
	t.Helper()
	if r, ok := q.Delayed(); ok {
		t.Errorf("the queue is delayed: %s; want nobody to be blamed for our stop", r)
	}
	for id, results := range q.Results() {
		if r, ok := q.MessageDelayed(id); ok {
			t.Errorf("message %s is delayed: %s; want it left alone", id, r)
		}
		for i, r := range results {
			if r != (mail.Result{}) && r.Action != mail.Delivered && r.Action != mail.Relayed {
				t.Errorf("message %s, recipient %d: %s %s; want it finished or left alone", id, i, r.Action, r)
			}
		}
	}
}

func checkStopped(t testing.TB, f Fixture) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	q := f.queue(t, f.three("stopped")...)
	transfer(ctx, t, f, q)
	if n := q.Taken(); n != 0 {
		t.Errorf("%d messages taken after ctx ended; want 0", n)
	}
	checkUntouched(t, q)
	checkArrived(t, f, 0, 0)
}

func checkStops(t testing.TB, f Fixture) {
	msgs := f.three("stops")
	q := f.queue(t, msgs...)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	q.onTake = func(n int) {
		if n == 2 {
			cancel()
		}
	}
	transfer(ctx, t, f, q)
	if n := q.Taken(); n != 2 {
		t.Errorf("%d messages taken; want 2: ctx ended with the second", n)
	}
	checkUntouched(t, q)
	// SPOOL L8: what has passed the final dot is settled, so nothing comes twice.
	q.Release()
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	checkArrived(t, f, 1, 1, msgs...)
}

func checkRepeated(t testing.TB, f Fixture) {
	msgs := f.three("repeated")
	name := f.queue(t, msgs...).Name()
	transfer(context.Background(), t, f, NewQueue(name, msgs[:2]...))
	again := make([]*Message, len(msgs))
	for i, m := range msgs {
		c := *m
		c.Repeated = true
		again[i] = &c
	}
	q := NewQueue(name, again...)
	transfer(context.Background(), t, f, q)
	checkDone(t, q)
	most := 2
	if f.ExactlyOnce {
		most = 1
	}
	checkArrived(t, f, 1, most, again...)
}
