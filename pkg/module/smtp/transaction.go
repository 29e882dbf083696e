package smtp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/serverlog"
)

// A verdict is what the other side said to one transaction.
type verdict struct {
	mail  answer
	rcpts []answer // as far as they were asked
	data  answer
	final answer // to the text; code 0: none
	lost  error  // no answer to the text came: nobody knows whether it was taken
	bytes int64  // of text that were sent
}

// accepted is how many recipients were accepted.
func (v *verdict) accepted() (n int) {
	for _, a := range v.rcpts {
		if a.class() == 2 {
			n++
		}
	}
	return n
}

// errText is an error of our own text, not of the connection.
type errText struct{ error }

// errStopped says that the context ended before the final dot.
var errStopped = errors.New("stopped before the final dot")

// transact sends t to recipients, by their index. An error says that the final dot
// was not sent, and that the link is of no more use.
func (l *link) transact(t *module.Transfer, recipients []int, x *text) (v verdict, err error) {
	ends := l.compose(t, recipients, x)
	answers, err := l.envelope(ends)
	if err != nil {
		return v, err
	}
	v.mail = answers[0]
	v.rcpts = answers[1:min(len(answers), 1+len(recipients))]
	if len(answers) == len(ends) {
		v.data = answers[len(answers)-1]
	}
	l.reset = true
	switch {
	case v.data.code == 354 && (v.mail.class() != 2 || v.accepted() == 0):
		// RFC 2920 §3.1: asked for a text that nobody is to get, we send an empty one.
		if err := l.write([]byte(".\r\n"), l.settings.DataTimeout.D()); err != nil {
			return v, err
		}
		_, err = l.read(l.settings.FinalTimeout.D(), false)
	case v.data.code == 354:
		err = l.sendText(x, &v)
	case v.data.class() == 2:
		err = fmt.Errorf("%w: %d to DATA", errReply, v.data.code)
	}
	return v, err
}

// compose writes the commands of a transaction into out, and returns where each of
// MAIL, RCPT and DATA ends.
func (l *link) compose(t *module.Transfer, recipients []int, x *text) []int {
	ends := make([]int, 0, len(recipients)+2)
	b := l.out[:0]
	if l.reset {
		b = append(b, "RSET\r\n"...)
	}
	b = l.appendMail(b, t, recipients, x)
	ends = append(ends, len(b))
	for _, i := range recipients {
		b = l.appendRcpt(b, &t.Recipients[i])
		ends = append(ends, len(b))
	}
	l.out = append(b, "DATA\r\n"...)
	return append(ends, len(l.out))
}

func (l *link) appendMail(b []byte, t *module.Transfer, recipients []int, x *text) []byte {
	env := t.Envelope
	b = append(b, "MAIL FROM:"...)
	b = append(b, l.wireForm(env.ReturnPath).Path()...)
	if l.ext.size { // RFC 1870 §6: an estimate, with a CR for each line
		b = strconv.AppendInt(append(b, " SIZE="...), t.Size+t.Size/32, 10)
	}
	// RFC 6152 §3 wants a conversion or a bounce for a host without 8BITMIME. We send
	// what there is, as nearly all do: nobody is served by either.
	if l.ext.eightBit && (env.Body == mail.Body8BitMIME || x.eightBit) {
		b = append(b, " BODY=8BITMIME"...)
	}
	if l.ext.utf8 && needsUTF8(t, recipients) {
		b = append(b, " SMTPUTF8"...)
	}
	if l.ext.dsn {
		if env.Return != 0 {
			b = append(append(b, " RET="...), env.Return.String()...)
		}
		if env.EnvelopeID != "" {
			b = appendXtext(append(b, " ENVID="...), env.EnvelopeID)
		}
	}
	return append(b, "\r\n"...)
}

func (l *link) appendRcpt(b []byte, r *module.Recipient) []byte {
	b = append(b, "RCPT TO:"...)
	b = append(b, l.wireForm(r.To).Path()...)
	if l.ext.dsn {
		if r.Notify != 0 {
			b = append(append(b, " NOTIFY="...), r.Notify.String()...)
		}
		if kind, address, ok := strings.Cut(r.Original, ";"); ok {
			b = append(append(append(b, " ORCPT="...), kind...), ';')
			if strings.EqualFold(kind, "utf-8") {
				b = appendUTF8Xtext(b, address)
			} else {
				b = appendXtext(b, address)
			}
		}
	}
	return append(b, "\r\n"...)
}

// wireForm is the address for this server: without SMTPUTF8 the domain is ASCII.
func (l *link) wireForm(a mail.Address) mail.Address {
	if !l.ext.utf8 && !a.ASCII() {
		if d, err := asciiDomain(a.Domain); err == nil {
			a.Domain = d
		}
	}
	return a
}

// needsUTF8 reports whether the transaction needs SMTPUTF8 (RFC 6531 §3.1).
func needsUTF8(t *module.Transfer, recipients []int) bool {
	if t.Envelope.SMTPUTF8 || !t.Envelope.ReturnPath.ASCII() {
		return true
	}
	for _, i := range recipients {
		if !t.Recipients[i].To.ASCII() {
			return true
		}
	}
	return false
}

// appendXtext encodes s as xtext (RFC 3461 §4).
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c >= '!' && c <= '~' && c != '+' && c != '=' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "+%02X", c)
		}
	}
	return b
}

// appendUTF8Xtext encodes s as utf-8-addr-xtext, which goes without SMTPUTF8, too
// (RFC 6533 §3).
func appendUTF8Xtext(b []byte, s string) []byte {
	for _, r := range s {
		if r >= '!' && r <= '~' && r != '+' && r != '=' && r != '\\' {
			b = append(b, byte(r))
		} else {
			b = fmt.Appendf(b, `\x{%02X}`, r)
		}
	}
	return b
}

// envelope sends the commands in out and returns the answers, as many as there are:
// in one go where the other side offers PIPELINING, else one by one and no further
// than there is a point.
func (l *link) envelope(ends []int) ([]answer, error) {
	s := l.settings
	l.traceOut()
	if l.ext.pipelining {
		if err := l.write(l.out, s.CommandTimeout.D()); err != nil {
			return nil, l.last(err)
		}
	}
	from := 0
	if l.reset {
		from, l.step = len("RSET\r\n"), module.StepRSET
		if err := l.ask(0, from); err != nil {
			return nil, err
		}
		l.reset = false
	}
	answers := make([]answer, 0, len(ends))
	accepted := 0
	for i, end := range ends {
		if !l.ext.pipelining && (i > 0 && answers[0].class() != 2 || i == len(ends)-1 && accepted == 0) {
			break
		}
		l.step = stepOf(i, len(ends))
		a, err := l.say(from, end)
		if err != nil {
			return nil, err
		}
		if a.class() == 3 && i < len(ends)-1 {
			return nil, fmt.Errorf("%w: %d to a command", errReply, a.code)
		}
		if i > 0 && a.class() == 2 {
			accepted++
		}
		answers = append(answers, a)
		from = end
	}
	return answers, nil
}

// stepOf is the command with this number of those of a transaction.
func stepOf(i, commands int) module.Step {
	switch i {
	case 0:
		return module.StepMAIL
	case commands - 1:
		return module.StepDATA
	}
	return module.StepRCPT
}

// say sends out[from:end], unless it went out with the others, and reads its answer.
func (l *link) say(from, end int) (answer, error) {
	if !l.ext.pipelining {
		if err := l.write(l.out[from:end], l.settings.CommandTimeout.D()); err != nil {
			return answer{}, l.last(err)
		}
	}
	return l.read(l.settings.CommandTimeout.D(), false)
}

// ask is say for a command that must succeed.
func (l *link) ask(from, end int) error {
	a, err := l.say(from, end)
	if err == nil && a.class() != 2 {
		err = fmt.Errorf("%w: %s to RSET", errReply, a)
	}
	return err
}

// last is the error of a write, or better, the 421 that the other side has left for
// us before it closed the connection.
func (l *link) last(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if _, said := l.read(l.settings.CommandTimeout.D(), true); said != nil {
		var closing *errClosing
		if errors.As(said, &closing) {
			return said
		}
	}
	return err
}

func (l *link) traceOut() {
	if l.log.Enabled(context.Background(), serverlog.Low) {
		for line := range strings.Lines(string(l.out)) {
			l.trace(strings.TrimRight(line, "\r\n"))
		}
	}
}

// sendText sends the text and reads the answer to it.
func (l *link) sendText(x *text, v *verdict) error {
	x.rewind()
	l.step = module.StepText
	for {
		if x.err != nil {
			return errText{x.err}
		}
		if x.whole {
			break
		}
		if err := l.write(x.piece(), l.settings.DataTimeout.D()); err != nil {
			return err
		}
		v.bytes += int64(len(x.piece()))
		x.next()
	}
	if !l.commit() {
		return errStopped
	}
	defer l.settled()
	l.step = module.StepEnd
	v.bytes += int64(len(x.piece()))
	v.lost = l.write(x.piece(), l.settings.DataTimeout.D())
	if v.lost != nil {
		return nil
	}
	var closing *errClosing
	v.final, v.lost = l.read(l.settings.FinalTimeout.D(), true)
	switch {
	case errors.As(v.lost, &closing): // an answer, and the connection is closed
		v.lost = nil
	case v.lost == nil && v.final.class() == 3:
		v.lost = fmt.Errorf("%w: %s to the text", errReply, v.final)
	case v.lost == nil:
		l.done++
		l.reset = false
	}
	return nil
}
