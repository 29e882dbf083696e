package wire_test

import (
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"cgq/pkg/module/smtp/wire"
)

// A socket has read what the peer sent, segment by segment, and notes what is written.
type socket struct {
	net.Conn
	in     []string
	writes []string
}

func (s *socket) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[0])
	if s.in[0] = s.in[0][n:]; s.in[0] == "" {
		s.in = s.in[1:]
	}
	return n, nil
}

func (s *socket) Write(p []byte) (int, error) {
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

func (s *socket) Close() error                     { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
func (s *socket) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// once is a listener with one connection.
type once struct{ conn net.Conn }

func (l *once) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, io.EOF
	}
	c := l.conn
	l.conn = nil
	return c, nil
}
func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// A message is what a session accepted.
type message struct{ from, to, text string }

// A session accepts everything, except the recipient nobody and the text of a
// message from refused, which it does not read.
type session struct {
	conn *wire.Conn
	mu   sync.Mutex
	msg  message
	got  []message
}

func (s *session) Reset()        { s.msg = message{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.msg.from != "" {
		return &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "a transaction is open"}
	}
	s.msg.from = s.conn.Path().Path()
	return nil
}

func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	if s.conn.Path().Local == "nobody" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such account"}
	}
	s.msg.to += s.conn.Path().Path()
	return nil
}

func (s *session) Data(io.Reader) error {
	if s.msg.from == "<refused@a>" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "refused unread"}
	}
	var b strings.Builder
	var err error
	if s.msg.from == "<reader@a>" { // the slow way, in small pieces
		_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{s.conn.Body()}, make([]byte, 3))
	} else {
		_, err = io.Copy(&b, s.conn.Body())
	}
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: err.Error()}
	case errors.Is(err, wire.ErrTimeout) || errors.Is(err, wire.ErrSlow):
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: err.Error()}
	case err != nil:
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	s.msg.text = b.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, s.msg)
	return nil
}

func (s *session) messages() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]message(nil), s.got...)
}

func options() wire.Options {
	return wire.Options{
		Domain: "mail.example.com", MaxLine: 2048, MaxText: 1 << 20,
		Command: 5 * time.Minute, Data: 5 * time.Minute, Write: time.Minute,
		Total: 30 * time.Minute, Rate: 1 << 10,
	}
}

// serve runs go-smtp on sock until it is closed.
func serve(t *testing.T, sock net.Conn, opt wire.Options) (*session, *wire.Conn, <-chan struct{}) {
	t.Helper()
	closed := make(chan struct{})
	opt.Closed = func(*wire.Conn) { close(closed) }
	s := &session{conn: wire.New(sock, opt)}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return s, nil }))
	srv.Domain, srv.MaxMessageBytes, srv.MaxLineLength = opt.Domain, opt.MaxText, 0
	srv.MaxRecipients, srv.EnableSMTPUTF8, srv.EnableDSN = 1000, true, true
	srv.ErrorLog = log.New(t.Output(), "", 0)
	if err := srv.Serve(&once{s.conn}); err != io.EOF {
		t.Fatalf("Serve = %v", err)
	}
	return s, s.conn, closed
}

// converse serves segments, and returns what was written and accepted.
func converse(t *testing.T, opt wire.Options, segments ...string) ([]string, []message, error) {
	t.Helper()
	sock := &socket{in: segments}
	s, conn, closed := serve(t, sock, opt)
	<-closed
	return sock.writes, s.messages(), conn.Err()
}

const (
	open  = "EHLO client.example\r\n"
	begin = open + "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\n"
)

// afterEHLO is what was replied behind the EHLO.
func afterEHLO(writes []string) string {
	all := strings.Join(writes, "")
	if _, rest, ok := strings.Cut(all, "250 LIMITS RCPTMAX=1000\r\n"); ok {
		return rest
	}
	return all
}

const (
	okMail = "250 2.1.0 a@a sender accepted\n"
	okRcpt = "250 2.1.5 b@b recipient accepted\n"
	goOn   = "354 Go ahead. End your data with <CR><LF>.<CR><LF>\n"
	queued = "250 2.0.0 OK: queued\n"
	okAll  = okMail + okRcpt + goOn + queued
	noBare = okMail + okRcpt + goOn + "554 5.6.0 bare CR or LF in the text\n"
)

func TestConversation(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		name, in string // in begins behind the EHLO
		replies  string // with LF
		texts    []string
	}{
		{"a message", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n", okAll,
			[]string{"Subject: x\n\nhello\n"}},
		{"dots", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n..\r\n...x\r\n.y\r\n.\r\n", okAll, []string{".\n..x\ny\n"}},
		{"an empty text", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n.\r\n", okAll, []string{""}},
		{"an empty line", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n\r\n.\r\n", okAll, []string{"\n"}},
		{"8-bit", "MAIL FROM:<a@a> BODY=8BITMIME\r\nRCPT TO:<b@b>\r\nDATA\r\n\xff\xc3\xa9\r\n.\r\n", okAll,
			[]string{"\xff\xc3\xa9\n"}},
		{"a very long line", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n" + long + "\r\n.\r\n", okAll,
			[]string{long + "\n"}},
		{"read in small pieces", "MAIL FROM:<reader@a>\r\nRCPT TO:<b@b>\r\nDATA\r\none\r\n..\r\nthree\r\n.\r\n",
			strings.Replace(okAll, "a@a", "reader@a", 1), []string{"one\n.\nthree\n"}},

		// smuggling: nothing but CRLF.CRLF ends a text, and nothing else is a line end
		{"LF . LF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\n.\nMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"LF . CRLF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\n.\r\nMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"CRLF . LF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\nMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"CR . CR", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r.\rMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"CR . CRLF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r.\r\nMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"CRLF . CR", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\rMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"LF . CR", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\n.\rMAIL FROM:<evil@a>\r\n.\r\n", noBare, nil},
		{"CR CRLF . CRLF ends", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\r\n.\r\nNOOP\r\n",
			noBare + "250 2.0.0 I have successfully done nothing\n", nil},
		{"CRLF . CR CRLF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\r\r\n.\r\n", noBare, nil},
		{"bare LF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\ny\r\n.\r\n", noBare, nil},
		{"bare CR", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\ry\r\n.\r\n", noBare, nil},
		{"bare LF at the start", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n\n.\r\n.\r\n", noBare, nil},
		{"NUL", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\x00y\r\n.\r\n",
			okMail + okRcpt + goOn + "554 5.6.0 NUL in the text\n", nil},
		{"NUL . CRLF", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n\x00.\r\nMAIL FROM:<evil@a>\r\n.\r\n",
			okMail + okRcpt + goOn + "554 5.6.0 NUL in the text\n", nil},

		{"chunks", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 5\r\nab\r\ncBDAT 6 LAST\r\nd\r\n.\r\n",
			okMail + okRcpt + "250 2.0.0 5 bytes so far\n" + queued, []string{"ab\ncd\n.\n"}},
		{"CRLF across chunks", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 2\r\na\rBDAT 1\r\n\nBDAT 0 LAST\r\n",
			okMail + okRcpt + "250 2.0.0 2 bytes so far\n250 2.0.0 3 bytes so far\n" + queued, []string{"a\n"}},
		{"a chunk without a last line end", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 3 last\r\nabcNOOP\r\n",
			okMail + okRcpt + queued + "250 2.0.0 I have successfully done nothing\n", []string{"abc\n"}},
		{"a chunk that ends with CR", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 3 LAST\r\na\n\r",
			okMail + okRcpt + "554 5.6.0 bare CR or LF in the text\n", nil},
		{"an empty chunk", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 0 LAST\r\n", okMail + okRcpt + queued, []string{""}},
		{"a chunk that is not read", "MAIL FROM:<refused@a>\r\nRCPT TO:<b@b>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\n",
			"250 2.1.0 refused@a sender accepted\n" + okRcpt + "550 5.7.1 refused unread\n503 5.5.1 Missing RCPT TO command.\n", nil},
		{"a chunk out of order", "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
			"503 5.5.1 Missing RCPT TO command.\n250 2.0.0 I have successfully done nothing\n", nil},
		{"RSET between chunks", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 1\r\nxRSET\r\nMAIL FROM:<a@a>\r\n",
			okMail + okRcpt + "250 2.0.0 1 bytes so far\n250 2.0.0 Session reset\n" + okMail, nil},
		{"other commands between chunks", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 0\r\nNOOP\r\nDATA\r\nBDAT 1 LAST\r\nx",
			okMail + okRcpt + "250 2.0.0 0 bytes so far\n250 2.0.0 ok\n503 5.5.1 BDAT or RSET is due\n" + queued,
			[]string{"x\n"}},
		{"QUIT between chunks", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 1\r\nxQUIT\r\n",
			okMail + okRcpt + "250 2.0.0 1 bytes so far\n221 2.0.0 Bye\n", nil},
		{"a chunk without size ends the session", "BDAT x LAST\r\nNOOP\r\n",
			"501 5.5.4 syntax: BDAT size [LAST]; closing the connection\n", nil},
		{"a chunk with junk ends the session", "BDAT 4 FOO\r\nQUIT",
			"501 5.5.4 syntax: BDAT size [LAST]; closing the connection\n", nil},
		{"bare LF in a chunk", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT 2 LAST\r\na\n",
			okMail + okRcpt + "554 5.6.0 bare CR or LF in the text\n", nil},

		{"no MAIL before RCPT", "RCPT TO:<b@b>\r\n", "503 5.5.1 Missing MAIL FROM command.\n", nil},
		{"second MAIL", "MAIL FROM:<a@a>\r\nMAIL FROM:<a@a>\r\n", okMail + "503 5.5.1 a transaction is open\n", nil},
		{"refused recipient", "MAIL FROM:<a@a>\r\nRCPT TO:<nobody@b>\r\nDATA\r\n",
			okMail + "550 5.1.1 no such account\n503 5.5.1 Missing RCPT TO command.\n", nil},
		{"DATA with an argument", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA now\r\n",
			okMail + okRcpt + "501 5.5.4 DATA command should not have any arguments\n", nil},
		{"RSET", "MAIL FROM:<a@a>\r\nRSET\r\nMAIL FROM:<a@a>\r\n", okMail + "250 2.0.0 Session reset\n" + okMail, nil},
		{"blanks behind commands", "RSET \r\nNOOP \t \r\nDATA \r\nQUIT \r\n",
			"250 2.0.0 Session reset\n250 2.0.0 I have successfully done nothing\n503 5.5.1 Missing RCPT TO command.\n221 2.0.0 Bye\n", nil},
		{"pipelined QUIT behind the dot", "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nx\r\n.\r\nQUIT\r\nNOOP\r\n",
			okAll + "221 2.0.0 Bye\n", []string{"x\n"}},
		{"unread text is not commands", "MAIL FROM:<refused@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nQUIT\r\n.\r\nNOOP\r\n",
			"250 2.1.0 refused@a sender accepted\n" + okRcpt + goOn + "550 5.7.1 refused unread\n250 2.0.0 I have successfully done nothing\n", nil},
		{"unknown parameter", "MAIL FROM:<a@a> FOO=bar\r\n", "555 5.5.4 Unknown MAIL FROM argument\n", nil},
		{"declared too large", "MAIL FROM:<a@a> SIZE=1048577\r\n", "552 5.3.4 Max message size exceeded\n", nil},
		{"a command line too long", "NOOP " + strings.Repeat("x", 2043) + "\r\nNOOP " + strings.Repeat("x",
			10_000) + "\r\nNOOP\r\n",
			"500 5.5.2 command line too long\n500 5.5.2 command line too long\n250 2.0.0 I have successfully done nothing\n",
			nil},
		{"the longest command line", "NOOP " + strings.Repeat("x", 2041) + "\r\n",
			"250 2.0.0 I have successfully done nothing\n", nil},
		{"a command line without end", strings.Repeat("x", 100_000),
			"421 4.7.0 command line without end, closing the connection\n", nil},
		{"a control character", "NOOP \x07\r\nNO\rOP\r\n",
			"500 5.5.2 control character in the command\n500 5.5.2 control character in the command\n", nil},
		{"STARTTLS is not there", "STARTTLS\r\n", "502 5.5.1 TLS not supported\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, one := range []bool{true, false} {
				segments := []string{open, tt.in}
				if !one {
					segments = append([]string{open}, strings.Split(tt.in, "")...)
				}
				writes, got, _ := converse(t, options(), segments...)
				replies := strings.ReplaceAll(afterEHLO(writes), "\r\n", "\n")
				if replies != tt.replies {
					t.Errorf("one segment %v: %.300q\n got %q\nwant %q", one, tt.in, replies, tt.replies)
				}
				if len(got) != len(tt.texts) {
					t.Fatalf("one segment %v: %.300q: %d messages; want %d", one, tt.in, len(got), len(tt.texts))
				}
				for i, m := range got {
					if m.text != tt.texts[i] {
						t.Errorf("one segment %v: text %.300q; want %.300q", one, m.text, tt.texts[i])
					}
				}
			}
		})
	}
}

func TestGreeting(t *testing.T) {
	writes, _, err := converse(t, options(), "EHLO client.example\r\n", "HELO other\r\n")
	want := []string{
		"220 mail.example.com ESMTP cgq\r\n",
		"250-mail.example.com hello client.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n" +
			"250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 1048576\r\n250 LIMITS RCPTMAX=1000\r\n",
		"250 mail.example.com hello other\r\n",
	}
	if strings.Join(writes, "|") != strings.Join(want, "|") {
		t.Errorf("wrote %q\n want %q", writes, want)
	}
	if err != wire.ErrLost {
		t.Errorf("Err = %v, want ErrLost: there was no QUIT", err)
	}
}

// RFC 2920 §3.1: replies to a group of commands leave together.
func TestPipelinedRepliesLeaveInOneWrite(t *testing.T) {
	group := "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n"
	writes, got, err := converse(t, options(), open, group, "x\r\n.\r\n"+group, "y\r\n.\r\nQUIT\r\n")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d messages, %v; want 2", len(got), err)
	}
	want := []string{okMail + okRcpt + goOn, queued + okMail + okRcpt + goOn, queued + "221 2.0.0 Bye\n"}
	if len(writes) != 2+len(want) {
		t.Fatalf("%d writes: %q", len(writes), writes)
	}
	for i, w := range writes[2:] {
		if strings.ReplaceAll(w, "\r\n", "\n") != want[i] {
			t.Errorf("write %d: %q, want %q", i, w, want[i])
		}
	}
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct{ command, reply string }{
		{"MAIL FROM:<>", "250 2.1.0 <> sender accepted"},
		{"mail from:<a@a>", "250 2.1.0 a@a sender accepted"},
		{"MAIL FROM: <a@a>", "250 2.1.0 a@a sender accepted"},
		{"MAIL FROM:a@a", "250 2.1.0 a@a sender accepted"},
		{"MAIL FROM:<@x,@y:a@a>", "250 2.1.0 a@a sender accepted"},
		{`MAIL FROM:<"x> NOTIFY=NEVER <y"@a>`, `250 2.1.0 "x> NOTIFY=NEVER <y"@a sender accepted`},
		{`MAIL FROM:<"a@b"@c> BODY=8BITMIME`, `250 2.1.0 "a@b"@c sender accepted`},
		{`MAIL FROM:<"a\"> b"@c>`, `250 2.1.0 "a\"> b"@c sender accepted`},
		{"MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0 a@[192.0.2.1] sender accepted"},
		{"MAIL FROM:", "501 5.1.7 address not understood: brackets or quotes do not match"},
		{"MAIL FROM:<a@a", "501 5.1.7 address not understood: brackets or quotes do not match"},
		{"MAIL FROM:<a@a>SIZE=1", "501 5.1.7 address not understood: brackets or quotes do not match"},
		{"MAIL FROM:<a b@a>", "501 5.1.7 address not understood: brackets or quotes do not match"},
		{"MAIL FROM:<u..v@x..y>", `501 5.1.7 not an address: "u..v@x..y": the local part needs quotes`},
		{"MAIL FROM:<\xff@a>", `501 5.1.7 not an address: "\xff@a": not UTF-8`},
		{"MAIL TO:<a@a>", "501 5.5.4 syntax: MAIL FROM:<address>"},
		{"MAIL", "501 5.5.4 syntax: MAIL FROM:<address>"},
		{"MAIL FROM:<a@a>\r\nRCPT TO:<postmaster>", "250 2.1.5 postmaster recipient accepted"},
		{"MAIL FROM:<a@a>\r\nRCPT TO:<>", "501 5.1.3 a recipient is needed"},
		{"MAIL FROM:<a@a>\r\nRCPT TO:<b@b> NOTIFY=NEVER ORCPT=rfc822;b@b", "250 2.1.5 b@b recipient accepted"},
	} {
		writes, _, _ := converse(t, options(), open+tt.command+"\r\n")
		lines := strings.Split(strings.TrimSpace(strings.Join(writes, "")), "\r\n")
		if got := lines[len(lines)-1]; got != tt.reply {
			t.Errorf("%s\n got %s\nwant %s", tt.command, got, tt.reply)
		}
	}
}

func TestSizeIsEnforced(t *testing.T) {
	opt := options()
	opt.MaxText = 1000
	line := strings.Repeat("x", 98) + "\r\n"
	bdat := open + "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nBDAT "
	for _, tt := range []struct {
		name, in, last string
		accepted       int
		err            error
	}{
		{"just fits", begin + "DATA\r\n" + strings.Repeat(line, 10) + ".\r\nQUIT\r\n", "221", 1, nil},
		{"too large by one", begin + "DATA\r\n" + strings.Repeat(line, 9) + "x" + line + ".\r\n", "552", 0, wire.ErrLost},
		{"stuffing does not count", begin + "DATA\r\n" + strings.Repeat("."+"."+line[1:], 10) + ".\r\nQUIT\r\n", "221", 1,
			nil},
		{"the session goes on", begin + "DATA\r\n" + strings.Repeat(line, 20) + ".\r\nQUIT\r\n", "221", 0, nil},
		{"a flood is cut off", begin + "DATA\r\n" + strings.Repeat(line, 2000) + ".\r\nNOOP\r\n", "552", 0, wire.ErrTooLarge},
		{"a chunk too large", bdat + "1001 LAST\r\n" + strings.Repeat("x", 1001) + "QUIT\r\n", "221", 0, nil},
		{"chunks too large", bdat + "600\r\n" + strings.Repeat("x", 600) + "BDAT 401 LAST\r\n" + strings.Repeat("x",
			401) + "QUIT\r\n", "221", 0, nil},
		{"chunks that fit", bdat + "600\r\n" + strings.Repeat("x", 600) + "BDAT 400 LAST\r\n" + strings.Repeat("x",
			400) + "QUIT\r\n", "221", 1, nil},
		{"a chunk that is a flood", bdat + "5000 LAST\r\n" + strings.Repeat("x", 5000) + "QUIT\r\n", "552", 0,
			wire.ErrTooLarge},
		{"a chunk out of order that is a flood", open + "BDAT 5000 LAST\r\n" + strings.Repeat("x", 5000), "552", 0,
			wire.ErrTooLarge},
	} {
		writes, got, err := converse(t, opt, tt.in)
		all := strings.Join(writes, "")
		lines := strings.Split(strings.TrimSpace(all), "\r\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, tt.last) {
			t.Errorf("%s: last reply %q, want %s", tt.name, last, tt.last)
		}
		if len(got) != tt.accepted || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d messages, %v; want %d, %v", tt.name, len(got), err, tt.accepted, tt.err)
		}
		if tt.accepted == 0 && !strings.Contains(all, "\r\n55") {
			t.Errorf("%s: no refusal in %q", tt.name, all)
		}
	}
}

func TestVanishingPeerSubmitsNothing(t *testing.T) {
	for _, in := range []string{
		begin + "DATA\r\nx\r\n", begin + "DATA\r\nx\r\n.", begin + "DATA\r\nx\r\n.\r", begin + "DATA\r\n",
		begin + "BDAT 10 LAST\r\nx", begin + "BDAT 1\r\nx", begin + "BDAT 1 LAST\r\n",
	} {
		if _, got, err := converse(t, options(), in); len(got) != 0 || err != wire.ErrLost {
			t.Errorf("%q: %d messages, %v; want none, ErrLost", in, len(got), err)
		}
	}
}

func TestTraceSeesBothSides(t *testing.T) {
	var lines []string
	opt := options()
	opt.Trace = func(in bool, line []byte) {
		lines = append(lines, map[bool]string{true: "C: ", false: "S: "}[in]+string(line))
	}
	_, _, _ = converse(t, opt, "HELO x\r\nMAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nsecret\r\n.\r\n\r\nQUIT\r\n")
	want := []string{
		"S: 220 mail.example.com ESMTP cgq", "C: HELO x", "S: 250 mail.example.com hello x",
		"C: MAIL FROM:<a@a>", "S: 250 2.1.0 a@a sender accepted", "C: RCPT TO:<b@b>", "S: 250 2.1.5 b@b recipient accepted",
		"C: DATA", "S: 354 Go ahead. End your data with <CR><LF>.<CR><LF>", "S: 250 2.0.0 OK: queued",
		"C: ", "S: 500 5.5.2 Error: bad syntax", "C: QUIT", "S: 221 2.0.0 Bye",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("traced\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
