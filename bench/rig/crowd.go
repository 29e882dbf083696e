package rig

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Tally is what many have done at the same time.
type Tally struct {
	Elapsed time.Duration
	Took    []time.Duration // each call, in no order
}

// Rate is in calls a second.
func (t Tally) Rate() float64 { return float64(len(t.Took)) / t.Elapsed.Seconds() }

// P99 is in milliseconds.
func (t Tally) P99() float64 { return Milliseconds(Percentile(t.Took, 99)) }

// Milliseconds is d as a figure.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Crowd lets so many writers work at the same time, each as often as more says that
// there is something to do, with the number of the call from 0. The first error ends it.
func Crowd(ctx context.Context, writers int, more func(n int) bool, work func(n int) error) (t Tally, err error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Bool
	took, errs := make([][]time.Duration, writers), make([]error, writers)
	begin := time.Now()
	for w := range writers {
		wg.Go(func() {
			for !failed.Load() && ctx.Err() == nil {
				n := int(next.Add(1) - 1)
				if !more(n) {
					return
				}
				start := time.Now()
				if errs[w] = work(n); errs[w] != nil {
					failed.Store(true)
					return
				}
				took[w] = append(took[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	t.Elapsed = time.Since(begin)
	for _, all := range took {
		t.Took = append(t.Took, all...)
	}
	return t, errors.Join(append(errs, context.Cause(ctx))...)
}

// Until says that there is more to do until then.
func Until(then time.Time) func(int) bool {
	return func(int) bool { return time.Now().Before(then) }
}

// UpTo says that there is more to do until so many are done.
func UpTo(all int) func(int) bool {
	return func(n int) bool { return n < all }
}

// A Span is when something was under way.
type Span struct{ Begin, End time.Time }

// Flood lets so many writers work as fast as they can, until stop is called, which returns
// when each piece of work was done. Work has the number of its writer; the first error of
// one ends him.
func Flood(ctx context.Context, writers int, work func(writer int) error) (stop func() ([]Span, error)) {
	working, cancel := context.WithCancel(ctx)
	all, errs := make([][]Span, writers), make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for working.Err() == nil && errs[w] == nil {
				begin := time.Now()
				if errs[w] = work(w); errs[w] == nil {
					all[w] = append(all[w], Span{begin, time.Now()})
				}
			}
		})
	}
	return func() ([]Span, error) {
		cancel()
		wg.Wait()
		return slices.Concat(all...), errors.Join(errs...)
	}
}

// Between is how long those took that ended after from and until to, sorted: what
// something has held up counts for it if it ends before that is over.
func Between(all []Span, from, to time.Time) (took []time.Duration) {
	for _, s := range all {
		if s.End.After(from) && !s.End.After(to) {
			took = append(took, s.End.Sub(s.Begin))
		}
	}
	slices.Sort(took)
	return took
}

// Pause returns after d, or when ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
