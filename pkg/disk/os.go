package disk

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// OS is a directory of a real Linux file system.
type OS struct {
	root *os.Root
	dir  int         // its descriptor, too
	walk atomic.Bool // there is no openat2
}

// OpenOS returns the file system below the directory root. Close it.
func OpenOS(root string) (*OS, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	dir, err := openRoot(root)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &OS{root: r, dir: dir}, nil
}

// Close gives the descriptors back. Files stay open.
func (o *OS) Close() error { return errors.Join(unix.Close(o.dir), o.root.Close()) }

// Create implements [FS]. Nothing but a regular file is taken the place of.
func (o *OS) Create(name string) (File, error) {
	f, err := o.openAs(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW)
	if errors.Is(err, fs.ErrExist) {
		return o.truncate(name)
	}
	if err != nil {
		return nil, err // not f: a nil *osFile in an interface is not nil
	}
	return f, nil
}

func (o *OS) truncate(name string) (File, error) {
	f, err := o.open(name, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	if _, err := f.call("truncate", func(fd int) (int, error) { return 0, unix.Ftruncate(fd, 0) }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Open implements [FS].
func (o *OS) Open(name string) (File, error) {
	f, err := o.open(name, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (o *OS) open(name string, mode int) (*osFile, error) {
	f, err := o.openAs(name, mode|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO): // a link, a directory, a socket
		return nil, failed("open", name, ErrNotRegular)
	case err != nil:
		return nil, err
	}
	if err := f.regular(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Rename implements [FS].
func (o *OS) Rename(old, name string) error {
	err := o.in(old, func(dir int, base string) error {
		if path.Dir(name) != path.Dir(old) {
			return unix.EXDEV
		}
		return unix.Renameat(dir, base, dir, path.Base(name))
	})
	if o.walks(err) {
		return o.root.Rename(old, name)
	}
	return failed("rename", old, err)
}

// Exchange swaps the names of two files of one directory in one step: whatever has the
// second name at that instant has the first one then. It is no part of [FS]: some file
// systems have no such thing, and errors match [errors.ErrUnsupported] there.
func (o *OS) Exchange(a, b string) error {
	err := o.in(a, func(dir int, base string) error {
		if path.Dir(a) != path.Dir(b) {
			return unix.EXDEV
		}
		return unix.Renameat2(dir, base, dir, path.Base(b), unix.RENAME_EXCHANGE)
	})
	if err == unix.EINVAL || o.walks(err) {
		err = unix.ENOSYS // which is errors.ErrUnsupported
	}
	return failed("exchange", a, err)
}

// Mimic gives a file the mode of another, and its owner and group as far as we may: what the
// group may do with the other goes with the group. It is no part of [FS].
func (o *OS) Mimic(name, like string) error {
	is, err := o.root.Lstat(like)
	if err != nil {
		return err
	}
	mode := is.Mode().Perm()
	if st, ok := is.Sys().(*syscall.Stat_t); ok {
		if o.root.Lchown(name, int(st.Uid), int(st.Gid)) != nil && o.root.Lchown(name, -1, int(st.Gid)) != nil {
			mode &^= 0o070
		}
	}
	return o.root.Chmod(name, mode)
}

// Has says whether a file that is open has a name still: nobody has moved it away, or put
// another into its place. It is no part of [FS].
func (o *OS) Has(f File, name string) bool {
	is, ok := f.(*osFile)
	if !ok {
		return true // nobody knows
	}
	mine, err := is.stat()
	if err != nil {
		return false
	}
	there, err := o.root.Lstat(name)
	if err != nil {
		return false
	}
	st, ok := there.Sys().(*syscall.Stat_t)
	return ok && st.Dev == mine.Dev && st.Ino == mine.Ino
}

// Link implements [FS].
func (o *OS) Link(old, name string) error {
	err := o.in(old, func(from int, base string) error {
		return o.in(name, func(to int, second string) error { return unix.Linkat(from, base, to, second, 0) })
	})
	if o.walks(err) {
		return o.root.Link(old, name)
	}
	return failed("link", old, err)
}

// Remove implements [FS].
func (o *OS) Remove(name string) error {
	err := o.in(name, func(dir int, base string) error {
		err := unix.Unlinkat(dir, base, 0)
		if err == unix.EISDIR {
			err = unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
		}
		return err
	})
	if o.walks(err) {
		return o.root.Remove(name)
	}
	return failed("remove", name, err)
}

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
	if o.walk.Load() {
		return o.walkSync(dir)
	}
	fd, err := o.beneath(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if o.walks(err) {
		return o.walkSync(dir)
	}
	if err != nil {
		return failed("open", dir, err)
	}
	f := &osFile{fd: fd, name: dir}
	defer f.Close()
	_, err = f.call("fsync", func(fd int) (int, error) { return 0, unix.Fsync(fd) })
	return err
}

func (o *OS) walkSync(dir string) error {
	d, err := o.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// noCopyOnWrite is FS_NOCOW_FL of linux/fs.h.
const noCopyOnWrite = 0x00800000

// NoCopyOnWrite makes files that are created in a directory from now on be written in
// place, where that is not so by itself: on btrfs, whose copies would cost a change of
// metadata for each write. On other file systems it does nothing.
func (o *OS) NoCopyOnWrite(dir string) error {
	d, err := o.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &st); err != nil || st.Type != unix.BTRFS_SUPER_MAGIC {
		return err
	}
	flags, err := unix.IoctlGetUint32(int(d.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&noCopyOnWrite != 0 {
		return err
	}
	return unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, int(flags|noCopyOnWrite))
}

var _ FS = (*OS)(nil)
