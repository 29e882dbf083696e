package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"cgq/bench/full"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// What is in the Queue, beside the numbers of messages and host queues.
const (
	senders       = 1000
	senderDomains = 10
	ages          = 48 * time.Hour // of the oldest; the others are spread evenly
	least, most   = 400, 2000      // bytes of a text
)

// A stock is what the Queue is full of. Everything about a message follows from its
// number, so that whoever asks can know what he must be told.
type stock struct {
	messages, queues int
	made             time.Time
}

// queue is the name of the host queue of message n.
func (s stock) queue(n int) string { return fmt.Sprintf("d%05d.example", n%s.queues) }

// digit is the last one of that name's number: one digit is a tenth of the host queues.
func (s stock) digit(n int) int { return n % s.queues % 10 }

func ofDigit(d int) string { return fmt.Sprintf("d*%d.example", d) }

// sender is who sent message n. It differs from one message of a host queue to the next.
func (s stock) sender(n int) int { return (n + n/s.queues) % senders }

func address(sender int) mail.Address {
	return mail.Address{Local: fmt.Sprintf("s%03d", sender), Domain: senderDomain(sender)}
}

func senderDomain(sender int) string { return fmt.Sprintf("from%d.example.net", sender%senderDomains) }

// released are the digits whose messages wait for themselves, after errors of their own,
// so that a release has something to free. Those of the others wait with their host queues.
const released = 4

func (s stock) waits(n int) bool { return s.digit(n) >= released }

// count counts messages.
func (s stock) count(is func(n int) bool) (all int) {
	for n := range s.messages {
		if is(n) {
			all++
		}
	}
	return all
}

// letter is message n.
func (s stock) letter(n int) full.Letter {
	from, to := address(s.sender(n)), mail.Address{Local: fmt.Sprintf("r%d", n/s.queues), Domain: s.queue(n)}
	e := &mail.Envelope{ReturnPath: from, Recipients: []mail.Recipient{{Address: to}}, Source: mail.SMTP,
		Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), Domain: "bench.test",
		Submitted: s.made.Add(ages/time.Duration(s.messages)*time.Duration(n) - ages)}
	if n%3 == 0 {
		e.Auth = from.String()
	}
	text := fmt.Appendf(make([]byte, 0, most), "From: <%s>\nTo: <%s>\nMessage-ID: <%d@bench.test>\nSubject: Invoice %d of your order\n\n", from, to, n, n)
	for size := least + n*7919%(most-least); len(text) < size; {
		text = append(text, line[:min(len(line), size-len(text))]...)
	}
	l := full.Letter{Envelope: e, Text: text}
	if s.waits(n) {
		l.Facts = []fact.Fact{s.failed(n, to.Domain)}
	}
	return l
}

var line = append(bytes.Repeat([]byte("x"), 71), '\n')

// refusals are what the other side has said, of the message or of its recipient.
var refusals = []string{"452 4.2.2 the mailbox is full", "450 4.7.1 greylisted, try again in 300 seconds", "451 4.3.0 local problem",
	"450 4.2.0 the mailbox is busy", "452 4.5.3 too many recipients"}

// failed is the attempt that message n has behind it. Its next is so far away that nothing
// happens by itself: no start believes it, but the longest step of a schedule is left.
func (s stock) failed(n int, domain string) fact.Fact {
	r := mail.Result{Status: mail.Status{4, 2, 2}, Text: refusals[n/10%len(refusals)], MTA: "mx." + domain}
	until, attempts := s.made.Add(30*24*time.Hour), 1+n%7
	if n/s.queues%2 == 0 {
		return fact.Tried{At: s.made, Attempts: attempts, Until: until, Result: r}
	}
	return fact.Suspended{Module: "SMTP", Queue: domain, At: s.made, Attempts: attempts, Until: until, Result: r}
}
