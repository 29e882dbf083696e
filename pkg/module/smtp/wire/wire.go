// Package wire is the net.Conn between a socket and go-smtp. go-smtp has the state
// machine of SMTP and its parameters; wire has the bytes: it hands go-smtp one
// command at a time, keeps the replies back until it must wait for input, parses the
// paths itself, and lets the session read the text of a message straight from its
// buffer, canonical or not at all.
//
//	socket ──▶ Conn.buf ──▶ one command ──▶ go-smtp ──▶ Session.Mail, Rcpt, Data
//	                 └────▶ Conn.Body, LF lines ────────────────────▶ ┘
//
// It relies on this of go-smtp v0.25: Read is called only when the command before is
// answered, and DATA calls Session.Data after it has written its 354 and drains its
// own reader afterwards. A chunk of RFC 3030 is shown to go-smtp as DATA too, so
// there is one way for a text to come in, in one goroutine.
//
// After a time-out or a lost connection within a text nothing is ever read as a
// command again, and a text ends at CRLF.CRLF alone.
package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/mail"
)

// Options are what a Conn is held to. They do not change while it lives.
type Options struct {
	Domain  string // this server, in its greeting; not empty
	MaxLine int    // longest command, in bytes with its CRLF; RFC 5321 §4.5.3.1.4 wants 512 or more
	MaxText int64  // largest text, in bytes with CRLF (RFC 1870); 0: any

	Command time.Duration // longest wait for a command (RFC 5321 §4.5.3.2.7)
	Data    time.Duration // longest wait for more of a text
	Write   time.Duration // longest wait for the peer to take replies

	// A text may take Total, and longer as long as Rate bytes a second came in on
	// the average. This ends a sender who sends a byte every few minutes.
	Total time.Duration
	Rate  int64

	// Trace, when not nil, sees each command, with in, and each line of a reply,
	// without line ends. It must not keep the slice.
	Trace func(in bool, line []byte)

	// Closed, when not nil, is called once, at the end, before the socket is closed:
	// a peer that has seen the end of its connection is counted out, unless it was cut off.
	Closed func(*Conn)
}

// What ends a session, from Conn.Err, or a text, from Body.
var (
	ErrTimeout  = errors.New("time-out")
	ErrSlow     = errors.New("text comes in too slowly")
	ErrStopped  = errors.New("server is stopping")
	ErrLost     = errors.New("connection lost")
	ErrProtocol = errors.New("protocol error")

	ErrBare     = errors.New("bare CR or LF in the text")
	ErrNUL      = errors.New("NUL in the text")
	ErrTooLarge = errors.New("text too large")
	ErrReset    = errors.New("transaction aborted by the peer")
)

const (
	small    = 4 << 10          // buffer for commands
	large    = 64 << 10         // buffer while a text comes in
	maxOut   = 16 << 10         // replies that are kept back, in bytes
	maxSkip  = 64 << 10         // bytes of one command line before we hang up
	overrun  = 4                // how often MaxText is read before a peer who goes on is cut off
	linger   = 10 * time.Second // how long what such a peer sends is read and dropped
	stopping = "4.3.2 service is stopping, try again later"
)

var pool = sync.Pool{New: func() any { return new([large]byte) }}

// A Conn is one connection. Its methods belong to the goroutine that go-smtp runs
// for it, except Stop and Kill.
type Conn struct {
	sock net.Conn
	opt  Options

	buf   []byte // what came in; buf[r:w] has not been taken
	r, w  int
	small []byte       // the buffer to go back to
	big   *[large]byte // the buffer lent for a text, or nil

	out  []byte // replies that are not sent yet
	mark int    // where the reply to the command in hand begins
	pend []byte // what go-smtp reads next
	line []byte // keeps pend, and a command that ended a chunk sequence

	last    verb // the command that go-smtp has in hand
	path    mail.Address
	helo    string
	asked   string // the name in the EHLO or HELO in hand
	esmtp   bool
	greeted bool
	skipped int    // bytes of a command line that is too long
	discard int64  // what is left of a chunk that nobody wants
	stash   []byte // a command that ended a sequence of chunks

	body      Body
	receiving atomic.Bool // a text is coming in; Stop asks

	err    error // why there is nothing more to read; never goes away
	told   bool  // the peer has heard the last reply
	closed bool

	mu   sync.Mutex // guards stop and the deadline that Stop sets
	stop bool
}

// New returns the connection that go-smtp is to serve.
func New(sock net.Conn, opt Options) *Conn {
	b := make([]byte, small)
	c := &Conn{sock: sock, opt: opt, buf: b, small: b}
	c.body.conn = c
	return c
}

// Path is the address of the MAIL or RCPT in hand, parsed from what the peer wrote.
// What go-smtp passes to Session.Mail and Rcpt instead is a placeholder.
func (c *Conn) Path() mail.Address { return c.path }

// Helo is what the peer called itself, and whether with EHLO.
func (c *Conn) Helo() (name string, esmtp bool) { return c.helo, c.esmtp }

// Err says why the session ended, or nil. An ordinary QUIT is nil too.
func (c *Conn) Err() error { return c.err }

// Stop ends the session at the next command, with a 421. A text that comes in is
// finished first. It may be called from any goroutine.
func (c *Conn) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = true
	if !c.receiving.Load() {
		_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes who waits for a command
	}
}

// Kill closes the socket under whatever goes on. It may be called from any goroutine.
func (c *Conn) Kill() { _ = c.sock.Close() }

// Read is for go-smtp: a command, or the end of a text that the session has read.
// Its only error is io.EOF: the peer has been told all it is to hear.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.pend) == 0 && (c.closed || c.next() != nil) {
		return 0, io.EOF
	}
	n := copy(p, c.pend)
	c.pend = c.pend[n:]
	return n, nil
}

// Write is for go-smtp: a piece of a reply. It does not fail; what cannot be sent
// ends the session at the next Read.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.told {
		c.out = append(c.out, p...)
	}
	return len(p), nil
}

// Close sends what is left and closes the socket.
func (c *Conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.answered()
	if c.flush() == nil && (errors.Is(c.err, ErrTooLarge) || errors.Is(c.err, ErrProtocol)) {
		c.hearOut()
	}
	c.giveBack()
	if c.opt.Closed != nil {
		c.opt.Closed(c)
	}
	return c.sock.Close()
}

// hearOut lets a peer that was cut off while it sends hear the last reply, behind which
// its connection ends: a socket that is closed with input in it resets the connection,
// and the reply is lost with that. Stop and Kill end it.
func (c *Conn) hearOut() {
	if half, ok := c.sock.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // if it fails, reading does
	}
	c.mu.Lock()
	if c.stop {
		c.mu.Unlock()
		return
	}
	_ = c.sock.SetReadDeadline(time.Now().Add(linger))
	c.mu.Unlock()
	for {
		if _, err := c.sock.Read(c.buf); err != nil {
			return
		}
	}
}

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// SetDeadline does nothing: the deadlines are those of Options.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// flush sends the replies.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_ = c.sock.SetWriteDeadline(time.Now().Add(c.opt.Write))
	_, err := c.sock.Write(c.out)
	c.out, c.mark = c.out[:0], 0
	if err != nil {
		return c.lost(err)
	}
	return nil
}

// lost notes that the socket is of no more use.
func (c *Conn) lost(err error) error {
	if c.err == nil {
		c.err = ErrLost
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.err = ErrTimeout
		}
	}
	return c.err
}

// fail tells the peer why the session ends, and ends it.
func (c *Conn) fail(reply string, err error) error {
	c.say(reply)
	if c.flush() == nil {
		c.err, c.told = err, true
	}
	return c.err
}

// more waits for input, behind what there is. Replies go out first.
func (c *Conn) more() error {
	if c.err != nil {
		return c.err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.room()
	text := c.receiving.Load()
	by := time.Now().Add(c.opt.Command)
	slow := false
	if text {
		by, slow = c.body.deadline()
	}
	c.mu.Lock()
	if c.stop && !text {
		c.mu.Unlock()
		return c.fail("421 "+stopping, ErrStopped)
	}
	_ = c.sock.SetReadDeadline(by)
	c.mu.Unlock()
	n, err := c.sock.Read(c.buf[c.w:])
	c.w += n
	if n > 0 || err == nil {
		return nil
	}
	return c.ended(err, text, slow)
}

// ended says what it means that no more input came.
func (c *Conn) ended(err error, text, slow bool) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return c.lost(err)
	}
	switch {
	case text && slow:
		c.err = ErrSlow
	case text:
		c.err = ErrTimeout
	case c.halted():
		return c.fail("421 "+stopping, ErrStopped)
	default: // RFC 5321 §4.5.3.2.7
		return c.fail("421 4.4.2 no command for too long, closing the connection", ErrTimeout)
	}
	return c.err
}

func (c *Conn) halted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop
}

// room makes room for input behind w: in the large buffer while a text comes in, in
// the small one, which an idle connection keeps, when nothing is left of it.
func (c *Conn) room() {
	if c.r == c.w {
		c.r, c.w = 0, 0
		switch text := c.receiving.Load(); {
		case text && c.big == nil:
			c.big = pool.Get().(*[large]byte)
			c.buf = c.big[:]
		case !text:
			c.giveBack()
		}
	}
	if c.w == len(c.buf) { // r > 0: a command line is never longer than the buffer
		c.w = copy(c.buf, c.buf[c.r:])
		c.r = 0
	}
}

func (c *Conn) giveBack() {
	if c.big != nil {
		pool.Put(c.big)
		c.big, c.buf = nil, c.small
	}
}
