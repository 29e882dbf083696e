// Package recorder is a disk that remembers everything that was done to it, and can
// show how it might have looked had the power failed at any moment since. It is the
// method of dm-log-writes in user space: a FUSE file system serves one file, on which
// a loop device and any file system can be put; each write and each flush that comes
// is passed on and recorded, in order.
//
// A disk has a cache that forgets. So after a power cut it holds all writes before the
// last flush that had ended, and any of those that came later, whole or in part, by
// sectors. [Recording.Image] writes one of these states; a seed says which.
//
// What is recorded is kept in a directory, so that a state can be had again later.
package recorder

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Sector is what every disk writes whole or not at all, in bytes.
const Sector = 512

// The kinds of operations.
const (
	opWrite = iota + 1
	opZero  // a write of zeros, or a discard: nothing is kept of it
	opFlush
)

// An op is one operation on the disk, and where in the log its data is.
type op struct {
	kind      uint64
	at        int64 // on the disk
	length    int64
	dataStart int64 // in the log
}

// opHeader is kind, at and length in the log, 8 bytes each; the data follows.
const opHeader = 24

// A Moment tells when something happened: how many operations had ended by then, and
// how many of them were flushes.
type Moment struct{ Ops, Flushes int }

// A Cut is a power cut: when, and what became of the writes that no flush had made
// durable.
type Cut struct {
	Ops  int    // so many operations had ended
	Seed uint64 // chooses what is kept of those after the last flush
	Lies int    // so many flushes before the cut did nothing: a disk that lies
	Unit int64  // bytes that are written whole or not at all, a multiple of Sector; 0: Sector
}

// A Recording is a disk with its history. It is safe for concurrent use.
type Recording struct {
	size int64
	disk *os.File
	log  *os.File

	mu      sync.Mutex
	ops     []op
	flushes []int // their places in ops
	end     int64 // of the log
	err     error // of the log; sticky
}

// Create makes an empty disk of size bytes in dir, which is there and empty.
func Create(dir string, size int64) (*Recording, error) {
	r := &Recording{size: size}
	var err error
	if r.disk, err = os.Create(filepath.Join(dir, "disk")); err != nil {
		return nil, err
	}
	if err := r.disk.Truncate(size); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if r.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Open reads what Create and those who used the disk have left in dir.
func Open(dir string) (*Recording, error) {
	r := &Recording{}
	var err error
	if r.disk, err = os.OpenFile(filepath.Join(dir, "disk"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if r.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR, 0); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	info, err := r.disk.Stat()
	if err == nil {
		r.size = info.Size()
		err = r.readLog()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Recording) readLog() error {
	var header [opHeader]byte
	for {
		_, err := r.log.ReadAt(header[:], r.end)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("recording: log: %w", err)
		}
		o := op{kind: binary.LittleEndian.Uint64(header[:]), at: int64(binary.LittleEndian.Uint64(header[8:])),
			length: int64(binary.LittleEndian.Uint64(header[16:])), dataStart: r.end + opHeader}
		r.remember(o)
	}
}

// remember takes an operation that is in the log.
func (r *Recording) remember(o op) {
	if o.kind == opFlush {
		r.flushes = append(r.flushes, len(r.ops))
	}
	r.ops = append(r.ops, o)
	r.end = o.dataStart
	if o.kind == opWrite {
		r.end += o.length
	}
}

// Close gives the files back; what is in the directory stays.
func (r *Recording) Close() error {
	var errs []error
	for _, f := range []*os.File{r.disk, r.log} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Size is that of the disk, in bytes.
func (r *Recording) Size() int64 { return r.size }

// Now is this moment. Whatever a file system on the disk has been told is durable was
// written before it.
func (r *Recording) Now() Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Moment{len(r.ops), len(r.flushes)}
}

// At is the moment at which so many operations had ended.
func (r *Recording) At(ops int) Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := slices.BinarySearch(r.flushes, ops)
	return Moment{ops, n}
}

// ReadAt implements [io.ReaderAt] on the disk as it is.
func (r *Recording) ReadAt(p []byte, at int64) (int, error) { return r.disk.ReadAt(p, at) }

// WriteAt implements [io.WriterAt].
func (r *Recording) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > r.size {
		return 0, fmt.Errorf("recording: a write at %d of %d bytes to a disk of %d", at, len(p), r.size)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.disk.WriteAt(p, at)
	if err != nil {
		return n, err
	}
	kind := uint64(opWrite)
	if isZero(p) {
		kind = opZero
	}
	return n, r.record(kind, at, p, int64(len(p)))
}

var zeros [64 << 10]byte

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

// Clear is a discard, which leaves zeros.
func (r *Recording) Clear(at, length int64) error {
	length = min(length, r.size-at)
	if at < 0 || length < 0 {
		return fmt.Errorf("recording: %d bytes to clear at %d of a disk of %d", length, at, r.size)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := writeZeros(r.disk, at, length); err != nil {
		return err
	}
	return r.record(opZero, at, nil, length)
}

// Flush is a barrier: what was written before it is durable.
func (r *Recording) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record(opFlush, 0, nil, 0)
}

// record puts an operation into the log. The caller holds mu.
func (r *Recording) record(kind uint64, at int64, data []byte, length int64) error {
	if r.err != nil {
		return r.err
	}
	if kind != opWrite {
		data = nil
	}
	b := make([]byte, opHeader, opHeader+len(data))
	binary.LittleEndian.PutUint64(b, kind)
	binary.LittleEndian.PutUint64(b[8:], uint64(at))
	binary.LittleEndian.PutUint64(b[16:], uint64(length))
	if _, err := r.log.WriteAt(append(b, data...), r.end); err != nil {
		r.err = fmt.Errorf("recording: log: %w", err)
		return r.err
	}
	r.remember(op{kind, at, length, r.end + opHeader})
	return nil
}

func (r *Recording) data(o op) ([]byte, error) {
	b := make([]byte, o.length)
	if _, err := r.log.ReadAt(b, o.dataStart); err != nil {
		return nil, fmt.Errorf("recording: log: %w", err)
	}
	return b, nil
}

// Image writes to w, which holds zeros, a state in which the disk may be after a
// power cut. It returns how many operations were durable for certain.
func (r *Recording) Image(w io.WriterAt, cut Cut) (durable int, err error) {
	r.mu.Lock()
	flushes, _ := slices.BinarySearch(r.flushes, cut.Ops)
	if flushes -= cut.Lies; flushes > 0 {
		durable = r.flushes[flushes-1]
	}
	ops := slices.Clone(r.ops[:cut.Ops])
	r.mu.Unlock()
	unit := cmp.Or(cut.Unit, Sector)
	for _, o := range ops[:durable] {
		if err := r.redo(w, o, unit, nil); err != nil {
			return 0, err
		}
	}
	for i, keep := range fates(cut.Seed, ops[durable:]) {
		if keep == nil {
			continue
		}
		if err := r.redo(w, ops[durable+i], unit, keep); err != nil {
			return 0, err
		}
	}
	return durable, nil
}

// redo does an operation again; of a write or discard those units that keep names,
// or all.
func (r *Recording) redo(w io.WriterAt, o op, unit int64, keep func() bool) error {
	var data []byte
	var err error
	switch o.kind {
	case opFlush:
		return nil
	case opWrite:
		if data, err = r.data(o); err != nil {
			return err
		}
	}
	some := func(from, to int64) error {
		if data == nil {
			return writeZeros(w, o.at+from, to-from)
		}
		_, err := w.WriteAt(data[from:to], o.at+from)
		return err
	}
	if keep == nil {
		return some(0, o.length)
	}
	for from := int64(0); from < o.length; {
		to := min(from+unit-(o.at+from)%unit, o.length)
		if keep() {
			if err := some(from, to); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

func writeZeros(w io.WriterAt, at, length int64) error {
	for length > 0 {
		n := min(length, int64(len(zeros)))
		if _, err := w.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		at, length = at+n, length-n
	}
	return nil
}

func all() bool { return true }

// fates chooses what is kept of each write: nil is nothing. The ways in which caches
// forget are all there: nothing got out, all but the last, in order, in any order, in
// any order and torn.
func fates(seed uint64, ops []op) []func() bool {
	rng := rand.New(rand.NewPCG(seed, 0))
	keep := make([]func() bool, len(ops))
	half := func() bool { return rng.IntN(2) == 0 }
	way := rng.IntN(5)
	inOrder := rng.IntN(len(ops) + 1)
	for i := range ops {
		switch way {
		case 0: // nothing
		case 1: // all, the last torn
			keep[i] = all
			if i == len(ops)-1 {
				keep[i] = half
			}
		case 2: // in order
			if i < inOrder {
				keep[i] = all
			}
		case 3: // any
			if rng.IntN(2) == 0 {
				keep[i] = all
			}
		case 4: // any, and torn
			keep[i] = []func() bool{nil, all, half}[rng.IntN(3)]
		}
	}
	return keep
}
