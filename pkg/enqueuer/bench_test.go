package enqueuer

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/router"
	"cgq/pkg/rules"
	"cgq/pkg/stats"
)

// anywhere is a module that takes every address.
type anywhere struct{}

func (anywhere) Name() string { return "SMTP" }
func (anywhere) Claim(_ context.Context, a mail.Address, _ bool) (module.Route, error) {
	return module.Route{Queue: a.Domain, Address: a, Relay: true}, nil
}
func (anywhere) Transfer(context.Context, module.Queue) {}

// What the Enqueuer itself takes a message, besides the disk: hops, Router, Rules.
func BenchmarkDecide(b *testing.B) {
	head := "Received: from [127.0.0.1] (HELO client)\n  by here.example (cgq SMTP) with ESMTP id 1\n  for <ann@away.example>; Sat, 01 Jan 2000 00:00:00 +0000\n" +
		"From: Ann <ann@away.example>\nTo: bob@away.example\nSubject: a message of the usual kind\nMessage-ID: <1@away.example>\n" +
		strings.Repeat("X-Field: with some text that is so long as fields are\n", 60) + "\n"
	mark, err := rules.Compile(&rules.File{Rules: []rules.Rule{{Name: "mark", Priority: 5, Actions: [][]string{{"Add Header", "X-Seen: yes"}}}}})
	if err != nil {
		b.Fatal(err)
	}
	for name, set := range map[string]*rules.Set{"without Rules": nil, "one Rule adds a field": mark} {
		b.Run(name, func(b *testing.B) {
			settings := new(atomic.Pointer[Settings])
			d := Defaults()
			settings.Store(&d)
			log := slog.New(slog.DiscardHandler)
			domain := func() string { return "here.example" }
			e := New(nil, router.New(domain, log, anywhere{}), nil, settings, Server{MainDomain: domain,
				Clients: func() []netip.Prefix { return nil }, Rules: func() *rules.Set { return set }}, &stats.Set{}, log, log)
			env := &mail.Envelope{Source: mail.SMTP, Peer: netip.MustParseAddr("127.0.0.1"), Submitted: time.Now(),
				ReturnPath: mail.Address{Local: "ann", Domain: "away.example"},
				Recipients: []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "away.example"}}}}
			s := &subject{id: 1, env: env, size: 4096, start: []byte(head), rcpts: []int{0}}
			b.ReportAllocs()
			for b.Loop() {
				if is, err := e.decide(context.Background(), s); err != nil || len(is.facts) == 0 {
					b.Fatal(is, err)
				}
			}
		})
	}
}
