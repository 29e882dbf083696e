package spool_test

import (
	"errors"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
)

// fails makes an operation fail where the name matches.
func fails(op, pattern string, err error) crashdisk.Fault {
	return func(o, name string) error {
		if ok, _ := path.Match(pattern, name); ok && o == op {
			return err
		}
		return nil
	}
}

// E2, C1: a directory that cannot be synced for want of something is synced by the next
// checkpoint, before anything is freed.
func TestDirectoryIsSyncedLater(t *testing.T) {
	for _, want := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.EROFS} {
		d := crashdisk.New(-1)
		s := open(t, d, small)
		if _, err := submit(s, "text", nil, ""); err != nil {
			t.Fatal(err)
		}
		d.Fail(fails("syncdir", "Queue/??", want))
		for range 2 {
			if err := s.Checkpoint(); !errors.Is(err, want) {
				t.Errorf("Checkpoint = %v, want %v", err, want)
			}
		}
		d.Fail(nil)
		if err := s.Empty(); err != nil {
			t.Errorf("after %v: %v", want, err)
		}
		if _, err := submit(s, "another", nil, ""); err != nil {
			t.Errorf("after %v: %v", want, err)
		}
		s.Close()
		for seed := range uint64(8) {
			s, found := found(t, d.Restart(rand.New(rand.NewPCG(seed, 0))), small)
			if len(found) != 2 {
				t.Errorf("after %v, seed %d: found %d messages, want 2", want, seed, len(found))
			}
			s.Close()
		}
	}
}

// F3: one whose sync was tried and failed is not tried again, and said to be synced:
// nothing is taken, and a start repairs it from the journal.
func TestDirectoryIsNotTrustedAgain(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	if _, err := submit(s, "text", nil, ""); err != nil {
		t.Fatal(err)
	}
	d.Fail(fails("syncdir", "Queue/??", syscall.EIO))
	if err := s.Checkpoint(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Checkpoint = %v, want EIO", err)
	}
	d.Fail(nil)
	for range 2 {
		if err := s.Checkpoint(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the next Checkpoint = %v: it trusts the second sync", err)
		}
	}
	if _, err := submit(s, "another", nil, ""); err == nil {
		t.Error("a message is taken that no checkpoint will give a file")
	}
	if h := s.Health(); !errors.Is(h.Broken, syscall.EIO) {
		t.Errorf("health %+v, want it broken", h)
	}
	s.Close()
	for seed := range uint64(8) {
		s, found := found(t, d.Restart(rand.New(rand.NewPCG(seed, 0))), small)
		if len(found) != 1 {
			t.Errorf("seed %d: found %d messages, want 1", seed, len(found))
		}
		if _, err := submit(s, "another", nil, ""); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		s.Close()
	}
}

// A Temp File that cannot be removed goes with a checkpoint, not only at the next start.
func TestTempFileIsRemovedLater(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	defer s.Close()
	d.Fail(fails("remove", "Queue/??/*.tmp", syscall.EROFS))
	draft, err := s.Draft(envelope())
	if err == nil {
		_, err = draft.Write([]byte(lines(5000)))
	}
	if err != nil {
		t.Fatal(err)
	}
	draft.Discard()
	d.Fail(nil)
	if left := leftovers(d); len(left) != 1 {
		t.Fatalf("left are %v: the test does not test", left)
	}
	if _, err := submit(s, "text", nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Empty(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(d); len(left) != 1 || !strings.HasSuffix(left[0], ".msg") {
		t.Errorf("left are %v, want the file of the message alone", left)
	}
}

// A message goes while a checkpoint fails to make its file: nothing of that is left.
func TestHalfAFileOfWhatHasGone(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, small)
	defer s.Close()
	id, err := submit(s, "text", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	goes := false
	gone := make(chan error, 1)
	d.Fail(func(op, name string) error {
		if op != "datasync" || !strings.HasSuffix(name, ".tmp") || goes {
			return nil
		}
		goes = true
		n, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}})
		go func() { gone <- errors.Join(err, s.Wait(n)) }()
		return syscall.EIO
	})
	if err := s.Checkpoint(); err != nil {
		t.Errorf("Checkpoint = %v: what has gone needs no file", err)
	}
	if err := <-gone; err != nil || !goes {
		t.Fatal(err)
	}
	if _, err := submit(s, "another", nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Empty(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(d); len(left) != 1 || !strings.HasSuffix(left[0], ".msg") {
		t.Errorf("left are %v, want the file of the other message alone", left)
	}
}

// F8: ids that cannot be published are not given out; when they can, they are, and none
// twice.
func TestCeilingIsPublishedLater(t *testing.T) {
	for _, op := range []string{"create", "write", "datasync", "rename", "syncdir"} {
		d := crashdisk.New(-1)
		s := open(t, d, small)
		draft, err := s.Draft(envelope())
		for ; err == nil && draft.ID%100_000 != 0; draft, err = s.Draft(envelope()) {
			draft.Discard()
		}
		if err != nil {
			t.Fatal(err)
		}
		last := draft.ID
		d.Fail(func(o, name string) error {
			if o == op && (strings.HasPrefix(name, "Queue/ids") || name == "Queue") {
				return syscall.EIO
			}
			return nil
		})
		for range 2 {
			if draft, err := s.Draft(envelope()); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s fails: Draft = %v, %v", op, draft, err)
			}
		}
		d.Fail(nil)
		id, err := submit(s, "text", nil, "")
		if err != nil || id <= last {
			t.Errorf("after %s failed: message %d, %v; want one above %d", op, id, err, last)
		}
		s.Close()
		for seed := range uint64(8) {
			s, _ := found(t, d.Restart(rand.New(rand.NewPCG(seed, 0))), small)
			if next, err := submit(s, "another", nil, ""); err != nil || next <= id {
				t.Errorf("after %s failed, seed %d: message %d, %v; want one above %d", op, seed, next, err, id)
			}
			s.Close()
		}
	}
}
