// Package bounce says in a word why a transfer failed or waits: the address is unknown,
// the mailbox is full, a blocklist has us, and so on. It tells that from the reply code,
// the enhanced status code and the text of a [mail.Result], by rules that stand in a data
// file: classes.toml is built in, and an administrator's own rules come before it.
//
// Servers say the same in a thousand ways, and use codes as they like, so a class is a
// good guess for counts and logs. Nothing may be decided by it: whether a recipient is
// tried again is what the code says, not the class.
package bounce

import (
	"strconv"
	"strings"

	"cgq/pkg/mail"
)

// A Class is why a transfer failed or waits, one word that scripts can use. The empty
// Class is that of what did not fail.
type Class string

// The classes.
const (
	UnknownAddress Class = "unknown-address" // there is no such mailbox, or the address cannot be
	Disabled       Class = "disabled"        // the account is there and takes no mail: inactive, suspended, moved
	Full           Class = "full"            // the mailbox is full
	Size           Class = "size"            // the message is too large for the host or the mailbox
	Content        Class = "content"         // what is in the message: spam, a virus, an attachment, its form
	Policy         Class = "policy"          // a rule of the other side, or of ours, that says no more than that
	Authentication Class = "authentication"  // who sends is not proved: SPF, DKIM, DMARC, reverse DNS, a login
	Reputation     Class = "reputation"      // our address or domain has a bad name: blocklists
	Greylisted     Class = "greylisted"      // come back in a few minutes, as everybody must at first
	Rate           Class = "rate"            // too much in too short a time
	Routing        Class = "routing"         // the host is not responsible (relaying denied), or mail goes in a loop
	DNS            Class = "dns"             // a name does not resolve, or its domain takes no mail
	Connection     Class = "connection"      // no connection, a broken one, or one that is refused at once
	Timeout        Class = "timeout"         // the other side does not answer
	TLS            Class = "tls"             // no encryption, or a certificate that is not believed
	Protocol       Class = "protocol"        // a command or an extension is not understood
	System         Class = "system"          // trouble of the other host, or of this one: disk, database, maintenance
	Expired        Class = "expired"         // it was tried until its time was over
	Other          Class = "other"           // none of these
)

// Classes are all classes, in the order of the documentation.
func Classes() []Class {
	return []Class{UnknownAddress, Disabled, Full, Size, Content, Policy, Authentication, Reputation, Greylisted, Rate,
		Routing, DNS, Connection, Timeout, TLS, Protocol, System, Expired, Other}
}

// Rules tell classes. They do not change, and are safe for concurrent use.
type Rules struct {
	rules   []rule
	phrases phrases
}

// Class returns the class of a result, [Other] if no rule fits; the empty one of a result
// that is neither failed nor delayed, or says nothing at all. Of the text the first 2 KiB
// are looked at.
func (rs *Rules) Class(r mail.Result) Class {
	if r.Action != mail.Failed && r.Action != mail.Delayed || r.Code == 0 && r.Status == (mail.Status{}) && r.Text == "" {
		return ""
	}
	var buf [maxReply + 2]byte
	text, inside := fold(buf[:0], r.Text)
	status := r.Status
	if status[1] == 0 && status[2] == 0 && inside != (mail.Status{}) {
		status = inside
	}
	var said marks
	rs.phrases.find(text, &said)
	for i := range rs.rules {
		if rs.rules[i].holds(r.Code, status, text, said.has(i)) {
			return rs.rules[i].class
		}
	}
	return Other
}

// ClassOf is Class for what [mail.Result.String] wrote of something failed or delayed.
func (rs *Rules) ClassOf(s string) Class {
	r := mail.Result{Action: mail.Delayed, Text: s}
	if word, rest, _ := strings.Cut(s, " "); len(word) == 3 {
		if code, err := strconv.ParseUint(word, 10, 16); err == nil && code >= 200 && code < 600 {
			r.Code, r.Text = int(code), rest
			word, rest, _ = strings.Cut(rest, " ")
			if status, ok := mail.ParseStatus(word); ok {
				r.Status, r.Text = status, rest
			}
		}
	}
	return rs.Class(r)
}

// Before returns rules of which those of rs come before those of others.
func (rs *Rules) Before(others *Rules) *Rules {
	if len(rs.rules) == 0 {
		return others
	}
	return newRules(append(append([]rule(nil), rs.rules...), others.rules...))
}

func newRules(all []rule) *Rules {
	rs := &Rules{rules: all, phrases: newPhrases()}
	for i, r := range all {
		for _, p := range r.text {
			rs.phrases.add(p, i)
		}
	}
	return rs
}
