package kernel_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/spool"
)

// A counting ledger counts the frames of acts.
type counting struct {
	*spool.Spool
	acts int
}

func (c *counting) Act(changes []fact.Change, stands []spool.Standing) (journal.Number, error) {
	c.acts++
	return c.Spool.Act(changes, stands)
}

// SPOOL J4, L4: an act on 100,000 recipients, which no frame takes, is one act all the
// same: wherever the power fails, all of them are rejected afterwards or none, and all
// if it was told as done.
func TestActOnManyIsWhole(t *testing.T) {
	const messages, rcpts = 500, 200
	o := spool.Options{Journal: journal.Options{SegmentSize: 1 << 20}}
	start := func(d *crashdisk.Disk) (*spool.Spool, *spool.Recovery) {
		s, rec, err := spool.Open(d, "Queue", o, slog.New(slog.DiscardHandler))
		if err == nil {
			err = s.Index(t.Context(), func(found []spool.Found, damage []error) {
				rec.Messages, rec.Damage = append(rec.Messages, found...), append(rec.Damage, damage...)
			})
		}
		if err != nil || len(rec.Damage) > 0 {
			t.Fatalf("Open: %v, damage %.999v", err, rec)
		}
		return s, rec
	}
	full := crashdisk.New(-1)
	s, _ := start(full)
	var routed []fact.Fact
	for i := range rcpts {
		routed = append(routed, fact.Routed{Rcpt: i, Module: "SMTP", Queue: "q", Address: mail.Address{Local: "r", Domain: "q"}})
	}
	for range messages {
		e := envelope(rcpts)
		e.Source = mail.SMTP
		d, err := s.Draft(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Commit(context.Background(), journal.Intake, nil, routed...)
		if err := errors.Join(err, s.Empty()); err != nil { // or the journal becomes full
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for step, power := range []int{3, 5, -1} { // the name of the file, the frame
		rng := rand.New(rand.NewPCG(1, uint64(step)))
		d := full.Restart(rng)
		s, rec := start(d)
		l := &counting{Spool: s}
		k := kernel.New(l, plan, discard(), newScripted(relayAll))
		for _, m := range rec.Messages {
			k.Insert(queue.Message{ID: m.ID, Envelope: m.Envelope, Size: m.Size}, m.Facts...)
		}
		d.PowerFor(power)
		out, told := k.Reject(sel(t, selection.Terms{All: true}), kernel.Order{By: "root"}, "spam", true)
		if (told == nil) != (power < 0) || l.acts != 1 || told == nil && out.Rows != messages*rcpts {
			t.Errorf("power for %d steps: Reject = %+v, %v, as %d frames; want %d rows as one", power, out, told, l.acts, messages*rcpts)
		}
		if names, _ := d.List("Queue/acts"); told == nil && len(names) != 1 {
			t.Errorf("files of acts: %q, want one", names)
		}
		s.Close()
		s, rec = start(d.Restart(rng))
		s.Close()
		rejected := 0
		for _, m := range rec.Messages {
			for _, f := range m.Facts {
				if r, ok := f.(fact.Rejected); ok && r.By == "root" {
					rejected++
				}
			}
		}
		if rejected != messages*rcpts && (told == nil || rejected != 0) {
			t.Errorf("power for %d steps: %d rejected after a crash, of %d; it was told as %v", power, rejected, messages*rcpts, told)
		}
	}
}
