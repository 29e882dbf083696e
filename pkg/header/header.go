// Package header reads an RFC 5322 header where it lies: it finds fields by their
// place in the text, copies nothing until it is asked for a value, and never
// rewrites a byte. Line ends are LF or CRLF. What is no field (a mailbox's "From "
// line, a line without a colon, a name with 8-bit bytes) is passed over: mail is
// not refused, nor its other fields lost, for a bad line.
package header

import (
	"bytes"
	"iter"
	"mime"
	"strings"
	"unicode/utf8"
)

// A Field is one header field. Name and Value are parts of the text: they change
// with it.
type Field struct {
	Name  []byte // as written, without the spaces before the colon
	Value []byte // after the colon, with folds, without the last line end

	// Start and End are the offsets of the field in the text, its last line end
	// included.
	Start, End int
}

// Is reports whether the field has a name, in any case (RFC 5322 §1.2.2).
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Text is the value in one line: unfolded (RFC 5322 §2.2.3), without spaces around
// it. It holds no LF, but else what its writer put there.
func (f Field) Text() string {
	v := bytes.Trim(f.Value, " \t\r\n")
	if bytes.IndexByte(v, '\n') < 0 {
		return string(v)
	}
	var b strings.Builder
	for line := range bytes.Lines(v) {
		b.Write(trimEOL(line))
	}
	return b.String()
}

// Fields returns the fields of the header of msg, from the top.
func Fields(msg []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for at := 0; at < len(msg); {
			end := lineEnd(msg, at)
			if blank(msg[at:end]) {
				return
			}
			for end < len(msg) && (msg[end] == ' ' || msg[end] == '\t') {
				end = lineEnd(msg, end)
			}
			if f, ok := parse(msg[at:end]); ok {
				f.Start, f.End = at, end
				if !yield(f) {
					return
				}
			}
			at = end
		}
	}
}

// Len returns the offset of the body: the length of the header with the blank line
// that ends it, or all of msg when there is none.
func Len(msg []byte) int {
	for at := 0; at < len(msg); {
		end := lineEnd(msg, at)
		if blank(msg[at:end]) {
			return end
		}
		at = end
	}
	return len(msg)
}

// Get returns the text of the first field with a name, in any case, and whether
// there is one.
func Get(msg []byte, name string) (string, bool) {
	for f := range Fields(msg) {
		if f.Is(name) {
			return f.Text(), true
		}
	}
	return "", false
}

// Hops counts the Received fields (RFC 5321 §6.3; chapter: Hop Counter Limit).
func Hops(msg []byte) int {
	n := 0
	for f := range Fields(msg) {
		if f.Is("Received") {
			n++
		}
	}
	return n
}

// Decode decodes the RFC 2047 encoded words of a text, for people to read: those in
// UTF-8, ISO-8859-1 and US-ASCII; a text with another charset stays encoded. The
// answer is valid UTF-8, and may hold any character: escape it before showing it.
func Decode(text string) string {
	if strings.Contains(text, "=?") {
		if s, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
			text = s
		}
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}

// lineEnd returns the offset after the line that begins at at.
func lineEnd(msg []byte, at int) int {
	if i := bytes.IndexByte(msg[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(msg)
}

// trimEOL drops one line end.
func trimEOL(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			line = line[:n-2]
		}
	}
	return line
}

func blank(line []byte) bool { return len(trimEOL(line)) == 0 }

// parse splits a field, which may be folded, at its colon. A name is printable
// ASCII (RFC 5322 §2.2); spaces may follow it (§4.5.3).
func parse(field []byte) (f Field, ok bool) {
	name, value, ok := bytes.Cut(field, []byte{':'})
	if name = bytes.TrimRight(name, " \t"); !ok || len(name) == 0 {
		return Field{}, false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return Field{}, false
		}
	}
	return Field{Name: name, Value: trimEOL(value)}, true
}

// equalFold is bytes.EqualFold for ASCII, without a copy of name.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
