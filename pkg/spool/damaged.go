package spool

import (
	"cmp"
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
func (r *recovering) where(id mail.ID, c *candidate) string {
	if !c.filed {
		return r.journals()
	}
	return r.name(id, c.m.folder, suffix(c.m.draft))
}

// sentence says what becomes of what cannot be believed, and of the drafts that nothing
// names: of these a hole in the journal may be the reason, unless their message is known
// otherwise (R3).
func (r *recovering) sentence() {
	for _, id := range slices.Sorted(maps.Keys(r.bad)) {
		bad, before := r.bad[id], len(r.Damage)
		names := []string{bad.name}
		if in, ok := r.drafts[id]; ok && r.name(id, in, ".tmp") != bad.name {
			names = append(names, r.name(id, in, ".tmp"))
		}
		for _, name := range names {
			if name != "" && r.movable(name) {
				r.aside(name, bad.why)
			}
		}
		switch {
		case r.images[id] != nil:
			r.finding(r.journals(), bad.why, "moved to "+r.damaged())
		case len(r.Damage) == before:
			r.finding(r.journals(), bad.why, "nothing is left of it")
		}
		delete(r.drafts, id)
	}
	for _, id := range slices.Sorted(maps.Keys(r.drafts)) {
		name := r.name(id, r.drafts[id], ".tmp")
		if r.holed && !r.known(id) {
			r.aside(name, fmt.Errorf("%w: %w", ErrDamaged, errLost))
			continue
		}
		r.Removed = append(r.Removed, name)
	}
}

// known says whether there is a message of an id, or was, otherwise than by its draft.
func (r *recovering) known(id mail.ID) bool {
	_, gone := r.gone[id]
	_, filed := slices.BinarySearchFunc(r.files, id, func(p place, id mail.ID) int { return cmp.Compare(p.id, id) })
	return gone || filed || r.found[id] != nil
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
			if err := r.save(path.Join(r.damaged(), id.String()), ".msg", b); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.loose)) {
		if err := r.save(path.Join(r.damaged(), id.String()), ".facts", r.loose[id]); err != nil {
			return err
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
func (r *recovering) save(name, suffix string, b []byte) error {
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
	return disk.MoveAside(r.fs, tmp, name+suffix)
}
