package queue

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// fill makes a queue of messages with one recipient each, as they come by SMTP, in so many
// host queues; some wait for themselves.
func fill(messages, hosts int) *State {
	s := New()
	s.SetLimits("SMTP", Limits{Channels: 100, QueueChannels: 10})
	peer := netip.MustParseAddr("192.0.2.17")
	for i := range messages {
		q := fmt.Sprintf("d%05d.example", i%hosts)
		to := mail.Address{Local: fmt.Sprintf("recipient%d", i%1000), Domain: q}
		e := &mail.Envelope{ReturnPath: mail.Address{Local: fmt.Sprintf("sender%03d", i%1000), Domain: "sender.example"}, Peer: peer,
			Source: mail.SMTP, Submitted: epoch.Add(time.Duration(i) * time.Millisecond), Domain: "mx.sender.example",
			Recipients: []mail.Recipient{{Address: to}}}
		id := mail.ID(i + 1)
		s.Add(Message{ID: id, Envelope: e, Subject: "Re: the subject of a message", Size: 2000})
		s.Apply(id, fact.Routed{Module: "SMTP", Queue: q, Address: to})
		if i%10 == 0 {
			s.Apply(id, fact.Tried{Attempts: 1, Until: epoch.Add(time.Hour), Result: mail.Result{Text: "busy"}})
		}
	}
	return s
}

// With what else is known of it (the spool has 20 bytes), a queued message stays below 400
// bytes of live heap.
func TestMemory(t *testing.T) {
	live := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	const n = 100_000
	before := live()
	s := fill(n, n/100)
	per := (live() - before) / n
	t.Logf("%d bytes a message", per)
	if per > 370 {
		t.Errorf("%d bytes a message, want at most 370", per)
	}
	runtime.KeepAlive(s)
}
