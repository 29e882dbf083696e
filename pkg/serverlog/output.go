package serverlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// An output is the files. What cannot be written is dropped and counted, and the
// first thing written afterwards says how much that was: a full disk must not
// stop the mail.
type output struct {
	dir string

	mu      sync.Mutex
	file    *os.File // nil: could not be opened, or closed
	day     string   // of file
	torn    bool     // the last line in file has no end
	lost    int      // lines
	because error
}

// open opens the file of a day, to append to it.
func (o *output) open(day string) error {
	if o.file != nil {
		_ = o.file.Close() // nothing is buffered there
		o.file = nil
	}
	f, err := os.OpenFile(filepath.Join(o.dir, day+suffix), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	o.file, o.day = f, day
	o.torn, err = torn(f)
	return err
}

// torn reports whether the file ends within a line: who wrote it before us crashed.
func torn(f *os.File) (bool, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], end-1)
	return last[0] != '\n', err
}

// write appends whole lines to the file of a day; now is the time to write of losses.
func (o *output) write(day string, lines []byte, now clock) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil || o.day != day {
		if err := o.open(day); err != nil {
			o.lose(lines, err)
			return
		}
	}
	var head []byte
	if o.torn {
		head = append(head, '\n')
	}
	if o.lost > 0 {
		head = fmt.Appendf(head, "%s 1 SYSTEM %d lines of the Server Log were lost: %s\n",
			now.text[:], o.lost, Escape(o.because.Error()))
	}
	all := lines
	if head != nil {
		all = append(head, lines...)
	}
	n, err := o.file.Write(all)
	if n > 0 {
		o.torn = all[n-1] != '\n'
	}
	if n >= len(head) {
		o.lost = 0
	}
	if err != nil {
		o.lose(lines[max(n-len(head), 0):], err)
	}
}

// lose counts lines that end in rest.
func (o *output) lose(rest []byte, err error) {
	o.lost += bytes.Count(rest, []byte{'\n'})
	o.because = err
}

func (o *output) sync() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return o.because
	}
	return o.file.Sync()
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return o.because
	}
	err := errors.Join(o.file.Sync(), o.file.Close())
	o.file = nil
	return err
}
