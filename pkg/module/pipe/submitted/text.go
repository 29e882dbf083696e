package submitted

import (
	"bytes"
	"errors"
	"io"
)

// errChanged is returned for a file that somebody writes into while it is read.
var errChanged = errors.New("somebody writes into it")

// inspect reads the body of a message once, before anybody has to do with it, and says
// whether it has 8-bit bytes.
func inspect(r io.Reader) (eightBit bool, err error) {
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		for _, c := range b[:n] {
			eightBit = eightBit || c >= 0x80
		}
		if bytes.IndexByte(b[:n], 0) >= 0 {
			return eightBit, faulty("there is a NUL byte in it")
		}
		if err == io.EOF {
			return eightBit, nil
		}
		if err != nil {
			return eightBit, err
		}
	}
}

// A body reads the text behind a header with LF line ends, the last line too: CR LF and CR
// become one. When it is at its end, it asks whether the file is what it was.
type body struct {
	r     io.Reader
	check func() error
	cr    bool // the last byte was CR, and an LF stands for it already
	last  byte // written
	ended bool
}

func newBody(r io.Reader, check func() error) *body { return &body{r: r, check: check, last: '\n'} }

// Read implements [io.Reader].
func (t *body) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if t.ended {
			return 0, io.EOF
		}
		n, err := t.r.Read(p)
		out := t.convert(p[:n])
		if err == io.EOF {
			if err := t.check(); err != nil {
				return 0, err
			}
			if t.last != '\n' {
				if out == len(p) { // no room: the next call finds the end again
					return out, nil
				}
				p[out], t.last = '\n', '\n'
				out++
			}
			t.ended = true
			return out, nil
		}
		if out > 0 || err != nil {
			return out, err
		}
	}
	return 0, nil
}

// convert rewrites b in place and returns how long it is then.
func (t *body) convert(b []byte) int {
	out := 0
	for _, c := range b {
		skip := t.cr && c == '\n'
		if t.cr = c == '\r'; t.cr {
			c = '\n'
		}
		if !skip {
			b[out] = c
			out++
		}
	}
	if out > 0 {
		t.last = b[out-1]
	}
	return out
}
