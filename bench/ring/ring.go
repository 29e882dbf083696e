// Package ring is the least log that many wait for together: what pkg/journal cannot
// outrun. It reads nothing back, and starts over its oldest when it is full.
package ring

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// A Ring is a log over blocks that are written beforehand, so that making a commit
// durable moves no metadata of the file system. It may be used concurrently.
type Ring struct {
	f    *os.File
	size int64 // bytes that are written before it starts over its oldest

	mu         sync.Mutex
	turned     sync.Cond // durable or leading changed
	fill, idle []byte    // what the next commit will carry, and a buffer to swap with it
	off        int64     // where the next commit goes
	filling    uint64    // the number of the next commit
	durable    uint64    // the last commit that is on disk
	leading    bool      // somebody writes a commit just now
	err        error     // the first failure; the ring is over
}

// New prepares size bytes, a multiple of a megabyte, of the empty file f.
func New(f *os.File, size int64) (*Ring, error) {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, off); err != nil {
			return nil, fmt.Errorf("prepare the message log: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("prepare the message log: %w", err)
	}
	r := &Ring{f: f, size: size, filling: 1}
	r.turned.L = &r.mu
	return r, nil
}

// Commit returns when b is on disk. Whoever finds nobody writing leads one commit for
// all that wait; those who come meanwhile fill the next.
func (r *Ring) Commit(b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fill = append(r.fill, b...)
	for mine := r.filling; r.durable < mine && r.err == nil; {
		if r.leading {
			r.turned.Wait()
			continue
		}
		r.lead()
	}
	return r.err
}

// lead writes what has gathered. The mutex is held at entry and return, not between.
func (r *Ring) lead() {
	b, number := r.fill, r.filling
	if r.off+int64(len(b)) > r.size {
		r.off = 0
	}
	off := r.off
	r.fill, r.filling, r.off, r.leading = r.idle[:0], number+1, off+int64(len(b)), true
	r.mu.Unlock()
	_, err := r.f.WriteAt(b, off)
	if err == nil {
		err = syscall.Fdatasync(int(r.f.Fd()))
	}
	r.mu.Lock()
	r.idle, r.durable, r.leading, r.err = b, number, false, err
	r.turned.Broadcast()
}

// Syncs is how many commits have been written, each with one fdatasync.
func (r *Ring) Syncs() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable
}
