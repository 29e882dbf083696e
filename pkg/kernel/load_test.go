package kernel_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

// busy is a plan with as many channels as a server has.
func busy(string) kernel.Plan {
	p := plan("")
	p.Limits = queue.Limits{Channels: 50, QueueChannels: 10}
	return p
}

// A dead destination with 100,000 messages, each attempt at which takes half a minute,
// takes less than a twentieth from the others.
func TestDeadDestinationStarvesNobody(t *testing.T) {
	const others, each = 40, 250
	took := func(dead int) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			all := make(chan struct{})
			m := newScripted(func(ctx context.Context, m *scripted, _ int, q module.Queue) {
				if q.Name() == "dead" {
					time.Sleep(30 * time.Second)
					q.Delay(mail.Result{Text: "timeout"})
					return
				}
				for tr := range q.Due(ctx) {
					time.Sleep(10 * time.Millisecond)
					tr.Settle(0, mail.Result{Action: mail.Relayed})
					m.mu.Lock()
					if m.settled[tr.ID]++; len(m.settled) == others*each {
						close(all)
					}
					m.mu.Unlock()
				}
			})
			k := kernel.New(&memLedger{}, busy, discard(), m)
			id := mail.ID(0)
			for range dead {
				id++
				insert(k, id, "dead")
			}
			for i := range others * each {
				id++
				insert(k, id, fmt.Sprint("alive", i%others))
			}
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			go k.Run(ctx, nil, time.Minute)
			<-all
			d = time.Since(began)
			cancel()
			synctest.Wait()
			time.Sleep(time.Minute)
		})
		return d
	}
	alone, beside := took(0), took(100_000)
	if beside > alone*105/100 {
		t.Errorf("%d messages take %v, and %v beside a dead destination", others*each, alone, beside)
	}
}

// Who lists again and again while everything moves sees each message once, those that stay
// each time, and changes nothing.
func TestListUnderLoad(t *testing.T) {
	m := newScripted(relayAll)
	l := &memLedger{}
	k := kernel.New(l, busy, discard(), m)
	const stays = 3000
	for id := mail.ID(1); id <= stays; id++ {
		insert(k, 2*id, "stays")
	}
	if _, err := k.Hold(sel(t, queues("stays")), ann, "to be counted", time.Time{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { k.Run(ctx, nil, time.Minute) })
	work.Go(func() {
		for id := mail.ID(1); ctx.Err() == nil; id += 2 { // between those that stay, and behind them
			insert(k, id, fmt.Sprint("moves", id%7))
		}
	})
	work.Go(func() {
		for ctx.Err() == nil {
			if r, ok := k.NextReport(ctx); ok {
				_ = k.Gone(r.ID)
			}
		}
	})
	for round := range 30 {
		kept, last := 0, mail.ID(0)
		for v, err := range k.Messages(nil) {
			if err != nil {
				t.Fatal(err)
			}
			if v.ID <= last {
				t.Fatalf("round %d: message %d comes after %d", round, v.ID, last)
			}
			if last = v.ID; len(v.Recipients) == 1 && v.Recipients[0].Key.Queue == "stays" {
				kept++
			}
		}
		if kept != stays {
			t.Errorf("round %d: %d messages that stay, want %d", round, kept, stays)
		}
		if v, ok := k.Host(queue.Key{Module: "SMTP", Queue: "stays"}); !ok || v.Messages != stays {
			t.Errorf("round %d: %+v", round, v)
		}
	}
	cancel()
	work.Wait()
	before := l.n
	if _, err := k.Reject(sel(t, selection.Terms{Queue: []string{"stays"}}), kernel.Order{Dry: true}, "", false); err != nil || l.n != before {
		t.Errorf("a dry run: %v, %d frames", err, l.n-before)
	}
}
