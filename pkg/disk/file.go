package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"
)

// An osFile is a descriptor: without the runtime's poller, which can do nothing for
// regular files and costs two system calls for each. Safe for concurrent use.
type osFile struct {
	name string
	mu   sync.RWMutex // held for reading by each call, so that Close waits for it
	fd   int          // -1: closed, and another file may have the number
}

func (f *osFile) fail(op string, err error) error { return failed(op, f.name, err) }

// call does a system call on an open file until no signal interrupts it.
func (f *osFile) call(op string, do func(fd int) (int, error)) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return 0, f.fail(op, fs.ErrClosed)
	}
	n, err := again(func() (int, error) { return do(f.fd) })
	return n, f.fail(op, err)
}

// again does a system call until no signal interrupts it.
func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

// ReadAt implements [io.ReaderAt].
func (f *osFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := f.call("read", func(fd int) (int, error) { return unix.Pread(fd, p[n:], off+int64(n)) })
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// WriteAt implements [io.WriterAt].
func (f *osFile) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := f.call("write", func(fd int) (int, error) { return unix.Pwrite(fd, p[n:], off+int64(n)) })
		if err == nil && m == 0 {
			err = f.fail("write", io.ErrShortWrite)
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// Size implements [File].
func (f *osFile) Size() (int64, error) {
	st, err := f.stat()
	return st.Size, err
}

func (f *osFile) stat() (st unix.Stat_t, err error) {
	_, err = f.call("stat", func(fd int) (int, error) { return 0, unix.Fstat(fd, &st) })
	return st, err
}

// Datasync implements [File].
func (f *osFile) Datasync() error {
	_, err := f.call("fdatasync", func(fd int) (int, error) { return 0, unix.Fdatasync(fd) })
	return err
}

// Close implements [io.Closer]; the second time it returns [fs.ErrClosed].
func (f *osFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return f.fail("close", fs.ErrClosed)
	}
	err := unix.Close(f.fd) // never again: after EINTR it is closed
	f.fd = -1
	return f.fail("close", err)
}

// beneath opens a name below the root, whatever links are on the way: none may lead out.
// It is one system call where [os.Root] needs two for each directory; for a kernel before
// 5.6, or a sandbox without openat2, that one does it.
func (o *OS) beneath(name string, flags int) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH}
	if flags&unix.O_CREAT != 0 {
		how.Mode = 0o600
	}
	for range 100 { // EAGAIN: something on the way was renamed
		fd, err := again(func() (int, error) { return unix.Openat2(o.dir, name, how) })
		if err != unix.EAGAIN {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// in does something with the directory that a name is in, and what it is called there.
func (o *OS) in(name string, do func(dir int, base string) error) error {
	if o.walk.Load() {
		return unix.ENOSYS
	}
	fd, err := o.beneath(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = again(func() (int, error) { return 0, do(fd, path.Base(name)) })
	return err
}

// walks says whether an error means that [os.Root] has to do it.
func (o *OS) walks(err error) bool {
	if err == unix.ENOSYS {
		o.walk.Store(true)
	}
	return err == unix.ENOSYS || err == unix.EPERM // the second from a sandbox, or really
}

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// openAs opens a name as a file of ours. Flags have O_NOFOLLOW.
func (o *OS) openAs(name string, flags int) (*osFile, error) {
	if o.walk.Load() {
		return o.walkTo(name, flags)
	}
	fd, err := o.beneath(name, flags)
	switch {
	case o.walks(err):
		return o.walkTo(name, flags)
	case err != nil:
		return nil, failed("open", name, err)
	}
	return &osFile{fd: fd, name: name}, nil
}

// walkTo is openAs without openat2. A root resolves links below itself, whatever the
// flags say: so what an old name stands for is looked at first, and the file must be that.
func (o *OS) walkTo(name string, flags int) (*osFile, error) {
	is, err := o.root.Lstat(name)
	if err == nil && !is.Mode().IsRegular() && flags&unix.O_CREAT == 0 {
		return nil, failed("open", name, ErrNotRegular)
	}
	f, err := o.root.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || is != nil && !os.SameFile(is, st) { // another has taken its place
		return nil, errors.Join(failed("open", name, ErrNotRegular), err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, failed("dup", name, err)
	}
	return &osFile{fd: fd, name: name}, nil
}

// regular says whether it is a regular file.
func (f *osFile) regular() error {
	st, err := f.stat()
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return f.fail("open", ErrNotRegular)
	}
	return nil
}

// openRoot is the descriptor that names are resolved below.
func openRoot(name string) (int, error) {
	fd, err := again(func() (int, error) {
		return unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, failed("open", name, err)
	}
	return fd, nil
}
