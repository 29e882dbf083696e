package smtp

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// A pool counts the connections and keeps those that wait for more mail of their
// queue. A connection that waits counts, but gives way to one that is needed.
type pool struct {
	mu      sync.Mutex
	open    map[string]int     // connections of a queue
	total   int                // of all
	idle    map[string][]*link // the last one was used last
	changed chan struct{}      // closed when there may be room again; nil: nobody waits
}

// poolKey is what connections of a queue have in common: where they lead.
func poolKey(queue string, s *Send) string { return queue + "\n" + s.Relay }

// acquire returns a connection that waits, or nil when the caller may open one, as
// soon as there is room. Its error is that of ctx.
func (m *Module) acquire(ctx context.Context, key string, s *Send) (*link, error) {
	p := &m.pool
	for {
		p.mu.Lock()
		l, evicted, ok := p.take(key, s)
		var wait chan struct{}
		if !ok {
			if p.changed == nil {
				p.changed = make(chan struct{})
			}
			wait = p.changed
		}
		p.mu.Unlock()
		if evicted != nil {
			evicted.quit()
		}
		switch {
		case l != nil && l.alive():
			return l, nil
		case l != nil:
			_ = l.Close()
			m.free(key)
		case ok:
			return nil, nil
		default:
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

// take finds a connection, or room for one, for which another may have to go. It
// needs mu.
func (p *pool) take(key string, s *Send) (l, evicted *link, ok bool) {
	if list := p.idle[key]; len(list) > 0 {
		l = list[len(list)-1]
		p.remove(l)
		return l, nil, true
	}
	if p.open[key] >= s.QueueChannels {
		return nil, nil, false
	}
	if p.total >= s.Channels {
		for _, list := range p.idle {
			evicted = list[0]
			break
		}
		if evicted == nil {
			return nil, nil, false
		}
		p.remove(evicted)
		p.forget(evicted.key)
	}
	if p.open == nil {
		p.open = map[string]int{}
	}
	p.open[key]++
	p.total++
	return nil, evicted, true
}

// remove takes l out of those that wait, and reports whether it was there. It needs mu.
func (p *pool) remove(l *link) bool {
	for i, other := range p.idle[l.key] {
		if other == l {
			list := append(p.idle[l.key][:i:i], p.idle[l.key][i+1:]...)
			if p.idle[l.key] = list; len(list) == 0 {
				delete(p.idle, l.key)
			}
			l.timer.Stop()
			l.unbind()
			return true
		}
	}
	return false
}

// forget counts a connection out. It needs mu.
func (p *pool) forget(key string) {
	if p.open[key]--; p.open[key] <= 0 {
		delete(p.open, key)
	}
	p.total--
	p.wake()
}

// wake lets those who wait look again. It needs mu.
func (p *pool) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// free counts out a connection that is closed, or was never made.
func (m *Module) free(key string) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.forget(key)
}

// retire ends a session for good.
func (m *Module) retire(l *link) {
	l.unbind()
	l.quit()
	m.free(l.key)
}

// park keeps a connection for the next Transfer of its queue, until its time is over
// or ctx ends.
func (m *Module) park(ctx context.Context, l *link) {
	keep := l.settings.KeepIdle.D()
	if !l.unbind() || keep == 0 || ctx.Err() != nil {
		l.quit()
		m.free(l.key)
		return
	}
	_ = l.Conn.SetDeadline(time.Time{})
	p := &m.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	over := func() {
		p.mu.Lock()
		waiting := p.remove(l)
		p.mu.Unlock()
		if waiting {
			l.quit()
			m.free(l.key)
		}
	}
	l.timer = time.AfterFunc(keep, over)
	l.unbind = context.AfterFunc(ctx, over)
	if p.idle == nil {
		p.idle = map[string][]*link{}
	}
	p.idle[l.key] = append(p.idle[l.key], l)
	p.wake()
}

// alive reports whether the other side has neither closed the connection nor said
// anything, which it would do only to close it.
func (l *link) alive() bool {
	tcp, ok := l.Conn.(*net.TCPConn)
	if !ok {
		return true
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}
