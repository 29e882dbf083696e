package submitted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A folder is a directory that others write into. Names are those in it. What is not a
// regular file is never opened. After an error of Sync nothing is promised, not even by a
// later nil.
type folder interface {
	// Names calls do with all names, some at a time.
	Names(do func(names []string) error) error
	// Stat looks at a name itself, whatever it is.
	Stat(name string) (info, error)
	// Open opens a regular file for reading. It follows no link and waits for nothing.
	Open(name string) (file, error)
	// Rename gives a file another name, or returns an error matching fs.ErrExist: it takes
	// nobody's place.
	Rename(old, name string) error
	// Remove takes a name away.
	Remove(name string) error
	// Write makes a file that only its owner can read.
	Write(name string, text []byte) error
	// Sync makes the names durable as they are now.
	Sync() error
	// Identity is the same for all folders that are one directory.
	Identity() identity
}

// An identity tells directories apart whatever paths lead to them.
type identity struct{ dev, ino uint64 }

// A file is open for reading.
type file interface {
	io.ReaderAt
	io.Closer
	Stat() (info, error)
	// Writing says whether somebody has it open for writing, if that can be known.
	Writing() (is, known bool)
}

// An info is what is known of a file.
type info struct {
	kind     fs.FileMode // the type bits; 0: a regular file
	dev, ino uint64
	links    uint64
	owner    uint32
	size     int64
	written  unix.Timespec // when its bytes were last changed
}

func (i info) same(j info) bool { return i.dev == j.dev && i.ino == j.ino && i.kind == j.kind }

// unchanged says that the bytes are the same, as far as the file system tells.
func (i info) unchanged(j info) bool { return i.same(j) && i.size == j.size && i.written == j.written }

func infoOf(st *unix.Stat_t) info {
	i := info{dev: st.Dev, ino: st.Ino, links: uint64(st.Nlink), owner: st.Uid, size: st.Size, written: st.Mtim} //nolint:unconvert // it is narrower on some machines
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		i.kind = fs.ModeDir
	case unix.S_IFLNK:
		i.kind = fs.ModeSymlink
	case unix.S_IFIFO:
		i.kind = fs.ModeNamedPipe
	case unix.S_IFSOCK:
		i.kind = fs.ModeSocket
	default:
		i.kind = fs.ModeDevice
	}
	return i
}

// An osFolder is one of the real file system. It is closed when nobody uses it any more.
type osFolder struct {
	dir    *os.File
	is     identity
	leases bool // who else has a file open is known here
}

func openFolder(path string) (folder, error) {
	fd, err := uninterrupted(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	o := &osFolder{dir: os.NewFile(uintptr(fd), path), leases: true}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "stat", Path: path, Err: err}, o.dir.Close())
	}
	o.is = identity{infoOf(&st).dev, infoOf(&st).ino}
	var on unix.Statfs_t
	if err := unix.Fstatfs(fd, &on); err == nil {
		o.leases = !slices.Contains(far, uint32(on.Type))
	}
	return o, nil
}

// far are file systems that others have, too: they do not know who writes, and some say
// that somebody always does.
var far = []uint32{unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
	unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC}

// uninterrupted does a system call until no signal interrupts it.
func uninterrupted(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

func (o *osFolder) do(op, name string, call func(dir int) (int, error)) (n int, err error) {
	raw, err := o.dir.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { n, err = uninterrupted(func() (int, error) { return call(int(fd)) }) })
	if failed != nil {
		err = failed
	}
	if err != nil {
		err = &fs.PathError{Op: op, Path: o.dir.Name() + "/" + name, Err: err}
	}
	return n, err
}

func (o *osFolder) openat(name string, flags int) (*os.File, error) {
	fd, err := o.do("open", name, func(dir int) (int, error) {
		return unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// chunk is how many names are read at once: a directory may have a million.
const chunk = 1000

func (o *osFolder) Names(do func(names []string) error) error {
	d, err := o.openat(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(chunk)
		if len(names) > 0 {
			if err := do(names); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (o *osFolder) Stat(name string) (info, error) {
	var st unix.Stat_t
	_, err := o.do("stat", name, func(dir int) (int, error) {
		return 0, unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return infoOf(&st), err
}

func (o *osFolder) Open(name string) (file, error) {
	f, err := o.openat(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return osFile{f, o.leases}, nil
}

func (o *osFolder) Rename(old, name string) error {
	_, err := o.do("rename", old, func(dir int) (int, error) {
		err := unix.Renameat2(dir, old, dir, name, unix.RENAME_NOREPLACE)
		if err == unix.EINVAL || err == unix.ENOSYS { // not on this file system: then it is looked at first
			var st unix.Stat_t
			if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
				return 0, unix.EEXIST
			}
			err = unix.Renameat(dir, old, dir, name)
		}
		return 0, err
	})
	return err
}

func (o *osFolder) Remove(name string) error {
	_, err := o.do("remove", name, func(dir int) (int, error) { return 0, unix.Unlinkat(dir, name, 0) })
	return err
}

func (o *osFolder) Write(name string, text []byte) error {
	f, err := o.openat(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func (o *osFolder) Sync() error {
	_, err := o.do("sync", ".", func(dir int) (int, error) { return 0, unix.Fsync(dir) })
	return err
}

func (o *osFolder) Identity() identity { return o.is }

// stale says that the path leads to another directory by now.
func (o *osFolder) stale() bool {
	at, err := os.Stat(o.dir.Name())
	if err != nil {
		return true
	}
	is, err := o.dir.Stat()
	return err != nil || !os.SameFile(at, is)
}

type osFile struct {
	*os.File
	leases bool
}

func (f osFile) Stat() (i info, err error) {
	var st unix.Stat_t
	raw, err := f.SyscallConn()
	if err != nil {
		return i, err
	}
	if failed := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); failed != nil {
		err = failed
	}
	if err != nil {
		return i, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return infoOf(&st), nil
}

// Writing asks for a lease, which the system does not give on a file that is open for
// writing, nor to one who is neither its owner nor root.
func (f osFile) Writing() (is, known bool) {
	raw, err := f.SyscallConn()
	if err != nil || !f.leases {
		return false, false
	}
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		is, known = err == unix.EAGAIN, err == nil || err == unix.EAGAIN
		if err == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	return is, known
}
