// Package submitted takes mail from files: from the directory Submitted (chapter: PIPE
// module), where a program puts a message under another name and renames it to .sub; and
// from the directories of other servers. It is a [module.Source]. It delivers nothing.
//
// Each file becomes one message, whatever dies when. A file is, in its directory and in
// the Queue, in one of these states (T: a token, unique for ever; M(T): the message whose
// envelope names T, durable):
//
//	S1  x.sub                   nobody has seen it
//	S2  x.T.taken, not synced   claimed: power loss may bring S1 back
//	S3  x.T.taken, synced       from here on it is read
//	S4  x.T.taken and M(T)      accepted; nobody can have it before S6
//	S5  M(T), not synced        the name is gone; power loss may bring S4 back
//	S6  M(T)                    synced: the kernel has it
//	S7  x.bad, x.bad.reason     a person has to look
//
// Four orders carry it. No message names a token whose file could have its old name
// again: S3 before S4. Nobody has a message whose file could come back: S6 before the
// kernel. A start syncs each directory before it believes what stands there, and takes
// the file of each M(T) away before the kernel has that: S4 and S5 become S6. What is left
// then has no message, and is x.sub again: S2 and S3 become S1. And the directory is in
// the [register], durably, before a file of it is claimed, S1, and leaves it when none is
// taken any more: a start looks there whatever the settings say by then.
//
// The settings count at once. A directory whose mapping changes, or that goes, is left as
// at a stop: nothing more is claimed, what has begun comes to its end. Then it is begun
// with anew, if it is to be. Only a message whose file cannot be removed is waited for by
// nobody: it is brought to its end beside what comes next, which has nothing to do with
// its file. A [ground] has one user, so two names of one directory do not change that. A
// file that is taken in a directory that this start has not looked at may have its message
// in the Queue, or not: it is left for the next start.
//
// Whoever may write into a directory may send mail to everywhere, and nothing else: no
// link is followed, no FIFO waited for, and nothing is read that is not a file of an owner
// who is named, with one name.
package submitted

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
)

// The times of a Source.
const (
	rescan   = time.Minute      // events are hints: whatever they say, everything is looked at so often
	soon     = time.Second      // until a file is looked at again that is not ready yet
	pause    = 5 * time.Second  // while no mail is taken, or a name cannot be removed
	grace    = 30 * time.Second // for what has begun, when the server stops or the directory is left
	patience = 3 * time.Second  // how long a file may have two names: a writer may rename with link and unlink
)

// A Source is the directories that are watched.
type Source struct {
	base     string
	domain   func() string
	read     <-chan struct{} // closed when the Queue is read
	log      *slog.Logger
	counts   counters
	register *register
	grounds  *grounds
	find     func(path string, wished func() bool) (open func() (folder, error), watch watch)

	mu    sync.Mutex
	dirs  []*directory     // all that the settings or the register have had in this life
	begin func(*directory) // what is done with one more; nil: nothing yet, or any more
	found map[string]place // by tokens: what the start has found taken
	owed  []owed
}

// counters are the statistics elements.
type counters struct{ taken, bad *stats.Counter }

// A place is a file that was taken, and where.
type place struct {
	dir  *directory
	in   *handle
	name string
}

func (p place) remove() error { return p.dir.remove(p.in, p.name) }

// An owed message is not handed out before its file is gone.
type owed struct {
	place
	restored func()
}

// New returns the Source of a base directory, which fsys is. domain is the main domain,
// read is closed when a start has read the whole Queue; log is tagged PIPE. Nothing happens
// before Recover.
func New(base string, fsys disk.FS, set *Settings, domain func() string, read <-chan struct{}, st *stats.Set, log *slog.Logger) *Source {
	s := newSource(base, fsys, domain, read, st, log)
	s.Use(set)
	return s
}

func newSource(base string, fsys disk.FS, domain func() string, read <-chan struct{}, st *stats.Set, log *slog.Logger) *Source {
	s := &Source{base: base, domain: domain, read: read, log: log, found: map[string]place{},
		counts:   counters{st.Counter("numSubmittedFiles"), st.Counter("numBadSubmittedFiles")},
		register: &register{fs: fsys}, grounds: newGrounds()}
	s.find = s.onDisk
	return s
}

// Use has settings count from now on, which Validate has found nothing wrong with. It
// waits for nothing: what has begun under others comes to its end while Run runs. It is safe
// for concurrent use.
func (s *Source) Use(set *Settings) {
	all := set.mappings()
	s.mu.Lock()
	defer s.mu.Unlock()
	known := len(s.dirs)
	for i := range all {
		s.at(all[i].path)
	}
	for _, d := range s.dirs {
		var m *mapping
		if i := slices.IndexFunc(all, func(m mapping) bool { return m.path == d.name }); i >= 0 && set.Enabled {
			m = &all[i]
		}
		d.wish.set(m)
	}
	if s.begin != nil {
		for _, d := range s.dirs[known:] {
			s.begin(d)
		}
	}
}

// at has the directory with a path among those that are known. Its caller has the lock.
func (s *Source) at(path string) {
	if slices.ContainsFunc(s.dirs, func(d *directory) bool { return d.name == path }) {
		return
	}
	d := &directory{name: path, domain: s.domain, counts: s.counts, register: s.register, grounds: s.grounds,
		hints: newHints(), log: serverlog.Session(s.log, 0, path), later: map[string]delay{}, told: map[string]bool{},
		complained: map[string]time.Time{}}
	d.opened, d.watch = s.find(path, d.wish.is)
	s.dirs = append(s.dirs, d)
}

// onDisk leads to a directory of the real file system. One of the base directory is there
// whoever removes it, as long as it is wished for.
func (s *Source) onDisk(path string, wished func() bool) (open func() (folder, error), watch watch) {
	dir, made := path, false
	if !filepath.IsAbs(path) {
		dir, made = filepath.Join(s.base, path), true
	}
	return func() (folder, error) {
		if made && wished() {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
		}
		return openFolder(dir)
	}, watcher(dir)
}

// Recover looks at what an earlier life has left. It comes before anything is resumed.
func (s *Source) Recover() {
	registered, err := s.register.read()
	if err != nil {
		s.log.Error("no mail is taken from files until a restart, " + err.Error())
	}
	s.mu.Lock()
	for _, path := range registered {
		s.at(path)
	}
	dirs := slices.Clone(s.dirs)
	s.mu.Unlock()
	for _, d := range dirs {
		if err := s.look(d); err != nil && (d.wish.is() || !errors.Is(err, fs.ErrNotExist)) {
			d.log.Log(context.Background(), serverlog.Failure, "cannot be read, looking again every minute: "+err.Error())
		}
	}
}

// look finds what is taken in a directory. What it finds will not be undone by power loss.
func (s *Source) look(d *directory) error {
	in, err := d.open()
	if err != nil {
		return err
	}
	_ = d.sync(in) // the process that made these names may have died; a failure breaks it
	err = in.Names(func(names []string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, name := range names {
			if token := tokenOf(name); token != "" {
				s.found[token] = place{d, in, name}
			}
		}
		return nil
	})
	if err == nil {
		s.grounds.know(in)
	}
	return err
}

// Reclaim calls restored, for a message that a start has found in the Queue, as soon as
// the file that a token names is gone for good: at once, if that can be, else while Run runs.
func (s *Source) Reclaim(token string, restored func()) {
	s.mu.Lock()
	p, there := s.found[token]
	delete(s.found, token)
	s.mu.Unlock()
	if !there {
		restored()
		return
	}
	if err := p.remove(); err != nil {
		p.dir.log.Error("the message of "+p.name+" waits, because the file cannot be removed: "+err.Error(), "again in", pause)
		s.mu.Lock()
		s.owed = append(s.owed, owed{p, restored})
		s.mu.Unlock()
		return
	}
	p.dir.log.Info("removed " + p.name + ": its message is in the Queue")
	restored()
}

// Run implements [module.Source]: it takes files until ctx ends, then submits what it has
// begun with. The Enqueuer must be a [module.FileEnqueuer].
func (s *Source) Run(ctx context.Context, e module.Enqueuer) error {
	into, ok := e.(module.FileEnqueuer)
	if !ok {
		return errors.New("submitted: this Enqueuer takes no files")
	}
	var parts sync.WaitGroup
	parts.Go(func() { s.reconcile(ctx) })
	s.mu.Lock()
	s.begin = func(d *directory) { parts.Go(func() { d.serve(ctx, into, &parts) }) }
	for _, d := range s.dirs {
		s.begin(d)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.begin = nil
	s.mu.Unlock()
	parts.Wait()
	return nil
}

// reconcile brings to an end what the start has found.
func (s *Source) reconcile(ctx context.Context) {
	read := s.read
	for {
		s.mu.Lock()
		waiting := len(s.owed) > 0
		s.mu.Unlock()
		var again <-chan time.Time
		switch {
		case waiting || read != nil: // what is read may leave something to do
			again = time.After(pause)
		default:
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-read:
			if read = nil; ctx.Err() == nil { // else it was stopped
				s.putBack()
			}
		case <-again:
			s.payOff()
		}
	}
}

// payOff tries again to remove the files of messages that wait for it.
func (s *Source) payOff() {
	s.mu.Lock()
	all := s.owed
	s.owed = nil
	s.mu.Unlock()
	for _, o := range all {
		if err := o.remove(); err != nil {
			o.dir.complain("waits", "the message of "+o.name+" still waits, because the file cannot be removed: "+err.Error())
			s.mu.Lock()
			s.owed = append(s.owed, o)
			s.mu.Unlock()
			continue
		}
		o.dir.hints.add("") // it may have been the last one
		o.restored()
	}
}

// putBack gives the files their names back that are in no message: the whole Queue is read.
func (s *Source) putBack() {
	s.mu.Lock()
	found := s.found
	s.found = map[string]place{}
	s.mu.Unlock()
	for _, p := range found {
		name, err := p.in.rename(p.name, stemOf(p.name)+sub)
		if err != nil {
			p.dir.complain("rename", "cannot give "+p.name+" its name back, the next start will try again: "+err.Error())
			continue
		}
		p.dir.hints.add(name)
		p.dir.log.Info("put back as " + name + ": it was taken, and is in no message")
	}
}

// The ends of names.
const (
	sub    = ".sub"
	taken  = ".taken"
	bad    = ".bad"
	reason = ".reason"
)

// A mapping is what a directory says of the messages that come from it.
type mapping struct {
	path       string // as the settings have it, but clean
	source     mail.Source
	returnPath *mail.Address // nil: none is set
	force      bool          // that one, whatever the file says
	account    string
	owners     []string // names or numbers; none: see ids
	maxSize    int64
	channels   int
}

// A fault of a file: it will never be a message.
type fault struct{ why string }

func (f *fault) Error() string { return f.why }

func faulty(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }
