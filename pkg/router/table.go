package router

import (
	"cmp"
	"slices"
	"strings"

	"cgq/pkg/mail"
)

// A Table is the Router table, compiled. It never changes, so it is safe for concurrent
// use. The zero Table has no records.
type Table struct {
	// Records with the same key are linked, in the order of lines.
	domains  map[string]*record       // domain records without *
	suffixes map[string]*record       // those like *.example.com, by what stands behind the *
	accounts map[mail.Address]*record // account records without *; no domain: the main domain
	patterns map[string]*record       // those with * in the local part alone, by their domains
	odd      []*record                // all others
	size     int
}

// Len is the number of records.
func (t *Table) Len() int { return t.size }

// relaying is what a record says about relaying.
type relaying int

const (
	relayDefault relaying = iota
	relayGrant            // Relay:
	relayDeny             // NoRelay:
	relayAll              // RelayAll:
)

// A record is one line.
type record struct {
	line    int
	text    string // without the comment
	relay   relaying
	account bool
	local   pattern // of an account record
	domain  pattern // left of the =; of an account record that has none, one empty piece
	to      target
	next    *record // the next one with the same key
}

// A target is what stands right of the =.
type target struct {
	special string  // one of the names of the Router's own
	local   pattern // not in lower case; nil: the local part stays
	domain  pattern // one empty piece: none
	hop     bool    // of a domain record: a next host, which gets the address as it was
	pipe    bool    // a program
}

// newTable indexes records, which are in the order of lines.
func newTable(records []record) *Table {
	t := &Table{domains: map[string]*record{}, suffixes: map[string]*record{}, accounts: map[mail.Address]*record{},
		patterns: map[string]*record{}, size: len(records)}
	for i := range slices.Backward(records) { // so the first one is the head of its list
		switch r := &records[i]; {
		case r.account && r.domain.exact() && r.local.exact():
			link(t.accounts, mail.Address{Local: r.local[0], Domain: r.domain[0]}, r)
		case r.account && r.domain.exact():
			link(t.patterns, r.domain[0], r)
		case !r.account && r.domain.exact():
			link(t.domains, r.domain[0], r)
		case !r.account && r.domain.stars() == 1 && r.domain[0] == "" && strings.HasPrefix(r.domain[1], "."):
			link(t.suffixes, r.domain[1][1:], r)
		default:
			t.odd = append(t.odd, r)
		}
	}
	slices.Reverse(t.odd)
	return t
}

func link[Key comparable](m map[Key]*record, k Key, r *record) {
	r.next = m[k]
	m[k] = r
}

// A site is what is local, for a match: wildcards in domains spare it.
type site struct {
	main  string                   // canonical; empty: none
	local func(domain string) bool // or nil
}

// isLocal reports whether a domain is one of ours.
func (s *site) isLocal(domain string) bool {
	return domain != "" && (domain == s.main || s.local != nil && s.local(domain))
}

// A match is the first record of the table that an address fits, and what its stars
// stand for.
type match struct {
	*record
	stars []string
}

// find returns the first record below a line that the address fits. A domain record
// whose domain has a * fits neither local domains nor names of no domain: who wants
// all mail to leave does not mean his own, nor what is on its way already.
func (t *Table) find(a mail.Address, s site, below int) (m match) {
	if t.size == 0 {
		return m
	}
	domain, local := canonical(a.Domain), lower(a.Local)
	m.take(first(t.domains[domain], below))
	m.take(first(t.accounts[mail.Address{Local: local, Domain: domain}], below))
	m.patterns(a, t.patterns[domain], below)
	if domain == s.main {
		m.take(first(t.accounts[mail.Address{Local: local}], below))
		m.patterns(a, t.patterns[""], below)
	}
	wild := new(wildness) // asked for when it is needed
	if len(t.suffixes) > 0 {
		for i, c := range domain {
			if c != '.' {
				continue
			}
			if r := first(t.suffixes[domain[i+1:]], below); m.before(r) && wild.of(domain, s) {
				m.record, m.stars = r, []string{domain[:i]}
			}
		}
	}
	i, _ := slices.BinarySearchFunc(t.odd, below, func(r *record, line int) int { return cmp.Compare(r.line, line+1) })
	for ; i < len(t.odd) && m.before(t.odd[i]); i++ {
		m.odd(a, domain, t.odd[i], s, wild)
	}
	return m
}

// first is the first record of a list below a line, or nil.
func first(r *record, below int) *record {
	for r != nil && r.line <= below {
		r = r.next
	}
	return r
}

// before says whether a record comes before the one that was found.
func (m *match) before(r *record) bool { return r != nil && (m.record == nil || r.line < m.line) }

// take takes a record without stars.
func (m *match) take(r *record) {
	if m.before(r) {
		m.record, m.stars = r, nil
	}
}

// patterns takes the first of a list whose local part fits.
func (m *match) patterns(a mail.Address, r *record, below int) {
	for r = first(r, below); m.before(r); r = r.next {
		if stars, ok := r.local.match(a.Local, nil); ok {
			m.record, m.stars = r, stars
			return
		}
	}
}

// odd takes a record with a * somewhere in its domain, if it fits.
func (m *match) odd(a mail.Address, domain string, r *record, s site, wild *wildness) {
	var stars []string
	ok := true
	if r.account {
		stars, ok = r.local.match(a.Local, nil)
	}
	if ok {
		stars, ok = r.domain.match(domain, stars)
	}
	if ok && (r.account && !reserved(domain) || !r.account && wild.of(domain, s)) {
		m.record, m.stars = r, stars
	}
}

// A wildness is whether domain records with a * are for a domain, once that is known.
type wildness struct{ known, is bool }

func (w *wildness) of(domain string, s site) bool {
	if !w.known {
		w.known, w.is = true, !reserved(domain) && !s.isLocal(domain)
	}
	return w.is
}

// Names of no domain.
const (
	pipeDomain  = "pipe"
	localDomain = "local"
)

// reserved reports whether a domain is a name of a module's, or of the Router's, own.
func reserved(domain string) bool { return pseudo(domain) || mail.IsHop(domain) || isSpecial(domain) }

// pseudo reports whether a domain is for one module or none: it never goes by the DNS.
func pseudo(domain string) bool {
	n := len(domain) - len(localDomain)
	return strings.EqualFold(domain, pipeDomain) || strings.EqualFold(domain, localDomain) ||
		n > 0 && domain[n-1] == '.' && strings.EqualFold(domain[n:], localDomain) ||
		mail.IsHop(domain) && domain[0] != '['
}
