// Package screen makes text fit for a terminal: what strangers wrote harmless, and what
// is too long as wide as there is room. It prints nothing.
package screen

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Safe returns s with everything that could command a terminal, reorder a line or
// hide in it made visible, as \n, \x1b or \u202e: control characters, bidirectional
// controls, other invisible ones, and bytes that are not UTF-8.
func Safe(s string) string {
	if ascii(s) || utf8.ValidString(s) && strings.IndexFunc(s, Unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !Unsafe(r):
			b.WriteRune(r)
		case r == '\n', r == '\r', r == '\t':
			b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// Unsafe reports whether a rune is shown escaped. The joiners inside words and
// emoji are not: scripts need them, and they reorder nothing.
func Unsafe(r rune) bool {
	const zwnj, zwj = '\u200c', '\u200d'
	return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && r != zwnj && r != zwj
}

// SafeJSON escapes in JSON what encoding/json leaves raw and Safe does not. The
// value stays the same: such runes stand in strings only.
func SafeJSON(b []byte) []byte {
	if ascii(b) || bytes.IndexFunc(b, func(r rune) bool { return r != '\n' && Unsafe(r) }) < 0 {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r == '\n' || !Unsafe(r):
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		}
	}
	return out.Bytes()
}
