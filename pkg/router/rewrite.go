package router

import (
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// apply is the address that a record makes of one that fits it. Its error is a
// Rejection: what strangers write is carried where it cannot be.
func (m *match) apply(a mail.Address) (mail.Address, error) {
	to := &m.to
	if to.special != "" {
		if m.account {
			return mail.Address{Local: to.special}, nil
		}
		return mail.Address{Local: a.Local, Domain: to.special}, nil
	}
	next, stars := mail.Address{Local: a.Local}, m.stars
	switch {
	case to.local != nil:
		if to.pipe && !harmless(to.local, stars) {
			return a, m.reject("what a program is given has none but plain characters")
		}
		next.Local, stars = to.local.fill(stars)
	case to.hop: // the next host gets the address as it was
		next.Local += "%" + a.Domain
	}
	next.Domain, _ = to.domain.fill(stars)
	if to.domain.stars() > 0 && !isDomain(next.Domain) {
		return a, m.reject("not a name of a domain")
	}
	return next, nil
}

func (m *match) reject(why string) error {
	return module.Reject(5, 1, 3, "the address cannot be rewritten: "+why)
}

// harmless reports whether what fills the stars of a command line can neither end a
// word of it nor be an option.
func harmless(line pattern, stars []string) bool {
	for i := range line.stars() {
		if strings.ContainsFunc(stars[i], func(c rune) bool { return !plain(c) }) {
			return false
		}
		word := line[i] == "" || strings.HasSuffix(line[i], " ") || strings.HasSuffix(line[i], `"`)
		if word && strings.HasPrefix(stars[i], "-") {
			return false
		}
	}
	return true
}

// plain characters mean nothing to whoever takes a command line apart.
func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-+=", c)
}

// quotedAs is a local part as an address has it: in quotes, if it needs them.
func quotedAs(local string) string { return mail.Address{Local: local}.String() }

func isDomain(s string) bool {
	if mail.IsHop(s) {
		_, ok := mail.ParseHop(s)
		return ok
	}
	_, err := mail.ParseAddress("x@" + s)
	return err == nil
}

// unroute is the address that the local part at a local domain has in it: a%b is a@b,
// and b!a is that, too, if there is no % (chapter: Router). What only quotes hold
// together is never taken apart.
func unroute(a mail.Address) (mail.Address, bool) {
	if i := strings.LastIndexByte(a.Local, '%'); i >= 0 {
		return routed(a, a.Local[:i], a.Local[i+1:])
	}
	if host, rest, ok := strings.Cut(a.Local, "!"); ok {
		return routed(a, rest, host)
	}
	return a, false
}

func routed(a mail.Address, local, domain string) (mail.Address, bool) {
	if local == "" || !isDomain(domain) || quotedAs(a.Local) != a.Local {
		return a, false
	}
	return mail.Address{Local: local, Domain: domain}, true
}

// hasRoute reports whether a local part could be a way to somebody behind the next host.
func hasRoute(local string) bool { return strings.ContainsAny(local, "%!@") }

// A permission is whether everybody may send to an address that leaves this server.
type permission struct {
	granted bool
	asSent  bool // the address was submitted with a route in it
}

// hear takes in what a record says, and returns it in words, or nothing.
func (p *permission) hear(m *match, local func(domain string) bool) string {
	before := p.granted
	switch {
	case m.relay == relayDeny:
		p.granted = false
	case m.relay == relayAll:
		p.granted = true
	case m.relay == relayGrant || m.account && (m.domain[0] == "" || local(m.domain[0])) && m.domain.exact():
		if p.asSent { // else our next host would relay for the world
			return "relaying not granted: the address was submitted with %, ! or @ in its local part"
		}
		p.granted = true
	default:
		return ""
	}
	switch {
	case p.granted && !before:
		return "relaying granted"
	case before && !p.granted:
		return "relaying taken back"
	}
	return ""
}

// special names are the Router's own: an address that is one, or whose domain is, is not
// asked about.
const (
	errorName   = "ERROR"
	blacklisted = "BLACKLISTED"
	spamTrap    = "SPAMTRAP"
)

func isSpecial(name string) bool { return specialName(name) != "" }

// specialName is a special name as the table writes it, or nothing.
func specialName(name string) string {
	for _, s := range [...]string{Null, errorName, blacklisted, spamTrap} {
		if len(s) == len(name) && strings.EqualFold(s, name) {
			return s
		}
	}
	return ""
}

// specialOf is the special name that a whole address, or its domain, is, or nothing.
func specialOf(a mail.Address) string {
	if a.Domain == "" {
		return specialName(a.Local)
	}
	return specialName(a.Domain)
}
