package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"time"

	"cgq/bench/rig"
	"cgq/bench/ring"
	"cgq/pkg/disk"
	"cgq/pkg/journal"
)

// journalSegments are as many as cgqd has by default, 256 MiB.
const journalSegments = 16

// A store makes payloads durable; many use it at the same time.
type store struct {
	name  string
	put   func(payload []byte) error // returns when that survives power loss
	syncs func() int64               // how often it has flushed the disk
	tidy  func() error               // between measurements
	close func() error
}

var (
	payloads    = []int{4 << 10, 64 << 10}
	writerCount = []int{1, 16, 64}
)

func commitCase(payload, writers int, store string) string {
	return fmt.Sprintf("%d KiB, writers: %d, %s", payload>>10, writers, store)
}

// commits is the part in which payloads are made durable.
func commits(*bench) (*rig.Table, measurement) {
	t := &rig.Table{Name: "commits", About: "one payload durable: the bare log, pkg/journal, a file for each",
		Columns: rig.Columns("%.0f commits/s", "%.2f of the bare log", "%.2f p99 ms", "%.3f flushes/commit")}
	for _, payload := range payloads {
		for _, n := range writerCount {
			t.Least(commitCase(payload, n, "journal"), "of the bare log", 0.8)
		}
		t.Most(commitCase(payload, 64, "journal"), "flushes/commit", 0.1)
	}
	return t, func(ctx context.Context, b *bench, t *rig.Table) error {
		dir, remove, err := b.dir()
		if err != nil {
			return err
		}
		defer remove()
		stores, err := openStores(dir, journalSegments)
		if err != nil {
			return err
		}
		defer func() {
			for _, s := range stores {
				err = errors.Join(err, s.close())
			}
		}()
		return b.eachRound(ctx, t, func() error { return b.commitRound(ctx, t, stores) })
	}
}

// turns is how often the stores take turns within a measurement, so that whatever the
// machine does meanwhile meets all of them.
const turns = 8

func (b *bench) commitRound(ctx context.Context, t *rig.Table, stores []*store) error {
	for _, size := range payloads {
		for _, n := range writerCount {
			if err := b.commitTurns(ctx, t, stores, size, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// commitTurns measures payloads of one size by so many writers.
func (b *bench) commitTurns(ctx context.Context, t *rig.Table, stores []*store, size, writers int) error {
	payload := make([]byte, size)
	turn := time.Duration(b.seconds * float64(time.Second) / turns)
	done, flushes := make([]rig.Tally, len(stores)), make([]int64, len(stores))
	for range turns {
		for i, s := range stores {
			before := s.syncs()
			got, err := rig.Crowd(ctx, writers, rig.Until(time.Now().Add(turn)), func(int) error { return s.put(payload) })
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			flushes[i] += s.syncs() - before
			done[i].Elapsed += got.Elapsed
			done[i].Took = append(done[i].Took, got.Took...)
		}
	}
	for i, s := range stores {
		t.Add(commitCase(size, writers, s.name), done[i].Rate(), rig.Ratio(done[i].Rate(), done[0].Rate()), done[i].P99(),
			float64(flushes[i])/float64(len(done[i].Took)))
		if err := s.tidy(); err != nil {
			return err
		}
	}
	return nil
}

// openStores opens all three, the bare log first; logs have so many segments of 16 MiB.
func openStores(dir string, segments int) (all []*store, err error) {
	for _, open := range []func(string, int) (*store, error){openRing, openJournal, openFiles} {
		s, err := open(dir, segments)
		if err != nil {
			for _, s := range all {
				err = errors.Join(err, s.close())
			}
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func nothing() error { return nil }

func openRing(dir string, segments int) (*store, error) {
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	r, err := ring.New(f, int64(segments)*16<<20)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &store{name: "bare log", put: r.Commit, syncs: func() int64 { return int64(r.Syncs()) },
		tidy: nothing, close: f.Close}, nil
}

// sub opens a new directory in dir, counted.
func sub(dir, name string) (fs *counted, close func() error, err error) {
	dir = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	real, err := disk.OpenOS(dir)
	if err != nil {
		return nil, nil, err
	}
	return &counted{FS: real}, real.Close, nil
}

func openJournal(dir string, segments int) (*store, error) {
	fs, closeFS, err := sub(dir, "journal")
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(fs, ".", journal.Options{Segments: segments})
	if err != nil {
		return nil, errors.Join(err, closeFS())
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- keepFree(j, stop) }()
	return &store{name: "journal", put: func(payload []byte) error { return put(j, payload) }, syncs: fs.syncs.Load, tidy: nothing,
		close: func() error {
			close(stop)
			return errors.Join(<-done, j.Close(), closeFS())
		}}, nil
}

// put books, appends and waits, as the spool does.
func put(j *journal.Journal, payload []byte) error {
	err := j.Book(journal.Intake, len(payload))
	for errors.Is(err, journal.ErrFull) { // keepFree is at it
		time.Sleep(time.Millisecond)
		err = j.Book(journal.Intake, len(payload))
	}
	if err != nil {
		return err
	}
	n, err := j.Append(1, 1, payload)
	if err != nil {
		return err
	}
	return j.Wait(n)
}

// keepFree frees the oldest segment while the journal is half full, as checkpoints do.
func keepFree(j *journal.Journal, stop <-chan struct{}) error {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		for _, part := j.Fill(); part > 0.5; _, part = j.Fill() {
			n := j.Oldest()
			if n == 0 {
				break
			}
			if err := errors.Join(j.Wait(n), j.Free(n)); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		case <-t.C:
		}
	}
}

// openFiles is a file and a sync for each payload, in 100 folders.
func openFiles(dir string, _ int) (*store, error) {
	fs, closeFS, err := sub(dir, "files")
	if err != nil {
		return nil, err
	}
	for nn := range 100 {
		if err := fs.Mkdir(fmt.Sprintf("%02d", nn)); err != nil {
			return nil, errors.Join(err, closeFS())
		}
	}
	var made, kept atomic.Int64
	name := func(n int64) string { return path.Join(fmt.Sprintf("%02d", n%100), fmt.Sprintf("%d.msg", n)) }
	put := func(payload []byte) error {
		f, err := fs.Create(name(made.Add(1)))
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(payload, 0); err != nil {
			return errors.Join(err, f.Close())
		}
		return errors.Join(f.Datasync(), f.Close())
	}
	tidy := func() error {
		for n := kept.Load(); n < made.Load(); n++ {
			if err := fs.Remove(name(n + 1)); err != nil {
				return err
			}
		}
		kept.Store(made.Load())
		return nil
	}
	return &store{name: "a file each", put: put, syncs: fs.syncs.Load, tidy: tidy, close: closeFS}, nil
}
