package dsn

import (
	"mime/quotedprintable"
	"strings"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/mail"
)

// A verb is how something that can be reported is said.
type verb struct {
	rank    int                 // the worst gives the report its Subject
	class   uint16              // of a status (RFC 3463 §2)
	line    func(*Words) string // what became of a recipient
	subject func(*Words) string
}

// verbs are all of them. The English words for failures and delays are the product's;
// programs in the field look for them.
var verbs = map[mail.Action]verb{
	mail.Relayed:   {0, 2, func(w *Words) string { return w.Relayed }, success},
	mail.Delivered: {1, 2, func(w *Words) string { return w.Delivered }, success},
	mail.Expanded:  {1, 2, func(w *Words) string { return w.Expanded }, success},
	mail.Delayed:   {2, 4, func(w *Words) string { return w.Delayed }, func(w *Words) string { return w.SubjectDelayed }},
	mail.Failed:    {3, 5, func(w *Words) string { return w.Failed }, func(w *Words) string { return w.SubjectFailed }},
}

func success(w *Words) string { return w.SubjectSuccess }

// note says what comes next.
func (w *Words) note(r *Recipient) string {
	switch {
	case r.Result.Action == mail.Failed:
		return w.Advice[r.Class]
	case r.Result.Action == mail.Delayed && !r.Until.IsZero():
		return put(w.NoteUntil, "{until}", date(r.Until))
	case r.Result.Action == mail.Delayed:
		return w.NoteDelayed
	case r.Result.Action == mail.Expanded:
		return w.NoteExpanded
	case r.Result.Action == mail.Relayed:
		return w.NoteRelayed
	}
	return ""
}

// put puts values into a text in the place of their names. A value is not looked at again.
func put(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// text is the part for people: a block a recipient. Whatever somebody else has said
// is indented, so that it cannot pass for words of ours.
func (r *Report) text() string {
	var b strings.Builder
	w := r.words()
	if plain(&b, put(w.Intro, "{server}", clean(r.ReportingMTA))); b.Len() > 0 {
		b.WriteByte('\n')
	}
	for i := range r.Recipients {
		if i > 0 {
			b.WriteByte('\n')
		}
		w.recipient(&b, &r.Recipients[i])
	}
	if w.Outro != "" {
		b.WriteByte('\n')
		plain(&b, put(w.Outro, "{server}", clean(r.ReportingMTA)))
	}
	return b.String()
}

func (w *Words) recipient(b *strings.Builder, rcpt *Recipient) {
	b.WriteString(put(verbs[rcpt.Result.Action].line(w), "{address}", clean(rcpt.To.Path())) + "\n")
	if rcpt.Module != "" {
		what := w.Queues[rcpt.Module]
		if what == "" {
			what = w.Queues[otherQueue]
		}
		b.WriteString(put(w.ByModule, "{module}", clean(rcpt.Module), "{what}", what, "{queue}", clean(rcpt.Queue)) + "\n")
	}
	said := rcpt.Result.Text
	if rcpt.Result.Code != 0 {
		said = rcpt.Result.String()
		if rcpt.Result.MTA != "" {
			said = put(w.ByHost, "{host}", clean(rcpt.Result.MTA), "{reply}", said)
		}
	}
	indent(b, said)
	plain(b, w.note(rcpt))
}

// plain writes words of ours, wrapped.
func plain(b *strings.Builder, text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimSpace(line)
		for first := true; first || line != ""; first = false {
			var part string
			part, line = wrap(line, width)
			b.WriteString(part + "\n")
		}
	}
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
