package smtp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/smtp/wire"
	"cgq/pkg/serverlog"
)

// A session is one connection of a Receiver: what go-smtp asks, in its goroutine.
type session struct {
	receiver *Receiver
	enqueuer module.Enqueuer
	ctx      context.Context // of the connection: go-smtp passes none
	settings *Receive
	domain   string
	peer     netip.Addr
	conn     *wire.Conn
	log      *slog.Logger

	env *mail.Envelope // of the transaction, or nil
}

// NewSession implements the go-smtp Backend; each connection is its own.
func (s *session) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return s, nil }

// Reset implements the go-smtp Session.
func (s *session) Reset() { s.env = nil }

// Logout implements the go-smtp Session.
func (s *session) Logout() error { return nil }

// Mail begins a transaction. The address is what the peer wrote, not what go-smtp
// made of it.
func (s *session) Mail(_ string, opts *gosmtp.MailOptions) error {
	if s.env != nil {
		return reply(503, mail.Status{5, 5, 1}, "a transaction is in progress, RSET ends it")
	}
	from := s.conn.Path()
	switch {
	case !from.ASCII() && !opts.UTF8:
		return reply(553, mail.Status{5, 6, 7}, "the address needs SMTPUTF8")
	case !from.IsZero() && from.Domain == "":
		return reply(553, mail.Status{5, 1, 8}, "the sender's address needs a domain")
	}
	helo, esmtp := s.conn.Helo()
	env := &mail.Envelope{
		ReturnPath: from, Source: mail.SMTP, Peer: s.peer, Domain: s.domain,
		EnvelopeID: opts.EnvelopeID, SMTPUTF8: opts.UTF8,
		Trace: mail.Trace{Helo: helo, With: protocol(esmtp, opts.UTF8)},
	}
	switch opts.Return {
	case gosmtp.DSNReturnFull:
		env.Return = mail.ReturnFull
	case gosmtp.DSNReturnHeaders:
		env.Return = mail.ReturnHeaders
	}
	switch opts.Body {
	case gosmtp.Body7Bit:
		env.Body = mail.Body7Bit
	case gosmtp.Body8BitMIME:
		env.Body = mail.Body8BitMIME
	}
	if err := s.enqueuer.Admit(s.ctx, env); err != nil {
		return s.refusal("MAIL "+from.Path(), err)
	}
	s.env = env
	return nil
}

// protocol is the IANA mail transmission type (RFC 3848, RFC 6531 §4.3).
func protocol(esmtp, utf8 bool) string {
	switch {
	case utf8:
		return "UTF8SMTP"
	case esmtp:
		return "ESMTP"
	}
	return "SMTP"
}

// Rcpt adds a recipient. One that was named before is accepted and merged.
func (s *session) Rcpt(_ string, opts *gosmtp.RcptOptions) error {
	to := s.conn.Path()
	if !to.ASCII() && !s.env.SMTPUTF8 {
		return reply(553, mail.Status{5, 6, 7}, "the address needs SMTPUTF8")
	}
	// RFC 5321 §4.1.1.3 wants it for postmaster; all others mean us, too, but for the
	// names that are the Router's own (chapter: NULL or ERROR addresses).
	if to.Domain == "" && !strings.EqualFold(to.Local, "NULL") && !strings.EqualFold(to.Local, "ERROR") {
		to.Domain = s.domain
	}
	r := mail.Recipient{Address: to}
	for _, n := range opts.Notify {
		switch n {
		case gosmtp.DSNNotifySuccess:
			r.Notify |= mail.NotifySuccess
		case gosmtp.DSNNotifyFailure:
			r.Notify |= mail.NotifyFailure
		case gosmtp.DSNNotifyDelayed:
			r.Notify |= mail.NotifyDelay
		case gosmtp.DSNNotifyNever:
			r.Notify |= mail.NotifyNever
		}
	}
	if opts.OriginalRecipient != "" {
		if strings.ContainsFunc(opts.OriginalRecipient, isControl) {
			return reply(501, mail.Status{5, 5, 4}, "a control character in ORCPT")
		}
		r.Original = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	fold := to.Fold()
	if slices.ContainsFunc(s.env.Recipients, func(x mail.Recipient) bool {
		return x.Address.Local == fold.Local && strings.EqualFold(x.Address.Domain, fold.Domain)
	}) {
		return nil
	}
	if err := s.enqueuer.Check(s.ctx, s.env, r); err != nil {
		return s.refusal("RCPT "+to.Path(), err)
	}
	s.env.Recipients = append(s.env.Recipients, r)
	return nil
}

// Data submits the message. It reads the text from the connection, not from the
// reader of go-smtp.
func (s *session) Data(io.Reader) error {
	env := s.env
	s.env = nil
	body := s.conn.Body()
	id, err := s.enqueuer.Submit(s.ctx, env, body)
	if err != nil {
		return s.failed(body, err)
	}
	s.receiver.jobs.Add(1)
	s.receiver.traffic.Add(body.Size())
	if s.log.Enabled(s.ctx, serverlog.Major) {
		s.log.LogAttrs(s.ctx, serverlog.Major, "received, "+strconv.FormatInt(body.Size(), 10)+" bytes", slog.Any("id", id))
	}
	return &gosmtp.SMTPError{Code: 250, EnhancedCode: gosmtp.EnhancedCode{2, 0, 0},
		Message: id.String() + " message accepted for delivery"}
}

// failed is the reply to a text that was not submitted. What is wrong with the text
// comes first: it is why Submit failed.
func (s *session) failed(body *wire.Body, err error) error {
	refuse := func(code int, status mail.Status, text string) error {
		s.log.Warn("message refused: " + text)
		return reply(code, status, text)
	}
	switch cause := body.Err(); {
	case errors.Is(cause, wire.ErrBare):
		return refuse(554, mail.Status{5, 6, 0}, "bare CR or LF in the message, lines end with CRLF")
	case errors.Is(cause, wire.ErrNUL):
		return refuse(554, mail.Status{5, 6, 0}, "NUL in the message")
	case errors.Is(cause, wire.ErrTooLarge):
		return refuse(552, mail.Status{5, 3, 4},
			"the message is larger than "+strconv.FormatInt(int64(s.settings.MaxMessageSize), 10)+" bytes")
	case errors.Is(cause, wire.ErrTimeout), errors.Is(cause, wire.ErrSlow):
		return reply(421, mail.Status{4, 4, 2}, cause.Error()+", closing the connection")
	case cause != nil && !errors.Is(cause, io.EOF): // nobody hears this
		return reply(421, mail.Status{4, 4, 2}, cause.Error())
	}
	return s.refusal("DATA", err)
}

// refusal is the reply for an error of the Enqueuer; what is about.
func (s *session) refusal(what string, err error) error {
	var rejection *module.Rejection
	if errors.As(err, &rejection) {
		e := rejected(rejection.Result)
		if s.log.Enabled(s.ctx, serverlog.Problem) {
			s.log.Warn(what + " refused: " + strconv.Itoa(e.Code) + " " + rejection.Error())
		}
		return e
	}
	s.log.Error(what + " failed: " + err.Error())
	return reply(451, mail.Status{4, 3, 0}, "internal error, try again later")
}

// trace logs the dialogue.
func (s *session) trace(in bool, line []byte) {
	if !s.log.Enabled(s.ctx, serverlog.All) {
		return
	}
	what := "rsp: "
	if in {
		what = "cmd: "
	}
	s.log.Debug(what + string(line))
}

// closed ends the session.
func (s *session) closed(c *wire.Conn) {
	switch err := c.Err(); {
	case err == nil, errors.Is(err, wire.ErrStopped):
		if s.log.Enabled(s.ctx, serverlog.Low) {
			s.log.Info("connection closed")
		}
	case errors.Is(err, wire.ErrLost):
		s.log.Info("connection closed by the peer, without QUIT")
	default:
		s.log.Warn("connection closed: " + err.Error())
	}
	s.receiver.leave(s)
}
