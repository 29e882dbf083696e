package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

var ann = kernel.Order{By: "ann"}

func queues(names ...string) selection.Terms { return selection.Terms{Queue: names} }

// again is a kernel that a start has made of what a ledger has, with messages of one
// recipient, in the queues named, and their facts.
func again(t *testing.T, l *memLedger, m *scripted, messages map[mail.ID]string) *kernel.Kernel {
	t.Helper()
	k := kernel.New(l, plan, discard(), m)
	k.RestoreStanding(l.stood, time.Now())
	for id, q := range messages {
		var facts []fact.Fact
		for _, line := range l.lines() {
			of, text, _ := strings.Cut(line, " ")
			if of != id.String() {
				continue
			}
			f, err := fact.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			facts = append(facts, f)
		}
		k.Restore(queue.Message{ID: id, Envelope: envelope(1), Repeated: true}, facts, []fact.Routed{{Module: "SMTP", Queue: q}}, nil)
	}
	return k
}

// A hold keeps what it finds and what comes, over a restart, and ends when its time is
// over; then all of it goes.
func TestHoldLastsUntilItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		var l *memLedger
		until := time.Now().Add(2 * time.Hour)
		filled(t, m, func(k *kernel.Kernel) {
			insert(k, 1, "a")
			insert(k, 2, "b")
			dry, err := k.Hold(sel(t, queues("a")), kernel.Order{By: "ann", Dry: true}, "moving", until)
			out, err2 := k.Hold(sel(t, queues("a")), ann, "moving", until)
			if err != nil || err2 != nil || dry.Matched != 1 || out.Matched != 1 || out.Rows != 1 || dry.Act != 0 || out.Act == 0 {
				t.Errorf("Hold = %+v, %v; dry %+v, %v", out, err2, dry, err)
			}
		}, func(k *kernel.Kernel, ledger *memLedger) {
			l = ledger
			insert(k, 3, "a")
			time.Sleep(time.Hour)
			if out, err := k.Release(sel(t, queues("a")), ann, kernel.Pace{}); err != nil || out.Rows != 0 || out.Skipped[0].Reason != kernel.OnHold {
				t.Errorf("release of what is held: %+v, %v", out, err)
			}
		})
		if m.done(1) != 0 || m.done(2) != 1 || m.done(3) != 0 {
			t.Errorf("settled %v, want message 2 alone", m.settled)
		}
		m2 := newScripted(relayAll)
		k := again(t, l, m2, map[mail.ID]string{1: "a", 3: "a"})
		var holds []kernel.Hold
		for h := range k.Holds() {
			holds = append(holds, h)
		}
		if len(holds) != 1 || holds[0].Reason != "moving" || holds[0].By != "ann" || holds[0].Recipients != 2 || !holds[0].Lasts ||
			!holds[0].Until.Equal(until) || holds[0].Where != `queue == "a"` {
			t.Errorf("after a restart: %+v", holds)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx, nil, time.Minute)
		time.Sleep(59 * time.Minute)
		if m2.done(0) != 0 {
			t.Errorf("settled %v before its time is over", m2.settled)
		}
		time.Sleep(2 * time.Minute)
		if m2.done(0) != 2 || l.standing("hold "+holds[0].Name) != "" {
			t.Errorf("settled %v, hold %q; want both, and none", m2.settled, l.standing("hold "+holds[0].Name))
		}
		cancel()
		synctest.Wait()
	})
}

// A hold of what fares somehow has what it found, and nothing later; a person takes it away.
func TestHoldOfWhatItFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		var l *memLedger
		filled(t, m, func(k *kernel.Kernel) {
			insert(k, 1, "a")
			time.Sleep(2 * time.Hour)
			insert(k, 2, "a")
			out, err := k.Hold(sel(t, selection.Terms{Age: []string{">1h"}}), ann, "old", time.Time{})
			if err != nil || out.Rows != 1 {
				t.Errorf("Hold = %+v, %v; want one", out, err)
			}
		}, func(k *kernel.Kernel, ledger *memLedger) {
			l = ledger
			time.Sleep(time.Second)
			if m.done(1) != 0 || m.done(2) != 1 {
				t.Errorf("settled %v, want message 2 alone", m.settled)
			}
		})
		m2 := newScripted(relayAll)
		k := again(t, l, m2, map[mail.ID]string{1: "a"})
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx, nil, time.Minute)
		time.Sleep(time.Hour)
		if _, err := k.Unhold("99", false); !errors.Is(err, kernel.ErrNoHold) {
			t.Errorf("Unhold of another: %v", err)
		}
		dry, err := k.Unhold("1", true)
		if m2.done(0) != 0 || dry.Rows != 1 || dry.Messages != 1 || err != nil {
			t.Errorf("settled %v, dry run %+v, %v; want none, and one", m2.settled, dry, err)
		}
		n, err := k.Unhold("1", false)
		time.Sleep(time.Second)
		if n.Rows != dry.Rows || n.Messages != dry.Messages || err != nil || m2.done(1) != 1 {
			t.Errorf("Unhold = %+v, %v, settled %v", n, err, m2.settled)
		}
		cancel()
		synctest.Wait()
	})
}

// What is dropped comes back when it is undone, over a restart, too; after its time it is
// gone for good. A dry run does neither.
func TestTrashIsUndoneOrPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		var l *memLedger
		var first, second uint64
		filled(t, m, func(k *kernel.Kernel) {
			for id := mail.ID(1); id <= 3; id++ {
				insert(k, id, fmt.Sprint("q", id))
			}
			one, err1 := k.Reject(sel(t, queues("q1")), ann, "", false)
			time.Sleep(time.Hour)
			two, err2 := k.Reject(sel(t, queues("q2")), ann, "wrong", false)
			if err1 != nil || err2 != nil || one.Act >= two.Act {
				t.Fatalf("%+v, %v, %+v, %v", one, err1, two, err2)
			}
			first, second = one.Act, two.Act
			if k.Len() != 1 || k.InTrash() != 2 {
				t.Errorf("%d messages, %d in the trash; want 1 and 2", k.Len(), k.InTrash())
			}
		}, func(k *kernel.Kernel, ledger *memLedger) { l = ledger; time.Sleep(time.Second) })
		m2 := newScripted(relayAll)
		k := again(t, l, m2, map[mail.ID]string{1: "q1", 2: "q2"})
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx, nil, time.Minute)
		time.Sleep(22 * time.Hour)
		if got := k.Trash(); len(got) != 2 || got[0].Act != second || got[0].Text != "wrong" || got[0].By != "ann" || got[1].Act != first {
			t.Fatalf("after a restart: %+v", got)
		}
		if dry, err := k.Undo(kernel.Order{Dry: true}, second); err != nil || dry.Rows != 1 || k.InTrash() != 2 {
			t.Errorf("dry run: %+v, %v", dry, err)
		}
		if out, err := k.Undo(ann, second); err != nil || out.Rows != 1 || out.Messages != 1 {
			t.Errorf("Undo = %+v, %v", out, err)
		}
		if _, err := k.Undo(ann, second); !errors.Is(err, kernel.ErrNoBatch) {
			t.Errorf("Undo of what is undone: %v", err)
		}
		time.Sleep(time.Second)
		if m2.done(2) != 1 || m2.done(0) != 1 {
			t.Errorf("settled %v, want message 2 alone", m2.settled)
		}
		time.Sleep(time.Hour)
		if _, err := k.Undo(ann, first); !errors.Is(err, kernel.ErrNoBatch) || l.count("Purged") != 1 {
			t.Errorf("after a day: %v, %q", err, l.lines())
		}
		gone := map[mail.ID]bool{}
		for range 2 {
			r, ok := k.NextReport(ctx)
			if !ok || !r.Last {
				t.Fatalf("NextReport = %+v, %v", r, ok)
			}
			gone[r.ID] = true
			_ = k.Gone(r.ID)
		}
		if !gone[1] || !gone[2] || k.InTrash() != 0 {
			t.Errorf("gone: %v, %d in the trash", gone, k.InTrash())
		}
		cancel()
		synctest.Wait()
	})
}

// A reroute moves what the Router sends elsewhere today, and says so beforehand; what stays
// is named. A fault of the Router ends it before anything is done.
func TestReroute(t *testing.T) {
	for _, fault := range []error{nil, errors.New("the table cannot be read")} {
		l := &memLedger{}
		k := kernel.New(l, plan, discard(), newScripted(relayAll))
		insert(k, 1, "a", "a", "b")
		insert(k, 2, "a")
		where := func(_ context.Context, a mail.Address) (queue.Key, mail.Address, error) {
			switch a.Local {
			case "r0":
				return queue.Key{Module: "SMTP", Queue: "new"}, mail.Address{Local: "other", Domain: "new"}, fault
			case "r1":
				return queue.Key{}, mail.Address{}, module.Reject(5, 1, 1, "no such domain")
			}
			return queue.Key{Module: "SMTP", Queue: "b"}, mail.Address{}, nil // as insert has it
		}
		for _, dry := range []bool{true, false} {
			out, err := k.Reroute(t.Context(), sel(t, selection.Terms{All: true}), kernel.Order{By: "ann", Dry: dry}, where)
			if fault != nil {
				if !errors.Is(err, fault) || l.n != 0 {
					t.Errorf("Reroute = %+v, %v, %d frames; want the fault, and nothing", out, err, l.n)
				}
				continue
			}
			moves := []kernel.Move{{From: queue.Key{Module: "SMTP", Queue: "a"}, To: queue.Key{Module: "SMTP", Queue: "new"}, Recipients: 2}}
			if err != nil || out.Matched != 4 || out.Rows != 2 || !reflect.DeepEqual(out.Moves, moves) || len(out.Skipped) != 2 ||
				out.Skipped[0].Reason != "the Router refuses it: no such domain" || out.Skipped[1].Reason != kernel.SameWay {
				t.Errorf("Reroute, dry %v = %+v, %v", dry, out, err)
			}
			if dry != (l.n == 0) {
				t.Errorf("dry %v: %d frames", dry, l.n)
			}
		}
		m, _ := k.Message(2)
		if got := m.Recipients[0]; fault == nil && (got.Key.Queue != "new" || got.To.Local != "other" || got.Status != queue.Ready) {
			t.Errorf("message 2: %+v", got)
		}
	}
}

// Many messages of one host queue that are released go one after the other; so do those of
// another, beside them.
func TestReleaseHasAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(func(ctx context.Context, m *scripted, _ int, q module.Queue) {
			for tr := range q.Due(ctx) {
				if time.Since(m.began) < time.Second {
					tr.Delay(mail.Result{Text: "greylisted"})
					continue
				}
				tr.Settle(0, mail.Result{Action: mail.Relayed})
				m.mu.Lock()
				m.settled[tr.ID]++
				m.mu.Unlock()
			}
		})
		fill := func(k *kernel.Kernel) {
			for id := mail.ID(1); id <= 60; id++ {
				insert(k, id, map[bool]string{true: "a", false: "b"}[id <= 40])
			}
		}
		filled(t, m, fill, func(k *kernel.Kernel, l *memLedger) {
			time.Sleep(2 * time.Second)
			out, err := k.Release(sel(t, selection.Terms{All: true}), ann, kernel.Pace{Burst: 10, PerSecond: 5})
			if err != nil || out.Rows != 60 || out.Queues != 2 || out.Changed != 2 {
				t.Fatalf("Release = %+v, %v", out, err)
			}
			var got []int
			for range 8 {
				time.Sleep(time.Second - time.Millisecond)
				got = append(got, m.done(0))
				time.Sleep(time.Millisecond)
				if len(got) == 3 { // why the others wait, and till when the last of them does
					e, _ := k.Explain(queue.Key{Module: "SMTP", Queue: "a"})
					if at := m.began.Add(8 * time.Second); e.Paced == 0 || e.Paced != e.By[queue.Suspended] || !e.Turn.Equal(at) {
						t.Errorf("%d of %d wait for their turn, the last till %s; want all, till %s", e.Paced, e.By[queue.Suspended], e.Turn, at)
					}
				}
			}
			// ten of each at once, then five of each a second
			if want := []int{28, 38, 44, 49, 54, 59, 60, 60}; !slices.Equal(got, want) {
				t.Errorf("gone after each second: %v, want %v", got, want)
			}
		})
	})
}

// What nobody attempts is given up, too, when it is old enough; a start first leaves time
// for an attempt. What is damaged waits for a person.
func TestWhatNobodyAttemptsExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parked := func(string) kernel.Plan {
			p := plan("")
			p.Channels = 0
			return p
		}
		l := &memLedger{}
		k := kernel.New(l, parked, discard(), newScripted(relayAll))
		old := envelope(1)
		old.Submitted = time.Now().Add(-240 * time.Hour)
		for id, hold := range map[mail.ID]string{1: "", 2: "facts are lost"} {
			k.Restore(queue.Message{ID: id, Envelope: old, Hold: hold}, nil, []fact.Routed{{Module: "SMTP", Queue: "q"}}, nil)
		}
		insert(k, 3, "q")
		if _, err := k.Hold(sel(t, queues("q")), ann, "why", time.Time{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx, nil, time.Minute)
		left := func() string {
			var all []string
			for m, err := range k.Messages(nil) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, m.ID.String())
			}
			return strings.Join(all, " ")
		}
		for _, step := range []struct {
			sleep time.Duration
			want  string
		}{{29 * time.Minute, "1 2 3"}, {2 * time.Minute, "2 3"}, {23*time.Hour + 50*time.Minute, "2 3"}, {80 * time.Minute, "2"}} {
			time.Sleep(step.sleep)
			if got := left(); got != step.want {
				t.Errorf("after %v more: %s left, want %s", step.sleep, got, step.want)
			}
		}
		if r, ok := k.NextReport(ctx); !ok || r.Done[0].Result.Text != "delivery time expired; nobody could try" {
			t.Errorf("NextReport = %+v, %v", r, ok)
		}
		cancel()
		synctest.Wait()
	})
}

// A hold of very many messages by their ids is kept by its facts; one that lasts and cannot
// stand in the journal is refused.
func TestHoldOfALongSelection(t *testing.T) {
	l := &memLedger{}
	k := kernel.New(l, plan, discard(), newScripted(relayAll))
	var ids []mail.ID
	for id := mail.ID(100_000); id < 105_000; id++ {
		ids = append(ids, id)
	}
	insert(k, ids[0], "a")
	var senders []string
	for i := range 1000 {
		senders = append(senders, fmt.Sprintf("%030d@a.example", i))
	}
	if out, err := k.Hold(sel(t, selection.Terms{Sender: senders}), ann, "long", time.Time{}); !errors.Is(err, kernel.ErrLong) || l.n != 0 {
		t.Errorf("Hold = %+v, %v", out, err)
	}
	out, err := k.Hold(sel(t, selection.Terms{IDs: ids}), ann, "many", time.Time{})
	if stood := l.standing(fmt.Sprint("hold ", out.Act)); err != nil || out.Rows != 1 || len(stood) > 50<<10 {
		t.Fatalf("Hold = %+v, %v, %d bytes stand", out, err, len(stood))
	}
	again := again(t, l, newScripted(relayAll), map[mail.ID]string{ids[0]: "a"})
	if m, _ := again.Message(ids[0]); m.Recipients[0].Status != queue.Held || m.Recipients[0].Hold != "many" {
		t.Errorf("after a restart: %+v", m.Recipients)
	}
}

// Who looks what an act would do keeps nobody from transferring it.
func TestDryRunHasNothingInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newScripted(relayAll)
		filled(t, m, func(k *kernel.Kernel) { insert(k, 1, "a") }, func(k *kernel.Kernel, _ *memLedger) {
			where := func(context.Context, mail.Address) (queue.Key, mail.Address, error) {
				time.Sleep(time.Second) // as a Router that has to ask somebody
				if m.done(2) != 1 {
					t.Error("message 2 waits for a dry run")
				}
				return queue.Key{Module: "SMTP", Queue: "b"}, mail.Address{}, nil
			}
			insert(k, 2, "a")
			if _, err := k.Reroute(t.Context(), sel(t, selection.Terms{All: true}), kernel.Order{Dry: true}, where); err != nil {
				t.Error(err)
			}
		})
	})
}

// What goes into the trash and out of it is no failure in the log, and says who did it.
func TestLogOfTheTrash(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.Level(-100)}))
	k := kernel.New(&memLedger{}, plan, kernel.Logs{Queue: log, Dequeuer: log}, newScripted(relayAll))
	insert(k, 1, "a", "a")
	for _, f := range []func() (kernel.Outcome, error){
		func() (kernel.Outcome, error) { return k.Reject(sel(t, queues("a")), ann, "why\nnot", false) },
		func() (kernel.Outcome, error) { return k.Undo(ann, 1) },
		func() (kernel.Outcome, error) { return k.Reject(sel(t, queues("a")), ann, "", false) },
		func() (kernel.Outcome, error) { return k.Purge(kernel.Order{}, 3) },
	} {
		if out, err := f(); err != nil || out.Rows != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	for _, want := range []string{"moved to the trash by ann in act 1: why\\nnot", "restored from the trash by ann", "moved to the trash by ann in act 3",
		"purged from the trash"} {
		if n := strings.Count(b.String(), "SMTP(a)r0@b.example "+want) + strings.Count(b.String(), "SMTP(a)<> "+want); n == 0 {
			t.Errorf("no line with %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "failed:") {
		t.Errorf("a failure in\n%s", b.String())
	}
}
