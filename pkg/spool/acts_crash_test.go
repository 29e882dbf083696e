package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// interrupted lets something else happen while the file of an act is written.
type interrupted struct {
	disk.FS
	w *world
}

func (d interrupted) SyncDir(dir string) error {
	if do := d.w.during; do != nil && dir == "Queue/acts" {
		d.w.during = nil
		if err := do(); err != nil {
			return err
		}
	}
	return d.FS.SyncDir(dir)
}

// long makes what is said more than a frame of a small journal takes.
func long(said string) string { return said + strings.Repeat("-", 2100) }

// scribble does with a lent file what a helper should not.
func (w *world) scribble(name string) error {
	f, err := w.disk.Open(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte("scribble"), 100), 0); err != nil {
		return err
	}
	return errors.Join(f.Datasync(), f.Close())
}

// lend gives a message, accepted or a draft, to a helper; if it is not given back, its
// file is there when the power fails.
func (w *world) lend(from interface {
	Lend() (string, func(), error)
}, back bool) error {
	name, giveBack, err := from.Lend()
	if err == nil {
		err = w.scribble(name)
	}
	if err == nil && back {
		giveBack()
	}
	return err
}

// accepted is a message that can be lent as a draft can.
type acceptedMessage struct {
	s  *spool.Spool
	id mail.ID
}

func (m acceptedMessage) Lend() (string, func(), error) { return m.s.Lend(m.id) }

func (w *world) lendAgain(label string, back bool) error {
	_, p := w.find(label)
	return w.lend(acceptedMessage{w.s, p.id}, back)
}

// submitLent is submit, with a helper that looks at the draft, and at another's.
func (w *world) submitLent(text string, size int) error {
	d, err := w.s.Draft(envelope())
	if err != nil {
		return err
	}
	defer d.Discard()
	text += strings.Repeat(".", size)
	if _, err := d.Write([]byte(text)); err != nil {
		return err
	}
	if err := errors.Join(w.lend(d, false), w.lend(d, true)); err != nil {
		return err
	}
	p := &promise{facts: []string{"routed"}}
	w.promises[text] = p
	w.history = append(w.history, act{texts: []string{text}, birth: text})
	n, err := d.Commit(context.Background(), journal.Intake, nil, fact.Freed{By: "routed"})
	if err == nil {
		err = w.s.Wait(n)
	}
	if p.accepted = err == nil; err == nil {
		p.id, p.told, w.highest = d.ID, 1, max(w.highest, d.ID)
	}
	return err
}

// largeActs returns the steps of a life with acts that no frame takes, and helpers.
func (w *world) largeActs() []func() error {
	point := w.checkpoint
	return []func() error{
		func() error { return w.submit("a", 100) },
		func() error { return w.stand(false, "delayed") },
		func() error { return w.submitLent("b", 1300) },
		func() error { return w.submitLent("c", 10) },
		func() error { return w.facts(true, long("first"), "a", "b", "c") },
		func() error { return w.facts(false, "tried", "b") },
		func() error { return w.lendAgain("b", false) }, // a draft
		point,
		func() error { return w.lendAgain("b", true) }, // it has a file
		func() error { return w.submit("d", 30) },
		func() error { // while it is written, others speak of some of its messages, and files are made
			w.during = func() error {
				return errors.Join(w.facts(false, "meanwhile", "b"), w.facts(true, "meanwhile", "c"), point())
			}
			return w.facts(false, long("second"), "b", "c", "d")
		},
		func() error { return w.facts(true, "after", "b", "d") },
		point,
		func() error { return w.begetSaying(long("report"), "report on b", "b") },
		func() error { return w.goodbye(false, "c") },
		func() error { return w.beget("posting"+strings.Repeat("-", 2200), "d") }, // received in a file
		point,
		point,
		func() error { return w.submit("last", 50) },
	}
}

// J4, F5: whatever step the power fails at, an act is whole or has not been, and what
// was lent has never been.
func TestLargeActsSurvivePowerLoss(t *testing.T) {
	if err := crashesOf((*world).largeActs, 4, func(*world) crashdisk.Fault { return nil }); err != nil {
		t.Error(err)
	}
}

// A test of the test, as [TestEveryRuleIsNeeded].
func TestEveryRuleOfLargeActsIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		sabotage func(*world) crashdisk.Fault
	}{
		{"J4 the file has bytes before its frame", lies("datasync", "Queue/acts/*")},
		{"J4 and a name", lies("syncdir", "Queue/acts")},
		{"J4 and both until its frame is free", func(w *world) crashdisk.Fault {
			w.under = func(d disk.FS) disk.FS { return hasty{d, w} }
			return nil
		}},
		{"J4 what nothing names goes", lies("remove", "Queue/acts/*")},
		{"F5 what is lent is a copy", beneath(func(d disk.FS) disk.FS { return linking{d} })},
		{"F5 what was lent goes", lies("remove", "Queue/lent/*")},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			err := crashesOf((*world).largeActs, 3, tt.sabotage)
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}

// hasty removes the files of acts in a checkpoint that has not freed their frames yet.
type hasty struct {
	disk.FS
	w *world
}

func (d hasty) SyncDir(dir string) error {
	if d.w.point && dir != "Queue/acts" {
		names, err := d.List("Queue/acts")
		for _, name := range names {
			err = errors.Join(err, d.Remove("Queue/acts/"+name))
		}
		if err != nil {
			return err
		}
	}
	return d.FS.SyncDir(dir)
}

// linking lends the file of a message itself, when there is one.
type linking struct{ disk.FS }

func (d linking) Create(name string) (disk.File, error) {
	stem, _, _ := strings.Cut(path.Base(name), ".")
	id, ok := mail.ParseID(stem)
	if !ok || path.Dir(name) != "Queue/lent" {
		return d.FS.Create(name)
	}
	if err := d.Link(fmt.Sprintf("Queue/%02d/%d.msg", id%100, id), name); err != nil {
		return d.FS.Create(name)
	}
	f, err := d.Open(name)
	return same{f}, err
}

// same is a file that has what is written to it already.
type same struct{ disk.File }

func (same) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
