package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Server serves /metrics. Its methods are safe for concurrent use.
type Server struct {
	base    string
	handler http.Handler
	log     *slog.Logger // tag METRICS

	mu      sync.Mutex
	listens []string                // where the settings say
	wrong   error                   // why it does not everywhere
	open    map[string]*http.Server // by the entry of Settings.Listen
	serving sync.WaitGroup
	ended   bool
}

// New returns a server of a source; sockets are below base. It listens nowhere before Use.
func New(base string, s Source, log *slog.Logger) *Server {
	r := prometheus.NewRegistry()
	r.MustRegister(Collector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	return &Server{base: base, handler: mux, log: log, open: map[string]*http.Server{}}
}

// Use listens where the settings say, and nowhere else any more. What cannot be listened on
// is said in the log and in the error, and tried again by Run; all others are.
func (s *Server) Use(set *Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for entry, server := range s.open {
		if !slices.Contains(set.Listen, entry) {
			delete(s.open, entry)
			_ = server.Close()
		}
	}
	s.listens = slices.Clone(set.Listen)
	s.listenAll()
	if s.wrong != nil {
		s.log.Error("metrics are not shown: " + s.wrong.Error())
	}
	return s.wrong
}

// Retry tries again what could not be listened on.
func (s *Server) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong != nil {
		s.listenAll()
	}
}

// Wrong is why nobody listens on what the settings name; nil: somebody does.
func (s *Server) Wrong() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

// listenAll is called with mu locked, as listen is.
func (s *Server) listenAll() {
	if s.ended {
		return
	}
	var errs []error
	for _, entry := range s.listens {
		if s.open[entry] == nil {
			errs = append(errs, s.listen(entry))
		}
	}
	s.wrong = errors.Join(errs...)
}

func (s *Server) listen(entry string) error {
	network, at, err := address(s.base, entry)
	if err != nil {
		return err
	}
	if network == "unix" {
		if err := clear(at); err != nil {
			return err
		}
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", entry, err)
	}
	if network == "unix" {
		if err := os.Chmod(at, 0o660); err != nil { // the umask of the server lets nobody in
			_ = l.Close()
			return fmt.Errorf("listen on %s: %w", entry, err)
		}
	}
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	s.open[entry] = server
	s.serving.Go(func() { _ = server.Serve(limit(l)) }) // it ends with Close
	s.log.Info("metrics are shown on " + entry)
	return nil
}

// maxConns is how many connections one address or socket has at a time: whoever holds more
// open must not take the descriptors of the mail.
const maxConns = 32

// A limited listener hangs up on those who are too many.
type limited struct {
	net.Listener
	taken chan struct{} // an element a connection
}

func limit(l net.Listener) net.Listener { return limited{l, make(chan struct{}, maxConns)} }

// Accept implements [net.Listener].
func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.taken <- struct{}{}:
			return &guest{c, sync.OnceFunc(func() { <-l.taken })}, nil
		default:
			_ = c.Close() // he is told nothing
		}
	}
}

// A guest is a connection that is counted till it is closed.
type guest struct {
	net.Conn
	leave func()
}

// Close implements [net.Conn].
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}

// clear takes a socket away that nobody listens on any more.
func clear(path string) error {
	is, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case is.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and no socket; move it away", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s: another process listens on it", path)
	}
	return os.Remove(path)
}

// again is how long after a failure it is tried again to listen.
const again = 10 * time.Second

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.Retry()
		}
	}
	s.mu.Lock()
	s.ended = true
	for _, server := range s.open {
		_ = server.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}
