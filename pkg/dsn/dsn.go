// Package dsn composes reports about messages (RFC 3464, RFC 6522): what became of
// which recipient, for people and for programs, and the message that it is about.
// It is pure: the same report gives the same bytes. What peers, senders and
// administrators have said goes in as words, never as fields, lines or parts.
package dsn

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"time"

	"github.com/emersion/go-message/textproto"

	"cgq/pkg/header"
	"cgq/pkg/mail"
)

// A Report is about one message and some of its recipients.
type Report struct {
	From         mail.Address // MAILER-DAEMON at the Main Domain
	To           mail.Address // the return path of the message; not the null one
	ReportingMTA string       // the name of this server (RFC 3464 §2.2.2)
	Now          time.Time    // when the report is made; with ID it makes Message-ID

	ID         mail.ID   // the message that the report is about
	EnvelopeID string    // its ENVID, decoded; empty: not given
	Submitted  time.Time // when it came in; zero: not known
	Subject    string    // its Subject as it stands in its header
	Recipients []Recipient

	// Original is the text of the message, with LF line ends. Compose reads it from
	// its beginning. Nil: nothing is returned.
	Original io.ReadSeeker
	Return   mail.Return // how much of Original goes back; zero: its header
	Limit    int64       // of an Original that goes back in full, in bytes; zero: none

	Words *Words // of its language; nil: the English ones that are built in
}

// A Recipient is one recipient and what became of it.
type Recipient struct {
	To       mail.Address // as the sender knows it
	Original string       // ORCPT, decoded, as type;address; empty: not given
	Module   string       // who speaks; empty: a Rule or a person, whose text stands alone
	Queue    string       // the module's queue
	Result   mail.Result  // not Discarded: nobody hears of that
	Last     time.Time    // the last attempt; zero: there was none
	Class    string       // Failed only: the bounce class, for advice; empty: none is given
	Until    time.Time    // Delayed only: how long it will be tried; zero: not said
}

// Compose writes the report, with LF line ends. Its errors are those of w and of
// Original, and reports that cannot be: without a recipient, to the null return
// path, by nobody, about what was discarded.
func Compose(w io.Writer, r *Report) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("report about message %s: %w", r.ID, err)
	}
	back, err := r.returned()
	if err != nil {
		return fmt.Errorf("report about message %s: read it: %w", r.ID, err)
	}
	if err := r.write(&lf{w: w}, back); err != nil {
		return fmt.Errorf("report about message %s: %w", r.ID, err)
	}
	return nil
}

func (r *Report) check() error {
	if r.To.IsZero() {
		return errors.New("the null return path wants no report (RFC 3464 §2)")
	}
	if r.ReportingMTA == "" {
		return errors.New("ReportingMTA is empty")
	}
	if len(r.Recipients) == 0 {
		return errors.New("no recipient")
	}
	for _, rcpt := range r.Recipients {
		if _, ok := verbs[rcpt.Result.Action]; !ok {
			return fmt.Errorf("<%s>: %s is not reported", rcpt.To, rcpt.Result.Action)
		}
	}
	return nil
}

// write writes the header and the parts.
func (r *Report) write(w *lf, back returned) error {
	h := fields(
		"From", r.From.Path(),
		"Date", date(r.Now),
		"Message-ID", fmt.Sprintf("<%s.%d.dsn@%s>", r.ID, r.Now.UnixNano(), domain(r.ReportingMTA)),
		"To", r.To.Path(),
		"Subject", r.subject(),
		"Auto-Submitted", "auto-replied", // RFC 3834 §5
		"MIME-Version", "1.0",
		"Content-Type", `multipart/report; report-type=delivery-status; boundary="`+back.boundary+`"`,
	)
	if err := textproto.WriteHeader(w, h); err != nil {
		return err
	}
	mw := textproto.NewMultipartWriter(w)
	if err := mw.SetBoundary(back.boundary); err != nil {
		return err
	}
	encoding, text := encode(r.text())
	words := mimeFields("text/plain; charset=utf-8", encoding)
	if tag := r.words().tag; tag != "" {
		words.Add("Content-Language", tag) // RFC 3282
	}
	if err := part(mw, words, text); err != nil {
		return err
	}
	if err := part(mw, mimeFields("message/delivery-status", "7bit"), r.status()); err != nil {
		return err
	}
	if back.kind != "" {
		if _, err := mw.CreatePart(mimeFields(back.kind, back.encoding)); err != nil {
			return err
		}
		// Past the line end filter: what goes back is not rewritten.
		if _, err := io.Copy(w.w, back.text); err != nil {
			return err
		}
	}
	return mw.Close()
}

func part(mw *textproto.MultipartWriter, h textproto.Header, text string) error {
	p, err := mw.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = io.WriteString(p, text)
	return err
}

func mimeFields(kind, encoding string) textproto.Header {
	return fields("Content-Type", kind, "Content-Transfer-Encoding", encoding)
}

// fields makes a header of names and values, in this order.
func fields(pairs ...string) (h textproto.Header) {
	for i := len(pairs) - 2; i >= 0; i -= 2 { // AddRaw puts a field on top
		h.AddRaw([]byte(field(pairs[i], pairs[i+1])))
	}
	return h
}

// maxSubject bounds the part of a Subject that is repeated, in characters.
const maxSubject = 200

// subject tells the worst that the report has to tell.
func (r *Report) subject() string {
	worst := mail.Relayed
	for _, rcpt := range r.Recipients {
		if a := rcpt.Result.Action; verbs[a].rank > verbs[worst].rank {
			worst = a
		}
	}
	original := []rune(squeeze(header.Decode(r.Subject)))
	if len(original) > maxSubject {
		original = append(original[:maxSubject], []rune("...")...)
	}
	words := verbs[worst].subject(r.words())
	if q := mime.QEncoding.Encode("utf-8", words); q == words { // these are to be read by all
		return put(words, "{subject}", mime.QEncoding.Encode("utf-8", string(original)))
	}
	return mime.QEncoding.Encode("utf-8", put(words, "{subject}", string(original)))
}

var englishWords = (&File{Language: english}).Languages().standard

func (r *Report) words() *Words {
	if r.Words == nil {
		return englishWords
	}
	return r.Words
}

// date is a time as in a header.
func date(t time.Time) string { return t.Format(header.DateForm) }

// An lf turns the CRLF of go-message into the line ends of the Queue.
type lf struct {
	w  io.Writer
	cr bool // the last byte was a CR, not yet written
}

func (l *lf) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+1)
	for _, c := range p {
		if l.cr && c != '\n' {
			out = append(out, '\r')
		}
		if l.cr = c == '\r'; !l.cr {
			out = append(out, c)
		}
	}
	if _, err := l.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
