package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// Transfers that wait for room in the journal are told once, whatever number of host
// queues they are of, and once when they wait no more.
func TestNoRoomIsToldAtItsBeginAndEnd(t *testing.T) {
	for fault, says := range map[error]string{spool.ErrFull: "transfers wait: ", errors.New("broken"): "it cannot be recorded"} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer // of one goroutine at a time: the handler locks
			text := slog.New(slog.NewTextHandler(&log, nil))
			l := &memLedger{full: fault}
			m := newScripted(relayAll)
			k := kernel.New(l, plan, kernel.Logs{Queue: text, Dequeuer: discard().Dequeuer}, m)
			ctx, cancel := context.WithCancel(t.Context())
			var run sync.WaitGroup
			run.Go(func() { k.Run(ctx, nil, time.Minute) })
			for id := mail.ID(1); id <= 20; id++ {
				insert(k, id, fmt.Sprintf("q%d", id))
			}
			time.Sleep(time.Minute)
			l.mu.Lock()
			l.full = nil
			l.mu.Unlock()
			time.Sleep(time.Minute)
			insert(k, 21, "q1") // tells that it is over
			time.Sleep(time.Minute)
			cancel()
			run.Wait()
			got := log.String()
			if n, over := strings.Count(got, says), strings.Count(got, "transfers wait no more"); n != 1 || over != 1 || m.done(0) != 21 {
				t.Errorf("%v: told %d times, and %d times that it is over, %d transferred; want 1, 1, 21", fault, n, over, m.done(0))
			}
		})
	}
}
