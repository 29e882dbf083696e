package kernel

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"cgq/pkg/spool"
)

// A room tells the log that transfers wait for room in the journal: once when that
// begins, whatever number of host queues it is, and once when it is over.
type room struct{ wanted atomic.Int64 } // when it was wanted last, in nanoseconds; 0: there is some

// roomCalm is how long nobody has wanted room when it is over.
const roomCalm = 5 * roomPause

func (r *room) tell(log *slog.Logger, err error) {
	was := r.wanted.Load()
	if err == nil && was == 0 {
		return
	}
	now := time.Now().UnixNano()
	switch {
	case err != nil && r.wanted.Swap(now) != 0: // the log has it
	case err != nil && !errors.Is(err, spool.ErrFull):
		log.Error("nothing is transferred: it cannot be recorded", "err", err)
	case err != nil:
		log.Warn("transfers wait: there is no room to record them, checkpoints do not keep up")
	case time.Duration(now-was) > roomCalm && r.wanted.CompareAndSwap(was, 0):
		log.Warn("transfers wait no more: there is room to record them") // as important as the other
	}
}
