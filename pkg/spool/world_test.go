package spool_test

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// open recovers and holds what is found against what was promised. What it finds
// is promised from then on. found is false when the disk failed.
func (w *world) open(d *crashdisk.Disk) (found bool, err error) {
	steps := d.Steps()
	w.disk, w.during = interrupted{w.under(d), w}, nil
	foretold, err1 := spool.Inspect(w.disk, "Queue")
	if d.Steps() != steps {
		return true, errors.New("looking has written something")
	}
	s, rec, err := start(w.disk, w.options())
	if err == nil {
		err = cmp.Or(err1, asForetold(foretold, rec, s))
	}
	if errors.Is(err, crashdisk.ErrPower) || errors.Is(err, syscall.EIO) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("does not open: %w", err)
	}
	w.s = s
	if len(rec.Damage) > 0 {
		return true, fmt.Errorf("called damage: %w", errors.Join(rec.Damage...))
	}
	seen := map[string]bool{}
	for _, f := range rec.Messages {
		id, facts := f.ID, f.Facts
		if !reflect.DeepEqual(f.Envelope, envelope()) {
			return true, fmt.Errorf("message %d has the envelope %+v", id, f.Envelope)
		}
		text, err := read(s, id)
		if err != nil {
			if errors.Is(err, crashdisk.ErrPower) {
				return false, nil
			}
			return true, fmt.Errorf("message %d is listed and not whole: %w", id, err)
		}
		p := w.promises[text]
		if p == nil || seen[text] || p.id != 0 && p.id != id || p.gone || p.dropped {
			return true, fmt.Errorf("message %d, %.9q, came from nowhere: %+v", id, text, p)
		}
		seen[text] = true
		if err := p.keep(id, facts); err != nil {
			return true, fmt.Errorf("message %d, %.9q: %w", id, text, err)
		}
		w.highest = max(w.highest, id)
	}
	for text, p := range w.promises {
		if !seen[text] && p.accepted && !p.leaving {
			return true, fmt.Errorf("message %d, %.9q, was accepted and is lost", p.id, text)
		}
		if !seen[text] {
			p.dropped = true
		}
	}
	if err := w.prefix(); err != nil {
		return true, err
	}
	if i := slices.Index(w.standing, s.Standing()["the host"]); i+1 < w.stands {
		return true, fmt.Errorf("standing %q, want one of %q from %d on", s.Standing(), w.standing, w.stands)
	} else {
		w.standing, w.stands = w.standing[:i+1], i+1
	}
	for _, p := range w.promises {
		p.leaving = p.leaving && p.dropped
	}
	return true, w.filesAre(d, len(rec.Messages))
}

// keep holds the facts found against the promise, and promises them.
func (p *promise) keep(id mail.ID, facts []fact.Fact) error {
	for i, f := range facts {
		said := f.(fact.Freed).By
		if i >= len(p.facts) || said != p.facts[i] {
			return fmt.Errorf("fact %d is %.20q, want %.40q", i+1, said, p.facts)
		}
	}
	if len(facts) < p.told {
		return fmt.Errorf("%d facts of %d durable ones", len(facts), p.told)
	}
	p.id, p.accepted = id, true
	p.facts, p.told = p.facts[:len(facts)], len(facts)
	return nil
}

// prefix holds that what is found is a prefix of the history: no act is seen
// while an earlier one is not, and none in part. What is found is the history
// from then on.
func (w *world) prefix() error {
	unseen := -1
	var found []act
	for i, a := range w.history {
		var with, without int
		for _, text := range a.texts {
			p := w.promises[text]
			left := p.dropped && p.leaving // whether the act was seen before that, nobody knows
			switch {
			case left && !a.gone:
			case left, !p.dropped && !a.gone && (a.birth == text || slices.Contains(p.facts, a.fact)):
				with++
			default:
				without++
			}
		}
		switch {
		case with > 0 && without > 0:
			return fmt.Errorf("act %d, %.20q, is true of %d messages and not of %d", i, a.fact, with, without)
		case with > 0 && unseen >= 0:
			return fmt.Errorf("act %d, %.99v, is seen, and act %d, %.99v, is not", i, a, unseen, w.history[unseen])
		case without > 0 && unseen < 0:
			unseen = i
		}
		if without == 0 {
			found = append(found, a)
		}
	}
	w.history = found
	return nil
}

// filesAre says that after recovery each message is one file, and nothing else is.
func (w *world) filesAre(d *crashdisk.Disk, living int) error {
	if files := d.Files(".msg"); len(files) != living {
		return fmt.Errorf("%d files for %d messages", len(files), living)
	}
	for name := range d.Files("") {
		if !slices.Contains([]string{"Queue/ids", "Queue/ids.tmp"}, name) && path.Ext(name) != ".msg" &&
			!strings.Contains(name, ".seg.failed") && path.Dir(name) != "Queue/journal" {
			return fmt.Errorf("%s is left over", name)
		}
	}
	return nil
}

// options are those of the life that begins.
func (w *world) options() spool.Options {
	o := small
	o.Foldering, o.Recycle = w.foldering, true
	return o
}

// asForetold holds what a start has done against what was said before that it would do.
func asForetold(i *spool.Inspection, rec *spool.Recovery, s *spool.Spool) error {
	if i == nil {
		return errors.New("nothing was foretold")
	}
	if !reflect.DeepEqual(i.Recovery, *rec) {
		return fmt.Errorf("it found\n%+v, foretold was\n%+v", *rec, i.Recovery)
	}
	if !reflect.DeepEqual(i.Standing, s.Standing()) {
		return fmt.Errorf("standing %q, foretold were %q", s.Standing(), i.Standing)
	}
	return nil
}
