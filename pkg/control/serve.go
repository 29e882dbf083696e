package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocket is the longest path of a Unix socket (unix(7): sun_path, with its NUL).
const maxSocket = 107

// stopGrace is how long Serve waits for what goes on before it hangs up.
const stopGrace = 5 * time.Second

// Listen makes the socket at path, in place of one that a dead daemon left: the
// caller holds the lock on the base directory. Everybody may connect, and is then
// told what he may do. The file goes when the listener is closed.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxSocket {
		return nil, fmt.Errorf("control socket %s: %w", path, errLong)
	}
	if i, err := os.Lstat(path); err == nil && i.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The rights are those of the caller, whom the operating system names, not those
	// of the file: someone without any is to be told so.
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // see above
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// MoveAway renames what has the name of a socket and is none, so that it is in nobody's way:
// a file system that has lost its journal makes files of sockets. It returns the new name, or
// nothing when there was no need.
func MoveAway(path string) (moved string, err error) {
	i, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && i.Mode().Type() == fs.ModeSocket {
		return "", nil
	}
	for n := 1; err == nil; n++ {
		moved = fmt.Sprintf("%s.moved-%d", path, n)
		if _, err := os.Lstat(moved); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(path, moved); err != nil {
				return "", fmt.Errorf("control socket: there is something else of that name: %w", err)
			}
			return moved, nil
		}
	}
	return "", fmt.Errorf("control socket: %w", err)
}

var errLong = errors.New("the path is longer than 107 bytes; choose a shorter --base")

// Serve answers the requests that l brings until ctx ends, then refuses new ones, ends the
// streams that are still going on, waits for the calls, and returns nil. Streams that last
// go on till [Mux.Close]. It closes l.
func (m *Mux) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: m, ConnContext: m.meet, ConnState: m.crowd.state,
		ReadHeaderTimeout: m.patience(), IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // broken connections; faults have [Mux.Log]
		// Calls are not cut short by a stop: an act is whole or was not begun.
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stopKey{}, ctx)
		},
	}
	stopped := make(chan struct{}) // closed when all is quiet but what lasts
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		quiet := m.shut(s)
		select {
		case <-quiet:
		case <-time.After(stopGrace):
			_ = s.Close() // connections that nobody reads
		}
	})
	err := s.Serve(l)
	if unhook() { // not asked to stop
		return errors.Join(fmt.Errorf("control socket: %w", err), s.Close())
	}
	<-stopped
	return nil
}

type (
	stopKey struct{} // the context of Serve
	peerKey struct{} // *peer
)

// untilStop returns a context that ends with the request or with Serve.
func untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(serving(ctx), cancel)
	return ctx, func() { unhook(); cancel() }
}

// serving returns the context of Serve, or one that never ends.
func serving(ctx context.Context) context.Context {
	if serve, ok := ctx.Value(stopKey{}).(context.Context); ok {
		return serve
	}
	return context.Background()
}

// A peer is the other end of a connection.
type peer struct {
	conn net.Conn
	cred *unix.Ucred
	err  error
	full bool // there are too many connections
}

// ConnContext notes who is at the other end, for [Who]. It is a ConnContext of
// [http.Server]; [Mux.Serve] sets it.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	cred, err := peerCred(c)
	return context.WithValue(ctx, peerKey{}, &peer{conn: c, cred: cred, err: err})
}

// meet is ConnContext, and counts the connection.
func (m *Mux) meet(ctx context.Context, c net.Conn) context.Context {
	ctx = ConnContext(ctx, c)
	p := ctx.Value(peerKey{}).(*peer)
	uid := ^uint32(0) // nobody knows
	if p.err == nil {
		uid = p.cred.Uid
	}
	switch m.crowd.enter(c, uid, m.OfUser, m.OfOthers) {
	case full:
		p.full = true
	case crush:
		_ = c.Close() // the server finds it closed, and says so to state
	}
	return ctx
}

// busy reports whether a request came on a connection too many.
func busy(r *http.Request) bool {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	return p != nil && p.full
}

// peerCred asks the operating system for the user who connected (unix(7): SO_PEERCRED).
func peerCred(c net.Conn) (cred *unix.Ucred, err error) {
	u, ok := c.(syscall.Conn)
	if !ok || c.LocalAddr().Network() != "unix" {
		return nil, fmt.Errorf("%T is not a Unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return nil, e
	}
	return cred, err
}

// Who returns who sent a request, without rights. An error is an *[Error]: nobody
// can be believed.
func Who(r *http.Request) (Actor, error) {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	if p == nil {
		p = &peer{err: errors.New("the connection was not looked at")}
	}
	if p.err != nil {
		return Actor{}, Errorf(KindNoRight, "ask through the control socket", "who is asking is not known: %v", p.err)
	}
	a := Actor{UID: p.cred.Uid, GID: p.cred.Gid, PID: p.cred.Pid, Name: strconv.FormatUint(uint64(p.cred.Uid), 10)}
	if u, err := user.LookupId(a.Name); err == nil {
		a.Name = u.Username
	}
	return a, nil
}
