package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

const (
	actMessages = 100_000
	actPiece    = 20_000

	oneAct  = "100,000 messages, one act"
	inParts = "100,000 messages, acts of 20,000"
)

// act is the part in which a person acts on many messages.
func act(*bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "act", About: "a release of 100,000 messages, from the call of Act until it is durable",
		Columns: rig.Columns("%.2f seconds", "%.0f flushes")}
	t.Most(oneAct, "seconds", 1)
	return t, func(ctx context.Context, b *bench, t *rig.Table) (err error) {
		dir, remove, err := b.dir()
		if err != nil {
			return err
		}
		defer remove()
		// All is young, or filling the spool would take the time of 100,000 files.
		k, err := openSpool(dir, spool.Options{Journal: journal.Options{Segments: 40}, Age: time.Hour, Memory: 1 << 30}, 1<<10)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, k.done()) }()
		ids := make([]mail.ID, actMessages)
		_, err = rig.Crowd(ctx, 64, rig.UpTo(actMessages), func(n int) (err error) {
			ids[n], err = k.accept(ctx, "dst.test")
			return err
		})
		if err != nil {
			return err
		}
		slices.Sort(ids) // a selection comes by id
		return b.eachRound(ctx, t, func() error { return actRound(t, k, ids) })
	}
}

func actRound(t *rig.Table, k *kept, ids []mail.ID) error {
	for _, c := range []struct {
		name string
		size int
	}{{oneAct, actMessages}, {inParts, actPiece}} {
		flushes, begin := k.fs.syncs.Load(), time.Now()
		err := release(k, ids, c.size)
		if errors.Is(err, spool.ErrFact) {
			t.Note(c.name, "refused: "+err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		t.Add(c.name, time.Since(begin).Seconds(), float64(k.fs.syncs.Load()-flushes))
	}
	return nil
}

// release frees all messages, so many with one act.
func release(k *kept, ids []mail.ID, size int) error {
	now := time.Now()
	for some := range slices.Chunk(ids, size) {
		changes := make([]fact.Change, len(some))
		for i, id := range some {
			changes[i] = fact.Change{ID: id, Fact: fact.Freed{At: now, By: "bench"}}
		}
		n, err := k.Act(changes, nil)
		if err != nil {
			return err
		}
		if err := k.Wait(n); err != nil {
			return err
		}
	}
	return nil
}
