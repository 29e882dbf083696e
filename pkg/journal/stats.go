package journal

import (
	"errors"
	"time"
)

// ErrSlow is returned by Book for new mail while a commit has been waited for longer
// than 10 s (J5): the disk hangs, or does not keep up. Try later.
var ErrSlow = errors.New("journal: the disk does not answer")

// slow is how long a commit may be waited for before new mail is refused.
const slow = 10 * time.Second

// Stats are counts since Open.
type Stats struct {
	Frames  int64 // in durable commits, as the next two
	Commits int64
	Bytes   int64 // written, whole blocks
	Syncs   int64 // flushes for them and for the headers of their segments, at their first use and when freed
}

// Stats returns how much has been done. Syncs by frames is what a record costs.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stats
}

// count adds a commit that is durable.
func (s *Stats) count(c *commit) {
	s.Frames += int64(c.frames)
	s.Commits++
	s.Bytes += blocks(len(c.data))
	s.Syncs++
	if c.fresh {
		s.Syncs++
	}
}

// Waiting is for how long somebody has been waiting for the oldest commit that is not
// durable; 0 when nobody waits. What gathers until it is wanted does not count.
func (j *Journal) Waiting() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting()
}

func (j *Journal) waiting() time.Duration {
	if len(j.pending) == 0 || j.pending[0].wanted.IsZero() {
		return 0
	}
	return time.Since(j.pending[0].wanted)
}
