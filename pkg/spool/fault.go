package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"cgq/pkg/serverlog"
)

// passing says that an error is about a want that ends: nothing was lost, and doing it
// again later may do (E2).
func passing(err error) bool {
	for _, want := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// syncDir syncs a folder; one that is not there has no names. A failure that is no passing one ends the spool for good:
// names that were not made durable then would not be by a second try, which may even say
// that they are, and the journal must keep what they are of (F3).
func (s *Spool) syncDir(f folder) error {
	dir := s.path(f)
	err := s.fs.SyncDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !passing(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = fmt.Errorf("the names in %s cannot be synced: %w", dir, err)
			s.log.Log(context.Background(), serverlog.Crash, "no mail is taken and no file made until a restart, which repairs it: "+s.err.Error())
		}
	}
	return err
}
