package serverlog

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// outletRoom is how many bytes wait for an outlet's socket.
	outletRoom = 1 << 20
	// outletPause is how long an outlet waits before it tries again, and for a socket that is full.
	outletPause = time.Second
	// outletLine is how many bytes of text a datagram has: more than is ever sensible, and
	// less than any kernel refuses.
	outletLine = 32 << 10
)

// A Form makes the datagram of a line. The texts of l are escaped.
type Form func(b []byte, l Line) []byte

// OutletOptions are what [OpenOutlet] is told.
type OutletOptions struct {
	Name   string       // for what is said of it: "syslog"
	Socket string       // a Unix datagram socket
	Level  slog.Leveler // and what is more important; nil: all
	Form   Form
	Say    *slog.Logger // hears when lines cannot be sent, and how many were lost when they can
}

// An Outlet sends lines of logs to the socket of another log, a datagram a line. Nobody
// who logs waits for it: what it cannot send it keeps, up to a megabyte, and tries again
// each second; what comes then is lost, counted, and spoken of when it works again.
type Outlet struct {
	o    OutletOptions
	wake chan struct{} // something is there; closed by Close
	stop chan struct{} // closed when nothing is tried again
	done chan struct{} // closed when the sender is gone

	mu     sync.Mutex
	lines  []pending
	bytes  int
	lost   int
	closed bool

	conn   net.Conn // the sender's, as all below
	broken bool
	buf    []byte
}

// A pending line is one without its time: " L TAG text".
type pending struct {
	at   time.Time
	line string
}

// OpenOutlet begins to send. The socket need not be there yet. Close the outlet, after the logs.
func OpenOutlet(o OutletOptions) *Outlet {
	out := &Outlet{o: o, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go out.run()
	return out
}

// SendTo gives the log outlets, in place of those that it had.
func (l *Log) SendTo(outlets ...*Outlet) { l.outlets.Store(&outlets) }

// add implements sink.
func (o *Outlet) add(t time.Time, level slog.Level, line []byte) {
	if o.o.Level != nil && level < o.o.Level.Level() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
	case o.bytes+len(line) > outletRoom:
		o.lost++
	default:
		o.lines = append(o.lines, pending{t, string(line)})
		o.bytes += len(line)
		signal(o.wake)
	}
}

// Close sends what there is, for a second at most, and ends the outlet. Lines that come
// later are dropped.
func (o *Outlet) Close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.wake)
		time.AfterFunc(outletPause, func() { close(o.stop) })
	}
	o.mu.Unlock()
	<-o.done
}

// run is the sender, until Close.
func (o *Outlet) run() {
	defer close(o.done)
	for open := true; open; {
		_, open = <-o.wake
		for {
			p, ok := o.first()
			if !ok {
				break
			}
			if !o.deliver(p) {
				o.hangUp()
				return
			}
			o.drop()
		}
	}
	o.hangUp()
}

func (o *Outlet) first() (pending, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == 0 {
		o.lines = nil
		return pending{}, false
	}
	return o.lines[0], true
}

// drop takes the first line away: it is sent.
func (o *Outlet) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= len(o.lines[0].line)
	o.lines[0] = pending{}
	o.lines = o.lines[1:]
}

// deliver sends a line, however often it takes. It reports false when there is no more time.
func (o *Outlet) deliver(p pending) bool {
	local := p.at.Local()
	l, ok := ParseLine(local.Format(clockLayout)+p.line, local)
	if !ok {
		return true // cannot be: add has made it
	}
	l.Time = p.at
	o.buf = o.o.Form(o.buf[:0], l)
	for {
		err := o.send(o.buf)
		if err == nil {
			o.works()
			return true
		}
		o.hangUp()
		if errors.Is(err, syscall.EMSGSIZE) && len(l.Text) > 512 {
			l.Text = cut(l.Text, len(l.Text)/2)
			o.buf = o.o.Form(o.buf[:0], l)
			continue
		}
		o.fails(err)
		timer := time.NewTimer(outletPause)
		select {
		case <-timer.C:
		case <-o.stop:
			timer.Stop()
			return false
		}
	}
}

func (o *Outlet) send(b []byte) error {
	if o.conn == nil {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.o.Socket, Net: "unixgram"})
		if err != nil {
			return err
		}
		o.conn = c
	}
	if err := o.conn.SetWriteDeadline(time.Now().Add(outletPause)); err != nil {
		return err
	}
	_, err := o.conn.Write(b)
	return err
}

func (o *Outlet) hangUp() {
	if o.conn != nil {
		_ = o.conn.Close() // nothing is in it that Write has not sent
		o.conn = nil
	}
}

// fails says once that nothing can be sent.
func (o *Outlet) fails(err error) {
	if o.broken {
		return
	}
	o.broken = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errors.New("it takes nothing")
	}
	o.o.Say.Error(fmt.Sprintf("%s at %s: %v; lines wait for it", o.o.Name, o.o.Socket, err))
}

// works says, after fails, that it is over, and what was lost; of a burst that was too
// much, when most of it is sent.
func (o *Outlet) works() {
	o.mu.Lock()
	lost := 0
	if o.broken || o.bytes < outletRoom/2 {
		lost, o.lost = o.lost, 0
	}
	o.mu.Unlock()
	switch {
	case o.broken:
		o.o.Say.Error(fmt.Sprintf("%s at %s works again; lines that were lost to it: %d", o.o.Name, o.o.Socket, lost))
	case lost > 0:
		o.o.Say.Error(fmt.Sprintf("%s at %s is too slow; lines that were lost to it: %d", o.o.Name, o.o.Socket, lost))
	}
	o.broken = false
}
