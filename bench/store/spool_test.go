package main

import (
	"slices"
	"testing"

	"cgq/bench/rig"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

func opened(t *testing.T) *kept {
	t.Helper()
	k, err := openSpool(t.TempDir(), spool.Options{Journal: journal.Options{Segments: 3}}, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.done(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestMessagesLeave(t *testing.T) {
	k := opened(t)
	for range 3 {
		id, err := k.accept(t.Context(), "dst.test")
		if err != nil {
			t.Fatal(err)
		}
		n, err := k.leave(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Wait(n); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.Load(); got.Messages != 0 || k.fs.syncs.Load() == 0 {
		t.Errorf("%d messages are left, %d syncs; want 0, some", got.Messages, k.fs.syncs.Load())
	}
}

func TestReleaseInPieces(t *testing.T) {
	k := opened(t)
	ids := make([]mail.ID, 10)
	for i := range ids {
		var err error
		if ids[i], err = k.accept(t.Context(), "dst.test"); err != nil {
			t.Fatal(err)
		}
	}
	before := k.fs.syncs.Load()
	if err := release(k, ids, 4); err != nil {
		t.Fatal(err)
	}
	if got := k.fs.syncs.Load() - before; got != 3 {
		t.Errorf("%d flushes for 10 messages in acts of 4, want 3", got)
	}
}

// Each store has flushed once for one payload, whatever else it does.
func TestStoresFlush(t *testing.T) {
	stores, err := openStores(t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stores {
		before := s.syncs()
		if err := s.put([]byte("one")); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if got := s.syncs() - before; got != 1 {
			t.Errorf("%s: %d flushes for a payload, want 1", s.name, got)
		}
		if err := s.tidy(); err != nil {
			t.Errorf("%s: tidy: %v", s.name, err)
		}
		if err := s.close(); err != nil {
			t.Errorf("%s: close: %v", s.name, err)
		}
	}
}

// However files are made and taken away, none is left, and the same lie there as before.
func TestForest(t *testing.T) {
	for _, folders := range []int{0, 10} {
		f, err := plant(t.TempDir(), folders, 1, nothing)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.grow(25); err != nil {
			t.Fatal(err)
		}
		before := listed(t, f)
		tab := &rig.Table{Columns: rig.Columns("%.0f a", "%.0f b", "%.0f c", "%.0f d")}
		if err := forestRound(t.Context(), tab, []*forest{f}); err != nil {
			t.Fatal(err)
		}
		if after := listed(t, f); len(before) != 25 || !slices.Equal(before, after) {
			t.Errorf("%d folders: %d files before, %d after; want 25, the same", folders, len(before), len(after))
		}
		if len(tab.Rows) != 2 {
			t.Errorf("%d folders: %d rows, want unlinked and recycled", folders, len(tab.Rows))
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
}

func listed(t *testing.T, f *forest) (all []string) {
	t.Helper()
	for _, d := range f.dirs() {
		names, err := f.fs.List(d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	return all
}
