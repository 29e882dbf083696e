package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"cgq/bench/rig"
	"cgq/bench/ring"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

const (
	cpuMessages = 20_000
	cpuWriters  = 16
	cpuText     = 4 << 10

	withoutFile = "from Draft to Gone, without a file"
	withFile    = "with a file: checkpoint, then Gone"
	bareLog     = "the bare log, Commit alone"
)

// cpuOfSpool is the part in which the processor time of a message is counted.
func cpuOfSpool(*bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "cpu", About: "processor time of the process for a message of 4 KiB, 16 writers",
		Columns: rig.Columns("%.1f µs/message", "%.1f user", "%.1f system", "%.0f messages/s", "%.3f files/message", "%.3f flushes/message")}
	t.Most(withoutFile, "µs/message", 25)
	t.Most(withFile, "µs/message", 100)
	return t, func(ctx context.Context, b *bench, t *rig.Table) error {
		return b.eachRound(ctx, t, func() error {
			return errors.Join(b.cpuOfRing(ctx, t), b.cpuOf(ctx, t, withoutFile, "cpu-without-file", passThrough),
				b.cpuOf(ctx, t, withFile, "cpu-with-file", waitInFiles))
		})
	}
}

// cpuOf measures what work takes for all messages, in a new spool with the defaults.
func (b *bench) cpuOf(ctx context.Context, t *rig.Table, name, profile string, work func(context.Context, *kept) error) (err error) {
	dir, remove, err := b.dir()
	if err != nil {
		return err
	}
	defer remove()
	k, err := openSpool(dir, ofDaemon(), cpuText)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.done()) }()
	return b.profiled(profile, func() error {
		return measureCPU(t, name, k.fs.syncs.Load, k.fs.creates.Load, func() error { return work(ctx, k) })
	})
}

// measureCPU files what work takes for all messages.
func measureCPU(t *rig.Table, name string, syncs, creates func() int64, work func() error) error {
	runtime.GC()
	flushes, files := syncs(), creates()
	begin := time.Now()
	before, err := usedNow()
	if err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	after, err := usedNow()
	if err != nil {
		return err
	}
	user, system := microseconds(after.user-before.user)/cpuMessages, microseconds(after.system-before.system)/cpuMessages
	t.Add(name, user+system, user, system, cpuMessages/time.Since(begin).Seconds(),
		float64(creates()-files)/cpuMessages, float64(syncs()-flushes)/cpuMessages)
	return nil
}

// passThrough is mail that leaves at once, as most does. Few messages happen to be there
// when a checkpoint comes.
func passThrough(ctx context.Context, k *kept) error {
	defer k.running(ctx)()
	var last atomic.Uint64
	_, err := rig.Crowd(ctx, cpuWriters, rig.UpTo(cpuMessages), func(int) error {
		id, err := k.accept(ctx, "dst.test")
		if err != nil {
			return err
		}
		n, err := k.leave(id)
		last.Store(uint64(n))
		return err
	})
	return errors.Join(err, k.Wait(spool.Number(last.Load())))
}

// waitInFiles is mail that has to wait: all of it gets a file before it leaves.
func waitInFiles(ctx context.Context, k *kept) error {
	ids := make([]mail.ID, cpuMessages)
	_, err := rig.Crowd(ctx, cpuWriters, rig.UpTo(cpuMessages), func(n int) (err error) {
		ids[n], err = k.accept(ctx, "dst.test")
		return err
	})
	if err := errors.Join(err, k.Empty()); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := k.leave(id); err != nil {
			return err
		}
	}
	return k.Empty()
}

// cpuOfRing is the part of it that no spool can save.
func (b *bench) cpuOfRing(ctx context.Context, t *rig.Table) error {
	dir, remove, err := b.dir()
	if err != nil {
		return err
	}
	defer remove()
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := ring.New(f, journalSegments*16<<20)
	if err != nil {
		return err
	}
	payload := letter(cpuText)
	syncs := func() int64 { return int64(r.Syncs()) }
	return measureCPU(t, bareLog, syncs, func() int64 { return 0 }, func() error {
		_, err := rig.Crowd(ctx, cpuWriters, rig.UpTo(cpuMessages), func(int) error { return r.Commit(payload) })
		return err
	})
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// used is the processor time of this process.
type used struct{ user, system time.Duration }

func usedNow() (u used, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return u, err
	}
	return used{time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())}, nil
}
