package spool

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/mail"
)

// The envelope lines: a letter, a space, the fact. S, A, P and R have the product's
// shapes, so that its helpers work unchanged: they look at the first letter, at the
// text inside the last <…>, at […] on the S line, and at the blank line. T, E and N
// are ours. Unknown letters are passed over; the order is free, but for N, whose
// number counts the R lines from 0.
//
//	S <account> SMTP [192.0.2.1]                         source, and who submitted
//	A example.com                                        Domain it came in through
//	T 2026-11-23T22:15:01.123Z                           time of submission
//	E ENVID=… RET=HDRS BODY=8BITMIME SMTPUTF8            RFC 3461, 6152, 6531; xtext
//	  SUBMISSION=…                                       the file that it was taken from
//	P I dd-mm-yyyy hh:mm:ss 0000 ____ ____ <return path>
//	R W dd-mm-yyyy hh:mm:ss 0000 ____ _FY_ <recipient>
//	N 0 NOTIFY=SUCCESS,FAILURE ORCPT=…                   RFC 3461; xtext
const (
	timeFormat  = "2006-01-02T15:04:05.000Z"
	stampFormat = "02-01-2006 15:04:05"
)

func appendEnvelope(b []byte, e *mail.Envelope) []byte {
	b = append(b, "S "...)
	if e.Auth != "" {
		b = append(appendXtext(append(b, '<'), e.Auth), "> "...)
	}
	peer := "0.0.0.0"
	if e.Peer.IsValid() {
		peer = e.Peer.String()
	}
	b = append(b, e.Source.String()+" ["+peer+"]\n"...)
	if e.Domain != "" {
		b = append(appendXtext(append(b, "A "...), e.Domain), '\n')
	}
	at := e.Submitted.UTC()
	b = append(at.AppendFormat(append(b, "T "...), timeFormat), '\n')
	b = appendParameters(b, e)
	b = append(at.AppendFormat(append(b, "P I "...), stampFormat), " 0000 ____ ____ "+e.ReturnPath.Path()+"\n"...)
	for _, r := range e.Recipients {
		b = append(at.AppendFormat(append(b, "R W "...), stampFormat), " 0000 ____ "+flags(e, r)+" "+r.Address.Path()+"\n"...)
	}
	for i, r := range e.Recipients {
		if r.Notify == 0 && r.Original == "" {
			continue
		}
		b = strconv.AppendInt(append(b, "N "...), int64(i), 10)
		if r.Notify != 0 {
			b = append(b, " NOTIFY="+r.Notify.String()...)
		}
		if r.Original != "" {
			b = appendXtext(append(b, " ORCPT="...), r.Original)
		}
		b = append(b, '\n')
	}
	return append(b, '\n')
}

func appendParameters(b []byte, e *mail.Envelope) []byte {
	start := len(b)
	b = append(b, 'E')
	if e.EnvelopeID != "" {
		b = appendXtext(append(b, " ENVID="...), e.EnvelopeID)
	}
	if e.Return != 0 {
		b = append(b, " RET="+e.Return.String()...)
	}
	if e.Body != 0 {
		b = append(b, " BODY="+e.Body.String()...)
	}
	if e.SMTPUTF8 {
		b = append(b, " SMTPUTF8"...)
	}
	if e.Submission != "" {
		b = appendXtext(append(b, " SUBMISSION="...), e.Submission)
	}
	if len(b) == start+1 {
		return b[:start]
	}
	return append(b, '\n')
}

// flags are those that the product's own files show: F to report failures, Y delays.
func flags(e *mail.Envelope, r mail.Recipient) string {
	f := [4]byte{'_', '_', '_', '_'}
	if !e.ReturnPath.IsZero() {
		if r.Notify.Failure() {
			f[1] = 'F'
		}
		if r.Notify == 0 || r.Notify&mail.NotifyDelay != 0 {
			f[2] = 'Y'
		}
	}
	return string(f[:])
}

// appendXtext encodes s as RFC 3461 §4 xtext: no space, control or 8-bit byte is left.
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '+' || c == '=' || c == '<' || c == '>' {
			b = append(b, '+', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func parseXtext(s string) (string, error) {
	if !strings.Contains(s, "+") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("half an xtext escape in %q", s)
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("a wrong xtext escape in %q", s)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}

// parseEnvelope reads the lines between the V line and the blank line.
func parseEnvelope(b []byte) (*mail.Envelope, error) {
	e := &mail.Envelope{}
	var notes []string
	for raw := range bytes.Lines(b) {
		l := strings.TrimSuffix(string(raw), "\n")
		if len(l) < 2 || l[1] != ' ' {
			continue
		}
		var err error
		switch rest := l[2:]; l[0] {
		case 'S':
			err = parseSource(e, rest)
		case 'A':
			e.Domain, err = parseXtext(rest)
		case 'T':
			e.Submitted, err = time.Parse(timeFormat, rest)
		case 'E':
			err = parseParameters(e, rest)
		case 'P':
			e.ReturnPath, err = pathIn(rest)
		case 'R':
			var a mail.Address
			a, err = pathIn(rest)
			e.Recipients = append(e.Recipients, mail.Recipient{Address: a})
		case 'N':
			notes = append(notes, rest)
		}
		if err != nil {
			return nil, fmt.Errorf("envelope line %q: %w", l, err)
		}
	}
	for _, n := range notes {
		if err := parseNote(e, n); err != nil {
			return nil, fmt.Errorf("envelope line %q: %w", n, err)
		}
	}
	if len(e.Recipients) == 0 {
		return nil, fmt.Errorf("%w: an envelope without recipients", ErrDamaged)
	}
	return e, nil
}

// pathIn reads the address at the end of a P or R line. The text before it has no <.
func pathIn(s string) (mail.Address, error) {
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return mail.Address{}, mail.ErrAddress
	}
	return mail.ParsePath(s[i:])
}

func parseSource(e *mail.Envelope, s string) (err error) {
	if rest, ok := strings.CutPrefix(s, "<"); ok {
		auth, after, _ := strings.Cut(rest, "> ")
		if e.Auth, err = parseXtext(auth); err != nil {
			return err
		}
		s = after
	}
	tag, rest, _ := strings.Cut(s, " ")
	var ok bool
	if e.Source, ok = mail.ParseSource(tag); !ok {
		return fmt.Errorf("no Submit Address tag: %q", tag)
	}
	ip := strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	if ip == "" || ip == "0.0.0.0" {
		return nil
	}
	e.Peer, err = netip.ParseAddr(ip)
	return err
}

func parseParameters(e *mail.Envelope, s string) (err error) {
	for p := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "ENVID":
			e.EnvelopeID, err = parseXtext(value)
		case "RET":
			e.Return = map[string]mail.Return{"FULL": mail.ReturnFull, "HDRS": mail.ReturnHeaders}[value]
		case "BODY":
			e.Body = map[string]mail.BodyType{"7BIT": mail.Body7Bit, "8BITMIME": mail.Body8BitMIME,
				"BINARYMIME": mail.BodyBinaryMIME}[value]
		case "SMTPUTF8":
			e.SMTPUTF8 = true
		case "SUBMISSION":
			e.Submission, err = parseXtext(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseNote(e *mail.Envelope, s string) (err error) {
	number, rest, _ := strings.Cut(s, " ")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(e.Recipients) {
		return fmt.Errorf("no recipient %q", number)
	}
	r := &e.Recipients[i]
	for p := range strings.FieldsSeq(rest) {
		key, value, _ := strings.Cut(p, "=")
		switch key {
		case "NOTIFY":
			for name := range strings.SplitSeq(value, ",") {
				r.Notify |= map[string]mail.Notify{"SUCCESS": mail.NotifySuccess, "FAILURE": mail.NotifyFailure,
					"DELAY": mail.NotifyDelay, "NEVER": mail.NotifyNever}[name]
			}
		case "ORCPT":
			r.Original, err = parseXtext(value)
		}
	}
	return err
}
