package spool_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

func open(t *testing.T, d disk.FS, o spool.Options) *spool.Spool {
	t.Helper()
	s, _ := found(t, d, o)
	return s
}

// onDisk starts a spool in a directory of the real disk.
func onDisk(b *testing.B) *spool.Spool {
	b.Helper()
	d, err := disk.OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	s, _, err := start(d, spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// start opens a spool and reads all its files.
func start(d disk.FS, o spool.Options) (*spool.Spool, *spool.Recovery, error) {
	s, rec, err := spool.Open(d, "Queue", o, discard())
	if err != nil {
		return s, rec, err
	}
	err = s.Index(context.Background(), func(all []spool.Found, damage []error) {
		rec.Messages, rec.Damage = append(rec.Messages, all...), append(rec.Damage, damage...)
	})
	for _, d := range rec.Damage {
		if errors.Is(d, crashdisk.ErrPower) { // while it was read
			err = d
		}
	}
	slices.SortFunc(rec.Messages, func(a, b spool.Found) int { return cmp.Compare(a.ID, b.ID) })
	return s, rec, err
}

// found opens the spool, without damage, and returns the facts of its messages.
func found(t *testing.T, d disk.FS, o spool.Options) (*spool.Spool, map[mail.ID][]fact.Fact) {
	t.Helper()
	s, rec, err := start(d, o)
	if err != nil || len(rec.Damage) > 0 {
		t.Fatalf("Open: %v, damage %v", err, rec)
	}
	living := map[mail.ID][]fact.Fact{}
	for _, m := range rec.Messages {
		living[m.ID] = m.Facts
	}
	return s, living
}

func tried(id mail.ID) fact.Change { return fact.Change{ID: id, Fact: fact.Freed{By: "tried"}} }

// On the real file system: a clean stop leaves a journal that says nothing, so
// that a message which a person moves away stays away.
func TestFilesAreTheWholeTruthAfterEmpty(t *testing.T) {
	d, err := disk.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := open(t, d, small)
	stays, err1 := submit(s, "stays", nil, "")
	moved, err2 := submit(s, "is moved away", nil, "")
	_, err3 := s.Append(tried(stays))
	if err := errors.Join(err1, err2, err3, s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(fmt.Sprintf("Queue/%02d/%d.msg", moved, moved)); err != nil {
		t.Fatal(err)
	}
	s, living := found(t, d, small)
	defer s.Close()
	if len(living) != 1 || len(living[stays]) != 1 || living[stays][0] != tried(stays).Fact {
		t.Errorf("living %v, want message %d with one fact", living, stays)
	}
	if text, err := read(s, stays); err != nil || text != "stays" {
		t.Errorf("Read = %q, %v", text, err)
	}
}

// A checkpoint that the disk refuses frees nothing; after a failed sync there is
// no other, and no new mail, and nothing is lost.
func TestDiskErrorInCheckpointLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		op    string
		fault error
		again bool // it may be tried again
	}{
		{"create", syscall.ENOSPC, true},
		{"write", syscall.ENOSPC, true}, // a short one
		{"rename", syscall.EIO, true},
		{"datasync", syscall.EIO, true}, // the file is made anew
		{"syncdir", syscall.EIO, false},
	} {
		for seed := range uint64(40) {
			d := crashdisk.New(-1)
			s := open(t, d, small)
			length := []int{100, 1500}[seed%16/8] // in the journal, in a file
			id, err1 := submit(s, strings.Repeat("text ", length/5), nil, "")
			if seed%4 < 2 && tt.op == "datasync" { // it has a file, which gets one more fact
				err1 = errors.Join(err1, s.Checkpoint())
			}
			var facts []fact.Change
			if seed%8 < 4 || seed%4 < 2 {
				facts = []fact.Change{tried(id)}
			}
			n, err2 := s.Append(facts...)
			if err := errors.Join(err1, err2, s.Wait(n)); err != nil {
				t.Fatal(err)
			}
			d.Fail(func(op, name string) error {
				if op == tt.op && !strings.HasSuffix(name, ".seg") {
					return tt.fault
				}
				return nil
			})
			if length == 1500 && (tt.op == "create" || len(facts) == 0 && (tt.op == "write" || tt.op == "datasync")) {
				s.Close() // nothing of the kind is done for a file that is there
				continue
			}
			if err := s.Checkpoint(); !errors.Is(err, tt.fault) {
				t.Errorf("%s fails: Checkpoint = %v, want %v", tt.op, err, tt.fault)
			}
			d.Fail(nil)
			if err := s.Checkpoint(); (err == nil) != tt.again {
				t.Errorf("%s has failed: second Checkpoint = %v", tt.op, err)
			}
			if _, err := submit(s, "more", nil, ""); (err == nil) != tt.again {
				t.Errorf("%s has failed: Submit = %v", tt.op, err)
			}
			s.Close()
			if seed%2 == 0 { // else only the process dies, and the kernel shows what the disk lacks
				d = d.Restart(rand.New(rand.NewPCG(seed, 0)))
			}
			open(t, d, small).Close()
			s, living := found(t, d.Restart(rand.New(rand.NewPCG(seed, 1))), small)
			if got := living[id]; len(got) != len(facts) {
				t.Errorf("%s has failed, seed %d: facts %v, want %v", tt.op, seed, got, facts)
			}
			if text, err := read(s, id); err != nil || len(text) != length {
				t.Errorf("%s has failed, seed %d: text of %d bytes, %v", tt.op, seed, len(text), err)
			}
			s.Close()
		}
	}
}

// Submitters, readers and checkpoints at once; half of the messages stay.
func TestConcurrentUse(t *testing.T) {
	d := crashdisk.New(-1)
	s := open(t, d, spool.Options{Journal: small.Journal})
	done, cancel := context.WithCancel(t.Context())
	var work, checkpoints sync.WaitGroup
	checkpoints.Go(func() {
		for done.Err() == nil {
			if err := s.Checkpoint(); err != nil {
				t.Error(err)
			}
		}
	})
	stay := make([][]mail.ID, 4)
	for g := range stay {
		work.Go(func() {
			for i := range 25 {
				if id, ok := use(t, s, fmt.Sprintf("%d of %d %0200d", i, g, 0), i%2 == 0); ok {
					stay[g] = append(stay[g], id)
				}
			}
		})
	}
	work.Wait()
	cancel()
	checkpoints.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, living := found(t, d.Restart(rand.New(rand.NewPCG(1, 0))), small)
	defer s.Close()
	for _, ids := range stay {
		for _, id := range ids {
			if len(living[id]) != 1 {
				t.Errorf("message %d has facts %v, want one", id, living[id])
			}
		}
	}
	if len(living) != 4*13 {
		t.Errorf("%d messages, want %d", len(living), 4*13)
	}
}

// use submits a message, reads it and notes a fact; then it stays or goes.
func use(t *testing.T, s *spool.Spool, text string, stays bool) (mail.ID, bool) {
	var id mail.ID
	var n journal.Number
	for _, do := range []func() error{
		func() (err error) { id, err = submit(s, text, nil, ""); return err },
		func() (err error) { n, err = s.Append(tried(id)); return err },
		func() (err error) {
			got, err := read(s, id)
			if err == nil && got != text {
				err = fmt.Errorf("message %d is %q", id, got)
			}
			return err
		},
		func() (err error) {
			if !stays {
				n, err = s.Append(fact.Change{ID: id, Fact: fact.Gone{}})
			}
			return err
		},
		func() error { return s.Wait(n) },
	} {
		err := do()
		for errors.Is(err, journal.ErrFull) {
			err = do() // the checkpoints make room
		}
		if err != nil {
			t.Error(err)
			return 0, false
		}
	}
	return id, stays
}
