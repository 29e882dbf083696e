package bounce

import (
	"cgq/pkg/mail"
)

// maxReply is how many bytes of a text are looked at: strangers write it.
const maxReply = 2 << 10

// fold appends a text in the form in which it is compared: ASCII letters small, one blank
// for all that separates words, no mail addresses, since they are no words of the server's
// (<greylisted@spam.example>: user unknown), and no enhanced status codes, which stand at
// the beginning of each line of a reply. The first of these is returned.
func fold(to []byte, text string) (folded []byte, first mail.Status) {
	text = text[:min(len(text), maxReply)]
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c <= ' ' || c == 0x7f:
			c = ' '
		case c == '@':
			for len(to) > 0 && inLocal(to[len(to)-1]) {
				to = to[:len(to)-1]
			}
			for i+1 < len(text) && (isAlnum(text[i+1]) || text[i+1] == '.' || text[i+1] == '-') {
				i++
			}
		case isDigit(c) && (len(to) == 0 || !isAlnum(to[len(to)-1]) && to[len(to)-1] != '.'):
			if status, n := leading(text[i:]); n > 0 {
				if first == (mail.Status{}) {
					first = status
				}
				i += n - 1
				continue
			}
		}
		if c == ' ' && (len(to) == 0 || to[len(to)-1] == ' ') {
			continue
		}
		to = append(to, c)
	}
	return to, first
}

// leading reads the enhanced status code that a text begins with, also as 550-5.1.1, and
// how long it is; 0: there is none.
func leading(text string) (status mail.Status, n int) {
	begin := 0
	if len(text) > 4 && text[3] == '-' && isDigit(text[1]) && isDigit(text[2]) {
		begin = 4
	}
	n = begin
	for n < len(text) && n-begin < len("5.123.123") && (isDigit(text[n]) || text[n] == '.') {
		n++
	}
	for n > begin && text[n-1] == '.' { // that of a sentence
		n--
	}
	if n < len(text) && (isAlnum(text[n]) || text[n] == '.' && n+1 < len(text) && isDigit(text[n+1])) {
		return status, 0
	}
	status, ok := mail.ParseStatus(text[begin:n])
	if !ok {
		return status, 0
	}
	return status, n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// inLocal says whether a folded byte may be one of a local part, as far as servers quote
// them; what may stand in an URL before it is not.
func inLocal(c byte) bool {
	switch c {
	case '.', '_', '-', '+', '=', '%', '!', '~', '\'':
		return true
	}
	return isAlnum(c)
}

// A phrase is folded text to be looked for.
type phrase struct {
	text       string
	begin, end bool // only where a word begins, and where one ends
}

// at says whether the phrase stands in a folded text at i.
func (p *phrase) at(text []byte, i int) bool {
	end := i + len(p.text)
	return end <= len(text) && string(text[i:end]) == p.text &&
		(!p.begin || i == 0 || !isAlnum(text[i-1])) && (!p.end || end == len(text) || !isAlnum(text[end]))
}

// shortest is how long a phrase is at least, in bytes: so many are looked up at once.
const shortest = 3

// Phrases are those of all rules, by the hash of their first bytes: one pass over a text
// finds them all, however many there are.
type phrases struct {
	buckets [][]int32 // indexes into all
	all     []wanted
}

// A wanted phrase is one of a rule.
type wanted struct {
	phrase
	rule int
}

const hashBits = 12

func newPhrases() phrases { return phrases{buckets: make([][]int32, 1<<hashBits)} }

func hash(a, b, c byte) uint32 {
	return (uint32(a) | uint32(b)<<8 | uint32(c)<<16) * 2654435769 >> (32 - hashBits)
}

func (ps *phrases) add(p phrase, rule int) {
	h := hash(p.text[0], p.text[1], p.text[2])
	ps.buckets[h] = append(ps.buckets[h], int32(len(ps.all)))
	ps.all = append(ps.all, wanted{p, rule})
}

// find marks the rules of which a phrase stands in a folded text.
func (ps *phrases) find(text []byte, said *marks) {
	for i := 0; i+shortest <= len(text); i++ {
		for _, n := range ps.buckets[hash(text[i], text[i+1], text[i+2])] {
			if w := &ps.all[n]; w.at(text, i) {
				said.set(w.rule)
			}
		}
	}
}

// Marks are a set of rules.
type marks [2 * maxRules / 64]uint64

func (m *marks) set(i int)      { m[i/64] |= 1 << (i % 64) }
func (m *marks) has(i int) bool { return m[i/64]>>(i%64)&1 != 0 }
