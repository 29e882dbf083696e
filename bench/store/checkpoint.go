package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
func checkpoint(*bench) (*table, measurement) {
	t := &table{Name: "checkpoint", About: fmt.Sprintf("from Draft until durable, 4 KiB, %d writers as fast as they can, all of it stays; one checkpoint frees one segment", checkpointWriters),
		Columns: []column{{"p50 ms", 2}, {"p99 ms", 2}, {"worst ms", 1}, {"messages/s", 0}, {"seconds", 2}, {"files", 0}}}
	return t, func(ctx context.Context, b *bench, t *table) error {
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
func (b *bench) oneCheckpoint(ctx context.Context, t *table, syncers int) (err error) {
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
		stop := k.fullLoad(ctx)
		pause(ctx, phase/2) // to get going
		start := time.Now()
		pause(ctx, phase)
		files, from := k.fs.creates.Load(), time.Now()
		failed := k.Checkpoint()
		to := time.Now()
		files = k.fs.creates.Load() - files
		pause(ctx, phase)
		end := time.Now()
		all, err := stop()
		if err := errors.Join(failed, err, context.Cause(ctx)); err != nil {
			return err
		}
		t.addPhase(syncers, "before", all, start, from, 0)
		t.addPhase(syncers, "during", all, from, to, float64(files))
		t.addPhase(syncers, "after", all, to, end, 0)
		return nil
	})
}

// An acceptance is one message that has become durable.
type acceptance struct{ begin, end time.Time }

// fullLoad lets writers accept messages as fast as they can, until stop is called.
func (k *kept) fullLoad(ctx context.Context) (stop func() ([]acceptance, error)) {
	working, cancel := context.WithCancel(ctx)
	all := make([][]acceptance, checkpointWriters)
	errs := make([]error, checkpointWriters)
	var writers sync.WaitGroup
	for w := range checkpointWriters {
		writers.Go(func() {
			for working.Err() == nil && errs[w] == nil {
				begin := time.Now()
				_, errs[w] = k.accept(ctx, "dst.test")
				all[w] = append(all[w], acceptance{begin, time.Now()})
			}
		})
	}
	return func() ([]acceptance, error) {
		cancel()
		writers.Wait()
		return slices.Concat(all...), errors.Join(errs...)
	}
}

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// addPhase files the acceptances that ended between from and to: a reply that a
// checkpoint has held up counts for the checkpoint if it comes before that is over.
func (t *table) addPhase(syncers int, phase string, all []acceptance, from, to time.Time, files float64) {
	took := between(all, from, to)
	seconds := to.Sub(from).Seconds()
	t.add(fmt.Sprintf("syncers: %d, %s", syncers, phase), milliseconds(rig.Percentile(took, 50)), milliseconds(rig.Percentile(took, 99)), milliseconds(rig.Percentile(took, 100)),
		float64(len(took))/seconds, seconds, files)
}

// between is how long those took that ended after from and until to, sorted.
func between(all []acceptance, from, to time.Time) (took []time.Duration) {
	for _, a := range all {
		if a.end.After(from) && !a.end.After(to) {
			took = append(took, a.end.Sub(a.begin))
		}
	}
	slices.Sort(took)
	return took
}
