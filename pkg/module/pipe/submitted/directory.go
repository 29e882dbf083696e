package submitted

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/serverlog"
)

// A directory is one that is watched, or was. It is there as long as the Source is.
type directory struct {
	name     string // the path as the settings have it, but clean
	wish     wish
	domain   func() string
	opened   func() (folder, error)
	watch    watch
	counts   counters
	register *register
	grounds  *grounds
	log      *slog.Logger // tag PIPE, with the directory

	hints   *hints
	refused atomic.Bool // no mail is taken just now

	mu         sync.Mutex
	at         *handle
	broken     bool // a sync has failed: nothing is taken before the next start
	later      map[string]delay
	told       map[string]bool      // names of what is left alone, and the log has it
	complained map[string]time.Time // by what it is about
}

// A wish is how a directory is to be watched.
type wish struct {
	mu  sync.Mutex
	as  *mapping           // nil: not at all
	end context.CancelFunc // ends what is done because of an earlier wish
}

func (w *wish) set(m *mapping) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reflect.DeepEqual(w.as, m) {
		return
	}
	w.as = m
	if w.end != nil {
		w.end()
	}
}

// is reports whether there is one.
func (w *wish) is() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.as != nil
}

// next returns it, and a context that ends when there is another one.
func (w *wish) next(ctx context.Context) (turn context.Context, end context.CancelFunc, as *mapping) {
	w.mu.Lock()
	defer w.mu.Unlock()
	turn, w.end = context.WithCancel(ctx)
	return turn, w.end, w.as
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
	done  func() // it is settled, or nobody waits for it any more; it can be called again
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

// close forgets what open has opened.
func (d *directory) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = nil
}

// errUnsynced is for a ground that a sync has failed on, perhaps under another name: no
// later one is believed (SPOOL F3).
var errUnsynced = errors.New("a sync of it has failed before")

// sync makes the names durable; one sync serves many.
func (d *directory) sync(in *handle) error {
	err := in.syncer.Wait()
	if err != nil {
		d.breaks(in, err)
	} else if d.isBroken(in) {
		err = errUnsynced
	}
	return err
}

// breaks ends the use of a directory whose names nobody can make durable (SPOOL F3).
func (d *directory) breaks(in *handle, err error) {
	d.grounds.breaks(in)
	d.mu.Lock()
	first := !d.broken
	d.broken = true
	d.mu.Unlock()
	if first {
		d.log.Error("cannot be synced, nothing is taken from it until a restart: " + err.Error())
	}
}

// isBroken reports whether that is so.
func (d *directory) isBroken(in *handle) bool {
	d.mu.Lock()
	broken := d.broken
	d.mu.Unlock()
	return broken || d.grounds.isBroken(in)
}

// renew is for another mapping: what was not ready, or refused, may be taken at once.
func (d *directory) renew() {
	d.refused.Store(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.later)
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
