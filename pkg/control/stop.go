package control

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A turnstile counts the requests that a stop waits for. The zero turnstile is open.
type turnstile struct {
	mu     sync.Mutex
	in     int           // requests
	quiet  chan struct{} // nil: open; closed when the last one has left
	server *http.Server  // shut
	gone   chan struct{} // closed when no connection is left
}

// enter lets a request in, unless the server is stopping. Who comes in leaves.
func (t *turnstile) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quiet != nil {
		return false
	}
	t.in++
	return true
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in--; t.in == 0 && t.quiet != nil {
		close(t.quiet)
	}
}

// shut lets nobody in any more and closes the connections of s as they become idle. The
// channel is closed when the last of those has left who are waited for.
func (m *Mux) shut(s *http.Server) (quiet <-chan struct{}) {
	t := &m.stopping
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet, t.server, t.gone = make(chan struct{}), s, make(chan struct{})
	if t.in == 0 {
		close(t.quiet)
	}
	go func() {
		defer close(t.gone)
		_ = s.Shutdown(context.Background()) // till Close
	}()
	return t.quiet
}

// Close returns when the streams that last have ended, and all answers are sent. After
// five seconds it hangs up. Call it when Serve has returned, and what such a stream
// tells of has ended.
func (m *Mux) Close() {
	m.stopping.mu.Lock()
	s, gone := m.stopping.server, m.stopping.gone
	m.stopping.mu.Unlock()
	if s == nil {
		return // it has served nothing
	}
	select {
	case <-gone:
	case <-time.After(stopGrace):
		_ = s.Close()
		<-gone
	}
}
