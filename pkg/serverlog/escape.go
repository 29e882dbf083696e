package serverlog

import (
	"strconv"
	"unicode/utf8"
)

// The longest texts that a line takes, in bytes before they are escaped: what
// strangers make us log must not fill the disk.
const (
	maxText = 8 << 10
	maxAttr = 2 << 10
)

const hex = "0123456789abcdef"

// Escape is a text on one line, safe for a file and a terminal: control bytes,
// line separators, marks that turn the direction of writing and all else that has no
// shape, as well as bytes that are not UTF-8, become \n, \x1b or \u202e; a
// backslash is doubled.
func Escape(s string) string { return string(appendEscaped(nil, s, len(s))) }

// appendEscaped appends s escaped; of what is longer than limit it says how much is missing.
func appendEscaped(b []byte, s string, limit int) []byte {
	if len(s) <= limit {
		return appendAll(b, s)
	}
	b = appendAll(b, s[:limit])
	b = append(b, "...("...)
	b = appendUint(b, uint64(len(s)-limit))
	return append(b, " bytes more)"...)
}

func appendAll(b []byte, s string) []byte {
	plain := 0 // s[plain:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '\\' {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
			if strconv.IsPrint(r) && n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[plain:i]...)
		b = appendEscape(b, c, r, n)
		i += n
		plain = i
	}
	return append(b, s[plain:]...)
}

// appendEscape appends the escape of the rune r, which begins with byte c and has n bytes.
func appendEscape(b []byte, c byte, r rune, n int) []byte {
	switch {
	case c == '\\':
		return append(b, `\\`...)
	case c == '\n':
		return append(b, `\n`...)
	case c == '\r':
		return append(b, `\r`...)
	case c == '\t':
		return append(b, `\t`...)
	case n == 1:
		return append(b, '\\', 'x', hex[c>>4], hex[c&15])
	}
	digits, letter := 4, byte('u')
	if r > 0xffff {
		digits, letter = 8, 'U'
	}
	b = append(b, '\\', letter)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, hex[r>>shift&15])
	}
	return b
}

// appendSubject appends what stands in parentheses behind a tag. It has no space:
// the first space of a line behind the level ends the tag.
func appendSubject(b []byte, s string) []byte {
	from := len(b)
	b = appendEscaped(b, s, maxAttr)
	for i := from; i < len(b); i++ {
		if b[i] == ' ' {
			b = append(b[:i], append([]byte(`\x20`), b[i+1:]...)...)
		}
	}
	return b
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }
