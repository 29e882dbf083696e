package enqueuer

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/router"
	"cgq/pkg/serverlog"
)

// maxTrapped is how many network addresses are remembered that have sent to a spam trap.
const maxTrapped = 100_000

// trapped are those, and until when nothing is taken from them (communigate: SPAMTRAP).
type trapped struct {
	mu    sync.Mutex
	until map[netip.Addr]time.Time
}

// add remembers one. When there are too many, some that are over go, else the new one is
// not remembered: an attack with many addresses takes no memory.
func (t *trapped) add(peer netip.Addr, now, until time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until == nil {
		t.until = map[netip.Addr]time.Time{}
	}
	if len(t.until) >= maxTrapped {
		for a, until := range t.until {
			if !until.After(now) {
				delete(t.until, a)
			}
		}
	}
	if len(t.until) >= maxTrapped {
		return false
	}
	t.until[peer] = until
	return true
}

// has says whether nothing is taken from an address now.
func (t *trapped) has(peer netip.Addr, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.until[peer]
	if ok && !until.After(now) {
		delete(t.until, peer)
		return false
	}
	return ok
}

// len is how many are remembered.
func (t *trapped) len() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.until))
}

// trap remembers who has sent to a spam trap. Clients and authenticated senders are told
// that there is no such address, and that is all: theirs may be a slip.
func (e *Enqueuer) trap(ctx context.Context, env *mail.Envelope, err error) {
	long := e.settings.Load().SpamTrapTime.D()
	if !errors.Is(err, router.ErrSpamTrap) || long == 0 || !e.stranger(env) {
		return
	}
	now := time.Now()
	if e.traps.add(env.Peer.Unmap(), now, now.Add(long)) {
		e.log.Log(ctx, serverlog.Failure, "["+env.Peer.Unmap().String()+"] has sent to a spam trap: nothing is taken from it till "+
			now.Add(long).Local().Format("15:04:05"))
	}
}

// stranger says whether an envelope is from a network address that is nobody's here.
func (e *Enqueuer) stranger(env *mail.Envelope) bool {
	return env.Source.External() && env.Auth == "" && env.Peer.IsValid() && !e.IsClient(env.Peer)
}

// admitSender says whether mail is taken from who an envelope is from: not from one that
// has sent to a spam trap, and not with a return path that the Router sends to ERROR or
// BLACKLISTED.
func (e *Enqueuer) admitSender(ctx context.Context, env *mail.Envelope) error {
	if e.stranger(env) && e.traps.has(env.Peer.Unmap(), time.Now()) {
		e.refused.trapped.Add(1)
		return module.Reject(5, 7, 1, "your address is blacklisted here for a while: it has sent to an address that gets spam only")
	}
	if env.ReturnPath.IsZero() {
		return nil
	}
	return e.router.Sender(ctx, env.ReturnPath)
}
