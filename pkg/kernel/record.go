package kernel

import (
	"errors"
	"slices"
	"strings"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
	"cgq/pkg/spool"
)

// An unsure observation is one that is written and may not be durable yet.
type unsure struct {
	n  journal.Number
	id mail.ID
}

// write appends observations. The caller holds mu.
func (k *Kernel) write(to writer, changes []fact.Change, stands []spool.Standing) {
	n, err := to.Act(changes, stands)
	if err != nil {
		ids := make([]mail.ID, len(changes))
		for i, c := range changes {
			ids[i] = c.ID
		}
		k.mayRepeat(ids, "what has happened cannot be written", err)
		return
	}
	for _, c := range changes {
		k.unsure = append(k.unsure, unsure{n, c.ID})
	}
	k.syncSoon(n)
}

// mayRepeat says of what a restart may repeat a transfer. If that is because the journal
// is broken, nothing new is handed out, and what is under way ends, or a restart would
// repeat all that comes now, too (SPOOL E1). The caller holds mu.
func (k *Kernel) mayRepeat(ids []mail.ID, why string, err error) {
	slices.Sort(ids)
	for some := range slices.Chunk(slices.Compact(ids), 100) { // a line of the log stays one that people read
		var b strings.Builder
		for _, id := range some {
			b.WriteString(" [" + id.String() + "]")
		}
		k.log.Queue.Error(why+"; a restart may repeat the transfer of"+b.String(), "err", err)
	}
	if len(ids) == 0 {
		k.log.Queue.Error(why, "err", err)
	}
	if errors.Is(err, spool.ErrFull) {
		return
	}
	if !k.stopping {
		k.log.Queue.Log(background, serverlog.Crash, "the journal is broken: nothing is transferred until a restart", "err", err)
	}
	k.stopping = true
	if k.cut != nil {
		k.cut()
	}
}

// syncSoon makes what is appended up to n durable soon. The caller holds mu.
func (k *Kernel) syncSoon(n journal.Number) {
	if k.newest = n; k.syncing == nil {
		k.syncing = time.AfterFunc(k.soon, k.sync)
	}
}

// sync makes durable what was observed until now.
func (k *Kernel) sync() {
	k.mu.Lock()
	n := k.newest
	k.syncing = nil
	k.mu.Unlock()
	err := k.ledger.Wait(n)
	k.mu.Lock()
	defer k.mu.Unlock()
	var ids []mail.ID
	k.unsure = slices.DeleteFunc(k.unsure, func(u unsure) bool {
		if u.n <= n && err != nil {
			ids = append(ids, u.id)
		}
		return u.n <= n
	})
	if err != nil {
		k.mayRepeat(ids, "what has happened is not on disk", err)
	}
}
