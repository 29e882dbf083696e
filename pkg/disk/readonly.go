package disk

import (
	"os"
	"syscall"
)

// OpenReadOnly returns the file system below the directory root for one who only
// looks: it may be mounted read-only, and whoever tries to write, or to sync, gets
// EROFS. Close it.
func OpenReadOnly(root string) (*ReadOnly, error) {
	fsys, err := OpenOS(root)
	if err != nil {
		return nil, err
	}
	return &ReadOnly{fsys}, nil
}

// ReadOnly is a directory of a real Linux file system that is only looked at.
type ReadOnly struct{ os *OS }

// Close gives the descriptor back. Files stay open.
func (r *ReadOnly) Close() error { return r.os.Close() }

// Open implements [FS].
func (r *ReadOnly) Open(name string) (File, error) {
	f, err := r.os.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err // not f: a nil *osFile in an interface is not nil
	}
	return f, nil
}

// List implements [FS].
func (r *ReadOnly) List(dir string) ([]string, error) { return r.os.List(dir) }

// Create implements [FS].
func (*ReadOnly) Create(name string) (File, error) { return nil, refused("create", name) }

// Rename implements [FS].
func (*ReadOnly) Rename(old, _ string) error { return refused("rename", old) }

// Link implements [FS].
func (*ReadOnly) Link(old, _ string) error { return refused("link", old) }

// Remove implements [FS].
func (*ReadOnly) Remove(name string) error { return refused("remove", name) }

// Mkdir implements [FS].
func (*ReadOnly) Mkdir(name string) error { return refused("mkdir", name) }

// SyncDir implements [FS].
func (*ReadOnly) SyncDir(dir string) error { return refused("sync", dir) }

func refused(operation, name string) error {
	return &os.PathError{Op: operation, Path: name, Err: syscall.EROFS}
}

var _ FS = (*ReadOnly)(nil)
