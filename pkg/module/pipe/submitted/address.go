package submitted

import (
	"strings"

	"cgq/pkg/mail"
)

// addresses reads an address list (RFC 5322 §3.4): groups are their members, names and
// comments are passed over. What is no address is an error, as a recipient must not be
// lost; nothing between two commas is not (§4.4).
func addresses(list string) (all []mail.Address, err error) {
	for len(list) > 0 {
		var m mailbox
		rest := m.read(list)
		if end := len(list) - len(rest); end < len(list) && list[end] == ':' && !m.bracketed { // the name of a group
			list = rest[1:]
			continue
		}
		text := strings.TrimSpace(m.address())
		if text != "" || m.bracketed {
			a, err := mail.ParsePath(text)
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
		if rest == "" {
			break
		}
		list = rest[1:]
	}
	return all, nil
}

// A mailbox is one member of a list, as it is read: without comments, and what stands in
// brackets apart.
type mailbox struct {
	plain     strings.Builder
	inside    string // of the brackets
	bracketed bool
}

// address is what the mailbox says where it is.
func (m *mailbox) address() string {
	if m.bracketed {
		return m.inside
	}
	return m.plain.String()
}

// read takes one member off a list, up to the comma, semicolon or colon behind it.
func (m *mailbox) read(list string) (rest string) {
	for i := 0; i < len(list); {
		switch list[i] {
		case ',', ';':
			return list[i:]
		case ':':
			if !m.bracketed {
				return list[i:]
			}
			i++
		case '(':
			i = closing(list, i)
		case '<':
			end := closing(list, i)
			m.inside, m.bracketed = strings.TrimSpace(strings.TrimSuffix(list[i+1:end], ">")), true
			i = end
		case '"', '[':
			end := closing(list, i)
			m.plain.WriteString(list[i:end])
			i = end
		default:
			m.plain.WriteByte(list[i])
			i++
		}
	}
	return ""
}

// closing returns the place behind what begins at i: a comment, an address in brackets, a
// quoted string or a literal. What is not closed goes to the end.
func closing(s string, i int) int {
	open := s[i]
	end := map[byte]byte{'(': ')', '<': '>', '"': '"', '[': ']'}[open]
	for i++; i < len(s); {
		switch c := s[i]; {
		case c == end:
			return i + 1
		case c == '\\':
			i = min(i+2, len(s))
		case open == '(' && c == '(', open == '<' && (c == '"' || c == '['):
			i = closing(s, i)
		default:
			i++
		}
	}
	return len(s)
}
