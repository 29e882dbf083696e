package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// A restore is whole or was not: a marker, Queue/restoring, is durable before the
// first thing is written and goes last. A start refuses a Queue that has it, and
// another restore begins anew. In between:
//
//	the journal is emptied as by a start, or its facts would be about messages of the
//	same ids; then it says the standing things of the archive, and that all is held
//	the message files, synced; their directories
//	Queue/ids: the identity of the archive, and a ceiling above every id of both
//
// The identity is that of the archive, because Local delivery names its files by it:
// a message that was delivered after the backup is found, and not delivered twice.

// ErrUnfinished is matched by the error of Open and Inspect for a Queue in which a
// restore was not finished.
var ErrUnfinished = errors.New("a restore into this Queue was not finished")

// ErrNotEmpty is matched by the error of Restore for a Queue with something in it.
var ErrNotEmpty = errors.New("the Queue is not empty")

func marker(dir string) string { return path.Join(dir, "restoring") }

// finished refuses a Queue with half a backup in it.
func finished(fsys disk.FS, dir string) error {
	f, err := fsys.Open(marker(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	b := make([]byte, 200)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("spool: %s: %w", marker(dir), err)
	}
	return fmt.Errorf("spool: %w: %s (%s): run cgqd restore again, it begins anew",
		ErrUnfinished, marker(dir), strings.TrimSpace(string(b[:n])))
}

// Restore puts a backup into the Queue in dir, which must be empty: it may not have
// been opened yet, or holds no message. When it returns nil all of it is there,
// durable, and held until a person frees it (R6). Whatever it is interrupted by, a
// start finds nothing of it, all of it, or refuses with [ErrUnfinished]. Nobody may
// have the spool open.
func Restore(fsys disk.FS, dir string, o Options, a *Archive, log *slog.Logger) error {
	err := restore(fsys, dir, o, a, log)
	if err != nil {
		err = fmt.Errorf("spool: restore: %w", err)
	}
	return err
}

func restore(fsys disk.FS, dir string, o Options, a *Archive, log *slog.Logger) error {
	if err := vacant(fsys, dir); err != nil {
		return err
	}
	if err := mark(fsys, dir, a); err != nil {
		return err
	}
	if err := clearFiles(fsys, dir); err != nil {
		return err
	}
	s, _, err := open(fsys, dir, o, log)
	if err != nil {
		return err
	}
	err = s.restore(a)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if err := fsys.Remove(marker(dir)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// vacant refuses a Queue in which something is that a restore did not leave there.
func vacant(fsys disk.FS, dir string) error {
	i, err := Inspect(fsys, dir)
	switch {
	case errors.Is(err, ErrUnfinished):
		return nil
	case err != nil:
		return err
	case len(i.Messages) > 0:
		first := i.Messages[0]
		return fmt.Errorf("%w: messages: %d, the first is %d, from %s", ErrNotEmpty, len(i.Messages), first.ID,
			first.Envelope.ReturnPath.Path())
	case len(i.Damage) > 0:
		return fmt.Errorf("%w: %w", ErrNotEmpty, i.Damage[0])
	}
	return nil
}

// mark says durably that from now on the Queue is no whole one.
func mark(fsys disk.FS, dir string, a *Archive) error {
	if err := fsys.Mkdir(dir); err != nil {
		return err
	}
	if err := fsys.SyncDir(path.Dir(dir)); err != nil {
		return err
	}
	s := &Spool{fs: fsys, dir: dir}
	tmp := marker(dir) + ".tmp"
	f, err := s.write(tmp, fmt.Appendf(nil, "the backup of %s of the spool %s\n", a.Time.Format(timeFormat), a.Spool))
	if err != nil {
		return err
	}
	return errors.Join(disk.Publish(fsys, f, tmp, marker(dir)), f.Close())
}

// clearFiles removes what a restore has left that was not finished.
func clearFiles(fsys disk.FS, dir string) error {
	s := &Spool{fs: fsys, dir: dir}
	for f := range folders {
		names, err := fsys.List(s.path(f))
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, _, ok := parseName(name); !ok {
				continue
			}
			if err := fsys.Remove(path.Join(s.path(f), name)); err != nil {
				return err
			}
		}
		if len(names) > 0 {
			if err := fsys.SyncDir(s.path(f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore fills an empty spool.
func (s *Spool) restore(a *Archive) error {
	through := max(s.ceiling, a.Ceiling)
	if err := s.restoreStanding(a, through); err != nil {
		return err
	}
	for some := range slices.Chunk(a.messages, 10*batchSize) {
		if err := s.unpack(a, some); err != nil {
			return err
		}
	}
	if err := s.syncDirs(); err != nil {
		return err
	}
	for _, p := range a.messages { // what came out of the archive this time, not when it was read first
		if err := s.unpacked(p, s.foldering.at(p.id, len(a.messages))); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identity, s.ceiling = a.Spool, through
	return s.raise()
}

// standsPerFrame keeps the longest standing things within a frame.
const standsPerFrame = 100

// restoreStanding says the standing things of an archive in place of those that are
// there, and that every message up to an id is held.
func (s *Spool) restoreStanding(a *Archive, through mail.ID) error {
	held := fact.Restored{Through: through, Backup: a.Time, At: time.Now()}
	all := []Standing{{fact.RestoredKey, string(fact.AppendRestored(nil, held))}}
	for key := range s.Standing() {
		if key != fact.RestoredKey {
			all = append(all, Standing{Key: key})
		}
	}
	for _, st := range a.standing {
		if st.Key != fact.RestoredKey { // of an earlier restore: this one holds its messages, too
			all = append(all, st)
		}
	}
	var last Number
	for some := range slices.Chunk(all, standsPerFrame) {
		n, err := s.Act(nil, some)
		if err != nil {
			return fmt.Errorf("standing things: %w", err)
		}
		last = n
	}
	return s.Wait(last)
}

// unpack makes the files of messages.
func (s *Spool) unpack(a *Archive, some []packed) error {
	all := make([]*placing, len(some))
	from := make(map[mail.ID]packed, len(some))
	for i, p := range some {
		all[i], from[p.id] = &placing{id: p.id, dir: s.foldering.at(p.id, len(a.messages))}, p
	}
	s.batches(all, func(p *placing) (err error) {
		if p.f, err = s.fs.Create(s.name(p.id, p.dir, ".tmp")); err != nil {
			return err
		}
		p.size, p.tmp = from[p.id].size, true
		_, err = io.Copy(io.NewOffsetWriter(p.f, 0), a.content(from[p.id]))
		return err
	})
	var failed error
	for _, p := range all {
		if p.f != nil {
			p.err = errors.Join(p.err, p.f.Close())
		}
		if p.err != nil && failed == nil {
			failed = fmt.Errorf("message %d: %w", p.id, p.err)
		}
	}
	return failed
}

// unpacked believes the file of a message that was put in its place.
func (s *Spool) unpacked(p packed, in folder) error {
	f, err := s.fs.Open(s.name(p.id, in, ".msg"))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err == nil && size != p.size {
		err = fmt.Errorf("message %d: %w: %d bytes of %d", p.id, ErrDamaged, size, p.size)
	}
	if err == nil {
		_, err = verify(f, p.id, size)
	}
	return err
}
