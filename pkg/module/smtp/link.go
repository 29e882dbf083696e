package smtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

const (
	maxGreeting  = 64 << 10         // bytes that we hear before the first transaction
	maxSaid      = 512              // bytes of a reply that are kept (SPOOL J5)
	maxLines     = 200              // lines of one reply
	finalGrace   = 30 * time.Second // for the reply to a final dot when we stop (SPOOL L8)
	quitPatience = 5 * time.Second
)

var past = time.Unix(1, 0)

// extensions are what the other server has offered.
type extensions struct {
	pipelining, eightBit, utf8, dsn, size bool
	maxSize                               int64 // 0: not said
}

// A link is a connection to another server. It belongs to one Transfer at a time,
// or lies in the pool.
type link struct {
	net.Conn // SetDeadline and Read are ours
	host     string
	key      string // of the pool
	tried    *try
	step     module.Step // of the reply that is waited for
	settings *Send
	log      *slog.Logger
	r        *bufio.Reader
	ext      extensions
	heard    []byte // while go-smtp greets
	greeting bool
	out      []byte      // commands
	done     int         // transactions that ended with a reply to the text
	reset    bool        // RSET is due
	closed   func()      // called once, by Close
	unbind   func() bool // from the context of the Transfer, or of the pool
	timer    *time.Timer // while it lies in the pool

	mu        sync.Mutex
	cancelled time.Time // when the context ended
	final     bool      // the final dot may be out: the reply is waited for
}

// Close implements [net.Conn].
func (l *link) Close() error {
	if l.closed != nil {
		l.closed()
		l.closed = nil
	}
	return l.Conn.Close()
}

// bind makes the end of ctx end what the link does, but not the wait for the reply
// to a final dot.
func (l *link) bind(ctx context.Context) {
	l.unbind = context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cancelled = time.Now()
		_ = l.Conn.SetDeadline(l.bound(time.Time{}))
	})
}

// bound is the deadline t within what the end of the context leaves. It needs mu.
func (l *link) bound(t time.Time) time.Time {
	switch grace := l.cancelled.Add(finalGrace); {
	case l.cancelled.IsZero():
		return t
	case !l.final:
		return past
	case t.IsZero() || grace.Before(t):
		return grace
	}
	return t
}

// SetDeadline is for go-smtp, too.
func (l *link) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Conn.SetDeadline(l.bound(t))
}

// commit says that what is written next has the final dot, and reports whether it
// may be written: the context has not ended.
func (l *link) commit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.final = l.cancelled.IsZero()
	return l.final
}

func (l *link) settled() {
	l.mu.Lock()
	l.final = false
	l.mu.Unlock()
}

// Read is for go-smtp: it keeps what the other side says until the EHLO is answered.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if l.greeting {
		l.heard = append(l.heard, p[:n]...)
		if len(l.heard) > maxGreeting {
			return 0, errors.New("the greeting does not end")
		}
	}
	return n, err
}

// greet waits for the greeting and introduces us as name. After an error the link is
// of no use; a *gosmtp.SMTPError is what the other side said.
func (l *link) greet(name string) error {
	l.greeting = true
	c := gosmtp.NewClient(l)
	c.CommandTimeout = l.settings.CommandTimeout.D()
	err := c.Hello(name)
	l.greeting = false
	if l.step = module.StepGreeting; welcome(l.heard) {
		l.step = module.StepEHLO
	}
	if l.log.Enabled(context.Background(), serverlog.Low) {
		l.log.Info("cmd: EHLO " + name)
		for line := range bytes.Lines(l.heard) {
			l.log.Info("rsp: " + string(bytes.TrimRight(line, "\r\n")))
		}
	}
	if err != nil {
		return err
	}
	l.ext = parseExtensions(l.heard)
	l.heard = nil
	l.r = bufio.NewReader(l.Conn)
	return nil
}

// welcome reports whether the first reply is one to which EHLO is the answer.
func welcome(heard []byte) bool {
	for line := range bytes.Lines(heard) {
		if code, more, ok := parseReply(bytes.TrimRight(line, "\r\n")); !ok || !more {
			return ok && code/100 == 2 && bytes.HasSuffix(line, []byte("\n"))
		}
	}
	return false
}

// parseExtensions reads the lines behind the first of the reply to EHLO. Keywords
// are case-insensitive (RFC 5321 §4.1.1.1), which go-smtp forgets.
func parseExtensions(heard []byte) (ext extensions) {
	first := true
	for line := range bytes.Lines(heard) {
		if len(line) < 4 || !bytes.HasPrefix(line, []byte("250")) {
			continue
		}
		if first {
			first = false
			continue
		}
		word, arg, _ := strings.Cut(strings.TrimSpace(string(line[4:])), " ")
		switch strings.ToUpper(word) {
		case "PIPELINING":
			ext.pipelining = true
		case "8BITMIME":
			ext.eightBit = true
		case "SMTPUTF8":
			ext.utf8 = true
		case "DSN":
			ext.dsn = true
		case "SIZE":
			ext.size = true
			ext.maxSize, _ = strconv.ParseInt(arg, 10, 64) // no number: not said
		}
	}
	return ext
}

// write sends commands or text; the other side has timeout to take them.
func (l *link) write(p []byte, timeout time.Duration) error {
	_ = l.SetDeadline(time.Now().Add(timeout))
	_, err := l.Conn.Write(p)
	return err
}

// An answer is a reply of the other side.
type answer struct {
	code int
	said string // without the code; lines are joined by a space
}

func (a answer) class() int { return a.code / 100 }

// split is what was said, with the enhanced status code, if there is one of the
// class of the reply (RFC 2034 §4), apart.
func (a answer) split() (mail.Status, string) {
	word, rest, _ := strings.Cut(a.said, " ")
	if s, ok := mail.ParseStatus(word); ok && int(s[0]) == a.class() {
		return s, rest
	}
	return mail.Status{uint16(a.class())}, a.said
}

// result is what the answer means for a recipient: 4yz waits, 5yz has failed.
func (a answer) result(host string) mail.Result {
	status, said := a.split()
	r := mail.Result{Action: mail.Failed, Status: status, Code: a.code, Text: oneLine(said, maxSaid), MTA: host}
	if a.class() == 4 {
		r.Action = mail.Delayed
	}
	if r.Text == "" {
		r.Text = "refused without a reason"
	}
	return r
}

func (a answer) String() string { return strconv.Itoa(a.code) + " " + a.said }

var errReply = errors.New("a reply that is not SMTP")

// errClosing is a 421: the other side closes the connection (RFC 5321 §3.8).
type errClosing struct{ answer answer }

func (e *errClosing) Error() string { return e.answer.String() }

// read reads one reply. A 421 is an error. What was said is kept when keep is set,
// when it is a refusal, and for the log.
func (l *link) read(timeout time.Duration, keep bool) (a answer, err error) {
	if l.r.Buffered() == 0 {
		_ = l.SetDeadline(time.Now().Add(timeout))
	}
	trace := l.log.Enabled(context.Background(), serverlog.Low)
	for range maxLines {
		line, err := l.r.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if trace {
			l.log.Info("rsp: " + string(line))
		}
		code, more, ok := parseReply(line)
		if !ok || a.code != 0 && a.code != code {
			return a, fmt.Errorf("%w: %.80q", errReply, line)
		}
		a.code = code
		if (keep || code >= 400) && len(line) > 4 && len(a.said) < maxSaid {
			a.add(string(line[4:]))
		}
		if !more {
			if code == 421 {
				return a, &errClosing{a}
			}
			return a, nil
		}
	}
	return a, fmt.Errorf("%w: it does not end", errReply)
}

// add joins a line to what was said. Each line may have the enhanced status code.
func (a *answer) add(line string) {
	if a.said == "" {
		a.said = line
		return
	}
	if word, rest, _ := strings.Cut(line, " "); strings.HasPrefix(a.said, word+" ") {
		line = rest
	}
	a.said += " " + line
}

// parseReply reads the code of a line of a reply, and whether another line follows.
func parseReply(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for i, b := range line[:3] {
		if b < '0' || b > '9' || i == 0 && (b < '2' || b > '5') {
			return 0, false, false
		}
		code = 10*code + int(b-'0')
	}
	return code, len(line) > 3 && line[3] == '-', true
}

// quit ends the session politely, without waiting long for it.
func (l *link) quit() {
	l.trace("QUIT")
	_ = l.Conn.SetDeadline(time.Now().Add(quitPatience))
	if _, err := l.Conn.Write([]byte("QUIT\r\n")); err == nil {
		_, _, _ = l.r.ReadLine()
	}
	_ = l.Close()
}

func (l *link) trace(command string) {
	if l.log.Enabled(context.Background(), serverlog.Low) {
		l.log.Info("cmd: " + command)
	}
}

// why is an error of a connection in few words.
func why(err error) string {
	op := (*net.OpError)(nil)
	errno := syscall.Errno(0)
	switch {
	case errors.As(err, &errno):
		err = errno
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "time-out"
	case errors.As(err, &op) && op.Err != nil:
		err = op.Err
	}
	return oneLine(err.Error(), maxSaid)
}
