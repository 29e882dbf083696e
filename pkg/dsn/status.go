package dsn

import (
	"fmt"
	"strings"

	"cgq/pkg/mail"
)

// status is the part for programs (RFC 3464 §2.1). It is ASCII.
func (r *Report) status() string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" {
			b.WriteString(field(name, value))
		}
	}
	add("Reporting-MTA", "dns; "+domain(r.ReportingMTA))
	add("Original-Envelope-Id", xtext(bound(r.EnvelopeID, maxENVID)))
	if !r.Submitted.IsZero() {
		add("Arrival-Date", date(r.Submitted))
	}
	for _, rcpt := range r.Recipients {
		b.WriteByte('\n')
		rcpt.status(add)
	}
	return b.String()
}

func (r *Recipient) status(add func(name, value string)) {
	if kind, address, ok := strings.Cut(r.Original, ";"); ok && kind != "" && len(kind) < 64 {
		add("Original-Recipient", ascii(kind)+"; "+ascii(bound(address, maxORCPT)))
	}
	add("Final-Recipient", typed(r.To))
	add("Action", r.Result.Action.String())
	status := r.Result.Status
	if status == (mail.Status{}) { // the field must be there (RFC 3464 §2.3.4)
		status[0] = verbs[r.Result.Action].class
	}
	if r.Result.Action == mail.Delayed { // whatever the peer has said, it is not for good
		status[0] = verbs[mail.Delayed].class
	}
	add("Status", status.String())
	if r.Result.Code != 0 {
		if r.Result.MTA != "" {
			add("Remote-MTA", "dns; "+domain(r.Result.MTA))
		}
		add("Diagnostic-Code", "smtp; "+ascii(squeeze(bound(r.Result.String(), maxDiagnostic))))
	}
	if !r.Last.IsZero() {
		add("Last-Attempt-Date", date(r.Last))
	}
	if r.Result.Action == mail.Delayed && !r.Until.IsZero() {
		add("Will-Retry-Until", date(r.Until))
	}
}

// typed is an address with its type. In a part of ASCII an internationalized one
// stands as utf-8-addr-xtext (RFC 6533 §3).
func typed(a mail.Address) string {
	s := bound(a.String(), 2*(mail.MaxLocal+1)+mail.MaxDomain+1) // every byte of the local part quoted
	if a.ASCII() {
		return "rfc822; " + ascii(s)
	}
	return "utf-8; " + ascii(strings.NewReplacer(`\`, `\x{5C}`, "+", `\x{2B}`, "=", `\x{3D}`, " ", `\x{20}`).Replace(s))
}

// ascii makes one line of ASCII of a text; other characters stand as \x{HEX}, the
// form of RFC 6533 §3.
func ascii(s string) string {
	var b strings.Builder
	for _, c := range clean(s) {
		if c < 0x80 {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, c)
		}
	}
	return b.String()
}

// xtext leaves what is printable as it is, as RFC 3461 §4.4 has it of a decoded
// ENVID, and encodes the rest (§4), which should not be there.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// domain makes a host name fit to stand in a field as one word.
func domain(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(` ()<>@,;"\`, c) {
			return '_'
		}
		return c
	}, bound(ascii(s), mail.MaxDomain))
}

// Bounds of what others have said, in bytes.
const (
	maxDiagnostic = 1024
	maxENVID      = 100 // RFC 3461 §4.4
	maxORCPT      = 500 // RFC 3461 §4.2
)

// Lines of a header are 78 characters, and at the very most 998 (RFC 5322 §2.1.1).
const (
	foldAt  = 76
	breakAt = 900
)

// field is a field with its line end, folded at spaces. A value is one line; a word
// that is too long for any line is broken.
func field(name, value string) string {
	var b strings.Builder
	b.WriteString(name + ":")
	column := len(name) + 1
	for i, word := range strings.Split(strings.TrimSpace(clean(value)), " ") {
		for first := true; first || word != ""; first = false {
			part := word
			if len(part) > breakAt {
				part = cut(part, breakAt)
			}
			word = word[len(part):]
			if part != "" && (i > 0 && column+1+len(part) > foldAt || !first) {
				b.WriteByte('\n')
				column = 0
			}
			b.WriteString(" " + part)
			column += 1 + len(part)
		}
	}
	b.WriteByte('\n')
	return b.String()
}
