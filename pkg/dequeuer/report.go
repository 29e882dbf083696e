package dequeuer

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"cgq/pkg/dsn"
	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
)

// A telling is of which recipients of a message its sender is told, and of which not.
type telling struct {
	told, untold     []queue.Done // what became of them
	warned, unwarned []queue.Done // that they wait
}

// sort says of whom the sender of a message is to be told.
func (d *Dequeuer) sort(r queue.Report) (what telling, err error) {
	receipts := d.receipts(r.Envelope)
	for _, done := range r.Done {
		switch {
		case !done.Wanted:
		case done.Result.Action == mail.Failed || receipts:
			what.told = append(what.told, done)
		default:
			what.untold = append(what.untold, done)
		}
	}
	automatic := false
	if len(r.Waiting) > 0 {
		if automatic, err = d.automatic(r.ID); err != nil {
			return what, err
		}
	}
	for _, w := range r.Waiting {
		if asked := r.Envelope.Recipients[w.Rcpt].Notify != 0; asked || !automatic {
			what.warned = append(what.warned, w)
		} else {
			what.unwarned = append(what.unwarned, w)
		}
	}
	return what, nil
}

// automatic says whether a program or a list has written a message: it has no use for
// warnings, unless it has asked for them.
func (d *Dequeuer) automatic(id mail.ID) (bool, error) {
	text, err := d.server.Open(id)
	if err != nil {
		return false, err
	}
	defer text.Close()
	for f := range header.Fields(head(text)) {
		if header.Automatic(strings.ToLower(string(f.Name)), strings.ToLower(f.Text())) {
			return true, nil
		}
	}
	return false, nil
}

// receipts says whether the sender of a message may ask for positive reports (chapter:
// Send Return-Receipts to).
func (d *Dequeuer) receipts(e *mail.Envelope) bool {
	switch d.server.Settings().Receipts {
	case everybody:
		return true
	case clients:
		return e.Auth != "" || !e.Source.External() || d.server.Client(e.Peer)
	case authenticated:
		return e.Auth != "" || !e.Source.External()
	}
	return false
}

// none is the same of which nobody is told.
func (t telling) none() telling {
	return telling{untold: append(t.told, t.untold...), unwarned: append(t.warned, t.unwarned...)}
}

// means is what a report means for the message that it is about. Of whom it does not
// tell, nobody is told.
func (t telling) means(r queue.Report, report mail.ID) (changes []fact.Change) {
	add := func(of []queue.Done, f func(rcpts []int) fact.Fact) {
		var rcpts []int
		for _, done := range of {
			rcpts = append(rcpts, done.Rcpt)
		}
		if len(rcpts) > 0 {
			changes = append(changes, fact.Change{ID: r.ID, Fact: f(rcpts)})
		}
	}
	add(t.told, func(rcpts []int) fact.Fact { return fact.Reported{DSN: report, Rcpts: rcpts} })
	add(t.untold, func(rcpts []int) fact.Fact { return fact.Reported{Rcpts: rcpts} })
	add(t.warned, func(rcpts []int) fact.Fact { return fact.Warned{DSN: report, Rcpts: rcpts, Age: r.Age} })
	add(t.unwarned, func(rcpts []int) fact.Fact { return fact.Warned{Rcpts: rcpts, Age: r.Age} })
	if r.Last {
		changes = append(changes, fact.Change{ID: r.ID, Fact: fact.Gone{}})
	}
	return changes
}

// report composes and submits a report to an address, which is that of the sender, or of
// the postmaster when the sender cannot have it.
func (d *Dequeuer) report(ctx context.Context, r queue.Report, what telling, to mail.Address) error {
	original, err := d.server.Open(r.ID)
	if err != nil {
		return err
	}
	defer original.Close()
	set, failed := d.server.Settings(), what.failed()
	report := d.about(r, set, original)
	report.To = to
	for _, done := range what.told {
		report.Recipients = append(report.Recipients, d.recipient(r.Envelope, done))
	}
	for _, w := range what.warned {
		rcpt := d.recipient(r.Envelope, w)
		rcpt.Result.Action, rcpt.Until = mail.Delayed, w.Until
		report.Recipients = append(report.Recipients, rcpt)
	}
	if !failed { // RFC 3461 §4.3: RET is about failures
		report.Return = mail.ReturnHeaders
	}
	var text bytes.Buffer
	if err := dsn.Compose(&text, report); err != nil {
		return err
	}
	env := &mail.Envelope{Source: mail.DSN, Recipients: []mail.Recipient{{Address: to, Notify: mail.NotifyNever}},
		Body: mail.Body8BitMIME, SMTPUTF8: !to.ASCII()}
	if a := set.copyTo; failed && !a.IsZero() && a.Fold() != to.Fold() {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a, Notify: mail.NotifyNever})
		env.SMTPUTF8 = env.SMTPUTF8 || !a.ASCII()
	}
	id, err := d.begetter.Beget(ctx, env, &text, func(id mail.ID) []fact.Change { return what.means(r, id) })
	if err != nil {
		return err
	}
	d.counts.submitted.Add(1)
	if len(what.told) == 0 {
		d.counts.warnings.Add(1)
	}
	d.log.Log(ctx, serverlog.Major, "report generated: ["+id.String()+"] to "+to.Path(), "id", r.ID)
	return nil
}

// failed says whether it tells of a failure.
func (t telling) failed() bool {
	for _, done := range t.told {
		if done.Result.Action == mail.Failed {
			return true
		}
	}
	return false
}

// about is a report about a message, without its recipients.
func (d *Dequeuer) about(r queue.Report, set *Settings, original io.ReadSeeker) *dsn.Report {
	domain := d.server.MainDomain()
	top := head(original)
	subject, _ := header.Get(top, "Subject")
	return &dsn.Report{From: mail.Address{Local: "MAILER-DAEMON", Domain: domain}, ReportingMTA: domain, Now: time.Now(),
		ID: r.ID, EnvelopeID: r.Envelope.EnvelopeID, Submitted: r.Envelope.Submitted, Subject: subject,
		Original: original, Return: set.back(r.Envelope.Return), Limit: int64(set.ReturnLimit),
		Words: d.server.Words().Choose(top)}
}

// recipient is one of whom a report tells.
func (d *Dequeuer) recipient(env *mail.Envelope, done queue.Done) dsn.Recipient {
	rcpt := env.Recipients[done.Rcpt]
	said := dsn.Recipient{To: rcpt.Address, Original: rcpt.Original, Result: done.Result, Last: done.At}
	if done.Result.Action == mail.Failed && !done.Person {
		said.Class = d.server.Class(done.Result)
	}
	if !done.Person && done.Key.Module != queue.Enqueuer { // else the text stands alone
		said.Module, said.Queue = done.Key.Module, done.Key.Queue
	}
	return said
}

// headSize is how much of a text is looked at for its header, in bytes.
const headSize = 64 << 10

// head is the header of a text, or as much of it as could be read.
func head(text io.Reader) []byte {
	b, _ := io.ReadAll(io.LimitReader(text, headSize))
	return b[:header.Len(b)]
}
