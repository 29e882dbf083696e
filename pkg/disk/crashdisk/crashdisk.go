// Package crashdisk is a [disk.FS] in memory that loses power at a chosen step,
// keeps of what was not synced only what it likes, and fails when told to.
//
// The model. A file survives sector by sector: each sector of 512 bytes is found
// as it was after any one of the writes since it was last synced, so a write can
// be torn anywhere between sectors and nowhere else. The length is found as it
// was after any of them; what lies below it and was never written is zeros. Each
// create, rename and remove survives or not for itself, but in order for one
// name. Directories always survive. One sector of all that were not synced may
// be found as garbage: the one being written when the power failed. A sync that
// fails has lost what it should have written: readers still see it, no later sync
// will save it.
package crashdisk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"

	"cgq/pkg/disk"
)

// ErrPower is what every operation returns after the power is gone.
var ErrPower = errors.New("power lost")

// Lie, returned by a fault, makes the operation report success without being done.
var Lie = errors.New("lie")

// A Hang, returned by a fault, makes the operation wait until it is closed, and then be
// done. Other operations go on meanwhile.
type Hang chan struct{}

func (Hang) Error() string { return "hangs" }

// A Fault is asked before each step and returns the error that the step fails
// with, or nil. The operations are create, write, datasync, rename, link, remove,
// syncdir. A write that fails has written half of its bytes.
type Fault func(operation, name string) error

// An entry is one change of the directory that no sync has covered: from goes,
// to points to node. Either name may be empty.
type entry struct {
	from, to string
	node     *inode
}

func (e entry) apply(names map[string]*inode) {
	delete(names, e.from)
	if e.to != "" {
		names[e.to] = e.node
	}
}

func (e entry) in(dir string) bool { return path.Dir(cmp.Or(e.to, e.from)) == dir }

// Disk is the file system. Each call that changes or syncs is one step.
type Disk struct {
	mu      sync.Mutex
	live    map[string]*inode // what readers see
	kept    map[string]*inode // what survives for certain
	changes []entry           // from kept to live
	left    int               // steps until power is lost; negative: never
	steps   int
	off     bool
	fault   Fault
}

// New returns an empty disk that loses power at step n, counted from 0; never
// if n is negative.
func New(n int) *Disk {
	return &Disk{live: map[string]*inode{}, kept: map[string]*inode{}, left: n}
}

// Fail makes f decide from now on which operations fail; nil: none.
func (d *Disk) Fail(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// PowerFor lets n more steps happen. After power was lost it stands for the death
// of the process only: everything done is still seen, and nothing more is synced.
func (d *Disk) PowerFor(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.off = n, false
}

// Steps is the number of steps so far.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Restart returns a disk as it may be found after the crash: what was synced,
// and any of the rest. One time in four it is nothing, one in four everything.
func (d *Disk) Restart(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	mood := rng.IntN(4)
	pick := func(n int) int { // one of n states, the oldest first
		switch mood {
		case 0:
			return 0
		case 1:
			return n - 1
		}
		return rng.IntN(n)
	}
	names, stuck := maps.Clone(d.kept), map[string]bool{}
	for _, e := range d.changes {
		if stuck[e.from] || stuck[e.to] || pick(2) == 0 {
			stuck[e.from], stuck[e.to] = e.from != "", e.to != "" // later ones of the name fail too
			continue
		}
		e.apply(names)
	}
	type place struct {
		i      *inode
		sector int
	}
	var writing []place
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, s := range slices.Sorted(maps.Keys(names[name].dirty)) {
			writing = append(writing, place{names[name], s})
		}
	}
	var garbage place
	if len(writing) > 0 && mood > 1 && rng.IntN(2) == 0 {
		garbage = writing[rng.IntN(len(writing))]
	}
	n, found := New(-1), map[*inode]*inode{} // a file with two names is found once
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was := names[name]
		if found[was] == nil {
			found[was] = was.survive(pick)
			if garbage.i == was {
				found[was].spoil(garbage.sector)
			}
		}
		n.live[name] = found[was]
	}
	n.kept = maps.Clone(n.live)
	return n
}

// Files returns the names with a suffix and their bytes.
func (d *Disk) Files(suffix string) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := map[string]string{}
	for n, i := range d.live {
		if strings.HasSuffix(n, suffix) {
			m[n] = string(i.data)
		}
	}
	return m
}

// step counts an operation. Whether it is begun and how it ends are two things:
// the one at which power goes is begun, and may survive.
func (d *Disk) step(operation, name string) (begun bool, err error) {
	switch {
	case d.off:
		return false, ErrPower
	case d.left == 0:
		d.off = true
		return true, ErrPower
	}
	d.left--
	d.steps++
	if d.fault == nil {
		return true, nil
	}
	err = d.fault(operation, name)
	if hang := Hang(nil); errors.As(err, &hang) {
		d.mu.Unlock()
		<-hang
		d.mu.Lock()
		err = nil
	}
	return err == nil, err
}

// told is what the caller hears of err.
func told(err error) error {
	if errors.Is(err, Lie) {
		return nil
	}
	return err
}

func (d *Disk) change(operation, name string, e entry) error {
	begun, err := d.step(operation, name)
	if begun {
		e.apply(d.live)
		d.changes = append(d.changes, e)
	}
	return told(err)
}

// Create implements [disk.FS].
func (d *Disk) Create(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := newInode(nil)
	if err := d.change("create", name, entry{to: name, node: i}); err != nil {
		return nil, err
	}
	return &file{d, i, name}, nil
}

// Open implements [disk.FS].
func (d *Disk) Open(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live[name] == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &file{d, d.live[name], name}, nil
}

// Rename implements [disk.FS].
func (d *Disk) Rename(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.live[old]
	if i == nil || path.Dir(old) != path.Dir(name) {
		return fmt.Errorf("rename %s %s: %w", old, name, fs.ErrNotExist)
	}
	return d.change("rename", name, entry{from: old, to: name, node: i})
}

// Link implements [disk.FS]. The second name survives or not for itself.
func (d *Disk) Link(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.live[old]
	switch {
	case i == nil:
		return fmt.Errorf("link %s %s: %w", old, name, fs.ErrNotExist)
	case d.live[name] != nil:
		return fmt.Errorf("link %s %s: %w", old, name, fs.ErrExist)
	}
	return d.change("link", name, entry{to: name, node: i})
}

// Remove implements [disk.FS].
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live[name] == nil {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	return d.change("remove", name, entry{from: name})
}

// Mkdir implements [disk.FS]: there are all directories that one may ask for.
func (d *Disk) Mkdir(string) error { return nil }

// List implements [disk.FS].
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, ErrPower
	}
	var names []string
	for name := range d.live {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements [disk.FS].
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.step("syncdir", dir); err != nil {
		return told(err)
	}
	d.settle(func(e entry) bool { return e.in(dir) })
	return nil
}

// settle makes the changes that which names durable.
func (d *Disk) settle(which func(entry) bool) {
	d.changes = slices.DeleteFunc(d.changes, func(e entry) bool {
		if which(e) {
			e.apply(d.kept)
			return true
		}
		return false
	})
}

var _ disk.FS = (*Disk)(nil)
