package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/kernel"
	"cgq/pkg/queue"
	"cgq/pkg/spool"
)

const (
	liveWaiting = "live heap, all wait with their host queues"
	resident    = "cgqd, resident at rest"
	residentTop = "cgqd, resident at most since its start"
)

// liveFailed is the stock as it is.
var liveFailed = fmt.Sprintf("live heap, %d of 10 have an error of their own", 10-released)

// memory is the part in which what a waiting message takes is measured. The daemon does
// not say what of its heap is alive; spool and kernel do, in this process, over the same
// directory.
func memory(b *bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "memory", About: "what a message takes in memory: spool and kernel alone, in this process; then cgqd",
		Columns: rig.Columns("%.0f B/message", "%.0f MiB")}
	for _, name := range []string{liveWaiting, liveFailed} {
		t.Most(name, "B/message", 400)
	}
	file := func(name string, bytes int64) {
		t.Add(name, float64(bytes)/float64(b.stock.messages), float64(bytes)/(1<<20))
	}
	return t, func(ctx context.Context, t *rig.Table) error {
		err := t.Rounds(ctx, b.rounds, func() error {
			for _, name := range []string{liveWaiting, liveFailed} {
				bytes, err := b.heap(ctx, name == liveFailed)
				if err != nil {
					return err
				}
				file(name, bytes)
			}
			return nil
		})
		debug.FreeOSMemory() // the daemon is to have it
		if err := errors.Join(err, b.running(ctx)); err != nil {
			return err
		}
		peak, now, err := b.process.Memory()
		if err != nil {
			return err
		}
		file(residentTop, peak)
		file(resident, now)
		return nil
	}
}

// heap is how many bytes are alive when the spool and the kernel have the whole Queue.
// Without errors, the messages have been routed, and nothing else has happened to them.
func (b *bench) heap(ctx context.Context, withErrors bool) (bytes int64, err error) {
	before := alive()
	fs, err := disk.OpenOS(b.base)
	if err != nil {
		return 0, err
	}
	defer fs.Close()
	s, found, err := spool.Open(fs, "Queue", spool.Options{Journal: journal.Options{Segments: 16}}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	k := kernel.New(s, plan, kernel.Logs{Queue: slog.New(slog.DiscardHandler), Dequeuer: slog.New(slog.DiscardHandler)})
	var broken []error
	restore := func(all []spool.Found, damage []error) {
		broken = append(broken, damage...)
		for _, m := range all {
			facts := m.Facts
			if !withErrors {
				facts = facts[:1] // Routed
			}
			k.Restore(queue.Message{ID: m.ID, Envelope: m.Envelope, Subject: m.Subject, Size: m.Size, Repeated: true}, facts, routes(facts), nil)
		}
	}
	restore(found.Messages, found.Damage)
	found = nil
	if err := errors.Join(s.Index(ctx, restore), errors.Join(broken...)); err != nil {
		return 0, err
	}
	bytes = alive() - before
	if k.Len() != b.stock.messages {
		return 0, fmt.Errorf("the kernel has %d messages, not %d", k.Len(), b.stock.messages)
	}
	return bytes, nil
}

func plan(string) kernel.Plan {
	return kernel.Plan{Retry: []time.Duration{longest}}
}

// routes are the ways that the Router of a start would say anew.
func routes(facts []fact.Fact) (all []fact.Routed) {
	for _, f := range facts {
		if r, ok := f.(fact.Routed); ok {
			all = append(all, r)
		}
	}
	return all
}

// alive is how many bytes of the heap somebody can still reach. What one collection finds
// unreachable may be kept by a finalizer until the next.
func alive() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
