package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"cgq/pkg/journal"
	"cgq/pkg/serverlog"
)

// A strain is how hard checkpoints find it to keep up with what comes in.
type strain int

const (
	calm    strain = iota
	lagging        // the journal is filling up
	waiting        // senders wait for room in it
)

// The journal fills up when it is fuller than the first; it is over when it is no
// fuller than the second, which checkpoints make it by themselves.
const (
	lagsAt = 0.75
	overAt = 0.5
)

// pressure tells the log when something begins to strain, and when it is over: once
// each.
type pressure struct {
	mu      sync.Mutex
	senders int    // wait for room
	told    strain // the worst since calm
	failed  error  // of the last checkpoint

	degraded bool // told
	hangs    bool // told
}

// waits counts a sender who waits for room in the journal, until done is called.
func (s *Spool) waits() (done func()) {
	count := func(n int) {
		s.pressure.mu.Lock()
		s.pressure.senders += n
		s.pressure.mu.Unlock()
	}
	count(1)
	s.strains()
	return func() { count(-1) }
}

// strains looks how it is, and says what is new.
func (s *Spool) strains() {
	_, part := s.journal.Fill()
	p := &s.pressure
	p.mu.Lock()
	defer p.mu.Unlock()
	is := calm
	switch {
	case p.senders > 0:
		is = waiting
	case part > lagsAt || part > overAt && p.told > calm:
		is = lagging
	}
	level := func(worst strain) slog.Level {
		if worst == waiting {
			return serverlog.Major
		}
		return serverlog.Problem
	}
	say := func(worst strain, text string) {
		s.log.Log(context.Background(), level(worst), text, "filled", fmt.Sprintf("%d%%", int(100*part)))
	}
	switch {
	case is == calm && p.told > calm:
		say(p.told, "checkpoints keep up again")
	case is <= p.told:
		return // it is no worse
	case is == waiting:
		say(is, "senders wait for room in the journal: checkpoints do not keep up")
	default:
		say(is, "the journal fills up: checkpoints do not keep up")
	}
	p.told = is
}

// tell says once that checkpoints fail, and once that they do no more.
func (s *Spool) tell(err error) {
	p := &s.pressure
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.failed
	p.failed = err
	switch {
	case err != nil && (was == nil || number(err) != number(was)):
		s.log.Error("checkpoint failed; the journal keeps everything, trying again", "err", err)
	case err == nil && was != nil:
		s.log.Error("checkpoints succeed again") // as important as the other
	}
}

// degrades says once that the journal goes on for what is here alone (E1), and that it
// has not got an answer from the disk for long, and when that is over (J5).
func (s *Spool) degrades() {
	p := &s.pressure
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := s.journal.Degraded(); err != nil && !p.degraded {
		p.degraded = true
		s.log.Log(context.Background(), serverlog.Crash, "no new mail is taken until a restart: "+err.Error())
	}
	hangs := errors.Is(s.Ready(), journal.ErrSlow)
	switch {
	case hangs && !p.hangs:
		s.log.Error("no new mail is taken: the disk does not answer", "seconds", int(s.journal.Waiting().Seconds()))
	case !hangs && p.hangs:
		s.log.Error("the disk answers again") // as important as the other
	}
	p.hangs = hangs
}

// number is what the operating system said, or 0.
func number(err error) (n syscall.Errno) {
	errors.As(err, &n)
	return n
}

// watchEvery is how often somebody looks whether there is a strain.
const watchEvery = time.Second

// watching looks regularly how the journal and the disk are, until ctx ends; what it
// returns waits for the end of that.
func (s *Spool) watching(ctx context.Context) (wait func()) {
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.strains()
				s.degrades()
				_ = s.Admit() // the log has it
			}
		}
	})
	return done.Wait
}

// Health is how the spool is.
type Health struct {
	Load
	Oldest  time.Time     // when the oldest commit was made that waits for a checkpoint; zero: none does
	Senders int           // wait for room in the journal
	Failed  error         // of the last checkpoint; nil: it went well
	Broken  error         // why the journal takes nothing new, as long as it is not only full; nil: it does
	Waiting time.Duration // how long somebody has waited for the disk, just now
	Writes  journal.Stats // of the journal
	Closed  error         // matches ErrSpace: no new mail is taken; nil: there is room
	Free    Space         // on the file system; zero: it is not asked
	Need    Space         // what there must be of that for new mail
}

// Ready says why the journal takes no new mail, as long as it is not only full, which
// passes while one waits: a sync has failed, or the disk does not answer. Nil: it does.
func (s *Spool) Ready() error {
	err := s.journal.Book(journal.Intake, 0)
	if err == nil {
		s.journal.Unbook(0)
	}
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

// Health says how the spool is just now.
func (s *Spool) Health() Health {
	h := Health{Load: s.Load(), Closed: s.Admit(), Waiting: s.journal.Waiting(), Writes: s.journal.Stats()}
	s.pressure.mu.Lock()
	h.Senders, h.Failed = s.pressure.senders, s.pressure.failed
	s.pressure.mu.Unlock()
	s.mu.Lock()
	h.Oldest, h.Broken = s.surveyed, s.err
	if h.Oldest.IsZero() {
		h.Oldest = s.began
	}
	s.mu.Unlock()
	if h.Broken == nil {
		h.Broken = s.Ready()
	}
	s.space.mu.Lock()
	h.Free, h.Need = s.space.free, s.space.need
	s.space.mu.Unlock()
	return h
}
