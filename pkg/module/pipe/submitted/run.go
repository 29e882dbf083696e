package submitted

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A run takes files from a directory as one mapping says. Of a directory there is one at a
// time.
type run struct {
	*directory
	mapping
	users   map[uint32]bool // owners
	into    module.FileEnqueuer
	stopped <-chan struct{} // closed when the server stops
	claims  chan *claim     // closed by run
	begun   sync.WaitGroup  // claims that are not done
}

// batch is how many files are claimed with one sync, and may wait for a worker.
const batch = 100

// serve does what is wished, until ctx ends: one run after the other, and nothing else.
func (d *directory) serve(ctx context.Context, e module.FileEnqueuer, parts *sync.WaitGroup) {
	left := false // since the last run
	for ctx.Err() == nil {
		turn, end, m := d.wish.next(ctx)
		if m == nil {
			d.rest(turn, left)
		} else {
			r := &run{directory: d, mapping: *m, into: e, stopped: ctx.Done(), claims: make(chan *claim, batch)}
			left = r.run(turn, parts)
		}
		end()
	}
}

// rest waits. When no file is taken any more the register forgets the directory, and so do
// we, so that somebody else can have it.
func (d *directory) rest(ctx context.Context, left bool) {
	for {
		if !left && d.register.has(d.name) {
			d.leave(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.hints.ready: // a file that was taken has come to its end
			d.hints.take()
			left = false
		}
	}
}

// leave has the register forget a directory that is not watched, unless a file is taken. If
// another directory has its ground that is found out when it has not any more.
func (d *directory) leave(ctx context.Context) {
	n := 0
	in, err := d.open()
	if err == nil {
		if d.grounds.hold(in, d) != nil {
			return
		}
		defer d.grounds.release(in)
		err = d.sync(in)
	}
	if err == nil {
		n, err = in.taken()
	}
	switch {
	case err == nil && n > 0:
		d.log.Log(ctx, serverlog.Problem, "nothing new is taken from it; files that are taken", "files", n)
		return
	case err == nil, errors.Is(err, fs.ErrNotExist):
		err = d.register.drop(d.name)
	}
	if err != nil {
		d.complain("leave", "the next start will look at it once more: "+err.Error())
		return
	}
	d.close()
	d.log.Log(ctx, serverlog.Major, "nothing is taken from it any more")
}

// taken counts the files that are.
func (h *handle) taken() (n int, err error) {
	err = h.Names(func(names []string) error {
		for _, name := range names {
			if tokenOf(name) != "" {
				n++
			}
		}
		return nil
	})
	return n, err
}

// run takes files until ctx ends, and finishes with those that it has. Workers that wait
// for a file to go it leaves to parts. It reports whether it has called leave.
func (d *run) run(ctx context.Context, parts *sync.WaitGroup) (left bool) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})()
	d.renew()
	if !d.lookUp(ctx) {
		return false
	}
	for range d.channels {
		parts.Go(func() {
			for c := range d.claims {
				d.submit(ctx, work, c)
				c.done()
			}
		})
	}
	w := watching{d: d, stop: func() {}}
	d.scan(ctx, &w)
	close(d.claims)
	for c := range d.claims { // all workers may be waiting
		d.giveBack(c)
		c.done()
	}
	d.begun.Wait()
	if left = !d.wish.is(); left {
		d.leave(ctx) // as long as it has the ground
	}
	w.close()
	return left
}

// lookUp finds the numbers of the owners. While that fails nothing is taken: files would
// be bad that are not.
func (d *run) lookUp(ctx context.Context) bool {
	for {
		var err error
		if d.users, err = ids(d.owners); err == nil {
			return true
		}
		d.complain("owners", "nothing is taken just now: owners: "+err.Error())
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// begin counts a claim, and its use of the ground, until it is done.
func (d *run) begin(c *claim) {
	d.begun.Add(1)
	d.grounds.hold(c.in, d.directory) // it has it
	c.done = sync.OnceFunc(func() {
		d.grounds.release(c.in)
		d.begun.Done()
	})
}

// scan claims what there is until ctx ends: what events name, what was not ready, and every
// minute whatever is there.
func (d *run) scan(ctx context.Context, w *watching) {
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
		var busy *occupied
		switch {
		case errors.As(err, &busy): // a hint comes when it is not any more
			d.wait(busy)
			timer.Reset(rescan)
			continue
		case err != nil:
			d.complain("open", "cannot be read, looking again: "+err.Error())
			closed = time.Now().Add(pause)
		case time.Now().Before(closed):
		case d.closed(ctx, in):
			closed = time.Now().Add(pause)
		}
		if wait := time.Until(closed); wait > 0 {
			all = true // what comes meanwhile
			timer.Reset(wait)
			continue
		}
		if all {
			all, full, names = false, time.Now(), nil
			if err := in.Names(func(names []string) error { return d.claimAll(ctx, in, names) }); err != nil {
				d.complain("read", "cannot be read to its end: "+err.Error())
			}
		}
		_ = d.claimAll(ctx, in, append(names, d.ready()...))
		timer.Reset(d.next(in, full))
	}
}

// A watching is a directory that is held, and that events come from.
type watching struct {
	d       *run
	held    *handle // nil: none is
	watched *handle // of which events come; nil: from none
	stop    func()
}

// open returns the directory, and whether it is another one than before, or not watched
// all the time.
func (w *watching) open() (in *handle, another bool, err error) {
	if in, err = w.d.open(); in != nil && in == w.watched {
		return in, false, nil
	}
	if err != nil || in != w.held {
		w.close()
	}
	if err == nil && w.held == nil {
		err = w.enter(in)
	}
	if err != nil {
		return nil, true, err
	}
	stop, blind := w.d.watch(w.d.hints)
	if blind != nil { // every look is a full one
		w.d.complain("watch", "cannot be watched, it is read again and again: "+blind.Error())
		return in, true, nil //nolint:nilerr // it can be read all the same
	}
	w.stop, w.watched = stop, in
	return in, true, nil
}

// close ends that.
func (w *watching) close() {
	w.stop()
	if w.held != nil {
		w.d.grounds.release(w.held)
	}
	w.stop, w.held, w.watched = func() {}, nil, nil
}

// An occupied ground is one that another directory of the settings has.
type occupied struct{ by *directory }

func (o *occupied) Error() string { return "it is the same directory as " + o.by.name }

// wait says that a ground is occupied. If that is about to end it is nobody's mistake.
func (d *run) wait(o *occupied) {
	const text = "nothing is taken under this name for now: "
	if !o.by.wish.is() {
		d.log.Info(text + o.Error())
		return
	}
	d.complain("busy", text+o.Error())
}

// enter is for a directory of which nothing is claimed yet.
func (w *watching) enter(in *handle) error {
	d := w.d
	if other := d.grounds.hold(in, d.directory); other != nil {
		return &occupied{other}
	}
	n := 0
	err := d.register.add(d.name)
	if err == nil && !d.grounds.knows(in) {
		n, err = in.taken()
	}
	if err != nil {
		d.grounds.release(in)
		return err
	}
	d.grounds.know(in)
	if n > 0 {
		d.log.Error("files that were taken before this start, and not looked at by it, are left for the next one", "files", n)
	}
	d.log.Info("files are taken from it")
	if d.isBroken(in) {
		d.log.Error("could not be synced once: nothing is taken from it until a restart")
	}
	w.held = in
	return nil
}

// closed says that nothing is to be taken just now.
func (d *run) closed(ctx context.Context, in *handle) bool {
	if d.isBroken(in) {
		return true
	}
	if err := d.into.Admit(ctx, &mail.Envelope{Source: d.source, Auth: d.account}); err != nil {
		d.complain("closed", "no mail is taken just now, files stay where they are: "+err.Error())
		return true
	}
	return d.refused.Swap(false)
}

// claimAll claims files, some with one sync, and hands them over.
func (d *run) claimAll(ctx context.Context, in *handle, names []string) error {
	some := make([]*claim, 0, batch)
	for _, name := range names {
		if ctx.Err() != nil || d.refused.Load() || d.isBroken(in) {
			break
		}
		if !strings.HasSuffix(name, sub) || name[0] == '.' {
			continue
		}
		if c := d.claim(ctx, in, name); c != nil {
			d.begin(c)
			some = append(some, c)
		}
		if len(some) == batch {
			d.handOver(ctx, in, some)
			some = some[:0]
		}
	}
	d.handOver(ctx, in, some)
	return ctx.Err()
}

// handOver makes claims durable, then the workers have them.
func (d *run) handOver(ctx context.Context, in *handle, some []*claim) {
	if len(some) == 0 {
		return
	}
	err := d.sync(in)
	for _, c := range some {
		if err == nil && ctx.Err() == nil && !d.refused.Load() {
			select {
			case d.claims <- c:
				continue
			case <-ctx.Done():
			}
		}
		d.giveBack(c)
		c.done()
	}
}

// next is how long to wait when nothing happens.
func (d *run) next(in *handle, full time.Time) time.Duration {
	wait := rescan - time.Since(full)
	if d.refused.Load() || d.isBroken(in) {
		return 0 // it is found closed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.later {
		wait = min(wait, time.Until(l.until))
	}
	return max(wait, 10*time.Millisecond)
}
