package smtp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/mail"
)

const maxReply = 400 // bytes of text; RFC 5321 §4.5.3.1.5 allows 512 for the line

// reply is an answer to a command.
func reply(code int, status mail.Status, text string) *gosmtp.SMTPError {
	return &gosmtp.SMTPError{
		Code:         code,
		EnhancedCode: gosmtp.EnhancedCode{int(status[0]), int(status[1]), int(status[2])},
		Message:      oneLine(text, maxReply),
	}
}

// rejected is the answer that says a Rejection. The class of code and status agree
// (RFC 2034 §4).
func rejected(r mail.Result) *gosmtp.SMTPError {
	status := r.Status
	if status[0] != 4 && status[0] != 5 {
		status = mail.Status{5, 0, 0}
		if r.Action == mail.Delayed {
			status = mail.Status{4, 0, 0}
		}
	}
	code := r.Code
	if code/100 != int(status[0]) {
		code = codeOf(status)
	}
	text := r.Text
	if text == "" {
		text = "refused"
	}
	return reply(code, status, text)
}

// codeOf is the reply code that goes with an enhanced status (RFC 5248).
func codeOf(s mail.Status) int {
	if s[0] == 4 {
		switch [2]uint16{s[1], s[2]} {
		case [2]uint16{3, 1}, [2]uint16{2, 2}, [2]uint16{5, 3}:
			return 452
		}
		return 451
	}
	switch [2]uint16{s[1], s[2]} {
	case [2]uint16{3, 4}, [2]uint16{2, 2}, [2]uint16{2, 3}:
		return 552
	case [2]uint16{6, 7}:
		return 553
	}
	switch s[1] {
	case 1, 2, 7:
		return 550
	}
	return 554
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// oneLine makes text fit for a reply, a log and a list: UTF-8, one line without
// control characters, most bytes at most.
func oneLine(text string, most int) string {
	clean := func(r rune) bool { return r != utf8.RuneError && !isControl(r) }
	if len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return !clean(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			r = ' '
		case !clean(r):
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > most {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
