package moduletest

import (
	"errors"
	"io"
	"strings"
)

// A text is what Open gives: it knows when it is read too late, and fails where
// the message says.
type text struct {
	l      *lease
	r      *strings.Reader
	fail   int64 // reading fails from here on; -1: never
	err    error
	closed bool
}

func newText(l *lease) *text {
	t := &text{l: l, r: strings.NewReader(l.e.m.Text), fail: -1, err: l.e.m.ReadErr}
	if t.err != nil {
		t.fail = t.r.Size() / 2
	}
	return t
}

var errClosed = errors.New("moduletest: the text is closed")

// usable needs the queue's mu.
func (t *text) usable(call string) error {
	switch {
	case !t.l.live(call):
		return errOver
	case t.closed:
		t.l.q.fault("message %s: %s of a closed text", t.l.e.m.ID, call)
		return errClosed
	}
	return nil
}

// Read implements [io.Reader].
func (t *text) Read(p []byte) (int, error) {
	t.l.q.mu.Lock()
	defer t.l.q.mu.Unlock()
	if err := t.usable("Read"); err != nil {
		return 0, err
	}
	if t.fail >= 0 {
		at := t.r.Size() - int64(t.r.Len())
		if at >= t.fail {
			return 0, t.err
		}
		p = p[:min(int64(len(p)), t.fail-at)]
	}
	return t.r.Read(p)
}

// Seek implements [io.Seeker].
func (t *text) Seek(offset int64, whence int) (int64, error) {
	t.l.q.mu.Lock()
	defer t.l.q.mu.Unlock()
	if err := t.usable("Seek"); err != nil {
		return 0, err
	}
	return t.r.Seek(offset, whence)
}

// Close implements [io.Closer].
func (t *text) Close() error {
	t.l.q.mu.Lock()
	defer t.l.q.mu.Unlock()
	if t.closed {
		return errClosed
	}
	t.closed = true
	t.l.open--
	return nil
}

var _ io.ReadSeekCloser = (*text)(nil)
