package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cgq/bench/rig"
)

// A tally is what many writers have done at the same time.
type tally struct {
	elapsed time.Duration
	took    []time.Duration // each call, in no order
}

func (t tally) rate() float64 { return float64(len(t.took)) / t.elapsed.Seconds() }

// p99 is in milliseconds.
func (t tally) p99() float64 { return milliseconds(rig.Percentile(t.took, 99)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// crowd lets so many writers work at the same time, each as often as more says that
// there is something to do, with the number of the call from 0. The first error ends it.
func crowd(ctx context.Context, writers int, more func(n int) bool, work func(n int) error) (t tally, err error) {
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
	t.elapsed = time.Since(begin)
	for _, all := range took {
		t.took = append(t.took, all...)
	}
	return t, errors.Join(append(errs, context.Cause(ctx))...)
}

// until says that there is more to do until then.
func until(then time.Time) func(int) bool {
	return func(int) bool { return time.Now().Before(then) }
}

// upTo says that there is more to do until n are done.
func upTo(all int) func(int) bool {
	return func(n int) bool { return n < all }
}

// used is the processor time of this process.
type used struct{ user, system time.Duration }

func usedNow() (u used, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return u, err
	}
	return used{time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())}, nil
}
