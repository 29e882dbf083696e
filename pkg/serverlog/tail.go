package serverlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"path"
	"slices"
	"time"

	"cgq/pkg/disk"
)

// A Query says which lines of the log to read. The zero Query is none that is
// there already.
type Query struct {
	Last   int       // of the lines there, at most so many, the latest; negative: all
	Since  time.Time // of the lines there, only those from here on; zero: all
	Follow bool      // and then the lines that come

	Components []string     // tags without session, such as SMTPI; none: all
	Level      slog.Leveler // and what is more important; nil: all
	ID         uint64       // of a message; 0: all
}

// matches reports whether q asks for a line, not looking at when it was written.
func (q Query) matches(l Line) bool {
	return (q.ID == 0 || l.ID == q.ID) &&
		(q.Level == nil || l.Level >= q.Level.Level()) &&
		(len(q.Components) == 0 || slices.Contains(q.Components, l.Component()))
}

// A stretch is lines that stand behind each other in one file. The writer goes from one to
// the next: at midnight, when the clock is set, and when somebody has moved or shortened the
// file.
type stretch struct {
	day  string
	at   int64    // where the file ended when it began
	cut  bool     // that is not where it ended before
	next *stretch // guarded by the log's mu; nil: it is the last one
}

// Tail yields lines in the order of the files, then, with Follow, those that come,
// over midnight, until ctx ends or the log is closed. What is no line is passed over. An
// error ends it. It reads the files, so one who reads slowly holds nobody up; what was taken
// away before he came to it he does not see.
func (l *Log) Tail(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		l.Flush()
		r := &reader{fs: l.out.fs, dir: l.out.dir, query: q}
		defer r.close()
		r.on, _, _, _ = l.state(nil)
		err := r.begin(r.on.day)
		r.before = r.at
		for err == nil {
			_, next, news, ended := l.state(r.on)             // first: what it tells of is in the files
			if next != nil && next.cut && r.day == r.on.day { // what was behind it is no more
				err = r.shorten(next)
				continue
			}
			r.before = r.at
			var more bool
			if more, err = r.read(ctx, yield); !more || err != nil {
				break
			}
			switch {
			case r.day < r.on.day: // among the old files still
				err = r.nextDay()
				continue
			case next != nil:
				err = r.turn(next)
				continue
			case ended || !q.Follow:
				return
			}
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			yield(Line{}, fmt.Errorf("server log: %w", err))
		}
	}
}

// state returns where the writer is, and where it has gone from a stretch, what is closed when
// more may have been written, and whether nothing more will be.
func (l *Log) state(from *stretch) (on, next *stretch, news <-chan struct{}, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from != nil {
		next = from.next
	}
	return l.on, next, l.moved, l.ended
}

// A reader goes through the files of a log.
type reader struct {
	fs    disk.FS
	dir   string
	query Query
	on    *stretch // that is read, or comes behind the old files

	day    string // of file
	date   time.Time
	file   disk.File // nil: there is none so far, or no regular one
	at     int64     // of what comes after rest
	before int64     // the same when it was last looked where the writer is
	rest   []byte    // read, and not looked at yet
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
		r.file = nil
	}
}

// open goes to a place in the file of a day, if there is one.
func (r *reader) open(day string, at int64) (err error) {
	r.close()
	r.day, r.at, r.before, r.rest = day, at, at, r.rest[:0]
	if r.date, err = time.ParseInLocation(dayLayout, day, time.Local); err != nil {
		return err
	}
	f, err := r.fs.Open(path.Join(r.dir, day+suffix))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, disk.ErrNotRegular):
		return nil
	case err != nil:
		return err
	}
	r.file = f
	return nil
}

// nextDay goes to the next day that has a file, at last to that of the stretch.
func (r *reader) nextDay() error {
	days, err := daysIn(r.fs, r.dir, r.on.day)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(days, func(day string) bool { return day > r.day })
	if i < 0 {
		return r.open(r.on.day, 0)
	}
	return r.open(days[i], 0)
}

// turn follows the writer, who has left the stretch that was read to its end.
func (r *reader) turn(next *stretch) error {
	r.on = next
	if next.day != r.day || r.file != nil && !has(r.fs, r.dir, r.day, r.file) {
		return r.open(next.day, next.at)
	}
	return nil
}

// shorten follows the writer, who has found the file shorter. Whoever stood behind its end goes
// back to that; whoever came later, and has perhaps read on already, does not.
func (r *reader) shorten(next *stretch) error {
	r.on = next
	if r.file == nil {
		return nil
	}
	end, err := r.file.Size()
	if err == nil && (r.before > next.at || r.at > end) {
		r.at, r.before, r.rest = next.at, next.at, r.rest[:0]
	}
	return err
}

// begin goes to the first line that the query wants of those that are there: from
// the end of the day last back, as far as they are wanted.
func (r *reader) begin(last string) error {
	days, err := daysIn(r.fs, r.dir, last)
	if err != nil {
		return err
	}
	if len(days) == 0 {
		return r.open(last, 0)
	}
	left := r.query.Last
	for _, day := range slices.Backward(days) {
		if err := r.open(day, 0); err != nil {
			return err
		}
		if r.file == nil {
			continue
		}
		end, err := r.file.Size()
		if err != nil {
			return err
		}
		r.at = end
		done := false
		err = backward(r.file, end, func(at int64, line []byte) bool {
			if len(line) == 0 || line[len(line)-1] != '\n' { // still being written
				r.at = at
				return true
			}
			l, ok := ParseLine(string(line), r.date)
			if done = left == 0 || ok && l.Time.Before(r.query.Since); done {
				return false
			}
			r.at = at
			if ok && r.query.matches(l) {
				left--
			}
			return true
		})
		if done || left == 0 || err != nil {
			return err
		}
	}
	return nil
}

const block = 64 << 10

// backward shows the lines of a file that end before end, the last one first, each with
// the place where it begins, until visit returns false.
func backward(f io.ReaderAt, end int64, visit func(at int64, line []byte) bool) error {
	var rest []byte // the end of a line that begins further up
	for end > 0 {
		n := min(end, block)
		b := make([]byte, n, int(n)+len(rest))
		end -= n
		if _, err := f.ReadAt(b, end); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		b = append(b, rest...)
		for {
			i := bytes.LastIndexByte(b[:max(len(b)-1, 0)], '\n')
			if i < 0 {
				break
			}
			if !visit(end+int64(i)+1, b[i+1:]) {
				return nil
			}
			b = b[:i+1]
		}
		rest = b
	}
	if len(rest) > 0 {
		visit(0, rest)
	}
	return nil
}

// read yields the lines from here to the end of the file. It reports whether to go on.
func (r *reader) read(ctx context.Context, yield func(Line, error) bool) (bool, error) {
	want := []byte(fmt.Sprintf("[%d]", r.query.ID)) // cheaper than to parse each line
	for {
		for {
			i := bytes.IndexByte(r.rest, '\n')
			if i < 0 {
				break
			}
			line := r.rest[:i]
			r.rest = r.rest[i+1:]
			if r.query.ID != 0 && !bytes.Contains(line, want) {
				continue
			}
			l, ok := ParseLine(string(line), r.date)
			if ok && r.query.matches(l) && !yield(l, nil) {
				return false, nil
			}
		}
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // who has left wants no error
		}
		n, err := r.fill()
		if err != nil {
			return false, err
		}
		if n == 0 {
			return true, nil
		}
	}
}

// fill reads on; 0 is the end of the file for now.
func (r *reader) fill() (int, error) {
	if r.file == nil {
		if err := r.open(r.day, r.at); err != nil || r.file == nil {
			return 0, err
		}
	}
	old := len(r.rest)
	b := slices.Grow(slices.Clone(r.rest), block)[:old+block]
	n, err := r.file.ReadAt(b[old:], r.at)
	r.rest, r.at = b[:old+n], r.at+int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
