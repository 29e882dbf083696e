package extfilter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-milter"

	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/serverlog"
)

type milterOptions struct {
	network, address string
	host             func() string // macro j
	log              *slog.Logger
}

// A milterClient has one conversation for each message: connections are cheap beside what
// is done over them, and a milter keeps nothing from one message to the next.
type milterClient struct {
	o   milterOptions
	old atomic.Bool // it speaks an old version of the protocol
}

func newMilter(o milterOptions) *milterClient { return &milterClient{o: o} }

// close implements [client].
func (*milterClient) close() {}

// What a milter may do, and what of the conversation it may leave out. OptSkip is not
// offered: the library does not know its answer.
const (
	milterActions  = milter.OptAddHeader | milter.OptChangeHeader | milter.OptAddRcpt | milter.OptQuarantine
	milterProtocol = milter.OptNoConnect | milter.OptNoHelo | milter.OptNoMailFrom | milter.OptNoRcptTo | milter.OptNoBody |
		milter.OptNoHeaders | milter.OptNoEOH | milter.OptNoUnknown | milter.OptNoData | milter.OptNoHeaderReply |
		milter.OptNoConnReply | milter.OptNoHeloReply | milter.OptNoMailReply | milter.OptNoRcptReply | milter.OptNoDataReply |
		milter.OptNoUnknownReply | milter.OptNoEOHReply | milter.OptNoBodyReply | milter.OptHeaderLeadingSpace

	// What versions before 6 know; the library goes down to one of these only for who has
	// offered no more (among them all milters that the library itself serves).
	oldMilterProtocol = milterProtocol & 0x7f
)

// maxMilter is how many bytes a milter may say about one message.
const maxMilter = 1 << 20

// milterConn is a connection that a milter cannot say endlessly much over.
type milterConn struct {
	net.Conn
	in   *bufio.Reader // the library reads a few bytes at a time
	left int
}

func (c *milterConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the milter says more than %d bytes", maxMilter)
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A dialed connection is made before the library asks for one, so that it can be closed
// whatever becomes of that.
type dialed struct{ net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.Conn, nil }

// filter implements [client].
func (m *milterClient) filter(ctx context.Context, r *Request) (Answer, error) {
	old := m.old.Load()
	a, err := m.converse(ctx, r, old)
	if errors.Is(err, milter.ErrUnsupportedMilterVersion) && !old {
		if a, err = m.converse(ctx, r, true); err == nil && m.old.CompareAndSwap(false, true) {
			m.o.log.Log(ctx, serverlog.Low, "the milter speaks an old version of the protocol")
		}
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, err
}

// converse has one conversation, in an old version of the protocol or in the newest one.
// How long that may take is the affair of ctx.
func (m *milterClient) converse(ctx context.Context, r *Request, old bool) (Answer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, m.o.network, m.o.address)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)); conn.Close() })()
	protocol := milterProtocol
	if old {
		protocol = oldMilterProtocol
	}
	s, err := milter.NewClientWithOptions(m.o.network, m.o.address, milter.ClientOptions{
		Dialer: dialed{&milterConn{conn, bufio.NewReader(conn), maxMilter}}, ActionMask: milterActions, ProtocolMask: protocol}).Session()
	if err != nil {
		return Answer{}, err
	}
	text, err := r.Open()
	if err != nil {
		return Answer{}, err
	}
	defer text.Close()
	t := &milterTalk{ClientSession: s, m: m, r: r, text: bufio.NewReaderSize(text, milter.MaxBodyChunk/2)}
	a, err := t.talk()
	if err == nil {
		_ = s.Close() // all is said
	}
	return a, err
}

// A milterTalk is the conversation about one message.
type milterTalk struct {
	*milter.ClientSession
	m    *milterClient
	r    *Request
	text *bufio.Reader // of the message; when the header is told, the body
}

// talk is all of it, until the milter has made up its mind.
func (t *milterTalk) talk() (Answer, error) {
	if more := t.ActionOpts &^ milterActions; more != 0 {
		return Answer{}, fmt.Errorf("the milter insists on what it must not do here (actions %#x): "+
			"replace the body, or the envelope", uint32(more))
	}
	for _, step := range []func() (*milter.Action, error){t.connect, t.helo, t.mail, t.recipients, t.fields, t.HeaderEnd} {
		act, err := step()
		if err != nil {
			return Answer{}, err
		}
		if act.Code != milter.ActContinue {
			return t.answer(nil, act)
		}
	}
	return t.body()
}

func (t *milterTalk) connect() (*milter.Action, error) {
	peer := t.r.Envelope.Peer.Unmap()
	family, address := milter.FamilyUnknown, ""
	switch {
	case peer.Is4():
		family, address = milter.FamilyInet, peer.String()
	case peer.Is6():
		family, address = milter.FamilyInet6, peer.String()
	}
	name := "localhost"
	if peer.IsValid() {
		name = "[" + peer.String() + "]"
	}
	if err := t.Macros(milter.CodeConn, "j", t.m.o.host(), "{daemon_name}", "cgqd", "v", "cgqd", "_", name,
		"{client_addr}", address); err != nil {
		return nil, err
	}
	return t.Conn(name, family, 0, address)
}

func (t *milterTalk) helo() (*milter.Action, error) {
	name := t.r.Envelope.Trace.Helo
	if name == "" {
		name = t.m.o.host()
	}
	return t.Helo(noNUL(name))
}

func (t *milterTalk) mail() (*milter.Action, error) {
	e := t.r.Envelope
	from := e.ReturnPath.Path()
	macros := []string{"i", t.r.ID.String(), "{mail_addr}", from}
	if e.Auth != "" {
		macros = append(macros, "{auth_authen}", noNUL(e.Auth), "{auth_type}", "SASL")
	}
	if err := t.Macros(milter.CodeMail, macros...); err != nil {
		return nil, err
	}
	var args []string
	if e.SMTPUTF8 {
		args = append(args, "SMTPUTF8")
	}
	if e.Body != 0 {
		args = append(args, "BODY="+e.Body.String())
	}
	return t.Mail(inner(from), args)
}

// inner is a path without the angle brackets, which the library adds.
func inner(path string) string { return strings.TrimSuffix(strings.TrimPrefix(path, "<"), ">") }

// recipients names all. One that the milter refuses refuses the message: they were
// accepted before it was asked.
func (t *milterTalk) recipients() (act *milter.Action, err error) {
	for _, r := range t.r.Envelope.Recipients {
		if err := t.Macros(milter.CodeRcpt, "{rcpt_addr}", r.Address.Path()); err != nil {
			return nil, err
		}
		if act, err = t.Rcpt(inner(r.Address.Path()), nil); err != nil || act.Code != milter.ActContinue {
			return act, err
		}
	}
	return &milter.Action{Code: milter.ActContinue}, nil
}

// maxHeader is the longest header that a milter is told.
const maxHeader = 4 << 20

// head reads the header off the text, to its end: that of the Request is cut where Rules
// stop looking.
func (t *milterTalk) head() (head []byte, err error) {
	for ended := false; !ended && len(head) < maxHeader; {
		line, err := t.text.ReadSlice('\n')
		head = append(head, line...)
		switch {
		case err == nil:
			ended = len(line) == 1 && (len(head) == 1 || head[len(head)-2] == '\n')
		case errors.Is(err, io.EOF):
			ended = true
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("the text: %w", err)
		}
	}
	return head, nil
}

// fields tells the header, as it is.
func (t *milterTalk) fields() (act *milter.Action, err error) {
	head, err := t.head()
	if err != nil {
		return nil, err
	}
	for f := range header.Fields(head) {
		value := string(f.Value)
		if !t.ProtocolOption(milter.OptHeaderLeadingSpace) {
			value = strings.TrimPrefix(value, " ")
		}
		if act, err = t.HeaderField(noNUL(string(f.Name)), noNUL(value)); err != nil || act.Code != milter.ActContinue {
			return act, err
		}
	}
	return &milter.Action{Code: milter.ActContinue}, nil
}

// noNUL is a text as the protocol can say it.
func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// body tells the text behind the header, with CRLF.
func (t *milterTalk) body() (Answer, error) {
	in, out := make([]byte, milter.MaxBodyChunk/2), make([]byte, 0, milter.MaxBodyChunk)
	for {
		n, err := t.text.Read(in)
		out = out[:0]
		for _, c := range in[:n] {
			if c == '\n' {
				out = append(out, '\r')
			}
			out = append(out, c)
		}
		if len(out) > 0 {
			act, err := t.BodyChunk(out)
			if err != nil {
				return Answer{}, err
			}
			if act.Code != milter.ActContinue {
				return t.answer(nil, act)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Answer{}, fmt.Errorf("the text: %w", err)
		}
	}
	if err := t.Macros(milter.CodeEOB, "i", t.r.ID.String()); err != nil {
		return Answer{}, err
	}
	edits, act, err := t.End()
	if err != nil {
		return Answer{}, err
	}
	return t.answer(edits, act)
}

// answer is what the milter has decided.
func (t *milterTalk) answer(edits []milter.ModifyAction, act *milter.Action) (a Answer, err error) {
	t.m.o.log.Log(context.Background(), serverlog.All, fmt.Sprintf("the milter answers %c %d %s, with %d changes",
		act.Code, act.SMTPCode, act.SMTPText, len(edits)), "id", t.r.ID)
	switch act.Code {
	case milter.ActAccept, milter.ActContinue:
		for _, e := range edits {
			if err := t.edit(&a, e); err != nil {
				return Answer{}, err
			}
			if a.Verdict == Later {
				return a, nil
			}
		}
		return a, nil
	case milter.ActDiscard:
		return Answer{Verdict: Discard}, nil
	case milter.ActReject:
		return refusal(mail.Status{5, 7, 1}, 0, "the message is rejected by a filter of this server"), nil
	case milter.ActTempFail:
		return refusal(mail.Status{4, 7, 1}, 0, "the message is not taken just now, try again later"), nil
	case milter.ActReplyCode:
		if act.SMTPCode >= 400 && act.SMTPCode < 600 {
			return replied(act.SMTPCode, act.SMTPText), nil
		}
	}
	return Answer{}, fmt.Errorf("the milter answers what nobody understands: %q %d", act.Code, act.SMTPCode)
}

// replied is a refusal in the words of a milter: the text may begin with an enhanced status.
func replied(code int, text string) Answer {
	status, text := ownStatus(mail.Status{uint16(code / 100), 7, 1}, text)
	if strings.TrimSpace(text) == "" {
		text = "the message is rejected by a filter of this server"
	}
	return refusal(status, 0, text)
}

// edit takes down a change that the milter wants.
func (t *milterTalk) edit(a *Answer, e milter.ModifyAction) error {
	switch e.Code {
	case milter.ActAddHeader, milter.ActInsertHeader:
		field, ok := t.field(e.HeaderName, e.HeaderValue)
		if !ok {
			a.Notes = append(a.Notes, fmt.Sprintf("no header field, left out: %q", clip(e.HeaderName)))
			return nil
		}
		a.Add = append(a.Add, field)
	case milter.ActChangeHeader:
		field, ok := t.field(e.HeaderName, e.HeaderValue)
		if !ok || e.HeaderIndex > 1<<20 {
			a.Notes = append(a.Notes, fmt.Sprintf("no header field, left as it is: %q", clip(e.HeaderName)))
			return nil
		}
		c := Change{Name: e.HeaderName, Index: max(1, int(e.HeaderIndex))}
		if e.HeaderValue != "" {
			c.Value = strings.TrimPrefix(strings.TrimPrefix(field, e.HeaderName+":"), " ")
		}
		a.Change = append(a.Change, c)
	case milter.ActAddRcpt:
		to, err := mail.ParsePath(e.Rcpt)
		if err != nil || to.IsZero() {
			return fmt.Errorf("the milter adds a recipient that is none: %q", clip(e.Rcpt))
		}
		a.Recipients = append(a.Recipients, to)
	case milter.ActQuarantine:
		*a = later("quarantine: " + e.Reason)
	default:
		return fmt.Errorf("the milter does what it must not do here: %q", e.Code)
	}
	return nil
}

// field is a header field of a milter.
func (t *milterTalk) field(name, value string) (string, bool) {
	if !t.ProtocolOption(milter.OptHeaderLeadingSpace) || value == "" || value[0] != ' ' && value[0] != '\t' {
		value = " " + value
	}
	return headerField(name, value)
}
