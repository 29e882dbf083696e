// Package dequeuer processes delivery information: when a recipient has failed and
// its sender wants to know, it submits a Delivery Status Notification, for several
// recipients at once if it can; and when nothing is left to be done and said of a
// message, it takes it out of the Queue (chapter: The Dequeuer component).
package dequeuer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"cgq/pkg/dsn"
	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
)

// A Kernel is what the Dequeuer needs of one.
type Kernel interface {
	// NextReport waits for a message to look at, which is then in its hands.
	NextReport(ctx context.Context) (queue.Report, bool)
	// ReturnReport gives it back; again is when to look once more, or zero.
	ReturnReport(id mail.ID, again time.Time)
	// Decide makes facts durable, then true.
	Decide(changes ...fact.Change) error
	// Gone takes the message out of the queue.
	Gone(id mail.ID) error
}

// A Begetter submits a report and what it means for the message that it is about as
// one frame. A temporary [module.Rejection] of the class 4.3, mail system status, says
// that others would be refused, too.
type Begetter interface {
	Beget(ctx context.Context, env *mail.Envelope, text io.Reader, parents func(mail.ID) []fact.Change) (mail.ID, error)
}

// A Dequeuer reports and removes.
type Dequeuer struct {
	kernel     Kernel
	begetter   Begetter
	open       func(mail.ID) (io.ReadSeekCloser, error)
	mainDomain func() string
	settings   func() *Settings
	client     func(netip.Addr) bool
	log        *slog.Logger // tag DEQUEUER
	reports    atomic.Int64
	room       room
}

// New returns a Dequeuer; open returns the text of a message. The settings are asked for
// anew each time, and are valid; client says who is among the Client IP Addresses.
func New(k Kernel, b Begetter, open func(mail.ID) (io.ReadSeekCloser, error), mainDomain func() string, set func() *Settings,
	client func(netip.Addr) bool, log *slog.Logger) *Dequeuer {
	return &Dequeuer{kernel: k, begetter: b, open: open, mainDomain: mainDomain, settings: set, client: client, log: log}
}

// retry is how long a report waits that could not be written.
const retry = 5 * time.Second

// Run works until ctx ends, on as many messages at the same time as there are processors.
func (d *Dequeuer) Run(ctx context.Context) {
	ended := make(chan struct{})
	active := 0
	defer func() {
		for ; active > 0; active-- {
			<-ended
		}
	}()
	for {
		for ; active >= d.settings().Processors; active-- {
			<-ended // each ends soon after ctx does
		}
		r, ok := d.kernel.NextReport(ctx)
		if !ok {
			return
		}
		active++
		go func() {
			defer func() { ended <- struct{}{} }()
			d.deal(ctx, r)
		}()
		for more := true; more; { // who has ended meanwhile
			select {
			case <-ended:
				active--
			default:
				more = false
			}
		}
	}
}

// deal deals with one message, and gives it back if it cannot be dealt with now.
func (d *Dequeuer) deal(ctx context.Context, r queue.Report) {
	if err := d.process(ctx, r); err != nil {
		if ctx.Err() == nil && !d.room.wanting(d.log, r.Last, err) {
			d.log.Error("cannot report, trying again: "+err.Error(), "id", r.ID)
		}
		d.kernel.ReturnReport(r.ID, time.Now().Add(retry))
	}
}

// process deals with one message. The end of its recipients is on record already,
// so nothing is transferred twice whatever happens here.
func (d *Dequeuer) process(ctx context.Context, r queue.Report) error {
	wanted, denied := r.Done[:0:0], r.Done[:0:0]
	receipts := d.receipts(r.Envelope)
	for _, done := range r.Done {
		switch {
		case !done.Wanted:
		case done.Result.Action == mail.Failed || receipts:
			wanted = append(wanted, done)
		default:
			denied = append(denied, done)
		}
	}
	if len(wanted) == 0 {
		if r.Last {
			return d.kernel.Gone(r.ID)
		}
		var err error
		if len(denied) > 0 { // nobody is told, and that is all
			err = d.kernel.Decide(consequences(r, nil, denied, 0)...)
		}
		if err == nil {
			d.kernel.ReturnReport(r.ID, time.Time{})
		}
		return err
	}
	if !d.room.try(r.Last) {
		return errNoRoom
	}
	err := d.report(ctx, r, wanted, denied)
	if err == nil {
		d.room.found(d.log, r.Last)
	}
	var refused *module.Rejection
	if errors.As(err, &refused) && refused.Result.Action == mail.Failed {
		d.log.Log(ctx, serverlog.Failure, "the report to "+r.Envelope.ReturnPath.Path()+" cannot be delivered and is dropped: "+
			refused.Error(), "id", r.ID)
		err = d.kernel.Decide(consequences(r, nil, append(wanted, denied...), 0)...)
	}
	if err == nil && !r.Last {
		d.kernel.ReturnReport(r.ID, time.Time{})
	}
	return err
}

// receipts says whether the sender of a message may ask for positive reports (chapter:
// Send Return-Receipts to).
func (d *Dequeuer) receipts(e *mail.Envelope) bool {
	switch d.settings().Receipts {
	case everybody:
		return true
	case clients:
		return e.Auth != "" || !e.Source.External() || d.client(e.Peer)
	case authenticated:
		return e.Auth != "" || !e.Source.External()
	}
	return false
}

// consequences are what a report means for the message that it is about: of whom it told,
// and of whom nobody is told.
func consequences(r queue.Report, told, untold []queue.Done, report mail.ID) (changes []fact.Change) {
	for _, f := range []struct {
		of  []queue.Done
		dsn mail.ID
	}{{told, report}, {untold, 0}} {
		said := fact.Reported{DSN: f.dsn}
		for _, done := range f.of {
			said.Rcpts = append(said.Rcpts, done.Rcpt)
		}
		if len(f.of) > 0 {
			changes = append(changes, fact.Change{ID: r.ID, Fact: said})
		}
	}
	if r.Last {
		changes = append(changes, fact.Change{ID: r.ID, Fact: fact.Gone{}})
	}
	return changes
}

// report composes and submits a report.
func (d *Dequeuer) report(ctx context.Context, r queue.Report, wanted, denied []queue.Done) error {
	original, err := d.open(r.ID)
	if err != nil {
		return err
	}
	defer original.Close()
	domain, set := d.mainDomain(), d.settings()
	report := &dsn.Report{From: mail.Address{Local: "MAILER-DAEMON", Domain: domain}, To: r.Envelope.ReturnPath,
		ReportingMTA: domain, Now: time.Now(), ID: r.ID, EnvelopeID: r.Envelope.EnvelopeID, Submitted: r.Envelope.Submitted,
		Subject: subject(original), Original: original,
		Return: set.back(r.Envelope.Return), Limit: int64(set.ReturnLimit)}
	failed := false
	for _, done := range wanted {
		failed = failed || done.Result.Action == mail.Failed
		rcpt := r.Envelope.Recipients[done.Rcpt]
		said := dsn.Recipient{To: rcpt.Address, Original: rcpt.Original, Result: done.Result, Last: done.At}
		if !done.Person && done.Key.Module != queue.Enqueuer { // else the text stands alone
			said.Module, said.Queue = done.Key.Module, done.Key.Queue
		}
		report.Recipients = append(report.Recipients, said)
	}
	if !failed { // RFC 3461 §4.3: RET is about failures
		report.Return = mail.ReturnHeaders
	}
	var text bytes.Buffer
	if err := dsn.Compose(&text, report); err != nil {
		return err
	}
	env := &mail.Envelope{Source: mail.DSN, Recipients: []mail.Recipient{{Address: r.Envelope.ReturnPath, Notify: mail.NotifyNever}},
		Body: mail.Body8BitMIME, SMTPUTF8: !r.Envelope.ReturnPath.ASCII()}
	if a := set.copyTo; failed && !a.IsZero() && a.Fold() != r.Envelope.ReturnPath.Fold() {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a, Notify: mail.NotifyNever})
		env.SMTPUTF8 = env.SMTPUTF8 || !a.ASCII()
	}
	id, err := d.begetter.Beget(ctx, env, &text, func(id mail.ID) []fact.Change { return consequences(r, wanted, denied, id) })
	if err != nil {
		return err
	}
	d.reports.Add(1)
	d.log.Log(ctx, serverlog.Major, "report generated: ["+id.String()+"] to "+r.Envelope.ReturnPath.Path(), "id", r.ID)
	return nil
}

// subject is the Subject field as it stands in the text.
func subject(text io.ReadSeeker) string {
	b, err := io.ReadAll(io.LimitReader(text, 64<<10))
	if err != nil {
		return ""
	}
	s, _ := header.Get(b, "Subject")
	return s
}
