// Package module is the plug: the little that the pipeline and a communication
// module know of each other. A module imports this package and words, never the
// kernel and never another module. Package moduletest is the conformance suite.
package module

import (
	"context"
	"errors"
	"io"
	"iter"

	"cgq/pkg/mail"
)

// A Module transfers messages to one kind of destination. All methods are called
// from many goroutines at once.
type Module interface {
	// Name returns the chapter's name of the module, such as "SMTP". It is upper
	// case ASCII and never changes.
	Name() string

	// Claim says in which queue of this module an address belongs. Modules are
	// asked twice, in a fixed order: first all of them with final false, for what
	// is theirs for certain; then, when nobody wants the address, with final true.
	// Outcomes: a Route; ErrNotMine, when another module should be asked; a
	// *Rejection, when the address is this module's and must be refused; any other
	// error is a fault of ours, and the address is tried again later.
	Claim(ctx context.Context, a mail.Address, final bool) (Route, error)

	// Transfer works one host queue: it takes what is due, settles or delays
	// each recipient, and returns when Due ends. A recipient left alone is
	// ready again afterwards, without an attempt counted. When ctx ends it takes
	// nothing new, and finishes what has passed the final dot (SPOOL L8).
	Transfer(ctx context.Context, q Queue)
}

// ErrNotMine is returned by Claim for an address of somebody else.
var ErrNotMine = errors.New("address belongs to another module")

// A Route is where an address goes: MODULE(Queue)Address.
type Route struct {
	Queue   string
	Address mail.Address
	Relay   bool // the address leaves this server: only clients may send to it
}

// A Queue is one host queue in the hands of its module.
type Queue interface {
	// Name is the host, Account, list or program, as Claim named it.
	Name() string

	// Due yields message after message. It ends when nothing is due, when the
	// queue was delayed, when other queues wait for their turn, or when ctx ends.
	Due(ctx context.Context) iter.Seq[*Transfer]

	// Delay delays the whole queue (chapter: a Module can delay an entire queue)
	// and ends Due. The result's action is Delayed.
	Delay(r mail.Result)
}

// A Recipient is one recipient of a Transfer.
type Recipient struct {
	mail.Recipient              // as submitted
	To             mail.Address // as routed: where this transfer goes
	Index          int          // in the envelope
}

// A Transfer is one message with those of its recipients that are due in one
// host queue. It is valid inside the loop body that received it.
type Transfer struct {
	ID         mail.ID
	Envelope   *mail.Envelope // read only
	Recipients []Recipient    // at least one
	Size       int64          // of the text, in bytes, with LF line ends

	// Repeated says that an earlier process may have transferred the message and
	// died before that was durable. One who can find out what became of it should.
	Repeated bool

	// Filtered says that the server-wide Rules have been applied, SkipRules that they
	// say that those of Accounts are not to be.
	Filtered, SkipRules bool
	Lease
}

// A Lease is what a Transfer can do. The kernel gives it, and takes it back when
// the loop body ends, however that ends.
type Lease interface {
	// Open returns the text: RFC 5322, LF line ends, no dot-stuffing. Close it.
	Open() (io.ReadSeekCloser, error)

	// Settle says what became of Recipients[i]. Delayed makes this address alone
	// wait (chapter: an individual recipient address); everything else takes it
	// out of the queue for good. The second call for one recipient does nothing.
	Settle(i int, r mail.Result)

	// Delay makes this message wait in this queue, with all its recipients that
	// are not settled (chapter: an individual queued message).
	Delay(r mail.Result)

	// Beget settles Recipients[i] and submits the message that came of it (a list
	// posting, a reply) as one frame: after a crash both are true, or neither. It
	// returns when that is durable; after an error neither is.
	Beget(ctx context.Context, i int, r mail.Result, env *mail.Envelope, text io.Reader) (mail.ID, error)
}

// A Source submits messages: listeners, directory watchers, pollers.
type Source interface {
	// Run submits until ctx ends, then refuses new work, finishes what has begun
	// and returns nil. Another error ends the server.
	Run(ctx context.Context, e Enqueuer) error
}

// An Enqueuer takes new messages into the Queue. It is safe for concurrent use.
type Enqueuer interface {
	// Admit says whether a message may be submitted now at all: nil, or a
	// *Rejection, such as 4.3.1 when the Queue Limit is reached. For MAIL FROM.
	Admit(ctx context.Context, env *mail.Envelope) error

	// Check says what Submit would say of one recipient: nil, or a *Rejection
	// with the enhanced status and the text for the submitter. For RCPT TO.
	Check(ctx context.Context, env *mail.Envelope, r mail.Recipient) error

	// Submit reads the text to its end, makes the message durable and enqueues
	// it. The text is RFC 5322 with LF line ends and without dot-stuffing. When
	// Submit returns nil the message survives power loss; when it returns an error
	// nothing is left behind. A *Rejection is for the submitter; an error of the
	// reader comes back wrapped; anything else is a fault of ours: try again later.
	// The envelope belongs to the Enqueuer from then on.
	Submit(ctx context.Context, env *mail.Envelope, text io.Reader) (mail.ID, error)
}

// A FileEnqueuer is an Enqueuer for a source whose messages are in files already, each of
// which is to be submitted once, whatever dies when.
type FileEnqueuer interface {
	Enqueuer

	// SubmitFile is Submit of what a file holds that Submission names. When the message is
	// durable, and before anybody can have it, taken is called, once; it returns nil when
	// the name of the file is gone and will not come back. Nobody listens: of recipients
	// that are refused the return path gets a report, if there is one. After an error that
	// matches ErrUnsettled the file must keep the name that it has: the next start finds
	// out. After any other nothing is left behind.
	SubmitFile(ctx context.Context, env *mail.Envelope, text io.Reader, taken func() error) (mail.ID, error)
}

// ErrUnsettled is what errors of SubmitFile match when the message is durable, or may
// be, and is not handed out in this life of the server.
var ErrUnsettled = errors.New("left for the next start")

// A Rejection is the refusal of an address or a message, for the submitter to
// hear. The class of its status says whether to try again.
type Rejection struct{ Result mail.Result }

// Error is the enhanced status and the text.
func (r *Rejection) Error() string { return r.Result.Status.String() + " " + r.Result.Text }

// Reject returns a Rejection. A class of 4 makes it temporary.
func Reject(class, subject, detail uint16, text string) *Rejection {
	r := mail.Result{Action: mail.Failed, Status: mail.Status{class, subject, detail}, Text: text}
	if class == 4 {
		r.Action = mail.Delayed
	}
	return &Rejection{r}
}
