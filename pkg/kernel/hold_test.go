package kernel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// held puts three messages of a backup into the queue, one of them damaged, and a new
// one.
func held(t *testing.T, k *kernel.Kernel, value string) {
	t.Helper()
	k.RestoreStanding(map[string]string{fact.RestoredKey: value}, time.Now())
	for id := mail.ID(1); id <= 4; id++ {
		m := queue.Message{ID: id, Envelope: &mail.Envelope{Submitted: time.Now(), ReturnPath: mail.Address{Local: "s", Domain: "a.example"},
			Recipients: make([]mail.Recipient, 1)}, Hold: k.Holding(id)}
		if id == 3 {
			m.Hold = "facts are lost"
		}
		routed := []fact.Routed{{Module: "SMTP", Queue: "q"}}
		k.Restore(m, nil, routed, nil)
	}
}

func reports(k *kernel.Kernel) (n int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for r, ok := k.NextReport(ctx); ok; r, ok = k.NextReport(ctx) {
		n++
		_ = k.Gone(r.ID)
	}
	return n
}

// SPOOL R6: nothing of a restored backup is transferred or reported before a person
// frees it; and it is free only when that is durable.
func TestRestoredBackupIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := newScripted(relayAll), &memLedger{}
		k := kernel.New(l, plan, discard(), m)
		at := time.UnixMilli(1700000000000)
		held(t, k, string(fact.AppendRestored(nil, fact.Restored{Through: 3, Backup: at, At: at})))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { k.Run(ctx, nil, time.Minute) })
		time.Sleep(time.Hour)
		var holds []kernel.Hold
		for h := range k.Holds() {
			holds = append(holds, h)
		}
		want := kernel.Hold{Name: "restored", Reason: "restored from the backup of 2023-11-14 22:13:20 UTC", Since: at, Messages: 2}
		if len(holds) != 2 || holds[0] != want || holds[1] != (kernel.Hold{Reason: "facts are lost", Messages: 1, ID: 3}) {
			t.Errorf("holds %+v, want %+v and the damaged one", holds, want)
		}
		if m.done(1) != 0 || m.done(2) != 0 || m.done(4) != 1 {
			t.Errorf("settled %v, want the new one alone", m.settled)
		}
		if n, err := k.Unhold("x", false); !errors.Is(err, kernel.ErrNoHold) {
			t.Errorf("Unhold of no hold = %+v, %v", n, err)
		}
		if n, err := k.Unhold(kernel.HoldRestored, true); n.Rows != 2 || err != nil || m.done(1) != 0 {
			t.Errorf("dry run = %+v, %v", n, err)
		}
		if n, err := k.Unhold(kernel.HoldRestored, false); n.Messages != 2 || err != nil {
			t.Errorf("Unhold = %+v, %v; want 2", n, err)
		}
		time.Sleep(time.Second)
		if value, said := l.stood[fact.RestoredKey]; m.done(1) != 1 || m.done(2) != 1 || m.done(3) != 0 || !said || value != "" {
			t.Errorf("freed: settled %v, standing %q", m.settled, l.stood)
		}
		if _, err := k.Unhold(kernel.HoldRestored, false); !errors.Is(err, kernel.ErrNoHold) {
			t.Errorf("Unhold again = %v", err)
		}
		cancel()
		run.Wait()
	})
}

// A hold is gone when that is durable, and not before.
func TestUnholdIsDurableFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &memLedger{}
		k := kernel.New(l, plan, discard(), newScripted(relayAll))
		held(t, k, string(fact.AppendRestored(nil, fact.Restored{Through: 3})))
		if n := reports(k); n != 0 {
			t.Errorf("%d reports while all is held, or not done", n)
		}
		l.gate = make(chan error)
		for _, fault := range []error{errors.New("the disk is gone"), nil} {
			var acts sync.WaitGroup
			acts.Go(func() {
				if n, err := k.Unhold(kernel.HoldRestored, false); !errors.Is(err, fault) {
					t.Errorf("Unhold = %+v, %v; want %v", n, err, fault)
				}
			})
			synctest.Wait()
			if v, _ := k.Message(1); v.Recipients[0].Status != queue.Held || k.Holding(1) == "" {
				t.Errorf("in flight: %+v", v)
			}
			l.gate <- fault
			acts.Wait()
		}
		if v, _ := k.Message(1); v.Recipients[0].Status != queue.Ready || k.Holding(1) != "" {
			t.Errorf("freed: %+v", v)
		}
	})
}

// What was settled before the backup and not reported is not reported before a person
// frees it, either.
func TestRestoredBackupIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &memLedger{}
		k := kernel.New(l, plan, discard(), newScripted(relayAll))
		k.RestoreStanding(map[string]string{fact.RestoredKey: string(fact.AppendRestored(nil, fact.Restored{Through: 3}))}, time.Now())
		for id := mail.ID(1); id <= 2; id++ {
			m := queue.Message{ID: id, Hold: k.Holding(id), Envelope: &mail.Envelope{ReturnPath: mail.Address{Local: "s", Domain: "a.example"},
				Recipients: make([]mail.Recipient, int(id))}}
			k.Restore(m, []fact.Fact{fact.Settled{At: time.Now(), Result: mail.Result{Action: mail.Failed}}},
				[]fact.Routed{{Rcpt: 1, Module: "SMTP", Queue: "q"}}, nil)
		}
		if n := reports(k); n != 0 {
			t.Errorf("%d reports while it is held", n)
		}
		if n, err := k.Unhold(kernel.HoldRestored, false); n.Messages != 2 || err != nil {
			t.Errorf("Unhold = %+v, %v", n, err)
		}
		if n := reports(k); n != 2 {
			t.Errorf("%d reports after it was freed, want 2", n)
		}
	})
}

// A hold that cannot be read holds everything.
func TestHoldThatCannotBeRead(t *testing.T) {
	k := kernel.New(&memLedger{}, plan, discard(), newScripted(relayAll))
	held(t, k, "restored of a newer version")
	for id := mail.ID(1); id <= 4; id++ {
		if v, _ := k.Message(id); v.Recipients[0].Status != queue.Held {
			t.Errorf("message %d is %v", id, v.Recipients[0].Status)
		}
	}
}
