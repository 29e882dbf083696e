package submitted

import "sync"

// A syncer makes many changes of a directory durable with one sync: who comes while one
// goes on waits for the next one, with all others who do.
type syncer struct {
	sync func() error

	mu      sync.Mutex
	ended   *sync.Cond // a sync
	running bool
	started uint64
	done    uint64
	err     error // the first one; no sync is trusted after it (SPOOL F3)
}

func newSyncer(do func() error) *syncer {
	s := &syncer{sync: do}
	s.ended = sync.NewCond(&s.mu)
	return s
}

// Wait returns nil when what was changed before it was called is durable.
func (s *syncer) Wait() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.started + 1
	for s.done < want && s.err == nil {
		if s.running {
			s.ended.Wait()
			continue
		}
		s.running = true
		s.started++
		this := s.started
		s.mu.Unlock()
		err := s.sync()
		s.mu.Lock()
		s.running, s.done = false, this
		if s.err == nil {
			s.err = err
		}
		s.ended.Broadcast()
	}
	return s.err
}
