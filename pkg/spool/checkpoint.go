package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// Run makes checkpoints until ctx ends: when the oldest commit is older than the
// age, when the journal is half full, or when texts without a file take their
// memory. A checkpoint that fails is tried again every second: mail waits, nothing
// is lost (E2). In between it moves files to where the foldering wants them.
func (s *Spool) Run(ctx context.Context) {
	var moves sync.WaitGroup // of files
	defer moves.Wait()
	defer s.watching(ctx)()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.due:
		}
		now := time.Now()
		at, due := s.next(now)
		if s.refoldDue() {
			moves.Go(func() {
				if err := s.Refold(ctx); err != nil && ctx.Err() == nil {
					s.log.Error("files stay where they are until the next start: " + err.Error())
				}
			})
		}
		if !due {
			if !at.IsZero() {
				timer.Reset(at.Sub(now))
			}
			continue
		}
		err := s.Checkpoint()
		s.tell(err)
		if err != nil {
			timer.Reset(time.Second)
			continue
		}
		timer.Reset(0)
	}
}

// next says whether a checkpoint is due, or when one will be.
func (s *Spool) next(now time.Time) (at time.Time, due bool) {
	closed, part := s.journal.Fill()
	o := s.options.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		return time.Time{}, closed > 0
	}
	if s.starved { // somebody waits for room
		return time.Time{}, true
	}
	if at = s.began.Add(o.Age); !at.After(now) {
		return at, true
	}
	if poll := now.Add(o.Age / 8); poll.Before(at) { // nobody tells how full it is
		at = poll
	}
	return at, part > 0.5 || s.young >= o.Memory
}

// An unfiled message is a message as a checkpoint saw it.
type unfiled struct {
	id    mail.ID
	m     *message // busy as long as that checkpoint has not placed it
	lines []byte   // of facts, durable when the checkpoint writes them
	facts int32
}

// A survey is what a checkpoint has to do.
type survey struct {
	through Number // the last commit of the oldest segment
	newest  Number // of all that was seen
	todo    []unfiled
	gone    map[mail.ID][]leftover
}

// Checkpoint frees the oldest segment of the journal: what lives in it goes to
// files, what is gone is removed, standing things are appended again. Without a
// segment to free it does nothing. It never waits for a module.
func (s *Spool) Checkpoint() error {
	s.checkpoint.Lock()
	defer s.checkpoint.Unlock()
	began := time.Now()
	v, err := s.survey()
	if v.through == 0 || err != nil {
		return err
	}
	if err := s.journal.Wait(v.newest); err != nil { // no fact in a file that the journal could lose (C1)
		return fmt.Errorf("spool: checkpoint: %w", err)
	}
	if err := s.place(v); err != nil {
		return fmt.Errorf("spool: checkpoint: %w", err)
	}
	placed := time.Since(began)
	if err := each(1, slices.Sorted(maps.Keys(v.gone)), func(id mail.ID) error { return s.unlink(id, v.gone[id]) }); err != nil {
		return fmt.Errorf("spool: checkpoint: %w", err)
	}
	if err := errors.Join(s.syncDirs(), s.waitNewest(v)); err != nil {
		return fmt.Errorf("spool: checkpoint: %w", err)
	}
	s.mu.Lock()
	for id := range v.gone {
		delete(s.gone, id)
	}
	s.mu.Unlock()
	if err = s.journal.Free(v.through); err == nil {
		s.freeActs(v.through)
	}
	s.log.Info("checkpoint", "files", len(v.todo), "removed", len(v.gone), "written", placed.Round(time.Millisecond),
		"took", time.Since(began).Round(time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.surveyed = time.Time{}
	close(s.freed)
	s.freed = make(chan struct{})
	return err
}

// waitNewest waits for what the checkpoint relied on without a file: that what has
// gone since the survey is gone for good (C1).
func (s *Spool) waitNewest(v survey) error {
	s.mu.Lock()
	n := s.newest
	left := false
	for _, u := range v.todo {
		left = left || !s.messages.has(u.id)
	}
	s.mu.Unlock()
	if !left {
		return nil
	}
	return s.journal.Wait(n)
}

// survey looks, and says the standing things of the segment again.
func (s *Spool) survey() (v survey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return v, s.err
	}
	s.starved = false
	if v.through = s.journal.Oldest(); v.through == 0 {
		s.began = time.Time{}
		return v, nil
	}
	if s.surveyed.IsZero() {
		s.surveyed = s.began
	}
	if closed, _ := s.journal.Fill(); closed <= 1 { // what is appended from now on is younger
		s.began = time.Time{}
	}
	for id, m := range s.messages.busy.All() {
		if m.oldest != 0 && m.oldest <= v.through {
			v.todo = append(v.todo, unfiled{id, m, m.unfiled[:len(m.unfiled):len(m.unfiled)], m.facts})
		}
	}
	v.gone = maps.Clone(s.gone)
	err = s.standAgain(v.through)
	v.newest = s.newest
	return v, err
}

// standAgain carries forward the standing things said until commit n. They alone
// are no reason for another checkpoint.
func (s *Spool) standAgain(n Number) error {
	defer func(began time.Time) { s.began = began }(s.began)
	for _, key := range slices.Sorted(maps.Keys(s.standing)) {
		st := s.standing[key]
		if st.said > n {
			continue
		}
		again := Standing{key, st.value}
		payload := appendStands(nil, []Standing{again})
		if err := s.journal.Book(journal.Forward, len(payload)); err != nil {
			return err
		}
		n, err := s.append(journal.Entry{Kind: kindFacts, Payload: [][]byte{payload}})
		if err != nil {
			return err
		}
		s.stand(again, n)
	}
	return nil
}

// unlink takes the file of a message away that is gone for good (L6).
func (s *Spool) unlink(id mail.ID, left []leftover) error {
	for _, l := range left {
		if err := s.removeFile(l.in, s.name(id, l.in, l.suffix)); err != nil {
			return err
		}
	}
	return nil
}

// changed notes that names in a folder have changed.
func (s *Spool) changed(f folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsynced[f] = true
}

// syncDirs syncs each directory in which names have changed, once. Where it fails, the
// next checkpoint does it again, before anything is freed (C1).
func (s *Spool) syncDirs() error {
	s.mu.Lock()
	dirs := slices.Sorted(maps.Keys(s.unsynced))
	clear(s.unsynced)
	s.mu.Unlock()
	err := each(s.options.Load().Syncers, dirs, s.syncDir)
	if err != nil {
		s.mu.Lock()
		for _, dir := range dirs { // those that were synced, too: nobody has noted which
			s.unsynced[dir] = true
		}
		s.mu.Unlock()
	}
	return err
}

// Empty makes checkpoints until the journal holds standing things alone (C4).
func (s *Spool) Empty() error {
	s.mu.Lock()
	end, old := s.newest, s.spares
	s.spares, s.emptying = nil, true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.emptying = false
		s.mu.Unlock()
	}()
	for _, o := range old {
		s.throwAway(o)
	}
	for n := s.journal.Oldest(); n != 0 && n <= end; n = s.journal.Oldest() {
		if err := s.Checkpoint(); err != nil {
			return err
		}
	}
	return nil
}

// Close commits what was appended and closes the journal. It makes no checkpoint.
func (s *Spool) Close() error { return s.journal.Close() }

// each does work with all, so many at a time, until one fails.
func each[T any](limit int, all []T, work func(T) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := func() (v T, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil || len(all) == 0 {
			return v, false
		}
		v, all = all[0], all[1:]
		return v, true
	}
	for range min(limit, len(all)) {
		wg.Go(func() {
			for v, ok := next(); ok; v, ok = next() {
				if err := work(v); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}
