package wire

import (
	"bytes"
	"io"
	"time"
)

// A Body is the text of a message on its way in: LF line ends, no dot-stuffing. It
// implements io.WriterTo, which is the cheaper way. Its errors: io.EOF at the end;
// ErrBare, ErrNUL or ErrTooLarge when the text must be refused; ErrReset when the
// peer ended a sequence of chunks; ErrTimeout, ErrSlow or ErrLost, after which the
// session is over. Whatever the session leaves unread is read and dropped by Conn.
type Body struct {
	conn    *Conn
	chunked bool // RFC 3030: chunks, not dots

	state  state
	bare   bool
	text   int64 // bytes of text so far
	lines  int64
	raw    int64     // bytes that came in, for the bound on what is read
	begun  time.Time // when it began
	last   byte      // of the text
	chunk  int64     // what is left of the chunk in hand
	final  bool      // it is the last one
	unread bool      // the session is done: no more chunks are asked for
	err    error     // never goes away
}

// state is where in a line the next byte falls.
type state uint8

const (
	lineStart state = iota // behind CRLF, or at the beginning
	inLine
	cr    // behind a CR that may belong to CRLF
	dot   // behind a dot at the start of a line
	dotCR // behind that and CR
	over  // behind CRLF.CRLF, or the last chunk
)

// Body is the text that the peer sends. Session.Data calls it once, and reads it
// instead of the reader that go-smtp gives.
func (c *Conn) Body() *Body {
	c.answered()
	return &c.body
}

// Size is the size of the text so far, in bytes, as the peer counts it (RFC 1870).
func (b *Body) Size() int64 { return b.text + b.lines }

// Err is the error that reading ended with, or nil; io.EOF is the end of a text
// that came in whole.
func (b *Body) Err() error { return b.err }

// begin is called behind the 354.
func (b *Body) begin(chunked bool, chunk int64, final bool) {
	*b = Body{conn: b.conn, chunked: chunked, chunk: chunk, final: final, begun: time.Now()}
	b.conn.receiving.Store(true)
	if chunked && chunk > 0 && b.tooLarge(chunk) {
		b.err = ErrTooLarge
	}
}

// Read implements [io.Reader].
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	text, err := b.take(p)
	return len(text), err
}

// WriteTo implements [io.WriterTo] without another buffer.
func (b *Body) WriteTo(w io.Writer) (sum int64, err error) {
	for {
		text, err := b.take(nil)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		n, err := w.Write(text)
		sum += int64(n)
		if err != nil {
			return sum, err
		}
	}
}

// take returns the next piece of the text, in dst, or in the buffer when dst is nil.
func (b *Body) take(dst []byte) ([]byte, error) {
	for b.err == nil {
		src, err := b.input()
		if err != nil {
			b.err = err
			return b.finish(dst)
		}
		to := dst
		if to == nil {
			to = src
		}
		n := b.decode(to, src[:min(len(src), len(to))])
		if b.err = b.fault(to[:n]); b.err == nil && n > 0 {
			b.last = to[n-1]
			return to[:n], nil
		}
	}
	return nil, b.err
}

// fault says why the text must be refused. Every CR of a line end is gone from
// piece: what is left in it is bare.
func (b *Body) fault(piece []byte) error {
	switch {
	case b.bare || bytes.IndexByte(piece, '\r') >= 0:
		return ErrBare
	case bytes.IndexByte(piece, 0) >= 0:
		return ErrNUL
	case b.tooLarge(0):
		return ErrTooLarge
	}
	return nil
}

// tooLarge reports whether the text is larger than allowed when coming more bytes
// are on their way.
func (b *Body) tooLarge(coming int64) bool {
	return b.conn.opt.MaxText > 0 && b.Size() > b.conn.opt.MaxText-coming
}

// finish gives the last line of a chunked text the end that it may lack.
func (b *Body) finish(dst []byte) ([]byte, error) {
	if b.err == io.EOF && b.state == cr {
		b.err = ErrBare
	}
	if b.err != io.EOF || b.text == 0 || b.last == '\n' {
		return nil, b.err
	}
	b.err, b.last, b.text = nil, '\n', b.text+1 // input says io.EOF again
	return append(dst[:0], '\n'), nil
}

// input returns what there is of the text, not empty, or io.EOF at its end.
func (b *Body) input() ([]byte, error) {
	c := b.conn
	for {
		if b.chunked && b.chunk == 0 {
			if b.final || b.unread {
				return nil, io.EOF
			}
			if err := c.nextChunk(); err != nil {
				return nil, err
			}
			continue
		}
		if b.state == over {
			return nil, io.EOF
		}
		if c.r < c.w {
			src := c.buf[c.r:c.w]
			if b.chunked && int64(len(src)) > b.chunk {
				src = src[:b.chunk]
			}
			return src, nil
		}
		if err := c.more(); err != nil {
			return nil, err
		}
	}
}

// decode takes src, or what of it belongs to the text, as text into dst, and returns
// its length. dst may be src, else it is as long. Whole lines are copied; a CR that
// turns out to be bare behind the end of an earlier src is dropped, the text is
// refused anyway.
func (b *Body) decode(dst, src []byte) (n int) {
	used := 0
	for used < len(src) && b.state != over {
		rest := src[used:]
		switch b.state {
		case lineStart:
			if rest[0] == '.' && !b.chunked {
				b.state = dot
				used++
				continue
			}
			b.state = inLine
		case cr:
			b.state = inLine
			if rest[0] == '\n' {
				dst[n] = '\n'
				n, used = n+1, used+1
				b.state, b.lines = lineStart, b.lines+1
				continue
			}
			b.bare = true
		case dot:
			if rest[0] == '\r' {
				b.state = dotCR
				used++
				continue
			}
			b.state = inLine // RFC 5321 §4.5.2: the first dot goes
		case dotCR:
			if rest[0] == '\n' {
				b.state = over
				used++
				continue
			}
			b.bare, b.state = true, inLine
		}
		text, took := b.scan(rest, dst[n:])
		n, used = n+text, used+took
	}
	b.conn.r += used
	b.raw += int64(used)
	b.text += int64(n)
	if b.chunked {
		b.chunk -= int64(used)
	}
	return n
}

// scan takes the rest of a line, or the part of it that there is.
func (b *Body) scan(src, dst []byte) (n, used int) {
	i := bytes.IndexByte(src, '\n')
	switch {
	case i < 0:
		used = len(src)
		if src[used-1] == '\r' {
			b.state = cr
			src = src[:used-1]
		}
		return copy(dst, src), used
	case i > 0 && src[i-1] == '\r':
		n = copy(dst, src[:i-1])
		dst[n] = '\n'
		b.state, b.lines = lineStart, b.lines+1
		return n + 1, i + 1
	}
	b.bare = true
	return copy(dst, src[:i+1]), i + 1
}

// drop reads what the session has left of the text, up to a bound.
func (b *Body) drop() error {
	b.unread = true
	for {
		src, err := b.input()
		if err != nil {
			break
		}
		b.decode(src, src)
		if limit := b.conn.opt.MaxText; limit > 0 && b.raw > overrun*limit {
			b.conn.err = ErrTooLarge
		}
		if b.conn.err != nil {
			break
		}
	}
	b.conn.receiving.Store(false)
	return b.conn.err
}

// deadline is the time by which more of the text has to come; slow says that its
// rate sets it.
func (b *Body) deadline() (by time.Time, slow bool) {
	opt := &b.conn.opt
	by = time.Now().Add(opt.Data)
	if opt.Rate > 0 {
		end := b.begun.Add(opt.Total + time.Duration(b.raw/opt.Rate)*time.Second)
		if end.Before(by) {
			return end, true
		}
	}
	return by, false
}
