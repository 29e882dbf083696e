package queue

import (
	"time"

	"cgq/pkg/mail"
)

// An instant is a time in nanoseconds since 1970 of a clock that never jumps: the one on
// the wall, less what that has jumped since the State was made. 0 is none.
type instant int64

// A clock turns the time on the wall into instants and back. When somebody sets the
// clock of the machine a day ahead or back, nothing that waits is due the sooner or the
// later, and nothing is a day older for it (SPOOL L9).
type clock struct {
	jumped time.Duration // in all
	jumps  []jump
}

// A jump of the clock on the wall, and the newest message that was submitted before it.
type jump struct {
	by     time.Duration
	newest mail.ID
}

// Jump says that the clock on the wall has jumped.
func (s *State) Jump(by time.Duration) {
	s.jumps = append(s.jumps, jump{by, s.Newest()})
	s.jumped += by
}

func (c *clock) in(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixNano() - int64(c.jumped))
}

func (c *clock) out(i instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(i)+int64(c.jumped))
}

// Age is how long ago a message was submitted, whatever the clock on the wall has done
// since.
func (c *clock) Age(id mail.ID, submitted, now time.Time) time.Duration {
	return now.Sub(submitted) - c.since(id)
}

// since is by how much the clock has jumped since a message was submitted.
func (c *clock) since(id mail.ID) (by time.Duration) {
	for _, j := range c.jumps {
		if id <= j.newest {
			by += j.by
		}
	}
	return by
}
