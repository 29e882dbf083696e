package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"cgq/pkg/mail"
)

// A Foldering says in which sub-directories of the Queue new files are made (chapter:
// Queue Foldering). The zero Foldering is the default, Hundred.
type Foldering string

// The folderings.
const (
	Flat    Foldering = "0"    // none: all files are in the Queue directory itself
	Ten     Foldering = "10"   // 00 to 09, by the id
	Hundred Foldering = "100"  // 00 to 99, by the id
	Auto    Foldering = "Auto" // as Hundred while there are more than 5000 messages, else as Flat
)

// Validate says whether there is such a foldering.
func (f Foldering) Validate() error {
	if f != "" && !slices.Contains([]Foldering{Flat, Ten, Hundred, Auto}, f) {
		return fmt.Errorf("%q is not 0, 10, 100 or Auto", string(f))
	}
	return nil
}

// autoAbove is how many messages Auto leaves in one directory.
const autoAbove = 5000

// A folder is one of the sub-directories 00 to 99, or the Queue directory itself. A
// message keeps the one that it was given with its id, until its file is moved (F6).
type folder uint8

// root is the Queue directory.
const root folder = 100

// folders yields all that there may be: a start looks into each.
func folders(yield func(folder) bool) {
	for f := range root + 1 {
		if !yield(f) {
			return
		}
	}
}

func (f folder) String() string {
	if f == root {
		return ""
	}
	return fmt.Sprintf("%02d", uint8(f))
}

// path is the directory of a folder.
func (s *Spool) path(f folder) string { return path.Join(s.dir, f.String()) }

// name is the path of a message's file.
func (s *Spool) name(id mail.ID, f folder, suffix string) string {
	return s.dir + "/" + path.Join(f.String(), id.String()+suffix)
}

// parseName reads the name of a message's file, as name gives it.
func parseName(name string) (id mail.ID, draft, ok bool) {
	stem, msg := strings.CutSuffix(name, ".msg")
	if !msg {
		stem, draft = strings.CutSuffix(name, ".tmp")
	}
	id, ok = mail.ParseID(stem)
	return id, draft, ok && (msg || draft) && id <= maxID
}

// at is where a foldering puts a message, when there are so many.
func (f Foldering) at(id mail.ID, messages int) folder {
	switch f {
	case Flat:
		return root
	case Ten:
		return folder(id % 10)
	case Auto:
		if messages <= autoAbove {
			return root
		}
	}
	return folder(id % 100)
}

// mine says of a name in a folder whether it is a directory or file of the spool that
// is no message.
func (f folder) mine(name string) bool {
	if f != root {
		return false
	}
	n, err := strconv.Atoi(name)
	return err == nil && len(name) == 2 && n >= 0 ||
		slices.Contains([]string{"lock", "ids", "ids.tmp", "journal", "acts", "lent", "damaged",
			"restoring", "restoring.tmp"}, name)
}

// makeFolders makes the sub-directories that a foldering needs, durably.
func (s *Spool) makeFolders(f Foldering) error {
	if f == Flat {
		return nil
	}
	last := root
	if f == Ten {
		last = 10
	}
	for nn := range last {
		if err := s.fs.Mkdir(s.path(nn)); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.dir)
}

// SetFoldering changes where new files are made. Run then moves the others, one by one
// (F6), unless it is Auto: that leaves each where it is.
func (s *Spool) SetFoldering(f Foldering) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	same := s.foldering == f
	s.mu.Unlock()
	if same {
		return nil
	}
	if err := s.makeFolders(f); err != nil {
		return fmt.Errorf("spool: queue foldering %s: %w", f, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foldering, s.misplaced = f, f != Auto
	s.wake()
	return nil
}

// refoldDue says, once, that files are to be moved.
func (s *Spool) refoldDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.misplaced && s.toRead == 0
	if due {
		s.misplaced = false
	}
	return due
}

// moveBatch is how many files are moved before their directories are synced, and
// checkpoints get their turn.
const moveBatch = 500

// refolding is the standing thing that says that files are being moved: the removal of
// their old names may be durable or not, and a start has to see to that.
const refolding = internal + "refold"

// Refold moves the files that are not where the foldering puts them, and returns when
// all are, or with the first error. Those that Index has not read yet stay: what is not
// known is not touched.
func (s *Spool) Refold(ctx context.Context) error {
	n, err := s.Act(nil, []Standing{{refolding, "1"}})
	if err == nil {
		err = s.Wait(n)
	}
	for f := range folders {
		if err == nil {
			err = s.refold(ctx, f)
		}
	}
	if err == nil {
		s.checkpoint.Lock()
		err = s.syncDirs()
		s.checkpoint.Unlock()
	}
	if err == nil {
		_, err = s.Act(nil, []Standing{{Key: refolding}})
	}
	if err != nil {
		return fmt.Errorf("spool: queue foldering: %w", err)
	}
	return nil
}

// refold moves what does not belong into a folder.
func (s *Spool) refold(ctx context.Context, f folder) error {
	names, err := s.fs.List(s.path(f))
	if err != nil {
		return err
	}
	var ids []mail.ID
	for _, name := range names {
		if id, draft, ok := parseName(name); ok && !draft {
			ids = append(ids, id)
		}
	}
	for batch := range slices.Chunk(ids, moveBatch) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.move(f, batch); err != nil {
			return err
		}
	}
	return nil
}

// A moving file has two names for a while.
type moving struct {
	id    mail.ID
	m     *message // busy until the move has ended
	to    folder
	stale folder // where an earlier try may have left a second name; the folder that it leaves: nowhere
}

// move moves files out of a folder: the second name is durable before the first goes,
// and the message knows both, so that whatever happens, it takes both with it.
func (s *Spool) move(from folder, ids []mail.ID) error {
	s.checkpoint.Lock()
	defer s.checkpoint.Unlock()
	all, err := s.misplacedIn(from, ids), error(nil)
	linked := all[:0]
	for _, v := range all {
		if err = s.linkTo(from, v); err != nil {
			break // the others stay
		}
		linked = append(linked, v)
	}
	if err := s.syncDirs(); err != nil {
		return err
	}
	for _, v := range linked {
		s.mu.Lock()
		v.m.folder, v.m.second = v.to, from
		s.mu.Unlock()
		if err := s.removeFile(from, s.name(v.id, from, ".msg")); err != nil {
			return err
		}
		s.mu.Lock()
		v.m.twice = false
		s.messages.settle(v.id, v.m)
		s.mu.Unlock()
	}
	if len(linked) > 0 {
		s.log.Info("moved", "files", len(linked), "from", s.path(from))
	}
	return err
}

// linkTo gives a file its second name.
func (s *Spool) linkTo(from folder, v moving) error {
	if v.stale != from {
		if err := s.removeFile(v.stale, s.name(v.id, v.stale, ".msg")); err != nil {
			return err
		}
	}
	s.changed(v.to)
	return s.fs.Link(s.name(v.id, from, ".msg"), s.name(v.id, v.to, ".msg"))
}

// removeFile takes a name away, if it is there.
func (s *Spool) removeFile(f folder, name string) error {
	s.changed(f)
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// misplacedIn returns the messages of a folder whose file is there and belongs elsewhere.
func (s *Spool) misplacedIn(from folder, ids []mail.ID) (all []moving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.foldering == Auto {
		return nil
	}
	for _, id := range ids {
		m, ok := s.messages.look(id)
		if !ok || m.image != nil || m.draft || m.anew || m.folder != from {
			continue
		}
		if to := s.foldering.at(id, 0); to != from {
			stale := from // nowhere
			if m.twice {
				stale = m.second
			}
			v := moving{id, s.messages.change(id), to, stale}
			v.m.second, v.m.twice = to, true
			all = append(all, v)
		}
	}
	return all
}
