package spool

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrSpace is returned by Admit when the file system has too little room left.
var ErrSpace = errors.New("too little free space")

// Space is what a file system has left for us.
type Space struct {
	Bytes  int64
	Inodes int64 // 0 with a file system that does not count them: then they are not looked at
	Counts bool  // it counts inodes
}

// spaceAge is how long an answer of the file system holds.
const spaceAge = 500 * time.Millisecond

// A meter knows how much room there is, and tells when that changes what we do.
type meter struct {
	mu     sync.Mutex
	asked  time.Time
	closed error // why nothing is admitted; nil: it is
	free   Space // as asked
	need   Space // of it, then
}

// Admit says whether the file system has room for another message beside all that
// has no file yet, each of which needs its bytes and an inode, and beside the reserve
// (E2). Asked before anything is taken, not found out by a write that fails. It
// returns an error matching ErrSpace, which says what is short.
func (s *Spool) Admit() error {
	if s.options.Load().Free == nil {
		return nil
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	now := time.Now()
	if now.Sub(s.space.asked) < spaceAge {
		return s.space.closed
	}
	s.space.asked = now
	was := s.space.closed
	s.space.closed = s.short()
	switch {
	case was == nil && s.space.closed != nil:
		s.log.Error("no new mail is taken: " + s.space.closed.Error())
	case was != nil && s.space.closed == nil:
		s.log.Error("new mail is taken again: there is room") // as important as the other
	}
	return s.space.closed
}

// short says what there is too little of, or nil. The caller holds the meter's mu.
func (s *Spool) short() error {
	o := s.options.Load()
	free, err := o.Free()
	if err != nil {
		return fmt.Errorf("%w: nobody can tell how much there is: %w", ErrSpace, err)
	}
	s.mu.Lock()
	young, files := s.young, int64(s.unfiled)
	s.mu.Unlock()
	young += files * 4096 // the last block of each is not full
	need := Space{young + o.MinBytes, files + o.MinInodes, free.Counts}
	s.space.free, s.space.need = free, need
	if free.Bytes < need.Bytes {
		return fmt.Errorf("%w: %d bytes on the file system of the Queue, %d are needed (minimum_free_space and what has no file yet)",
			ErrSpace, free.Bytes, need.Bytes)
	}
	if free.Counts && free.Inodes < need.Inodes {
		return fmt.Errorf("%w: %d inodes on the file system of the Queue, %d are needed (minimum_free_inodes and what has no file yet)",
			ErrSpace, free.Inodes, need.Inodes)
	}
	return nil
}
