package spool

import (
	"errors"
	"io/fs"
	"slices"

	"cgq/pkg/mail"
)

// A spare is a Temp File that was discarded: no frame ever named it, so it may be used
// again (F7), by a draft of the same folder. It has the name that it had.
type spare = place

// maxSpares is how many are kept.
const maxSpares = 1000

// SetRecycle says whether discarded Temp Files are kept and used again (chapter: Recycle
// Temp Files).
func (s *Spool) SetRecycle(on bool) {
	s.mu.Lock()
	var gone []spare
	if s.recycle = on; !on {
		gone, s.spares = s.spares, nil
	}
	s.mu.Unlock()
	for _, old := range gone {
		s.throwAway(old)
	}
}

// discard keeps the Temp File of a draft for another, or takes it away. Whether that is
// durable is all the same: what no frame names counts for nothing.
func (s *Spool) discard(id mail.ID, in folder) {
	s.mu.Lock()
	keep := s.recycle && len(s.spares) < maxSpares
	if keep {
		s.spares = append(s.spares, spare{id, in})
	}
	s.mu.Unlock()
	if !keep {
		s.throwAway(spare{id, in})
	}
}

func (s *Spool) throwAway(old spare) {
	name := s.name(old.id, old.in, ".tmp")
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("cannot remove a temporary file; a checkpoint or the next start will", "file", name, "err", err)
		s.mu.Lock()
		s.gone[old.id] = []leftover{{old.in, ".tmp"}}
		s.mu.Unlock()
	}
}

// recycled gives the draft's name to a spare, if there is one in its folder. The caller
// empties the file.
func (d *Draft) recycled(name string) error {
	s := d.s
	s.mu.Lock()
	i := slices.IndexFunc(s.spares, func(o spare) bool { return o.in == d.folder })
	var old spare
	if i >= 0 {
		old = s.spares[i]
		s.spares = slices.Delete(s.spares, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		return nil
	}
	err := s.fs.Rename(s.name(old.id, old.in, ".tmp"), name)
	if errors.Is(err, fs.ErrNotExist) { // somebody has cleared up
		return nil
	}
	return err
}
