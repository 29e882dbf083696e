package control

import (
	"net"
	"sync"
)

// Limit lets users of this machine have so many connections at the same time, each and
// together; more are closed at once. Root and the daemon's user have no limit.
func Limit(l net.Listener, each, together int) net.Listener {
	return &limiter{Listener: l, each: each, together: together, open: map[uint32]int{}}
}

type limiter struct {
	net.Listener
	each, together int

	mu   sync.Mutex
	open map[uint32]int // by uid
	all  int
}

// Accept implements [net.Listener].
func (l *limiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		cred, err := peerCred(c)
		if err != nil {
			_ = c.Close()
			continue
		}
		if len(Owner(Actor{UID: cred.Uid})) > 0 {
			return c, nil
		}
		if u, ok := c.(*net.UnixConn); ok && l.enter(cred.Uid) {
			return &limited{UnixConn: u, leave: sync.OnceFunc(func() { l.leave(cred.Uid) })}, nil
		}
		_ = c.Close()
	}
}

func (l *limiter) enter(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= l.each || l.all >= l.together {
		return false
	}
	l.open[uid]++
	l.all++
	return true
}

func (l *limiter) leave(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.open[uid]--; l.open[uid] == 0 {
		delete(l.open, uid)
	}
}

// A limited connection is counted till it is closed.
type limited struct {
	*net.UnixConn
	leave func()
}

// Close implements [net.Conn].
func (c *limited) Close() error {
	c.leave()
	return c.UnixConn.Close()
}
