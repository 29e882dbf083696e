// Package dequeuer processes delivery information: when a recipient has failed and
// its sender wants to know, it submits a Delivery Status Notification, for several
// recipients at once if it can; and when nothing is left to be done and said of a
// message, it takes it out of the Queue (chapter: The Dequeuer component).
package dequeuer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"cgq/pkg/dsn"
	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
	"cgq/pkg/stats"
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

// A Server is what the Dequeuer knows of the one that it is of. Each is asked anew
// whenever it is needed.
type Server struct {
	MainDomain func() string
	Settings   func() *Settings                         // valid ones
	Words      func() *dsn.Languages                    // of reports
	Client     func(netip.Addr) bool                    // whether a host is among the Client IP Addresses
	Class      func(mail.Result) string                 // the bounce class of a failure
	Open       func(mail.ID) (io.ReadSeekCloser, error) // the text of a message
}

// A Dequeuer reports and removes.
type Dequeuer struct {
	kernel   Kernel
	begetter Begetter
	server   Server
	log      *slog.Logger // tag DEQUEUER
	counts   counts
	room     room
}

// New returns a Dequeuer. The log is that of the tag DEQUEUER.
func New(k Kernel, b Begetter, srv Server, st *stats.Set, log *slog.Logger) *Dequeuer {
	return &Dequeuer{kernel: k, begetter: b, server: srv, counts: countReports(st), log: log}
}

// counts are what has become of reports.
type counts struct {
	submitted *stats.Counter // to whoever sent the message
	warnings  *stats.Counter // of them, those that say no more than that something waits
	moved     *stats.Counter // could not be delivered, and went to failed_reports_to
	dropped   *stats.Counter // could not be delivered, and nobody has heard of it
}

func countReports(st *stats.Set) counts {
	return counts{submitted: st.Counter("dequeuerReports"), warnings: st.Counter("dequeuerWarnings"),
		moved: st.Counter("dequeuerFailedReportsMoved"), dropped: st.Counter("dequeuerFailedReportsDropped")}
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
		for ; active >= d.server.Settings().Processors; active-- {
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
	what, err := d.sort(r)
	if err != nil {
		return err
	}
	switch {
	case len(what.told)+len(what.warned) > 0:
		err = d.tell(ctx, r, what)
	case r.Last && r.Envelope.ReturnPath.IsZero():
		return d.orphaned(ctx, r)
	case r.Last:
		return d.kernel.Gone(r.ID)
	case len(what.untold)+len(what.unwarned) > 0: // nobody is told, and that is all
		err = d.kernel.Decide(what.means(r, 0)...)
	}
	if err == nil && !r.Last {
		d.kernel.ReturnReport(r.ID, time.Time{})
	}
	return err
}

// tell reports to the return path.
func (d *Dequeuer) tell(ctx context.Context, r queue.Report, what telling) error {
	if !d.room.try(r.Last) {
		return errNoRoom
	}
	err := d.report(ctx, r, what, r.Envelope.ReturnPath)
	if err == nil {
		d.room.found(d.log, r.Last)
		return nil
	}
	why := permanent(err)
	if why == nil {
		return err
	}
	if to := d.server.Settings().failedTo; len(what.told) > 0 && !to.IsZero() && to.Fold() != r.Envelope.ReturnPath.Fold() {
		if err = d.report(ctx, r, what, to); err == nil {
			d.counts.moved.Add(1)
			return nil
		}
		if permanent(err) == nil {
			return err
		}
	}
	d.drop(r, "the report to "+r.Envelope.ReturnPath.Path()+" cannot be delivered and is dropped: "+why.Error())
	return d.kernel.Decide(what.none().means(r, 0)...)
}

// permanent returns the refusal for good that an error is, or nil.
func permanent(err error) *module.Rejection {
	var refused *module.Rejection
	if errors.As(err, &refused) && refused.Result.Action == mail.Failed {
		return refused
	}
	return nil
}

// orphaned deals with the end of a message without a return path, such as a report: that
// it has failed is told to nobody (RFC 5321 §4.5.5), or, by setting, to the postmaster.
// What has failed on its way to him is told to nobody, nor is what a program has written,
// a Rule or another server: it may be about a report that he did not get.
func (d *Dequeuer) orphaned(ctx context.Context, r queue.Report) error {
	var failed []queue.Done
	for _, done := range r.Done {
		never := r.Envelope.Recipients[done.Rcpt].Notify&mail.NotifyNever != 0 && r.Envelope.Source != mail.DSN
		if done.Result.Action == mail.Failed && !done.Person && !never {
			failed = append(failed, done)
		}
	}
	if len(failed) == 0 {
		return d.kernel.Gone(r.ID)
	}
	to := d.server.Settings().failedTo
	lost, err := d.lost(r, failed, to)
	if err != nil {
		return err
	}
	if lost {
		if err := d.kernel.Gone(r.ID); err != nil {
			return err
		}
		d.drop(r, "undeliverable, without a return path: dropped")
		return nil
	}
	if !d.room.try(true) {
		return errNoRoom
	}
	err = d.report(ctx, r, telling{told: failed}, to)
	switch {
	case err == nil:
		d.room.found(d.log, true)
		d.counts.moved.Add(1)
		return nil
	case permanent(err) == nil:
		return err
	}
	if gone := d.kernel.Gone(r.ID); gone != nil {
		return gone
	}
	d.drop(r, "undeliverable, without a return path: dropped; "+to.Path()+" cannot have it: "+err.Error())
	return nil
}

// lost says whether nobody is told of what has failed, although it is set who could be.
func (d *Dequeuer) lost(r queue.Report, failed []queue.Done, to mail.Address) (bool, error) {
	isHis := func(done queue.Done) bool { return r.Envelope.Recipients[done.Rcpt].Address.Fold() == to.Fold() }
	if to.IsZero() || slices.ContainsFunc(failed, isHis) {
		return true, nil
	}
	if r.Envelope.Source == mail.DSN {
		return false, nil
	}
	return d.automatic(r.ID)
}

// drop says that nobody will hear of a failure.
func (d *Dequeuer) drop(r queue.Report, why string) {
	d.counts.dropped.Add(1)
	d.log.Log(context.Background(), serverlog.Failure, why, "id", r.ID)
}
