package kernel

import "time"

// A wall finds out when somebody sets the clock of the machine: what passes there is not
// what passes.
type wall struct {
	began time.Time
	skew  time.Duration // that is known
}

// jumpLeast is the least that counts as a jump: less comes from clocks that are kept
// right little by little, and changes nothing that matters here.
const jumpLeast = time.Minute

// jumped returns by how much the clock has jumped since the last call, or 0.
func (w *wall) jumped(now time.Time) time.Duration { return w.jump(now, now.Sub(w.began)) }

// jump is jumped, of a time at which so much has passed.
func (w *wall) jump(now time.Time, passed time.Duration) time.Duration {
	by := now.Round(0).Sub(w.began.Round(0)) - passed - w.skew
	if by.Abs() < jumpLeast {
		return 0
	}
	w.skew += by
	return by
}

// now is the time. What waits, waits on when the clock has jumped, and nothing is older
// for it. The caller holds mu.
func (k *Kernel) now() time.Time {
	now := time.Now()
	if by := k.wall.jumped(now); by != 0 {
		k.state.Jump(by)
		k.log.Queue.Warn("the clock has jumped; what waits, waits as long as before", "by", by.String())
	}
	return now
}

// clock is now for one who does not hold mu.
func (k *Kernel) clock() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now()
}
