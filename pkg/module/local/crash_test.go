package local_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
	"cgq/pkg/module/moduletest"
)

// shorten makes the Size of what it hands out one more than the text has.
type shorten struct{ *moduletest.Queue }

func (q shorten) Due(ctx context.Context) iter.Seq[*module.Transfer] {
	return func(yield func(*module.Transfer) bool) {
		for t := range q.Queue.Due(ctx) {
			t.Size++
			if !yield(t) {
				return
			}
		}
	}
}

// A crashing is a setup whose mail is on disks that lose power. The Accounts are on
// another, where they stay.
type crashing struct{ *setup }

func newCrashing(t *testing.T) *crashing {
	return &crashing{newSetup(t, slog.New(slog.DiscardHandler), ann)}
}

// deliver begins a process on d, delivers the message, and reports whether it said so.
func (c *crashing) deliver(t *testing.T, d *crashdisk.Disk, repeated bool) bool {
	t.Helper()
	m := local.New(d, c.dir, "mx1", mainDomain, slog.New(slog.DiscardHandler))
	q := queue(repeated, ann)
	m.Transfer(t.Context(), q)
	q.Check(t)
	r := result(t, q)
	if r.Action == mail.Failed {
		t.Errorf("result %v: a disk that fails is no reason to give up", r)
	}
	return r.Action == mail.Delivered
}

// copies are the messages in new and cur.
func copies(d *crashdisk.Disk) (names []string, whole int) {
	for name, text := range d.Files("") {
		if strings.Contains(name, "/new/") || strings.Contains(name, "/cur/") {
			names = append(names, name)
			if text == "Return-Path: <bob@sender.example>\nDelivered-To: ann@example.com\nSubject: hello\n\nbody\n" {
				whole++
			}
		}
	}
	return names, whole
}

// see does what a user's program does with a new message: a rename, which is whole or
// not at all, so it is durable here.
func see(t *testing.T, d *crashdisk.Disk) {
	t.Helper()
	names, _ := copies(d)
	for _, name := range names {
		seen := path.Join(path.Dir(path.Dir(name)), "cur", path.Base(name)+":2,S")
		if err := d.Link(name, seen); err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(name); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{path.Dir(name), path.Dir(seen)} {
			if err := d.SyncDir(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// steps is the number of steps of a delivery.
func (c *crashing) steps(t *testing.T) int {
	d := crashdisk.New(-1)
	c.deliver(t, d, false)
	return d.Steps()
}

// Power is lost at each step of a delivery, and at each step of its repetition. What
// was said to be delivered is there; in the end there is one copy, whole.
func TestOneCopyAfterPowerLoss(t *testing.T) {
	c := newCrashing(t)
	n := c.steps(t)
	if n < 6 {
		t.Fatalf("a delivery has %d steps; this test does not see them", n)
	}
	for step := range n + 1 {
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, uint64(step)))
			d := crashdisk.New(step)
			said := c.deliver(t, d, false)
			d = d.Restart(rng)
			if _, whole := copies(d); said && whole != 1 {
				t.Fatalf("step %d, seed %d: said to be delivered, and %d whole copies are there", step, seed, whole)
			}
			if seed%2 == 0 {
				see(t, d)
			}
			d.PowerFor(rng.IntN(n + 1))
			said = c.deliver(t, d, true)
			d = d.Restart(rng)
			if _, whole := copies(d); said && whole != 1 {
				t.Fatalf("step %d, seed %d: repeated, said to be delivered, and %d whole copies are there", step, seed, whole)
			}
			if !c.deliver(t, d, true) {
				t.Fatalf("step %d, seed %d: not delivered in the end", step, seed)
			}
			d = d.Restart(rng)
			if names, whole := copies(d); whole != 1 || len(names) != 1 {
				t.Fatalf("step %d, seed %d: in the end %d whole copies of %q, want one", step, seed, whole, names)
			}
		}
	}
}

// The process dies, the power does not: everything is still seen, nothing more is synced.
func TestOneCopyAfterProcessDeath(t *testing.T) {
	c := newCrashing(t)
	for step := range c.steps(t) + 1 {
		for seed := range uint64(20) {
			d := crashdisk.New(step)
			c.deliver(t, d, false)
			d.PowerFor(-1)
			if !c.deliver(t, d, true) {
				t.Fatalf("step %d: not delivered in the end", step)
			}
			d = d.Restart(rand.New(rand.NewPCG(seed, 0)))
			if names, whole := copies(d); whole != 1 || len(names) != 1 {
				t.Fatalf("step %d, seed %d: %d whole copies of %q, want one", step, seed, whole, names)
			}
		}
	}
}

// Each operation fails once, and the same process tries again later.
func TestOneCopyAfterFaults(t *testing.T) {
	c := newCrashing(t)
	for fault := range c.steps(t) {
		for seed := range uint64(20) {
			d := crashdisk.New(-1)
			n, what := 0, ""
			d.Fail(func(operation, name string) error {
				if n++; n == fault+1 {
					what = fmt.Sprint(operation, " ", name)
					return syscall.EIO
				}
				return nil
			})
			if !c.deliver(t, d, false) {
				if names, _ := copies(d); len(names) > 0 {
					t.Errorf("%s failed: %q is left", what, names)
				}
				if !c.deliver(t, d, false) {
					t.Fatalf("%s failed: not delivered in the end", what)
				}
			}
			d = d.Restart(rand.New(rand.NewPCG(seed, 0)))
			if names, whole := copies(d); whole != 1 || len(names) != 1 {
				t.Fatalf("%s failed (seed %d): %d whole copies of %q, want one", what, seed, whole, names)
			}
		}
	}
}
