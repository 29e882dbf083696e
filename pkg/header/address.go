package header

import (
	"iter"
	"strings"
)

// Addresses yields the display name and the address of each mailbox of an address
// list (RFC 5322 §3.4), as far as it can be understood: mail is looked at, not
// refused. Names are not decoded; groups are their members.
func Addresses(list string) iter.Seq2[string, string] {
	return func(yield func(name, address string) bool) {
		start := 0
		for i := 0; i <= len(list); {
			if i == len(list) || list[i] == ',' || list[i] == ';' {
				if name, address := mailbox(list[start:i]); address != "" && !yield(name, address) {
					return
				}
				i++
				start = i
				continue
			}
			if list[i] == ':' {
				start = i + 1 // the name of a group
			}
			i = SkipToken(list, i)
		}
	}
}

// SkipToken returns the place behind the character, or the quoted string, comment, address
// in brackets or literal, that begins at i. What is not closed goes to the end.
func SkipToken(s string, i int) int {
	end := byte(0)
	switch s[i] {
	case '"':
		end = '"'
	case '<':
		end = '>'
	case '[':
		end = ']'
	case '(':
		return skipComment(s, i)
	default:
		return i + 1
	}
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\' && end != '>':
			j++
		case s[j] == end:
			return j + 1
		case end == '>' && (s[j] == '"' || s[j] == '['):
			j = SkipToken(s, j) - 1
		}
	}
	return len(s)
}

func skipComment(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// mailbox splits Name <address>, or address (Name).
func mailbox(s string) (name, address string) {
	s = strings.Trim(s, " \t")
	for i := 0; i < len(s); i = SkipToken(s, i) {
		if s[i] == '<' {
			address = strings.TrimSuffix(s[i+1:SkipToken(s, i)], ">")
			if route, rest, ok := strings.Cut(address, ":"); ok && strings.HasPrefix(route, "@") {
				address = rest // RFC 5322 §4.4
			}
			return unquote(strings.Trim(s[:i], " \t")), strings.Trim(address, " \t")
		}
	}
	if !strings.ContainsAny(s, "( \t") {
		return "", s
	}
	var b strings.Builder
	gap := false // a space, which may stand beside @ and a dot only (RFC 5322 §4.4)
	for i := 0; i < len(s); {
		j := SkipToken(s, i)
		switch s[i] {
		case '(':
			name = strings.Trim(unescape(strings.TrimSuffix(s[i+1:j], ")")), " \t")
		case ' ', '\t':
			gap = true
		default:
			if gap && b.Len() > 0 && !joins(b.String()[b.Len()-1]) && !joins(s[i]) {
				b.WriteByte(' ') // then it is none
			}
			b.WriteString(s[i:j])
			gap = false
		}
		i = j
	}
	return name, b.String()
}

// joins says whether a character holds the parts of an address together.
func joins(c byte) bool { return c == '@' || c == '.' }

// unquote takes the quotes off the words of a phrase.
func unquote(s string) string {
	if !strings.Contains(s, `"`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		j := SkipToken(s, i)
		if s[i] == '"' {
			b.WriteString(unescape(strings.TrimSuffix(s[i+1:j], `"`)))
		} else {
			b.WriteString(s[i:j])
		}
		i = j
	}
	return b.String()
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
