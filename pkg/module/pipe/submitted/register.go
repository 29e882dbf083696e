package submitted

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cgq/pkg/disk"
)

// registerFile is in the base directory.
const registerFile = "submitted.list"

// A register names, on the disk, the directories in which files may be taken: those of the
// settings, and those that were, until none is. A start looks at all of them. On the disk it
// is a line for each, quoted as in Go:
//
//	"Submitted"
//	"/var/spool/oldmail/out"
//
// It is written anew as a whole, so it is always one of two.
type register struct {
	fs disk.FS

	mu    sync.Mutex
	paths []string // durable
	err   error    // nobody knows what the file says: it is not written any more (SPOOL F3)
}

// read returns what an earlier life has left. After an error nothing can be added.
func (r *register) read() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.err = r.load()
	if r.err != nil {
		r.err = fmt.Errorf("%s: %w", registerFile, r.err)
	}
	return slices.Clone(r.paths), r.err
}

func (r *register) load() (all []string, err error) {
	b, err := disk.ReadFile(r.fs, registerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		path, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("it is damaged: %q", line)
		}
		all = append(all, path)
	}
	return all, nil
}

// add returns nil when a path is there, durably.
func (r *register) add(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || slices.Contains(r.paths, path) {
		return r.err
	}
	return r.write(append(slices.Clone(r.paths), path))
}

// has reports whether a path is there.
func (r *register) has(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.paths, path)
}

// drop takes a path away.
func (r *register) drop(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || !slices.Contains(r.paths, path) {
		return r.err
	}
	return r.write(slices.DeleteFunc(slices.Clone(r.paths), func(p string) bool { return p == path }))
}

// write replaces the file. One of which the bytes could not be synced is thrown away; after
// a failed sync of the name nobody knows which one a start will find.
func (r *register) write(paths []string) error {
	const temp = registerFile + ".tmp"
	if err := r.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // never again under that inode
		return fmt.Errorf("write %s: %w", registerFile, err)
	}
	f, err := r.fs.Create(temp)
	if err == nil {
		defer f.Close()
		var b []byte
		for _, p := range paths {
			b = append(strconv.AppendQuote(b, p), '\n')
		}
		if _, err = f.WriteAt(b, 0); err == nil {
			err = f.Datasync()
		}
	}
	if err == nil {
		err = r.fs.Rename(temp, registerFile)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", registerFile, err)
	}
	if err := r.fs.SyncDir("."); err != nil {
		r.err = fmt.Errorf("%s cannot be synced: %w", registerFile, err)
		return r.err
	}
	r.paths = paths
	return nil
}
