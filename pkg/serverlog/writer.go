package serverlog

import (
	"errors"
	"time"
)

var errNoAnswer = errors.New("server log: the disk gives no answer; the last lines may be lost")

// run is the one that writes, until Close. It alone waits for the disk, however long.
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
	l.out.keeper.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.endErr = true, err
	close(l.moved)
}

// stir is called with mu locked.
func (l *Log) stir() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// write writes what has been taken so far, and syncs it for those who asked for that.
func (l *Log) write() {
	l.mu.Lock()
	chunk, day := l.buf, l.bufDay
	lost, because, syncs := l.lost, l.because, l.syncs
	l.buf, l.spare = l.spare[:0], nil
	l.lost, l.because, l.syncs = 0, nil, nil
	l.asked = time.Now()
	l.stir()
	l.mu.Unlock()
	l.out.lose(lost, because)
	if len(chunk) > 0 {
		l.out.write(day, chunk)
	}
	if len(syncs) > 0 {
		err := l.out.sync()
		for _, done := range syncs {
			done <- err
		}
	}
	l.out.tidy()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = chunk
	l.written += uint64(len(chunk))
	l.asked = time.Time{}
	l.stir()
}

// goOn tells readers where the writer goes.
func (l *Log) goOn(to *stretch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on.next = to
	l.on = to
}

// Flush returns when every line so far is in its file, or was given up, or the disk
// has not answered for a second.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	by := time.Now().Add(patience)
	for mark := l.accepted; l.written < mark; {
		signal(l.hurry)
		if !l.await(by) {
			return
		}
	}
}

// Sync returns nil when every line so far, but those that were given up, survives power
// loss. It returns an error when lines have just been given up, or after five seconds.
func (l *Log) Sync() error {
	done := make(chan error, 1)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.Close()
	}
	l.syncs = append(l.syncs, done)
	signal(l.wake)
	signal(l.hurry)
	l.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-time.After(farewell):
		return errNoAnswer
	}
}

// Close writes what there is, syncs it, and ends the log; lines that come later
// are dropped. It returns after five seconds, whatever the disk does.
func (l *Log) Close() error {
	l.levels.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.wake)
		signal(l.hurry)
		l.stir()
	}
	for by := time.Now().Add(farewell); !l.ended; {
		if !l.pause(by) && !l.ended {
			return errNoAnswer
		}
	}
	return l.endErr
}
