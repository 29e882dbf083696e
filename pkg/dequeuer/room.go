package dequeuer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A room knows whether there is any for reports, so that of ten thousand that wait one
// is tried, and not all: the queue may be full, the disk, or the journal. A report with
// which its message goes needs less than another: the full queue has room for it.
type room struct {
	mu    sync.Mutex
	until [2]time.Time // none before this time: for reports with others to come, and for last ones
	told  bool         // the log has it
}

// errNoRoom is the error of a report that is not tried.
var errNoRoom = module.Reject(4, 3, 1, "no room for reports")

func (m *room) of(last bool) *time.Time {
	if last {
		return &m.until[1]
	}
	return &m.until[0]
}

// try says whether a report may be tried now.
func (m *room) try(last bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !time.Now().Before(*m.of(last))
}

// wanting says whether an error is about room, and notes it then.
func (m *room) wanting(log *slog.Logger, last bool, err error) bool {
	var refused *module.Rejection
	if !errors.As(err, &refused) || refused.Result.Action != mail.Delayed || refused.Result.Status[1] != 3 {
		return false
	}
	if refused == errNoRoom {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	until := time.Now().Add(retry)
	m.until[0] = until // what a last one does not get, others do not either
	*m.of(last) = until
	if !m.told {
		m.told = true
		log.Log(context.Background(), serverlog.Failure, "reports wait: "+refused.Error())
	}
	return true
}

// found notes that a report was taken. It is over when it was one that needs more, or
// when nobody has been refused any more for a while.
func (m *room) found(log *slog.Logger, last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told && (!last || time.Now().After(m.until[0].Add(retry))) {
		m.until, m.told = [2]time.Time{}, false
		log.Log(context.Background(), serverlog.Failure, "reports are written again")
	}
}
