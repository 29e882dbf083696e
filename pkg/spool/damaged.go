package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// A Finding is something in the Queue that is not as it should be: an error, for the
// log. Names and reasons hold what strangers wrote.
type Finding struct {
	Name string // the file; of what has none, the journal
	Why  error
	Fate string // what a start does about it
}

func (f Finding) Error() string { return f.Name + ": " + f.Why.Error() + "; " + f.Fate }

// Unwrap returns the reason.
func (f Finding) Unwrap() error { return f.Why }

// The fates, besides moving.
const (
	leftAlone = "left alone"
	held      = "held"
)

var errLost = errors.New("nothing names this text, and the journal has lost commits")

func (r *recovering) finding(name string, why error, fate string) {
	r.Damage = append(r.Damage, Finding{name, why, fate})
}

// where is the file that holds a message, or the journal.
func (r *recovering) where(id mail.ID) string {
	c := r.found[id]
	if !c.filed {
		return r.journals()
	}
	return r.name(id, suffix(c.m.draft))
}

// sentence says what becomes of what cannot be believed, and of the drafts that nothing
// names: of these a hole in the journal may be the reason, unless their message is known
// otherwise (R3).
func (r *recovering) sentence() {
	move := "moved to " + r.damaged()
	for _, id := range slices.Sorted(maps.Keys(r.bad)) {
		before := len(r.Damage)
		for _, suffix := range []string{".msg", ".tmp"} {
			if name := r.name(id, suffix); r.movable(name) {
				r.moves = append(r.moves, name)
				r.finding(name, r.bad[id], move)
			}
		}
		switch {
		case r.images[id] != nil:
			r.finding(r.journals(), r.bad[id], move)
		case len(r.Damage) == before:
			r.finding(r.journals(), r.bad[id], "nothing is left of it")
		}
		delete(r.drafts, id)
	}
	for _, id := range slices.Sorted(maps.Keys(r.drafts)) {
		name := r.drafts[id]
		if r.holed && r.found[id] == nil && !r.gone[id] {
			r.moves = append(r.moves, name)
			r.finding(name, fmt.Errorf("%w: %w", ErrDamaged, errLost), move)
			continue
		}
		r.Removed = append(r.Removed, name)
	}
}

// movable says whether there is a file of a name.
func (r *recovering) movable(name string) bool {
	f, err := r.fs.Open(name)
	if err == nil {
		f.Close()
	}
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, disk.ErrNotRegular)
}

// setAside does it.
func (r *recovering) setAside() error {
	for _, name := range r.moves {
		if err := disk.MoveAside(r.fs, name, path.Join(r.damaged(), path.Base(name))); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.images)) {
		if b := r.images[id]; b != nil {
			if err := r.save(path.Join(r.damaged(), id.String()), b); err != nil {
				return err
			}
		}
	}
	for _, name := range r.Removed {
		if err := r.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // a helper of an earlier life may be at it
			return err
		}
	}
	return nil
}

// save keeps what only the journal held.
func (r *recovering) save(name string, b []byte) error {
	tmp := name + ".tmp"
	if err := r.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be the kept one, too
		return err
	}
	f, err := r.write(tmp, b)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Datasync(), f.Close()); err != nil {
		return err
	}
	return disk.MoveAside(r.fs, tmp, name+".msg")
}
