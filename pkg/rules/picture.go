package rules

import (
	"strings"
	"unicode/utf8"
)

// fold is a text as pictures are compared: in lower case.
func fold(s string) string { return strings.ToLower(s) }

// A picture is a text in which each * stands for any text, or none. Its parts are
// looked for from left to right, the leftmost place of each: no part is ever looked
// for twice at one place, so hostile text costs time in proportion to its length.
type picture struct {
	written string // folded
	exact   bool   // it has no *
	prefix  string
	middle  []string
	suffix  string
}

// newPicture reads a picture.
func newPicture(s string) picture {
	p := picture{written: fold(s)}
	parts := strings.Split(p.written, "*")
	if len(parts) == 1 {
		p.exact, p.prefix = true, p.written
		return p
	}
	p.prefix, p.suffix = parts[0], parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		if part != "" {
			p.middle = append(p.middle, part)
		}
	}
	return p
}

// match says whether a folded text looks like p.
func (p *picture) match(s string) bool {
	if p.exact {
		return s == p.prefix
	}
	if len(s) < len(p.prefix)+len(p.suffix) || !strings.HasPrefix(s, p.prefix) || !strings.HasSuffix(s, p.suffix) {
		return false
	}
	s = s[len(p.prefix) : len(s)-len(p.suffix)]
	for _, part := range p.middle {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// pictures are those of one condition: one with is, a list with in. Those without a *
// are looked up, so a list may be long.
type pictures struct {
	exact map[string]struct{}
	wild  []picture
	one   string // the first, as it was written, folded
}

// add takes one picture more.
func (ps *pictures) add(s string) {
	p := newPicture(s)
	if len(ps.exact)+len(ps.wild) == 0 {
		ps.one = p.written
	}
	if !p.exact {
		ps.wild = append(ps.wild, p)
		return
	}
	if ps.exact == nil {
		ps.exact = map[string]struct{}{}
	}
	ps.exact[p.prefix] = struct{}{}
}

func (ps *pictures) first() string { return ps.one }

// match says whether a folded text looks like one of them.
func (ps *pictures) match(s string) bool {
	if len(ps.exact) > 0 {
		if _, ok := ps.exact[s]; ok {
			return true
		}
	}
	for i := range ps.wild {
		if ps.wild[i].match(s) {
			return true
		}
	}
	return false
}

// elements splits the list of in and not in at its commas.
func elements(list string) (all []string) {
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.TrimSpace(e); e != "" {
			all = append(all, e)
		}
	}
	return all
}

// oneLine says what keeps s from being part of a line of text, or nothing.
func oneLine(s string) string {
	if !utf8.ValidString(s) {
		return "it is not UTF-8"
	}
	for _, r := range s {
		if isControl(r) && r != '\t' {
			return "it has a control character"
		}
	}
	return ""
}

// isControl reports whether a rune could end a line or command a terminal.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}
