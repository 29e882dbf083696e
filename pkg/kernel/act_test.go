package kernel_test

import (
	"context"
	"errors"
	"strings"
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

func relayAll(ctx context.Context, m *scripted, _ int, q module.Queue) { m.relay(ctx, q) }

// SPOOL L4: an act that is appended and not yet durable is not visible, and its
// rows are handed to no module; afterwards it is true of all of them at once.
func TestActInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := newScripted(relayAll), &memLedger{gate: make(chan error)}
		k := kernel.New(l, plan, discard(), m)
		insert(k, 1, "q", "other")
		q := sel(t, selection.Terms{Queue: []string{"q"}})
		var acts sync.WaitGroup
		reject := func(want int, fault error) {
			acts.Go(func() {
				out, err := k.Reject(q, kernel.Order{By: "root"}, "spam", true)
				if out.Rows != want || !errors.Is(err, fault) {
					t.Errorf("Reject = %+v, %v; want %d rows, %v", out, err, want, fault)
				}
			})
			synctest.Wait() // the act is in flight
		}
		if _, err := k.Reject(sel(t, selection.Terms{}), kernel.Order{By: "root"}, "", true); !errors.Is(err, kernel.ErrEmpty) {
			t.Errorf("Reject of an empty selection: %v, want ErrEmpty", err)
		}
		fault := errors.New("the disk is gone")
		reject(0, fault)
		l.gate <- fault
		acts.Wait()
		if v, _ := k.Message(1); len(v.Recipients) != 2 {
			t.Errorf("%d recipients after an act that failed, want 2", len(v.Recipients))
		}
		reject(1, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { k.Run(ctx, nil, time.Minute) })
		synctest.Wait()
		if v, _ := k.Message(1); m.done(1) != 1 || len(v.Recipients) != 1 || v.Recipients[0].Status != queue.Processing {
			t.Errorf("in flight: settled %v, %+v; want the other one transferred, and this one Processing", m.settled, v.Recipients)
		}
		out, err := k.Reject(q, kernel.Order{By: "root"}, "spam", true)
		if err != nil || len(out.Skipped) != 1 || out.Rows != 0 || out.Matched != 1 {
			t.Errorf("a second act on the same row: %+v, %v; want it skipped", out, err)
		}
		l.gate <- nil
		acts.Wait()
		if v, _ := k.Message(1); len(v.Recipients) != 0 {
			t.Errorf("after the act: %+v", v.Recipients)
		}
		close(l.gate)
		cancel()
		run.Wait()
	})
}

// Who waits for an act can see how far it is: decided are half of it.
func TestHowFarActsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &memLedger{gate: make(chan error)}
		k := kernel.New(l, plan, discard(), newScripted(relayAll))
		for id := mail.ID(1); id <= 700; id++ { // more than a slice
			insert(k, id, "q", "q")
		}
		is := func(when string, rows, done int64) {
			t.Helper()
			if gotRows, gotDone := k.Acting(); gotRows != rows || gotDone != done {
				t.Errorf("%s: %d of %d, want %d of %d", when, gotDone, gotRows, done, rows)
			}
		}
		all := sel(t, selection.Terms{All: true})
		var acts sync.WaitGroup
		for _, answer := range []error{errors.New("the disk is gone"), nil} {
			acts.Go(func() {
				if out, err := k.Reject(all, kernel.Order{By: "root"}, "spam", true); !errors.Is(err, answer) {
					t.Errorf("Reject = %+v, %v; want %v", out, err, answer)
				}
			})
			synctest.Wait()
			is("while it becomes durable", 1400, 700)
			if _, err := k.Reject(all, kernel.Order{Dry: true}, "", true); err != nil {
				t.Error(err)
			}
			is("after a dry run beside it", 1400, 700)
			l.gate <- answer
			acts.Wait()
			is("afterwards", 0, 0)
		}
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	l := &memLedger{}
	k := kernel.New(l, plan, discard(), newScripted(relayAll))
	for id := mail.ID(1); id <= 2500; id++ { // more than a slice
		insert(k, id, "q", "q")
	}
	for _, tt := range []struct {
		name string
		act  func(dry bool) (kernel.Outcome, error)
	}{
		{"reject", func(dry bool) (kernel.Outcome, error) {
			return k.Reject(sel(t, selection.Terms{All: true}), kernel.Order{By: "root", Dry: dry}, "spam", false)
		}},
	} {
		dry, err := tt.act(true)
		if err != nil || l.n != 0 || dry.Rows != 5000 || dry.Messages != 2500 || dry.Queues != 1 {
			t.Errorf("%s: dry run %+v, %v, %d frames; want 5000 rows of 2500 messages in one queue, and none", tt.name, dry, err, l.n)
		}
		wet, err := tt.act(false)
		if err != nil || wet.Rows != dry.Rows || wet.Messages != dry.Messages || l.n != 1 {
			t.Errorf("%s: %+v, %v, %d frames; want what the dry run said, as one frame", tt.name, wet, err, l.n)
		}
	}
}

// Chapter: Release Now removes the delay of the queue. So it does those of its
// messages, and what waits goes at once; attempts stay.
func TestReleaseLetsEverythingGoNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, m *scripted, call int, q module.Queue) {
			if call > 2 {
				time.Sleep(time.Millisecond) // so that one sees what was released
				m.relay(ctx, q)
				return
			}
			if q.Name() == "host" {
				q.Delay(mail.Result{Text: "down"})
				return
			}
			for tr := range q.Due(ctx) {
				if tr.ID == 2 {
					tr.Delay(mail.Result{Text: "greylisted"})
				} else {
					tr.Settle(0, mail.Result{Text: "busy"})
				}
			}
		})
		fill := func(k *kernel.Kernel) {
			insert(k, 1, "host")
			insert(k, 2, "others")
			insert(k, 3, "others")
		}
		filled(t, m, fill, func(k *kernel.Kernel, l *memLedger) {
			time.Sleep(time.Second)
			dry, err := k.Release(sel(t, selection.Terms{Queue: []string{"host"}}), kernel.Order{By: "root", Dry: true}, kernel.Pace{})
			if err != nil || dry.Queues != 1 || dry.Changed != 1 || m.done(1) != 0 {
				t.Errorf("dry run: %+v, %v", dry, err)
			}
			out, err := k.Release(sel(t, selection.Terms{State: []string{"delayed"}}), kernel.Order{By: "root"}, kernel.Pace{})
			if err != nil || out.Queues != 1 || out.Changed != 1 || !strings.Contains(l.standing("delay SMTP host"), " 1 946684") {
				t.Errorf("release of all delayed: %+v, %v, standing %v; want one attempt remembered", out, err, l.stood)
			}
			if v, _ := k.Host(queue.Key{Module: "SMTP", Queue: "host"}); !v.Until.IsZero() || v.Attempts != 1 {
				t.Errorf("released: %+v; want no delay, and its attempt", v)
			}
			time.Sleep(time.Second)
			if m.done(1) != 1 || m.done(0) != 1 || l.standing("delay SMTP host") != "" {
				t.Errorf("settled %v, want 1 alone", m.settled)
			}
			out, err = k.Release(sel(t, selection.Terms{Module: []string{"SMTP"}, Queue: []string{"others"}}), kernel.Order{By: "root"}, kernel.Pace{})
			if err != nil || out.Rows != 2 || l.count("freed") != 2 {
				t.Errorf("release of the other: %+v, %v; want both messages", out, err)
			}
			time.Sleep(time.Second)
			if m.done(0) != 3 {
				t.Errorf("settled %v, want all", m.settled)
			}
		})
	})
}
