package submitted

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A directory is one that is watched. One goroutine scans it and claims files; as many as
// there are channels submit them.
type directory struct {
	mapping
	domain func() string
	opened func() (folder, error)
	watch  func(*hints) (stop func(), err error)
	counts counters
	log    *slog.Logger // tag PIPE, with the directory

	hints   *hints
	refused atomic.Bool // no mail is taken just now

	mu         sync.Mutex
	at         *handle
	broken     bool // a sync has failed: nothing is taken before the next start
	later      map[string]delay
	told       map[string]bool      // names of what is left alone, and the log has it
	complained map[string]time.Time // by what it is about
}

// A delay is of a file that is not ready.
type delay struct{ since, until time.Time }

// maxLater is how many files are remembered that are not ready, and how many that are left
// alone; of more the log may speak again.
const maxLater = 1000

// A claim is a file that is ours.
type claim struct {
	name  string // that it had
	taken string // that it has
	token string
	file  file
	is    info
	in    *handle
}

// A handle is a folder, and what syncs it. Another directory that is put in its place is
// another handle: what was claimed stays with the one that it was claimed in.
type handle struct {
	folder
	syncer *syncer
}

// open returns the directory that the path leads to.
func (d *directory) open() (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at != nil {
		if o, ok := d.at.folder.(interface{ stale() bool }); !ok || !o.stale() {
			return d.at, nil
		}
	}
	d.at = nil
	f, err := d.opened()
	if err != nil {
		return nil, err
	}
	d.at = &handle{f, newSyncer(f.Sync)}
	return d.at, nil
}

// sync makes the names durable; one sync serves many.
func (d *directory) sync(in *handle) error {
	err := in.syncer.Wait()
	if err != nil {
		d.breaks(err)
	}
	return err
}

// breaks ends the use of a directory whose names nobody can make durable (SPOOL F3).
func (d *directory) breaks(err error) {
	d.mu.Lock()
	first := !d.broken
	d.broken = true
	d.mu.Unlock()
	if first {
		d.log.Error("cannot be synced, nothing is taken from it until a restart: " + err.Error())
	}
}

func (d *directory) isBroken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken
}

// remove takes the name of a submitted file away, durably.
func (d *directory) remove(in *handle, name string) error {
	if err := in.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.sync(in)
}

// complain says what is so for many files, each thing once a minute at most.
func (d *directory) complain(about, text string) {
	d.mu.Lock()
	now := time.Now()
	last, said := d.complained[about]
	quiet := said && now.Sub(last) < rescan
	if !quiet {
		d.complained[about] = now
	}
	d.mu.Unlock()
	if !quiet {
		d.log.Error(text)
	}
}

// run takes files until ctx ends, and finishes with those that it has.
func (d *directory) run(ctx, work context.Context, e module.FileEnqueuer) {
	claims := make(chan *claim, batch)
	var workers sync.WaitGroup
	for range d.channels {
		workers.Go(func() {
			for c := range claims {
				d.submit(ctx, work, e, c)
			}
		})
	}
	d.scan(ctx, e, claims)
	close(claims)
	workers.Wait()
}

// batch is how many files are claimed with one sync, and may wait for a worker.
const batch = 100

// scan claims what there is until ctx ends: what events name, what was not ready, and every
// minute whatever is there.
func (d *directory) scan(ctx context.Context, e module.FileEnqueuer, claims chan<- *claim) {
	w := watching{d: d, stop: func() {}}
	defer func() { w.stop() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var full, closed time.Time // when the last full scan was; until when nothing is taken
	all := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hints.ready:
		case <-timer.C:
		}
		names, overflow := d.hints.take()
		in, another, err := w.open()
		all = all || overflow || another || time.Since(full) >= rescan
		switch {
		case err != nil:
			d.complain("open", "cannot be read, looking again: "+err.Error())
			closed = time.Now().Add(pause)
		case time.Now().Before(closed):
		case d.closed(ctx, e):
			closed = time.Now().Add(pause)
		}
		if wait := time.Until(closed); wait > 0 {
			all = true // what comes meanwhile
			timer.Reset(wait)
			continue
		}
		if all {
			all, full, names = false, time.Now(), nil
			if err := in.Names(func(names []string) error { return d.claimAll(ctx, in, names, claims) }); err != nil {
				d.complain("read", "cannot be read to its end: "+err.Error())
			}
		}
		_ = d.claimAll(ctx, in, append(names, d.ready()...), claims)
		timer.Reset(d.next(full))
	}
}

// A watching is a directory that events come from.
type watching struct {
	d    *directory
	in   *handle // of which they come; nil: from none
	stop func()
}

// open returns the directory, and whether it is another one than before, or not watched
// all the time.
func (w *watching) open() (in *handle, another bool, err error) {
	if in, err = w.d.open(); in != nil && in == w.in {
		return in, false, nil
	}
	w.stop()
	w.stop, w.in = func() {}, nil
	if err != nil {
		return nil, true, err
	}
	stop, blind := w.d.watch(w.d.hints)
	if blind != nil { // every look is a full one
		w.d.complain("watch", "cannot be watched, it is read again and again: "+blind.Error())
		return in, true, nil //nolint:nilerr // it can be read all the same
	}
	w.stop, w.in = stop, in
	return in, true, nil
}

// closed says that nothing is to be taken just now.
func (d *directory) closed(ctx context.Context, e module.FileEnqueuer) bool {
	if d.isBroken() {
		return true
	}
	if err := e.Admit(ctx, &mail.Envelope{Source: d.source, Auth: d.account}); err != nil {
		d.complain("closed", "no mail is taken just now, files stay where they are: "+err.Error())
		return true
	}
	return d.refused.Swap(false)
}

// claimAll claims files, some with one sync, and hands them over.
func (d *directory) claimAll(ctx context.Context, in *handle, names []string, claims chan<- *claim) error {
	some := make([]*claim, 0, batch)
	for _, name := range names {
		if ctx.Err() != nil || d.refused.Load() || d.isBroken() {
			break
		}
		if !strings.HasSuffix(name, sub) || name[0] == '.' {
			continue
		}
		if c := d.claim(ctx, in, name); c != nil {
			some = append(some, c)
		}
		if len(some) == batch {
			d.handOver(ctx, in, some, claims)
			some = some[:0]
		}
	}
	d.handOver(ctx, in, some, claims)
	return ctx.Err()
}

// handOver makes claims durable, then the workers have them.
func (d *directory) handOver(ctx context.Context, in *handle, some []*claim, claims chan<- *claim) {
	if len(some) == 0 {
		return
	}
	err := d.sync(in)
	for _, c := range some {
		if err == nil && ctx.Err() == nil && !d.refused.Load() {
			select {
			case claims <- c:
				continue
			case <-ctx.Done():
			}
		}
		d.giveBack(c)
	}
}

// giveBack lets a claimed file have its name again.
func (d *directory) giveBack(c *claim) {
	c.file.Close()
	if _, err := c.in.rename(c.taken, c.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Error("cannot give " + c.taken + " its name back, the next start will: " + err.Error())
	}
}

// rename gives a file the name wanted, or, if another file has that, one like it.
func (h *handle) rename(name, wanted string) (to string, err error) {
	ext := wanted[strings.LastIndexByte(wanted, '.'):]
	for to = wanted; ; to = short(strings.TrimSuffix(wanted, ext)) + "." + unique()[:8] + ext {
		if err := h.Rename(name, to); !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
}

// postpone says that a file is not ready; for how long it has not been.
func (d *directory) postpone(name string, wait time.Duration) time.Duration {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.later[name]
	if !ok {
		if len(d.later) >= maxLater {
			clear(d.later)
		}
		l.since = now
	}
	if l.until = now.Add(wait); now.Sub(l.since) > rescan {
		l.until = now.Add(rescan)
	}
	d.later[name] = l
	return now.Sub(l.since)
}

// forget is for a file that is not in the way any more.
func (d *directory) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.later, name)
}

// postponed says whether it is too soon for a file.
func (d *directory) postponed(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.later[name]
	return ok && time.Now().Before(l.until)
}

// ready are the names of files that were not, and may be now.
func (d *directory) ready() (names []string) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.later {
		switch {
		case now.Sub(l.until) > 2*rescan: // it has gone otherwise
			delete(d.later, name)
		case !now.Before(l.until):
			names = append(names, name)
		}
	}
	return names
}

// next is how long to wait when nothing happens.
func (d *directory) next(full time.Time) time.Duration {
	wait := rescan - time.Since(full)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused.Load() || d.broken {
		return 0 // it is found closed
	}
	for _, l := range d.later {
		wait = min(wait, time.Until(l.until))
	}
	return max(wait, 10*time.Millisecond)
}

// tellOnce says of a name that it is left alone.
func (d *directory) tellOnce(ctx context.Context, name, text string) {
	d.mu.Lock()
	known := d.told[name]
	if !known {
		if len(d.told) >= maxLater {
			clear(d.told)
		}
		d.told[name] = true
	}
	d.mu.Unlock()
	if !known {
		d.log.Log(ctx, serverlog.Problem, text)
	}
}
