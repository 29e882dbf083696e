// Package disk is the file system as a seam: what the house needs of one, each
// method with what it promises after power loss. [OS] is the real one;
// crashdisk is one that loses power. It does not know what is stored.
package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// ErrNotRegular is returned by Open for a link, FIFO, device or directory.
var ErrNotRegular = errors.New("not a regular file")

// A File is open for reading and writing at any place.
type File interface {
	io.ReaderAt
	io.WriterAt // an error may leave any part of the bytes written
	io.Closer

	// Size is the length in bytes.
	Size() (int64, error)

	// Datasync returns nil when every byte written so far, through whatever
	// handle, and the length survive power loss. The name is SyncDir's affair.
	// After an error nothing is promised, not even by a later nil: the kernel may
	// have dropped the bytes and called them clean. So never try again.
	Datasync() error
}

// FS is the part of a file system that the house uses. Names are slash-separated
// and relative to its root. Reading sees every operation at once; after power
// loss, operations that no sync covered have happened or not, each for itself.
type FS interface {
	// Create makes an empty file, in place of one that has the name.
	Create(name string) (File, error)
	// Open opens a regular file that is there, or returns an error matching
	// fs.ErrNotExist. It follows no link and waits for no FIFO: for what is not a
	// regular file it returns ErrNotRegular.
	Open(name string) (File, error)
	// Rename gives a file, or a directory, another name in the same directory, in
	// place of a file that has it: at any time, and after power loss, one of the two is there. It
	// may survive although the bytes of the file do not.
	Rename(old, name string) error
	// Link gives a file a second name, in any directory, or returns an error matching
	// fs.ErrExist: it never takes the place of another file.
	Link(old, name string) error
	// Remove takes the name of a file or of an empty directory away, or returns an
	// error matching fs.ErrNotExist.
	Remove(name string) error
	// Mkdir makes a directory and those above it; they may be there already. Their
	// names are the SyncDir of the directories that they are in.
	Mkdir(name string) error
	// List returns the names in a directory, sorted; none if there is no directory.
	List(dir string) ([]string, error)

	// SyncDir makes the names in dir durable as they are now. Errors: as Datasync.
	SyncDir(dir string) error
}

// ReadFull fills b from what stands at off. Errors: those of [io.ReaderAt], [io.EOF] when
// the file ends before b is full, and only then.
func ReadFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if err == io.EOF && n == len(b) {
		return nil
	}
	return err
}

// ReadFile reads a whole file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if err := ReadFull(f, b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// Publish gives the written file f, so far called old, its final name in the
// same directory. When it returns nil, name and bytes survive power loss; when
// it returns an error neither is promised, and the caller must not retry on f.
func Publish(fsys FS, f File, old, name string) error {
	if err := f.Datasync(); err != nil { // first the bytes: a name without them is a lie
		return err
	}
	if err := fsys.Rename(old, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// Keep gives a file a second name in another directory, durably: the wanted one, or,
// where another file has that, the wanted one with .1, .2 and so on. A file there with
// the same bytes is the second name already: of a try that a crash cut short, so trying
// again is safe. It returns the name. The bytes are the caller's affair.
func Keep(fsys FS, name, wanted string) (kept string, err error) {
	for n := range 1000 {
		kept = numbered(wanted, n)
		if err = fsys.Link(name, kept); !errors.Is(err, fs.ErrExist) {
			break
		}
		same, err := Same(fsys, name, kept)
		if err != nil {
			return "", err
		}
		if same {
			return kept, fsys.SyncDir(path.Dir(kept))
		}
	}
	if err != nil {
		return "", err
	}
	return kept, fsys.SyncDir(path.Dir(kept))
}

// Kept says whether [Keep] has been called for a file as it is now. It writes nothing.
func Kept(fsys FS, name, wanted string) (bool, error) {
	for n := range 1000 {
		same, err := Same(fsys, name, numbered(wanted, n))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case same || err != nil:
			return same, err
		}
	}
	return false, nil
}

func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, n)
}

// MoveAside is [Keep], and then the first name is taken away, durably: at no instant
// the file has none, and it never takes the place of another.
func MoveAside(fsys FS, name, wanted string) error {
	if _, err := Keep(fsys, name, wanted); err != nil {
		return err
	}
	if err := fsys.Remove(name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// Same says whether two files have the same bytes. What is not a regular file is the
// same as none.
func Same(fsys FS, a, b string) (same bool, err error) {
	var sizes [2]int64
	var files [2]File
	for i, name := range []string{a, b} {
		f, err := fsys.Open(name)
		if errors.Is(err, ErrNotRegular) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		defer f.Close()
		if sizes[i], err = f.Size(); err != nil {
			return false, err
		}
		files[i] = f
	}
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	same = sizes[0] == sizes[1]
	for off := int64(0); same && off < sizes[0]; off += int64(len(x)) {
		n := min(int64(len(x)), sizes[0]-off)
		for i, b := range [][]byte{x[:n], y[:n]} {
			if _, err := files[i].ReadAt(b, off); err != nil && err != io.EOF {
				return false, err
			}
		}
		same = bytes.Equal(x[:n], y[:n])
	}
	return same, nil
}
