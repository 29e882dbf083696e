// Package serverlog writes the Server Log: one line a record, one file a day, with
// the chapter's tags and levels, through the standard log/slog.
//
//	08:20:00.020 2 SMTPI-060353([197.26.11.151]) [1846258457] received, 6910 bytes
//
// are the local time, the level's digit, the component's tag with the session's
// number and subject, the message's id, and the text, behind which attributes
// stand as ", key=value". What strangers wrote is escaped, so a record is always one line.
//
// Logging costs its caller a copy into memory; a goroutine writes. It does not
// rotate by size, compress, or remove old files.
package serverlog

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	clockLayout = "15:04:05.000"
	dayLayout   = "2006-01-02"
	suffix      = ".log"

	room  = 1 << 20 // bytes that wait to be written; when they are full, logging waits
	delay = 100 * time.Millisecond
)

// Options are what Open can be told.
type Options struct {
	Level  slog.Level            // of components that have none of their own
	Levels map[string]slog.Level // by tag
}

// A Log is the Server Log in a directory. All methods are safe for concurrent use.
type Log struct {
	out output

	mu       sync.Mutex
	moved    *sync.Cond // the buffer was taken, or written
	buf      []byte     // lines to write, all of one day
	spare    []byte     // the other buffer, while it is not being written
	bufDay   string
	clock    clock
	accepted uint64 // bytes that ever went into buf
	written  uint64 // of these, bytes written or given up
	day      string // of the file that is written
	news     chan struct{}
	closed   bool // no more lines are taken
	ended    bool // the writer is gone
	endErr   error

	wake  chan struct{} // buf is not empty any more; closed by Close
	hurry chan struct{} // do not wait for more

	levels struct {
		sync.Mutex
		standard slog.Level
		own      map[string]slog.Level
		knobs    map[string]*atomic.Int64 // what the handlers look at
	}
}

// Open opens the log in dir, which it makes if it has to. Close it.
func Open(dir string, o Options) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("server log: %w", err)
	}
	l := &Log{
		out:   output{dir: dir},
		news:  make(chan struct{}),
		wake:  make(chan struct{}, 1),
		hurry: make(chan struct{}, 1),
	}
	l.moved = sync.NewCond(&l.mu)
	l.levels.knobs = map[string]*atomic.Int64{}
	l.SetLevels(o.Level, o.Levels)
	l.clock.set(time.Now())
	l.day = l.clock.day
	if err := l.out.open(l.day); err != nil {
		return nil, fmt.Errorf("server log: %w", err)
	}
	go l.run()
	return l, nil
}

// Logger returns the logger of the component with a tag, such as "SMTPI". It
// follows the component's level.
func (l *Log) Logger(tag string) *slog.Logger {
	l.levels.Lock()
	defer l.levels.Unlock()
	return slog.New(newHandler(l, l.knob(tag), tag))
}

// knob is called with levels locked.
func (l *Log) knob(tag string) *atomic.Int64 {
	k := l.levels.knobs[tag]
	if k == nil {
		k = new(atomic.Int64)
		l.levels.knobs[tag] = k
		l.turn(tag, k)
	}
	return k
}

func (l *Log) turn(tag string, k *atomic.Int64) {
	level, own := l.levels.own[tag]
	if !own {
		level = l.levels.standard
	}
	k.Store(int64(level))
}

// SetLevel sets the level of one component, whatever that of the others is.
func (l *Log) SetLevel(tag string, level slog.Level) {
	l.levels.Lock()
	defer l.levels.Unlock()
	l.levels.own[tag] = level
	l.turn(tag, l.knob(tag))
}

// SetLevels sets all levels: those of the components in own, and standard for the rest.
func (l *Log) SetLevels(standard slog.Level, own map[string]slog.Level) {
	l.levels.Lock()
	defer l.levels.Unlock()
	l.levels.standard, l.levels.own = standard, map[string]slog.Level{}
	maps.Copy(l.levels.own, own)
	for tag, k := range l.levels.knobs {
		l.turn(tag, k)
	}
}

// Levels returns the level of every component that has one of its own or has a
// logger, by tag.
func (l *Log) Levels() map[string]slog.Level {
	l.levels.Lock()
	defer l.levels.Unlock()
	all := maps.Clone(l.levels.own)
	for tag, k := range l.levels.knobs {
		all[tag] = slog.Level(k.Load())
	}
	return all
}

// add takes a line for the file. It waits when the writer is far behind, or has
// yesterday's lines still to write.
func (l *Log) add(t time.Time, level slog.Level, line []byte) {
	l.mu.Lock()
	for {
		l.clock.set(t)
		full := len(l.buf)+len(clockLayout)+len(line) > room || l.bufDay != l.clock.day
		if l.closed || len(l.buf) == 0 || !full {
			break
		}
		signal(l.hurry)
		l.moved.Wait()
		t = time.Now() // it may have been long
	}
	if l.closed {
		l.mu.Unlock()
		return
	}
	if len(l.buf) == 0 {
		l.bufDay = l.clock.day
		signal(l.wake)
	}
	l.buf = append(l.buf, l.clock.text[:]...)
	l.buf = append(l.buf, line...)
	l.accepted += uint64(len(clockLayout) + len(line))
	if level >= Failure || len(l.buf) > room/2 {
		signal(l.hurry)
	}
	l.mu.Unlock()
	if level >= Crash { // what comes after it may not come
		l.Flush()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it knows
	}
}

// run is the one that writes, until Close.
func (l *Log) run() {
	late := time.NewTimer(delay)
	defer late.Stop()
	for range l.wake {
		late.Reset(delay)
		select {
		case <-l.hurry:
		case <-late.C:
		}
		l.write()
	}
	l.write()
	err := l.out.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.endErr = true, err
	close(l.news)
}

// write writes what has been taken so far.
func (l *Log) write() {
	l.mu.Lock()
	chunk, day := l.buf, l.bufDay
	l.buf, l.spare = l.spare[:0], nil
	l.moved.Broadcast()
	if len(chunk) > 0 {
		l.day = day
	}
	now := l.clock
	l.mu.Unlock()
	if len(chunk) > 0 {
		l.out.write(day, chunk, now)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = chunk
	l.written += uint64(len(chunk))
	l.moved.Broadcast()
	close(l.news)
	l.news = make(chan struct{})
}

// Flush returns when every line so far is in its file, or was given up.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for mark := l.accepted; l.written < mark; l.moved.Wait() {
		signal(l.hurry)
	}
}

// Sync returns nil when every line so far survives power loss.
func (l *Log) Sync() error {
	l.Flush()
	return l.out.sync()
}

// Close writes what there is, syncs it, and ends the log; lines that come later
// are dropped.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.wake)
		signal(l.hurry)
		l.moved.Broadcast()
	}
	for !l.ended {
		news := l.news
		l.mu.Unlock()
		<-news
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	return l.endErr
}

// A clock keeps the text of the time, because many records share a millisecond.
type clock struct {
	ms   int64 // since 1970; 0: never set
	text [len(clockLayout)]byte
	day  string
	date [3]int
}

// set makes t the time. A record that comes a little late, because two goroutines
// raced, gets the time of the one before it: a file's lines are in order.
func (c *clock) set(t time.Time) {
	ms := t.UnixMilli()
	if ms <= c.ms && ms > c.ms-1000 {
		return
	}
	c.ms = ms
	t = t.Local()
	hour, minute, second := t.Clock()
	milli := t.Nanosecond() / 1e6
	for i, n := range [...]int{hour, minute, second} {
		c.text[3*i], c.text[3*i+1], c.text[3*i+2] = byte('0'+n/10), byte('0'+n%10), ':'
	}
	c.text[8] = '.'
	c.text[9], c.text[10], c.text[11] = byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10)
	year, month, day := t.Date()
	if date := [3]int{year, int(month), day}; date != c.date {
		c.date, c.day = date, t.Format(dayLayout)
	}
}
