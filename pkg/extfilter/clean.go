package extfilter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"cgq/pkg/mail"
	"cgq/pkg/program"
)

// What filters say is made fit here for a header, a reply and a report. It may be a
// stranger's: filters repeat what they have found in a message.

const maxField = 998 // bytes of a line of a header (RFC 5322 §2.1.1)

// clip is as much of a stranger's line as is repeated.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// leftOut is the note on what is no header field.
func leftOut(s string) string { return fmt.Sprintf("no header field, left out: %q", clip(s)) }

// isControl says whether a rune has no place in a line of text.
func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// refusal is a rejection, for good or for now as its status says.
func refusal(status mail.Status, code int, text string) Answer {
	r := mail.Result{Action: mail.Failed, Status: status, Code: code, Text: program.OneLine(text)}
	if status[0] == 4 {
		r.Action = mail.Delayed
	}
	return Answer{Verdict: Reject, Result: r}
}

// ownStatus is the enhanced status in front of a text, and the text without it, if there is
// one of the same class: what is permanent does not become temporary by its words.
func ownStatus(standard mail.Status, text string) (mail.Status, string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if s, ok := mail.ParseStatus(first); ok && s[0] == standard[0] && strings.TrimSpace(rest) != "" {
		return s, rest
	}
	return standard, text
}

// later is the answer that a message has to wait.
func later(text string) Answer {
	a := refusal(mail.Status{4, 7, 1}, 0, text)
	a.Verdict = Later
	return a
}

// headerFields takes a text of header fields apart. What is no field is left out, and
// noted: a filter that is wrong about one field may be right about the message.
func headerFields(text string) (all, notes []string, err error) {
	var fields []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		if n := len(fields); n > 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			fields[n-1] += "\n" + line
		} else if strings.TrimSpace(line) != "" {
			fields = append(fields, line)
		}
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		if field, ok := headerField(name, value); ok && isField(f) {
			all = append(all, field)
		} else {
			notes = append(notes, leftOut(f))
		}
	}
	if len(fields) == 0 {
		return nil, nil, badAnswer("ADDHEADER without a field")
	}
	return all, notes, nil
}

// headerField is a field with a value, which has its blank in front; false says that it
// cannot be one. Further lines are continued, empty ones and control characters left out,
// bytes that are not UTF-8 replaced.
func headerField(name, value string) (string, bool) {
	if !isField(name + ":") {
		return "", false
	}
	var b strings.Builder
	b.WriteString(name + ":")
	value = strings.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && isControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(value, string(utf8.RuneError)))
	for i, line := range strings.Split(value, "\n") {
		switch line = strings.TrimRight(line, " \t"); {
		case i == 0:
		case line == "":
			continue
		case line[0] != ' ' && line[0] != '\t':
			line = "\n " + line
		default:
			line = "\n" + line
		}
		if len(line) > maxField-len(name) {
			return "", false
		}
		b.WriteString(line)
	}
	return b.String(), true
}

// isField says whether a line is the first of a header field (RFC 5322 §3.6.8).
func isField(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	if !ok || name == "" || len(name) > 100 {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}
