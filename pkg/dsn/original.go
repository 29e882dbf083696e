package dsn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// maxHeader bounds the header that goes back, in bytes.
const maxHeader = 64 << 10

// A returned is what goes back of the message.
type returned struct {
	text     io.Reader
	kind     string // media type; empty: nothing goes back
	encoding string
	boundary string // which is not in text
}

// returned reads the message and decides how much of it goes back, and as what.
func (r *Report) returned() (returned, error) {
	back := returned{boundary: r.boundary(0)}
	if r.Original == nil {
		return back, nil
	}
	head, err := r.head()
	if err != nil {
		return back, err
	}
	full, err := r.full()
	if err != nil {
		return back, err
	}
	back.text = bytes.NewReader(head)
	if full {
		if _, err := r.Original.Seek(0, io.SeekStart); err != nil {
			return back, err
		}
		back.text = r.Original
	}
	seen, err := r.scan(back.text)
	if err != nil {
		return back, err
	}
	if s, ok := back.text.(io.Seeker); ok {
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			return back, err
		}
	}
	back.boundary = r.boundary(seen.boundary + 1)
	back.encoding = "7bit"
	if seen.eightBit {
		back.encoding = "8bit"
	}
	// RFC 6532 §3.7, RFC 6533 §6: a header with UTF-8 in it is global. One with other
	// 8-bit bytes is nothing that has a name; it goes back as it came.
	global := utf8.Valid(head) && bytes.ContainsFunc(head, func(c rune) bool { return c >= utf8.RuneSelf })
	back.kind = map[[2]bool]string{
		{false, false}: "text/rfc822-headers",
		{false, true}:  "message/global-headers",
		{true, false}:  "message/rfc822",
		{true, true}:   "message/global",
	}[[2]bool{full, global}]
	return back, nil
}

// head returns the header of the message, of one that is too long whole fields only.
func (r *Report) head() ([]byte, error) {
	if _, err := r.Original.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r.Original, maxHeader+1))
	if err != nil {
		return nil, err
	}
	n := header.Len(b)
	if n > maxHeader {
		n = 0
		for f := range header.Fields(b) {
			if f.End <= maxHeader {
				n = f.End
			}
		}
	}
	return b[:n], nil
}

// full says whether all of the message goes back.
func (r *Report) full() (bool, error) {
	if r.Return != mail.ReturnFull {
		return false, nil
	}
	size, err := r.Original.Seek(0, io.SeekEnd)
	return r.Limit == 0 || size <= r.Limit, err
}

// boundary is the n-th boundary for reports about a message.
func (r *Report) boundary(n uint64) string { return fmt.Sprintf("_===%s.%d===_", r.ID, n) }

// seen is what a scan has found in a text.
type seen struct {
	eightBit bool
	boundary uint64 // the highest n of what looks like a boundary of ours
}

// scan looks for what decides how a text can go back. Who knows our boundaries can
// write one into a message, to make parts of its body parts of the report; ours is
// therefore numbered higher than any in the text.
func (r *Report) scan(text io.Reader) (s seen, err error) {
	prefix := []byte("_===" + r.ID.String() + ".")
	buf := make([]byte, 32<<10)
	for kept := 0; ; {
		n, err := io.ReadFull(text, buf[kept:])
		b := buf[:kept+n]
		for i := kept; i < len(b) && !s.eightBit; i++ {
			s.eightBit = b[i] >= utf8.RuneSelf
		}
		for _, rest, ok := bytes.Cut(b, prefix); ok; _, rest, ok = bytes.Cut(rest, prefix) {
			s.boundary = max(s.boundary, number(rest))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		// What may be the beginning of a boundary is looked at again.
		kept = copy(buf, b[len(b)-len(prefix)-maxDigits:])
	}
}

// maxDigits is more than the digits of any number that a boundary has.
const maxDigits = 24

// number reads the digits in front of a text. A number that is too long for us to
// ever come to is zero.
func number(b []byte) uint64 {
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(b[:end]), 10, 63)
	if err != nil {
		return 0
	}
	return n
}
