package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/module"
	"cgq/pkg/module/smtp/wire"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
)

const (
	maxLine      = 2048             // RFC 5321 §4.5.3.1.4 and what its extensions add
	writeTimeout = 5 * time.Minute  // for a peer that does not read its replies
	textTotal    = 30 * time.Minute // for a message, whatever its rate
	textRate     = 1 << 10          // bytes a second that buy more time
	stopGrace    = 30 * time.Second // for the messages that come in when we stop
)

// A Receiver takes mail by SMTP and submits it. It is a [module.Source].
type Receiver struct {
	settings *atomic.Pointer[Settings]
	domain   func() string
	log      *slog.Logger

	active, total, jobs, traffic *stats.Counter
	sessions                     atomic.Uint64 // numbers given to sessions

	mu        sync.Mutex
	listeners []net.Listener
	begin     func(net.Listener) // accepts in a goroutine; nil: Run does not run
	ended     bool
	open      map[*wire.Conn]*gosmtp.Server // each connection has its own: settings change
	from      map[netip.Addr]int            // open connections
	serving   sync.WaitGroup
}

// NewReceiver returns a Receiver. domain is the main domain; log is tagged SMTPI. Nothing
// happens before Run.
func NewReceiver(s *atomic.Pointer[Settings], domain func() string, st *stats.Set, log *slog.Logger) *Receiver {
	return &Receiver{
		settings: s, domain: domain, log: log,
		active: st.Counter("smtpInputActive"), total: st.Counter("smtpInputTotal"),
		jobs: st.Counter("smtpInputJobs"), traffic: st.Counter("smtpInputTrafficIn"),
		open: map[*wire.Conn]*gosmtp.Server{}, from: map[netip.Addr]int{},
	}
}

// Listen says on which listeners mail is taken from now on. Those that were there before
// and are not named are closed; sessions that came by them go on. When Run ends all are
// closed. It is safe for concurrent use.
func (r *Receiver) Listen(all []net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.listeners
	r.listeners = slices.Clone(all)
	for _, l := range old {
		if !slices.Contains(all, l) {
			_ = l.Close() // wakes accept
		}
	}
	for _, l := range all {
		switch {
		case r.ended:
			_ = l.Close()
		case r.begin != nil && !slices.Contains(old, l):
			r.begin(l)
		}
	}
}

// listens reports whether mail is to be taken on a listener.
func (r *Receiver) listens(l net.Listener) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.listeners, l)
}

// Run implements [module.Source]. When ctx ends it accepts nothing new, ends idle
// sessions with 421, lets messages that come in finish for half a minute, and
// closes what is left. It may be called once.
func (r *Receiver) Run(ctx context.Context, e module.Enqueuer) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // for what has begun
	defer cancel()
	var accepting sync.WaitGroup
	failed := make(chan error, 1) // the first one counts
	r.mu.Lock()
	r.begin = func(l net.Listener) {
		accepting.Go(func() {
			if err := r.accept(ctx, work, l, e); err != nil {
				select {
				case failed <- fmt.Errorf("SMTP: listen on %s: %w", l.Addr(), err):
				default:
				}
			}
		})
	}
	for _, l := range r.listeners {
		r.begin(l)
	}
	r.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	r.mu.Lock()
	r.begin, r.ended = nil, true
	for _, l := range r.listeners {
		_ = l.Close() // wakes accept
	}
	r.mu.Unlock()
	accepting.Wait()
	r.stop(cancel)
	return err
}

// accept serves what comes in on one listener until ctx ends, the listener is not wanted
// any more, or breaks.
func (r *Receiver) accept(ctx, work context.Context, l net.Listener, e module.Enqueuer) error {
	wait := time.Duration(0)
	for {
		sock, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			r.serve(work, sock, e)
		case ctx.Err() != nil || !r.listens(l):
			return nil //nolint:nilerr // it was closed for that
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors or memory: others go on
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			r.log.Error("cannot accept a connection: "+err.Error(), "listener", l.Addr().String())
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
}

// serve starts a session, or refuses it.
func (r *Receiver) serve(work context.Context, sock net.Conn, e module.Enqueuer) {
	set := &r.settings.Load().Receive
	s := &session{receiver: r, enqueuer: e, ctx: work, settings: set, domain: r.domain(), peer: peerOf(sock)}
	s.log = serverlog.Session(r.log, r.sessions.Add(1), "["+hostOf(sock.RemoteAddr())+"]")
	opt := wire.Options{
		Domain: s.domain, MaxLine: maxLine, MaxText: int64(set.MaxMessageSize),
		Command: set.CommandTimeout.D(), Data: set.DataTimeout.D(), Write: writeTimeout,
		Total: textTotal, Rate: textRate,
		Closed: s.closed,
		Trace:  s.trace,
	}
	s.conn = wire.New(sock, opt)
	srv := gosmtp.NewServer(s)
	srv.Domain, srv.ErrorLog = s.domain, goSMTPLog{s.log}
	srv.MaxLineLength, srv.MaxMessageBytes, srv.MaxRecipients = 0, opt.MaxText, set.MaxRecipients
	srv.EnableDSN, srv.EnableSMTPUTF8 = true, true
	srv.AllowInsecureAuth = true // no mechanism is offered: 504, not "use TLS", which is not there
	r.total.Add(1)
	if why := r.enter(s, srv, set); why != "" {
		s.log.Warn("connection refused: " + why)
		_ = sock.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = sock.Write([]byte("421 4.3.2 " + s.domain + " " + why + ", try again later\r\n"))
		_ = sock.Close()
		return
	}
	if s.log.Enabled(work, serverlog.Low) {
		s.log.Info("got connection on [" + hostOf(sock.LocalAddr()) + "]")
	}
	_ = srv.Serve(&single{conn: s.conn}) // starts a goroutine and ends with errNoMore
}

// enter counts a session in, or says why there is no place for it.
func (r *Receiver) enter(s *session, srv *gosmtp.Server, set *Receive) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= set.Connections {
		return "too many connections"
	}
	if most := set.ConnectionsPerAddress; most > 0 && r.from[s.peer] >= most {
		return "too many connections from your address"
	}
	r.open[s.conn] = srv
	r.from[s.peer]++
	r.serving.Add(1)
	r.active.Add(1)
	return ""
}

// leave counts a session out.
func (r *Receiver) leave(s *session) {
	r.mu.Lock()
	delete(r.open, s.conn)
	if r.from[s.peer]--; r.from[s.peer] <= 0 {
		delete(r.from, s.peer)
	}
	r.mu.Unlock()
	r.active.Add(-1)
	r.serving.Done()
}

// stop ends all sessions and returns when their goroutines have ended.
func (r *Receiver) stop(cancel context.CancelFunc) {
	r.mu.Lock()
	servers := make([]*gosmtp.Server, 0, len(r.open))
	conns := make([]*wire.Conn, 0, len(r.open))
	for c, srv := range r.open {
		servers, conns = append(servers, srv), append(conns, c)
	}
	r.mu.Unlock()
	for _, c := range conns {
		c.Stop()
	}
	patience := time.AfterFunc(stopGrace, func() {
		cancel()
		for _, c := range conns {
			c.Kill()
		}
	})
	defer patience.Stop()
	r.serving.Wait()
	for _, srv := range servers { // they have closed their connections; this waits for the last lines
		_ = srv.Shutdown(context.Background())
	}
}

// single is a listener with one connection: go-smtp serves only what a listener accepts.
type single struct{ conn net.Conn }

var errNoMore = errors.New("one connection only")

func (l *single) Accept() (net.Conn, error) {
	c := l.conn
	if c == nil {
		return nil, errNoMore
	}
	l.conn = nil
	return c, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return nil }

// goSMTPLog is what go-smtp says of itself: panics.
type goSMTPLog struct{ log *slog.Logger }

func (l goSMTPLog) Printf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l goSMTPLog) Println(v ...any)               { l.log.Error(fmt.Sprint(v...)) }

// peerOf is the network address of the other side, or the zero Addr when it has none.
func peerOf(sock net.Conn) netip.Addr {
	if a, ok := sock.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// hostOf is the address without its port.
func hostOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().String()
	}
	return a.String()
}
