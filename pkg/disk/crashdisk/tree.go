package crashdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"

	"cgq/pkg/disk"
)

// A Tree is a [Disk] whose directories survive no better than files: a directory is a
// name in another one, and what was synced in it is lost with it. Their names can be
// changed and removed, too. Steps, faults and power are the Disk's, with mkdir as one more
// operation. No sector is found as garbage.
type Tree struct {
	Disk // its names are not used

	root *folder
}

// A node is a file or a directory; the other one is nil.
type node struct {
	file *inode
	dir  *folder
}

// A folder is the names in a directory.
type folder struct {
	live, kept map[string]node
	changes    []renaming // from kept to live
}

// A renaming is one change of a directory: from goes, to is node. Either may be empty.
type renaming struct {
	from, to string
	node     node
}

func (r renaming) apply(names map[string]node) {
	delete(names, r.from)
	if r.to != "" {
		names[r.to] = r.node
	}
}

func newFolder() *folder { return &folder{live: map[string]node{}, kept: map[string]node{}} }

// NewTree returns an empty disk that loses power at step n, counted from 0; never if n
// is negative.
func NewTree(n int) *Tree { return &Tree{Disk: Disk{left: n}, root: newFolder()} }

// find returns what has a name, and the directory that it is or would be in.
func (t *Tree) find(name string) (in *folder, n node, err error) {
	in, n = nil, node{dir: t.root}
	if name == "." {
		return in, n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if n.dir == nil {
			return nil, node{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		in, n = n.dir, n.dir.live[part]
	}
	return in, n, nil
}

func (n node) there() bool { return n.file != nil || n.dir != nil }

// edit is a step that changes a directory.
func (t *Tree) edit(operation, name string, in *folder, r renaming) error {
	begun, err := t.step(operation, name)
	if begun {
		r.apply(in.live)
		in.changes = append(in.changes, r)
	}
	return told(err)
}

// Create implements [disk.FS].
func (t *Tree) Create(name string) (disk.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in, n, err := t.find(name)
	switch {
	case err != nil:
		return nil, err
	case n.dir != nil:
		return nil, fmt.Errorf("create %s: %w", name, disk.ErrNotRegular)
	}
	i := newInode(nil)
	if err := t.edit("create", name, in, renaming{to: path.Base(name), node: node{file: i}}); err != nil {
		return nil, err
	}
	return &file{&t.Disk, i, name}, nil
}

// Open implements [disk.FS].
func (t *Tree) Open(name string) (disk.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find(name)
	switch {
	case t.off:
		return nil, ErrPower
	case err != nil:
		return nil, err
	case n.dir != nil:
		return nil, fmt.Errorf("open %s: %w", name, disk.ErrNotRegular)
	case n.file == nil:
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &file{&t.Disk, n.file, name}, nil
}

// Rename implements [disk.FS].
func (t *Tree) Rename(old, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	in, n, err := t.find(old)
	_, there, _ := t.find(name)
	switch {
	case err != nil:
		return err
	case !n.there() || path.Dir(old) != path.Dir(name):
		return fmt.Errorf("rename %s %s: %w", old, name, fs.ErrNotExist)
	case there.dir != nil || n.dir != nil && there.file != nil:
		return fmt.Errorf("rename %s %s: %w", old, name, fs.ErrExist)
	}
	return t.edit("rename", name, in, renaming{path.Base(old), path.Base(name), n})
}

// Link implements [disk.FS].
func (t *Tree) Link(old, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find(old)
	in, there, err2 := t.find(name)
	switch {
	case errors.Join(err, err2) != nil:
		return errors.Join(err, err2)
	case n.file == nil:
		return fmt.Errorf("link %s %s: %w", old, name, fs.ErrNotExist)
	case there.there():
		return fmt.Errorf("link %s %s: %w", old, name, fs.ErrExist)
	}
	return t.edit("link", name, in, renaming{to: path.Base(name), node: n})
}

// Remove implements [disk.FS].
func (t *Tree) Remove(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	in, n, err := t.find(name)
	switch {
	case err != nil:
		return err
	case !n.there():
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	case n.dir != nil && len(n.dir.live) > 0:
		return fmt.Errorf("remove %s: %w", name, syscall.ENOTEMPTY)
	}
	return t.edit("remove", name, in, renaming{from: path.Base(name)})
}

// Mkdir implements [disk.FS]. Each directory that it makes is a step.
func (t *Tree) Mkdir(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name == "." {
		return nil
	}
	at, dir := "", t.root
	for part := range strings.SplitSeq(name, "/") {
		at = path.Join(at, part)
		n := dir.live[part]
		if n.file != nil {
			return fmt.Errorf("mkdir %s: %w", at, syscall.ENOTDIR)
		}
		if n.dir == nil {
			n.dir = newFolder()
			if err := t.edit("mkdir", at, dir, renaming{to: part, node: n}); err != nil {
				return err
			}
		}
		dir = n.dir
	}
	return nil
}

// List implements [disk.FS].
func (t *Tree) List(dir string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find(dir)
	switch {
	case t.off:
		return nil, ErrPower
	case errors.Is(err, fs.ErrNotExist) || !n.there():
		return nil, nil
	case n.dir == nil:
		return nil, fmt.Errorf("list %s: %w", dir, syscall.ENOTDIR)
	}
	return slices.Sorted(maps.Keys(n.dir.live)), nil
}

// SyncDir implements [disk.FS].
func (t *Tree) SyncDir(dir string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, n, err := t.find(dir)
	switch {
	case err != nil:
		return err
	case n.dir == nil:
		return fmt.Errorf("sync %s: %w", dir, fs.ErrNotExist)
	}
	if _, err := t.step("syncdir", dir); err != nil {
		return told(err)
	}
	n.dir.kept, n.dir.changes = maps.Clone(n.dir.live), nil
	return nil
}

// Restart returns a disk as it may be found after the crash: what was synced, and any of
// the rest. One time in four it is nothing, one in four everything.
func (t *Tree) Restart(rng *rand.Rand) *Tree {
	t.mu.Lock()
	defer t.mu.Unlock()
	mood := rng.IntN(4)
	after := NewTree(-1)
	after.root = t.root.survive(func(n int) int {
		switch mood {
		case 0:
			return 0
		case 1:
			return n - 1
		}
		return rng.IntN(n)
	}, map[*inode]*inode{})
	return after
}

// survive returns the directory as it is found after the crash; pick chooses one of n
// states, and a file with two names is found once.
func (f *folder) survive(pick func(n int) int, found map[*inode]*inode) *folder {
	names, stuck := maps.Clone(f.kept), map[string]bool{}
	for _, r := range f.changes {
		if stuck[r.from] || stuck[r.to] || pick(2) == 0 {
			stuck[r.from], stuck[r.to] = r.from != "", r.to != "" // later ones of the name fail too
			continue
		}
		r.apply(names)
	}
	after := newFolder()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		switch {
		case n.dir != nil:
			n.dir = n.dir.survive(pick, found)
		case found[n.file] == nil:
			found[n.file] = n.file.survive(pick)
			fallthrough
		default:
			n.file = found[n.file]
		}
		after.live[name] = n
	}
	after.kept = maps.Clone(after.live)
	return after
}

// Files returns the names of files, from the root, with a suffix, and their bytes.
func (t *Tree) Files(suffix string) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := map[string]string{}
	t.root.files("", suffix, m)
	return m
}

func (f *folder) files(at, suffix string, m map[string]string) {
	for name, n := range f.live {
		switch name = path.Join(at, name); {
		case n.dir != nil:
			n.dir.files(name, suffix, m)
		case strings.HasSuffix(name, suffix):
			m[name] = string(n.file.data)
		}
	}
}

var _ disk.FS = (*Tree)(nil)
