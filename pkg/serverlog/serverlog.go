// Package serverlog writes the Server Log: one line a record, one file a day, with
// the chapter's tags and levels, through the standard log/slog.
//
//	08:20:00.020 2 SMTPI-060353([197.26.11.151]) [1846258457] received, 6910 bytes
//
// are the local time, the level's digit, the component's tag with the session's
// number and subject, the message's id, and the text, behind which attributes
// stand as ", key=value". What strangers wrote is escaped, so a record is always one line.
//
// Logging costs its caller a copy into memory; a goroutine writes. When it has too
// much to write, logging waits, for a second at most; when the disk has not answered
// for so long, nobody waits for it any more: lines are dropped, and once the disk is
// back the first line written says how many and why. A disk that is full or hangs must
// not stop the mail. It does not rotate by size or compress.
package serverlog

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/disk"
)

const (
	clockLayout = "15:04:05.000"
	dayLayout   = "2006-01-02"
	suffix      = ".log"

	room    = 1 << 20  // bytes that wait to be written
	reserve = 64 << 10 // more of them, for lines of level 0: they tell what has happened
	delay   = 100 * time.Millisecond

	// patience is how long the disk may take to answer before nobody waits for it any
	// more, and how long a line waits for room while others come before it.
	patience = time.Second
	// farewell is how long Sync and Close wait.
	farewell = 5 * time.Second
)

// Options are what Open can be told.
type Options struct {
	Level  slog.Level            // of components that have none of their own
	Levels map[string]slog.Level // by tag
	Keep   Keep                  // how long files stay

	// Complain hears why lines are lost, as soon as they are, and not again until the
	// log is written again; nil: nobody does. It may block: nobody who logs waits for it.
	Complain func(error)
}

// A Log is the Server Log in a directory. All methods are safe for concurrent use.
type Log struct {
	out output // the writer's alone

	mu       sync.Mutex
	moved    chan struct{} // closed, and made anew, when the buffer is taken and when it is written
	buf      []byte        // lines to write, all of one day
	spare    []byte        // the other buffer, while it is not being written
	bufDay   string
	clock    clock
	lost     int            // lines that found no room in buf
	because  error          // why the first of them did not
	syncs    []chan<- error // who waits for a sync
	accepted uint64         // bytes that ever went into buf
	written  uint64         // of these, bytes written or given up
	asked    time.Time      // when the disk was asked for what it has not answered; zero: for nothing
	on       *stretch       // where the writer is
	closed   bool           // no more lines are taken
	ended    bool           // the writer is gone
	endErr   error

	wake  chan struct{} // there is something to do; closed by Close
	hurry chan struct{} // do not wait for more

	levels  tuning
	outlets atomic.Pointer[[]*Outlet]
}

// Open opens the log in a directory of fsys, which it makes if it has to. A day's file
// that cannot be opened, such as a link, is complained of, tried again with each write,
// and does without till then. Close the log.
func Open(fsys disk.FS, dir string, o Options) (*Log, error) {
	if err := fsys.Mkdir(dir); err != nil {
		return nil, fmt.Errorf("server log: %w", err)
	}
	l := &Log{
		out:   output{fs: fsys, dir: dir, complain: o.Complain},
		moved: make(chan struct{}),
		wake:  make(chan struct{}, 1),
		hurry: make(chan struct{}, 1),
	}
	l.out.keep(o.Keep)
	l.SetLevels(o.Level, o.Levels)
	l.clock.set(time.Now())
	l.on = &stretch{day: l.clock.day}
	l.out.announce = l.goOn
	l.out.begin(l.clock.day)
	go l.run()
	return l, nil
}

// add takes a line for the file, if there is room for it.
func (l *Log) add(t time.Time, level slog.Level, line []byte) {
	size := len(clockLayout) + len(line)
	if outlets := l.outlets.Load(); outlets != nil {
		for _, o := range *outlets {
			o.add(t, level, line) // first: they need no disk
		}
	}
	l.mu.Lock()
	if !l.makeRoom(t, level, size) {
		l.mu.Unlock()
		return
	}
	if len(l.buf) == 0 {
		l.bufDay = l.clock.day
		signal(l.wake)
	}
	l.buf = append(l.buf, l.clock.text[:]...)
	l.buf = append(l.buf, line...)
	l.accepted += uint64(size)
	if level >= Failure || len(l.buf) > room/2 {
		signal(l.hurry)
	}
	l.mu.Unlock()
	if level >= Crash { // what comes after it may not come
		l.Flush()
	}
}

// makeRoom is called with mu locked, and returns so. It sets the clock, and waits when
// the writer is far behind, or has yesterday's lines still to write. False: the line is lost.
func (l *Log) makeRoom(t time.Time, level slog.Level, size int) bool {
	limit := room
	if level >= Crash {
		limit += reserve
	}
	var by time.Time
	for !l.closed {
		l.clock.set(t)
		if len(l.buf) == 0 || l.bufDay == l.clock.day && len(l.buf)+size <= limit {
			return true
		}
		if by.IsZero() {
			by = time.Now().Add(patience)
		}
		signal(l.hurry)
		if !l.await(by) {
			l.lose()
			return false
		}
		t = time.Now() // it may have been long
	}
	return false
}

// await waits, with mu unlocked meanwhile, until the buffer moves. It reports false when
// by has come, or the disk has not answered for too long.
func (l *Log) await(by time.Time) bool {
	if end := l.asked.Add(patience); !l.asked.IsZero() && end.Before(by) {
		by = end
	}
	return l.pause(by)
}

// pause is await with all the time until by.
func (l *Log) pause(by time.Time) bool {
	wait := time.Until(by)
	if wait <= 0 {
		return false
	}
	moved := l.moved
	l.mu.Unlock()
	defer l.mu.Lock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-moved:
		return true
	case <-timer.C:
		return false
	}
}

var errSlow = errors.New("the disk takes less than is logged")

// lose counts a line that found no room.
func (l *Log) lose() {
	l.lost++
	if l.lost > 1 {
		return
	}
	l.because = errSlow
	if !l.asked.IsZero() && time.Since(l.asked) >= patience {
		l.because = fmt.Errorf("the disk gave no answer from %s on", l.asked.Format(clockLayout))
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it knows
	}
}
