package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sync"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
)

// What is lent is a copy, always: a helper may do with it what it likes, and the
// spool never has to wait until it is given back (F5). Nothing of it is synced, and
// nothing in lent/ counts as a message: a start empties it.

func (s *Spool) lending() string { return path.Join(s.dir, "lent") }

// Lend gives a helper program the message as it is now, as a file: envelope lines and
// text in the form of a message file, without facts (F5). It returns the file's path,
// slash-separated and relative to the root of the file system, and a function that
// takes the file back, which may be called by anybody, more than once, and whatever
// has become of file and draft. It is for before Commit and Discard.
func (d *Draft) Lend() (name string, back func(), err error) {
	if d.err != nil {
		return "", nil, d.err
	}
	if d.file == nil {
		putHead(d.buf, d.ID, d.textAt, d.Size(), crc32.Checksum(d.buf[headSize:], castagnoli))
		return d.s.lend(d.ID, bytes.NewReader(d.buf))
	}
	head := make([]byte, headSize)
	putHead(head, d.ID, d.textAt, d.Size(), crc32.Update(d.sum, castagnoli, d.buf))
	return d.s.lend(d.ID, io.MultiReader(bytes.NewReader(head),
		io.NewSectionReader(d.file, int64(headSize), d.done-int64(headSize)), bytes.NewReader(d.buf)))
}

// Lend is [Draft.Lend] for a message that was accepted, young or with a file. An error
// matches fs.ErrNotExist when the message has gone; the file of one that goes later
// stays until it is given back.
func (s *Spool) Lend(id mail.ID) (name string, back func(), err error) {
	r, _, err := s.openText(id)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	return s.lend(id, whole(r))
}

// whole is the file or image that an open text is the end of.
func whole(r source) io.Reader {
	if young, ok := r.(youngText); ok {
		return bytes.NewReader(young.image)
	}
	of, at, length := r.(text).Outer()
	return io.NewSectionReader(of, 0, at+length)
}

// lend makes a file of what from has.
func (s *Spool) lend(id mail.ID, from io.Reader) (name string, back func(), err error) {
	name = s.lentName(id)
	back = sync.OnceFunc(func() {
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("cannot take back what was lent; it goes at the next start", "file", name, "err", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lent, name)
	})
	if err := s.copyTo(name, from); err != nil {
		back()
		return "", nil, fmt.Errorf("spool: lend message %d: %w", id, err)
	}
	return name, back, nil
}

// lentName takes a name that nobody else has: each helper gets a file of its own.
func (s *Spool) lentName(id mail.ID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := path.Join(s.lending(), id.String()+".msg")
	for n := 2; s.lent[name]; n++ {
		name = path.Join(s.lending(), fmt.Sprintf("%d.%d.msg", uint64(id), n))
	}
	s.lent[name] = true
	return name
}

// copyTo makes a file of what from has, unsynced. Whatever has the name goes first: a
// helper may have linked it to another file, which is not to be written into.
func (s *Spool) copyTo(name string, from io.Reader) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(io.NewOffsetWriter(f, 0), from, make([]byte, 256<<10))
	return errors.Join(err, f.Close())
}

// listLent finds what the helpers of earlier lives have left in lent/, which goes,
// and what was never lent: that is left alone.
func (r *recovering) listLent() error {
	names, err := r.fs.List(r.lending())
	if err != nil {
		return err
	}
	for _, name := range names {
		name = path.Join(r.lending(), name)
		if !r.movable(name) {
			r.finding(name, disk.ErrNotRegular, leftAlone)
			continue
		}
		r.Removed = append(r.Removed, name)
	}
	return nil
}
