package kernel_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/spool"
)

// A life is a kernel over a spool, until the power fails.
type life struct {
	kernel *kernel.Kernel
	spool  *spool.Spool
}

func begin(t *testing.T, d *crashdisk.Disk) *life {
	t.Helper()
	o := spool.Options{Journal: journal.Options{SegmentSize: 256 << 10, Segments: 4}}
	s, rec, err := spool.Open(d, "Queue", o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := &life{kernel.New(s, plan, discard(), newScripted(relayAll)), s}
	l.kernel.RestoreStanding(s.Standing(), time.Now())
	resume := func(found []spool.Found, damage []error) {
		for _, err := range damage {
			t.Errorf("damage: %v", err)
		}
		for _, f := range found {
			today := map[int]fact.Routed{} // the Router has not changed its mind
			for _, v := range f.Facts {
				switch v := v.(type) {
				case fact.Routed:
					today[v.Rcpt] = v
				case fact.Rerouted:
					today[v.Rcpt] = fact.Routed{Rcpt: v.Rcpt, Module: v.Module, Queue: v.Queue, Address: v.Address}
				}
			}
			done := map[int]bool{}
			for _, v := range f.Facts {
				switch v := v.(type) {
				case fact.Rejected:
					done[v.Rcpt] = true
				case fact.Undone:
					delete(done, v.Rcpt)
				}
			}
			var routes []fact.Routed
			for _, i := range slices.Sorted(maps.Keys(today)) {
				if !done[i] {
					routes = append(routes, today[i])
				}
			}
			l.kernel.Restore(queue.Message{ID: f.ID, Envelope: f.Envelope, Subject: f.Subject, Size: f.Size, Hold: f.Hold}, f.Facts, routes, nil)
		}
	}
	resume(rec.Messages, rec.Damage)
	if err := s.Index(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	return l
}

// state is all that a person sees of the queue, but for the numbers of acts: one that changes
// nothing is nowhere written, and a later one may have its number.
func (l *life) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for m, err := range l.kernel.Messages(nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Recipients {
			fmt.Fprintf(&b, "%d/%d %v %v attempts %d error %q hold %q\n", m.ID, r.Index, r.Key, r.Status, r.Attempts, r.LastError.Text, r.Hold)
		}
	}
	for h := range l.kernel.Holds() {
		fmt.Fprintf(&b, "hold %q by %s has %d of %s\n", h.Reason, h.By, h.Recipients, h.Where)
	}
	for _, v := range l.kernel.Trash() {
		fmt.Fprintf(&b, "trash by %s: %d in %d, %q\n", v.By, v.Recipients, v.Messages, v.Text)
	}
	for v, err := range l.kernel.Hosts(nil) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "queue %v: delayed %v, attempts %d, error %q\n", v.Key, !v.Until.IsZero(), v.Attempts, v.LastError.Text)
	}
	return b.String()
}

// fill puts messages with two recipients into three host queues, one of which is delayed;
// some have failed before.
func (l *life) fill(t *testing.T) {
	t.Helper()
	for i := range 12 {
		e := envelope(2)
		e.Source = mail.SMTP
		d, err := l.spool.Draft(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write([]byte("Subject: x\n\ntext\n")); err != nil {
			t.Fatal(err)
		}
		a := mail.Address{Local: "r", Domain: "b.example"}
		facts := []fact.Fact{fact.Routed{Rcpt: 0, Module: "SMTP", Queue: fmt.Sprint("q", i%3), Address: a},
			fact.Routed{Rcpt: 1, Module: "SMTP", Queue: "q0", Address: a}}
		if i%4 == 1 {
			facts = append(facts, fact.Tried{Rcpt: 0, At: time.Now(), Attempts: 2, Until: time.Now().Add(5 * time.Minute),
				Result: mail.Result{Text: "mailbox busy"}})
		}
		n, err := d.Commit(t.Context(), journal.Intake, nil, facts...)
		if err == nil {
			err = l.spool.Wait(n)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.kernel.Insert(queue.Message{ID: d.ID, Envelope: e, Subject: "x", Size: 16}, facts...)
	}
	delay := fact.Delay{Module: "SMTP", Queue: "q1", At: time.Now(), Attempts: 3, Until: time.Now().Add(20 * time.Minute),
		Result: mail.Result{Text: "no route to host"}}
	n, err := l.spool.Act(nil, []spool.Standing{{Key: "delay SMTP q1", Value: string(fact.AppendDelay(nil, delay))}})
	if err == nil {
		err = l.spool.Wait(n)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.kernel.RestoreStanding(l.spool.Standing(), time.Now())
}

// One of the acts of people, or a checkpoint.
func (l *life) act(t *testing.T, rng *rand.Rand) (what string, err error) {
	terms := []selection.Terms{queues("q0"), queues("q1", "q2"), {All: true}, {State: []string{"suspended"}}, {Recipient: []string{"r1@*"}, Limit: 3}}
	chosen := sel(t, terms[rng.IntN(len(terms))])
	switch rng.IntN(9) {
	case 0:
		what = "drop"
		_, err = l.kernel.Reject(chosen, ann, "", false)
	case 1:
		what = "reject"
		_, err = l.kernel.Reject(chosen, ann, "closed", true)
	case 2:
		what = "release"
		_, err = l.kernel.Release(chosen, ann, kernel.Pace{})
	case 3:
		what = "hold"
		_, err = l.kernel.Hold(chosen, ann, "because", time.Time{})
	case 4:
		what = "unhold"
		next, stop := iter.Pull(l.kernel.Holds())
		defer stop()
		if h, ok := next(); ok {
			_, err = l.kernel.Unhold(h.Name, false)
		}
	case 5:
		what = "reroute"
		_, err = l.kernel.Reroute(t.Context(), chosen, ann, elsewhere)
	case 6, 7:
		what = "undo"
		if batches := l.kernel.Trash(); len(batches) > 0 {
			_, err = l.kernel.Undo(ann, batches[rng.IntN(len(batches))].Act)
		}
	case 8:
		what = "checkpoint"
		err = l.spool.Checkpoint()
	}
	return what + " " + chosen.String(), err
}

// elsewhere is a Router that sends half of all somewhere else.
func elsewhere(_ context.Context, a mail.Address) (queue.Key, mail.Address, error) {
	if a.Local == "r1" {
		return queue.Key{Module: "SMTP", Queue: "q2"}, a, nil
	}
	return queue.Key{Module: "SMTP", Queue: "q0"}, mail.Address{Local: "r", Domain: "b.example"}, nil
}

// did is a life in which the power never fails, after some acts.
func did(t *testing.T, acts []uint64) (l *life, last string) {
	t.Helper()
	l = begin(t, crashdisk.New(-1))
	l.fill(t)
	for _, seed := range acts {
		var err error
		if last, err = l.act(t, rand.New(rand.NewPCG(seed, 8))); err != nil {
			t.Fatalf("%s: %v", last, err)
		}
	}
	return l, last
}

// Whenever the power fails, each act is there as a whole afterwards or not at all, and
// there if it was told; with it everything before: holds, attempts, last errors, delays,
// the trash.
func TestActsSurvive(t *testing.T) {
	whole, none := 0, 0
	for seed := range uint64(120) {
		rng := rand.New(rand.NewPCG(seed, 7))
		d := crashdisk.New(-1)
		l := begin(t, d)
		l.fill(t)
		if rng.IntN(2) == 0 {
			if err := l.spool.Empty(); err != nil {
				t.Fatal(err)
			}
		}
		var acts []uint64
		for range 5 {
			act := rng.Uint64()
			before, twinBefore := l.state(t), acts
			twin, what := did(t, append(slices.Clone(acts), act))
			after := twin.state(t)
			if rng.IntN(2) == 0 {
				d.PowerFor(rng.IntN(5))
			}
			_, told := l.act(t, rand.New(rand.NewPCG(act, 8)))
			l.spool.Close() // its error is that of the power
			d = d.Restart(rng)
			l = begin(t, d)
			switch got := l.state(t); {
			case got == after:
				acts, whole = append(slices.Clone(acts), act), whole+1
			case told != nil && got == before:
				acts, none = twinBefore, none+1
			default:
				t.Fatalf("seed %d: %s, told %v: there is\n%swant\n%sor, if it was not told,\n%s", seed, what, told, got, after, before)
			}
			twin.spool.Close()
		}
		if err := l.spool.Close(); err != nil {
			t.Error(err)
		}
	}
	if whole < 100 || none < 20 {
		t.Errorf("%d acts were there afterwards, %d were not: the test tests little", whole, none)
	}
}
