package router

import (
	"strings"

	"golang.org/x/net/idna"

	"cgq/pkg/mail"
)

// A pattern is a text in which each * stands for any characters, or none: the pieces
// between the stars, in lower case. One piece is a text that stands for itself.
type pattern []string

func (p pattern) exact() bool { return len(p) == 1 }

// stars is how many * there are.
func (p pattern) stars() int { return len(p) - 1 }

// match appends to got what the stars stand for in s, as it is written there.
func (p pattern) match(s string, got []string) ([]string, bool) {
	l := lower(s) // as long as s
	if p.exact() {
		return got, l == p[0]
	}
	first, last := p[0], p[len(p)-1]
	if len(l) < len(first)+len(last) || !strings.HasPrefix(l, first) || !strings.HasSuffix(l, last) {
		return got, false
	}
	at, end, begin := len(first), len(l)-len(last), len(got)
	for _, piece := range p[1 : len(p)-1] {
		i := strings.Index(l[at:end], piece)
		if i < 0 {
			return got[:begin], false
		}
		got = append(got, s[at:at+i])
		at += i + len(piece)
	}
	return append(got, s[at:end]), true
}

// fill is the text with the stars replaced, and what of them is left.
func (p pattern) fill(stars []string) (text string, left []string) {
	if p.exact() {
		return p[0], stars
	}
	var b strings.Builder
	b.WriteString(p[0])
	for i, piece := range p[1:] {
		b.WriteString(stars[i])
		b.WriteString(piece)
	}
	return b.String(), stars[p.stars():]
}

// lower is s with the letters A to Z in lower case. The others stay: they may change
// their length with their case.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// canonical is a domain as the table has it: in lower case, an internationalized one as
// A-labels.
func canonical(domain string) string {
	if !(mail.Address{Domain: domain}).ASCII() {
		if d, err := idna.Lookup.ToASCII(domain); err == nil {
			return d
		}
	}
	return lower(domain)
}
