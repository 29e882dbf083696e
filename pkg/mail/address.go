package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of RFC 5321 §4.5.3.1, in bytes.
const (
	MaxLocal  = 64
	MaxDomain = 255
)

// An Address is a parsed mailbox (RFC 5321 §4.1.2, RFC 6531). The local part is
// kept without quotes; String puts them back where they are needed. The zero
// Address is the null return path. An Address that ParseAddress returned holds no
// control character and is valid UTF-8, so its text forms are always one line.
type Address struct{ Local, Domain string }

// IsZero reports whether the address is the null return path.
func (a Address) IsZero() bool { return a == Address{} }

// String is local@domain, quoted as RFC 5321 wants it, the local part alone when
// there is no domain, and <> for the null return path.
func (a Address) String() string {
	switch {
	case a.IsZero():
		return "<>"
	case a.Domain == "":
		return quoteLocal(a.Local)
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// Path is the address in angle brackets, as MAIL FROM and RCPT TO have it.
func (a Address) Path() string {
	if a.IsZero() {
		return "<>"
	}
	return "<" + a.String() + ">"
}

// ASCII reports whether the address can go to a host without SMTPUTF8.
func (a Address) ASCII() bool { return ascii(a.Local) && ascii(a.Domain) }

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fold is the address with its domain in lower case: two addresses of one mailbox
// at one domain have one Fold. The local part is the domain's business (RFC 5321 §2.4).
func (a Address) Fold() Address { return Address{a.Local, strings.ToLower(a.Domain)} }

const atextSpecials = "!#$%&'*+-/=?^_`{|}~"

// atext says whether c may stand in a local part without quotes.
func atext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c >= utf8.RuneSelf || strings.IndexByte(atextSpecials, c) >= 0
}

func quoteLocal(local string) string {
	plain := local != ""
	for i := range len(local) {
		c := local[i]
		if c == '.' {
			plain = plain && i > 0 && i < len(local)-1 && local[i-1] != '.'
		} else if !atext(c) {
			plain = false
		}
	}
	if plain {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// ErrAddress is what every error of ParseAddress and ParsePath matches.
var ErrAddress = errors.New("not an address")

func bad(s, why string) error { return fmt.Errorf("%w: %q: %s", ErrAddress, s, why) }

// ParsePath reads an address in angle brackets, or without them; <> and "" are the
// null return path. A source route in front is dropped (RFC 5321 appendix C).
func ParsePath(s string) (Address, error) {
	path, open := strings.CutPrefix(s, "<")
	if open {
		var closed bool
		if path, closed = strings.CutSuffix(path, ">"); !closed {
			return Address{}, bad(s, "no closing >")
		}
	}
	if path == "" {
		return Address{}, nil
	}
	if strings.HasPrefix(path, "@") {
		_, rest, ok := strings.Cut(path, ":")
		if !ok {
			return Address{}, bad(s, "a source route without an address")
		}
		path = rest
	}
	return ParseAddress(path)
}

// ParseAddress reads local@domain. The local part may be quoted; the domain may be
// an address literal in square brackets, or be missing, as in RCPT TO:<postmaster>.
func ParseAddress(s string) (a Address, err error) {
	if !utf8.ValidString(s) {
		return Address{}, bad(s, "not UTF-8")
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' { // these two end lines as well
			return Address{}, bad(s, "a control character")
		}
	}
	rest := s
	if strings.HasPrefix(s, `"`) {
		if a.Local, rest, err = cutQuoted(s); err != nil {
			return Address{}, err
		}
	} else {
		i := strings.LastIndexByte(s, '@')
		if i < 0 {
			i = len(s)
		}
		a.Local, rest = s[:i], s[i:]
		if quoteLocal(a.Local) != a.Local {
			return Address{}, bad(s, "the local part needs quotes")
		}
	}
	switch {
	case len(a.Local) > MaxLocal:
		return Address{}, bad(s, "the local part is longer than 64 bytes")
	case rest == "" && a.Local != "":
		return a, nil
	case !strings.HasPrefix(rest, "@"):
		return Address{}, bad(s, "no @ after the local part")
	}
	a.Domain = rest[1:]
	if why := checkDomain(a.Domain); why != "" {
		return Address{}, bad(s, why)
	}
	return a, nil
}

// cutQuoted takes a quoted string off the front of s and returns what it stands for.
func cutQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", bad(s, "a backslash at the end")
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", bad(s, "no closing quote")
}

// checkDomain says what is wrong with a domain, or nothing.
func checkDomain(d string) string {
	if d == "" {
		return "no domain after @"
	}
	if len(d) > MaxDomain {
		return "the domain is longer than 255 bytes"
	}
	if strings.HasPrefix(d, "[") {
		if !strings.HasSuffix(d, "]") || strings.ContainsAny(d[1:len(d)-1], "[]\\<>@\" ") || len(d) < 3 {
			return "an address literal that is not one"
		}
		return ""
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" {
			return "an empty label in the domain"
		}
		if len(label) > 63 {
			return "a label of the domain is longer than 63 bytes"
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "a label of the domain begins or ends with a hyphen"
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
				c == '-' || c == '_' || c >= utf8.RuneSelf) {
				return "a character in the domain that cannot be there"
			}
		}
	}
	return ""
}
