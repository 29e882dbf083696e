package journal

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDegraded is returned by Book for new mail after a write or sync of the journal has
// failed: the disk is not to be trusted with more than what is here already (E1).
var ErrDegraded = errors.New("journal: a sync has failed: no new mail before a restart")

// Degraded returns the first write or sync of the journal that failed, or nil. Nothing
// was lost by it, everything that is here can still be finished, and no new mail is
// taken: Book returns ErrDegraded for it until a restart.
func (j *Journal) Degraded() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.degraded
}

// degrade notes why, once. The caller holds mu.
func (j *Journal) degrade(cause error) {
	if j.degraded == nil {
		j.degraded = cause
	}
	j.tell(cause)
}

// takeOver goes on after the write of the oldest pending commit has failed: once, and
// never by a second sync of what failed the first (F3). All that waits is in memory,
// and is laid anew from a fresh segment on. The header of that is synced before
// anything else in it, and voids the failed commit (J3): so whatever is found of that
// one afterwards, whole or not, counts in one place only, with the same frames. The
// caller holds mu. It returns whether to go on.
func (j *Journal) takeOver(cause error) bool {
	if j.retried {
		j.breakWith(cause)
		return false
	}
	j.retried = true
	j.degrade(cause)
	for !j.layAnew() { // only what was carried forward can have taken the last segment (J5)
		j.mu.Unlock()
		err := j.grow()
		j.mu.Lock()
		if err != nil {
			j.breakWith(fmt.Errorf("%w; and no segment to go on in: %w", cause, err))
		}
		if j.err != nil { // Free, too, may have met an error
			return false
		}
	}
	poke(j.work) // the failed one is wanted in its place
	return true
}

// layAnew gives the pending commits new places, with their numbers and frames, behind
// the header of a free segment; or says that the free ones do not hold them, and
// changes nothing. The segment of the first has failed, and keeps what was durable in it;
// those behind were begun in memory only, and all of them are begun again, first: what did
// not fit behind less does not fit behind more. Where Oldest has closed a segment, one ends.
func (j *Journal) layAnew() bool {
	var begun []*segment
	for _, c := range j.pending[1:] {
		if c.fresh {
			begun = append(begun, c.seg)
		}
	}
	free := slices.Concat(begun, j.free)
	used, room := 0, int64(0)
	for _, c := range j.pending {
		size := blocks(len(c.data))
		if size > room || c.number == j.closed+1 {
			if used == len(free) {
				return false
			}
			used, room = used+1, free[used].size-block
		}
		room -= size
	}
	failed := j.pending[0].seg
	failed.failed, failed.last = true, j.durable
	j.live = j.live[:len(j.live)-len(begun)]
	j.free, j.tail = free, nil
	for _, c := range j.pending {
		size := blocks(len(c.data))
		c.sealed = true
		if c.fresh = j.tail == nil || j.off+size > j.tail.size; c.fresh {
			j.begin(c.number - 1)
		}
		c.seg, c.off, j.tail.last = j.tail, j.off, c.number
		j.off += size
		if c.number == j.closed {
			j.tail = nil
		}
	}
	return true
}
