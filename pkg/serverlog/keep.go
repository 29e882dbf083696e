package serverlog

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cgq/pkg/disk"
)

// Keep says which files of old days stay. They are removed at the start, when a new
// day's file begins, and while a log with a Size grows.
type Keep struct {
	Age  time.Duration // a file goes when its last line is older; 0: at any age
	Size int64         // bytes of all files; the oldest go first, today's never; 0: any number
}

// SetKeep sets what stays, from now on.
func (l *Log) SetKeep(k Keep) {
	l.out.keep(k)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		signal(l.wake)
		signal(l.hurry)
	}
}

// A keeper removes old files beside the writer, who waits for none of it.
type keeper struct {
	now   atomic.Pointer[Keep]
	due   atomic.Bool   // the files are to be looked at
	grown int64         // bytes written since they were; the writer's, as all below
	busy  chan struct{} // closed when nobody looks any more; nil: nobody ever has
}

func (o *output) keep(k Keep) {
	if old := o.keeper.now.Swap(&k); old == nil || *old != k {
		o.keeper.due.Store(true)
	}
}

// tidy has somebody look at the files, if they are due.
func (o *output) tidy() {
	k := *o.keeper.now.Load()
	if k.Size > 0 && o.keeper.grown > k.Size/8 {
		o.keeper.due.Store(true)
	}
	if o.keeper.looks() || !o.keeper.due.Swap(false) {
		return
	}
	o.keeper.grown = 0
	if k == (Keep{}) {
		return
	}
	busy, today := make(chan struct{}), o.day
	o.keeper.busy = busy
	go func() {
		defer close(busy)
		if err := k.apply(o.fs, o.dir, today, time.Now()); err != nil && o.complain != nil {
			o.complain(fmt.Errorf("old files of %s are not all removed: %w", o.dir, err))
		}
	}()
}

func (k *keeper) looks() bool {
	if k.busy == nil {
		return false
	}
	select {
	case <-k.busy:
		return false
	default:
		return true
	}
}

func (k *keeper) wait() {
	if k.busy != nil {
		<-k.busy
	}
}

// apply removes what does not stay. What has the name of a day and is no regular file stays.
func (k Keep) apply(fsys disk.FS, dir, today string, now time.Time) error {
	days, err := daysIn(fsys, dir, today)
	if err != nil {
		return err
	}
	first := "" // the oldest day that stays
	if k.Age > 0 {
		first = now.Add(-k.Age).Local().Format(dayLayout)
	}
	var sum int64
	var errs []error
	for _, day := range slices.Backward(days) {
		name := path.Join(dir, day+suffix)
		size, err := length(fsys, name)
		if err != nil {
			continue // not ours, or it has gone
		}
		sum += size
		if day != today && (day < first || k.Size > 0 && sum > k.Size) {
			errs = append(errs, fsys.Remove(name))
		}
	}
	return errors.Join(errs...)
}

func length(fsys disk.FS, name string) (int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// daysIn returns the days up to last that have a file, the oldest first. Later ones
// were written under a wrong clock.
func daysIn(fsys disk.FS, dir, last string) ([]string, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var days []string
	for _, name := range names {
		day, ok := strings.CutSuffix(name, suffix)
		if _, err := time.Parse(dayLayout, day); ok && err == nil && day <= last {
			days = append(days, day)
		}
	}
	return days, nil // in order: List sorts, and these names sort by date
}
