package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// talk speaks SMTP on standard input and output (sendmail -bs), and hands in each message.
// It ends with QUIT, or with the input; what has not come to its final dot is not sent.
func (a *app) talk(ctx context.Context, l letter) error {
	conn := &stdio{in: a.in, out: a.out, closed: make(chan struct{})}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) {
		return &dialogue{a: a, ctx: ctx, fullName: l.FullName}, nil
	}))
	srv.Domain, srv.EnableDSN, srv.EnableSMTPUTF8 = host, true, true
	srv.ErrorLog = silent{}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(&lone{conn: conn}) // the end of the only connection
	}()
	<-conn.closed
	<-served
	return context.Cause(ctx)
}

// A dialogue is what go-smtp asks.
type dialogue struct {
	a        *app
	ctx      context.Context // go-smtp passes none
	fullName string
	in       control.Submission
}

// Reset implements the go-smtp Session.
func (d *dialogue) Reset() { d.in = control.Submission{} }

// Logout implements the go-smtp Session.
func (d *dialogue) Logout() error { return nil }

// Mail implements the go-smtp Session.
func (d *dialogue) Mail(from string, opts *gosmtp.MailOptions) error {
	d.in = control.Submission{ReturnPath: "<" + from + ">", FullName: d.fullName}
	if opts != nil {
		d.in.Return, d.in.EnvelopeID, d.in.Body = string(opts.Return), opts.EnvelopeID, string(opts.Body)
	}
	return nil
}

// Rcpt implements the go-smtp Session. What the daemon thinks of the address it says with
// the message.
func (d *dialogue) Rcpt(to string, opts *gosmtp.RcptOptions) error {
	r := control.SubmissionRcpt{Address: "<" + to + ">"}
	if opts != nil {
		words := make([]string, len(opts.Notify))
		for i, n := range opts.Notify {
			words[i] = string(n)
		}
		r.Notify = strings.Join(words, ",")
		if opts.OriginalRecipient != "" {
			r.Original = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
		}
	}
	d.in.Recipients = append(d.in.Recipients, r)
	return nil
}

// Data implements the go-smtp Session. Text is read by nobody when it returns.
func (d *dialogue) Data(text io.Reader) error {
	r, w := io.Pipe()
	type end struct {
		out control.Submitted
		err error
	}
	ended := make(chan end, 1)
	go func() {
		client := control.Dial(d.a.submitSocket())
		defer client.Close()
		out, err := control.MessageSubmit.Do(d.ctx, client, d.in, r)
		_ = r.Close() // who still writes need not
		ended <- end{out, err}
	}()
	src := &input{text}
	_, err := io.Copy(w, src)
	_ = w.CloseWithError(err) // nil is io.EOF
	if errors.Is(err, io.ErrClosedPipe) {
		_, _ = io.Copy(io.Discard, text)
	}
	got := <-ended
	if got.err != nil {
		return d.refusal(got.err)
	}
	return &gosmtp.SMTPError{Code: 250, EnhancedCode: gosmtp.EnhancedCode{2, 0, 0}, Message: got.out.ID.String() + " message accepted for delivery"}
}

// refusal is an error as a reply.
func (d *dialogue) refusal(err error) error {
	e := &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: d.a.notSent(err)}
	if sysexit(err) != exTempFail {
		e.Code, e.EnhancedCode = 554, gosmtp.EnhancedCode{5, 5, 0}
	}
	if told, ok := errors.AsType[*control.Error](err); ok {
		if s, ok := mail.ParseStatus(told.Code); ok {
			e.EnhancedCode, e.Message = gosmtp.EnhancedCode{int(s[0]), int(s[1]), int(s[2])}, safe(told.Text)
		}
	}
	return e
}

// stdio is standard input and output as a connection.
type stdio struct {
	in     io.Reader
	out    io.Writer
	closed chan struct{} // closed by Close
	once   sync.Once
}

func (c *stdio) Read(p []byte) (int, error) {
	type got struct {
		n   int
		err error
	}
	read := make(chan got, 1)
	b := make([]byte, len(p))
	go func() { // as in readAhead
		n, err := c.in.Read(b)
		read <- got{n, err}
	}()
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case g := <-read:
		return copy(p, b[:g.n]), g.err
	}
}

func (c *stdio) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c *stdio) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (*stdio) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix", Name: "stdout"} }
func (*stdio) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix", Name: "stdin"} }
func (*stdio) SetDeadline(time.Time) error      { return nil }
func (*stdio) SetReadDeadline(time.Time) error  { return nil }
func (*stdio) SetWriteDeadline(time.Time) error { return nil }

// lone is a listener with one connection; it ends with that.
type lone struct {
	conn  *stdio
	given bool
}

func (o *lone) Accept() (net.Conn, error) {
	if !o.given {
		o.given = true
		return o.conn, nil
	}
	<-o.conn.closed
	return nil, net.ErrClosed
}

func (*lone) Close() error     { return nil }
func (o *lone) Addr() net.Addr { return o.conn.LocalAddr() }

// silent hears what go-smtp says of itself: that the input has ended.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
