package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/journal"
	"cgq/pkg/spool"
)

const (
	checkpointWriters = 16
	phase             = 2 * time.Second
)

// syncerCounts are the files that a checkpoint syncs at the same time: the default, and
// a few.
var syncerCounts = []int{64, 8}

// checkpoint is the part in which one checkpoint runs while everybody writes.
func checkpoint(*bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "checkpoint", About: fmt.Sprintf("from Draft until durable, 4 KiB, %d writers as fast as they can, all of it stays; one checkpoint frees one segment", checkpointWriters),
		Columns: rig.Columns("%.2f p50 ms", "%.2f p99 ms", "%.1f worst ms", "%.0f messages/s", "%.2f seconds", "%.0f files")}
	return t, func(ctx context.Context, b *bench, t *rig.Table) error {
		return b.eachRound(ctx, t, func() error {
			for _, n := range syncerCounts {
				if err := b.oneCheckpoint(ctx, t, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// oneCheckpoint measures before, during and after one checkpoint of a new spool.
func (b *bench) oneCheckpoint(ctx context.Context, t *rig.Table, syncers int) (err error) {
	dir, remove, err := b.dir()
	if err != nil {
		return err
	}
	defer remove()
	// So much room that nothing but the one checkpoint is ever due.
	o := spool.Options{Journal: journal.Options{Segments: 96}, Age: time.Hour, Memory: 4 << 30, Syncers: syncers}
	k, err := openSpool(dir, o, 4<<10)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.done()) }()
	return b.profiled("checkpoint", func() error {
		stop := rig.Flood(ctx, checkpointWriters, func(int) error {
			_, err := k.accept(ctx, "dst.test")
			return err
		})
		rig.Pause(ctx, phase/2) // to get going
		start := time.Now()
		rig.Pause(ctx, phase)
		files, from := k.fs.creates.Load(), time.Now()
		failed := k.Checkpoint()
		to := time.Now()
		files = k.fs.creates.Load() - files
		rig.Pause(ctx, phase)
		end := time.Now()
		all, err := stop()
		if err := errors.Join(failed, err, context.Cause(ctx)); err != nil {
			return err
		}
		addPhase(t, syncers, "before", all, start, from, 0)
		addPhase(t, syncers, "during", all, from, to, float64(files))
		addPhase(t, syncers, "after", all, to, end, 0)
		return nil
	})
}

// addPhase files the acceptances that ended between from and to: a reply that a
// checkpoint has held up counts for the checkpoint if it comes before that is over.
func addPhase(t *rig.Table, syncers int, phase string, all []rig.Span, from, to time.Time, files float64) {
	took := rig.Between(all, from, to)
	seconds := to.Sub(from).Seconds()
	t.Add(fmt.Sprintf("syncers: %d, %s", syncers, phase), rig.Milliseconds(rig.Percentile(took, 50)), rig.Milliseconds(rig.Percentile(took, 99)), rig.Milliseconds(rig.Percentile(took, 100)),
		float64(len(took))/seconds, seconds, files)
}
