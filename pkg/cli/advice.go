package cli

import (
	"fmt"
	"regexp"
	"strings"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// advice is what an administrator makes of a class of errors. Those of which there is
// nothing to say are not in it.
var advice = map[string]string{
	"unknown-address": "no attempt will help; reject tells the senders",
	"disabled":        "no attempt will help until its owner has the account back; reject tells the senders",
	"full":            "only its owner can make room in a mailbox: wait, or reject, which tells the senders",
	"size":            "the host takes no message so large; reject tells the senders",
	"content":         "look at what is sent: cgq message content ID",
	"policy":          "the host does not want it, and says no more; its postmaster knows why",
	"authentication":  "look at SPF, DKIM and DMARC of the sender's domain, and at this server's name in the reverse DNS",
	"reputation":      "look this server's address up in the list that the host names; a hold keeps the mail meanwhile",
	"greylisted":      "the host takes it at one of the next attempts; nothing is to be done",
	"rate":            "too much at once for the host: wait; releasing it again and again makes that worse",
	"routing":         "the host is not responsible: look at the MX of the domain, and at cgq route ADDRESS",
	"dns":             "look the domain up (dig MX); cgq settings get server.resolver says who is asked",
	"connection":      "see from this machine whether anything answers there: a firewall, a host that is down or full",
	"timeout":         "the host is overloaded, or a firewall drops what is sent to it",
	"tls":             "see what the host offers: openssl s_client -starttls smtp -connect HOST:25",
	"protocol":        "see what the hosts say to each other: cgq log level SMTP 5 --for 10m, then cgq log tail -f",
	"system":          "the host has trouble of its own: wait; whether it is this one cgq check says",
}

// advise is what the classes of errors mean to an administrator, a line each.
func advise(rows []control.ErrorRow) (lines []string) {
	told := map[string]bool{}
	for _, r := range rows {
		if text := advice[r.Class]; text != "" && !told[r.Class] {
			told[r.Class] = true
			lines = append(lines, r.Class+": "+text)
		}
	}
	return lines
}

// A hint is a command that a person may want next, and what it is for.
type hint struct{ command, purpose string }

// hint says on a terminal what can be typed next. It is no data.
func (a *app) hint(all ...hint) {
	if !a.bars || !a.human() || len(all) == 0 {
		return
	}
	widest, room := 0, 0
	for _, h := range all {
		widest, room = max(widest, screen.Width(h.command)), max(room, screen.Width(h.purpose))
	}
	fmt.Fprintln(a.errOut, "\nNext:")
	for _, h := range all {
		if a.width > 0 && len("    ")+widest+room > a.width { // there is no room beside it
			fmt.Fprintf(a.errOut, "  %s\n      %s\n", h.command, h.purpose)
			continue
		}
		fmt.Fprintf(a.errOut, "  %s  %s\n", screen.Fit(h.command, widest), h.purpose)
	}
}

// plainWord is what a shell leaves as it is.
var plainWord = regexp.MustCompile(`^[\pL\pN@%+=:,./_-]+$`)

// word is a text as a shell wants it, for a command that a person may copy.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(safe(s), "'", `'\''`) + "'"
}

// messageHints are what can be done about a message.
func messageHints(m control.Message) (all []hint) {
	id := m.ID.String()
	all = append(all, hint{"cgq message trace " + id, "its life, from the logs"}, hint{"cgq message content " + id, "its text"})
	for _, r := range m.Recipients {
		if r.Status == control.Delayed || r.Status == control.Suspended {
			return append(all, hint{"cgq queue explain " + word(r.Module) + " " + word(r.Queue), "why it waits"},
				hint{"cgq message release " + id, "try it now"})
		}
	}
	return all
}

// queueHints are what can be done about a host queue that waits.
func queueHints(e control.Explanation) (all []hint) {
	name := word(e.Module) + " " + word(e.Queue)
	if e.Held > 0 || e.State == control.Held {
		all = append(all, hint{"cgq hold list", "who holds it; cgq hold remove ends a hold"})
	}
	if e.State == control.Delayed || e.Suspended > 0 {
		all = append(all, hint{"cgq queue release " + name + " --wait", "try it now"})
	}
	if e.Module != "" && e.State != control.Active {
		all = append(all, hint{"cgq queue show " + name, "its messages"},
			hint{"cgq queue reject " + name + " --text WHY", "give up, tell the senders"})
	}
	return all
}
