package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"cgq/pkg/mail"
	"cgq/pkg/program"
	"cgq/pkg/settings"
)

// Default is the text of the table of a new server. It is what counts where there is no file.
const Default = `; The Router table: where addresses go. docs/router.md is its manual.
; "cgqd check" says what is wrong here; a running cgqd notices that it is edited;
; "cgq route ann@example.com" shows step by step what becomes of an address.
;
; The first record that an address fits rewrites it; then all are asked again, from the top.
;
;   old.example = new.example             a domain
;   <sales@example.com> = ann@example.com an address
;   <sales> = ann                         one of the main domain
;   <*@old.example> = *@new.example       * is anything, and is carried over
;   Relay: friend.example = friend.example._via
;                                         others may send there through us
;   spam.example = ERROR                  refused; also NULL, BLACKLISTED, SPAMTRAP

<root> = postmaster
<mailer-daemon> = postmaster
`

// Parse compiles the text of a table. Its error is [settings.Problems]: each line that is
// wrong, and what to do about it; then there is no table. The file is for these.
func Parse(file string, text []byte) (*Table, error) {
	var records []record
	var found settings.Problems
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(uncomment(strings.TrimRight(line, "\r\n")))
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" {
			continue
		}
		r, err := parseRecord(line)
		if err != nil {
			found = append(found, settings.Problem{File: file, Line: n, Why: err.Error()})
			continue
		}
		r.line = n
		records = append(records, r)
	}
	if len(found) > 0 {
		return nil, found
	}
	return newTable(records), nil
}

// uncomment is the line up to the first ; outside quotes.
func uncomment(line string) string {
	if i := index(line, ';'); i >= 0 {
		return line[:i]
	}
	return line
}

// index is where c first stands outside quotes, or -1.
func index(s string, c byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == c:
			return i
		}
	}
	return -1
}

// prefixes of a record, in lower case.
var prefixes = map[string]relaying{"relay": relayGrant, "norelay": relayDeny, "relayall": relayAll}

func parseRecord(line string) (r record, err error) {
	if !utf8.ValidString(line) {
		return r, errors.New("not UTF-8: save the file as UTF-8")
	}
	line = strings.ReplaceAll(line, "\t", " ")
	if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
		return r, fmt.Errorf("a control character (%q): take it out", line[i])
	}
	r.text = line
	rest := line
	if line[0] != '<' && line[0] != '[' {
		if word, after, ok := strings.Cut(rest, ":"); ok && !strings.ContainsAny(word, "=\"") {
			if r.relay, ok = prefixes[lower(strings.TrimSpace(word))]; !ok {
				return r, fmt.Errorf("no prefix %q: Relay:, NoRelay: and RelayAll: are all there are", word+":")
			}
			rest = strings.TrimSpace(after)
		}
	}
	var left string
	if strings.HasPrefix(rest, "<") {
		end := index(rest, '>')
		if end < 0 {
			return r, errors.New("no > after the address: write <user@domain> = address")
		}
		r.account = true
		left, rest = rest[1:end], strings.TrimSpace(rest[end+1:])
		if !strings.HasPrefix(rest, "=") {
			return r, errors.New("no = after <…>: write <user@domain> = address")
		}
		rest = rest[1:]
	} else {
		end := index(rest, '=')
		if end < 0 {
			return r, errors.New("no =: write domain = other.domain, or <user@domain> = address")
		}
		left, rest = strings.TrimSpace(rest[:end]), rest[end+1:]
	}
	if err := r.parseLeft(left); err != nil {
		return r, err
	}
	return r, r.parseRight(strings.TrimSpace(rest))
}

func (r *record) parseLeft(left string) (err error) {
	if left == "" {
		return errors.New("nothing left of the =: name a domain, or an address in <>")
	}
	domain := left
	if r.account {
		var at bool
		if r.local, domain, at, err = parseLocal(left, true); err != nil {
			return err
		}
		if !at {
			domain = ""
		} else if domain == "" {
			return fmt.Errorf("%q: no domain after @: leave the @ out to mean the main domain", left)
		}
	} else if index(left, '@') >= 0 {
		return fmt.Errorf("%q: an address stands in <>: write <%s> = …", left, left)
	}
	if isSpecial(domain) || r.account && domain == "" && r.local.exact() && isSpecial(r.local[0]) {
		return fmt.Errorf("%q is a name of the Router's own: it cannot be rewritten", left)
	}
	if domain == "" {
		r.domain = pattern{""}
		return nil
	}
	r.domain, err = parseDomain(domain)
	return err
}

func (r *record) parseRight(right string) (err error) {
	to := &r.to
	if right == "" {
		return errors.New("nothing right of the =: name an address, a domain, NULL, ERROR, BLACKLISTED or SPAMTRAP")
	}
	if to.special = specialName(right); to.special != "" {
		return nil
	}
	if strings.HasPrefix(right, "<") {
		return fmt.Errorf("%q: the address right of the = has no <>: take them away", right)
	}
	domain, at := right, false
	switch {
	case r.account || index(right, '@') >= 0 || right[0] == '"':
		if r.account && index(right, '@') < 0 && mail.IsHop(right) {
			return fmt.Errorf("%q: the address of an account record has a local part: write user@%s", right, right)
		}
		if to.local, domain, at, err = parseLocal(right, false); err != nil {
			return err
		}
		if at && domain == "" {
			return fmt.Errorf("%q: no domain after @: leave the @ out to mean the main domain", right)
		}
		if !at {
			domain = ""
		}
	default:
		to.hop = mail.IsHop(domain)
	}
	to.domain = pattern{""}
	if domain != "" {
		if to.domain, err = parseDomain(domain); err != nil {
			return err
		}
	}
	if to.pipe = to.domain.exact() && to.domain[0] == pipeDomain; to.pipe {
		if err := to.checkLine(); err != nil {
			return err
		}
	}
	left := r.domain.stars()
	wants := to.domain.stars()
	if r.account {
		left += r.local.stars()
	}
	if to.local != nil {
		wants += to.local.stars()
	}
	if wants > left {
		return fmt.Errorf("%d * right of the =, and %d left of it: each one on the right needs one on the left", wants, left)
	}
	return nil
}

// checkLine says what is wrong with the command line of a program. Which program it is, and
// how it is started, is the record's to say, never a stranger's.
func (to *target) checkLine() error {
	if to.local == nil {
		return errors.New("it does not say which program: write <*@domain> = \"program\"@pipe")
	}
	const star = "\x00" // no record has one
	text, _ := to.local.fill(slices.Repeat([]string{star}, to.local.stars()))
	line, err := program.ParseLine(text)
	if err != nil {
		return fmt.Errorf("the program: %s", strings.ReplaceAll(err.Error(), star, "*"))
	}
	if strings.Contains(line.Args[0], star) {
		return errors.New("the name of the program has no *: these are for what is behind it")
	}
	for _, arg := range line.Args[1:] {
		if _, err := program.ParseLine(arg + " x"); err == nil && strings.HasPrefix(arg, "[") {
			return fmt.Errorf("%s stands in front of the program: write \"%s program …\"@pipe", arg, arg)
		}
	}
	return nil
}

// parseLocal reads the local part of an address with stars, and the domain behind it as
// it stands. In quotes \* is a star that stands for itself.
func parseLocal(s string, fold bool) (p pattern, domain string, at bool, err error) {
	rest := ""
	if strings.HasPrefix(s, `"`) {
		if p, rest, err = cutQuoted(s); err != nil {
			return nil, "", false, err
		}
		if rest != "" && rest[0] != '@' {
			return nil, "", false, fmt.Errorf("%q: no @ after the quotes: write \"…\"@domain", s)
		}
		domain, at = strings.CutPrefix(rest, "@")
	} else {
		local := s
		if i := strings.LastIndexByte(s, '@'); i >= 0 {
			local, domain, at = s[:i], s[i+1:], true
		}
		if local == "" || quotedAs(local) != local {
			return nil, "", false, fmt.Errorf("%q: this local part stands in quotes: write %s", s, quotedAs(local))
		}
		p = strings.Split(local, "*")
	}
	size := 0
	for i := range p {
		size += len(p[i])
		if fold {
			p[i] = lower(p[i])
		}
	}
	if size > mail.MaxLocal {
		return nil, "", false, fmt.Errorf("a local part of %d bytes: there are %d at most", size, mail.MaxLocal)
	}
	return p, strings.TrimSpace(domain), at, nil
}

// cutQuoted takes a quoted string off the front of s: its pieces between stars.
func cutQuoted(s string) (p pattern, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return append(p, b.String()), s[i+1:], nil
		case '*':
			p = append(p, b.String())
			b.Reset()
			continue
		case '\\':
			if i++; i == len(s) {
				return nil, "", fmt.Errorf("%q: a \\ at the end: take it away", s)
			}
		}
		b.WriteByte(s[i])
	}
	return nil, "", fmt.Errorf("%q: no closing quote: write \"…\"", s)
}

// parseDomain reads a domain with stars.
func parseDomain(s string) (pattern, error) {
	p := pattern(strings.Split(lower(s), "*"))
	plain := strings.Join(p, "x")
	switch {
	case mail.IsHop(plain):
		if _, ok := mail.ParseHop(plain); !ok || !(mail.Address{Domain: s}).ASCII() {
			return nil, fmt.Errorf("%q names no host: write, in ASCII, host._via, host.25._via, host:25, [192.0.2.1] or "+
				"[IPv6:2001:db8::1]", s)
		}
		return p, nil
	case !isDomain(plain):
		return nil, fmt.Errorf("%q is not a name of a domain: letters, digits, - and . , as in example.com", s)
	case (mail.Address{Domain: s}).ASCII():
		return p, nil
	case !p.exact():
		return nil, fmt.Errorf("%q: with * write the domain in its xn-- form", s)
	}
	d, err := idna.Lookup.ToASCII(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a name of a domain: write its xn-- form", s)
	}
	return pattern{d}, nil
}
