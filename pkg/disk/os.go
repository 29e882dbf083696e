package disk

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// OS is a directory of a real Linux file system.
type OS struct{ root *os.Root }

// OpenOS returns the file system below the directory root. Close it.
func OpenOS(root string) (*OS, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	return &OS{r}, nil
}

// Close gives the descriptor back. Files stay open.
func (o *OS) Close() error { return o.root.Close() }

// Create implements [FS]. Nothing but a regular file is taken the place of.
func (o *OS) Create(name string) (File, error) {
	f, err := o.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return o.truncate(name)
	}
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return osFile{f}, nil
}

func (o *OS) truncate(name string) (File, error) {
	f, err := o.Open(name)
	if err != nil {
		return nil, err
	}
	if err := f.(osFile).Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Open implements [FS]. A root resolves links below itself, whatever the flags say:
// so what the name stands for is looked at first, and the file must be that.
func (o *OS) Open(name string) (File, error) { return o.open(name, os.O_RDWR) }

func (o *OS) open(name string, mode int) (File, error) {
	is, err := o.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !is.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	f, err := o.root.OpenFile(name, mode|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	st, err := f.Stat()
	if err != nil || !os.SameFile(is, st) { // another has taken its place
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}, err, f.Close())
	}
	return osFile{f}, nil
}

// Rename implements [FS].
func (o *OS) Rename(old, name string) error { return o.root.Rename(old, name) }

// Link implements [FS].
func (o *OS) Link(old, name string) error { return o.root.Link(old, name) }

// Remove implements [FS].
func (o *OS) Remove(name string) error { return o.root.Remove(name) }

// Mkdir implements [FS].
func (o *OS) Mkdir(name string) error { return o.root.MkdirAll(name, 0o700) }

// List implements [FS].
func (o *OS) List(dir string) ([]string, error) {
	d, err := o.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// SyncDir implements [FS].
func (o *OS) SyncDir(dir string) error {
	d, err := o.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Free returns the bytes and inodes that a user without privileges may still use on
// the file system; counts says whether it counts inodes at all.
func (o *OS) Free() (bytes, inodes int64, counts bool, err error) {
	d, err := o.root.Open(".")
	if err != nil {
		return 0, 0, false, err
	}
	defer d.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &st); err != nil {
		return 0, 0, false, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Ffree), st.Files > 0, nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Datasync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

var _ FS = (*OS)(nil)
