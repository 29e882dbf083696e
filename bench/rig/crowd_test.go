package rig

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestBetweenCountsByTheEnd(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	all := []Span{{at(1), at(4)}, {at(2), at(3)}, {at(4), at(6)}, {at(4), at(5)}}
	if got := Between(all, at(3), at(5)); !slices.Equal(got, []time.Duration{time.Second, 3 * time.Second}) {
		t.Errorf("between 3 and 5: %v, want those that ended at 4 and 5, sorted", got)
	}
}

func TestCrowd(t *testing.T) {
	var seen [100]bool
	got, err := Crowd(t.Context(), 7, UpTo(100), func(n int) error {
		seen[n] = true
		return nil
	})
	if err != nil || len(got.Took) != 100 || slices.Contains(seen[:], false) {
		t.Errorf("crowd: %d calls, %v, %v; want each number once", len(got.Took), err, seen)
	}
	fault := errors.New("the disk is full")
	if _, err := Crowd(t.Context(), 3, UpTo(1000), func(int) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("crowd that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := Crowd(ctx, 3, UpTo(1000), func(int) error { return nil }); len(got.Took) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("crowd of an ended context: %d calls, %v", len(got.Took), err)
	}
}

func TestFlood(t *testing.T) {
	fault := errors.New("refused")
	n := 0
	stop := Flood(t.Context(), 2, func(writer int) error {
		if writer == 1 {
			return fault
		}
		n++ // by this writer alone
		return nil
	})
	Pause(t.Context(), 10*time.Millisecond)
	if got, err := stop(); len(got) == 0 || len(got) != n || !errors.Is(err, fault) {
		t.Errorf("%d of %d spans, %v; want all of the writer who could, and why the other could not", len(got), n, err)
	}
}
