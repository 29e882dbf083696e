package dsn

import (
	"fmt"
	"mime/quotedprintable"
	"strings"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/mail"
)

// verbs are the words for what can be reported: the subject of a report in which it
// is the worst, and the line above what a module says. The words for failures and
// delays are the product's; programs in the field look for them.
var verbs = map[mail.Action]struct {
	rank    int
	class   uint16 // of a status (RFC 3463 §2)
	subject string
	line    string
	note    string // for people, below
}{
	mail.Relayed:   {0, 2, "Delivery report: ", "Relayed to", "The next host does not promise further reports."},
	mail.Delivered: {1, 2, "Delivery report: ", "Delivered to", ""},
	mail.Expanded: {1, 2, "Delivery report: ", "Delivered and sent on to the members of",
		"They are not named here, and the sender hears nothing of what becomes of their copies."},
	mail.Delayed: {2, 4, "WARNING. Mail Delayed: ", "Not yet delivered to",
		"The message stays in the queue and is tried again."},
	mail.Failed: {3, 5, "Undeliverable mail: ", "Failed to deliver to", ""},
}

// queueNouns say what the queues of a module stand for.
var queueNouns = map[string]string{"SMTP": "domain", "LOCAL": "account", "LIST": "list", "PIPE": "program"}

// text is the part for people: a block a recipient. Whatever somebody else has said
// is indented, so that it cannot pass for a block of ours.
func (r *Report) text() string {
	var b strings.Builder
	for i, rcpt := range r.Recipients {
		if i > 0 {
			b.WriteByte('\n')
		}
		v := verbs[rcpt.Result.Action]
		fmt.Fprintf(&b, "%s '%s'\n", v.line, clean(rcpt.To.Path()))
		if rcpt.Module != "" {
			noun := queueNouns[rcpt.Module]
			if noun == "" {
				noun = "queue"
			}
			fmt.Fprintf(&b, "%s module(%s %s) reports:\n", clean(rcpt.Module), noun, clean(rcpt.Queue))
		}
		said := rcpt.Result.Text
		if rcpt.Result.Code != 0 {
			said = rcpt.Result.String()
			if rcpt.Result.MTA != "" {
				said = "host " + clean(rcpt.Result.MTA) + " says: " + said
			}
		}
		indent(&b, said)
		indent(&b, v.note)
	}
	return b.String()
}

// Bounds of what is repeated of one text, so that it cannot fill a report.
const (
	maxSaid  = 4096 // bytes
	maxLines = 100
	width    = 76 // characters
)

// indent writes a text line by line, wrapped, a space in front of each.
func indent(b *strings.Builder, text string) {
	text, lines := bound(text, maxSaid), 0
	for line := range strings.Lines(strings.TrimSpace(text)) {
		for line = strings.TrimSpace(clean(line)); line != "" && lines < maxLines; lines++ {
			var first string
			first, line = wrap(line, width)
			b.WriteString(" " + first + "\n")
		}
	}
}

// wrap cuts a line after n characters at most, at a space if there is one.
func wrap(line string, n int) (first, rest string) {
	at, count, space := len(line), 0, -1
	for i, c := range line {
		if c == ' ' {
			space = i
		}
		if count++; count > n {
			at = i
			break
		}
	}
	if at < len(line) && space > 0 {
		at = space
	}
	return strings.TrimRight(line[:at], " "), strings.TrimLeft(line[at:], " ")
}

// bound cuts a text that is longer than n bytes, and shows that.
func bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return cut(s, n) + "..."
}

// cut returns the first n bytes of a longer text, or some less: whole characters.
func cut(s string, n int) string {
	for i := range utf8.UTFMax {
		if utf8.RuneStart(s[n-i]) {
			return s[:n-i]
		}
	}
	return s[:n] // not UTF-8
}

// clean makes one line of valid UTF-8 of a text: control characters, and those that
// turn the direction of what follows, become spaces.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// squeeze makes one space of many.
func squeeze(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// encode chooses the encoding of a text with LF line ends: it goes as it is if every
// line is short and ASCII, so that simple programs can read it.
func encode(text string) (encoding, encoded string) {
	plain := true
	for line := range strings.Lines(text) {
		plain = plain && len(line) <= 512
	}
	for i := range len(text) {
		plain = plain && text[i] < utf8.RuneSelf
	}
	if plain {
		return "7bit", text
	}
	var b strings.Builder
	qp := quotedprintable.NewWriter(&b)
	_, _ = qp.Write([]byte(text)) // a Builder does not fail
	_ = qp.Close()
	return "quoted-printable", b.String()
}
