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

// Tail yields lines in the order of the files, then, with Follow, those that come,
// over midnight, until ctx ends or the log is closed. What is no line is passed over. An
// error ends it. It reads the files, so one who reads slowly holds nobody up.
func (l *Log) Tail(ctx context.Context, q Query) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		l.Flush()
		r := &reader{fs: l.out.fs, dir: l.out.dir, query: q}
		defer r.close()
		day, _, _ := l.state()
		err := r.begin(day)
		for err == nil {
			day, news, ended := l.state() // first: what it tells of is in the files
			var more bool
			if more, err = r.read(ctx, yield); !more || err != nil {
				break
			}
			if day > r.day || !q.Follow {
				var next bool
				if next, err = r.next(day); next || err != nil {
					continue
				}
			}
			if ended || !q.Follow {
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

// state returns the day of the file that is written, what is closed when more may have
// been written, and whether nothing more will be.
func (l *Log) state() (day string, news <-chan struct{}, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.day, l.moved, l.ended
}

// A reader goes through the files of a log.
type reader struct {
	fs    disk.FS
	dir   string
	query Query

	day  string // of file
	date time.Time
	file disk.File // nil: there is none so far, or no regular one
	at   int64     // of what comes after rest
	rest []byte    // read, and not looked at yet
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
	r.day, r.at, r.rest = day, at, r.rest[:0]
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

// next goes to the next day up to last that has a file, if there is one.
func (r *reader) next(last string) (bool, error) {
	days, err := daysIn(r.fs, r.dir, last)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(days, func(day string) bool { return day > r.day })
	if i < 0 {
		return false, nil
	}
	return true, r.open(days[i], 0)
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
