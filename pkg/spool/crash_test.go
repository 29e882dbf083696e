package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// small journals have segments of seven commits; texts over some 900 bytes are
// received in files.
var small = spool.Options{Journal: journal.Options{SegmentSize: 32 << 10, Segments: 3}, InlineLimit: 1000, Syncers: 1}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// envelope is everybody's.
func envelope() *mail.Envelope {
	return &mail.Envelope{Source: mail.SMTP, Submitted: time.UnixMilli(1700000000000).UTC(),
		ReturnPath: mail.Address{Local: "s", Domain: "a.example"},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "r", Domain: "b.example"}}}}
}

// submit is what the Enqueuer does; note is a first fact.
func submit(s *spool.Spool, text string, parents []fact.Change, note string) (mail.ID, error) {
	d, err := s.Draft(envelope())
	if err != nil {
		return 0, err
	}
	if _, err := d.ReadFrom(iotest.HalfReader(strings.NewReader(text))); err != nil {
		d.Discard()
		return 0, err
	}
	var facts []fact.Fact
	if note != "" {
		facts = append(facts, fact.Freed{By: note})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // who cannot have room tries again
	n, err := d.Commit(ctx, journal.Intake, parents, facts...)
	if errors.Is(err, context.Canceled) {
		err = spool.ErrFull
	}
	if err != nil {
		return 0, err
	}
	return d.ID, s.Wait(n)
}

// read returns the whole text of a message.
func read(s *spool.Spool, id mail.ID) (string, error) {
	r, err := s.Open(id)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// A promise is what the world knows of one message, which its text names.
type promise struct {
	id       mail.ID // 0: Submit has not returned
	facts    []string
	told     int  // so many of them are durable
	leaving  bool // Gone was appended
	gone     bool // and durable
	dropped  bool // a recovery has shown that it is not there
	accepted bool
}

// An act is one frame: a message, a batch of facts, or Gone.
type act struct {
	gone  bool
	fact  string
	birth string   // the text of the message that it made
	texts []string // of the messages that it is about
}

// A world is everything that was promised, and the script that promises it.
type world struct {
	promises map[string]*promise
	history  []act // in the order of the journal
	highest  mail.ID
	standing []string // what was said of the one standing thing, one after the other
	stands   int      // so many of them are durable
	point    bool     // a checkpoint is going on
	under    func(disk.FS) disk.FS
	during   func() error // happens, once, while the file of an act is written
	disk     disk.FS      // of this life
	s        *spool.Spool

	foldering spool.Foldering
	moving    bool // files are moved just now
}

func newWorld() *world {
	return &world{promises: map[string]*promise{}, under: func(d disk.FS) disk.FS { return d }}
}

func (w *world) retry(do func() error) error {
	err := do()
	for n := 0; errors.Is(err, journal.ErrFull) && n < 20; n++ {
		if err = w.checkpoint(); err == nil {
			err = do()
		}
	}
	return err
}

func (w *world) checkpoint() error {
	w.point = true
	defer func() { w.point = false }()
	return w.s.Checkpoint()
}

// abandon composes a message and throws it away: no promise, so it may never be
// found.
func (w *world) abandon(size int) error {
	d, err := w.s.Draft(envelope())
	if err != nil {
		return err
	}
	defer d.Discard()
	_, err = d.Write(bytes.Repeat([]byte("virus"), size))
	return err
}

// beget submits a message that came of another, and says so of that.
func (w *world) beget(text, parent string) error { return w.begetSaying("begot "+text, text, parent) }

func (w *world) begetSaying(said, text, parent string) error {
	_, p := w.find(parent)
	child := &promise{}
	w.promises[text] = child
	parentText, _ := w.find(parent)
	p.facts = append(p.facts, said)
	w.history = append(w.history, act{fact: said, texts: []string{text, parentText}, birth: text})
	return w.retry(func() (err error) {
		child.id, err = submit(w.s, text, []fact.Change{{ID: p.id, Fact: fact.Freed{By: said}}}, "")
		if child.accepted = err == nil; err == nil {
			p.told = len(p.facts)
		}
		w.highest = max(w.highest, child.id)
		return err
	})
}

func (w *world) stand(wait bool, value string) error {
	w.standing = append(w.standing, value)
	return w.retry(func() error {
		n, err := w.s.Act(nil, []spool.Standing{{Key: "the host", Value: value}})
		if err != nil || !wait {
			return err
		}
		err = w.s.Wait(n)
		if err == nil {
			w.stands = len(w.standing)
		}
		return err
	})
}

func (w *world) submit(text string, size int) error {
	text += strings.Repeat(".", size)
	p := &promise{facts: []string{"routed"}}
	w.promises[text] = p
	w.history = append(w.history, act{texts: []string{text}, birth: text})
	return w.retry(func() (err error) {
		p.id, err = submit(w.s, text, nil, "routed")
		if p.accepted = err == nil; err == nil {
			p.told = 1
		}
		w.highest = max(w.highest, p.id)
		return err
	})
}

func (w *world) find(label string) (string, *promise) {
	for text, p := range w.promises {
		if strings.TrimRight(text, ".") == label {
			return text, p
		}
	}
	panic(label)
}

// facts appends one fact to each of the messages, as one batch.
func (w *world) facts(wait bool, said string, labels ...string) error {
	var batch []fact.Change
	for _, l := range labels {
		_, p := w.find(l)
		batch = append(batch, fact.Change{ID: p.id, Fact: fact.Freed{By: said}})
	}
	return w.retry(func() error {
		n, err := w.s.Append(batch...)
		if err != nil { // it may never be seen
			return err
		}
		a := act{fact: said}
		for _, l := range labels {
			text, p := w.find(l)
			a.texts = append(a.texts, text)
			p.facts = append(p.facts, said)
		}
		if w.history = append(w.history, a); !wait {
			return nil
		}
		if err := w.s.Wait(n); err != nil {
			return err
		}
		for _, l := range labels {
			_, p := w.find(l)
			p.told = len(p.facts)
		}
		return nil
	})
}

func (w *world) goodbye(wait bool, label string) error {
	text, p := w.find(label)
	p.leaving = true
	w.history = append(w.history, act{gone: true, texts: []string{text}})
	return w.retry(func() error {
		n, err := w.s.Append(fact.Change{ID: p.id, Fact: fact.Gone{}})
		if err != nil || !wait {
			return err
		}
		err = w.s.Wait(n)
		p.gone = err == nil
		return err
	})
}

// refold has all files moved to where another foldering puts them.
func (w *world) refold(f spool.Foldering) error {
	w.foldering, w.moving = f, true
	defer func() { w.moving = false }()
	if err := w.s.SetFoldering(f); err != nil {
		return err
	}
	return w.retry(func() error { return w.s.Refold(context.Background()) })
}

// script returns the steps of a life in the queue.
func (w *world) script() []func() error {
	point := w.checkpoint
	steps := []func() error{
		func() error { return w.submit("a", 700) },
		func() error { return w.submit("b", 10) },
		func() error { return w.submit("c", 1300) },
		func() error { return w.submit("g", 20) },
		func() error { return w.facts(true, "routed", "a", "b", "c") },
		func() error { return w.facts(false, "tried a", "a") },
		func() error { return w.abandon(10) },
		func() error { return w.abandon(500) }, // in a file
		func() error { return w.stand(true, "delayed") },
		point, // a, b and g get files, c a name; the standing thing is carried forward
		func() error { return w.submit("d", 100) },
		func() error { return w.submit("e", 900) },
		func() error { return w.facts(true, "tried b", "b") },
		func() error { return w.goodbye(true, "a") },
		func() error { return w.goodbye(false, "d") },
		func() error { return w.facts(true, "held "+strings.Repeat("h", 300), "b", "c", "e") },
		func() error { return w.stand(false, "delayed more") },
		func() error { return w.submit("f", 2000) },
		func() error { return w.facts(false, "freed", "b", "c", "e", "f") }, // goes to files unless waited for
		point,
		func() error { return w.beget("report on b", "b") },
		func() error { return w.facts(false, "reported", "b") },
		func() error { return w.goodbye(false, "g") }, // its file must not go before the report is durable
		point,
		func() error { return w.refold(spool.Flat) },
		func() error { return w.goodbye(true, "c") }, // was moved: neither name comes back
		func() error { return w.refold(spool.Ten) },
		func() error { return w.abandon(500) }, // the file is used again
		func() error { return w.submit("r", 1500) },
		func() error { return w.goodbye(false, "r") },
		point,
	}
	for i := range 4 { // segments are used again
		x := fmt.Sprint("x", i)
		steps = append(steps,
			func() error { return w.submit(x, 1800) },
			func() error { return w.facts(i%2 == 0, "round "+x, "b", "e", x) },
			func() error { return w.goodbye(i%2 == 0, x) })
	}
	return append(steps, func() error { return w.goodbye(true, "e") }, point, point,
		func() error { return w.submit("last", 50) })
}

// life runs from recovery to the end of the script or of the power.
func (w *world) life(d *crashdisk.Disk, steps []func() error) (finished bool, err error) {
	found, err := w.open(d)
	if w.s != nil {
		defer func() { w.s.Close(); w.s = nil }()
	}
	if err != nil || !found {
		return false, err
	}
	for _, step := range steps {
		if err := step(); err != nil {
			if errors.Is(err, crashdisk.ErrPower) || errors.Is(err, syscall.EIO) || errors.Is(err, journal.ErrDegraded) {
				return false, nil
			}
			return false, fmt.Errorf("script: %w", err)
		}
	}
	return true, nil
}

// again submits one more message: its id must be new.
func (w *world) again() error {
	before := w.highest
	label := fmt.Sprint("again", len(w.promises))
	err := w.submit(label, 5)
	if _, p := w.find(label); err == nil && p.id <= before {
		return fmt.Errorf("id %d was given out before", p.id)
	}
	return err
}

// crashes loses power at each step of the script, then again in the recovery,
// and returns the first broken promise. sabotage returns what breaks the disk.
func crashes(seeds int, sabotage func(w *world) crashdisk.Fault) error {
	return crashesOf((*world).script, seeds, sabotage)
}

func crashesOf(script func(*world) []func() error, seeds int, sabotage func(w *world) crashdisk.Fault) error {
	for step := 0; ; step++ {
		for seed := range uint64(seeds) {
			rng := rand.New(rand.NewPCG(seed, uint64(step)))
			d, w := crashdisk.New(step), newWorld()
			fault := sabotage(w)
			d.Fail(fault)
			finished, err := w.life(d, script(w))
			for life := 0; err == nil && life < 4; life++ {
				if rng.IntN(3) > 0 { // else only the process has died
					d = d.Restart(rng)
					d.Fail(fault)
				}
				d.PowerFor([]int{rng.IntN(30), rng.IntN(30), -1, -1}[life])
				_, err = w.life(d, []func() error{w.again})
			}
			if err != nil {
				return fmt.Errorf("step %d, seed %d: %w", step, seed, err)
			}
			if finished && seed == uint64(seeds)-1 {
				return nil
			}
		}
	}
}

// Whatever step the power fails at: what was accepted is there, whole and once,
// with every fact that was promised; what is gone stays gone; a batch is whole.
func TestPromisesSurvivePowerLoss(t *testing.T) {
	if err := crashes(6, func(*world) crashdisk.Fault { return nil }); err != nil {
		t.Error(err)
	}
}
