package journal

import (
	"errors"
	"fmt"
	"slices"

	"cgq/pkg/disk"
)

// failedSuffix is added to the name of a segment that failed a write or sync, when it
// leaves the journal: recovery does not read it any more.
const failedSuffix = ".failed"

// Oldest closes the oldest segment that holds anything to further commits and returns
// the number of the last one in it; 0 when there is none, or when what is booked needs
// its room.
func (j *Journal) Oldest() Number {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.live, (*segment).holds)
	if i < 0 {
		return 0
	}
	s := j.live[i]
	if s == j.tail {
		if j.freeRoom() < max(j.booked, 1) {
			return 0
		}
		if c := j.gathering(); c != nil {
			j.seal(c)
		}
		j.tail, j.closed = nil, s.last
	}
	return s.last
}

// Free frees, oldest first, the closed segments that hold nothing after n, which
// must be durable. When it returns nil their commits never come back, and whatever
// they said must be durable elsewhere before it is called (J6). After an error they may
// come back, nothing is lost, and it can be called again, unless the journal is broken.
func (j *Journal) Free(n Number) error {
	j.freeing.Lock()
	defer j.freeing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.live) > 0 && j.live[0] != j.tail && j.live[0].last <= n {
		switch {
		case j.err != nil:
			return j.err
		case n > j.durable:
			return ErrNotDurable
		}
		if err := j.freeOldest(); err != nil {
			return err
		}
		poke(j.work) // there is one more, or one less
	}
	return nil
}

// freeOldest frees the first of live. The caller holds mu, which is given up
// meanwhile, and freeing.
func (j *Journal) freeOldest() error {
	if s := j.live[0]; !s.damaged && !j.known(s.last) {
		j.remember()
	}
	s, through := j.live[0], j.durable // another, if a header has failed
	if s.failed && !j.known(s.last) {
		return fmt.Errorf("%s: kept until a later commit is durable: %w", s.name, j.degraded)
	}
	j.live = j.live[1:] // nobody else gets it now
	j.mu.Unlock()
	err := j.release(s, through)
	j.mu.Lock()
	switch {
	case err != nil:
		j.live = slices.Insert(j.live, 0, s)
	case !s.damaged && !s.failed:
		j.putFree(s)
	}
	return err
}

// known says whether a later commit, or the header of a free segment, tells on disk that
// the journal went to n.
func (j *Journal) known(n Number) bool {
	return n < j.durable || n == 0 || len(j.free) > 0 && j.free[len(j.free)-1].after >= n
}

// remember writes into the header of a free segment how far the journal went, before
// the one that holds the last commit is freed: its header may be torn by that, or it
// leaves, and numbers must not be given out twice (J6). Without a free segment nothing
// is done. The caller holds mu, which is given up meanwhile, and freeing.
func (j *Journal) remember() {
	for through := j.durable; len(j.free) > 0 && !j.known(through); {
		s := j.free[0]
		j.free = j.free[1:]
		j.mu.Unlock()
		err := s.clear(through)
		j.mu.Lock()
		if err == nil {
			j.stats.Syncs++
			j.putFree(s)
			return
		}
		s.failed, s.after, s.last = true, 0, 0
		j.live = slices.Insert(j.live, 0, s) // to leave as the failed ones do
		j.degrade(err)
	}
}

// putFree adds a segment to the free ones. They are used in the order in which they were
// freed: the one that knows best how far the journal went comes last, when others have
// gone further, for its header may be torn by then.
func (j *Journal) putFree(s *segment) {
	i := len(j.free)
	for i > 0 && j.free[i-1].after > s.after {
		i--
	}
	j.free = slices.Insert(j.free, i, s)
}

// release frees a segment on disk, before it is used again. One that was damaged, or
// fails now, or has failed before, leaves the journal instead (E1): nothing of it counts
// any more, so nothing is lost.
func (j *Journal) release(s *segment, through Number) error {
	if s.damaged || s.failed {
		return j.expel(s)
	}
	err := s.clear(through)
	j.mu.Lock()
	if err == nil {
		j.stats.Syncs++
		j.mu.Unlock()
		return nil
	}
	s.failed = true
	j.degrade(err)
	known := j.known(s.last)
	j.mu.Unlock()
	if !known {
		return err
	}
	return j.expel(s)
}

// expel takes the name of a segment away, durably. What is damaged has its second name
// before that; what failed holds nothing of worth and gets it afterwards.
func (j *Journal) expel(s *segment) (err error) {
	if s.damaged {
		if _, err = disk.Keep(j.fs, s.name, j.options.aside(s.name)); err == nil {
			err = j.fs.Remove(s.name)
		}
	} else {
		err = j.fs.Rename(s.name, s.name+failedSuffix)
	}
	if err != nil {
		return err
	}
	if err := j.fs.SyncDir(j.dir); err != nil { // the name may come back, and a second try would prove nothing (F3)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.breakWith(err)
		return err
	}
	if !s.damaged {
		err = j.setAside(s.name + failedSuffix)
	}
	if err = errors.Join(err, s.file.Close()); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.tell(err)
	}
	return nil
}

// setAside moves a failed segment that has left the journal to the damaged ones, if these
// have a place. Its file is kept, so that nobody gets the blocks.
func (j *Journal) setAside(name string) error {
	if j.options.Aside == "" {
		return nil
	}
	return disk.MoveAside(j.fs, name, j.options.aside(name))
}
