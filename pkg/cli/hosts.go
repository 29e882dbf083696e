package cli

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// whereLines are where the mail of a host queue goes: hosts, connections, encryption.
func (a *app) whereLines(e control.Explanation) string {
	var b strings.Builder
	line := func(text string) { b.WriteString("  " + a.hang(safe(text), 4) + "\n") }
	if e.Way != "" {
		line(wayWords(e))
	}
	b.WriteString(a.hostLines(e))
	for _, note := range e.Notes {
		line(note)
	}
	if c := e.Connections; c != nil {
		text := fmt.Sprintf("connections: %d of %d for this queue", c.Open, c.Limit)
		if c.Idle > 0 {
			text += fmt.Sprintf(" (%d idle)", c.Idle)
		}
		line(text + fmt.Sprintf(", %d of %d in all", c.ModuleOpen, c.ModuleLimit))
	}
	switch e.TLS {
	case "":
	case "none":
		line("encryption: none, cgqd does not use STARTTLS")
	default: // a newer cgqd
		line("encryption: " + e.TLS)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nWhere its mail goes:\n" + b.String()
}

// wayWords is how the hosts of a queue are found.
func wayWords(e control.Explanation) (text string) {
	switch e.Way {
	case "mx":
		text = "to the mail exchangers (MX) of its domain"
		if len(e.Hosts) == 1 && strings.EqualFold(e.Hosts[0].Host, e.Queue) {
			text = "to the domain itself: the DNS names no other mail exchanger (MX)"
		}
	case "relay":
		text = "to the relay that smtp.send.relay names"
	case "address":
		text = "to the network address that the queue is named by"
	case "router":
		text = "to the host and port that the Router table names"
	default: // a newer cgqd
		text = e.Way
	}
	switch {
	case e.NoHosts != "":
		text += ", but: " + e.NoHosts
	case len(e.Hosts) > 1:
		text += ", in this order"
	}
	return text
}

// hostLines are the hosts in the order in which they are tried.
func (a *app) hostLines(e control.Explanation) string {
	names, widest := make([]string, len(e.Hosts)), 0
	for i, h := range e.Hosts {
		if e.Way == "mx" {
			names[i] = fmt.Sprintf("%5d  ", h.Preference)
		}
		names[i] += safe(h.Host)
		widest = max(widest, screen.Width(names[i]))
	}
	const most = 36 // columns: a longer name does not push the addresses of others away
	widest = min(widest, most)
	var b strings.Builder
	for i, h := range e.Hosts {
		text := strings.Join(h.Addresses, ", ")
		if text == strings.Trim(h.Host, "[]") {
			text = ""
		}
		if h.Port != "25" {
			text = strings.TrimPrefix(text+", port "+h.Port, ", ")
		}
		if h.Error != "" {
			text = h.Error
		}
		name := names[i] + strings.Repeat(" ", max(0, widest-screen.Width(names[i])))
		b.WriteString(strings.TrimRight("    "+name+"  "+a.hang(safe(text), widest+6), " ") + "\n")
	}
	return b.String()
}

// tryLines are the last attempts, the newest first; those that came to the same are one.
func (a *app) tryLines(e control.Explanation) string {
	if e.TriesSince.IsZero() { // its module remembers none
		return ""
	}
	since := clock(e.TriesSince, a.now().Location())
	if len(e.Tries) == 0 {
		return "\nLast attempts: cgqd remembers none since " + since + "\n"
	}
	var b strings.Builder
	b.WriteString("\nLast attempts, those that cgqd remembers since " + since + ":\n")
	for i, t := range e.Tries {
		same := func(o control.TryRow) bool {
			return o.Host == t.Host && o.Address == t.Address && o.Step == t.Step && o.Outcome == t.Outcome && o.Reply == t.Reply
		}
		if slices.ContainsFunc(e.Tries[:i], same) {
			continue
		}
		place := t.Host
		if host, _, err := net.SplitHostPort(t.Address); err == nil && host == strings.Trim(t.Host, "[]") {
			place = t.Address
		} else if t.Address != "" {
			place += ", " + t.Address
		}
		b.WriteString("  " + clock(t.Begin, a.now().Location()) + "  " + a.hang(safe(place), 23) + "\n")
		text := tryWords(t)
		n, first := 0, t.Begin
		for _, o := range e.Tries[i:] {
			if same(o) {
				n, first = n+1, o.Begin
			}
		}
		if n > 1 {
			text += fmt.Sprintf(" (%d times so since %s)", n, clock(first, a.now().Location()))
		}
		b.WriteString("      " + a.hang(safe(text), 8) + "\n")
	}
	return b.String()
}

// stepNames are the steps of an attempt, as people write them.
var stepNames = map[string]string{"greeting": "the greeting", "ehlo": "EHLO", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA",
	"text": "the text", "end-of-data": "the end of the text", "rset": "RSET"}

// tryWords is what became of an attempt.
func tryWords(t control.TryRow) string {
	step := stepNames[t.Step]
	if step == "" {
		step = t.Step
	}
	var text string
	switch {
	case t.Outcome == "connected" && t.Open:
		return "the session is open, nothing was transferred yet"
	case t.Outcome == "connected":
		return "the session ended after " + step + ", nothing was transferred"
	case t.Outcome == "sent":
		text = plural(t.Messages, "message") + " sent"
	case t.Outcome == "failed" && t.Step == "dns":
		text = "no address"
	case t.Outcome == "failed" && t.Step == "connect":
		text = "no connection"
	case t.Outcome == "failed":
		text = "broken at " + step
	default:
		text = t.Outcome + " at " + step
	}
	if took := time.Duration(t.Took * float64(time.Second)); took >= time.Second {
		between := " after "
		if t.Outcome == "sent" {
			between = " in "
		}
		text += between + duration(took)
	}
	if t.Outcome != "sent" && t.Messages > 0 {
		text += ", " + plural(t.Messages, "message") + " sent"
	}
	if t.Refusals > 1 {
		text += fmt.Sprintf(", the last of %d refusals", t.Refusals)
	}
	return text + ": " + t.Reply
}
