package local

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"cgq/pkg/disk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// A delivery is that of one message to one recipient.
type delivery struct {
	fs      disk.FS
	maildir string // or a folder in one
	name    string // in it
	t       *module.Transfer
	to      module.Recipient
	text    io.ReadSeeker
	left    *leftovers

	size  int64 // of the text that was stored
	found bool  // it was there already
}

// fileName is the name of a message's file for one recipient: always the same. The id
// alone would do for most, but ann and ann+detail are one Account and get a copy each.
func (m *Module) fileName(t *module.Transfer, r module.Recipient) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, strings.ToLower(r.Address.String())) // never fails
	return fmt.Sprintf("%d.M%dR%016x.%s", t.Envelope.Submitted.Unix(), t.ID, h.Sum64(), m.identity)
}

// errNoMaildir says that a directory of the Maildir, or the Account, is not there.
var errNoMaildir = errors.New("no Maildir")

// store returns nil when the message is in the mailbox and survives power loss. After
// an error it is not, unless a user's program was quicker than we.
func (d *delivery) store() error {
	if d.t.Repeated {
		if found, err := d.find(); found || err != nil {
			return err
		}
	}
	// A file of this name that an attempt has left may be linked in new already:
	// Create would empty it there.
	tmp := d.path("tmp")
	d.left.forget(tmp)
	if err := d.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.fs.Create(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoMaildir
	}
	if err != nil {
		return err
	}
	err = d.fill(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = d.publish(tmp)
	}
	if e := d.fs.Remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
		d.left.add(tmp)
	}
	return err
}

func (d *delivery) path(dir string) string { return path.Join(d.maildir, dir, d.name) }

// publish links the synced file into new, never over another (SPOOL L7).
func (d *delivery) publish(tmp string) error {
	err := d.fs.Link(tmp, d.path("new"))
	switch {
	case errors.Is(err, fs.ErrExist):
		d.found = true
	case errors.Is(err, fs.ErrNotExist):
		return errNoMaildir
	case err != nil:
		return err
	}
	return d.sync("new")
}

// sync makes the name in new or cur durable. If that fails, a later sync proves nothing,
// so the name goes, and the next attempt begins with a new one.
func (d *delivery) sync(dir string) error {
	err := d.fs.SyncDir(path.Join(d.maildir, dir))
	if err != nil && dir == "new" {
		_ = d.fs.Remove(d.path(dir))
	}
	return err
}

// find looks for the message that an earlier process may have delivered: in new,
// or in cur, where a user's program puts what it has seen, with flags behind the name. That
// process may have died before the directory was synced.
func (d *delivery) find() (bool, error) {
	for _, dir := range []string{"new", "cur"} {
		names, err := d.fs.List(path.Join(d.maildir, dir))
		if err != nil {
			return false, err
		}
		d.found = slices.ContainsFunc(names, func(name string) bool {
			return name == d.name || strings.HasPrefix(name, d.name+":2,")
		})
		if d.found {
			_ = d.fs.Remove(d.path("tmp")) // as far as the crash left it
			return true, d.sync(dir)
		}
	}
	return false, nil
}

// A textError is an error of the Queue, not of the mailbox.
type textError struct{ error }

func (e *textError) Unwrap() error { return e.error }

// A source tells errors of reading from those of writing.
type source struct{ io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &textError{err}
	}
	return n, err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 64<<10) }}

// fill writes and syncs the file: two fields that only the last server knows
// (RFC 5321 §4.4), and the text as it is.
func (d *delivery) fill(f disk.File) error {
	if _, err := d.text.Seek(0, io.SeekStart); err != nil {
		return &textError{err}
	}
	w := writers.Get().(*bufio.Writer)
	defer writers.Put(w)
	w.Reset(io.NewOffsetWriter(f, 0))
	fmt.Fprintf(w, "Return-Path: %s\nDelivered-To: %s\n", d.t.Envelope.ReturnPath.Path(), d.to.To)
	n, err := io.Copy(w, source{d.text})
	switch {
	case err != nil:
		return err
	case n != d.t.Size:
		return &textError{fmt.Errorf("the text has %d bytes, not %d", n, d.t.Size)}
	}
	d.size = n
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Datasync() // before the name: a name without the bytes is a lie
}

// unreadable is the result when the Queue does not give the text.
var unreadable = mail.Result{
	Action: mail.Delayed,
	Status: mail.Status{4, 3, 0},
	Text:   "the message cannot be read from the queue",
}

// trouble is the result when the mailbox does not take a message. Its text goes to
// strangers in the end, so it has no names of files in it.
func trouble(err error) mail.Result {
	r := mail.Result{Action: mail.Delayed, Status: mail.Status{4, 3, 0}, Text: "cannot store in the mailbox"}
	switch {
	case errors.Is(err, syscall.EDQUOT):
		r.Status = mail.Status{4, 2, 2}
	case errors.Is(err, syscall.ENOSPC):
		r.Status = mail.Status{4, 3, 1}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		r.Text += ": " + number.Error()
	}
	return r
}
