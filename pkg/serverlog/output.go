package serverlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"cgq/pkg/disk"
)

// An output is the files. What cannot be written is dropped and counted, and the
// first thing written afterwards says how much that was. One goroutine uses it.
type output struct {
	fs       disk.FS
	dir      string
	complain func(error)    // or nil
	announce func(*stretch) // hears where writing goes on, before it does
	keeper   keeper

	file    disk.File // nil: could not be opened, or closed
	day     string    // of file, or of the one that could not be opened
	end     int64     // of file, as we have left it
	torn    bool      // the last line in file has no end
	doubt   error     // why what is written may not survive power loss; of this file, or the one before
	lost    int       // lines
	because error
	told    bool // complain has heard of it
}

// begin opens the first file. A start that goes on also makes what it found there durable:
// the process before may have died before it did.
func (o *output) begin(day string) {
	o.doubt = o.fs.SyncDir(path.Dir(o.dir))
	if err := o.open(day); err != nil {
		o.tell(err)
	}
	o.tidy()
}

// open opens the file of a day, to append to it. What is there under its name and is no
// regular file, such as a link, stays as it is, and nothing is written.
func (o *output) open(day string) error {
	o.leave()
	if o.day != day {
		o.keeper.due.Store(true)
	}
	o.day = day
	name := path.Join(o.dir, day+suffix)
	f, err := o.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = o.create(name)
	}
	if err != nil {
		return err
	}
	if o.end, o.torn, err = torn(f); err != nil {
		return errors.Join(err, f.Close())
	}
	o.file = f
	o.announce(&stretch{day: day, at: o.end})
	o.doubt = errors.Join(o.doubt, o.fs.SyncDir(o.dir)) // once a day
	return nil
}

// create makes a file, and, if somebody has taken it away, the directory.
func (o *output) create(name string) (disk.File, error) {
	f, err := o.fs.Create(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := o.fs.Mkdir(o.dir); err != nil {
		return nil, err
	}
	o.doubt = errors.Join(o.doubt, o.fs.SyncDir(path.Dir(o.dir)))
	return o.fs.Create(name)
}

// leave syncs and closes the file, if one is open.
func (o *output) leave() {
	if o.file != nil {
		o.doubt = errors.Join(o.file.Datasync(), o.file.Close())
		o.file = nil
	}
}

// torn reports where the file ends, and whether within a line: who wrote it before us crashed.
func torn(f disk.File) (end int64, torn bool, err error) {
	end, err = f.Size()
	if err != nil || end == 0 {
		return end, false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], end-1)
	return end, last[0] != '\n', err
}

// A namer can say whether a file still has its name.
type namer interface {
	Has(f disk.File, name string) bool
}

// has says whether a file is still that of a day. Where nobody knows it is.
func has(fsys disk.FS, dir, day string, f disk.File) bool {
	n, ok := fsys.(namer)
	return !ok || n.Has(f, path.Join(dir, day+suffix))
}

// write appends whole lines, or none, to the file of a day, behind what is to be said of losses.
func (o *output) write(day string, lines []byte) {
	if o.file == nil || o.day != day || !has(o.fs, o.dir, day, o.file) {
		if err := o.open(day); err != nil {
			o.giveUp(lines, err)
			return
		}
	}
	end, err := o.length()
	var head []byte
	if o.torn {
		head = append(head, '\n')
	}
	if o.lost > 0 {
		at := []byte(time.Now().Format(clockLayout))
		if len(lines) > 0 {
			at = lines[:len(clockLayout)] // the lines of a file are in order
		}
		head = fmt.Appendf(head, "%s 1 SYSTEM %d lines of the Server Log were lost: %s\n",
			at, o.lost, Escape(o.because.Error()))
	}
	all := lines
	if head != nil {
		all = append(head, lines...)
	}
	n := 0
	if err == nil {
		n, err = o.file.WriteAt(all, end)
		o.end = end + int64(n)
	}
	o.keeper.grown += int64(n)
	if n > 0 {
		o.torn = all[n-1] != '\n'
	}
	if n >= len(head) {
		o.lost = 0
	}
	if err != nil {
		o.giveUp(lines[max(n-len(head), 0):], err)
		return
	}
	o.told = false
}

// length is where the file ends. Somebody may have made it shorter: its disk is full.
func (o *output) length() (int64, error) {
	end, err := o.file.Size()
	if err != nil || end >= o.end {
		return end, err
	}
	if o.end, o.torn, err = torn(o.file); err == nil {
		o.announce(&stretch{day: o.day, at: o.end, cut: true})
	}
	return o.end, err
}

// giveUp counts lines that end in rest.
func (o *output) giveUp(rest []byte, err error) {
	o.lose(bytes.Count(rest, []byte{'\n'}), err)
	o.tell(err)
}

// lose counts lines that were not written.
func (o *output) lose(n int, err error) {
	if n > 0 {
		o.lost += n
		o.because = err
	}
}

// tell tells once why nothing is written.
func (o *output) tell(err error) {
	if !o.told && o.complain != nil {
		o.complain(fmt.Errorf("the Server Log is not written: %w", err))
	}
	o.told = true
}

// sync makes everything durable that was not lost.
func (o *output) sync() error {
	switch {
	case o.lost > 0:
		return o.because
	case o.file != nil:
		o.doubt = errors.Join(o.doubt, o.file.Datasync())
	}
	return o.doubt
}

func (o *output) close() error {
	if o.lost > 0 { // the last chance to say so
		o.write(o.day, nil)
	}
	o.leave()
	if o.lost > 0 {
		return o.because
	}
	return o.doubt
}
