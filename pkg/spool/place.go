package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// A checkpoint has batchSize files open at a time, and writes them all before it
// syncs the first: so one commit of the file system serves many of them, which is
// faster by half than one file after the other. Few write, many wait for syncs; but as long
// as there is time, few do that, too, or the journal, which somebody waits for, would have
// to stand in their line.
const (
	batchSize = 512
	writers   = 4
	unhurried = 8
)

// A placing is a message file on its way: composed, synced, named.
type placing struct {
	id   mail.ID
	dir  folder
	f    disk.File // nil: there is nothing to do
	size int64     // of the file
	tmp  bool      // it has to be named
	err  error
}

// batches composes, syncs and names files. The directories are not synced. Each file
// has its own verdict; those that fail do not stop the others.
func (s *Spool) batches(all []*placing, compose func(*placing) error) {
	for batch := range slices.Chunk(all, batchSize) {
		step := func(limit int, work func(*placing) error) {
			_ = each(limit, batch, func(p *placing) error {
				if p.err == nil {
					p.err = work(p)
				}
				return nil
			})
		}
		step(writers, compose)
		step(s.syncers(), func(p *placing) error {
			if p.f == nil {
				return nil
			}
			return p.f.Datasync()
		})
		step(writers, s.finish)
	}
}

// syncers is how many files are synced at the same time: as many as may be when the
// journal fills up, or nobody waits for it because all of this is a start or a stop.
func (s *Spool) syncers() int {
	most := s.options.Load().Syncers
	_, part := s.journal.Fill()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.starved || s.emptying || part > 0.5 || s.young >= s.options.Load().Memory || s.newest == 0 {
		return most
	}
	return min(most, unhurried)
}

// finish gives a synced file its name.
func (s *Spool) finish(p *placing) error {
	if p.f == nil {
		return nil
	}
	err := p.f.Close()
	if p.f = nil; err != nil || !p.tmp {
		return err
	}
	s.changed(p.dir)
	return s.fs.Rename(s.name(p.id, p.dir, ".tmp"), s.name(p.id, p.dir, ".msg"))
}

// place makes or mends the files of the messages of a survey.
func (s *Spool) place(v survey) error {
	all := make([]*placing, len(v.todo))
	todo := make(map[mail.ID]unfiled, len(v.todo))
	for i, u := range v.todo {
		all[i] = &placing{id: u.id}
		todo[u.id] = u
	}
	s.batches(all, func(p *placing) error { return s.compose(p, todo[p.id]) })
	var failed error
	others := -1
	for _, p := range all {
		if p.f != nil {
			p.err = errors.Join(p.err, p.f.Close())
		}
		if err := s.placed(p, todo[p.id], v.newest); err != nil {
			failed = cmp.Or(failed, err)
			others++
		}
	}
	if others > 0 {
		failed = fmt.Errorf("%w, and %d others", failed, others)
	}
	return failed
}

// compose writes the file of a message, or what is new in it.
func (s *Spool) compose(p *placing, u unfiled) (err error) {
	s.mu.Lock()
	m := u.m
	gone := !s.messages.has(u.id)
	image, draft, anew := m.image, m.draft, m.anew
	p.dir, p.size = m.folder, m.size
	s.mu.Unlock()
	switch {
	case gone: // since the survey
		return nil
	case image != nil:
		return s.create(p, append(image[:len(image):len(image)], u.lines...), anew)
	case anew:
		return s.remake(p, m, draft, u.lines)
	}
	return s.grow(p, draft, u.lines)
}

// placed notes what has become of a file.
func (s *Spool) placed(p *placing, u unfiled, newest Number) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := u.m
	if !s.messages.has(u.id) { // gone meanwhile, whatever of its file there is: forget has counted the image off
		s.gone[u.id] = append(leftoversIn(m.folder), m.leftovers()...)
		return nil
	}
	if p.err != nil {
		m.anew = true
		return fmt.Errorf("message %d: %w", u.id, p.err)
	}
	s.young -= int64(len(m.image))
	m.image, m.size, m.draft, m.anew, m.oldest = nil, p.size, false, false, 0
	if rest := m.unfiled[len(u.lines):]; len(rest) > 0 {
		m.unfiled, m.oldest = append([]byte(nil), rest...), newest // or later
		return nil
	}
	m.unfiled = nil
	s.unfiled--
	s.messages.settle(u.id, m)
	return nil
}

// create writes the temporary file of a message. Where a sync has failed, the name is
// taken away first: never again into that inode (F3).
func (s *Spool) create(p *placing, b []byte, anew bool) (err error) {
	tmp := s.name(p.id, p.dir, ".tmp")
	if anew {
		if err := s.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	b = fill(b)
	p.f, err = s.write(tmp, b)
	p.size, p.tmp = int64(len(b)), true
	return err
}

// remake writes a file anew that a failed write or sync has made doubtful, with more
// facts.
func (s *Spool) remake(p *placing, m *message, draft bool, lines []byte) error {
	if draft {
		if err := s.promote(p); err != nil {
			return err
		}
		s.mu.Lock()
		m.draft = false // or the next try would take the new file, half written, for it
		s.mu.Unlock()
	}
	b, err := disk.ReadFile(s.fs, s.name(p.id, p.dir, ".msg"))
	if err != nil {
		return err
	}
	if int64(len(b)) < p.size {
		return fmt.Errorf("%w: %d bytes, there were %d", ErrDamaged, len(b), p.size)
	}
	return s.create(p, append(fill(b[:p.size]), lines...), true) // without what the failed write has left
}

// promote gives a draft its final name, durably: its text has no other place, and
// the temporary name is about to be used for a new file.
func (s *Spool) promote(p *placing) error {
	err := s.fs.Rename(s.name(p.id, p.dir, ".tmp"), s.name(p.id, p.dir, ".msg"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an earlier try has done it
		return err
	}
	return s.syncDir(p.dir)
}

// grow appends facts to the file of a message; one that is still a draft is to be
// named.
func (s *Spool) grow(p *placing, draft bool, lines []byte) (err error) {
	if p.f, err = s.fs.Open(s.name(p.id, p.dir, suffix(draft))); err != nil {
		return err
	}
	p.tmp = draft
	b := fill(append([]byte(nil), lines...))
	if len(b) > 0 {
		_, err = p.f.WriteAt(b, p.size)
		p.size += int64(len(b))
	}
	return err
}
