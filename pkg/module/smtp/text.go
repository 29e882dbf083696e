package smtp

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
)

const (
	rawSize  = 32 << 10
	wireSize = 3*rawSize + 8 // fill stops above rawSize, and a byte becomes two at most
)

type buffers struct {
	raw  [rawSize]byte
	wire [wireSize]byte
}

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

// A text is a message on its way out, in the form of the wire: CRLF line ends,
// dot-stuffing, the final dot (RFC 5321 §4.5.2). The first piece is there before the
// transaction begins, so a small message leaves in one write.
//
// A CR that is not part of a line end would be one for some servers and none for
// others: it becomes a space, one in front of LF goes.
type text struct {
	src io.ReadSeekCloser
	*buffers
	n        int   // wire[:n] is the piece in hand
	sent     bool  // an earlier piece is gone
	whole    bool  // the piece ends with the final dot
	eightBit bool  // seen so far
	err      error // of the source
	inLine   bool  // the piece does not end with a line end
	cr       bool  // the source ended with CR so far
}

// newText takes src over: close closes it. It reads the first piece.
func newText(src io.ReadSeekCloser) *text {
	x := &text{src: src, buffers: bufferPool.Get().(*buffers)}
	x.fill()
	return x
}

func (x *text) close() {
	_ = x.src.Close() // it was only read
	bufferPool.Put(x.buffers)
	x.buffers = nil
}

// piece is what is to be sent next. It is valid until next.
func (x *text) piece() []byte { return x.wire[:x.n] }

// next reads the next piece.
func (x *text) next() {
	x.n, x.sent = 0, true
	x.fill()
}

// rewind makes the text begin again.
func (x *text) rewind() {
	if !x.sent {
		return
	}
	x.sent, x.whole, x.inLine, x.cr, x.n = false, false, false, false, 0
	if _, x.err = x.src.Seek(0, io.SeekStart); x.err == nil {
		x.fill()
	}
}

// fill adds to the piece until it is large enough or the text ends.
func (x *text) fill() {
	for x.n <= rawSize && !x.whole && x.err == nil {
		n, err := x.src.Read(x.raw[:])
		x.stuff(x.raw[:n])
		switch {
		case err == io.EOF:
			x.finish()
		case err != nil:
			x.err = err
		}
	}
}

// finish adds the end.
func (x *text) finish() {
	if x.cr {
		x.add(' ')
	}
	if x.inLine {
		x.n += copy(x.wire[x.n:], "\r\n")
	}
	x.n += copy(x.wire[x.n:], ".\r\n")
	x.whole = true
}

// stuff adds p.
func (x *text) stuff(p []byte) {
	x.eightBit = x.eightBit || hasHigh(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if x.cr || bytes.IndexByte(line, '\r') >= 0 {
			x.stray(line, ended)
		} else {
			x.line(line)
		}
		if ended {
			x.n += copy(x.wire[x.n:], "\r\n")
			x.inLine = false
		}
		p = rest
	}
}

// line adds a line or a part of one, without CR.
func (x *text) line(p []byte) {
	if len(p) == 0 {
		return
	}
	if !x.inLine && p[0] == '.' {
		x.wire[x.n] = '.'
		x.n++
	}
	x.n += copy(x.wire[x.n:], p)
	x.inLine = true
}

// stray adds a line with CR in or before it.
func (x *text) stray(p []byte, ended bool) {
	for _, b := range p {
		if x.cr {
			x.add(' ')
			x.cr = false
		}
		if b == '\r' {
			x.cr = true
		} else {
			x.add(b)
		}
	}
	if ended {
		x.cr = false
	}
}

func (x *text) add(b byte) { x.line([]byte{b}) }

// hasHigh reports whether p has a byte beyond ASCII.
func hasHigh(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, b := range p {
		if b >= 0x80 {
			return true
		}
	}
	return false
}
